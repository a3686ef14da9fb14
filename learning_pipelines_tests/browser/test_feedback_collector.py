"""<feedback-collector> in a real browser against the real service: every control, every mishap, and what the database holds afterwards.

Belongs here: what people do to the widget. Not here: the card around it (test_agent_output_card.py), the route it reads (api/test_own_feedback.py).
"""

from __future__ import annotations

import gzip
import itertools
import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from learning_pipelines.examples.datasets import refresh_dataset
from learning_pipelines.examples.refresh import refresh_examples
from learning_pipelines.prompts.registry import add_learnt
from learning_pipelines.settings import Settings
from learning_pipelines.storage import prompts, versions
from learning_pipelines.storage.tenants import agents
from learning_pipelines.web import FILES
from learning_pipelines_tests.api.serving import Api
from learning_pipelines_tests.browser.conftest import Visit
from learning_pipelines_tests.browser.hosting import ANSWER, Host, events, hosting, in_force, minted, ran, stored
from learning_pipelines_tests.examples.approved import SHARES, TEXT_ONLY

EXAMPLE = "/api/learning/web/elements/example.html"
MINE, GIVE = "**/feedback/mine*", "**/api/learning/feedback"
SAVED = "Saved. Thank you!"
Open = Callable[..., Page]


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    with hosting() as running:
        yield running


@pytest.fixture(scope="module")
def site_settings(tmp_path_factory: pytest.TempPathFactory, host: Host) -> Settings:
    limits = "key=100000/second,user=100000/second,address=100000/second"
    return Settings(home=tmp_path_factory.mktemp("site"), database_url=None, rate_limits=limits, cors_origins=host.url)


@pytest.fixture
def run(site: Api) -> str:
    return ran(site)


@pytest.fixture
def open_widget(site: Api, visit: Visit) -> Open:
    """Opens the example page with the widget for an execution, as a user (None: nobody in particular)."""

    def open_page(run: str, user: str | None = "ada", token: str | None = None, more: dict[str, str] | None = None, **options: Any) -> Page:
        given = {"element": "feedback-collector", "output": ANSWER, "token": minted(site, run, user) if token is None else token, **(more or {})}
        page = visit("/no-page", **options)
        show(site, page, given)
        return page

    return open_page


def show(site: Api, page: Page, given: dict[str, str]) -> None:
    """Opens the example page, and waits for what is known already where there is a token to ask with."""
    address = f"{site.url}{EXAMPLE}#{urlencode(given)}"
    if given["token"].startswith("ey"):
        with page.expect_response(MINE):
            page.goto(address)
    else:
        page.goto(address)
    expect(page.locator("feedback-collector button").first).to_be_visible()


def said(page: Page, text: str = SAVED) -> None:
    expect(page.get_by_role("status")).to_contain_text(text)


def thumb(page: Page, name: str = "Helpful") -> Locator:
    return page.get_by_role("button", name=name, exact=True)


def star(page: Page, number: int, group: str = "Your rating") -> Locator:
    return page.get_by_role("group", name=group).get_by_label(f"{number} of 5 stars")


def sent(page: Page, times: int) -> None:
    expect(page.locator("#events li", has_text="feedback-sent")).to_have_count(times)


def eventually(page: Page, holds: Callable[[], bool]) -> None:
    """Waits for something outside of what the page shows."""
    for _ in range(100):
        if holds():
            return
        page.wait_for_timeout(50)
    assert holds()


def waiting(page: Page) -> list[str]:
    """What the browser keeps of unsent feedback, as it keeps it."""
    found: list[str] = page.evaluate("Object.entries(localStorage).filter(([key]) => key.startsWith('learning-feedback:')).map(([, text]) => text)")
    return found


