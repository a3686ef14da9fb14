"""Where an example comes from and how far each source is trusted: what whoever approves it gets to see.

Belongs here: reading sources with their raters' weights. Not here: how weights come about (feedback/trust.py), review itself.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from learning_pipelines.storage.database import Connection


@dataclass(frozen=True, slots=True)
class Source:
    """One feedback behind an example.

    `user`: external id, None where the person is unknown. `weight`: 0–1, None while it has not been computed (a newcomer, or nobody
    known). `flags`: signals that lowered it. `created_at`: when the feedback was given.
    """

    example_id: str
    feedback_id: str
    execution_id: str
    user: str | None
    weight: float | None
    flags: tuple[str, ...]
    created_at: dt.datetime


def provenance(connection: Connection, example_ids: Sequence[str], organization_id: UUID | None = None) -> list[Source]:
    """The sources of these examples, ordered by example and time; an example that came in whole has none.

    Works for both roles: the API sees its organization by row-level security, the pipeline names one (ids repeat across organizations).
    """
    rows = connection.execute(
        """SELECT s.example_id, s.feedback_id, s.execution_id, u.external_id, w.weight, coalesce(w.flags, '{}'),
            coalesce(k.happened_at, s.created_at) AS said_at
        FROM example_sources s
        LEFT JOIN users u ON u.organization_id = s.organization_id AND u.id = s.user_id
        LEFT JOIN rater_weights w ON w.organization_id = s.organization_id AND w.user_id = s.user_id
        LEFT JOIN ingest_keys k ON k.organization_id = s.organization_id AND k.kind = 'feedback' AND k.external_id = s.feedback_id
        WHERE s.example_id = ANY(%s) AND (%s::uuid IS NULL OR s.organization_id = %s) ORDER BY s.example_id, said_at, s.feedback_id""",
        [list(example_ids), organization_id, organization_id],
    ).fetchall()
    return [Source(example, feedback, execution, user, weight, tuple(flags), at) for example, feedback, execution, user, weight, flags, at in rows]
