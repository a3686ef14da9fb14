"""What goes wrong while experts review: reservations that run out, reloads, two windows, no network, hostile and enormous texts, empty queues.

Belongs here: that nothing typed is lost and everything is said. Not here: the usual course (test_annotate.py).
"""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from learning_pipelines_tests.api.reviewing import count, example_row, examples, load, new_agent
from learning_pipelines_tests.api.serving import Api
from learning_pipelines_tests.browser.annotating import at_desk, at_hand, choose, nothing_left, other_item, send
from learning_pipelines_tests.browser.conftest import Visit

SCRIPT = "<img src=x onerror=\"window.broken = true\"><script>window.broken = true</script>"


def typed(page: Page) -> Any:
    return page.get_by_label("Notes")


def test_a_reservation_that_ran_out_is_said_and_submitting_reserves_again(site: Api, visit: Visit) -> None:
    agent = new_agent(site, lease_seconds=10)
    name, *_ = examples(site, agent=agent)
    page = at_desk(visit, agent)
    choose(page, "Approve")
    expect(page.locator(".lease.out")).to_contain_text("Your reservation ran out. What you typed is kept", timeout=30_000)
    typed(page).fill("worth keeping")
    page.get_by_role("button", name="Reserve again").click()
    expect(page.get_by_role("timer")).to_be_visible()
    with site.database.connect("pipeline") as connection:  # by the service's clock only
        connection.execute("UPDATE review_seats SET leased_until = now() - interval '1 second' WHERE example_id = %s", [name])
    send(page)
    assert count(site, "expert_annotations WHERE example_id = %s AND approved AND notes = 'worth keeping'", name) == 1


def test_when_another_expert_took_the_item_what_was_typed_stays(site: Api, visit: Visit) -> None:
    agent = new_agent(site)
    (name,) = examples(site, agent=agent)
    page = at_desk(visit, agent)
    choose(page, "Reject")
    typed(page).fill("worth keeping")
    with site.database.connect("pipeline") as connection:
        connection.execute("UPDATE review_seats SET leased_until = now() - interval '1 second' WHERE example_id = %s", [name])
    finn = at_desk(visit, agent, "finn")
    page.get_by_role("button", name="Submit and take the next").click()
    expect(page.get_by_role("alert")).to_contain_text("is with another expert")
    expect(typed(page)).to_have_value("worth keeping")
    page.get_by_role("button", name="Take the next item").click()
    nothing_left(page)
    expect(page.get_by_role("heading", name="Nothing is open for you").or_(page.get_by_role("heading", name="Nothing is open with"))).to_be_visible()
    choose(finn, "Approve")
    send(finn)
    assert (example_row(site, name), count(site, "expert_annotations WHERE example_id = %s", name)) == ("approved", 1)


def test_an_answer_about_the_item_before_says_nothing_about_the_one_at_hand(site: Api, visit: Visit) -> None:
    agent = new_agent(site)
    examples(site, 2, agent=agent)
    page = at_desk(visit, agent)
    before = at_hand(page)
    held: list[Route] = []
    page.route(f"**/{before}/lease", lambda route: held.append(route))
    page.get_by_role("button", name="Prolong").click()
    choose(page, "Approve")
    send(page)
    other_item(page, before)
    held[0].fulfill(json={"example_id": before, "lease_until": "2026-01-01T00:00:00Z", "now": "2026-01-01T00:00:00Z"})
    page.wait_for_timeout(1_500)
    expect(page.get_by_role("timer")).to_be_visible()


def test_an_item_that_comes_after_the_desk_was_left_is_given_back(site: Api, visit: Visit) -> None:
    agent = new_agent(site)
    examples(site, 2, agent=agent)
    page = at_desk(visit, agent)
    held: list[Route] = []
    page.route("**/annotations", lambda route: held.append(route))
    choose(page, "Approve")
    page.get_by_role("button", name="Submit and take the next").click()
    page.wait_for_timeout(300)
    page.get_by_role("button", name="In bulk").click()
    expect(page.get_by_text("0 of")).to_be_visible()
    with page.expect_request("**/annotations/queue/*/release"):
        held[0].continue_()
        page.unroute("**/annotations")


def test_a_browser_that_keeps_nothing_has_its_keys_all_the_same(site: Api, visit: Visit) -> None:
    agent = new_agent(site)
    examples(site, agent=agent)
    page = at_desk(visit, agent)
    page.add_init_script("Object.defineProperty(window, 'localStorage', { get() { throw new DOMException('switched off', 'SecurityError'); } })")
    page.reload()
    expect(page.get_by_role("region", name="Item")).to_be_visible()
    page.keyboard.press("?")
    page.get_by_label("Single keys are shortcuts").uncheck()
    page.get_by_role("button", name="Close").click()
    page.keyboard.press("?")
    page.wait_for_timeout(200)
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_a_verdict_in_bulk_is_told_also_where_the_queue_cannot_be_read_afterwards(site: Api, visit: Visit) -> None:
    agent = new_agent(site)
    names = examples(site, 2, agent=agent)
    page = visit(f"/annotate?agent={agent}&view=bulk", role="expert", user="edda")
    page.get_by_label("Choose all shown").check()
    page.route("**/annotations/queue?*", lambda route: route.fulfill(status=422, json={"title": "Not read", "detail": "Not this time."}))
    page.get_by_role("button", name="Approve …").click()
    page.get_by_role("dialog").get_by_role("button", name="Approve 2").click()
    expect(page.get_by_text("You approved 2 items.")).to_be_visible()
    expect(page.get_by_role("alert")).to_contain_text("Not this time.")
    assert [example_row(site, one) for one in names] == ["approved"] * 2


