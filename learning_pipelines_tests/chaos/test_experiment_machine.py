"""The life of experiments against a model of it: created, started, weighted, paused, resumed, aborted, concluded, with the switch between, and units served.

Belongs here: rules and the model. Not here: what values lead to (experiments/test_decision.py), single refusals (experiments/test_lifecycle.py), faults that
the machine must find (test_experiment_mutants.py).
"""

from __future__ import annotations

import datetime as dt
import hashlib
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any
from uuid import UUID

from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from learning_pipelines.acceptance import approval
from learning_pipelines.acceptance.reviewing import OPERATOR, Refused
from learning_pipelines.api import experiments_serving
from learning_pipelines.experiments import lifecycle
from learning_pipelines.experiments.plans import Asked, Plan
from learning_pipelines.storage import experiment_assignments, experiments, prompts
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.experiment_rows import Experiment
from learning_pipelines_tests.acceptance.proposing import labels, learnt
from learning_pipelines_tests.chaos.machines import Machine, refusing, tell
from learning_pipelines_tests.experiments.living import SETTINGS

ENDED = ("completed", "cancelled")
MOST = 4
UNITS = [f"u{number}" for number in range(12)]


@dataclass
class Known:
    """What the model knows of an experiment. `control` is the version that served when it was made; `epochs` how often it began or got other weights while
    it ran; `changes` how many of them the audit log holds; `met` the variant of every unit that it served."""

    control: int
    treatment: int
    group: str | None
    status: str = "draft"
    weights: dict[str, float] = field(default_factory=lambda: {"control": 0.5, "treatment": 0.5})
    decision: str | None = None
    epochs: int = 0
    changes: int = 1
    met: dict[str, str] = field(default_factory=dict)

    def becomes(self, status: str) -> None:
        self.status = status
        self.changes += 1
        self.epochs += status == "running"


