"""Events that must not count: left out, counted by reason, and in no value of a unit and no state of a metric.

Belongs here: claims and feedback that experiments refuse. Not here: what counts (test_collecting.py), how an output refuses to answer (test_refusals.py).
"""

from __future__ import annotations

import datetime as dt
from typing import Any
from uuid import uuid4

import pytest
from psycopg.types.json import Jsonb

from learning_pipelines.experiments.collecting import collect
from learning_pipelines.storage import experiment_units, experiments
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.experiment_units import REFUSED
from learning_pipelines_tests.conftest import Load
from learning_pipelines_tests.experiments.world import ARMS, Trial, after, said, trial


@pytest.fixture
def running(pipeline: Connection, load: Load) -> Trial:
    one = trial(pipeline, load)
    one.expose(pipeline, "ann", "control")
    return one


def refused(connection: Connection, one: Trial) -> dict[str, int]:
    """Events that were left out; nothing else may have come of them."""
    ours = (connection, one.agent.organization_id, one.id)
    assert not experiment_units.states(*ours) and not experiment_units.units(*ours)
    return experiment_units.refused(*ours)


def test_an_experiment_that_is_not_there_or_of_another_organization(pipeline: Connection, load: Load, running: Trial) -> None:
    load("agents", [{"agent": "theirs"}], organization="others")
    elsewhere = running.execution("e2", "ann", "control") | {"agent": "theirs"}
    pipeline.execute("""INSERT INTO learning_experiments (organization_id, agent_id, name, started_at)
        SELECT organization_id, id, 'of theirs', now() FROM agents WHERE slug = 'theirs'""")
    load("executions", [elsewhere], organization="others")
    load("executions", [running.execution("e1", "ann", "control") | {"context": {"experiment": str(uuid4()), "variant": "control", "unit": "ann"}}])
    done = collect(pipeline)
    assert (done.refused, done.executions, refused(pipeline, running)) == ({"unknown_experiment": 2}, 0, {})


def test_an_experiment_of_another_agent(pipeline: Connection, load: Load, running: Trial) -> None:
    load("agents", [{"agent": "other"}])
    load("executions", [running.execution("e1", "ann", "control") | {"agent": "other"}])
    collect(pipeline)
    assert refused(pipeline, running) == {"other_agent": 1}


def test_a_draft(pipeline: Connection, load: Load, running: Trial) -> None:
    draft = Trial(experiments.add(pipeline, running.agent, name="draft", arms=ARMS), running.agent)
    load("executions", [draft.execution("e1", "ann", "control")])
    collect(pipeline)
    assert refused(pipeline, draft) == {"not_started": 1}


def test_a_variant_that_the_experiment_does_not_have_or_has_no_longer(pipeline: Connection, load: Load, running: Trial) -> None:
    running.expose(pipeline, "bob", "treatment")
    kept = [{"variant": "control", "version": 1, "weight": 1.0}]
    pipeline.execute("UPDATE learning_experiments SET arms = %s WHERE id = %s", [Jsonb(kept), running.id])
    load("executions", [running.execution("e1", "ann", "shorter"), running.execution("e2", "bob", "treatment")])
    collect(pipeline)
    assert refused(pipeline, running) == {"unknown_variant": 2}


def test_a_variant_that_never_served_the_unit(pipeline: Connection, load: Load, running: Trial) -> None:
    other = "control" if running.variant_of(pipeline, "dora") == "treatment" else "treatment"
    load("executions", [running.execution("e1", "ann", "treatment"), running.execution("e2", "dora", other)])
    load("feedback", [said("f1", "e1", "thumbs_up"), said("f2", "e2", "thumbs_up")])
    assert collect(pipeline).assigned == 0
    assert refused(pipeline, running) == {"never_served": 2}


@pytest.mark.parametrize("unit", ["", "x" * 256])
def test_a_unit_without_a_usable_name(pipeline: Connection, load: Load, running: Trial, unit: str) -> None:
    load("executions", [running.execution("e1", unit, "control")])
    collect(pipeline)
    assert refused(pipeline, running) == {"no_unit": 1}


def test_what_happened_before_the_exposure_after_the_end_or_in_the_future(pipeline: Connection, load: Load, running: Trial) -> None:
    pipeline.execute("UPDATE learning_experiments SET status = 'completed', ended_at = %s WHERE id = %s", [after(5), running.id])
    load("executions", [running.execution("e1", "ann", "control", days=0.5), running.execution("e2", "ann", "control", days=5.1)])
    collect(pipeline)
    assert refused(pipeline, running) == {"before_exposure": 1, "after_end": 1}
    pipeline.execute("UPDATE learning_experiments SET ended_at = NULL WHERE id = %s", [running.id])
    tomorrow = (dt.datetime.now(dt.UTC) + dt.timedelta(hours=20)).isoformat()
    load("executions", [running.execution("e3", "ann", "control") | {"created_at": tomorrow}])
    collect(pipeline)
    assert refused(pipeline, running)["future"] == 1


def test_a_clock_that_is_a_few_minutes_off_does_no_harm(pipeline: Connection, load: Load, running: Trial) -> None:
    load("executions", [running.execution("e1", "ann", "control", days=1 - 5 / 1440)])
    assert (collect(pipeline).executions, experiment_units.refused(pipeline, running.agent.organization_id, running.id)) == (1, {})


def test_feedback_outside_the_time_of_the_experiment(pipeline: Connection, load: Load, running: Trial) -> None:
    pipeline.execute("UPDATE learning_experiments SET status = 'completed', ended_at = %s WHERE id = %s", [after(5), running.id])
    load("executions", [running.execution("e1", "ann", "control", days=4)])
    load("feedback", [said("f1", "e1", "thumbs_up", days=0.5), said("f2", "e1", "thumbs_up", days=6)])
    assert collect(pipeline).refused == {"feedback_out_of_time": 2}
    (ann,) = experiment_units.units(pipeline, running.agent.organization_id, running.id)
    assert (ann.totals, ann.first_values) == ({"executions": 1}, {})
    assert experiment_units.refused(pipeline, running.agent.organization_id, running.id) == {"feedback_out_of_time": 2}


@pytest.mark.parametrize(
    "context",
    [
        ["experiment"], {"experiment": 7}, {"experiment": "the blue one"}, {"experiments": "all"}, {"experiments": ["one", {"experiment": None}]},
        {"experiment": {"id": 1}, "experiments": [[]]},
    ],
)  # fmt: skip
def test_what_applications_put_into_their_context_is_passed_over(pipeline: Connection, load: Load, running: Trial, context: Any) -> None:
    load("executions", [running.execution("e1", "ann", "control") | {"context": context}])
    done = collect(pipeline)
    assert (done.executions, done.refused, refused(pipeline, running)) == (0, {}, {})


def test_amounts_beyond_any_sense_stop_nothing(pipeline: Connection, load: Load, running: Trial) -> None:
    assert load("executions", [running.execution("e1", "ann", "control", latency_ms=1e15, cost_usd=1e10)]).errors == []
    collect(pipeline)
    (ann,) = experiment_units.units(pipeline, running.agent.organization_id, running.id)
    assert ann.totals == {"executions": 1}


def test_every_reason_is_explained() -> None:
    assert set(REFUSED) == {
        "unknown_experiment", "other_agent", "not_started", "unknown_variant", "no_unit", "future", "after_end", "never_served", "before_exposure",
        "feedback_out_of_time",
    }  # fmt: skip