def test_a_reload_loses_nothing_and_leaving_gives_the_item_back(site: Api, visit: Visit) -> None:
    agent = new_agent(site)
    (name,) = examples(site, agent=agent)
    page = at_desk(visit, agent)
    choose(page, "Needs revision")
    typed(page).fill("half a thought")
    page.get_by_label("Clarity").fill("0.4")
    page.reload()
    expect(typed(page)).to_have_value("half a thought")
    expect(page.get_by_label("Clarity")).to_have_value("0.4")
    expect(page.get_by_role("radio", name="Needs revision")).to_be_checked()
    leased = "review_seats WHERE example_id = %s AND state = 'leased'"
    assert count(site, leased, name) == 1
    page.goto(f"{site.url}/reports")
    page.wait_for_selector("main h1")
    for _ in range(50):
        if count(site, leased, name):
            page.wait_for_timeout(100)  # the request outlives the page
    assert count(site, leased, name) == 0
    assert at_hand(at_desk(visit, agent, "finn")) == name


def test_two_windows_of_one_expert_have_two_items_and_a_verdict_counts_once(site: Api, visit: Visit) -> None:
    agent = new_agent(site)
    names = set(examples(site, 2, agent=agent))
    first = at_desk(visit, agent)
    second = first.context.new_page()
    second.goto(first.url)
    expect(second.get_by_role("region", name="Item")).to_be_visible()
    assert {at_hand(first), at_hand(second)} == names
    one = at_hand(first)
    answer = second.evaluate(
        """async (id) => {
            const { LearningClient } = await import("/api/learning/web/client/learning.js");
            const client = new LearningClient({ baseUrl: location.origin });
            client.csrfToken = (await client.request("GET", "/session")).csrf_token;
            return (await client.request("POST", "/annotations", { body: { example_id: id, approved: true } })).review_status;
        }""",
        one,
    )  # as a window without locks would
    assert answer == "approved"
    choose(first, "Reject")
    first.get_by_role("button", name="Submit and take the next").click()
    expect(first.get_by_role("alert")).to_contain_text(f"{one} is approved already.")
    assert (example_row(site, one), count(site, "expert_annotations WHERE example_id = %s", one)) == ("approved", 1)


def test_without_the_service_nothing_typed_is_lost(site: Api, visit: Visit) -> None:
    agent = new_agent(site)
    (name,) = examples(site, agent=agent)
    page = at_desk(visit, agent)
    choose(page, "Approve")
    typed(page).fill("in a tunnel")
    page.context.set_offline(True)
    page.get_by_role("button", name="Submit and take the next").click()
    expect(page.get_by_role("alert")).to_contain_text("cannot be reached")
    expect(typed(page)).to_have_value("in a tunnel")
    page.context.set_offline(False)
    send(page)
    assert count(site, "expert_annotations WHERE example_id = %s AND notes = 'in a tunnel'", name) == 1


def test_an_ended_session_is_made_anew_over_the_page(site: Api, visit: Visit) -> None:
    agent = new_agent(site)
    (name,) = examples(site, agent=agent)
    page = at_desk(visit, agent)
    choose(page, "Approve")
    typed(page).fill("before the end")
    page.context.clear_cookies()
    page.get_by_role("button", name="Submit and take the next").click()
    page.get_by_label("API key").fill(site.key("expert", user="edda"))
    page.keyboard.press("Enter")
    expect(page.get_by_role("region", name="After your verdict")).to_be_visible()
    assert count(site, "expert_annotations WHERE example_id = %s AND notes = 'before the end'", name) == 1


def test_markup_emoji_and_right_to_left_text_are_text(site: Api, visit: Visit) -> None:
    agent = new_agent(site)
    arabic = "مرحبا بالعالم 👩‍👩‍👧 " + SCRIPT
    load(site, "examples", [{
        "example_id": f"<b>{agent}</b>", "agent": agent, "input_text": arabic, "original_output": SCRIPT, "expected_output": arabic, "tags": [SCRIPT],
        "domain": SCRIPT, "task_type": SCRIPT, "input_context": {"key": SCRIPT}, "jurisdictions": [SCRIPT],
    }])  # fmt: skip
    page = at_desk(visit, agent)
    item = page.get_by_role("region", name="Item")
    for summary in item.locator("summary").all():
        summary.click()
    expect(item.get_by_text(arabic, exact=True).first).to_have_css("direction", "rtl")
    for label in ("Expected output", "Notes", "Suggestions"):
        page.get_by_label(label, exact=True).fill(f"{arabic} {label}")
    expect(page.get_by_label("Notes")).to_have_css("direction", "rtl")
    expect(page.locator(".changes ins")).to_have_text(" Expected output")
    choose(page, "Approve")
    send(page)
    page.get_by_text("All annotations of it (1)").click()
    expect(page.locator(".annotations").get_by_text(f"{arabic} Notes", exact=True)).to_be_visible()
    page.get_by_role("link", name="last item").click()
    expect(page.get_by_role("heading", name="Annotations (1)")).to_be_visible()
    page.go_back()
    page.get_by_role("button", name="In bulk").click()
    nothing_left(page)
    assert page.evaluate("window.broken") is None
    assert page.locator("main img").count() == 0


