"""The numbers of a week from real rows: each is what its query gives, the same data give the same bytes, and what has nothing behind it says so.

Belongs here: reports/week.py and what it is put together from. Not here: the asset (defs/test_reports.py), the page (test_page.py).
"""

from __future__ import annotations

import datetime as dt
import statistics as plain
from typing import Any, Literal
from zoneinfo import ZoneInfo

import orjson
import pytest
from psycopg.rows import dict_row

from learning_pipelines.feedback import statistics
from learning_pipelines.reports.files import FORMATS, content
from learning_pipelines.reports.week import week_numbers
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.incidents import Seen, record
from learning_pipelines_tests.conftest import Load
from learning_pipelines_tests.feedback.rows import execution, said
from learning_pipelines_tests.reports.weeks import MONDAY, week_of

UTC = ZoneInfo("UTC")
LINK = "http://127.0.0.1:8000"
WEEK = dt.timedelta(days=7)


def numbers_of(connection: Connection, monday: dt.date = MONDAY, zone: ZoneInfo = UTC) -> dict[str, Any]:
    statistics.catch_up(connection, str(zone))
    return week_numbers(connection, "default", monday, zone)


def asked(connection: Connection, numbers: dict[str, Any], query: str) -> list[dict[str, Any]]:
    """Runs a query of a report as it stands in it."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(numbers["queries"][query].encode()).fetchall()


@pytest.fixture
def two_weeks(load: Load) -> None:
    week_of(load, MONDAY - WEEK, executions=100, ratings=[5] * 30, issues={"tone": 2})
    week_of(load, MONDAY, executions=100, ratings=[2] * 20 + [4] * 20, issues={"tone": 20, "incorrect": 3})


def headline(numbers: dict[str, Any], key: str) -> dict[str, Any]:
    return next(one for one in numbers["headline"] if one["key"] == key)


def test_rate_and_rating_carry_count_interval_target_and_change(two_weeks: None, pipeline: Connection) -> None:
    numbers = numbers_of(pipeline)
    rate, rating = headline(numbers, "feedback_rate"), headline(numbers, "avg_rating")
    assert (rate["value"], rate["n"], rate["verdict"], rate["change"]) == (0.4, 100, "reached", pytest.approx(0.1))
    assert rate["interval"][0] < 0.4 < rate["interval"][1]
    assert (rating["value"], rating["n"], rating["verdict"], rating["change"], rating["change_verdict"]) == (3.0, 40, "missed", -2.0, "down")
    assert rate["change_verdict"] == "no evidence"


def test_complaints_rise_where_the_test_sees_it(two_weeks: None, pipeline: Connection) -> None:
    found = {one["category"]: (one["count"], one["before"], one["verdict"]) for one in numbers_of(pipeline)["issues"]}
    assert found == {"tone": (20, 2, "rising"), "incorrect": (3, 0, "no evidence")}


def test_every_number_names_a_query_that_gives_it(two_weeks: None, pipeline: Connection) -> None:
    numbers = numbers_of(pipeline)

    def named(value: Any) -> set[str]:
        if isinstance(value, dict):
            own = {str(text) for key, text in value.items() if key == "query" or key.endswith("_query")}
            return own.union(*(named(inner) for inner in value.values()))
        return set().union(*(named(inner) for inner in value)) if isinstance(value, list) else set()

    assert named({name: value for name, value in numbers.items() if name != "queries"}) <= set(numbers["queries"])
    (now, before) = asked(pipeline, numbers, "feedback")
    assert (now["period"], float(now["feedback_rate"]), float(now["avg_rating"])) == ("week", numbers["feedback_rate"], numbers["avg_rating"])
    assert float(before["avg_rating"]) == numbers["avg_rating"] - numbers["change"]["avg_rating"]
    assert {row["category"]: row["count"] for row in asked(pipeline, numbers, "issues")} == {one["category"]: one["count"] for one in numbers["issues"]}
    (agent,) = asked(pipeline, numbers, "agents")
    assert (agent["agent"], agent["executions"]) == (numbers["agents"][0]["agent"], numbers["agents"][0]["executions"])
    for query in numbers["queries"]:
        asked(pipeline, numbers, query)


def test_the_same_data_give_the_same_bytes_in_every_format(two_weeks: None, pipeline: Connection) -> None:
    first, again = numbers_of(pipeline), numbers_of(pipeline)
    stored = orjson.loads(orjson.dumps(again, option=orjson.OPT_SORT_KEYS))  # as the database gives it back: keys in another order
    for suffix in FORMATS:
        assert content(first, suffix, LINK) == content(stored, suffix, LINK)


def test_approved_examples_count_against_the_first_month_and_quarter(load: Load, pipeline: Connection) -> None:
    week_of(load, MONDAY, executions=1, ratings=[])
    load("examples", [
        {"example_id": f"x{place}", "agent": "desk", "input_text": f"Which form {place}?", "expected_output": "Form 1.", "review_status": "approved"}
        for place in range(3)
    ])  # fmt: skip
    pipeline.execute("UPDATE learning_examples SET created_at = '2024-06-10', reviewed_at = '2024-06-20'")
    pipeline.execute("UPDATE learning_examples SET reviewed_at = '2024-07-20' WHERE id = (SELECT min(id) FROM learning_examples)")

    def goals(monday: dt.date) -> list[tuple[str, int, str]]:
        return [(one["name"], one["approved"], one["verdict"]) for one in numbers_of(pipeline, monday)["milestones"]]

    assert goals(dt.date(2024, 6, 3)) == goals(dt.date(2024, 5, 27)) == []
    assert goals(dt.date(2024, 6, 17)) == [("first month", 2, "open"), ("first quarter", 2, "open")]
    assert goals(dt.date(2024, 7, 22)) == [("first month", 2, "missed"), ("first quarter", 3, "open")]
    assert goals(dt.date(2024, 9, 30)) == [("first month", 2, "missed"), ("first quarter", 3, "missed")]


def test_a_month_without_data_reads_no_evidence_everywhere_and_says_what_to_do(two_weeks: None, pipeline: Connection) -> None:
    numbers = numbers_of(pipeline, MONDAY + 8 * WEEK)
    assert all((one["value"], one["interval"], one["change"]) == (None, None, None) for one in numbers["headline"])
    assert headline(numbers, "feedback_rate")["verdict"] == "no evidence"
    assert [one["key"] for one in numbers["actions"]][:1] == ["connect"]
    weeks = {one["week"]: one["executions"] for one in numbers["history"]}
    assert len(weeks) == 13 and weeks["2024-W26"] == weeks["2024-W27"] == 100 and weeks["2024-W30"] == 0
    assert "no evidence" in content(numbers, "md", LINK).decode()
    assert "NaN" not in content(numbers, "html", LINK).decode()


def test_a_week_before_the_first_row_is_a_report_too(two_weeks: None, pipeline: Connection) -> None:
    numbers = numbers_of(pipeline, dt.date(2016, 1, 4))
    assert (numbers["executions"], numbers["milestones"], numbers["serving"], len(numbers["history"])) == (0, [], [], 13)
    for suffix in FORMATS:
        assert content(numbers, suffix, LINK)


def test_a_week_in_which_the_clock_is_changed_has_167_hours(load: Load, pipeline: Connection) -> None:
    berlin, monday = ZoneInfo("Europe/Berlin"), dt.date(2024, 3, 25)
    week_of(load, dt.date(2024, 1, 1), executions=1, ratings=[])
    load("executions", [execution("first", created_at="2024-03-24T23:00:00Z"), execution("last", created_at="2024-03-31T21:59:59Z"),
                        execution("before", created_at="2024-03-24T22:59:59Z"), execution("after", created_at="2024-03-31T22:00:00Z")])  # fmt: skip
    load("feedback", [said("f1", "last", "star_rating", user="ada", rating=4, created_at="2024-03-31T21:59:59Z")])
    numbers = numbers_of(pipeline, monday, berlin)
    assert (numbers["executions"], numbers["ratings"], numbers["timezone"]) == (2, 1, "Europe/Berlin")
    assert "2024-03-31T22:00:00" in numbers["queries"]["examples"].replace(" ", "T")


def test_the_interval_of_the_ratings_holds_their_mean(two_weeks: None, pipeline: Connection) -> None:
    numbers = numbers_of(pipeline)
    assert numbers["rating_interval"][0] < plain.mean([2] * 20 + [4] * 20) < numbers["rating_interval"][1]


def failures(numbers: dict[str, Any]) -> dict[str, int | None]:
    return {one["key"]: one["count"] for one in numbers["incidents"] if one["key"] in ("failing_checks", "failed_jobs")}


def test_failed_checks_and_jobs_are_counted_by_name_in_every_week_in_which_they_failed(two_weeks: None, pipeline: Connection) -> None:
    def seen(check: str, day: int, *, kind: Literal["check", "run"] = "check", failed: bool = True, run: str = "r1", organization: str = "default") -> Seen:
        return Seen(organization, kind, check, "", failed, dt.datetime(2024, 7, day, 12, tzinfo=UTC), run)

    record(pipeline, [
        seen("a:repaired", 1), seen("a:repaired", 2, failed=False), seen("a:repaired", 3, run="r2"), seen("a:repaired", 4, failed=False),
        seen("a:since", 5), seen("refresh", 7, kind="run"), seen("fine", 16, kind="run", failed=False), seen("a:theirs", 3, organization="nobody"),
    ])  # fmt: skip
    numbers = numbers_of(pipeline)
    assert failures(numbers) == {"failing_checks": 3, "failed_jobs": 1}
    named = {one["name"]: (one["count"], one["still_failing"]) for incident in numbers["incidents"] for one in incident["by_name"]}
    assert named == {"a:repaired": (2, 0), "a:since": (1, 1), "refresh": (1, 0)}
    assert {row["name"]: (row["count"], row["still_failing"]) for row in asked(pipeline, numbers, "failures")} == named
    (row,) = asked(pipeline, numbers, "incidents")
    assert (row["failing_checks"], row["failed_jobs"]) == (3, 1)
    assert failures(numbers_of(pipeline, MONDAY + WEEK)) == {"failing_checks": 1, "failed_jobs": 0}
    for suffix in FORMATS:
        page = content(numbers, suffix, LINK).decode()
        assert all(name in page for name in named) and ("1, 1 still failing" in page or suffix == "json")


def test_weeks_in_which_no_run_was_looked_at_have_no_evidence_of_failures_instead_of_0(two_weeks: None, pipeline: Connection) -> None:
    record(pipeline, [Seen("default", "run", "refresh", "", False, dt.datetime(2024, 7, 3, 12, tzinfo=UTC), "r1")])
    assert failures(numbers_of(pipeline)) == {"failing_checks": 0, "failed_jobs": 0}
    for monday in (MONDAY - WEEK, MONDAY + WEEK):
        numbers = numbers_of(pipeline, monday)
        assert failures(numbers) == {"failing_checks": None, "failed_jobs": None}
        assert "Runs of jobs that failed and were not tried again: no evidence" in content(numbers, "md", LINK).decode()
