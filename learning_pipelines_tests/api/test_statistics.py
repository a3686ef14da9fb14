"""What people said, as the service shows it: exact at once, the same before and after the daily computation.

Belongs here: statistics, issues and the overview over HTTP. Not here: computing days (feedback/, defs/).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any

import pytest

from learning_pipelines.feedback import statistics
from learning_pipelines_tests.api.conftest import MakeSettings
from learning_pipelines_tests.api.serving import Api, make_agents, serving
from learning_pipelines_tests.conftest import MakeDatabase

NOW = dt.datetime.now(dt.UTC)


def days_ago(days: float) -> str:
    return (NOW - dt.timedelta(days=days)).isoformat()


@pytest.fixture(scope="module")
def api(make_database: MakeDatabase, make_settings: MakeSettings) -> Iterator[Api]:
    """Ten executions of desk: five with feedback of ada today, one of 40 days ago; helper has none."""
    with make_database() as database, serving(database, make_settings()) as running:
        key = running.key()
        make_agents(running, "default", "desk", "helper")
        for number in range(10):
            body = {"execution_id": f"r{number}", "agent": "desk", "input": "q", "output": "a", "created_at": days_ago(40 if number == 9 else 0)}
            assert running.post("/executions", body, key).status_code == 201
        for said in (
            {"execution_id": "r0", "feedback_type": "star_rating", "rating": 5, "dimensions": {"accuracy": 4}},
            {"execution_id": "r1", "feedback_type": "star_rating", "rating": 2, "dimensions": {"accuracy": 2, "clarity": 1}},
            {"execution_id": "r2", "feedback_type": "thumbs_up"},
            {"execution_id": "r2", "feedback_type": "thumbs_down", "created_at": days_ago(0.01)},
            {"execution_id": "r3", "feedback_type": "report_issue", "issue_categories": ["tone", "incorrect"]},
            {"execution_id": "r4", "feedback_type": "correction", "correction_text": "b", "issue_categories": ["incorrect"]},
            {"execution_id": "r9", "feedback_type": "report_issue", "issue_categories": ["tone", "outdated"], "created_at": days_ago(40)},
            {"execution_id": "unknown", "agent": "desk", "feedback_type": "thumbs_up"},
        ):
            assert running.post("/feedback", {"user": "ada", **said}, key).status_code == 201, said
        yield running


@pytest.fixture(params=["before the days are computed", "after the days are computed"])
def whenever(request: pytest.FixtureRequest, api: Api) -> None:
    if request.param.startswith("after"):
        with api.database.connect("pipeline") as connection:
            statistics.catch_up(connection, "UTC")


def test_statistics_count_what_is_in_force(api: Api, whenever: None) -> None:
    found = api.get("/feedback/stats/desk?days=30", api.key()).json()
    period = found.pop("period")
    expected: dict[str, Any] = {
        "total_feedback": 5, "avg_rating": 3.5, "ratings": 2, "dimensions": {"accuracy": 3.0, "helpfulness": None, "clarity": 1.0, "completeness": None},
        "thumbs_up": 1, "thumbs_down": 0, "corrections": 1, "feedback_rate": 5 / 9, "executions": 9, "simulated_feedback": 0,
    }  # fmt: skip
    assert {name: found[name] for name in expected} == expected
    assert period["days"] == 30


def test_a_longer_period_counts_older_days(api: Api, whenever: None) -> None:
    found = api.get("/feedback/stats/desk?days=50", api.key()).json()
    assert (found["total_feedback"], found["executions"]) == (6, 10)


def test_an_agent_without_feedback_has_no_mean_and_not_a_mean_of_zero(api: Api) -> None:
    found = api.get("/feedback/stats/helper", api.key()).json()
    assert (found["total_feedback"], found["avg_rating"], found["feedback_rate"]) == (0, None, None)


def test_issues_are_counted_with_their_share_and_their_change(api: Api, whenever: None) -> None:
    found = api.get("/feedback/issues/desk?days=30", api.key()).json()["issues"]
    assert found == [{"category": "incorrect", "count": 2, "share": 2 / 3, "change": 2}, {"category": "tone", "count": 1, "share": 1 / 3, "change": 0}]
    assert api.get("/feedback/issues/desk?days=30&limit=1", api.key()).json()["issues"] == found[:1]


def test_an_agent_goes_by_its_slug_and_its_uuid(api: Api) -> None:
    with api.database.connect("pipeline") as connection:
        row = connection.execute("SELECT id FROM agents WHERE slug = 'desk'").fetchone()
    assert row is not None
    key = api.key()
    assert api.get(f"/feedback/stats/{row[0]}", key).json() == api.get("/feedback/stats/desk", key).json()


@pytest.mark.parametrize(
    ("path", "field"), [("/feedback/stats/nobody", "agent_id"), ("/feedback/stats/desk?days=0", "days"), ("/feedback/issues/desk?limit=x", "limit")]
)
def test_what_cannot_be_shown_is_named(api: Api, path: str, field: str) -> None:
    answer = api.get(path, api.key())
    assert (answer.status_code in (404, 422), answer.json()["field"]) == (True, field)


def test_the_overview_counts_the_organization_for_every_role(api: Api) -> None:
    found = api.get("/stats", api.key()).json()
    assert (found["agents"], found["approved_examples"], found["annotated_today"]) == (2, 0, 0)


def test_a_report_that_was_not_made_yet_says_when_it_will_be(api: Api) -> None:
    answer = api.get("/reports/2026-W01", api.key())
    assert (answer.status_code, answer.json()["field"]) == (404, "week")
    assert api.get("/reports/2026-W99", api.key()).status_code == 422
