"""Where a rollout is and what it waits for, the decision that ended it, and looks thinned for a plot.

Belongs here: ramp.py, and what numbers.py says of an ending and of looks. Not here: taking steps (test_canary.py).
"""

from __future__ import annotations

from typing import Any

import pytest
from psycopg.types.json import Jsonb

from learning_pipelines.acceptance import approval
from learning_pipelines.acceptance.reviewing import Reviewer
from learning_pipelines.experiments import lifecycle, looking
from learning_pipelines.experiments.numbers import so_far
from learning_pipelines.settings import Settings
from learning_pipelines.storage import experiment_decisions, experiments
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.experiment_rows import Experiment
from learning_pipelines.storage.tenants import AgentRef
from learning_pipelines_tests.acceptance.proposing import an_agent, learnt, proposed
from learning_pipelines_tests.conftest import Load
from learning_pipelines_tests.experiments.living import running
from learning_pipelines_tests.experiments.seen import aged, exposed, thumbs

ADA = Reviewer("user:ada")


@pytest.fixture
def desk(pipeline: Connection, load: Load) -> AgentRef:
    return an_agent(pipeline, load)


@pytest.fixture
def rollout(pipeline: Connection, desk: AgentRef) -> Experiment:
    done = approval.approve(pipeline, desk.organization_id, proposed(pipeline, desk, learnt(pipeline, desk)), "canary", ADA, None)
    assert done.experiment is not None
    return again(pipeline, desk, done.experiment)


def again(connection: Connection, agent: AgentRef, experiment: Any) -> Experiment:
    found = experiments.find(connection, agent.organization_id, experiment)
    assert found is not None
    return found


def test_a_step_says_since_when_it_lasts_and_what_the_next_one_waits_for(pipeline: Connection, desk: AgentRef, rollout: Experiment) -> None:
    thumbs(pipeline, desk, rollout.id, control=(5, 4), treatment=(5, 4))
    aged(pipeline, desk, rollout.id, hours=10)
    ramp = so_far(pipeline, desk, again(pipeline, desk, rollout.id))["ramp"]
    assert (ramp["percent"], ramp["next_percent"], ramp["units"], ramp["units_needed"], ramp["hours_needed"]) == (1, 5, 5, 12, 24)
    assert ramp["hours"] == pytest.approx(10, abs=0.1) and ramp["since"] == again(pipeline, desk, rollout.id).epochs[0].started_at.isoformat()
    assert [wait.split(",")[0] for wait in ramp["waits"]] == [
        "It stays at a step for 24 hours", "12 units of the treatment with a value of thumbs are needed here",
    ]  # fmt: skip


def test_a_step_that_was_paused_began_before_the_pause(pipeline: Connection, desk: AgentRef, rollout: Experiment) -> None:
    began = again(pipeline, desk, rollout.id).epochs[0].started_at
    lifecycle.pause(pipeline, desk.organization_id, rollout.id, ADA)
    lifecycle.resume(pipeline, desk.organization_id, rollout.id, ADA, Settings())
    assert so_far(pipeline, desk, again(pipeline, desk, rollout.id))["ramp"]["since"] == began.isoformat()


def test_the_next_step_begins_anew(pipeline: Connection, desk: AgentRef, rollout: Experiment) -> None:
    exposed(pipeline, desk, rollout.id, control=20, treatment=20)
    thumbs(pipeline, desk, rollout.id, control=(20, 15), treatment=(20, 15))
    aged(pipeline, desk, rollout.id, hours=25)
    assert so_far(pipeline, desk, again(pipeline, desk, rollout.id))["ramp"]["waits"] == []
    looking.look(pipeline, desk, rollout.id, Settings())
    now = again(pipeline, desk, rollout.id)
    ramp = so_far(pipeline, desk, now)["ramp"]
    assert (ramp["percent"], ramp["units"], ramp["units_needed"]) == (5, 20, 60)
    assert ramp["since"] == now.epochs[1].started_at.isoformat()


def test_what_has_ended_tells_its_decision_and_climbs_no_more(pipeline: Connection, desk: AgentRef, rollout: Experiment) -> None:
    assert so_far(pipeline, desk, rollout)["ending"] is None
    lifecycle.abort(pipeline, desk.organization_id, rollout.id, ADA, "The release was put off.")
    found = so_far(pipeline, desk, again(pipeline, desk, rollout.id))
    assert found["ramp"] is None
    assert (found["ending"]["decision"], found["ending"]["decided_by"]) == ("inconclusive", "user:ada")
    assert found["ending"]["reason"] == "It was aborted at 1 %: The release was put off."


def test_an_experiment_is_no_rollout(pipeline: Connection, desk: AgentRef) -> None:
    learnt(pipeline, desk)
    assert so_far(pipeline, desk, running(pipeline, desk))["ramp"] is None


@pytest.mark.parametrize(("stored", "most", "expected"), [(5, 5, [0, 1, 2, 3, 4]), (9, 5, [0, 2, 4, 6, 8]), (10, 4, [0, 3, 6, 9]), (1, 5, [0]), (0, 5, [])])
def test_of_many_looks_the_plot_has_an_even_part_with_the_last(
    pipeline: Connection, desk: AgentRef, rollout: Experiment, stored: int, most: int, expected: list[int]
) -> None:
    for number in range(stored):
        pipeline.execute(
            "INSERT INTO experiment_decisions (organization_id, experiment_id, decision, reason, evidence, decided_by) VALUES (%s, %s, %s, '', %s, 'x')",
            [desk.organization_id, rollout.id, "inconclusive", Jsonb({"outcome": {"number": number}})],
        )
    found = experiment_decisions.outcomes(pipeline, desk.organization_id, rollout.id, most)
    assert [outcome["number"] for _, outcome in found] == expected
