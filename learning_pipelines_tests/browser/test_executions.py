"""The page Executions: filters in the address, older pages, one execution with everything about it, what each role sees.

Belongs here: what a person does on this page. Not here: which rows a filter chooses (api/test_executions_filtered.py).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from learning_pipelines_tests.api.serving import Api
from learning_pipelines_tests.browser.conftest import Visit

NOW = dt.datetime.now(dt.UTC).replace(microsecond=0)
SCRIPT = "<script>window.broken = true</script><img src=x onerror='window.broken = true'>"
MIXED = "Ist das 🧾 richtig? שלום, מתי להגיש את הדוח؟ 👩‍👩‍👧"
Axe, Shot = Callable[[Page], list[str]], Callable[[Page, str], Path]


def execution(number: int, **more: Any) -> dict[str, Any]:
    return {
        "execution_id": f"run-{number:02}", "agent": "desk" if number % 3 else "helper", "input": f"When is return {number} due?",
        "output": "On the tenth day of the following month.", "user": "ada" if number % 2 else "bob",
        "created_at": (NOW - dt.timedelta(hours=number)).isoformat(), "environment": "production", "prompt_version": "1",
    } | more  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def rows(site: Api) -> None:
    """Sixty executions; the newest of desk with everything there is."""
    whole = execution(
        1, input=f"{MIXED} {SCRIPT}", output=f"The return is due monthly. {SCRIPT}", session_id="s & 1", parent_id="run-02", tags=["vat", SCRIPT[:30]],
        messages=[{"role": "system", "content": "You are desk."}, {"role": "user", "content": [{"type": "text", "text": SCRIPT}]}],
        retrieved=[{"document_id": "vat", "rank": 1, "score": 0.734}, {"document_id": "gone", "rank": 2}], latency_ms=840.4, input_tokens=1200,
        output_tokens=85, cost_usd=0.0031, context={"experiment": "5f2d8e1c-0f5b-4d0e-9a53-0c8f3f0a7b11", "variant": "treatment", "channel": SCRIPT},
    )  # fmt: skip
    said: list[dict[str, Any]] = [
        {"feedback_type": "star_rating", "rating": 2, "user": "ada", "created_at": (NOW - dt.timedelta(minutes=50)).isoformat()},
        {"feedback_type": "detailed_feedback", "rating": 4, "user": "ada", "dimensions": {"accuracy": 4, "clarity": 2}, "feedback_text": f"{MIXED} {SCRIPT}",
         "issue_categories": ["outdated"], "created_at": (NOW - dt.timedelta(minutes=40)).isoformat()},
        {"feedback_type": "correction", "correction_text": f"The return is due quarterly. {SCRIPT}", "user": "bob"},
    ]  # fmt: skip
    key = site.key("expert")
    assert site.post("/documents", {"document_id": "vat", "title": "VAT returns", "text": f"Returns are filed monthly. {SCRIPT}"}, key).status_code == 201
    for path, items in (
        ("/executions/batch", [whole, *(execution(number) for number in range(2, 61))]),
        ("/feedback/batch", [{"execution_id": "run-01", **one} for one in said]),
    ):  # fmt: skip
        assert {one["status"] for one in site.post(path, {"items": items}, key).json()["results"]} == {"stored"}


def shown(page: Page) -> int:
    return page.locator("ol.plain > li:visible").count()


def test_older_executions_follow_until_there_are_no_more(visit: Visit) -> None:
    page = visit("/executions", role="expert", user="edda")
    expect(page.get_by_text("25 executions so far, newest first")).to_be_visible()
    page.get_by_role("button", name="Older").press("Enter")
    expect(page.get_by_text("50 executions so far")).to_be_visible()
    assert page.evaluate("document.activeElement.textContent") == "When is return 26 due?"  # the first of the new ones
    page.get_by_role("button", name="Older").click()
    expect(page.get_by_text("60 executions, newest first")).to_be_visible()
    expect(page.get_by_role("button", name="Older")).to_have_count(0)


def test_filters_stand_in_the_address_and_going_back_undoes_them(visit: Visit) -> None:
    page = visit("/executions?agent=helper", role="expert", user="edda")
    expect(page.get_by_label("Agent")).to_have_value("helper")
    expect(page.get_by_text("20 executions, newest first")).to_be_visible()
    page.get_by_label("Feedback").select_option("With")
    page.keyboard.press("Tab")
    page.get_by_role("button", name="Filter").press("Enter")
    expect(page.get_by_text("No execution fits these filters.")).to_be_visible()
    assert page.url.endswith("/executions?agent=helper&with_feedback=true")
    page.go_back()
    expect(page.get_by_text("20 executions, newest first")).to_be_visible()
    expect(page.get_by_label("Feedback")).to_have_value("")
    page.get_by_role("link", name="Clear all filters").click()
    expect(page.get_by_text("25 executions so far")).to_be_visible()


@pytest.mark.parametrize(("label", "value"), [("Rating", "1 to 4 stars"), ("Reported as", "outdated"), ("Correction", "With")])
def test_what_was_said_is_found_again(label: str, value: str, visit: Visit) -> None:
    page = visit("/executions?days=7", role="expert", user="edda")
    page.get_by_label(label).select_option(value)
    page.get_by_role("button", name="Filter").click()
    expect(page.get_by_text("1 execution, newest first")).to_be_visible()


def test_a_filter_that_is_refused_is_named_and_stays_as_it_was_typed(visit: Visit) -> None:
    page = visit("/executions", role="expert", user="edda")
    page.get_by_label("Agent").fill("long gone")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("agent")
    expect(page.get_by_label("Agent")).to_have_value("long gone")
    expect(page.get_by_label("Agent")).to_be_focused()
    page.get_by_label("Agent").fill("desk")
    page.keyboard.press("Enter")
    expect(page.get_by_text("25 executions so far")).to_be_visible()
    expect(page.get_by_role("alert")).to_have_count(0)


def test_a_day_of_the_address_that_is_none_is_named(visit: Visit) -> None:
    page = visit("/executions?after=2026-13-01", role="expert", user="edda")
    expect(page.get_by_role("alert")).to_contain_text("month value is outside expected range")
    expect(page.get_by_label("From day")).to_be_focused()


def test_what_became_of_feedback_is_asked_again_where_it_could_not_be_read(visit: Visit) -> None:
    page = visit("/executions?execution=run-01", role="expert", user="edda")
    page.route("**/lineage/feedback/**", lambda route: route.fulfill(status=422, json={"title": "Not read", "detail": "Not this time."}))
    summary = page.get_by_text("What became of it").first
    summary.click()
    expect(page.get_by_text("Not this time.")).to_be_visible()
    page.unroute("**/lineage/feedback/**")
    summary.click()
    summary.click()
    expect(page.get_by_text("Nothing has been learnt from it yet")).to_be_visible()
    expect(page.get_by_text("Not this time.")).to_have_count(0)


def test_one_execution_shows_everything_about_it_as_text(visit: Visit, axe: Axe, shot: Shot) -> None:
    for scheme in ("light", "dark"):
        page = visit("/executions?agent=desk", role="admin", user="ada", color_scheme=scheme)
        page.wait_for_selector("ol.plain > li")
        shot(page, f"executions-{scheme}")
        assert axe(page) == []
        page.locator("ol.plain a").first.click()
        expect(page.get_by_role("heading", name="Execution", level=1)).to_be_focused()
        expect(page.get_by_role("heading", name="Feedback (3)")).to_be_visible()
        for summary in page.locator("summary").all():
            summary.click()
        expect(page.get_by_text("Nothing has been learnt from it yet").first).to_be_visible()
        assert axe(page) == []
        shot(page, f"execution-{scheme}")
    body = page.locator("main").inner_text()
    for text in (MIXED, SCRIPT, "840 ms", "1,200 in, 85 out", "0.0031 US dollars", "accuracy 4 of 5, clarity 2 of 5", "You are desk.", "score 0.734"):
        assert text in body
    assert page.evaluate("window.broken") is None
    assert page.locator(".diff ins").inner_text() == "quarterly" and page.locator(".diff del").inner_text() == "monthly"
    expect(page.get_by_text("superseded: rating")).to_have_count(1)
    expect(page.get_by_text("Its text is not in the knowledge base any more.")).to_have_count(1)
    assert page.get_by_role("link", name="1", exact=True).get_attribute("href") == "/training?agent=desk&version=1"
    assert page.get_by_role("link", name="variant treatment").get_attribute("href") == "/training?agent=desk&experiment=5f2d8e1c-0f5b-4d0e-9a53-0c8f3f0a7b11"
    assert "/assets/agent_executions?view=overview" in (page.get_by_role("link", name="executions", exact=True).get_attribute("href") or "")
    examples = page.get_by_role("link", name="examples of the agent").get_attribute("href") or ""
    assert examples.endswith("/assets/learning_examples?view=partitions&partition=default%2Fdesk")
    page.get_by_role("link", name="s & 1").click()
    expect(page.get_by_text("1 execution, newest first")).to_be_visible()
    assert page.url.endswith("/executions?session_id=s+%26+1")


def test_a_person_sees_their_own_executions_and_what_they_said_themselves(visit: Visit) -> None:
    page = visit("/executions", role="user", user="ada")
    page.get_by_role("button", name="Older").click()
    expect(page.get_by_text("30 executions, newest first")).to_be_visible()
    page.goto(page.url.split("?")[0] + "?execution=run-01")
    expect(page.get_by_role("heading", name="Feedback (2)")).to_be_visible()
    expect(page.get_by_role("link", name="variant treatment")).to_have_count(0)
    page.goto(page.url.split("?")[0] + "?execution=run-02")
    expect(page.get_by_role("alert")).to_contain_text("execution")
    expect(page.get_by_text("it is not among those that you may see")).to_be_visible()


def test_a_narrow_screen_scrolls_one_way_only(visit: Visit, shot: Shot) -> None:
    for name, address in (("executions", "/executions?days=7"), ("execution", "/executions?execution=run-01")):
        page = visit(address, role="expert", user="edda", viewport={"width": 320, "height": 640})
        page.wait_for_selector("main .card")
        page.wait_for_load_state("networkidle")
        shot(page, f"{name}-narrow")
        assert page.evaluate("document.documentElement.scrollWidth") <= 320