def everything(site: Api, run: str) -> None:
    """What the tests of all controls say is in force: one row for each facet, and the comment."""
    rows = {one["type"]: one for one in in_force(site, run)}
    assert len(in_force(site, run)) == 5
    assert set(rows) == {"thumbs_down", "star_rating", "report_issue", "detailed_feedback", "correction"}
    assert [rows["star_rating"][name] for name in ("rating", "accuracy", "helpfulness", "clarity", "completeness")] == [2, 1, 2, 3, 4]
    assert rows["report_issue"]["issues"] == ["incorrect", "outdated"]
    assert rows["detailed_feedback"]["comment"] == "The date is wrong."
    assert rows["correction"]["correction"] == ANSWER.replace("10th", "12th")


def test_every_control_works_by_mouse(site: Api, run: str, open_widget: Open) -> None:
    page = open_widget(run)
    thumb(page, "Not helpful").click()
    expect(thumb(page, "Not helpful")).to_have_attribute("aria-pressed", "true")
    star(page, 2).click()
    page.get_by_text("Rate in detail").click()
    for stars, name in enumerate(("Accuracy", "Helpfulness", "Clarity", "Completeness"), start=1):
        star(page, stars, name).click()
    page.get_by_label("Incorrect").check()
    page.get_by_label("Outdated").check()
    page.get_by_label("Comment").fill("The date is wrong.")
    page.get_by_role("button", name="Send", exact=True).click()
    page.get_by_text("Correct the answer").click()
    page.get_by_label("How it should read").fill(ANSWER.replace("10th", "12th"))
    expect(page.locator("feedback-collector del")).to_have_text("10th")
    expect(page.locator("feedback-collector ins")).to_have_text("12th")
    page.get_by_role("button", name="Send correction").click()
    sent(page, 5)
    everything(site, run)


def test_every_control_works_by_keyboard_alone(site: Api, run: str, open_widget: Open) -> None:
    page = open_widget(run)
    page.get_by_label("Token").focus()
    keys = (
        ["Tab"] * 3 + ["Enter"]  # the button of the page, Helpful, Not helpful
        + ["Tab", "Space", "ArrowRight"]  # two stars
        + ["Tab", "Enter"]  # Rate in detail
        + [key for stars in (1, 2, 3, 4) for key in ("Tab", "Space", *["ArrowRight"] * (stars - 1))]
        + ["Tab", "Space", "Tab", "Tab", "Tab", "Tab", "Space"]  # Incorrect, Outdated
        + ["Tab"] * 4
    )  # fmt: skip
    for key in keys:
        page.keyboard.press(key)
    page.keyboard.type("The date is wrong.")
    for key in ("Tab", "Enter", "Tab", "Enter", "Tab", "Control+a"):  # Send, Correct the answer, the editor
        page.keyboard.press(key)
    page.keyboard.type(ANSWER.replace("10th", "12th"))
    expect(page.locator("feedback-collector ins")).to_have_text("12th")
    for key in ("Tab", "Tab", "Enter"):  # the differences, Send correction
        page.keyboard.press(key)
    sent(page, 5)
    everything(site, run)


def test_reset_shows_the_answer_again_and_sending_it_unchanged_sends_nothing(site: Api, run: str, open_widget: Open) -> None:
    page = open_widget(run)
    page.get_by_text("Correct the answer").click()
    editor = page.get_by_label("How it should read")
    expect(editor).to_have_value(ANSWER)
    editor.fill("Something else.")
    page.get_by_role("button", name="Reset").click()
    expect(editor).to_have_value(ANSWER)
    page.get_by_role("button", name="Send correction").click()
    said(page, "Nothing to send")
    assert stored(site, run) == 0


def test_a_change_of_mind_and_back_leaves_one_row_in_force_and_nothing_when_taken_back(site: Api, run: str, open_widget: Open) -> None:
    page = open_widget(run)
    for place, name in enumerate(("Helpful", "Not helpful", "Helpful"), start=1):
        thumb(page, name).click()
        sent(page, place)
    assert [one["type"] for one in in_force(site, run)] == ["thumbs_up"] and stored(site, run) == 3
    page.wait_for_timeout(600)  # the next press is no second half of a double click
    thumb(page).click()
    said(page, "Taken back.")
    expect(thumb(page)).to_have_attribute("aria-pressed", "false")
    assert in_force(site, run) == []


