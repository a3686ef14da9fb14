"""Playbooks made of demonstrations: planted ways, conditions, arguments and contradictions come back with their evidence."""

from __future__ import annotations

import random
from uuid import UUID

import pytest

from learning_pipelines.behavior.patterns.anti import anti_patterns
from learning_pipelines.behavior.patterns.transitions import START
from learning_pipelines.behavior.playbooks import learning
from learning_pipelines.behavior.playbooks.conditions import Condition
from learning_pipelines.behavior.playbooks.playbook import Playbook, Step
from learning_pipelines.behavior.task import END, Action, Shown, State
from learning_pipelines_tests.behavior.patterns.made import many, shown

MARY, JOHN = UUID(int=1), UUID(int=2)


def step(playbook: Playbook, kind: str) -> Step:
    return next(one for one in playbook.steps if one.type == kind)


def test_each_way_after_a_step_is_counted_with_its_demonstrations() -> None:
    playbook = learning.make("refund", [*many(34, "ab"), *many(6, "ac")])
    ways = step(playbook, "a").branches[-1].ways
    assert [(one.after, one.share.count, one.share.of, one.demonstrations) for one in ways] == [("b", 34, 40, 34), ("c", 6, 40, 6)]
    assert ways[0].named == tuple(f"ab-{number:03}" for number in range(10)) and ways[0].share.low == pytest.approx(0.709, abs=0.001)


def test_steps_stand_in_the_order_in_which_they_come() -> None:
    assert [one.type for one in learning.make("", [*many(9, "abcd"), *many(2, "acbd"), *many(3, "abd")]).steps] == [START, "a", "b", "c", "d"]


@pytest.mark.parametrize(
    ("condition", "one_way", "other_way"),
    [
        (Condition("task says", "urgent"), shown("", "ab", task="An urgent matter"), shown("", "ac", task="A matter")),
        (Condition("done", "x"), shown("", "xab"), shown("", "yac")),
        (
            Condition("value", "account=savings"),
            Shown("", "t", (Action("a", {"account": "savings"}), Action("b"))), Shown("", "t", (Action("a", {"account": "checking"}), Action("c"))),
        ),
        (
            Condition("was told", "refused"),
            Shown("", "t", (Action("a", None, "The bank refused."), Action("b"))), Shown("", "t", (Action("a", None, {"said": "fine"}), Action("c"))),
        ),
        (Condition("given", "reason"), Shown("", "t", (Action("a", {"reason": "…"}), Action("b"))), shown("", "ac")),
    ],
    ids=lambda value: value.what if isinstance(value, Condition) else "",
)  # fmt: skip
def test_what_tells_two_ways_apart_is_found_and_followed(condition: Condition, one_way: Shown, other_way: Shown) -> None:
    def copies(one: Shown, count: int, name: str) -> list[Shown]:
        return [Shown(f"{name}{number}", one.task, one.actions, approved=True, split="train") for number in range(count)]

    playbook = learning.make("", [*copies(one_way, 12, "one"), *copies(other_way, 12, "other")])
    branches = step(playbook, "a").branches
    assert condition in [one.when for one in branches] or len(branches) == 2
    for one in (one_way, other_way):
        assert [playbook.next(state) for state, _ in one.steps()] [-2:] == [kind for _, kind in one.steps()][-2:]


def test_a_condition_that_only_chance_supports_is_not_found() -> None:
    rng, found = random.Random(1), 0
    words = [f"{first}{second}word" for first in "abcdefgh" for second in "ijklmnop"]
    for run in range(20):
        demonstrations = [
            shown(f"{run}-{number:02}", "a" + rng.choice("bc"), task=" ".join(rng.sample(words, 12)), approved=True) for number in range(40)
        ]
        found += len(step(learning.make("", demonstrations), "a").branches) > 1
    assert found <= 3


def test_words_of_demonstrations_that_nobody_approved_are_never_named() -> None:
    urgent = many(12, "ab", task="An urgent matter") + many(12, "ac", task="A matter")
    assert "urgent" not in str(learning.make("", urgent).as_json())
    approved = many(12, "ab", task="An urgent matter", approved=True) + many(12, "ac", task="A matter", approved=True)
    assert "urgent" in str(learning.make("", approved).as_json())


def test_validation_takes_out_a_condition_that_costs_something_there() -> None:
    train = many(12, "xab") + many(12, "yac") + many(3, "zac")
    assert any(one.when is not None for one in step(learning.make("", train), "a").branches)
    turned = many(9, "xac") + many(1, "yab")
    assert [one.when for one in step(learning.make("", train, turned), "a").branches] == [None]