class Direct:
    """The service's sessions as one connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @contextmanager
    def acting(self, *_: Any, **__: Any) -> Iterator[Connection]:
        yield self._connection


class Life(Machine):
    """Versions 1 to 3 of one agent, and up to four experiments on its prompt. The first one runs when a story begins."""

    @initialize(group=st.sampled_from([None, "both"]))
    def begin(self, group: str | None) -> None:
        self.agent = self.new_agent("life")
        for number in (2, 3):
            assert learnt(self.connection, self.agent, f"version {number}") == number
        self.production, self.previous, self.enabled = 1, None, True
        self.known: dict[UUID, Known] = {}
        self.create(2, group)
        (identity,) = self.known
        self._start(identity)

    @precondition(lambda self: len(self.known) < MOST)
    @rule(version=st.integers(1, 3), group=st.sampled_from([None, "both"]))
    def create(self, version: int, group: str | None) -> None:
        plan = Plan("shorter", (Asked(None, None), Asked(None, version)), exclusion_group=group)
        same = version == self.production
        with refusing(Refused, not self.enabled or same):
            made = lifecycle.create(self.connection, self.agent, plan, OPERATOR, SETTINGS)
        if self.enabled and not same:
            self.known[made.id] = Known(self.production, version, group)

    @precondition(lambda self: len(self.known) < MOST)
    @rule(group=st.sampled_from([None, "both", "both"]))
    def start_another(self, group: str | None) -> None:
        before = set(self.known)
        self.create(2 if self.production != 2 else 3, group)
        for identity in set(self.known) - before:
            self._start(identity)

    def _any(self, data: st.DataObject) -> tuple[UUID, Known]:
        """Mostly one that lives: what has ended can only be refused."""
        alive = [identity for identity, one in self.known.items() if one.status not in ENDED]
        identity = data.draw(st.sampled_from(alive + alive + list(self.known)))
        return identity, self.known[identity]

    def _may_run(self, identity: UUID, one: Known) -> bool:
        """Learning is on, what serves is its control or treatment, and nobody else has its units."""
        others = [other for name, other in self.known.items() if name != identity and other.status == "running"]
        apart = all(one.group is not None and other.group == one.group for other in others)
        return self.enabled and self.production in (one.control, one.treatment) and apart

    @precondition(lambda self: self.known)
    @rule(data=st.data())
    def start(self, data: st.DataObject) -> None:
        self._start(self._any(data)[0])

    def _start(self, identity: UUID) -> None:
        one = self.known[identity]
        fits = one.status == "running" or (one.status == "draft" and self._may_run(identity, one))
        with refusing(Refused, not fits):  # a group always has room: whoever begins in one without saying how much takes half of what is left
            done = lifecycle.start(self.connection, self.agent.organization_id, identity, OPERATOR, SETTINGS)
            assert done.changed == (one.status == "draft")
        if fits and one.status == "draft":
            one.becomes("running")

    @precondition(lambda self: self.known)
    @rule(data=st.data())
    def pause(self, data: st.DataObject) -> None:
        self._pause(self._any(data)[0])

    def _pause(self, identity: UUID) -> None:
        one = self.known[identity]
        with refusing(Refused, one.status not in ("running", "paused")):
            assert lifecycle.pause(self.connection, self.agent.organization_id, identity, OPERATOR).changed == (one.status == "running")
            if one.status == "running":
                one.becomes("paused")

    @precondition(lambda self: self.known)
    @rule(data=st.data())
    def resume(self, data: st.DataObject) -> None:
        self._resume(self._any(data)[0])

    def _resume(self, identity: UUID) -> None:
        one = self.known[identity]
        fits = one.status == "running" or (one.status == "paused" and self._may_run(identity, one))
        with refusing(Refused, not fits):
            assert lifecycle.resume(self.connection, self.agent.organization_id, identity, OPERATOR, SETTINGS).changed == (one.status == "paused")
            if one.status == "paused":
                one.becomes("running")

    @precondition(lambda self: self.known)
    @rule(data=st.data(), share=st.sampled_from([0.1, 0.5, 0.9]))
    def weigh(self, data: st.DataObject, share: float) -> None:
        self._weigh(self._any(data)[0], share)

    @precondition(lambda self: self.known)
    @rule(data=st.data(), share=st.sampled_from([0.2, 0.8]))
    def weigh_in_a_pause(self, data: st.DataObject, share: float) -> None:
        """Three steps that rarely meet by chance."""
        identity, _ = self._any(data)
        self._pause(identity)
        self._weigh(identity, share)
        self._resume(identity)

    def _weigh(self, identity: UUID, share: float) -> None:
        one = self.known[identity]
        weights = {"control": 1 - share, "treatment": share}
        with refusing(Refused, one.status in ENDED):
            changed = lifecycle.change_weights(self.connection, self.agent.organization_id, identity, weights, OPERATOR).changed
            assert changed == (weights != one.weights)
            one.weights = weights
            one.changes += changed
            one.epochs += changed and one.status == "running"

    @precondition(lambda self: any(one.status == "running" for one in self.known.values()))
    @rule(data=st.data(), share=st.sampled_from([0.1, 0.5, 0.9]))
    def serve_before_and_after_new_weights(self, data: st.DataObject, share: float) -> None:
        """Whoever was met under the old weights is met again under the new ones, which by chance happens to few."""
        identity = data.draw(st.sampled_from([name for name, one in self.known.items() if one.status == "running"]))
        self._serve(set(UNITS))
        self._weigh(identity, share)
        self._serve(set(UNITS))

    @precondition(lambda self: self.known)
    @rule(data=st.data())
    def abort(self, data: st.DataObject) -> None:
        identity, one = self._any(data)
        with refusing(Refused, one.status == "completed"):
            assert lifecycle.abort(self.connection, self.agent.organization_id, identity, OPERATOR).changed == (one.status != "cancelled")
            if one.status != "cancelled":
                one.becomes("cancelled")

    @precondition(lambda self: self.known)
    @rule(data=st.data(), decision=st.sampled_from(["keep_control", "inconclusive", "adopt_treatment"]))
    def conclude(self, data: st.DataObject, decision: str) -> None:
        """Nobody said anything, so no treatment has won."""
        identity, one = self._any(data)
        repeated = one.status == "completed" and decision == one.decision
        fits = repeated or (one.status in ("running", "paused") and decision != "adopt_treatment")
        with refusing(Refused, not fits):
            done = lifecycle.conclude(self.connection, self.agent.organization_id, identity, decision, OPERATOR, SETTINGS)  # type: ignore[arg-type]
            assert done.changed == (not repeated)
        if fits and not repeated:
            one.becomes("completed")
            one.decision = decision

    @rule(version=st.integers(1, 3))
    def move(self, version: int) -> None:
        prompts.move_label(self.connection, self.agent, prompts.PRODUCTION, version, None)
        if version != self.production:
            self.production, self.previous = version, self.production

    @rule(enabled=st.sampled_from([True, True, False]))
    def switch(self, enabled: bool) -> None:
        self._switch(enabled)

    @rule(units=st.sets(st.sampled_from(UNITS), min_size=1))
    def serve_while_it_is_off(self, units: set[str]) -> None:
        before = self.enabled
        self._switch(False)
        self._serve(units)
        self._switch(before)

    def _switch(self, enabled: bool) -> None:
        approval.set_learning(self.connection, self.agent.organization_id, self.agent, OPERATOR, enabled=enabled)
        self.enabled = enabled

    @rule(units=st.sets(st.sampled_from(UNITS), min_size=3))
    def serve(self, units: set[str]) -> None:
        self._serve(units)

    def _serve(self, units: set[str]) -> None:
        """As a worker of the service that has kept nothing: who takes part is met, and keeps the variant for as long as the experiment lives."""
        worker = experiments_serving.ExperimentsServing(Direct(self.connection), None)  # type: ignore[arg-type]
        running = worker.read(self.agent, "prompt")
        assert {one.id for one in running} == ({name for name, one in self.known.items() if one.status == "running"} if self.enabled else set())
        for unit in sorted(units):
            taking = worker.take(self.agent, running, unit)
            sure, at_once = worker.at_once(running, unit)
            assert not sure or at_once == taking
            theirs = [one.id for one in running if self._has_unit(one, unit)]
            assert (taking is None) == (not theirs), "who lies in the slice of one that runs takes part, and nobody else"
            assert taking is None or taking.experiment.id == theirs[0], "of several the one that was started first"
            before = [(name, one.met[unit]) for name, one in self.known.items() if unit in one.met and name in {each.id for each in running}]
            if taking is None:
                assert not before, "who was met is served again"
                continue
            one = self.known[taking.experiment.id]
            assert taking.arm.version == {"control": one.control, "treatment": one.treatment}[taking.arm.variant]
            assert one.met.setdefault(unit, taking.arm.variant) == taking.arm.variant, "a unit keeps its variant"
            assert all(name == taking.experiment.id for name, _ in before), "a unit keeps its experiment"
            exposure = experiment_assignments.Exposure(taking.experiment.id, unit, taking.arm.variant, taking.epoch, dt.datetime.now(dt.UTC))
            experiment_assignments.add(self.connection, self.agent.organization_id, [exposure])

    def _has_unit(self, one: Experiment, unit: str) -> bool:
        """Whether a unit is of an experiment: of its slice of a group, by the hash as it is written down, which is fixed for ever."""
        group = self.known[one.id].group
        if group is None:
            return True
        digest = hashlib.sha256(f"{self.agent.agent_id}/{group}:{unit}".encode()).digest()
        at = (int.from_bytes(digest[:8], "big") >> 11) / 2**53
        return any(low <= at < high for low, high in one.config["slice"])

    @invariant()
    def slices_of_a_group_do_not_overlap(self) -> None:
        """Of those that run or are paused; one that has ended gave its slice back."""
        alive = experiments.listed(self.connection, self.agent.organization_id, agent_id=self.agent.agent_id)
        held = [(low, high) for one in alive if one.status in ("running", "paused") and one.exclusion_group for low, high in one.config["slice"]]
        assert all(high <= low for (_, high), (low, _) in pairwise(sorted(held)))

    @invariant()
    def statuses_weights_and_decisions_are_the_models(self) -> None:
        stored = {one.id: one for one in experiments.listed(self.connection, self.agent.organization_id, agent_id=self.agent.agent_id)}
        assert {name: (one.status, one.decision) for name, one in stored.items()} == {name: (one.status, one.decision) for name, one in self.known.items()}
        assert {name: {arm.variant: arm.weight for arm in one.arms} for name, one in stored.items()} == {name: one.weights for name, one in self.known.items()}
        assert all((one.ended_at is not None) == (one.status in ENDED) and (one.started_at is not None) == (one.epochs != ()) for one in stored.values())

    @invariant()
    def an_epoch_is_open_while_it_runs_and_has_the_weights(self) -> None:
        for one in experiments.listed(self.connection, self.agent.organization_id, agent_id=self.agent.agent_id):
            known = self.known[one.id]
            assert [epoch.number for epoch in one.epochs] == list(range(1, known.epochs + 1)), "an epoch for every start, resumption and change of weights"
            assert [epoch.ended_at is None for epoch in one.epochs] == [False] * (known.epochs - 1) + [known.status == "running"] * (known.epochs > 0)
            if known.status == "running" and one.epoch is not None:
                for variant, weight in known.weights.items():
                    assert math.isclose(sum(high - low for low, high in one.epoch.ranges[variant]), weight, abs_tol=1e-9), "ranges are as wide as the weights"

    @invariant()
    def every_change_is_written_down_once_and_every_end_decided_once(self) -> None:
        rows = self.connection.execute(
            """SELECT e.id, (SELECT count(*) FROM audit_log a WHERE a.organization_id = e.organization_id AND a.subject_kind = 'experiment'
                    AND a.subject_id = %s || '/' || e.id), (SELECT count(*) FROM experiment_decisions d
                    WHERE d.organization_id = e.organization_id AND d.experiment_id = e.id AND d.final)
            FROM learning_experiments e WHERE e.organization_id = %s AND e.agent_id = %s""",
            [self.agent.agent, self.agent.organization_id, self.agent.agent_id],
        ).fetchall()
        assert {name: (changes, decisions) for name, changes, decisions in rows} == {
            name: (one.changes, int(one.status == "completed")) for name, one in self.known.items()
        }

    @invariant()
    def running_experiments_share_no_units(self) -> None:
        running = [one for one in self.known.values() if one.status == "running"]
        assert len(running) <= 1 or (len({one.group for one in running}) == 1 and running[0].group is not None)

    @invariant()
    def no_label_moves_by_an_experiment_that_nobody_won(self) -> None:
        assert labels(self.connection, self.agent) == {"production": self.production, "candidate": None, "previous": self.previous}


def test_experiments_live_as_the_model_says(pipeline: Connection) -> None:
    tell(Life, pipeline, stories=8, steps=20)