def test_issues_are_asked_for_where_something_is_wrong_and_go_when_it_is_not(site: Api, run: str, open_widget: Open) -> None:
    page = open_widget(run)
    issue = page.get_by_label("Unclear")
    expect(issue).to_be_hidden()
    star(page, 3).click()
    issue.check()
    sent(page, 2)
    star(page, 5).click()
    expect(issue).to_be_hidden()
    sent(page, 4)
    assert [(one["type"], one.get("rating")) for one in in_force(site, run)] == [("star_rating", 5)]


def test_a_correction_is_replaced_and_taken_back(site: Api, run: str, open_widget: Open) -> None:
    page = open_widget(run)
    page.get_by_text("Correct the answer").click()
    for place, text in enumerate(("On the 11th.", "On the 12th."), start=1):
        page.get_by_label("How it should read").fill(text)
        page.get_by_role("button", name="Send correction").click()
        sent(page, place)
    assert [one["correction"] for one in in_force(site, run)] == ["On the 12th."]
    page.get_by_role("button", name="Take back").click()
    said(page, "Taken back.")
    expect(page.get_by_label("How it should read")).to_have_value(ANSWER)
    assert in_force(site, run) == []


def test_a_double_click_is_one_click(site: Api, run: str, open_widget: Open) -> None:
    page = open_widget(run)
    thumb(page).dblclick()
    star(page, 4).dblclick()
    page.get_by_label("Comment").fill("Good.")
    page.get_by_role("button", name="Send", exact=True).dblclick()
    sent(page, 3)
    assert [one["type"] for one in in_force(site, run)] == ["thumbs_up", "detailed_feedback", "star_rating"] and stored(site, run) == 3


def test_offline_it_is_kept_and_sent_when_the_network_is_back(site: Api, run: str, open_widget: Open) -> None:
    token = minted(site, run)
    page = open_widget(run, token=token)
    page.context.set_offline(True)
    thumb(page, "Not helpful").click()
    star(page, 1).click()
    said(page, "Kept on this device")
    eventually(page, lambda: len(waiting(page)) == 2)
    kept = " ".join(waiting(page))
    assert token not in kept and token.split(".")[1] not in kept and "ada" not in kept
    assert stored(site, run) == 0
    page.context.set_offline(False)
    said(page)
    sent(page, 2)
    assert [one["type"] for one in in_force(site, run)] == ["thumbs_down", "star_rating"] and waiting(page) == []
    assert events(page).count("feedback-queued") >= 1


def test_what_waits_outlives_the_page_and_is_shown_and_sent_by_the_next_one(site: Api, run: str, open_widget: Open) -> None:
    page = open_widget(run)
    page.route(GIVE, lambda route: route.abort())
    thumb(page, "Not helpful").click()
    said(page, "Kept on this device")
    page.reload()
    expect(thumb(page, "Not helpful")).to_have_attribute("aria-pressed", "true")
    assert stored(site, run) == 0 and len(waiting(page)) == 1
    page.unroute(GIVE)
    page.reload()
    sent(page, 1)
    assert [one["type"] for one in in_force(site, run)] == ["thumbs_down"] and waiting(page) == []


def test_a_page_that_is_left_at_once_still_says_what_was_chosen(site: Api, run: str, open_widget: Open) -> None:
    page = open_widget(run)
    star(page, 4).click()
    page.goto("about:blank")
    page.wait_for_timeout(300)
    show(site, page, {"element": "feedback-collector", "token": minted(site, run)})
    expect(star(page, 4)).to_be_checked()
    assert [one.get("rating") for one in in_force(site, run)] == [4]


