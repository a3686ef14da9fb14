"""Filters in the address of a page: agent and period, shareable, taken back by the back button, an agent that is no more.

Belongs here: ui/filters.js. Not here: what pages show for a choice.
"""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from learning_pipelines_tests.browser.conftest import Visit

_DRAW = """async ([agent, slow]) => {
    const { filtered } = await import("/api/learning/web/ui/filters.js");
    const { LearningClient } = await import("/api/learning/web/client/learning.js");
    const main = document.querySelector("main");
    main.replaceChildren();
    window.drawn = [];
    const render = async (target, state, signal) => {
        if (slow && slow === state.agent) await new Promise((done) => signal.addEventListener("abort", done));
        window.drawn.push(`${state.agent} ${state.days}`);
        target.textContent = `shown: ${state.agent} ${state.days}`;
    };
    await filtered(main, { client: new LearningClient({ baseUrl: location.origin }) }, { agent, render });
}"""


@pytest.fixture
def filtered(visit: Visit) -> object:
    """A page that shows what its filters choose."""

    def draw(query: str = "", agent: str = "any", slow: str | None = None) -> Page:
        page = visit(f"/reports{query}", role="user", user="uma")
        page.wait_for_selector("main h1")
        page.evaluate(_DRAW, [agent, slow])
        return page

    return draw


def test_a_choice_is_in_the_address_and_the_back_button_takes_it_back(filtered: Visit) -> None:
    page = filtered()
    expect(page.get_by_text("shown: null 30")).to_be_visible()
    page.get_by_label("Agent").select_option("helper")
    page.get_by_label("Period").select_option("7")
    expect(page.get_by_text("shown: helper 7")).to_be_visible()
    assert page.url.endswith("?agent=helper&days=7")
    page.go_back()
    expect(page.get_by_text("shown: helper 30")).to_be_visible()
    expect(page.get_by_label("Period")).to_have_value("30")
    page.get_by_label("Agent").select_option("")
    assert page.url.endswith("/reports")


def test_a_link_shows_what_it_says(filtered: Visit) -> None:
    page = filtered("?agent=helper&days=90&unit=kept")
    expect(page.get_by_text("shown: helper 90")).to_be_visible()
    page.get_by_label("Agent").select_option("desk")
    assert "unit=kept" in page.url


def test_a_period_that_is_not_offered_is_the_usual_one(filtered: Visit) -> None:
    page = filtered("?days=4000000")
    expect(page.get_by_text("shown: null 30")).to_be_visible()
    expect(page.get_by_label("Period")).to_have_value("30")


def test_a_page_of_one_agent_always_names_it_in_its_address(filtered: Visit) -> None:
    page = filtered("", "one")
    expect(page.get_by_text("shown: desk 30")).to_be_visible()
    assert page.url.endswith("?agent=desk")


def test_an_agent_that_is_no_more_is_told_and_another_can_be_chosen(filtered: Visit) -> None:
    page = filtered("?agent=<b>gone</b>")
    expect(page.get_by_role("alert")).to_contain_text("This link names the agent “<b>gone</b>”, which does not exist here")
    expect(page.get_by_label("Agent")).to_have_value("<b>gone</b>")
    page.get_by_label("Agent").select_option("desk")
    expect(page.get_by_text("shown: desk 30")).to_be_visible()
    expect(page.get_by_role("alert")).to_have_count(0)


def test_an_answer_that_comes_after_another_choice_is_dropped(filtered: Visit) -> None:
    page = filtered("?agent=desk")
    page.evaluate(_DRAW, ["any", "helper"])
    page.get_by_label("Agent").select_option("helper")
    page.get_by_label("Agent").select_option("desk")
    expect(page.get_by_text("shown: desk 30")).to_be_visible()
    assert "helper 30" in page.evaluate("drawn")
    expect(page.get_by_text("shown: helper 30")).to_have_count(0)
