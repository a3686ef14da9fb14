"""Experiments on the page Training: made, started, looked at, weighed, ended; what each role may; numbers with their plot.

Belongs here: what a person does in this section. Not here: approval and rollouts from their beginning to their end (test_story.py).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pytest
from playwright.sync_api import Page, expect

from learning_pipelines.acceptance.reviewing import Reviewer
from learning_pipelines.experiments import lifecycle, looking
from learning_pipelines.experiments.plans import Asked, Plan
from learning_pipelines.storage.tenants import AgentRef
from learning_pipelines_tests.api.experimenting import an_agent
from learning_pipelines_tests.api.serving import Api
from learning_pipelines_tests.browser.conftest import Visit
from learning_pipelines_tests.experiments.seen import aged, exposed, thumbs

ADA = Reviewer("user:ada")
SCRIPT = "<img src=x onerror='window.broken = true'> kürzer 🩹 קצר"
Axe, Shot = Callable[[Page], list[str]], Callable[[Page, str], Path]


@pytest.fixture(scope="module")
def sorter(site: Api) -> AgentRef:
    """An agent whose version 1 serves, with a version 2."""
    return an_agent(site, "sorter")


@pytest.fixture
def draft(site: Api, sorter: AgentRef) -> UUID:
    """An experiment that has not been started; whatever ran before is over."""
    with site.database.connect("pipeline") as connection:
        connection.execute("UPDATE learning_experiments SET status = 'cancelled' WHERE status IN ('running', 'paused')")
        plan = Plan(SCRIPT, (Asked(None, None), Asked("shorter", 2)), min_sample_size=100, min_duration_hours=24)
        return lifecycle.create(connection, sorter, plan, ADA, site.settings).id


def run(site: Api, agent: AgentRef, experiment: UUID, *looks: tuple[int, int]) -> None:
    """Starts it and looks at it once for each (thumbs up of the control, of the treatment) out of 60 more."""
    with site.database.connect("pipeline") as connection:
        lifecycle.start(connection, agent.organization_id, experiment, ADA, site.settings)
        for ups in looks:
            exposed(connection, agent, experiment, control=60, shorter=60)
            thumbs(connection, agent, experiment, control=(60, ups[0]), shorter=(60, ups[1]))
            aged(connection, agent, experiment, hours=13)
            looking.look(connection, agent, experiment, site.settings)


def asked(page: Page, name: str) -> None:
    """Presses an action and what its dialog asks back, by keyboard."""
    page.get_by_role("group", name="Actions").get_by_role("button", name=name).press("Enter")
    page.get_by_role("dialog").get_by_role("button", name=name).press("Enter")
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_an_experiment_is_made_from_the_form_and_what_is_refused_stays_typed(visit: Visit, sorter: AgentRef, draft: UUID) -> None:
    page = visit("/training?agent=sorter&tab=experiments", role="experimenter", user="eve")
    page.get_by_text("New experiment").click()
    page.get_by_label("Name").fill("terser")
    page.get_by_label("Treatment version").fill("99")
    page.get_by_label("Smallest gain that matters").fill("0.04")
    expect(page.get_by_text("experiments size --metric thumbs --baseline 0.6 --effect 0.04 --shares 0.5,0.5")).to_be_visible()
    page.get_by_role("button", name="Make it").click()
    expect(page.get_by_role("alert")).to_contain_text("99")
    expect(page.get_by_label("Treatment version")).to_be_focused()
    expect(page.get_by_label("Name")).to_have_value("terser")
    page.get_by_label("Treatment version").fill("2")
    page.keyboard.press("Enter")
    made = page.locator("details", has=page.locator("summary", has_text="terser"))
    expect(made.get_by_text("It serves nobody before it is started.")).to_be_visible()
    expect(made.locator("summary .badge").first).to_have_text("draft")


def test_an_experimenter_starts_weighs_pauses_and_ends_it(site: Api, visit: Visit, sorter: AgentRef, draft: UUID) -> None:
    page = visit(f"/training?agent=sorter&experiment={draft}", role="experimenter", user="eve")
    asked(page, "Start")
    expect(page.get_by_text("So far: inconclusive")).to_be_visible()
    page.get_by_role("button", name="Change shares").click()
    page.get_by_label("shorter, % of new units").fill("70")
    page.get_by_role("dialog").get_by_role("button", name="Change shares").click()
    expect(page.get_by_role("dialog").get_by_role("alert")).to_be_visible()  # 120 % are refused
    expect(page.get_by_label("shorter, % of new units")).to_have_value("70")
    page.get_by_label("control, % of new units").fill("30")
    page.get_by_role("dialog").get_by_role("button", name="Change shares").click()
    expect(page.get_by_role("cell", name="70 %")).to_be_visible()
    asked(page, "Pause")
    asked(page, "Resume")
    page.get_by_role("button", name="Conclude").click()
    decision = page.get_by_label("Decision")
    assert decision.locator("option", has_text="an administrator's").is_disabled()
    decision.select_option("keep the control")
    page.get_by_label("Notes (why)").fill(SCRIPT)
    page.get_by_role("dialog").get_by_role("button", name="Conclude").click()
    ended = page.locator("details", has=page.locator(".notice", has_text="Decided: keep the control"))
    expect(ended).to_contain_text(SCRIPT)
    expect(page.get_by_role("group", name="Actions")).not_to_contain_text("Resume")
    assert page.evaluate("window.broken") is None


def test_numbers_stand_with_their_interval_and_a_plot_that_grows(site: Api, visit: Visit, sorter: AgentRef, draft: UUID, axe: Axe, shot: Shot) -> None:
    run(site, sorter, draft, (30, 38), (31, 42))
    page = visit(f"/training?agent=sorter&experiment={draft}", role="admin", user="ada")
    expect(page.get_by_text("2 looks that saw something new")).to_be_visible()
    expect(page.get_by_role("row", name="thumbs primary")).to_contain_text("120 / 120")
    expect(page.get_by_text("The arms have their shares")).to_be_visible()
    with site.database.connect("pipeline") as connection:
        exposed(connection, sorter, draft, control=600, shorter=600)
        thumbs(connection, sorter, draft, control=(600, 300), shorter=(600, 420))
    page.get_by_role("button", name="Look now").click()
    expect(page.get_by_text("3 looks that saw something new")).to_be_visible()
    expect(page.get_by_text("So far: adopt the treatment")).to_be_visible()
    expect(page.get_by_role("img", name="shorter minus control in thumbs, look by look")).to_be_visible()
    page.get_by_role("button", name="Look now").click()
    expect(page.get_by_text("Nothing is new since the last look.")).to_be_visible()
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        assert axe(page) == []
        shot(page, f"experiments-{scheme}")
    page.set_viewport_size({"width": 320, "height": 640})
    shot(page, "experiments-narrow")
    assert page.evaluate("document.documentElement.scrollWidth") <= 320


def test_who_may_not_experiment_is_told(visit: Visit, sorter: AgentRef) -> None:
    page = visit("/training?tab=experiments", role="expert", user="edda")
    expect(page.get_by_text("you are signed in with the role expert")).to_be_visible()


def test_a_link_to_an_experiment_that_is_not_there_says_so(visit: Visit, sorter: AgentRef, draft: UUID) -> None:
    page = visit("/training?tab=experiments&experiment=5f2d8e1c-0f5b-4d0e-9a53-0c8f3f0a7b11", role="experimenter", user="eve")
    expect(page.get_by_role("alert")).to_contain_text("experiment")
    expect(page.locator("summary", has_text="kürzer").first).to_be_visible()