def test_a_slow_server_is_not_waited_for(site: Api, run: str, open_widget: Open) -> None:
    page = open_widget(run)

    def slowly(route: Route) -> None:
        time.sleep(0.5)
        route.continue_()

    page.route(GIVE, slowly)
    thumb(page).click()
    expect(thumb(page)).to_have_attribute("aria-pressed", "true", timeout=400)
    thumb(page, "Not helpful").click()
    sent(page, 2)
    assert [one["type"] for one in in_force(site, run)] == ["thumbs_down"]


@pytest.mark.parametrize("status", [500, 429])
def test_a_server_in_trouble_is_asked_again(status: int, site: Api, run: str, open_widget: Open) -> None:
    page = open_widget(run)
    tries = itertools.count(1)

    def troubled(route: Route) -> None:
        if next(tries) <= 2:
            route.fulfill(status=status, body="{}", headers={"Retry-After": "0.2"})
        else:
            route.continue_()

    page.route(GIVE, troubled)
    thumb(page).click()
    sent(page, 1)
    assert next(tries) == 4 and [one["type"] for one in in_force(site, run)] == ["thumbs_up"]


def test_a_refusal_that_says_nothing_is_told_and_what_comes_after_it_is_sent(site: Api, run: str, open_widget: Open) -> None:
    page = open_widget(run)
    page.route(GIVE, lambda route: route.fulfill(status=422, body="null"))
    thumb(page).click()
    expect(page.locator("#events li", has_text="feedback-failed")).to_have_count(1)
    page.unroute(GIVE)
    thumb(page, "Not helpful").click()
    sent(page, 1)
    assert [one["type"] for one in in_force(site, run)] == ["thumbs_down"] and waiting(page) == []


def test_an_error_on_the_way_does_not_end_the_sending_for_ever(site: Api, run: str, open_widget: Open) -> None:
    """Whoever listens throws, once: the next flush sends the rest."""
    page = open_widget(run)
    left = page.evaluate(
        """async ([api, token, execution]) => {
            const { Outbox } = await import("/api/learning/web/elements/feedback-queue.js");
            const heard = [];
            const outbox = new Outbox((kind) => { if (heard.push(kind) === 1) throw new Error("nobody expected this"); });
            Object.assign(outbox, { api, token, execution });
            for (const rating of [4, 5]) {
                outbox.add({ part: "stars", body: { feedback_id: `e-${execution}-${rating}`, execution_id: execution, feedback_type: "star_rating", rating } });
            }
            const error = await outbox.flush().then(() => null, ({ message }) => message);
            await outbox.flush();
            return [error, heard, outbox.pending().length];
        }""",
        [site.url, minted(site, run), run],
    )
    assert left == ["nobody expected this", ["sent", "sent"], 0] and stored(site, run) == 2


def test_an_answer_that_was_lost_does_not_count_twice(site: Api, run: str, open_widget: Open) -> None:
    page = open_widget(run)
    tries = itertools.count(1)

    def loses(route: Route) -> None:
        if next(tries) == 1:
            route.fetch()  # it is stored, but nobody hears of it
            route.abort()
        else:
            route.continue_()

    page.route(GIVE, loses)
    thumb(page).click()
    sent(page, 1)
    assert '"status":"unchanged"' in page.locator("#events").inner_text() and stored(site, run) == 1


def test_an_expired_token_is_told_and_a_fresh_one_sends_what_waits(site: Api, run: str, open_widget: Open) -> None:
    page = open_widget(run, token=site.service.tokens.for_execution("default", run, "ada", -5)[0])
    thumb(page, "Not helpful").click()
    said(page, "permission has ended")
    assert "token-needed" in events(page) and len(waiting(page)) == 1
    page.get_by_label("Token").fill(minted(site, run))
    page.get_by_role("button", name="Use it").click()
    sent(page, 1)
    assert [one["type"] for one in in_force(site, run)] == ["thumbs_down"] and waiting(page) == []


