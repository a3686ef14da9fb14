"""The dashboard's route: its numbers are those of a recount by hand, exact at once where that is cheap, and honest about what is behind where it is not.

Belongs here: the route. Not here: the page (browser/test_dashboard.py), computing days (feedback/, defs/).
"""

from __future__ import annotations

import datetime as dt
import random
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from learning_pipelines.feedback import statistics
from learning_pipelines.reports import dashboard
from learning_pipelines_tests.api.conftest import MakeSettings
from learning_pipelines_tests.api.reviewing import examples, expert, judge
from learning_pipelines_tests.api.serving import Api, make_agents, serving
from learning_pipelines_tests.conftest import MakeDatabase

NOW = dt.datetime.now(dt.UTC)
ISSUES = ("incorrect", "incomplete", "tone")
Rows = list[dict[str, Any]]


def rows(count: int = 240) -> tuple[Rows, Rows]:
    """Executions of two agents over 50 days, and feedback about half of them: stars with dimensions, thumbs, issues, corrections, some of it simulated."""
    seeded = random.Random(10)
    executions, feedback = [], []
    for number in range(count):
        agent = "desk" if number % 3 else "helper"
        moment = (NOW - dt.timedelta(days=seeded.randrange(50), minutes=1)).isoformat()
        executions.append({"execution_id": f"r{number}", "agent": agent, "input": "q", "output": "a", "created_at": moment})
        if seeded.random() < 0.5:
            continue
        kind = seeded.choice(("star_rating", "thumbs_up", "thumbs_down", "report_issue", "correction"))
        said: dict[str, Any] = {"feedback_id": f"f{number}", "execution_id": f"r{number}", "user": f"u{number % 7}", "feedback_type": kind}
        said["created_at"] = moment
        if kind == "star_rating":
            said |= {"rating": seeded.randint(1, 5), "dimensions": {"accuracy": seeded.randint(1, 5)}}
        if kind == "report_issue":
            said["issue_categories"] = seeded.sample(ISSUES, 2)
        if kind == "correction":
            said["correction_text"] = "Better."
        if number % 10 == 0:
            said["simulated"] = True
        feedback.append(said)
    return executions, feedback


def recount(executions: Rows, feedback: Rows, agent: str | None, days: int) -> dict[str, Any]:
    """The same numbers in the plainest way."""
    first = NOW.date() - dt.timedelta(days=days - 1)
    agents = {row["execution_id"]: row["agent"] for row in executions}

    def within(row: dict[str, Any], start: dt.date, end: dt.date) -> bool:
        return start <= dt.datetime.fromisoformat(row["created_at"]).date() <= end and agent in (None, agents[row["execution_id"]])

    ran = [row for row in executions if within(row, first, NOW.date())]
    said = [row for row in feedback if within(row, first, NOW.date())]
    earlier = [row for row in feedback if within(row, first - dt.timedelta(days=days), first - dt.timedelta(days=1))]
    stars = [row["rating"] for row in said if "rating" in row]
    now, before = (Counter(name for row in part for name in row.get("issue_categories", [])) for part in (said, earlier))
    answered = {row["execution_id"] for row in feedback} & {row["execution_id"] for row in ran}
    return {
        "executions": len(ran), "executions_with_feedback": len(answered), "feedback": len(said), "simulated": sum("simulated" in row for row in said),
        "mean": _mean(stars), "ratings": len(stars), "up": sum(row["feedback_type"] == "thumbs_up" for row in said),
        "down": sum(row["feedback_type"] == "thumbs_down" for row in said), "corrections": sum("correction_text" in row for row in said),
        "accuracy": _mean([row["dimensions"]["accuracy"] for row in said if "dimensions" in row]), "feedback_before": len(earlier),
        "issues": {name: (now[name], now[name] / sum(now.values()) if now else None, now[name] - before[name]) for name in {*now, *before}},
        "per_day": Counter(row["created_at"][:10] for row in said),
    }  # fmt: skip


def _mean(values: list[int]) -> float | None:
    return sum(values) / len(values) if values else None


