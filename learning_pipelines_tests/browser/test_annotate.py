"""The page Annotate, as experts use it: one item at a time, two experts at once, by keyboard alone, undo, in bulk, blindness.

Belongs here: what an expert sees and what is stored after it. Not here: rules of review (api/test_review.py), what goes wrong (test_annotate_trouble.py).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page, expect

from learning_pipelines.examples.refresh import refresh_examples
from learning_pipelines_tests.api.reviewing import count, example_row, examples, load, new_agent
from learning_pipelines_tests.api.serving import Api
from learning_pipelines_tests.api.test_corrections import agent_ref
from learning_pipelines_tests.browser.annotating import at_desk, at_hand, choose, nothing_left, other_item, send
from learning_pipelines_tests.browser.conftest import Visit

Shot = Callable[[Page, str], Path]
Axe = Callable[[Page], list[str]]


def reviewed_feedback(api: Api) -> str:
    """An agent whose example was made of an execution with a conversation, corrected by somebody."""
    agent = new_agent(api)
    run = f"run-{agent}"
    load(api, "executions", [{
        "execution_id": run, "agent": agent, "input": "How many days of leave do I have?", "output": "You have 20 days of leave a year.", "user": "uma",
        "messages": [{"role": "system", "content": "You help staff."}, {"role": "user", "content": "How many days of leave do I have?"}],
        "retrieved": [{"document_id": "leave-policy", "rank": 1, "score": 0.83}],
    }])  # fmt: skip
    load(api, "feedback", [{
        "execution_id": run, "feedback_type": "correction", "rating": 2, "user": "uma",
        "correction_text": "You have 28 days of leave a year, public holidays included.",
    }])  # fmt: skip
    with api.database.connect("pipeline") as connection:
        refresh_examples(connection, agent_ref(connection, agent))
    return agent


def test_an_item_shows_what_it_is_made_of_and_a_corrected_approval_is_stored(site: Api, visit: Visit, shot: Shot) -> None:
    agent = reviewed_feedback(site)
    page = at_desk(visit, agent)
    item = page.get_by_role("region", name="Item")
    expect(item.get_by_text("You have 20 days of leave a year.", exact=True)).to_be_visible()
    expect(item.locator("del").first).to_have_text("20")
    item.get_by_text("About this item").click()
    expect(item.get_by_text("uma")).to_be_visible()
    item.get_by_text("Conversation and retrieved passages").click()
    expect(item.get_by_text("You help staff.")).to_be_visible()
    expect(item.get_by_text("leave-policy")).to_be_visible()
    name = at_hand(page)
    page.get_by_label("Expected output", exact=True).fill("You have 30 days of leave a year, public holidays included.")
    expect(page.locator(".changes ins")).to_have_text("30")
    page.get_by_role("button", name="Reset the correction").click()
    expect(page.locator(".changes")).to_have_text("No changes.")
    page.get_by_label("Expected output", exact=True).fill("You have 30 days of leave a year, public holidays included.")
    choose(page, "Approve")
    page.get_by_label("Technical accuracy").fill("0.9")
    page.get_by_label("Notes").fill("Since July.")
    page.get_by_label("Suggestions").fill("Name the policy.")
    shot(page, "annotate-item")
    send(page)
    nothing_left(page)
    assert example_row(site, name, "review_status, expected_output") == ("approved", "You have 30 days of leave a year, public holidays included.")
    stored = "approved AND technical_accuracy = 0.9 AND clarity IS NULL AND notes = 'Since July.' AND improvement_suggestions = 'Name the policy.'"
    assert count(site, f"expert_annotations WHERE example_id = %s AND {stored}", name) == 1
    shot(page, "annotate-done")


def test_two_experts_at_once_get_different_items_and_see_each_others_verdicts_afterwards_only(site: Api, visit: Visit) -> None:
    agent = new_agent(site)
    both = set(examples(site, 2, agent=agent))
    edda, finn = at_desk(visit, agent, "edda"), at_desk(visit, agent, "finn")
    mine, theirs = at_hand(edda), at_hand(finn)
    assert {mine, theirs} == both
    for page, verdict in ((edda, "Approve"), (finn, "Reject")):
        choose(page, verdict)
        send(page)
    for page in (edda, finn):
        nothing_left(page)
    assert (example_row(site, mine), example_row(site, theirs)) == ("approved", "rejected")
    given = "expert_annotations n JOIN users u ON u.id = n.expert_id AND u.organization_id = n.organization_id WHERE n.example_id = %s AND u.external_id = %s"
    assert (count(site, given, mine, "edda"), count(site, given, theirs, "finn")) == (1, 1)
    assert count(site, "expert_annotations WHERE example_id = ANY(%s)", list(both)) == 2


def test_an_opinion_is_blind_before_the_verdict_and_can_be_verified_after_it(site: Api, visit: Visit) -> None:
    agent = new_agent(site, reviewers=2)
    (name,) = examples(site, agent=agent)
    edda, finn = at_desk(visit, agent, "edda"), at_desk(visit, agent, "finn")
    choose(edda, "Approve")
    edda.get_by_label("Notes").fill("edda's opinion")
    send(edda)
    expect(edda.get_by_text("No other expert has judged it so far.")).to_be_visible()
    finn.reload()
    expect(finn.get_by_role("region", name="Item")).to_be_visible()
    before = finn.locator("main").inner_html()
    assert "edda" not in before and "After your verdict" not in before
    finn.goto(f"{site.url}/annotate?example={name}")
    expect(finn.get_by_role("heading", name="Annotations (0)")).to_be_visible()
    finn.get_by_role("button", name="Review this example").click()
    choose(finn, "Approve")
    send(finn)
    expect(finn.get_by_text("1 of 1 other expert said the same as you.")).to_be_visible()
    finn.get_by_text("All annotations of it (2)").click()
    expect(finn.get_by_text("edda's opinion")).to_be_visible()
    finn.get_by_role("button", name="Verify the annotation of edda").click()
    expect(finn.locator(".verification").get_by_text("finn")).to_be_visible()
    assert count(site, "expert_annotations WHERE example_id = %s AND is_verified AND notes = 'edda''s opinion'", name) == 1
    edda.keyboard.press("Control+z")  # finn has judged and verified since
    expect(edda.get_by_text("This can no longer be undone")).to_be_visible()
    expect(edda.get_by_role("alert")).to_contain_text(f"Something happened since to {name}.")
    expect(edda.get_by_role("button", name="Nothing to undo")).to_be_disabled()
    assert example_row(site, name) == "approved"


def test_the_whole_flow_works_by_keyboard_alone(site: Api, visit: Visit, shot: Shot) -> None:
    agent = new_agent(site)
    examples(site, 3, agent=agent)
    page = at_desk(visit, agent)
    first, keys = at_hand(page), page.keyboard
    keys.press("?")
    expect(page.get_by_role("dialog", name="Keyboard shortcuts")).to_be_visible()
    shot(page, "annotate-shortcuts")
    keys.press("Escape")
    keys.press("e")
    keys.press("Control+a")
    keys.type("ar")  # letters in a field are text
    keys.press("Escape")
    keys.press("1")
    keys.type("0.8")
    keys.press("Escape")
    keys.press("n")
    keys.type("by keys")
    keys.press("Escape")
    keys.press("a")
    keys.press("Control+Enter")
    other_item(page, first)
    assert example_row(site, first, "review_status, expected_output") == ("approved", "ar")
    second = at_hand(page)
    assert second != first
    keys.press("s")
    expect(page.get_by_role("button", name="Undo: skipped")).to_be_visible()
    other_item(page, second)
    third = at_hand(page)
    keys.press("r")
    keys.press("Control+Enter")
    nothing_left(page)
    assert (example_row(site, second), example_row(site, third)) == ("pending", "rejected")
    for name, back in ((third, "rejected"), (second, None), (first, "approved")):
        keys.press("Control+z")
        expect(page.locator(".about-item dd").last).to_have_text(name)
        expect(page.locator("input[name=verdict]:checked")).to_have_count(1 if back else 0)
    assert [example_row(site, one) for one in (first, second, third)] == ["pending"] * 3
    expect(page.get_by_label("Expected output", exact=True)).to_have_value("ar")
    keys.press("b")
    expect(page.get_by_role("button", name="Approve …")).to_be_visible()


def test_single_keys_can_be_switched_off_which_is_remembered(site: Api, visit: Visit) -> None:
    agent = new_agent(site)
    examples(site, agent=agent)
    page = at_desk(visit, agent)
    page.get_by_role("button", name="Keyboard shortcuts (?)").click()
    page.get_by_label("Single keys are shortcuts").uncheck()
    page.keyboard.press("Escape")
    page.reload()
    expect(page.get_by_role("region", name="Item")).to_be_visible()
    page.keyboard.press("a")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.locator("input[name=verdict]:checked")).to_have_count(0)
    page.keyboard.press("Control+Enter")
    expect(page.get_by_role("alert")).to_have_text("Choose a verdict first: approve, reject or needs revision.")


def test_many_items_are_judged_at_once_and_taken_back_at_once(site: Api, visit: Visit, shot: Shot) -> None:
    agent = new_agent(site)
    names = examples(site, 4, agent=agent)
    page = visit(f"/annotate?agent={agent}&view=bulk", role="expert", user="edda")
    page.get_by_label(f"Choose {names[0]}").check()
    expect(page.get_by_text("1 of 4 shown chosen")).to_be_visible()
    page.get_by_label("Choose all shown").check()
    shot(page, "annotate-bulk")
    at_desk(visit, agent, "finn")  # who leases one of them meanwhile
    page.get_by_role("button", name="Reject …").click()
    dialog = page.get_by_role("dialog", name="Reject 4 items?")
    dialog.get_by_label("Note on all of them").fill("old rules")
    dialog.get_by_role("button", name="Reject 4").click()
    expect(page.get_by_role("alert")).to_contain_text("is with another expert")
    expect(page.locator("tr.stopping")).to_have_count(1)
    assert [example_row(site, one) for one in names] == ["pending"] * 4
    page.get_by_role("button", name="Leave out the 1 that stop it").click()
    page.get_by_role("button", name="Reject …").click()
    dialog.or_(page.get_by_role("dialog", name="Reject 3 items?")).get_by_role("button", name="Reject 3").click()
    expect(page.get_by_text("You rejected 3 items. 3 are rejected now.")).to_be_visible()
    assert sorted(example_row(site, one) for one in names) == ["pending"] + ["rejected"] * 3
    page.get_by_role("button", name="Undo: rejected 3 items").click()
    expect(page.get_by_text("0 of 3 shown chosen")).to_be_visible()
    assert [example_row(site, one) for one in names] == ["pending"] * 4


def test_the_filters_are_in_the_address(site: Api, visit: Visit) -> None:
    agent = new_agent(site)
    (good,), (bad,) = examples(site, agent=agent, example_type="positive"), examples(site, agent=agent, example_type="failure", domain="tax")
    page = at_desk(visit, agent, query="&type=positive")
    assert at_hand(page) == good
    page.get_by_label("Type").select_option("failure")
    expect(page.locator(".about-item dd").last).to_have_text(bad)
    page.get_by_label("Domain").fill("law")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Nothing is open with these filters")).to_be_visible()
    assert page.url.endswith(f"?agent={agent}&type=failure&domain=law")
    assert count(site, "review_seats WHERE example_id = ANY(%s) AND state = 'leased'", [good, bad]) == 0


def test_whoever_is_no_expert_is_told_so(visit: Visit) -> None:
    page = visit("/annotate", role="user", user="uma")
    expect(page.get_by_role("alert")).to_contain_text("needs the role expert; you are signed in with the role user")
    expect(page.get_by_role("button", name="Submit and take the next")).to_have_count(0)


def test_every_view_is_without_barriers_in_light_and_dark_and_narrow(site: Api, visit: Visit, axe: Axe, shot: Shot) -> None:
    agent = new_agent(site, reviewers=2)
    names = examples(site, 3, agent=agent, input_text="Which form do I need for a leave of absence? " * 20, domain="leave", tags=["form"])
    given = at_desk(visit, agent, "finn")
    choose(given, "Approve")
    given.get_by_label("Expected output", exact=True).fill("Form 12 and a letter.")
    send(given)
    for scheme, width in (("light", 1280), ("dark", 320)):
        page = at_desk(visit, agent, "edda", color_scheme=scheme, viewport={"width": width, "height": 800})
        if scheme == "light":
            choose(page, "Approve")
            page.get_by_label("Expected output", exact=True).fill("Form 12 and a mail.")
            send(page)
            expect(page.get_by_text("After your verdict")).to_be_visible()
        for summary in page.locator("summary").all():
            summary.click()
        page.get_by_label("Expected output", exact=True).fill("Form 13.")
        expect(page.locator(".changes ins").first).to_be_visible()
        assert axe(page) == []
        shot(page, f"annotate-{scheme}-{width}")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        page.get_by_role("button", name="In bulk").click()
        expect(page.get_by_label("Choose all shown")).to_be_visible()
        assert axe(page) == []
        shot(page, f"annotate-bulk-{scheme}-{width}")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.goto(f"{site.url}/annotate?example={names[0]}")
    expect(page.get_by_role("heading", name="Annotations")).to_be_visible()
    assert axe(page) == []