def test_without_a_token_it_waits_for_one(site: Api, run: str, open_widget: Open) -> None:
    page = open_widget(run, token="", more={"execution-id": run})
    thumb(page).click()
    assert "token-needed" in events(page)
    page.get_by_label("Token").fill(minted(site, run))
    page.get_by_role("button", name="Use it").click()
    sent(page, 1)
    assert [one["type"] for one in in_force(site, run)] == ["thumbs_up"]


def test_somebody_unknown_says_one_thing_however_often_they_press_before_the_token_comes(site: Api, run: str, open_widget: Open) -> None:
    page = open_widget(run, token="")
    thumb(page).click()
    thumb(page, "Not helpful").click()
    page.get_by_label("Token").fill(minted(site, run, None))
    page.get_by_role("button", name="Use it").click()
    sent(page, 1)
    expect(thumb(page)).to_be_disabled()
    assert stored(site, run) == 1


def test_what_one_person_left_unsent_is_not_said_by_another(site: Api, run: str, open_widget: Open) -> None:
    page = open_widget(run)
    page.route(GIVE, lambda route: route.abort())
    thumb(page, "Not helpful").click()
    said(page, "Kept on this device")
    page.get_by_label("Token").fill(minted(site, run, "bob"))
    with page.expect_response(MINE):
        page.get_by_role("button", name="Use it").click()
    page.unroute(GIVE)
    page.evaluate("dispatchEvent(new Event('online'))")
    page.wait_for_timeout(300)
    assert stored(site, run) == 0 and len(waiting(page)) == 1


def test_an_api_key_in_the_page_is_refused(site: Api, run: str, open_widget: Open) -> None:
    page = open_widget(run, token=site.key(), more={"execution-id": run})
    said(page, "An API key stands where a token belongs")
    thumb(page).click()
    page.wait_for_timeout(300)
    assert stored(site, run) == 0


def test_two_tabs_show_the_same_and_send_what_waits_once(site: Api, run: str, open_widget: Open) -> None:
    token = minted(site, run)
    first = open_widget(run, token=token)
    second = first.context.new_page()
    show(site, second, {"element": "feedback-collector", "token": token})
    for page in (first, second):
        page.route(GIVE, lambda route: route.abort())
    thumb(first, "Not helpful").click()
    expect(thumb(second, "Not helpful")).to_have_attribute("aria-pressed", "true")
    for page in (first, second):
        page.unroute(GIVE)
    for page in (first, second):
        page.evaluate("dispatchEvent(new Event('online'))")
    expect(first.locator("#events")).to_contain_text("feedback-queued")
    eventually(first, lambda: waiting(first) == [])
    assert stored(site, run) == 1 and [one["type"] for one in in_force(site, run)] == ["thumbs_down"]
    thumb(second).click()
    eventually(second, lambda: [one["type"] for one in in_force(site, run)] == ["thumbs_up"])


def test_an_old_answer_does_not_undo_what_was_pressed_meanwhile(site: Api, run: str, open_widget: Open) -> None:
    page = open_widget(run)
    star(page, 2).click()
    sent(page, 1)
    held: list[Route] = []
    page.route(MINE, lambda route: route.continue_() if held else held.append(route))
    page.reload()
    eventually(page, lambda: len(held) == 1)
    old = held[0].fetch()
    thumb(page, "Not helpful").click()
    sent(page, 1)
    held[0].fulfill(response=old)
    expect(star(page, 2)).to_be_checked()
    expect(thumb(page, "Not helpful")).to_have_attribute("aria-pressed", "true")


