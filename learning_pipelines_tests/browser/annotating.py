"""Experts at the page Annotate, in a real browser.

Belongs here: steps that tests of the page share. Not here: assertions about one view, rows (api/reviewing.py).
"""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Page, expect

from learning_pipelines_tests.browser.conftest import Visit


def at_desk(visit: Visit, agent: str, user: str = "edda", query: str = "", **options: Any) -> Page:
    """The page of an agent's queue, with the first item on the desk."""
    page = visit(f"/annotate?agent={agent}{query}", role="expert", user=user, **options)
    expect(page.get_by_role("region", name="Item")).to_be_visible()
    return page


def at_hand(page: Page) -> str:
    """The id of the item on the desk."""
    return (page.locator(".about-item dd").last.text_content() or "").strip()


def choose(page: Page, verdict: str) -> None:
    page.get_by_role("radio", name=verdict).check()


def send(page: Page) -> None:
    """Sends the verdict and waits for what comes next."""
    page.get_by_role("button", name="Submit and take the next").click()
    expect(page.get_by_role("region", name="After your verdict")).to_be_visible()


def nothing_left(page: Page) -> None:
    expect(page.get_by_role("region", name="Nothing to review")).to_be_visible()


def other_item(page: Page, before: str) -> None:
    """Waits until another item than `before` is on the desk."""
    expect(page.locator(".about-item dd").last).not_to_have_text(before)