def test_the_most_frequent_way_of_every_branch_is_what_is_advised() -> None:
    rng = random.Random(8)
    train = [shown(f"{number:03}", "".join(rng.choices("abcd", k=6)), task=rng.choice(["urgent case", "case"]), approved=True) for number in range(200)]
    checked = [shown(f"v{number:03}", "".join(rng.choices("abcd", k=6)), task=rng.choice(["urgent case", "case"])) for number in range(60)]
    for one in learning.make("", train, checked).steps:
        for branch in one.branches:
            counts = [way.share.count for way in branch.ways]
            assert counts == sorted(counts, reverse=True)


def test_arguments_are_constant_few_stated_by_the_task_or_brought_by_a_step() -> None:
    rng = random.Random(2)
    demonstrations = []
    for number in range(20):
        order, code = f"order {rng.randrange(10**6):06}", f"code-{rng.randrange(10**6):06}"
        actions = (
            Action("look", {"id": order, "deep": True}, {"found": code}),
            Action("pay", {"code": code, "how": rng.choice(["card", "cash"]), **({"note": str(rng.random())} if number % 2 else {})}),
        )
        demonstrations.append(Shown(f"{number:02}", f"Refund {order}, please", actions, approved=True))
    playbook = learning.make("", demonstrations)
    look, pay = ({one.key: one for one in step(playbook, kind).arguments} for kind in ("look", "pay"))
    assert look["deep"].constant and look["deep"].values == ("true",)
    assert look["id"].source == "task" and not look["id"].constant and look["id"].values == ()
    assert pay["code"].source == "earlier" and set(pay["how"].values) == {"card", "cash"}
    assert (pay["note"].given.count, pay["note"].given.of, pay["note"].source) == (10, 20, "")


def test_experts_who_did_different_things_in_the_same_situation_are_shown_as_such() -> None:
    one = [shown(f"m{number}", "ab", task=f"Task {number}", expert=MARY) for number in range(4)]
    other = [shown(f"j{number}", "ac", task=f"task {number}", expert=JOHN) for number in range(3)]
    playbook = learning.make("", [*one, *other])
    contested = step(playbook, "a").contested
    assert contested is not None and contested.situations == 3 and contested.sides == (("b", 1), ("c", 1))
    assert playbook.experts == 2 and [way.experts for way in step(playbook, "a").branches[-1].ways] == [1, 1]


def test_one_expert_who_varies_contradicts_nobody() -> None:
    assert step(learning.make("", [shown(f"{letters}", letters, task="same", expert=MARY) for letters in ("ab", "ac", "abd")]), "a").contested is None


def test_types_of_one_demonstration_alone_are_seldom_and_no_steps() -> None:
    playbook = learning.make("", [*many(5, "ab"), shown("odd", "azb")])
    assert [one.type for one in playbook.steps] == [START, "a", "b"] and playbook.seldom == (("z", 1),)
    assert playbook.next(State("t", history=(Action("z"),))) == "b"


def test_a_playbook_comes_back_from_its_json_and_advises_the_same() -> None:
    failed = many(10, "axc")
    train = [*many(20, "abc", approved=True), *many(8, "acb", expert=MARY)]
    playbook = learning.make("refund", train, (), anti_patterns(train, failed), len(failed))
    again = Playbook.from_json(playbook.as_json())
    assert again == playbook and again.advice() == playbook.advice() and playbook.avoid[0].sure


def test_more_evidence_for_the_same_is_the_same_advice() -> None:
    assert learning.make("", many(10, "abc")).advice() == learning.make("", many(25, "abc")).advice()
    assert learning.make("", many(10, "abc")).advice() != learning.make("", many(10, "abd")).advice()


def test_the_same_demonstrations_in_another_order_make_the_same_playbook() -> None:
    train = [*many(9, "abcd"), *many(7, "acbd"), *many(5, "ad", task="urgent", approved=True)]
    shuffled = train.copy()
    random.Random(4).shuffle(shuffled)
    assert learning.make("", train).as_json() == learning.make("", shuffled).as_json()


def test_demonstrations_of_a_thousand_steps_are_looked_at_up_to_a_limit_that_is_told() -> None:
    rng = random.Random(9)
    train = [Shown(f"{number:03}", "t", tuple(Action(f"type {rng.randrange(8)}") for _ in range(1_000))) for number in range(20)]
    playbook = learning.make("", train)
    assert playbook.left_out == 20 * 800
    assert not any(way.after == END for one in playbook.steps for branch in one.branches for way in branch.ways)


def test_the_most_frequent_action_counts_the_end_too() -> None:
    assert learning.most_frequent([*many(3, "ab"), *many(2, "c")]) == END
    assert learning.most_frequent(many(2, "aaab")) == "a"