def test_another_device_shows_what_was_said(site: Api, run: str, open_widget: Open) -> None:
    page = open_widget(run)
    thumb(page, "Not helpful").click()
    star(page, 2).click()
    page.get_by_label("Tone").check()
    page.get_by_text("Correct the answer").click()
    page.get_by_label("How it should read").fill("On the 12th.")
    page.get_by_role("button", name="Send correction").click()
    sent(page, 4)
    other = open_widget(run)
    expect(thumb(other, "Not helpful")).to_have_attribute("aria-pressed", "true")
    expect(star(other, 2)).to_be_checked()
    expect(other.get_by_label("Tone")).to_be_checked()
    other.get_by_text("Correct the answer").click()
    expect(other.get_by_label("How it should read")).to_have_value("On the 12th.")
    stranger = open_widget(run, "bob")
    expect(thumb(stranger, "Not helpful")).to_have_attribute("aria-pressed", "false")


def test_somebody_unknown_says_it_once(site: Api, run: str, open_widget: Open) -> None:
    token = minted(site, run, None)
    page = open_widget(run, token=token)
    thumb(page, "Not helpful").click()
    said(page, "cannot be changed any more")
    expect(thumb(page)).to_be_disabled()
    for number in (1, 2, 3):
        star(page, number).click()
    page.get_by_label("Outdated").check()
    page.wait_for_timeout(900)
    assert stored(site, run) == 1  # nothing goes by itself what cannot be changed afterwards
    page.get_by_label("Comment").fill("Old.")
    page.get_by_role("button", name="Send", exact=True).click()
    sent(page, 2)
    page.reload()
    expect(thumb(page)).to_be_disabled()
    expect(star(page, 5)).to_be_disabled()
    expect(page.get_by_label("Comment")).to_be_disabled()
    rows = in_force(site, run)
    assert [one["type"] for one in rows] == ["thumbs_down", "star_rating"]
    assert (rows[1]["rating"], rows[1]["issues"], rows[1]["comment"]) == (3, ["outdated"], "Old.")


def test_scripts_are_text(site: Api, run: str, open_widget: Open) -> None:
    evil = "<img src=x onerror=\"window.hacked = 1\"><script>window.hacked = 1</script></textarea>{{x}}"
    page = open_widget(run, more={"output": f"Answer {evil}"})
    page.get_by_label("Comment").fill(evil)
    page.get_by_role("button", name="Send", exact=True).click()
    page.get_by_text("Correct the answer").click()
    page.get_by_label("How it should read").fill(f"Changed {evil} {evil}")
    expect(page.get_by_role("group", name="Your changes")).to_contain_text(evil)
    page.get_by_role("button", name="Send correction").click()
    sent(page, 2)
    assert page.evaluate("window.hacked") is None and page.locator("feedback-collector img, feedback-collector script").count() == 0
    rows = in_force(site, run)
    assert [one.get("comment") or one.get("correction") for one in rows] == [evil, f"Changed {evil} {evil}"]


def test_a_megabyte_is_taken_and_more_is_told(site: Api, run: str, open_widget: Open) -> None:
    page = open_widget(run)
    page.get_by_text("Correct the answer").click()
    editor = page.get_by_label("How it should read")
    text = ("lorem ipsum dolor " * 60_000)[:1_000_000]
    editor.evaluate("(field, text) => { field.value = text; field.dispatchEvent(new Event('input')); }", f"{text}x")
    page.wait_for_selector("feedback-collector ins:has-text('(1000001)')")
    page.get_by_role("button", name="Send correction").click()
    said(page, "Too long: at most 1000000 characters.")
    assert len(editor.input_value()) == 1_000_001
    editor.evaluate("(field, text) => { field.value = text; field.dispatchEvent(new Event('input')); }", text)
    page.get_by_role("button", name="Send correction").click()
    sent(page, 1)
    assert [len(one["correction"]) for one in in_force(site, run)] == [1_000_000]


