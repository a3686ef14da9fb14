"""The frame of every page: signing in and out, roles, theme, what happens when the session ends in the middle of work.

Belongs here: what all pages share. Not here: what one page shows.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from learning_pipelines.web import PAGES
from learning_pipelines_tests.api.serving import Api
from learning_pipelines_tests.browser.conftest import Visit


def test_an_api_key_signs_in_and_signing_out_ends_it(site: Api, visit: Visit) -> None:
    page = visit("/")
    page.get_by_label("API key").fill(site.key("expert", user="edda"))
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Dashboard", level=1)).to_be_visible()
    expect(page.get_by_text("edda · expert · default")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("API key")).to_be_visible()


def test_a_wrong_key_is_told_and_what_was_typed_stays(visit: Visit) -> None:
    page = visit("/")
    page.get_by_label("API key").fill("lp_default_wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("There is no such key, or it was revoked.")
    expect(page.get_by_label("API key")).to_have_value("lp_default_wrong")


def test_the_page_and_its_files_hold_no_key(site: Api, visit: Visit) -> None:
    page = visit("/")
    page.get_by_label("API key").fill(site.key("admin"))
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Sign out")).to_be_visible()
    assert "lp_default_" not in page.content()
    assert page.evaluate("document.cookie") == ""


@pytest.mark.parametrize("path", [*PAGES, "/no-session"])
def test_every_page_is_without_barriers(path: str, visit: Visit, axe: Callable[[Page], list[str]], shot: Callable[[Page, str], Path]) -> None:
    for scheme in ("light", "dark"):
        page = visit("/", color_scheme=scheme) if path == "/no-session" else visit(path, role="admin", user="ada", color_scheme=scheme)
        page.wait_for_selector("h1")
        page.wait_for_load_state("networkidle")
        assert axe(page) == []
        shot(page, f"empty-{PAGES.get(path, 'sign-in')}-{scheme}")