def test_a_million_characters_are_compared_within_bounds_and_more_are_refused_readably(site: Api, visit: Visit) -> None:
    agent = new_agent(site)
    (name,) = examples(site, agent=agent)
    page = at_desk(visit, agent)
    field = page.get_by_label("Expected output", exact=True)
    paste = "(element, text) => { element.value = text; element.dispatchEvent(new Event('input', { bubbles: true })); }"
    field.evaluate(paste, "word " * 200_200)
    expect(page.locator(".changes ins")).to_contain_text("characters not shown")
    assert len(page.locator(".changes").text_content() or "") < 200_000
    expect(page.get_by_text("This text has 1,001,000 characters; the service takes at most 1,000,000.")).to_be_visible()
    choose(page, "Approve")
    page.get_by_role("button", name="Submit and take the next").click()
    expect(page.get_by_role("alert")).to_contain_text("1000000 characters")
    assert len(field.input_value()) == 1_001_000
    field.evaluate(paste, "word " * 200_000)
    page.get_by_role("button", name="Submit and take the next").click()
    expect(page.get_by_role("region", name="After your verdict")).to_be_visible(timeout=60_000)  # the service looks for personal data in all of it
    assert example_row(site, name, "length(expected_output)") == 1_000_000


def test_a_correction_without_approval_moves_to_the_suggestions(site: Api, visit: Visit) -> None:
    agent = new_agent(site)
    (name,) = examples(site, agent=agent)
    page = at_desk(visit, agent)
    page.get_by_label("Expected output", exact=True).fill("Better words.")
    choose(page, "Needs revision")
    page.get_by_role("button", name="Submit and take the next").click()
    page.get_by_role("button", name="move your text to the suggestions").click()
    send(page)
    assert count(site, "expert_annotations WHERE example_id = %s AND approved IS NULL AND improvement_suggestions = 'Better words.'", name) == 1


def test_a_score_out_of_range_is_named_and_nothing_is_sent(site: Api, visit: Visit) -> None:
    agent = new_agent(site)
    (name,) = examples(site, agent=agent)
    page = at_desk(visit, agent)
    choose(page, "Approve")
    page.get_by_label("Completeness").fill("7")
    page.get_by_role("button", name="Submit and take the next").click()
    expect(page.get_by_role("alert")).to_have_text("Completeness takes a number from 0 to 1, or nothing.")
    expect(page.get_by_label("Completeness")).to_be_focused()
    assert count(site, "expert_annotations WHERE example_id = %s", name) == 0


def test_undo_brings_back_the_item_with_what_was_typed(site: Api, visit: Visit) -> None:
    agent = new_agent(site)
    examples(site, 2, agent=agent)
    page = at_desk(visit, agent)
    name = at_hand(page)
    choose(page, "Reject")
    typed(page).fill("too hasty")
    send(page)
    other_item(page, name)
    page.get_by_role("button", name="Undo: rejected").click()
    expect(page.locator(".about-item dd").last).to_have_text(name)
    expect(typed(page)).to_have_value("too hasty")
    assert (example_row(site, name), count(site, "expert_annotations WHERE example_id = %s AND withdrawn_at IS NOT NULL", name)) == ("pending", 1)
    assert count(site, "review_seats WHERE example_id = %s AND state = 'leased'", name) == 1


@pytest.mark.parametrize("view", ["", "&view=bulk"])
def test_an_agent_that_is_no_more_and_an_example_that_is_none(site: Api, visit: Visit, view: str) -> None:
    page = visit(f"/annotate?agent=gone{view}", role="expert", user="edda")
    expect(page.get_by_role("alert")).to_contain_text("gone")
    page.goto(f"{site.url}/annotate?example=nothing")
    expect(page.get_by_role("alert")).to_contain_text("There is no such example for you.")
    page.get_by_role("button", name="Back to the queue").click()
    expect(page.get_by_role("group", name="Filters")).to_be_visible()


def test_an_organization_without_examples_is_told_where_they_come_from(site: Api, visit: Visit) -> None:
    site.key("expert", "fresh")
    with site.database.connect("pipeline") as connection:
        connection.execute("INSERT INTO agents (organization_id, slug) VALUES (learning.organization_id('fresh'), 'new')")
    page = visit("/annotate", role="expert", user="edda", organization="fresh")
    expect(page.get_by_role("heading", name="There are no examples yet")).to_be_visible()
    expect(page.get_by_text("learning-pipelines import examples FILE")).to_be_visible()