@pytest.mark.parametrize("text", ["👩‍👩‍👧‍👦 gut 👍🏽, sehr 🇩🇪!", "تستحق الإقرارات في اليوم الثاني عشر من الشهر التالي.", "申告書は翌月の12日が期限です。"])
def test_emoji_and_every_script_arrive_as_they_were_written(text: str, site: Api, run: str, open_widget: Open) -> None:
    page = open_widget(run)
    page.get_by_label("Comment").fill(text)
    page.get_by_role("button", name="Send", exact=True).click()
    page.get_by_text("Correct the answer").click()
    page.get_by_label("How it should read").fill(text)
    page.get_by_role("button", name="Send correction").click()
    sent(page, 2)
    assert [one.get("comment") or one.get("correction") for one in in_force(site, run)] == [text, text]


def test_an_agent_that_is_gone_does_not_keep_feedback_out_and_an_unknown_execution_is_told(site: Api, run: str, open_widget: Open) -> None:
    page = open_widget(run, more={"agent-id": "vanished"})
    thumb(page).click()
    sent(page, 1)
    assert [one["type"] for one in in_force(site, run)] == ["thumbs_up"]
    page = open_widget("never-ran", more={"agent-id": "vanished"})
    page.get_by_label("Comment").fill("What I typed.")
    page.get_by_role("button", name="Send", exact=True).click()
    said(page, "Not accepted: execution_id is not known yet")
    expect(page.get_by_label("Comment")).to_have_value("What I typed.")
    assert "feedback-failed" in events(page) and waiting(page) == [] and stored(site, "never-ran") == 0


def test_a_clock_that_is_years_wrong_does_not_keep_feedback_out(site: Api, run: str, open_widget: Open) -> None:
    page = open_widget(run)
    page.evaluate("Date.prototype.toISOString = () => '2091-01-01T00:00:00.000Z'")
    thumb(page).click()
    sent(page, 1)
    assert [one["type"] for one in in_force(site, run)] == ["thumbs_up"]


def test_it_says_that_a_correction_was_used(site: Api, run: str, open_widget: Open) -> None:
    page = open_widget(run)
    page.get_by_text("Correct the answer").click()
    page.get_by_label("How it should read").fill(f"Right {run}.")
    page.get_by_role("button", name="Send correction").click()
    sent(page, 1)
    with site.database.connect("pipeline") as connection:
        refresh_examples(connection, agents(connection, "default", "desk")[0])
        connection.execute("UPDATE learning_examples SET review_status = 'approved' WHERE expected_output = %s", [f"Right {run}."])
    page = open_widget(run)
    expect(page.get_by_text("Your correction was reviewed and approved.")).to_be_visible()
    with site.database.connect("pipeline") as connection:
        agent = agents(connection, "default", "desk")[0]
        refresh_dataset(connection, agent, rule=TEXT_ONLY, shares=SHARES)
    page = open_widget(run)
    expect(page.get_by_text(re.compile("Your correction was used: it is part of the training data"))).to_be_visible()
    with site.database.connect("pipeline") as connection:
        number = add_learnt(
            connection, agent, messages=[{"role": "system", "content": run}], serving={}, parent=1, strategy="few_shot",
            dataset_id=versions.list_versions(connection, agent)[0]["id"], model=None, scores={}, training_run_id=None,
        )  # fmt: skip
        prompts.move_label(connection, agent, "production", number, None)
    page = open_widget(run, more={"lang": "de"})
    expect(page.get_by_text(f"Ihre Verbesserung wurde verwendet: Mit ihr wurde der Prompt gelernt, der jetzt antwortet (Version {number}).")).to_be_visible()


