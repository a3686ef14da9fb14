"""<agent-output-card> in a real browser: what it shows of an execution, that nothing in it is ever run, and the feedback inside it.

Belongs here: the card. Not here: the controls of the widget (test_feedback_collector.py).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Page, expect

from learning_pipelines_tests.api.serving import Api
from learning_pipelines_tests.browser.conftest import Visit
from learning_pipelines_tests.browser.hosting import in_force, minted, ran

EXAMPLE = "/api/learning/web/elements/example.html"
RICH = "# Returns\n\nDue on the **10th**, see `VAT-1`.\n\n- one\n- two\n\n1. first\n2. second\n\n```\nfile(form)\n```\n\n[the office](https://example.org/a)"
EVIL = "<img src=x onerror=\"window.hacked = 1\"> [click](javascript:alert(1)) <script>window.hacked = 1</script> **<b>x</b>**"
SOURCES = [
    {"title": "VAT returns", "document_id": "vat", "score": 0.8125, "text": "VAT returns are due on the 10th.", "url": "https://example.org/vat"},
    {"chunk_id": "payroll-3", "rank": 2, "text": EVIL, "url": "javascript:alert(1)"},
]


def card(site: Api, visit: Visit, given: dict[str, str], **options: Any) -> Page:
    page = visit("/no-page", **options)
    page.goto(f"{site.url}{EXAMPLE}#{urlencode(given)}")
    expect(page.locator("agent-output-card feedback-collector button").first).to_be_visible()
    return page


def test_it_shows_what_was_asked_and_answered_by_what_and_how_fast(site: Api, visit: Visit) -> None:
    page = card(site, visit, {"input": "When?", "output": "On the **10th**.", "version": "4", "latency-ms": "1240", "agent-id": "desk"})
    for text in ("When?", "On the **10th**.", "Version 4", "Answered in 1.2 seconds", "Agent desk"):
        expect(page.get_by_text(text, exact=True)).to_be_visible()


def test_an_answer_of_the_service_is_taken_whole_with_its_sources(site: Api, visit: Visit) -> None:
    body = {"execution_id": "card-1", "agent": "desk", "input": "Asked?", "output": "Answered.", "latency_ms": 420, "user": "ada",
            "retrieved": [{"document_id": "vat", "rank": 1, "score": 0.75}]}  # fmt: skip
    assert site.post("/executions", body, site.key()).status_code == 201
    found = site.get("/executions/card-1", site.key()).json()
    page = card(site, visit, {"token": minted(site, "card-1")})
    page.evaluate("(found) => { document.querySelector('agent-output-card').execution = found; }", found)
    expect(page.get_by_text("Asked?")).to_be_visible()
    expect(page.get_by_text("Answered in 420 milliseconds")).to_be_visible()
    page.get_by_text("Sources (1)").click()
    expect(page.get_by_text("vat · Score 0.75")).to_be_visible()
    page.get_by_text("Correct the answer").click()
    expect(page.get_by_label("How it should read")).to_have_value("Answered.")


def test_feedback_inside_it_is_stored_and_heard_by_the_page(site: Api, visit: Visit) -> None:
    run = ran(site)
    page = card(site, visit, {"token": minted(site, run)})
    page.get_by_role("button", name="Not helpful").click()
    expect(page.locator("#events li", has_text="feedback-sent")).to_have_count(1)
    assert [one["type"] for one in in_force(site, run)] == ["thumbs_down"]


def test_rich_text_is_made_of_elements_and_what_is_no_plain_link_is_none(site: Api, visit: Visit) -> None:
    page = card(site, visit, {"output": RICH, "format": "rich"})
    output = page.locator("agent-output-card [part=output]")
    assert [output.locator(tag).count() for tag in ("strong", "ul li", "ol li", "pre code", "a")] == [2, 2, 2, 1, 1]
    expect(output.locator("a")).to_have_attribute("href", "https://example.org/a")
    expect(output.locator("pre")).to_have_text("file(form)\n")


@pytest.mark.parametrize("format", ["text", "rich"])
def test_scripts_in_any_text_are_text(format: str, site: Api, visit: Visit) -> None:
    page = card(site, visit, {"input": EVIL, "output": EVIL, "version": EVIL, "format": format})
    page.evaluate("(sources) => { document.querySelector('agent-output-card').sources = sources; }", SOURCES)
    page.get_by_text("Sources (2)").click()
    expect(page.locator("agent-output-card [part=output]")).to_contain_text('<img src=x onerror="window.hacked = 1">')
    expect(page.locator("agent-output-card [part=sources]")).to_contain_text("<script>window.hacked = 1</script>")
    assert page.locator("agent-output-card img, agent-output-card script, agent-output-card [part=output] b").count() == 0
    assert page.locator("agent-output-card a").evaluate_all("(links) => links.map((link) => link.href)") == ["https://example.org/vat"]
    assert page.evaluate("window.hacked") is None


@pytest.mark.parametrize(("scheme", "language"), [("light", "en"), ("dark", "de"), ("dark", "ar")])
def test_it_is_without_barriers(
    scheme: str, language: str, site: Api, visit: Visit, axe: Callable[[Page], list[str]], shot: Callable[[Page, str], Path]
) -> None:
    given = {"input": "When are VAT returns due?", "output": RICH, "format": "rich", "version": "4", "latency-ms": "1240", "agent-id": "desk", "lang": language,
             "token": minted(site, ran(site))}  # fmt: skip
    page = card(site, visit, given, color_scheme=scheme, viewport={"width": 720, "height": 900})
    page.evaluate("(sources) => { document.querySelector('agent-output-card').sources = sources; }", SOURCES)
    page.locator("agent-output-card [part=sources] > summary").click()
    assert axe(page) == []
    shot(page, f"agent-output-card-{scheme}-{language}")
