"""Routes of weekly reports: the list with its cursor, one, its files with the policy they need.

Belongs here: /reports and below. Not here: the numbers (reports/), the page (browser/test_reports.py).
"""

from __future__ import annotations

import datetime as dt

import pytest

from learning_pipelines.reports.page import content_policy, week_html
from learning_pipelines.reports.week import format_week
from learning_pipelines.storage import reports
from learning_pipelines_tests.api.serving import Api
from learning_pipelines_tests.reports.sample import MONDAY, numbers


@pytest.fixture
def three(api: Api) -> None:
    api.key()
    with api.database.connect("pipeline") as connection:
        for back in range(3):
            monday = MONDAY - dt.timedelta(weeks=back)
            reports.store(connection, "default", monday, {**numbers(), "week": format_week(monday), "starts": monday.isoformat()})


def test_the_list_is_newest_first_and_goes_on_where_it_ended(three: None, api: Api) -> None:
    first = api.get("/reports?limit=2", api.key()).json()
    assert ([one["week"] for one in first["reports"]], first["next_before"]) == (["2026-W47", "2026-W46"], "2026-W46")
    rest = api.get("/reports?limit=2&before=2026-W46", api.key()).json()
    assert ([one["week"] for one in rest["reports"]], rest["next_before"]) == (["2026-W45"], None)


def test_the_list_shows_the_numbers_at_the_top(three: None, api: Api) -> None:
    found = api.get("/reports?limit=1", api.key()).json()["reports"][0]
    assert (found["executions"], found["ratings"], found["approved"], found["adopted"], found["drift_alarms"]) == (3400, 350, 33, 1, 1)
    assert found["feedback_rate_interval"][0] < found["feedback_rate"] < found["feedback_rate_interval"][1]
    assert len(found["actions"]) == 3 and (found["starts"], found["ends"]) == ("2026-11-16", "2026-11-22")


def test_the_page_comes_with_the_policy_that_its_styles_need(three: None, api: Api) -> None:
    answer = api.get("/reports/2026-W47/html", api.key())
    assert answer.headers["Content-Security-Policy"] == content_policy()
    assert answer.text == week_html(api.get("/reports/2026-W47", api.key()).json(), api.settings.page_link)
    assert api.get("/reports/2026-W47/md", api.key()).text.startswith("# Week 2026-W47")
    assert api.get("/reports/2026-W47/json", api.key()).json()["week"] == "2026-W47"


def test_another_organization_sees_no_report(three: None, api: Api) -> None:
    other = api.key("admin", "other")
    assert api.get("/reports", other).json() == {"reports": [], "next_before": None}
    assert [api.get(f"/reports/2026-W47{form}", other).status_code for form in ("", "/html", "/md", "/json")] == [404] * 4


def test_what_is_no_week_or_no_form_is_named(three: None, api: Api) -> None:
    assert api.get("/reports?before=W47", api.key()).json()["field"] == "before"
    assert api.get("/reports/2026-W47/pdf", api.key()).status_code == 422


def test_a_report_of_an_earlier_version_says_so(api: Api) -> None:
    key = api.key()
    with api.database.connect("pipeline") as connection:
        old = {"week": "2026-W47", "executions": 1, "feedback": 0, "ratings": 0, "feedback_rate": 0.0, "avg_rating": None}
        reports.store(connection, "default", MONDAY, old)
    assert api.get("/reports/2026-W47", key).json()["executions"] == 1
    assert api.get("/reports/2026-W47/html", key).status_code == 409
    assert api.get("/reports", key).json()["reports"][0]["actions"] == []
