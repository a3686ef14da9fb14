"""The frame of every page: signing in and out, roles, theme, what happens when the session ends in the middle of work.

Belongs here: what all pages share. Not here: what one page shows.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from learning_pipelines.web import FILES, PAGES
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
    page = visit("/") if path == "/no-session" else visit(path, role="admin", user="ada")
    page.wait_for_selector("h1")
    page.wait_for_load_state("networkidle")
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        assert axe(page) == []
        shot(page, f"empty-{PAGES.get(path, 'sign-in')}-{scheme}")


@pytest.mark.parametrize(("role", "user"), [("user", "uma"), ("expert", "edda"), ("trainer", "tom")])
def test_a_page_that_is_not_for_a_role_says_so(role: str, user: str, visit: Visit) -> None:
    page = visit("/", role=role, user=user)
    expect(page.get_by_text(f"{user} · {role} · default")).to_be_visible()
    page.evaluate("""async () => {
        const { page } = await import("/api/learning/web/ui/shell.js");
        await page({ title: "Experts only", role: "expert", render: (main) => main.append("for experts") });
    }""")
    refused = page.get_by_role("alert").filter(has_text="This page needs the role expert")
    expect(refused).to_have_count(0 if role == "expert" else 1)
    expect(page.get_by_text("for experts")).to_have_count(1 if role == "expert" else 0)


def test_the_keyboard_reaches_everything_in_order(visit: Visit) -> None:
    page = visit("/reports", role="expert", user="edda")
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    order = []
    for _ in range(8):
        page.keyboard.press("Tab")
        order.append(page.evaluate("document.activeElement.textContent.split(':')[0]"))
    assert order[0] == "Skip to content" and order[1:6] == ["Dashboard", "Executions", "Annotate", "Training", "Reports"]
    assert page.evaluate("document.activeElement.matches(':focus-visible')")
    page.keyboard.press("Shift+Tab")
    page.get_by_role("link", name="Skip to content").focus()
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main" and page.url.endswith("/reports")


def test_after_signing_in_the_focus_is_on_the_page(site: Api, visit: Visit) -> None:
    page = visit("/reports")
    expect(page).to_have_title("Sign in · learning_pipelines")
    expect(page.get_by_label("API key")).to_be_focused()
    page.keyboard.type(site.key("expert", user="edda"))
    page.keyboard.press("Enter")
    expect(page.get_by_role("main")).to_be_focused()
    expect(page).to_have_title("Reports · learning_pipelines")


def test_the_theme_is_kept_and_other_tabs_follow(site: Api, visit: Visit) -> None:
    page = visit("/reports", role="user", user="uma", color_scheme="light")
    other = page.context.new_page()
    other.goto(f"{site.url}/reports")
    expect(other.get_by_role("button", name="Theme: auto")).to_be_visible()
    page.get_by_role("button", name="Theme: auto").click()
    page.get_by_role("button", name="Theme: light").click()
    expect(other.get_by_role("button", name="Theme: dark")).to_be_visible()
    page.reload()
    expect(page.get_by_role("button", name="Theme: dark")).to_be_visible()
    assert page.evaluate("getComputedStyle(document.documentElement).colorScheme") == "dark"


@pytest.mark.parametrize("path", [*PAGES, "/no-session"])
def test_at_320_pixels_nothing_scrolls_sideways(path: str, visit: Visit) -> None:
    viewport = {"width": 320, "height": 640}
    page = visit("/", viewport=viewport) if path == "/no-session" else visit(path, role="admin", user="ada-with-a-rather-long-name", viewport=viewport)
    page.wait_for_selector("h1")
    page.wait_for_load_state("networkidle")
    assert page.evaluate("document.documentElement.scrollWidth") <= 320


def test_agent_and_period_go_along_to_the_next_page(visit: Visit) -> None:
    page = visit("/reports?agent=helper&days=7&unit=x", role="admin", user="ada")
    expect(page.get_by_role("link", name="Executions")).to_have_attribute("href", "/executions?agent=helper&days=7")


def test_the_vendored_charts_are_those_of_npm(npm: Path) -> None:
    theirs = (npm / "chart.js" / "dist" / "chart.umd.min.js").read_text().splitlines()
    ours = (FILES / "vendor" / "chart.umd.min.js").read_text().splitlines()
    assert ours == [line for line in theirs if not line.startswith("//# sourceMappingURL")]
