"""The page Annotate, as experts use it: one item at a time, two experts at once, by keyboard alone, leases, undo, in bulk, blindness.

Belongs here: what an expert sees and what is stored after it. Not here: rules of review (api/test_review.py), hostile texts (test_annotate_input.py).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page, expect

from learning_pipelines.examples.refresh import refresh_examples
from learning_pipelines_tests.api.reviewing import count, example_row, load, new_agent
from learning_pipelines_tests.api.serving import Api
from learning_pipelines_tests.api.test_corrections import agent_ref
from learning_pipelines_tests.browser.conftest import Visit

Shot = Callable[[Page, str], Path]


def at_desk(visit: Visit, agent: str, user: str = "edda", query: str = "", **more: object) -> Page:
    page = visit(f"/annotate?agent={agent}{query}", role="expert", user=user, **more)
    expect(page.get_by_role("region", name="Item").or_(page.get_by_role("region", name="Nothing to review"))).to_be_visible()
    return page


def at_hand(page: Page) -> str:
    """The id of the item on the desk."""
    return (page.locator(".about-item dd").last.text_content() or "").strip()


def next_item(page: Page, before: str) -> None:
    page.wait_for_function("before => document.querySelector('.about-item dd:last-of-type')?.textContent !== before", arg=before)


def send(page: Page) -> None:
    page.get_by_role("button", name="Submit and take the next").click()


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
    page.get_by_label("Approve").check()
    page.get_by_label("Technical accuracy").fill("0.9")
    page.get_by_label("Notes").fill("Since July.")
    page.get_by_label("Suggestions").fill("Name the policy.")
    shot(page, "annotate-item")
    send(page)
    expect(page.get_by_role("region", name="Nothing to review")).to_be_visible()
    assert example_row(site, name, "review_status, expected_output") == ("approved", "You have 30 days of leave a year, public holidays included.")
    stored = "approved AND technical_accuracy = 0.9 AND clarity IS NULL AND notes = 'Since July.' AND improvement_suggestions = 'Name the policy.'"
    assert count(site, f"expert_annotations WHERE example_id = %s AND {stored}", name) == 1
    shot(page, "annotate-done")