def test_a_page_of_another_origin_with_a_strict_policy_embeds_it(site: Api, host: Host, run: str, visit: Visit) -> None:
    policy = f"default-src 'none'; script-src {site.url} {host.url}; connect-src {site.url}; style-src 'self'; img-src 'self'"
    body = f"""<feedback-collector id="one">{ANSWER}</feedback-collector>"""
    script = f"""import "{site.url}/api/learning/web/elements/feedback-collector.js";
window.seen = [];
document.addEventListener("feedback-sent", (event) => window.seen.push(event.detail.part));
document.getElementById("one").token = {json.dumps(minted(site, run))};"""
    links = '<!doctype html><html lang="en"><title>Host</title><script type="module" src="/host.js"></script>'
    host.pages.update({"/": (f"{links}<body>{body}", policy), "/host.js": (script, "")})
    page = visit("/no-page")
    page.goto(f"{host.url}/")
    thumb(page, "Not helpful").click()
    page.get_by_text("Correct the answer").click()
    expect(page.get_by_label("How it should read")).to_have_value(ANSWER)
    page.get_by_label("How it should read").fill("On the 12th.")
    page.get_by_role("button", name="Send correction").click()
    eventually(page, lambda: page.evaluate("window.seen.length") == 2)
    assert [one["type"] for one in in_force(site, run)] == ["thumbs_down", "correction"]
    assert thumb(page, "Not helpful").evaluate("(button) => getComputedStyle(button).backgroundColor") == "rgb(11, 87, 164)"
    assert "ey" not in page.locator("#one").evaluate("(element) => element.outerHTML")


@pytest.mark.parametrize(("scheme", "language"), [("light", "en"), ("dark", "de"), ("light", "ar")])
def test_it_is_without_barriers_in_every_scheme_and_direction(
    scheme: str, language: str, run: str, open_widget: Open, axe: Callable[[Page], list[str]], shot: Callable[[Page, str], Path]
) -> None:
    page = open_widget(run, more={"lang": language}, color_scheme=scheme, viewport={"width": 720, "height": 900})
    buttons = page.locator("feedback-collector [aria-pressed]")
    buttons.nth(1).click()
    for summary in page.locator("feedback-collector summary").all():
        summary.click()
    page.locator("feedback-collector #editor").fill(ANSWER.replace("10th", "12th"))
    page.locator("feedback-collector fieldset").first.locator("input").nth(2).click()
    expect(page.locator("feedback-collector ins")).to_be_visible()
    sent(page, 2)
    if language == "ar":
        assert buttons.nth(1).bounding_box()["x"] < buttons.nth(0).bounding_box()["x"]  # type: ignore[index]
    assert axe(page) == []
    small = page.evaluate("""() => [...document.querySelector("feedback-collector").shadowRoot.querySelectorAll("button, summary, label:has(input)")]
        .filter((one) => one.checkVisibility() && one.getBoundingClientRect().height < 24).map((one) => one.textContent)""")
    assert small == []
    shot(page, f"feedback-collector-{scheme}-{language}")
    page.set_viewport_size({"width": 320, "height": 900})
    assert page.evaluate("document.querySelector('feedback-collector').scrollWidth <= 320")


def test_its_texts_and_colours_are_the_pages_to_choose(run: str, open_widget: Open) -> None:
    page = open_widget(run)
    page.evaluate("""() => { const one = document.querySelector("feedback-collector");
        one.strings = { up: "Passt", down: "Passt nicht" }; one.style.setProperty("--learning-accent", "rgb(1, 2, 3)"); }""")
    thumb(page, "Passt nicht").click()
    expect(thumb(page, "Passt nicht")).to_have_css("background-color", "rgb(1, 2, 3)")


def test_the_widget_with_its_styles_is_at_most_ten_kilobytes() -> None:
    static = FILES / "elements"
    names, known = ["feedback-collector.js"], set()
    while names:
        name = names.pop()
        known.add(name)
        names += [found for found in re.findall(r'from "\./([\w-]+\.js)"', (static / name).read_text()) if found not in known]
    assert "../" not in "".join(re.findall(r'from "(.+)"', "".join((static / name).read_text() for name in known)))
    assert sum(len(gzip.compress((static / name).read_bytes(), 9)) for name in known) <= 10_240, known
