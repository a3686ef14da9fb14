"""What is known of an experiment so far, to read: sequential states of its metrics, values of its units, events that were left out.

Belongs here: reading experiment_metrics, experiment_units and experiment_executions. Not here: how they are kept up with new events
(experiment_events.py, experiment_totals.py), assignments (experiment_assignments.py), what follows (experiments/).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from learning_pipelines.storage.database import Connection

States = dict[tuple[str, int, str], dict[str, Any]]
"""(metric, epoch, variant) → state, as experiments/exact.py or experiments/asymptotic.py wrote it."""
REFUSED = {
    "unknown_experiment": "There is no such experiment in the organization.",
    "other_agent": "The experiment is another agent's.",
    "not_started": "The experiment has never been started.",
    "unknown_variant": "The experiment has no such variant.",
    "no_unit": "Nothing names a unit, or its name is longer than 255 characters.",
    "future": "It happened after it reached us: a clock is wrong.",
    "after_end": "It happened after the experiment had ended.",
    "never_served": "The variant was never served to this unit.",
    "before_exposure": "It happened before the unit was exposed.",
    "feedback_out_of_time": "Feedback on a counted execution from before the exposure, after the end or the future.",
}
"""Why an event counts in no verdict."""


@dataclass(frozen=True, slots=True)
class UnitValues:
    """A unit and what it did and said since its exposure; `before`: the same totals over the days before it (empty: nothing known)."""

    unit: str
    variant: str
    epoch: int
    totals: dict[str, float]
    first_values: dict[str, float]
    before: dict[str, float]


def states(connection: Connection, organization_id: UUID, experiment_id: UUID) -> States:
    """Every state of an experiment, as of the last run of `experiments.collecting.collect`."""
    rows = connection.execute(
        "SELECT metric, epoch, variant, state FROM experiment_metrics WHERE organization_id = %s AND experiment_id = %s", [organization_id, experiment_id]
    ).fetchall()
    return {(metric, epoch, variant): state for metric, epoch, variant, state in rows}


def refused(connection: Connection, organization_id: UUID, experiment_id: UUID) -> dict[str, int]:
    """Events that name the experiment and count in no verdict, by reason (REFUSED); reasons without an event are left out."""
    rows = connection.execute(
        """SELECT coalesce(refused, 'feedback_out_of_time'), CASE WHEN refused IS NULL THEN sum(feedback_refused) ELSE count(*) END
        FROM experiment_executions WHERE organization_id = %s AND experiment_id = %s AND (refused IS NOT NULL OR feedback_refused > 0) GROUP BY refused""",
        [organization_id, experiment_id],
    ).fetchall()
    return {reason: int(events) for reason, events in rows}


def units(connection: Connection, organization_id: UUID, experiment_id: UUID) -> list[UnitValues]:
    """Every unit that did something since its exposure, by its name."""
    rows = connection.execute(
        """SELECT unit, variant, epoch, totals, first_values, before FROM experiment_units
        WHERE organization_id = %s AND experiment_id = %s ORDER BY unit""",
        [organization_id, experiment_id],
    ).fetchall()
    return [UnitValues(*row) for row in rows]
