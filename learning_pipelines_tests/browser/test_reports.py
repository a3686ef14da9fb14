"""The page Reports and the report as a page of its own, in a real browser.

Belongs here: what somebody sees and does there. Not here: numbers (reports/), routes (api/test_reports.py).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect

from learning_pipelines.reports.week import format_week
from learning_pipelines.storage import reports
from learning_pipelines.storage.report_queries import QUERIES
from learning_pipelines_tests.api.serving import Api
from learning_pipelines_tests.browser.conftest import Visit
from learning_pipelines_tests.reports.sample import MONDAY, numbers

EVIL = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module", autouse=True)
def two_reports(site: Api) -> Iterator[None]:
    """The organization default has two reports; another one has none."""
    with site.database.connect("pipeline") as connection:
        for monday in (MONDAY - dt.timedelta(days=7), MONDAY):
            found = {**numbers(), "organization": "default", "week": format_week(monday), "starts": monday.isoformat(),
                     "queries": dict.fromkeys(QUERIES, "SELECT count(*) FROM agent_feedback")}  # fmt: skip
            found["experiments"]["decided"][0]["name"] = EVIL
            reports.store(connection, "default", monday, found)
    yield


def test_the_list_leads_to_a_report_and_its_numbers_to_their_queries(visit: Visit) -> None:
    page = visit("/reports", role="user", user="ada")
    expect(page.get_by_role("heading", name="Week 2026-W47 · default")).to_be_visible()
    page.get_by_role("link", name="2026-W46").click()
    expect(page.get_by_role("heading", name="Week 2026-W46 · default")).to_be_focused()
    expect(page.get_by_text("Find out why the prompt of billing answers worse")).to_be_visible()
    page.get_by_role("region", name="Numbers of the week").get_by_role("link", name="20.6 %").click()
    expect(page.locator("#query-feedback")).to_be_focused()
    expect(page.get_by_text("SELECT count(*) FROM agent_feedback").first).to_be_visible()
    expect(page.get_by_text(EVIL)).to_be_visible()
    page.get_by_role("link", name="2, 1 still failing").click()
    expect(page.locator("#query-failures")).to_be_focused()
    assert page.url.endswith("#2026-W46")


def test_of_two_weeks_that_were_chosen_the_last_one_stays(visit: Visit) -> None:
    page = visit("/reports", role="user", user="ada")
    expect(page.get_by_role("heading", name="Week 2026-W47 · default")).to_be_visible()
    held: list[Route] = []
    page.route("**/reports/2026-W46", lambda route: held.append(route))
    page.get_by_role("link", name="2026-W46").click()
    expect(page.get_by_text("Reading week 2026-W46")).to_be_visible()
    page.get_by_role("link", name="2026-W47").click()
    expect(page.get_by_role("heading", name="Week 2026-W47 · default")).to_be_focused()
    held[0].continue_()
    page.wait_for_timeout(500)
    expect(page.get_by_role("heading", name="Week 2026-W47 · default")).to_be_visible()


def test_the_report_is_there_as_page_markdown_and_json(visit: Visit) -> None:
    page = visit("/reports#2026-W47", role="user", user="ada")
    for name, suffix, begins in (("HTML", "html", b"<!doctype html>"), ("Markdown", "md", b"# Week 2026-W47"), ("JSON", "json", b"{")):
        with page.expect_download() as waiting:
            page.get_by_role("link", name=name, exact=True).click()
        assert waiting.value.suggested_filename == f"learning-report-2026-W47.{suffix}"
        assert Path(waiting.value.path()).read_bytes().startswith(begins)


def test_an_organization_without_reports_is_told_how_to_make_one(site: Api, visit: Visit, shot: Callable[[Page, str], Path]) -> None:
    site.key("user", "quiet")
    page = visit("/reports", role="user", user="quinn", organization="quiet")
    expect(page.get_by_text("learning-pipelines run learning_report")).to_be_visible()
    shot(page, "reports-empty")


def test_page_and_report_are_without_barriers_in_light_and_dark_and_narrow(
    visit: Visit, axe: Callable[[Page], list[str]], shot: Callable[[Page, str], Path]
) -> None:
    for scheme in ("light", "dark"):
        page = visit("/reports", role="user", user="ada", color_scheme=scheme, viewport={"width": 1280, "height": 900})
        expect(page.get_by_role("heading", name="Week 2026-W47 · default")).to_be_visible()
        page.wait_for_load_state("networkidle")
        assert axe(page) == []
        shot(page, f"reports-{scheme}")
        page.goto(page.url.split("#")[0].replace("/reports", "/api/learning/reports/2026-W47/html"))
        assert axe(page) == []
        assert page.evaluate("getComputedStyle(document.querySelector('.cards')).display") == "grid"  # the policy lets its own styles through
        shot(page, f"report-{scheme}")
        for path in ("/reports", "/api/learning/reports/2026-W47/html"):
            page.set_viewport_size({"width": 320, "height": 800})
            page.goto(f"{page.url.split('/api/')[0].split('/reports')[0]}{path}")
            page.wait_for_load_state("networkidle")
            assert page.evaluate("document.documentElement.scrollWidth") <= 320
