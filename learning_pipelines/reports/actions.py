"""What to do next, from a report's numbers: at most three actions, the most urgent first, each with the number it rests on and the place to go.

Belongs here: the rules and their order, as a pure function. Not here: the numbers, links as addresses, wording of the rest of a report.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

MOST = 3
RATE_POINTS = 100
Numbers = Mapping[str, Any]
Action = dict[str, Any]


def suggested(numbers: Numbers, most: int = MOST) -> list[Action]:
    """[{key, text, number, query, place}]: `number` in words with its count, `query` gives it, `place` is a page's path or a command.

    The order of RULES is the order of urgency: harm, then what stops learning, then what would bring more evidence.
    """
    found = (action for rule in RULES for action in rule(numbers))
    return [{"rank": rank, **action} for rank, action in zip(range(1, most + 1), found, strict=False)]


def _action(key: str, text: str, number: str, query: str, place: str) -> Action:
    return {"key": key, "text": text, "number": number, "query": query, "place": place}


def _drift(numbers: Numbers) -> Iterator[Action]:
    for one in numbers["serving"]:
        if one["alarm"]:
            yield _action(
                "drift", f"Find out why the {one['kind']} of {one['agent']} answers worse than it did: the model behind the endpoint or the documents changed. "
                f"Take it back (learning-pipelines rollback {one['agent']} --kind {one['kind']}), or learn anew.",
                f"{one['score']:.3f} in place of {one['first_score']:.3f} on {one['n']} held-out items", "serving", "/training",
            )  # fmt: skip


def _rolled_back(numbers: Numbers) -> Iterator[Action]:
    bad = [one for one in numbers["experiments"]["decided"] if one["decision"] == "rollback"]
    if bad:
        names = ", ".join(f"{one['name']} of {one['agent']}" for one in bad[:3])
        yield _action("rolled_back", f"Read why {names} was taken back before something like it is tried again.",
                      f"{len(bad)} of {len(numbers['experiments']['decided'])} decided experiments", "experiments", "/training")  # fmt: skip


def _failures(numbers: Numbers) -> Iterator[Action]:
    failed = _incident(numbers, "failed_runs")
    if failed:
        text = "Look at the training runs that failed: nothing is learnt of an agent whose runs fail."
        yield _action("failed_runs", text, _counted(failed, "failed run"), "incidents", "/training")


def _checks(numbers: Numbers) -> Iterator[Action]:
    found = next(one["by_name"] for one in numbers["incidents"] if one["key"] == "failing_checks")
    failing = [one for one in found if one["still_failing"]]
    if failing:
        names = ", ".join(one["name"] for one in failing[:3])
        text = f"Find out why checks of the data still fail ({names}): learning-pipelines status leads to their runs."
        yield _action("failing_checks", text, _counted(sum(one["still_failing"] for one in failing), "failing check"), "failures", "/")


def _approvals(numbers: Numbers) -> Iterator[Action]:
    waiting = numbers["learning"]["waiting_for_approval"]
    if waiting:
        yield _action("approve", "Decide about proposals that tested better than what serves: nothing learnt is served before.",
                      _counted(waiting, "proposal"), "waiting proposals", "/training")  # fmt: skip


def _rising(numbers: Numbers) -> Iterator[Action]:
    for one in numbers["issues"]:
        if one["verdict"] == "rising":
            yield _action("rising", f"Read the executions that people call {one['category']}: more complain than the week before.",
                          f"{one['count']} after {one['before']} (p = {one['p']:.2g})", "issues", "/executions")  # fmt: skip


def _review(numbers: Numbers) -> Iterator[Action]:
    waiting = numbers["examples"]["waiting_for_review"]
    open_goal = next((one for one in numbers["milestones"] if one["verdict"] in ("open", "missed")), None)
    if waiting and open_goal is not None:
        yield _action("review", f"Review examples: {open_goal['approved']} of the {open_goal['target']} of the {open_goal['name']} are approved.",
                      _counted(waiting, "example") + " to review", "examples", "/annotate")  # fmt: skip
    elif waiting > max(10, 2 * numbers["examples"]["reviewed"]):
        yield _action("review", "Review examples: more wait than two weeks like this one would review.",
                      f"{waiting} wait, {numbers['examples']['reviewed']} were reviewed", "examples", "/annotate")  # fmt: skip


def _rate(numbers: Numbers) -> Iterator[Action]:
    rate = _headline(numbers, "feedback_rate")
    if rate["verdict"] in ("missed", "open"):
        asked = [agent for agent in numbers["agents"] if agent["executions"]]
        worst = max(asked, key=lambda agent: agent["executions"] * max(0.0, rate["target"] - agent["feedback_rate"]), default=None)
        where = f" Most is missing at {worst['agent']} ({RATE_POINTS * worst['feedback_rate']:.1f} % of {worst['executions']})." if worst else ""
        number = f"{RATE_POINTS * rate['value']:.1f} % of {rate['n']} executions, target {RATE_POINTS * rate['target']:.0f} %"
        yield _action("collect", f"Ask for feedback where answers are shown: the widget takes two lines of a page.{where}", number, "feedback", "/")


def _rating(numbers: Numbers) -> Iterator[Action]:
    rating = _headline(numbers, "avg_rating")
    if rating["verdict"] == "missed":
        top = numbers["issues"][0] if numbers["issues"] and numbers["issues"][0]["count"] else None
        what = f" Most complaints: {top['category']} ({top['count']})." if top else ""
        yield _action("quality", f"Correct answers that were rated low: corrections teach most.{what}",
                      f"{rating['value']:.2f} stars of {rating['n']} ratings, target {rating['target']:.1f}", "feedback", "/annotate")  # fmt: skip


def _disagreement(numbers: Numbers) -> Iterator[Action]:
    low = [one for one in numbers["agreement"] if one["raters"] == "experts" and one["period"] == "all" and one["verdict"] == "missed"]
    for one in low[:1]:
        yield _action("agreement", f"Let the experts of {one['agent']} settle what they disagree on, and write down what counts as right.",
                      f"alpha {one['alpha']:.2f} on {one['examples']} examples", "agreement", "/annotate")  # fmt: skip


def _conflicts(numbers: Numbers) -> Iterator[Action]:
    if count := _incident(numbers, "conflicts_open"):
        yield _action("conflicts", "Settle examples that contradict each other: what is learnt from them contradicts itself.",
                      _counted(count, "open conflict"), "incidents", "/annotate")  # fmt: skip


def _orphans(numbers: Numbers) -> Iterator[Action]:
    if count := _incident(numbers, "orphans"):
        text = "Send the executions that feedback refers to: it counts nowhere without them."
        yield _action("orphans", text, _counted(count, "feedback row"), "incidents", "/executions")


def _nothing(numbers: Numbers) -> Iterator[Action]:
    if not numbers["executions"]:
        yield _action("connect", "Send executions and feedback of your application: POST /api/learning/executions and /api/learning/feedback.",
                      "0 executions this week", "feedback", "/docs")  # fmt: skip


def _unmeasured(numbers: Numbers) -> Iterator[Action]:
    unknown = [one for one in numbers["serving"] if one["reason"]]
    for one in unknown[:1]:
        yield _action("measure", f"Make it known how well the {one['kind']} of {one['agent']} serves.", str(one["reason"]), "serving", "/training")


RULES: tuple[Callable[[Numbers], Iterator[Action]], ...] = (
    _drift, _rolled_back, _failures, _checks, _nothing, _approvals, _rising, _rating, _review, _rate, _disagreement, _conflicts, _orphans, _unmeasured,
)  # fmt: skip


def _counted(number: int, name: str) -> str:
    return f"{number} {name}{'' if number == 1 else 's'}"


def _headline(numbers: Numbers, key: str) -> Mapping[str, Any]:
    return next(one for one in numbers["headline"] if one["key"] == key)


def _incident(numbers: Numbers, key: str) -> int:
    return next(int(one["count"]) for one in numbers["incidents"] if one["key"] == key)