def shown(answer: dict[str, Any]) -> dict[str, Any]:
    return {
        "executions": answer["executions"], "executions_with_feedback": answer["executions_with_feedback"], "feedback": answer["feedback"],
        "simulated": answer["simulated_feedback"], "mean": answer["average_rating"]["value"], "ratings": answer["average_rating"]["n"],
        "up": answer["thumbs_up"], "down": answer["thumbs_down"], "corrections": answer["corrections"], "accuracy": answer["dimensions"]["accuracy"]["mean"],
        "feedback_before": answer["before"]["feedback"], "issues": {row["category"]: (row["count"], row["share"], row["change"]) for row in answer["issues"]},
        "per_day": Counter({row["day"]: row["feedback"] for row in answer["trend"] if row["feedback"]}),
    }  # fmt: skip


@pytest.fixture(scope="module")
def said() -> tuple[Rows, Rows]:
    return rows()


@pytest.fixture(scope="module")
def api(make_database: MakeDatabase, make_settings: MakeSettings, said: tuple[Rows, Rows]) -> Iterator[Api]:
    """The rows of two agents of the organization default, and an organization without any."""
    with make_database() as database, serving(database, make_settings()) as running:
        key = running.key()
        running.key("user", "empty")
        make_agents(running, "default", "desk", "helper", "idle")
        for kind, lines in zip(("executions", "feedback"), said, strict=True):
            results = running.post(f"/{kind}/batch", {"items": lines}, key).json()["results"]
            assert {one["status"] for one in results} == {"stored"}
        yield running


@pytest.fixture(params=["before the days are computed", "after the days are computed"])
def whenever(request: pytest.FixtureRequest, api: Api) -> None:
    if request.param.startswith("after"):
        _catch_up(api)


@pytest.mark.parametrize("agent", [None, "desk", "helper"])
@pytest.mark.parametrize("days", [7, 30])
def test_the_numbers_are_those_of_a_recount(api: Api, said: tuple[Rows, Rows], whenever: None, agent: str | None, days: int) -> None:
    answer = api.get("/dashboard", api.key(), params={"days": days, **({"agent": agent} if agent else {})}).json()
    expected = recount(*said, agent, days)
    assert shown(answer) == expected | {"mean": pytest.approx(expected["mean"]), "accuracy": pytest.approx(expected["accuracy"])}
    assert answer["feedback_rate"]["value"] == pytest.approx(expected["executions_with_feedback"] / expected["executions"])
    assert answer["freshness"]["waiting_agents"] == 0
    assert len(answer["trend"]) == days


def test_every_agent_has_its_line_and_they_add_up(api: Api) -> None:
    answer = api.get("/dashboard", api.key()).json()
    assert [line["agent"] for line in answer["agents"]] == ["desk", "helper", "idle"]
    for name in ("executions", "feedback", "thumbs_up", "corrections"):
        assert sum(line[name] for line in answer["agents"]) == answer[name] > 0
    assert answer["agents"][2]["average_rating"] == {"value": None, "n": 0, "interval": None, "weighted": None}


