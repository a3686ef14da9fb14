"""Examples that wait for an adjudicator: reading the verdicts that matter, opening and resolving.

Belongs here: SQL of adjudications. Not here: what counts as a disagreement (examples/adjudication.py), contradictory examples.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg.rows import class_row, dict_row

from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.reviews import CANDIDATES
from learning_pipelines.storage.tenants import AgentRef


@dataclass(frozen=True, slots=True)
class Contested:
    """The verdicts in force on one example with several, and its case, if there was one. `newest_at`, `newest_by`: of the verdicts.
    `approving`, `others`: of the round the example is in; none while nobody has judged its new text. `adjudicating`: the queue is handing it to
    an adjudicator.
    """

    example_id: str
    approving: int
    others: int
    newest_at: dt.datetime
    newest_by: UUID
    adjudicating: bool
    waiting: bool
    resolved_at: dt.datetime | None


def contested(connection: Connection, agent: AgentRef, examples: Sequence[str] | None = None) -> list[Contested]:
    """Examples with two verdicts or more, or with an open case; of the given ones, or of the whole agent."""
    with connection.cursor(row_factory=class_row(Contested)) as cursor:
        return cursor.execute(
            """SELECT v.example_id, CASE WHEN e.judged THEN v.approving ELSE 0 END AS approving, CASE WHEN e.judged THEN v.others ELSE 0 END AS others,
                v.newest_at, v.newest_by, e.adjudicating,
                a.example_id IS NOT NULL AND a.resolved_at IS NULL AS waiting, a.resolved_at
            FROM (
                SELECT example_id, count(*) FILTER (WHERE verdict = 2) AS approving, count(*) FILTER (WHERE verdict < 2) AS others,
                    max(created_at) AS newest_at, (array_agg(expert_id ORDER BY created_at DESC))[1] AS newest_by
                FROM expert_verdicts WHERE organization_id = %(organization)s AND (%(examples)s::text[] IS NULL OR example_id = ANY(%(examples)s))
                GROUP BY example_id
            ) v
            -- By primary key: as joins, a planner without statistics compares every pair of rows. The view holds the latest round that has
            -- verdicts; an example that went back for revision is in a later one.
            CROSS JOIN LATERAL (
                SELECT x.agent_id, x.adjudicating, x.review_round = 1 OR EXISTS (SELECT FROM expert_annotations n
                    WHERE n.organization_id = x.organization_id AND n.example_id = x.id AND n.round >= x.review_round AND n.withdrawn_at IS NULL
                        AND (n.approved IS NOT NULL OR n.annotation_type IN ('quality_assessment', 'correction'))) AS judged
                FROM learning_examples x WHERE x.organization_id = %(organization)s AND x.id = v.example_id OFFSET 0) e
            LEFT JOIN LATERAL (SELECT example_id, resolved_at FROM adjudications
                WHERE organization_id = %(organization)s AND example_id = v.example_id OFFSET 0) a ON true
            WHERE e.agent_id = %(agent)s AND (v.approving + v.others > 1 OR (a.example_id IS NOT NULL AND a.resolved_at IS NULL)) ORDER BY v.example_id""",
            {"organization": agent.organization_id, "agent": agent.agent_id, "examples": None if examples is None else list(examples)},
        ).fetchall()


def open_cases(connection: Connection, agent: AgentRef, cases: Sequence[tuple[str, str]]) -> None:
    """Opens (or opens again) a case per (example_id, reason) and sends the example back to review, where one more verdict decides."""
    if not cases:
        return
    connection.execute(
        f"""INSERT INTO adjudications AS a (organization_id, agent_id, example_id, reason, candidates)
        SELECT e.organization_id, e.agent_id, e.id, cases.reason, {CANDIDATES} FROM unnest(%s::text[], %s::text[]) AS cases (example_id, reason)
        JOIN learning_examples e ON e.organization_id = %s AND e.id = cases.example_id
        ON CONFLICT (organization_id, example_id) DO UPDATE SET reason = excluded.reason, opened_at = now(), resolved_at = NULL, resolved_by = NULL,
            candidates = excluded.candidates""",
        [[case[0] for case in cases], [case[1] for case in cases], agent.organization_id],
    )
    connection.execute(
        """UPDATE learning_examples e SET adjudicating = true, review_status = 'in_review', reviewed_by = NULL, reviewed_at = NULL, updated_at = now(),
            reviews_needed = least(10, 1 + (SELECT count(*) FROM expert_annotations n WHERE n.organization_id = e.organization_id AND n.example_id = e.id
                AND n.round = e.review_round AND n.is_verdict AND n.withdrawn_at IS NULL))
        WHERE e.organization_id = %s AND e.id = ANY(%s)""",
        [agent.organization_id, [case[0] for case in cases]],
    )


def resolve_cases(connection: Connection, agent: AgentRef, cases: Sequence[tuple[str, UUID | None]]) -> int:
    """Resolves open cases, given as (example_id, who settled it); returns how many were open."""
    if not cases:
        return 0
    return connection.execute(
        """UPDATE adjudications a SET resolved_at = clock_timestamp(), resolved_by = c.expert_id
        FROM unnest(%s::text[], %s::uuid[]) AS c (example_id, expert_id)
        WHERE a.organization_id = %s AND a.agent_id = %s AND a.example_id = c.example_id AND a.resolved_at IS NULL""",
        [[case[0] for case in cases], [case[1] for case in cases], agent.organization_id, agent.agent_id],
    ).rowcount


def waiting(connection: Connection, agent: AgentRef, limit: int = 50) -> list[dict[str, Any]]:
    """Open cases, oldest first: example_id, reason, opened_at and the experts whose verdicts are known (they cannot adjudicate)."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            """SELECT a.example_id, a.reason, a.opened_at,
                ARRAY(SELECT v.expert_id FROM expert_verdicts v WHERE v.organization_id = a.organization_id AND v.example_id = a.example_id
                    ORDER BY 1) AS experts
            FROM adjudications a WHERE a.organization_id = %s AND a.agent_id = %s AND a.resolved_at IS NULL ORDER BY a.opened_at, a.example_id LIMIT %s""",
            [agent.organization_id, agent.agent_id, limit],
        ).fetchall()


def count_waiting(connection: Connection, agent: AgentRef) -> int:
    """Open cases of an agent."""
    row = connection.execute(
        "SELECT count(*) FROM adjudications WHERE organization_id = %s AND agent_id = %s AND resolved_at IS NULL", [agent.organization_id, agent.agent_id]
    ).fetchone()
    return int(row[0]) if row else 0
