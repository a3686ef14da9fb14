"""A running experiment, units that were exposed, and events of theirs, for tests of this folder.

Belongs here: rows as applications and servers write them. Not here: assertions.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from learning_pipelines.experiments.assignment import placed
from learning_pipelines.storage import experiment_assignments, experiments, tenants
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.experiment_assignments import Exposure
from learning_pipelines.storage.experiment_rows import Arm, Ranges, Unit
from learning_pipelines.storage.tenants import AgentRef
from learning_pipelines_tests.conftest import Load

ARMS = (Arm("control", 1, 0.5), Arm("treatment", 2, 0.5))
HALVES: Ranges = {"control": [(0.0, 0.5)], "treatment": [(0.5, 1.0)]}
STARTED = dt.datetime.now(dt.UTC).replace(microsecond=0) - dt.timedelta(days=10)


@dataclass(frozen=True)
class Trial:
    """An experiment of `agent` that began at STARTED."""

    id: UUID
    agent: AgentRef

    def expose(self, connection: Connection, unit: str, variant: str, *, days: float = 1, epoch: int = 1) -> None:
        """`days` after STARTED."""
        experiment_assignments.add(connection, self.agent.organization_id, [Exposure(self.id, unit, variant, epoch, after(days))])

    def variant_of(self, connection: Connection, unit: str) -> str | None:
        """What the unit is served if it is met now."""
        experiment = experiments.find(connection, self.agent.organization_id, self.id)
        assert experiment is not None
        return placed(experiment, unit).variant

    def execution(self, name: str, unit: str | None, variant: str, *, days: float = 2, **more: Any) -> dict[str, Any]:
        context = {"experiment": str(self.id), "variant": variant, **({"unit": unit} if unit is not None else {})}
        return {
            "execution_id": name, "agent": self.agent.agent, "input": "How?", "output": "Like this.", "created_at": after(days).isoformat(), "context": context,
        } | more  # fmt: skip


def after(days: float) -> dt.datetime:
    return STARTED + dt.timedelta(days=days)


def said(name: str, execution: str, feedback_type: str, *, days: float = 3, **more: Any) -> dict[str, Any]:
    return {"feedback_id": name, "execution_id": execution, "feedback_type": feedback_type, "created_at": after(days).isoformat()} | more


def trial(
    connection: Connection, load: Load, *, agent: str = "desk", unit: Unit = "user", arms: Sequence[Arm] = ARMS, ranges: Ranges = HALVES, name: str = "shorter"
) -> Trial:
    load("agents", [{"agent": agent, "system_prompt": "Answer."}])
    (found,) = tenants.agents(connection, "default", agent)
    made = experiments.add(connection, found, name=name, arms=arms, unit=unit)
    experiments.begin_epoch(connection, found.organization_id, made, ranges)
    experiments.set_status(connection, found.organization_id, made, "running")
    connection.execute("UPDATE learning_experiments SET started_at = %s WHERE id = %s", [STARTED, made])
    connection.execute("UPDATE experiment_epochs SET started_at = %s WHERE experiment_id = %s", [STARTED, made])
    return Trial(made, found)
