"""Values of units and states of metrics follow new events: each counts once, whenever it comes, however often it is read.

Belongs here: experiments/collecting.py with its SQL, on the real database. Not here: events that are left out (test_refused_events.py), crashes and restores
(test_collecting_again.py), what states say.
"""

from __future__ import annotations

import pytest

from learning_pipelines.experiments.collecting import RATIOS, collect
from learning_pipelines.experiments.exact import ExactState
from learning_pipelines.experiments.unit_sums import UnitSums
from learning_pipelines.storage import experiment_units, experiments
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.experiment_rows import Arm
from learning_pipelines.storage.experiment_units import UnitValues
from learning_pipelines_tests.conftest import Load
from learning_pipelines_tests.experiments.world import Trial, after, said, trial


@pytest.fixture
def running(pipeline: Connection, load: Load) -> Trial:
    """Ann and Cid are in the control, Bob is in the treatment."""
    one = trial(pipeline, load)
    for unit, variant in (("ann", "control"), ("bob", "treatment"), ("cid", "control")):
        one.expose(pipeline, unit, variant)
    return one


def units(connection: Connection, one: Trial) -> dict[str, UnitValues]:
    return {unit.unit: unit for unit in experiment_units.units(connection, one.agent.organization_id, one.id)}


def states(connection: Connection, one: Trial) -> experiment_units.States:
    return experiment_units.states(connection, one.agent.organization_id, one.id)


def test_a_unit_has_the_totals_of_its_executions_and_feedback(pipeline: Connection, load: Load, running: Trial) -> None:
    load("executions", [
        running.execution("a1", "ann", "control", latency_ms=100, cost_usd=0.5),
        running.execution("a2", "ann", "control", latency_ms=50, output="I'm sorry, but I can't help with that."),
    ])  # fmt: skip
    load("feedback", [
        said("f1", "a1", "report_issue", user="ann", issue_categories=["tone", "incorrect"]),
        said("f2", "a1", "correction", user="ann", correction_text="Better."),
        said("f3", "a1", "report_issue", user="eve", issue_categories=["tone"]),
    ])  # fmt: skip
    done = collect(pipeline)
    assert (done.executions, done.units) == (2, 1)
    assert units(pipeline, running)["ann"].totals == {
        "executions": 2, "latency_ms": 150, "latency_count": 2, "cost_usd": 0.5, "cost_count": 1, "refusals": 1, "with_feedback": 1, "corrections": 1,
        "issue:tone": 1, "issue:incorrect": 1,
    }  # fmt: skip


def test_states_of_ratios_are_the_sums_over_units_whatever_the_portions(pipeline: Connection, load: Load, running: Trial) -> None:
    load("executions", [running.execution(f"{unit}{n}", unit, variant, latency_ms=10.5 * n) for n in range(1, 4)
                        for unit, variant in (("ann", "control"), ("bob", "treatment"), ("cid", "control"))])  # fmt: skip
    load("feedback", [said("f1", "ann1", "thumbs_up"), said("f2", "bob2", "thumbs_down"), said("f3", "bob3", "thumbs_down")])
    collect(pipeline, portion=2)
    found, known = states(pipeline, running), units(pipeline, running).values()
    for name, numerator, denominator in RATIOS:
        for variant in ("control", "treatment"):
            rows = [(one.totals.get(numerator, 0), one.totals.get(denominator, 0), 0, 0) for one in known if one.variant == variant]
            expected = UnitSums.of(rows).as_json()
            assert UnitSums.from_json(found.get((name, 1, variant), {})).as_json() == pytest.approx(expected), (name, variant)


def test_what_comes_later_moves_the_unit_and_its_state_by_the_difference(pipeline: Connection, load: Load, running: Trial) -> None:
    load("executions", [running.execution("a1", "ann", "control", latency_ms=100)])
    collect(pipeline)
    load("executions", [running.execution("a2", "ann", "control", latency_ms=300)])
    load("feedback", [said("f1", "a1", "correction", user="ann", correction_text="Better.")])
    assert collect(pipeline).executions == 1
    found = states(pipeline, running)
    assert UnitSums.from_json(found["latency_ms", 1, "control"]) == UnitSums.of([(400, 2, 0, 0)])
    assert UnitSums.from_json(found["correction_rate", 1, "control"]) == UnitSums.of([(1, 2, 0, 0)])


def test_nothing_new_changes_nothing(pipeline: Connection, load: Load, running: Trial) -> None:
    load("executions", [running.execution("a1", "ann", "control")])
    load("feedback", [said("f1", "a1", "thumbs_up")])
    collect(pipeline)
    before = states(pipeline, running), units(pipeline, running)
    assert collect(pipeline).entries == 0
    assert (states(pipeline, running), units(pipeline, running)) == before


