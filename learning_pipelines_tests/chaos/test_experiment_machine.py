"""The life of experiments against a model of it: created, started, weighted, paused, resumed, aborted, concluded, with the switch and rollback between.

Belongs here: rules and the model. Not here: what values lead to (experiments/test_decision.py), single refusals (experiments/test_lifecycle.py).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import UUID

from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from learning_pipelines.acceptance import approval
from learning_pipelines.acceptance.reviewing import OPERATOR, Refused
from learning_pipelines.experiments import lifecycle
from learning_pipelines.experiments.plans import Asked, Plan
from learning_pipelines.storage import experiments, prompts
from learning_pipelines.storage.database import Connection
from learning_pipelines_tests.acceptance.proposing import labels, learnt
from learning_pipelines_tests.chaos.machines import Machine, refusing, tell
from learning_pipelines_tests.experiments.living import SETTINGS

ENDED = ("completed", "cancelled")
MOST = 4


@dataclass
class Known:
    """What the model knows of an experiment. `control` is the version that served when it was made."""

    control: int
    treatment: int
    group: str | None
    status: str = "draft"
    weights: dict[str, float] = field(default_factory=lambda: {"control": 0.5, "treatment": 0.5})
    decision: str | None = None


class Life(Machine):
    """Versions 1 to 3 of one agent, and up to four experiments on its prompt."""

    @initialize()
    def begin(self) -> None:
        self.agent = self.new_agent("life")
        for number in (2, 3):
            assert learnt(self.connection, self.agent, f"version {number}") == number
        self.production, self.previous, self.enabled = 1, None, True
        self.known: dict[UUID, Known] = {}

    @precondition(lambda self: len(self.known) < MOST)
    @rule(version=st.integers(1, 3), group=st.sampled_from([None, "both"]))
    def create(self, version: int, group: str | None) -> None:
        plan = Plan("shorter", (Asked(None, None), Asked(None, version)), exclusion_group=group)
        same = version == self.production
        with refusing(Refused, not self.enabled or same):
            made = lifecycle.create(self.connection, self.agent, plan, OPERATOR, SETTINGS)
        if self.enabled and not same:
            self.known[made.id] = Known(self.production, version, group)

    def _any(self, data: st.DataObject) -> tuple[UUID, Known]:
        identity = data.draw(st.sampled_from(list(self.known)))
        return identity, self.known[identity]

    def _may_run(self, identity: UUID, one: Known) -> bool:
        """Learning is on, what serves is its control or treatment, and nobody else has its units."""
        others = [other for name, other in self.known.items() if name != identity and other.status == "running"]
        apart = all(one.group is not None and other.group == one.group for other in others)
        return self.enabled and self.production in (one.control, one.treatment) and apart

    @precondition(lambda self: self.known)
    @rule(data=st.data())
    def start(self, data: st.DataObject) -> None:
        identity, one = self._any(data)
        fits = one.status == "running" or (one.status == "draft" and self._may_run(identity, one))
        room = one.status == "running" or one.group is None or not self._group_full(identity, one)
        with refusing(Refused, not (fits and room)):
            done = lifecycle.start(self.connection, self.agent.organization_id, identity, OPERATOR, SETTINGS)
            assert done.changed == (one.status == "draft")
        if fits and room:
            one.status = "running"

    def _group_full(self, identity: UUID, one: Known) -> bool:
        """Whoever begins in a group without saying how much takes all that is left of it."""
        return any(other.group == one.group and other.status in ("running", "paused") for name, other in self.known.items() if name != identity)

    @precondition(lambda self: self.known)
    @rule(data=st.data())
    def pause(self, data: st.DataObject) -> None:
        identity, one = self._any(data)
        with refusing(Refused, one.status not in ("running", "paused")):
            assert lifecycle.pause(self.connection, self.agent.organization_id, identity, OPERATOR).changed == (one.status == "running")
            one.status = "paused"

    @precondition(lambda self: self.known)
    @rule(data=st.data())
    def resume(self, data: st.DataObject) -> None:
        identity, one = self._any(data)
        fits = one.status == "running" or (one.status == "paused" and self._may_run(identity, one))
        with refusing(Refused, not fits):
            assert lifecycle.resume(self.connection, self.agent.organization_id, identity, OPERATOR, SETTINGS).changed == (one.status == "paused")
            one.status = "running"

    @precondition(lambda self: self.known)
    @rule(data=st.data(), share=st.sampled_from([0.1, 0.5, 0.7]))
    def weigh(self, data: st.DataObject, share: float) -> None:
        identity, one = self._any(data)
        weights = {"control": 1 - share, "treatment": share}
        with refusing(Refused, one.status in ENDED):
            assert lifecycle.change_weights(self.connection, self.agent.organization_id, identity, weights, OPERATOR).changed == (weights != one.weights)
            one.weights = weights

    @precondition(lambda self: self.known)
    @rule(data=st.data())
    def abort(self, data: st.DataObject) -> None:
        identity, one = self._any(data)
        with refusing(Refused, one.status == "completed"):
            assert lifecycle.abort(self.connection, self.agent.organization_id, identity, OPERATOR).changed == (one.status != "cancelled")
            one.status = "cancelled"

    @precondition(lambda self: self.known)
    @rule(data=st.data(), decision=st.sampled_from(["keep_control", "inconclusive", "adopt_treatment"]))
    def conclude(self, data: st.DataObject, decision: str) -> None:
        """Nobody was met, so no treatment has won anything."""
        identity, one = self._any(data)
        repeated = one.status == "completed" and decision == one.decision
        fits = repeated or (one.status in ("running", "paused") and decision != "adopt_treatment")
        with refusing(Refused, not fits):
            done = lifecycle.conclude(self.connection, self.agent.organization_id, identity, decision, OPERATOR, SETTINGS)  # type: ignore[arg-type]
            assert done.changed == (not repeated)
        if fits and not repeated:
            one.status, one.decision = "completed", decision

    @rule(version=st.integers(1, 3))
    def move(self, version: int) -> None:
        prompts.move_label(self.connection, self.agent, prompts.PRODUCTION, version, None)
        if version != self.production:
            self.production, self.previous = version, self.production

    @rule(enabled=st.booleans())
    def switch(self, enabled: bool) -> None:
        approval.set_learning(self.connection, self.agent.organization_id, self.agent, OPERATOR, enabled=enabled)
        self.enabled = enabled

    @invariant()
    def statuses_weights_and_decisions_are_the_models(self) -> None:
        stored = {one.id: one for one in experiments.listed(self.connection, self.agent.organization_id, agent_id=self.agent.agent_id)}
        assert {name: (one.status, one.decision) for name, one in stored.items()} == {name: (one.status, one.decision) for name, one in self.known.items()}
        assert {name: {arm.variant: arm.weight for arm in one.arms} for name, one in stored.items()} == {name: one.weights for name, one in self.known.items()}

    @invariant()
    def one_epoch_is_open_exactly_while_it_runs(self) -> None:
        rows = self.connection.execute(
            """SELECT e.id, e.status, count(p.epoch) FILTER (WHERE p.ended_at IS NULL), count(p.epoch),
                coalesce(max(p.epoch), 0) - coalesce(min(p.epoch), 1) + 1
            FROM learning_experiments e LEFT JOIN experiment_epochs p ON p.organization_id = e.organization_id AND p.experiment_id = e.id
            WHERE e.organization_id = %s AND e.agent_id = %s GROUP BY 1, 2""",
            [self.agent.organization_id, self.agent.agent_id],
        ).fetchall()
        for identity, status, opened, epochs, span in rows:
            assert opened == (status == "running"), (identity, status, opened)
            assert epochs == span, "epochs are numbered without a gap"

    @invariant()
    def running_experiments_share_no_units(self) -> None:
        running = [one for one in self.known.values() if one.status == "running"]
        assert len(running) <= 1 or (len({one.group for one in running}) == 1 and running[0].group is not None)

    @invariant()
    def no_label_moves_by_an_experiment_that_nobody_won(self) -> None:
        assert labels(self.connection, self.agent) == {"production": self.production, "candidate": None, "previous": self.previous}


def test_experiments_live_as_the_model_says(pipeline: Connection) -> None:
    tell(Life, pipeline, stories=6, steps=20)
