"""Sessions that end in the middle of work, two tabs, an address that asks too often, a service that is away.

Belongs here: ui/session.js. Not here: the rest of the frame (test_shell.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from learning_pipelines.api.limits import Limits
from learning_pipelines_tests.api.serving import Api
from learning_pipelines_tests.browser.conftest import Visit

_WORK = """() => {
    const send = async () => {
        try { said.textContent = "kept: " + (await window.client.request("POST", "/annotations/queue/next", { body: { limit: 1 } })).total; }
        catch (error) { said.textContent = error.message; }
    };
    const said = document.createElement("output");
    said.setAttribute("aria-label", "Said");
    const typed = document.createElement("textarea");
    typed.setAttribute("aria-label", "Notes");
    const button = document.createElement("button");
    button.textContent = "Send";
    button.addEventListener("click", send);
    document.querySelector("main").append(typed, button, said);
}"""
_CONTEXT = """async () => {
    const { LearningClient } = await import("/api/learning/web/client/learning.js");
    const { keepSignedIn, signedIn } = await import("/api/learning/web/ui/session.js");
    window.client = new LearningClient({ baseUrl: location.origin });
    keepSignedIn(window.client, await signedIn(window.client));
}"""


def at_work(page: Page) -> Page:
    """A page on which an expert has typed something that is not sent yet."""
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    page.evaluate(_CONTEXT)
    page.evaluate(_WORK)
    page.get_by_label("Notes").fill("half a thought")
    return page


def sign_in(page: Page, key: str) -> None:
    page.get_by_label("API key").fill(key)
    page.keyboard.press("Enter")


def kept(page: Page) -> None:
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.get_by_label("Said")).to_contain_text("kept: ")
    expect(page.get_by_label("Notes")).to_have_value("half a thought")


def test_an_expired_session_is_made_anew_over_the_page_and_the_request_repeated(
    site: Api, visit: Visit, axe: Callable[[Page], list[str]], shot: Callable[[Page, str], Path]
) -> None:
    page = at_work(visit("/reports", role="expert", user="edda"))
    page.context.clear_cookies()
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_role("dialog", name="Your session has ended")).to_be_visible()
    expect(page.get_by_label("API key")).to_be_focused()
    assert axe(page) == []
    shot(page, "session-ended")
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_visible()
    sign_in(page, site.key("expert", user="edda"))
    kept(page)
    expect(page.get_by_role("button", name="Send")).to_be_focused()


def test_a_session_ends_with_its_key_and_the_revoked_key_does_not_open_another(site: Api, visit: Visit) -> None:
    page, key = visit("/reports"), site.key("expert", user="edda")
    sign_in(page, key)
    expect(page.get_by_role("button", name="Sign out")).to_be_visible()  # revoked any earlier, it would not have opened this session
    at_work(page)
    site.revoke(key)
    page.get_by_role("button", name="Send").click()
    sign_in(page, key)
    expect(page.get_by_role("dialog").get_by_role("alert")).to_contain_text("There is no such key, or it was revoked.")
    sign_in(page, site.key("expert", user="edda"))
    kept(page)


def test_nothing_is_sent_in_the_name_of_somebody_else(site: Api, visit: Visit) -> None:
    page = at_work(visit("/reports", role="expert", user="edda"))
    page.context.clear_cookies()
    page.get_by_role("button", name="Send").click()
    sign_in(page, site.key("expert", user="egon"))
    expect(page.get_by_role("alert")).to_contain_text("This browser is now signed in as egon (expert), and this page was opened as edda (expert).")
    expect(page.get_by_label("Said")).to_have_text("")
    sign_in(page, site.key("expert", user="edda"))
    kept(page)


def test_signing_out_in_one_tab_makes_the_other_ask(site: Api, visit: Visit) -> None:
    page = at_work(visit("/reports", role="expert", user="edda"))
    other = page.context.new_page()
    other.goto(f"{site.url}/reports")
    other.get_by_role("button", name="Sign out").click()
    expect(other.get_by_label("API key")).to_be_visible()
    expect(page.get_by_role("dialog", name="Your session has ended")).to_be_visible()
    sign_in(other, site.key("expert", user="edda"))
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.get_by_role("button", name="Send").click()
    kept(page)


def test_a_new_csrf_token_of_the_same_person_does_not_break_the_other_tab(site: Api, visit: Visit) -> None:
    page = at_work(visit("/reports", role="expert", user="edda"))
    anew = site.post("/session", {}, site.key("expert", user="edda")).cookies["learning_session"]
    page.context.add_cookies([{"name": "learning_session", "value": anew, "url": site.url, "httpOnly": True}])
    page.get_by_role("button", name="Send").click()
    kept(page)


@pytest.fixture
def impatient(site: Api) -> Iterator[None]:
    """Two refused attempts per address and a window of seconds."""
    before = site.service.limits
    site.service.limits = Limits("address=2/5second")
    yield
    site.service.limits = before


def test_too_many_attempts_are_told_with_the_time_to_wait(impatient: None, visit: Visit) -> None:
    page = visit("/reports")
    for _ in range(2):
        sign_in(page, "lp_default_wrong")
        expect(page.get_by_role("alert")).to_be_visible()
    expect(page.get_by_role("alert")).to_contain_text("There were too many attempts from this address. Try again in")
    expect(page.get_by_role("alert")).to_contain_text("second")
    expect(page.get_by_role("button", name="Sign in")).to_be_disabled()
    expect(page.get_by_label("API key")).to_have_value("lp_default_wrong")
    expect(page.get_by_role("button", name="Sign in")).to_be_enabled(timeout=10_000)


def test_a_service_that_is_away_is_told_and_what_was_typed_stays(site: Api, visit: Visit) -> None:
    page = at_work(visit("/reports", role="expert", user="edda"))
    page.context.set_offline(True)
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_label("Said")).to_contain_text("cannot be reached")
    expect(page.get_by_label("Notes")).to_have_value("half a thought")
    page.context.set_offline(False)
    page.get_by_role("button", name="Send").click()
    kept(page)


def test_a_page_that_cannot_ask_whose_session_it_is_offers_to_try_again(visit: Visit) -> None:
    page = visit("/reports", role="expert", user="edda")
    page.route("**/api/learning/session", lambda route: route.abort())
    page.reload()
    expect(page.get_by_role("alert")).to_contain_text("cannot be reached. Check that the service runs, then try again.")
    page.unroute_all()
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_text("edda · expert · default")).to_be_visible()
