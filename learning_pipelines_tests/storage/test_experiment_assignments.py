"""Assignments as rows: whoever was met is met once, counts are per epoch.

Belongs here: storage/experiment_assignments.py. Not here: who gets what (experiments/test_assignment.py), serving (api/).
"""

from __future__ import annotations

import datetime as dt
from uuid import UUID, uuid4

import pytest

from learning_pipelines.storage import experiment_assignments as assignments
from learning_pipelines.storage import experiments, tenants
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.experiment_assignments import Exposure
from learning_pipelines.storage.experiment_rows import Arm
from learning_pipelines.storage.tenants import AgentRef
from learning_pipelines_tests.conftest import Load

AT = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)


@pytest.fixture
def agent(pipeline: Connection, load: Load) -> AgentRef:
    load("agents", [{"agent": "desk", "system_prompt": "Answer."}])
    return tenants.agents(pipeline, "default", "desk")[0]


def experiment(pipeline: Connection, agent: AgentRef) -> UUID:
    return experiments.add(pipeline, agent, name="shorter", arms=(Arm("control", 1, 0.5), Arm("treatment", 2, 0.5)))


def met(experiment_id: UUID, unit: str, variant: str = "control", epoch: int = 1, later: int = 0) -> Exposure:
    return Exposure(experiment_id, unit, variant, epoch, AT + dt.timedelta(seconds=later))


def test_a_unit_is_met_once_and_its_first_row_stands(pipeline: Connection, agent: AgentRef) -> None:
    one = experiment(pipeline, agent)
    assert assignments.add(pipeline, agent.organization_id, [met(one, "ann")]) == 1
    assert assignments.add(pipeline, agent.organization_id, [met(one, "ann", "treatment", 2), met(one, "bob", "treatment", 2)]) == 1
    assert assignments.variant_of(pipeline, agent.organization_id, one, "ann") == "control"
    assert assignments.counts(pipeline, agent.organization_id, [one]) == {one: {1: {"control": 1}, 2: {"treatment": 1}}}


def test_of_two_exposures_of_a_unit_in_one_batch_the_earlier_counts(pipeline: Connection, agent: AgentRef) -> None:
    one = experiment(pipeline, agent)
    assert assignments.add(pipeline, agent.organization_id, [met(one, "ann", "treatment", 2, later=5), met(one, "ann")]) == 1
    row = pipeline.execute("SELECT variant, epoch, exposed_at FROM experiment_assignments").fetchall()
    assert row == [("control", 1, AT)]


def test_exposures_of_an_experiment_that_is_gone_do_not_hold_up_the_others(pipeline: Connection, agent: AgentRef) -> None:
    one = experiment(pipeline, agent)
    assert assignments.add(pipeline, agent.organization_id, [met(uuid4(), "ann"), met(one, "ann")]) == 1
    assert assignments.add(pipeline, agent.organization_id, []) == 0


def test_who_was_not_met_has_no_variant(pipeline: Connection, agent: AgentRef) -> None:
    one = experiment(pipeline, agent)
    assert assignments.variant_of(pipeline, agent.organization_id, one, "ann") is None
    assert assignments.counts(pipeline, agent.organization_id, [one]) == {}
