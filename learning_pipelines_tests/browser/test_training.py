"""The page Training in a browser: proposals decided, prompts compared and written, runs, what serves and the ways back.

Belongs here: what people do on the page. Not here: its routes (api/test_training_routes.py), experiments (test_experiments.py).
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from playwright.sync_api import Locator, Page, expect

from learning_pipelines.acceptance.approval import approve
from learning_pipelines.acceptance.behavior_proposing import propose
from learning_pipelines.acceptance.gate import decide
from learning_pipelines.acceptance.reviewing import OPERATOR
from learning_pipelines.llm_budget import Usage
from learning_pipelines.storage import llm_cache, prompt_runs, training_runs
from learning_pipelines.storage.tenants import AgentRef, agents
from learning_pipelines_tests.acceptance.proposing import learnt, proposed
from learning_pipelines_tests.api.serving import Api, make_agents
from learning_pipelines_tests.browser.conftest import Visit

HOSTILE = "<script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\"> {{firm}} 👩‍🔬 שלום"
EVIDENCE = decide([0.0] * 45 + [1.0] * 15, [1.0] * 40 + [0.0] * 5 + [1.0] * 13 + [0.0] * 2).as_json()
WEIGHT = """() => ["navigation", "resource"].flatMap((kind) => performance.getEntriesByType(kind)).reduce((sum, one) => sum + one.decodedBodySize, 0)"""
"""Bytes of the page, its files and its first answers, before they were packed."""
_numbers = itertools.count(1)


@pytest.fixture
def agent(site: Api) -> AgentRef:
    """An agent of its own whose version 1 serves, with a learnt version 2."""
    name = f"trained-{next(_numbers)}"
    make_agents(site, "default", name)
    with site.database.connect("pipeline") as connection:
        found = agents(connection, "default", name)[0]
        learnt(connection, found, "You sort well. Name the queue only. {{firm}}", scores={"score": 0.88, "test": {"n": 60}})
    return found


@pytest.fixture
def proposal(site: Api, agent: AgentRef) -> UUID:
    """A proposal to serve version 2, with the evidence of the gate."""
    with site.database.connect("pipeline") as connection:
        return proposed(connection, agent, 2, evidence=EVIDENCE)


def served(site: Api, agent: AgentRef) -> str:
    return str(site.get(f"/prompts/{agent.agent}", site.key()).json()["version"])


def card(page: Page, proposal: UUID) -> Locator:
    return page.locator(f"#proposal-{proposal}")


def test_a_proposal_shows_its_numbers_and_what_changes_and_serves_everybody_once_approved(site: Api, visit: Visit, agent: AgentRef, proposal: UUID) -> None:
    page = visit(f"/training?agent={agent.agent}", role="admin", user="ada")
    one = card(page, proposal)
    expect(one.get_by_role("img", name=re.compile(r"Difference \+0\.633"))).to_be_visible()
    expect(one.get_by_role("table", name="Scores on held-out items")).to_contain_text("40 of 60 items")
    expect(one.locator("ins").filter(has_text="sort well")).to_be_visible()
    one.get_by_role("button", name="Approve").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text(f"version 2 of the prompt serves every client of {agent.agent} in the place of version 1")
    dialog.get_by_label("Why it is approved").fill("Reads well.")
    dialog.get_by_role("button", name="Approve").click()
    expect(one.get_by_role("status")).to_have_text(f"Approved: version 2 of the prompt serves {agent.agent} now, version 1 no longer.")
    assert served(site, agent) == "2"
    expect(one).to_contain_text("Reads well.")
    one.get_by_role("button", name="Take back").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("After this version 1 serves")
    dialog.get_by_role("button", name="Roll back").click()
    expect(one.get_by_role("status")).to_contain_text("Rolled back: version 1 of the prompt serves")
    assert served(site, agent) == "1"


def test_a_rollout_in_steps_is_offered_and_leaves_what_serves(site: Api, visit: Visit, agent: AgentRef, proposal: UUID) -> None:
    page = visit(f"/training?agent={agent.agent}", role="admin", user="ada")
    card(page, proposal).get_by_role("button", name="Approve").press("Enter")
    page.get_by_role("radio", name=re.compile(r"In steps \(canary\)")).press("Space")
    page.get_by_role("dialog").get_by_role("button", name="Approve").press("Enter")
    expect(card(page, proposal).get_by_role("status")).to_contain_text("rolls it out, to 1 % of the traffic first")
    assert served(site, agent) == "1"
    page.get_by_role("link", name="What serves").click()
    expect(page.get_by_text("at 1 % of the traffic")).to_be_visible()


def test_a_rejection_keeps_its_notes_as_text(visit: Visit, agent: AgentRef, proposal: UUID) -> None:
    page = visit(f"/training?agent={agent.agent}", role="admin", user="ada")
    card(page, proposal).get_by_role("button", name="Reject").click()
    page.get_by_label("Why it is rejected").fill(HOSTILE)
    page.get_by_role("dialog").get_by_role("button", name="Reject").click()
    expect(card(page, proposal).get_by_role("status")).to_have_text("Rejected. What serves stays.")
    page.reload()
    expect(card(page, proposal)).to_contain_text(HOSTILE)
    assert page.title() == "Training · learning_pipelines"


def test_what_another_tab_decided_meanwhile_is_told_and_nothing_typed_is_lost(site: Api, visit: Visit, agent: AgentRef, proposal: UUID) -> None:
    one, other = (visit(f"/training?proposal={proposal}", role="admin", user=user) for user in ("ada", "grace"))
    for page in (one, other):
        card(page, proposal).get_by_role("button", name="Reject" if page is other else "Approve").click()
    other.get_by_label("Why it is rejected").fill("too long")
    one.get_by_role("dialog").get_by_role("button", name="Approve").click()
    expect(card(one, proposal).get_by_role("status")).to_contain_text("Approved")
    other.get_by_role("dialog").get_by_role("button", name="Reject").click()
    expect(other.get_by_role("alert")).to_contain_text("The proposal is approved already.")
    expect(other.get_by_label("Why it is rejected")).to_have_value("too long")
    other.get_by_role("button", name="Cancel").click()
    expect(card(other, proposal).get_by_role("button", name="Take back")).to_be_enabled()
    assert served(site, agent) == "2"


def test_a_trainer_sees_and_an_administrator_acts(visit: Visit, agent: AgentRef, proposal: UUID) -> None:
    page = visit(f"/training?proposal={proposal}", role="trainer", user="tess")
    expect(card(page, proposal).get_by_role("button", name="Approve")).to_be_disabled()
    expect(card(page, proposal)).to_contain_text("Only an administrator decides about proposals.")
    page.goto(page.url.split("?")[0] + f"?tab=prompts&agent={agent.agent}")
    expect(page.get_by_role("button", name="Write a version from version 1")).to_be_disabled()
    page.get_by_role("link", name="What serves").click()
    expect(page.get_by_role("button", name="Switch learning off")).to_be_disabled()
    expect(page.get_by_role("link", name="Experiments")).to_have_count(0)
    page = visit("/training", role="expert", user="edda")
    expect(page.get_by_role("alert")).to_contain_text("This page needs the role trainer")


def test_a_link_to_a_proposal_opens_it(visit: Visit, agent: AgentRef, proposal: UUID) -> None:
    page = visit(f"/training?proposal={proposal}", role="trainer", user="tess")
    expect(card(page, proposal).get_by_role("heading", level=3)).to_be_focused()
    page = visit(f"/training?proposal={uuid4()}", role="trainer", user="tess")
    expect(page.get_by_role("alert")).to_contain_text("a proposal that does not exist here")
    page = visit("/training?agent=nobody", role="trainer", user="tess")
    expect(page.get_by_role("alert")).to_contain_text("nobody")


def test_a_prompt_is_written_by_hand_kept_as_a_draft_and_pointed_at(site: Api, visit: Visit, agent: AgentRef) -> None:
    page = visit(f"/training?tab=prompts&agent={agent.agent}", role="admin", user="ada")
    page.get_by_role("button", name="Write a version from version 1").click()
    page.get_by_label("Text").fill(HOSTILE)
    expect(page.get_by_text("{{firm}}", exact=True)).to_be_visible()
    expect(page.get_by_text("Draft kept in this tab.")).to_be_visible()
    page.once("dialog", lambda dialog: dialog.accept())
    page.reload()
    expect(page.get_by_label("Text")).to_have_value(HOSTILE)
    page.get_by_role("button", name="Store as a new version").click()
    expect(page.get_by_role("dialog").get_by_role("region", name="What differs")).to_contain_text("<script>")
    page.get_by_role("button", name="Store it").click()
    expect(page.get_by_role("status").filter(has_text="Stored as version 3")).to_be_visible()
    found = site.get(f"/prompts/{agent.agent}/versions/3", site.key("trainer")).json()
    assert (found["messages"], found["parent"]) == ([{"role": "system", "content": HOSTILE}], 1)
    page.get_by_label("To", exact=True).select_option("3")
    expect(page.get_by_role("region", name="What differs between version 1 and version 3")).to_contain_text("<script>")
    page.get_by_role("button", name="Point a label at version 3").click()
    expect(page.get_by_role("dialog")).to_contain_text("now version 1 does")
    page.get_by_role("button", name="Move the label").click()
    expect(page.get_by_role("status").filter(has_text="production points at version 3 now")).to_be_visible()
    assert served(site, agent) == "3" and page.title() == "Training · learning_pipelines"


def test_only_the_editor_that_is_open_asks_whether_to_leave(visit: Visit, agent: AgentRef) -> None:
    page = visit(f"/training?tab=prompts&agent={agent.agent}", role="admin", user="ada")
    asked: list[str] = []
    page.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.accept()))
    for version in (1, 2):
        page.get_by_role("button", name=f"Write a version from version {version}").click()
        expect(page.get_by_role("heading", name=f"A new version, from version {version}")).to_be_visible()
        page.get_by_label("Text").fill(f"Written from version {version}.")
    page.get_by_role("button", name="Store as a new version").click()
    page.get_by_role("button", name="Store it").click()
    expect(page.get_by_role("status").filter(has_text="Stored as version 3")).to_be_visible()
    page.reload()
    expect(page.get_by_role("button", name="Write a version from version 3")).to_be_visible()
    assert asked == [] and page.get_by_label("Text").count() == 0


def test_a_label_that_was_moved_is_told_also_where_the_list_cannot_be_read(site: Api, visit: Visit, agent: AgentRef) -> None:
    page = visit(f"/training?tab=prompts&agent={agent.agent}", role="admin", user="ada")
    page.get_by_role("button", name="Point a label at version 2").click()
    page.route("**/prompts/*/versions", lambda route: route.fulfill(status=422, json={"title": "Not read", "detail": "Not this time."}))
    page.get_by_role("button", name="Move the label").click()
    expect(page.get_by_role("status").filter(has_text="production points at version 2 now")).to_be_visible()
    expect(page.get_by_role("alert")).to_contain_text("Not this time.")
    assert served(site, agent) == "2"


def test_a_decision_is_told_also_where_the_proposal_cannot_be_read(site: Api, visit: Visit, agent: AgentRef, proposal: UUID) -> None:
    page = visit(f"/training?agent={agent.agent}", role="admin", user="ada")
    expect(card(page, proposal).locator("ins").first).to_be_visible()
    page.route(f"**/proposals/{proposal}", lambda route: route.fulfill(status=422, json={"title": "Not read", "detail": "Not this time."}))
    card(page, proposal).get_by_role("button", name="Approve").click()
    page.get_by_role("dialog").get_by_role("button", name="Approve").click()
    expect(card(page, proposal).get_by_role("status")).to_have_text(f"Approved: version 2 of the prompt serves {agent.agent} now, version 1 no longer.")
    assert served(site, agent) == "2"


def test_a_label_that_a_rollout_holds_is_refused_by_name(site: Api, visit: Visit, agent: AgentRef, proposal: UUID) -> None:
    with site.database.connect("pipeline") as connection:
        begun = approve(connection, agent.organization_id, proposal, "canary", OPERATOR, settings=site.settings).experiment
    page = visit(f"/training?tab=prompts&agent={agent.agent}", role="admin", user="ada")
    page.get_by_role("button", name="Point a label at version 2").click()
    page.get_by_role("button", name="Move the label").click()
    expect(page.get_by_role("alert")).to_contain_text(f"The experiment {begun} rolls out version 2 of the prompt")


def test_what_serves_is_rolled_back_and_learning_is_switched_off_and_on(site: Api, visit: Visit, agent: AgentRef, proposal: UUID) -> None:
    with site.database.connect("pipeline") as connection:
        approve(connection, agent.organization_id, proposal, "immediate", OPERATOR, settings=site.settings)
    page = visit(f"/training?tab=serving&agent={agent.agent}", role="admin", user="ada")
    row = page.get_by_role("row").filter(has=page.get_by_role("rowheader", name="Prompt"))
    expect(row).to_contain_text("version 2")
    page.get_by_role("button", name="Switch learning off").click()
    sure = page.get_by_role("dialog").get_by_role("button", name="Switch learning off")
    expect(sure).to_be_disabled()
    page.get_by_label(re.compile("Type")).fill(agent.agent)
    sure.click()
    expect(page.get_by_role("status").filter(has_text="Learning is off")).to_be_visible()
    expect(row).to_contain_text("version 2 when learning is on")
    assert served(site, agent) == "1"
    page.get_by_role("button", name="Switch learning on").click()
    page.get_by_role("dialog").get_by_role("button", name="Switch learning on").click()
    expect(page.get_by_role("heading", name="Learning is on")).to_be_visible()
    page.get_by_role("button", name="Roll back the prompt").click()
    page.get_by_role("dialog").get_by_role("button", name="Roll back").click()
    expect(page.get_by_role("status").filter(has_text="Rolled back: version 1")).to_be_visible()
    assert served(site, agent) == "1"
    expect(page.get_by_role("button", name="Roll back the prompt")).to_be_disabled()


def test_what_another_changes_is_seen_without_reloading(site: Api, visit: Visit, agent: AgentRef) -> None:
    page = visit(f"/training?tab=serving&agent={agent.agent}", role="trainer", user="tess")
    expect(page.get_by_role("heading", name="Learning is on")).to_be_visible()
    site.ask("POST", f"/agents/{agent.agent}/disable", site.key("admin"))
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")  # as when its tab is shown again: sooner than its clock would
    expect(page.get_by_role("heading", name="Learning is off")).to_be_visible()


@pytest.fixture
def run(site: Api, agent: AgentRef) -> UUID:
    """A training run that is half done."""
    candidate: dict[str, Any] = {
        "parent": "", "note": "4 shown", "content_hash": None, "messages": None, "serving": None, "shown": [], "items": 20, "input_tokens": 100.0,
        "seconds": 0.5, "on_front": False,
    }  # fmt: skip
    with site.database.connect("pipeline") as connection:
        begun = training_runs.begin(connection, agent, "prompt_optimization", dataset_id=None, config={"fingerprint": "f"}, dagster_run_id=str(uuid4())).id
        training_runs.progressed(connection, agent, begun, 0.5)
        training_runs.measured(connection, agent, begun, {"search": {"compared": 2, "evaluations": 40, "stopped": "the budget was spent"}})
        prompt_runs.store_candidates(connection, agent, begun, [
            {**candidate, "name": "few_shot-1", "strategy": "few_shot", "mean_score": 0.6, "outcome": "finished", "is_winner": True},
            {**candidate, "name": "clarify-2", "strategy": "clarify", "mean_score": 0.4, "outcome": "lost its race", "is_winner": False},
        ])  # fmt: skip
        usage = Usage("task", "small", requests=40, answers=40, cache_hits=3, input_tokens=500, output_tokens=50)
        llm_cache.record_usage(connection, agent.organization_id, str(begun), [usage])
    return begun


def test_runs_show_their_progress_and_candidates_though_dagster_is_away(site: Api, visit: Visit, agent: AgentRef, run: UUID) -> None:
    page = visit(f"/training?tab=runs&agent={agent.agent}", role="trainer", user="tess")
    expect(page.get_by_text("Dagster is away.")).to_be_visible()
    one = page.get_by_role("article", name=f"Prompt optimization of {agent.agent}")
    expect(one.get_by_text("50 % done")).to_be_visible()
    one.get_by_text("Numbers of this run").click()
    expect(one.get_by_role("row").filter(has_text="few_shot-1")).to_contain_text("winner")
    with site.database.connect("pipeline") as connection:
        training_runs.completed(connection, agent, run, best={"score": 0.6}, requires_review=False)
    expect(one.get_by_text("completed").first).to_be_visible(timeout=10_000)
    expect(page.locator("#announcements")).to_have_text(f"Prompt optimization of {agent.agent}: completed")


def test_runs_of_dagster_are_joined_with_what_was_measured_and_one_is_started(
    site: Api, visit: Visit, agent: AgentRef, run: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    with site.database.connect("pipeline") as connection:
        (dagster,) = connection.execute("SELECT dagster_run_id FROM training_runs WHERE id = %s", [run]).fetchone() or ("",)
    times = {"created_at": "2026-11-23T02:00:00+00:00", "started_at": "2026-11-23T02:00:01+00:00", "ended_at": None}
    told = {"job": "prompt_optimization", "agent": agent.agent, "outcome": None, "reason": None, "progress": 0.2, **times}
    few = {"outcome": "skipped", "reason": "4 of 10 approved examples", "ended_at": times["started_at"]}
    skipped = {**told, "run_id": str(uuid4()), "status": "completed", **few}
    monkeypatch.setattr(site.service.dagster, "runs", lambda *_: [{**told, "run_id": dagster, "status": "running"}, skipped])
    started = list[tuple[Any, ...]]()
    monkeypatch.setattr(site.service.dagster, "launch", lambda *given: (started.append(given), str(uuid4()))[1])
    page = visit(f"/training?tab=runs&agent={agent.agent}", role="trainer", user="tess")
    one, other = (page.get_by_role("article", name=f"Prompt optimization of {agent.agent}").nth(at) for at in (0, 1))
    expect(one).to_contain_text("50 % done")
    expect(one).to_contain_text("40 answers")
    expect(other).to_contain_text("Skipped: 4 of 10 approved examples")
    expect(one.get_by_role("link", name="in Dagster")).to_have_attribute("href", re.compile(f"/runs/{dagster}$"))
    page.get_by_text("Start prompt optimization").first.click()
    page.get_by_label("Weight of clarity").fill("0.5")
    page.get_by_label("Most calls of the model").fill("70")
    page.get_by_role("button", name="Start prompt optimization").click()
    expect(page.get_by_role("status").filter(has_text="waits in the queue")).to_be_visible()
    assert started[0][:3] == ("prompt_optimization", "default", agent.agent)
    assert (started[0][3]["learning/budget"], started[0][3]["learning/optimization_goals"]) == ("70", '{"clarity":0.5}')


def test_a_megabyte_pasted_into_a_prompt_is_refused_in_words_and_stays(visit: Visit, agent: AgentRef) -> None:
    page = visit(f"/training?tab=prompts&agent={agent.agent}", role="admin", user="ada")
    page.get_by_role("button", name="Write a version from version 1").click()
    text = "long " * 210_000
    put = "(element, text) => { element.value = text; element.dispatchEvent(new Event('input')); }"  # typed key by key it takes Chromium itself seconds
    page.get_by_label("Text").evaluate(put, text)
    page.get_by_role("button", name="Store as a new version").click()
    page.get_by_role("button", name="Store it").click()
    expect(page.get_by_role("dialog").get_by_role("alert")).to_be_visible()
    page.get_by_role("button", name="Cancel").click()
    assert page.get_by_label("Text").input_value() == text


def test_a_link_to_a_run_opens_it_and_starting_one_without_dagster_is_refused(visit: Visit, agent: AgentRef, run: UUID) -> None:
    page = visit(f"/training?run={run}", role="trainer", user="tess")
    linked = page.get_by_role("region", name="The run of this link")
    expect(linked.get_by_role("row").filter(has_text="few_shot-1")).to_be_visible()
    page.get_by_text("Start prompt optimization").first.click()
    page.get_by_label("Agent to optimize").select_option(agent.agent)
    page.get_by_label("Most calls of the model").fill("70")
    page.get_by_role("button", name="Start prompt optimization").click()
    expect(page.get_by_role("alert")).to_contain_text("Dagster does not answer")
    expect(page.get_by_label("Most calls of the model")).to_have_value("70")


def test_proposals_of_every_kind_are_shown(site: Api, visit: Visit, agent: AgentRef) -> None:
    guards = [{"name": "old passages", "n": 40, "incumbent_mean": 0.5, "candidate_mean": 0.55, "difference": 0.05, "low": -0.01, "state": "clear"}]
    kinds: dict[str, Any] = {
        "playbook": {"text": "Playbook: look the order up first."}, "rules": {"rules": ["Be brief.", HOSTILE]},
        "guidance": {"sources": {"rules": 0.2}, "tokens": 300},
    }  # fmt: skip
    with site.database.connect("pipeline") as connection:
        for kind, config in kinds.items():
            evidence = {**EVIDENCE, "guards": guards}
            propose(  # type: ignore[arg-type]
                connection, agent, site.settings, kind="playbook", subject_kind=kind, topic=kind, config=config, metrics={}, evidence=evidence
            )  # fmt: skip
        scores = {side: {"mean": 0.5, "low": 0.4, "high": 0.6, "items": 60.0} for side in ("incumbent", "learnt", "control")}
        propose(connection, agent, site.settings, kind="policy", subject_kind="policy", config={"kind": "ranked"}, metrics={}, evidence=EVIDENCE)
        propose(
            connection, agent, site.settings, kind="fine_tune", subject_kind="fine_tune", topic="sft", config={"method": "sft"}, metrics={},
            evidence={**EVIDENCE, "scores": scores, "control": EVIDENCE, "training_loss": 1.2},
        )  # fmt: skip
    page = visit(f"/training?agent={agent.agent}", role="trainer", user="tess")
    told = {"Playbook": "look the order up first", "Rules": HOSTILE, "Guidance": "tokens: 300", "Policy": "kind: ranked", "Fine-tuned": "method: sft"}
    for name, text in told.items():
        expect(page.get_by_role("article", name=re.compile(f"^{name}")).get_by_role("region", name=re.compile("What differs"))).to_contain_text(text)
    expect(page.get_by_role("table", name="Parts that must not be harmed").first).to_contain_text("old passages")
    expect(page.get_by_role("article", name=re.compile("^Fine"))).to_contain_text("learnt from shuffled answers")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_section_is_without_barriers_and_fits_a_narrow_screen(
    site: Api, visit: Visit, axe: Callable[[Page], list[str]], shot: Callable[[Page, str], Path], agent: AgentRef, proposal: UUID, run: UUID, scheme: Any
) -> None:  # fmt: skip
    page = visit("/training", role="admin", user="ada", color_scheme=scheme)
    for section in ("proposals", "runs", "prompts", "serving"):
        page.goto(f"{site.url}/training?tab={section}&agent={agent.agent}" + (f"&run={run}" if section == "runs" else ""))
        page.wait_for_selector(".filtered section, .filtered article")
        page.wait_for_load_state("networkidle")
        if section == "prompts":
            page.get_by_role("button", name="Write a version from version 2").click()
        page.set_viewport_size({"width": 1280, "height": 900})
        assert page.evaluate(WEIGHT) <= 150_000
        assert axe(page) == []
        shot(page, f"training-{section}-{scheme}")
        if scheme == "light":
            page.set_viewport_size({"width": 320, "height": 800})
            shot(page, f"training-{section}-narrow")
            assert page.evaluate("document.documentElement.scrollWidth") <= 320
