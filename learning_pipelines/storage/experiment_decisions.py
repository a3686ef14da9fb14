"""Decisions about experiments, to read: what was decided when, from which evidence.

Belongs here: reading experiment_decisions. Not here: storing them (experiments.add_decision), making them (experiments/decision.py).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.experiment_rows import Decision


@dataclass(frozen=True, slots=True)
class Stored:
    """A decision as it was stored. `final`: the experiment ended with it."""

    id: int
    decision: Decision
    final: bool
    reason: str
    evidence: dict[str, Any]
    decided_by: str
    decided_at: dt.datetime


def last(connection: Connection, organization_id: UUID, experiment_id: UUID) -> Stored | None:
    """The newest decision about an experiment; None before the first."""
    found = listed(connection, organization_id, experiment_id, limit=1)
    return found[0] if found else None


def newest(connection: Connection, organization_id: UUID, experiment_ids: Iterable[UUID]) -> dict[UUID, Decision]:
    """What was decided last about each experiment; without an entry: nothing yet."""
    rows = connection.execute(
        """SELECT DISTINCT ON (experiment_id) experiment_id, decision FROM experiment_decisions
        WHERE organization_id = %s AND experiment_id = ANY(%s) ORDER BY experiment_id, id DESC""",
        [organization_id, list(experiment_ids)],
    ).fetchall()
    return dict(rows)


def listed(connection: Connection, organization_id: UUID, experiment_id: UUID, *, limit: int = 1000) -> list[Stored]:
    """Decisions about an experiment, newest first."""
    rows = connection.execute(
        """SELECT id, decision, final, reason, evidence, decided_by, decided_at FROM experiment_decisions
        WHERE organization_id = %s AND experiment_id = %s ORDER BY id DESC LIMIT %s""",
        [organization_id, experiment_id, limit],
    ).fetchall()
    return [Stored(*row) for row in rows]


def outcomes(connection: Connection, organization_id: UUID, experiment_id: UUID, most: int) -> list[tuple[dt.datetime, dict[str, Any]]]:
    """(when, outcome) of decisions about an experiment, oldest first: what a plot is drawn from. Of more than `most` so many, evenly spread and with the
    first and the last; the evidence of the others, which may be large, is not read."""
    rows = connection.execute(
        """SELECT decided_at, evidence -> 'outcome' FROM experiment_decisions
        WHERE organization_id = %(organization)s AND experiment_id = %(experiment)s AND id IN (
            SELECT id FROM (
                SELECT id, row_number() OVER (ORDER BY id) - 1 AS place, count(*) OVER () AS number FROM experiment_decisions
                WHERE organization_id = %(organization)s AND experiment_id = %(experiment)s
            ) placed
            WHERE number <= %(most)s OR place = 0 OR place * (%(most)s - 1) / (number - 1) > (place - 1) * (%(most)s - 1) / (number - 1)
        ) AND evidence ? 'outcome' ORDER BY id""",
        {"organization": organization_id, "experiment": experiment_id, "most": most},
    ).fetchall()
    return [(when, outcome) for when, outcome in rows]
