"""Assignments as rows: which unit was met in which variant, when and in which epoch.

Belongs here: SQL of experiment_assignments. Not here: who gets what (experiments/assignment.py), values of
units (experiment_units.py).

A unit is met once per experiment: its first row stands, whatever is sent later. Where it is written twice, nothing is counted twice.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

import orjson

from learning_pipelines.storage.database import Connection


@dataclass(frozen=True, slots=True)
class Exposure:
    """That `unit` was served `variant` in `epoch`, at `exposed_at`, when it happened and not when it was written."""

    experiment_id: UUID
    unit: str
    variant: str
    epoch: int
    exposed_at: dt.datetime


def add(connection: Connection, organization_id: UUID, exposures: Sequence[Exposure]) -> int:
    """Writes exposures of one organization in one statement; returns how many units were new. A unit that is known keeps its row, one of an experiment
    that is gone is passed over. Of one unit named twice here the earlier exposure counts."""
    if not exposures:
        return 0
    return connection.execute(
        """INSERT INTO experiment_assignments (organization_id, experiment_id, unit, variant, epoch, exposed_at)
        SELECT %s, n.experiment_id, n.unit, n.variant, n.epoch, n.exposed_at
        FROM (SELECT DISTINCT ON (experiment_id, unit) * FROM jsonb_to_recordset(%s::jsonb)
                AS given (experiment_id uuid, unit text, variant text, epoch integer, exposed_at timestamptz) ORDER BY experiment_id, unit, exposed_at) n
        JOIN learning_experiments e ON e.organization_id = %s AND e.id = n.experiment_id
        ON CONFLICT (organization_id, experiment_id, unit) DO NOTHING""",
        [organization_id, orjson.dumps(list(exposures)).decode(), organization_id],  # one text: five arrays held up the worker's requests ten times as long
        prepare=True,
    ).rowcount


def variant_of(connection: Connection, organization_id: UUID, experiment_id: UUID, unit: str) -> str | None:
    """The variant the unit was met in; None: it has not been met."""
    row = connection.execute(
        "SELECT variant FROM experiment_assignments WHERE organization_id = %s AND experiment_id = %s AND unit = %s",
        [organization_id, experiment_id, unit], prepare=True,
    ).fetchone()  # fmt: skip
    return None if row is None else str(row[0])


def counts(connection: Connection, organization_id: UUID, experiment_ids: Iterable[UUID]) -> dict[UUID, dict[int, dict[str, int]]]:
    """Units met so far: experiment → epoch → variant → number, in one scan. Without an entry: none."""
    rows = connection.execute(
        """SELECT experiment_id, epoch, variant, count(*) FROM experiment_assignments
        WHERE organization_id = %s AND experiment_id = ANY(%s) GROUP BY experiment_id, epoch, variant ORDER BY experiment_id, epoch, variant""",
        [organization_id, list(experiment_ids)],
    ).fetchall()
    found: dict[UUID, dict[int, dict[str, int]]] = {}
    for experiment_id, epoch, variant, number in rows:
        found.setdefault(experiment_id, {}).setdefault(epoch, {})[variant] = number
    return found
