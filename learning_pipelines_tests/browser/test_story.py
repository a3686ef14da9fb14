"""From an approval to what serves everybody, on the pages: a rollout in steps and an experiment, both with real traffic through the API.

Belongs here: the way as a whole. Not here: single sections of the page (test_training.py, test_experiments.py), the rules (experiments/).
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from playwright.sync_api import Page, expect

from learning_pipelines.api.experiments_serving import FRESH_SECONDS
from learning_pipelines.experiments.assignment import placed
from learning_pipelines.experiments.collecting import collect
from learning_pipelines.experiments.hour import look_at_all
from learning_pipelines.settings import Settings
from learning_pipelines.storage import experiments
from learning_pipelines.storage.tenants import AgentRef
from learning_pipelines_tests.acceptance.proposing import proposed
from learning_pipelines_tests.api.experimenting import an_agent, asked, met
from learning_pipelines_tests.api.serving import Api
from learning_pipelines_tests.browser.conftest import Visit
from learning_pipelines_tests.browser.test_training import EVIDENCE, card, served

Shot = Callable[[Page, str], Path]


@pytest.fixture(scope="module")
def site_settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Steps of a rollout that last no longer than it takes to see some people."""
    limits = "key=100000/second,user=100000/second,address=100000/second"
    return Settings(home=tmp_path_factory.mktemp("site"), database_url=None, rate_limits=limits, canary_step_hours=0, canary_step_units=20)


def traffic(site: Api, agent: AgentRef, experiment: UUID, people: int, up: Callable[[str, int], bool]) -> None:
    """So many people of each arm are served by the API, do something with the answer and say thumbs; then the hourly job looks.

    People who take no part are passed over before they ask: at 1 % of the traffic that would be 98 of 100 requests.
    """
    with site.database.connect("pipeline") as connection:
        found = experiments.find(connection, agent.organization_id, experiment)
    assert found is not None
    chosen: dict[str, list[str]] = {arm.variant: [] for arm in found.arms}
    number = 0
    while min(map(len, chosen.values())) < people:
        unit, number = f"{found.step}-{number}-{experiment}", number + 1
        variant = placed(found, unit).variant
        if variant is not None and len(chosen[variant]) < people:
            chosen[variant].append(unit)
    executions: list[dict[str, Any]] = []
    said: list[dict[str, Any]] = []
    for place in range(people):
        for variant in chosen:  # in turn, as they come: values are compared in their order
            unit = chosen[variant][place]
            answer = asked(site, agent, unit)
            assert (answer["experiment"], answer["variant"]) == (str(experiment), variant)
            context = {"experiment": answer["experiment"], "variant": answer["variant"], "unit": unit}
            executions.append({"execution_id": f"x-{unit}", "agent": agent.agent, "input": "Which queue?", "output": "Billing.", "user": unit,
                               "prompt_version": answer["version"], "latency_ms": 400.0, "context": context})  # fmt: skip
            thumb = "thumbs_up" if up(variant, place) else "thumbs_down"
            said.append({"feedback_id": f"f-{unit}", "execution_id": f"x-{unit}", "feedback_type": thumb, "user": unit})
    earlier = len(met(site, experiment, 0).keys() - {f"{found.step}-{one}-{experiment}" for one in range(number)})
    assert len(met(site, experiment, earlier + len(executions))) == earlier + len(executions)
    key = site.key()
    for path, items in (("/executions/batch", executions), ("/feedback/batch", said)):
        assert {one["status"] for one in site.post(path, {"items": items}, key).json()["results"]} == {"stored"}
    hour(site)


def hour(site: Api) -> None:
    """What the hourly job does."""
    with site.database.connect("pipeline") as connection:
        collect(connection)
        assert look_at_all(connection, site.settings).failed == {}
    time.sleep(FRESH_SECONDS)


def test_a_proposal_is_approved_in_steps_and_serves_everybody_in_the_end(site: Api, visit: Visit, shot: Shot) -> None:
    agent = an_agent(site, "canary")
    with site.database.connect("pipeline") as connection:
        proposal = proposed(connection, agent, 2, evidence=EVIDENCE)
    page = visit(f"/training?proposal={proposal}", role="admin", user="ada")
    card(page, proposal).get_by_role("button", name="Approve").click()
    page.get_by_role("radio", name=re.compile(r"In steps \(canary\)")).check()
    page.get_by_role("dialog").get_by_role("button", name="Approve").click()
    page.get_by_role("link", name="the experiment").click()
    expect(page.get_by_role("heading", name="Rollout: 1 % of the traffic")).to_be_visible()
    experiment = UUID(re.findall(r"experiment=([0-9a-f-]{36})", page.url)[0])
    time.sleep(FRESH_SECONDS)
    for looks, (percent, people) in enumerate(((5, 3), (25, 4), (50, 8)), start=1):
        traffic(site, agent, experiment, people, lambda variant, place: place % 4 > 0)
        page.reload()
        expect(page.get_by_role("heading", name=f"Rollout: {percent} % of the traffic")).to_be_visible()
        expect(page.get_by_text(f"{looks} {'looks' if looks > 1 else 'look'} that saw something new")).to_be_visible()
        assert served(site, agent) == "1"
    shot(page, "story-rollout")
    traffic(site, agent, experiment, 12, lambda variant, place: place % 4 > 0)
    page.reload()
    expect(page.get_by_text("Decided: adopt the treatment")).to_be_visible()
    shot(page, "story-decided")
    assert served(site, agent) == "2"
    assert {asked(site, agent, f"anybody {number}")["version"] for number in range(5)} == {"2"}


def test_an_experiment_is_made_sees_a_winner_and_an_administrator_adopts_it(site: Api, visit: Visit, shot: Shot) -> None:
    agent = an_agent(site, "trial")
    page = visit("/training?agent=trial&tab=experiments", role="admin", user="ada")
    page.get_by_text("New experiment").click()
    for label, value in (("Name", "shorter"), ("Treatment version", "2"), ("Hours at least", "0"), ("Units in each arm at least", "40")):
        page.get_by_label(label, exact=True).fill(value)
    page.get_by_label("Start it at once").check()
    page.get_by_role("button", name="Make it").click()
    expect(page.get_by_text("So far: inconclusive")).to_be_visible()
    (one,) = site.get("/experiments?agent=trial", site.key("experimenter")).json()["experiments"]
    time.sleep(FRESH_SECONDS)
    traffic(site, agent, UUID(one["id"]), 45, lambda variant, place: place % 10 < (9 if variant == "treatment" else 3))
    assert served(site, agent) == "1"
    page.reload()
    expect(page.get_by_text("So far: adopt the treatment")).to_be_visible()
    expect(page.get_by_text("The arms have their shares")).to_be_visible()
    page.get_by_role("button", name="Conclude").click()
    page.get_by_label("Decision").select_option("adopt the treatment")
    page.get_by_role("dialog").get_by_role("button", name="Conclude").click()
    expect(page.get_by_text("Decided: adopt the treatment")).to_be_visible()
    shot(page, "story-adopted")
    assert served(site, agent) == "2"
    assert {asked(site, agent, f"anybody {number}")["version"] for number in range(5)} == {"2"}