def test_changes_that_are_too_many_to_count_at_once_are_said_to_wait_until_the_days_are_computed(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    _catch_up(api)
    before = api.get("/dashboard", api.key()).json()
    _say(api, 3)
    monkeypatch.setattr(dashboard, "LIVE_ENTRIES", 2)
    waiting = api.get("/dashboard", api.key()).json()
    assert waiting["thumbs_up"] == before["thumbs_up"]
    assert (waiting["freshness"]["waiting_agents"], waiting["freshness"]["waiting_entries_at_least"]) == (1, True)
    assert waiting["freshness"]["as_of"] is not None
    monkeypatch.undo()
    monkeypatch.setattr(dashboard, "LIVE_ROWS", 1)
    waiting = api.get("/dashboard", api.key()).json()
    assert (waiting["thumbs_up"], waiting["freshness"]["waiting_entries"], waiting["freshness"]["waiting_entries_at_least"]) == (before["thumbs_up"], 6, False)
    monkeypatch.undo()
    live = api.get("/dashboard", api.key()).json()
    assert (live["thumbs_up"], live["freshness"]["live_agents"]) == (before["thumbs_up"] + 3, 1)
    _catch_up(api)
    computed = api.get("/dashboard", api.key()).json()
    assert (computed["thumbs_up"], computed["freshness"]["live_agents"]) == (before["thumbs_up"] + 3, 0)


def test_agents_whose_outbox_holds_nothing_about_days_are_not_behind(api: Api) -> None:
    _catch_up(api)
    body = {"agent": "desk", "task_description": "File it.", "actions": [{"type": "open"}], "final_output": "Filed.", "demonstration_id": "d1"}
    assert api.post("/demonstrations", body, api.key("expert", user="edda")).status_code == 201
    freshness = api.get("/dashboard", api.key()).json()["freshness"]
    assert (freshness["waiting_agents"], freshness["live_agents"]) == (0, 0)


def test_examples_and_reviews_are_counted_per_agent(api: Api) -> None:
    def counts(agent: str) -> dict[str, int]:
        found: dict[str, int] = api.get("/dashboard", api.key(), params={"agent": agent}).json()["examples"]
        return found

    first, _ = examples(api, 2, "helper")
    assert (counts("helper"), counts("desk")["pending"]) == ({"pending": 2, "approved": 0, "collected_today": 2, "annotated_today": 0}, 0)
    assert judge(api, expert("edda"), first).status_code == 201
    assert counts("helper") == {"pending": 1, "approved": 1, "collected_today": 2, "annotated_today": 1}
    assert counts("desk")["annotated_today"] == 0
    everywhere, totals = api.get("/dashboard", api.key()).json()["examples"], api.get("/stats", api.key()).json()
    assert everywhere == {"pending": totals["pending_annotations"], "approved": totals["approved_examples"], "collected_today": 2, "annotated_today": 1}


def test_equal_numbers_have_the_same_etag_and_new_ones_another(api: Api) -> None:
    key = api.key()
    first = api.get("/dashboard", key)
    again = api.get("/dashboard", key, headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    _say(api, 1)
    assert api.get("/dashboard", key, headers={"If-None-Match": first.headers["ETag"]}).status_code == 200


def test_an_organization_without_agents_has_no_evidence_and_no_zeros_for_means(api: Api) -> None:
    answer = api.get("/dashboard", api.key("user", "empty")).json()
    assert (answer["agents"], answer["feedback_rate"]["value"], answer["average_rating"]["value"], answer["issues"]) == ([], None, None, [])


@pytest.mark.parametrize(("query", "status"), [("agent=gone", 404), ("agent=a%00b", 422), ("days=0", 422), ("days=367", 422), ("days=x", 422)])
def test_what_is_not_there_or_not_permitted_is_refused(api: Api, query: str, status: int) -> None:
    assert api.get(f"/dashboard?{query}", api.key()).status_code == status


@pytest.mark.parametrize("shares", [(0, 0, 0, 0.1, 0.9), (0.05, 0.1, 0.15, 0.3, 0.4), (0.5, 0, 0, 0, 0.5)])
@pytest.mark.parametrize("n", [2, 5, 12, 60])
def test_the_interval_of_the_average_rating_holds_the_true_mean(n: int, shares: tuple[float, ...]) -> None:
    stars = np.random.default_rng(11).choice(np.arange(1, 6), size=(4_000, n), p=shares)
    true = float(np.dot(np.arange(1, 6), shares))
    found = [dashboard._mean_interval(float(row.mean()), n, float((row**2).sum())) for row in stars]
    assert np.mean([low <= true <= high for low, high in found]) >= 0.93


def _catch_up(api: Api) -> None:
    with api.database.connect("pipeline") as connection:
        statistics.catch_up(connection, "UTC")


def _say(api: Api, count: int) -> None:
    """New executions of today, each with a thumb up."""
    key = api.key()
    names = [f"new-{dt.datetime.now(dt.UTC).timestamp()}-{number}" for number in range(count)]
    ran = [{"execution_id": name, "agent": "desk", "input": "q", "output": "a"} for name in names]
    assert api.post("/executions/batch", {"items": ran}, key).status_code == 200
    said = [{"execution_id": name, "user": "ada", "feedback_type": "thumbs_up"} for name in names]
    assert {one["status"] for one in api.post("/feedback/batch", {"items": said}, key).json()["results"]} == {"stored"}