def test_a_correction_that_is_superseded_counts_once_and_an_issue_withdrawn_no_longer(pipeline: Connection, load: Load, running: Trial) -> None:
    load("executions", [running.execution("a1", "ann", "control")])
    load("feedback", [
        said("f1", "a1", "correction", user="ann", correction_text="Better."), said("f2", "a1", "report_issue", user="ann", issue_categories=["tone"]),
    ])  # fmt: skip
    collect(pipeline)
    load("feedback", [
        said("f3", "a1", "correction", user="ann", correction_text="Best.", days=4),
        said("f4", "a1", "report_issue", user="ann", issue_categories=["outdated"], days=4),
    ])  # fmt: skip
    collect(pipeline)
    totals = units(pipeline, running)["ann"].totals
    assert (totals["corrections"], totals.get("issue:tone"), totals["issue:outdated"]) == (1, None, 1)
    assert UnitSums.from_json(states(pipeline, running)["issue_rate:tone", 1, "control"]) == UnitSums.of([(0, 1, 0, 0)])


def test_feedback_that_comes_before_its_execution_counts_once_that_is_there(pipeline: Connection, load: Load, running: Trial) -> None:
    load("feedback", [said("f1", "a1", "thumbs_down", agent="desk")])
    assert collect(pipeline).executions == 0
    load("executions", [running.execution("a1", "ann", "control")])
    collect(pipeline)
    ann = units(pipeline, running)["ann"]
    assert (ann.totals, ann.first_values) == ({"executions": 1, "with_feedback": 1}, {"thumb": 0, "thumb_down": 1})


def test_feedback_and_execution_of_transactions_that_did_not_see_each_other_are_joined(pipeline: Connection, load: Load, running: Trial) -> None:
    load("executions", [running.execution("a1", "ann", "control")])
    load("feedback", [said("f1", "a1", "thumbs_up", agent="desk")])
    pipeline.execute("UPDATE agent_feedback SET pending_execution = true")
    collect(pipeline)
    assert units(pipeline, running)["ann"].totals == {"executions": 1, "with_feedback": 1}
    assert (collect(pipeline).entries, collect(pipeline).entries) == (1, 0)  # what it told the other readers; it adds nothing


def test_the_first_value_of_a_unit_stands_and_later_ones_change_nothing(pipeline: Connection, load: Load, running: Trial) -> None:
    load("executions", [running.execution("a1", "ann", "control"), running.execution("b1", "bob", "treatment")])
    load("feedback", [said("f1", "a1", "thumbs_up", user="ann"), said("f2", "a1", "thumbs_down", user="ann", days=4)])
    collect(pipeline)
    load("feedback", [said("f3", "b1", "star_rating", user="bob", rating=2), said("f4", "a1", "thumbs_down", user="ann", days=5)])
    collect(pipeline)
    assert {name: unit.first_values for name, unit in units(pipeline, running).items()} == {"ann": {"thumb": 1, "thumb_down": 0}, "bob": {"rating": 2}}
    thumbs = ExactState.from_json(states(pipeline, running)["thumbs", 1, "treatment"])
    assert (thumbs.control.n, thumbs.control.total, thumbs.treatment.n) == (1, thumbs.steps, 0)
    rating = ExactState.from_json(states(pipeline, running)["rating", 1, "treatment"])
    assert (rating.control.n, rating.treatment.n, rating.treatment.total / rating.steps) == (0, 1, 0.25)


def test_exact_states_take_values_in_the_order_of_their_arrival_whatever_the_portions(pipeline: Connection, load: Load, running: Trial) -> None:
    arms = [("control", "treatment")[n * n % 3 % 2] for n in range(40)]
    for number, variant in enumerate(arms):
        running.expose(pipeline, f"u{number}", variant)
    load("executions", [running.execution(f"e{number}", f"u{number}", variant) for number, variant in enumerate(arms)])
    load("feedback", [said(f"f{number}", f"e{number}", ("thumbs_up", "thumbs_down")[number % 5 > 2]) for number in range(40)])
    collect(pipeline, portion=7)
    expected = ExactState.for_shares(0.5, 0.5)
    expected.add([variant == "treatment" for variant in arms], [float(number % 5 <= 2) for number in range(40)])
    found, wanted = states(pipeline, running)["thumbs", 1, "treatment"], expected.as_json()
    assert found.pop("peaks") == pytest.approx(wanted.pop("peaks")) and found == wanted


def test_every_treatment_meets_the_control_in_a_state_of_its_own(pipeline: Connection, load: Load) -> None:
    arms = (Arm("control", 1, 0.5), Arm("short", 2, 0.25), Arm("long", 3, 0.25))
    one = trial(pipeline, load, arms=arms, ranges={"control": [(0, 0.5)], "short": [(0.5, 0.75)], "long": [(0.75, 1)]})
    for variant in ("control", "short", "long"):
        one.expose(pipeline, variant, variant)
    load("executions", [one.execution(variant, variant, variant) for variant in ("control", "short", "long")])
    load("feedback", [said(variant, variant, "thumbs_up") for variant in ("control", "short", "long")])
    collect(pipeline)
    found = {key[2]: ExactState.from_json(state) for key, state in states(pipeline, one).items() if key[0] == "thumbs"}
    assert {variant: (state.control.n, state.treatment.n) for variant, state in found.items()} == {"short": (1, 1), "long": (1, 1)}


def test_units_of_different_epochs_are_in_different_states(pipeline: Connection, load: Load, running: Trial) -> None:
    experiments.begin_epoch(pipeline, running.agent.organization_id, running.id, {"control": [(0, 0.1)], "treatment": [(0.1, 1)]})
    running.expose(pipeline, "dan", "treatment", epoch=2)
    load("executions", [running.execution("b1", "bob", "treatment"), running.execution("d1", "dan", "treatment")])
    collect(pipeline)
    assert [UnitSums.from_json(states(pipeline, running)["refusal_rate", epoch, "treatment"]).n for epoch in (1, 2)] == [1, 1]


def test_an_execution_counts_in_every_experiment_that_it_lists(pipeline: Connection, load: Load, running: Trial) -> None:
    index = trial(pipeline, load, name="index", unit="session")
    index.expose(pipeline, "s1", "treatment")
    listed = [{"experiment": str(running.id), "variant": "control", "unit": "ann"}, {"experiment": str(index.id), "variant": "treatment", "unit": "s1"}]
    load("executions", [running.execution("a1", "ann", "control") | {"context": {"experiments": listed}}])
    collect(pipeline)
    assert set(units(pipeline, running)) == {"ann"} and set(units(pipeline, index)) == {"s1"}


@pytest.mark.parametrize(("kind", "unit"), [("user", "ann"), ("session", "s1"), ("execution", "e1")])
def test_an_execution_that_names_no_unit_belongs_to_the_one_that_the_experiment_is_about(pipeline: Connection, load: Load, kind: str, unit: str) -> None:
    one = trial(pipeline, load, unit=kind)  # type: ignore[arg-type]
    one.expose(pipeline, unit, "control")
    load("executions", [one.execution("e1", None, "control", user="ann", session_id="s1")])
    collect(pipeline)
    assert set(units(pipeline, one)) == {unit}


def test_a_user_brings_the_values_of_the_28_days_before_the_exposure(pipeline: Connection, load: Load, running: Trial) -> None:
    past = {"agent": "desk", "input": "How?", "output": "Like this.", "user": "bob"}
    load("executions", [
        past | {"execution_id": "old", "latency_ms": 1000, "created_at": after(-29).isoformat()},
        past | {"execution_id": "p1", "latency_ms": 10, "created_at": after(-20).isoformat()},
        past | {"execution_id": "p2", "latency_ms": 30, "created_at": after(0.5).isoformat()},
        past | {"execution_id": "p3", "latency_ms": 500, "created_at": after(1.5).isoformat()},
    ])  # fmt: skip
    load("feedback", [said("f1", "p1", "thumbs_up", days=-19), said("f2", "p2", "correction", correction_text="Late.", days=2)])
    collect(pipeline)
    load("executions", [running.execution("b1", "bob", "treatment", user="bob", latency_ms=70)])
    collect(pipeline)
    bob = units(pipeline, running)["bob"]
    assert bob.before == {"executions": 2, "latency_ms": 40, "latency_count": 2, "with_feedback": 1}
    assert UnitSums.from_json(states(pipeline, running)["latency_ms", 1, "treatment"]) == UnitSums.of([(70, 1, 40, 2)])


def test_an_assignment_that_a_server_lost_is_made_again(pipeline: Connection, load: Load, running: Trial) -> None:
    variant = running.variant_of(pipeline, "dora")
    load("executions", [running.execution("d1", "dora", variant, days=3), running.execution("d2", "dora", variant, days=2)])
    assert collect(pipeline).assigned == 1
    row = pipeline.execute("SELECT variant, epoch, exposed_at FROM experiment_assignments WHERE unit = 'dora'").fetchone()
    assert row == (variant, 1, after(2)) and units(pipeline, running)["dora"].totals["executions"] == 2
