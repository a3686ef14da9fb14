"""What agreement is computed from and where it is kept: verdicts of experts, thumbs of users, verdicts of a judge.

Belongs here: SQL of expert_reliability, annotation_agreement and curation_state. Not here: alpha, kappa, reliability, writing verdicts (judging.py).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg.rows import class_row, dict_row
from psycopg.types.json import Jsonb

from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.ingest_sql import NIL
from learning_pipelines.storage.rater_weights import weight_of
from learning_pipelines.storage.tenants import AgentRef

# The example behind a row of grouped verdicts, by its primary key: as a join, a planner without statistics compares every pair of the two.
_EXAMPLE = """SELECT organization_id, id, agent_id, expected_output, original_output FROM learning_examples
    WHERE organization_id = %(organization)s AND id = each.example_id OFFSET 0"""
_WEEK = """to_char({} AT TIME ZONE %(zone)s, 'IYYY-"W"IW')"""


@dataclass(frozen=True, slots=True)
class Compared:
    """Reviewed examples of a week with the same sides: users, experts, judge say +1 (learn from it), -1 (do not) or nothing (None)."""

    week: str
    users: int | None
    experts: int | None
    judge: int | None
    examples: int


def annotations_fingerprint(connection: Connection, organization_id: UUID) -> str:
    """Changes with every annotation that is added, changed or taken away (xmin is the transaction that wrote a row). It reads a few bytes of each: what
    experts write by hand is little beside feedback."""
    row = connection.execute(
        "SELECT count(*), coalesce(sum(hashint8(xmin::text::bigint)::bigint), 0) FROM expert_annotations WHERE organization_id = %s", [organization_id]
    ).fetchone()
    assert row is not None
    return f"{row[0]}/{row[1]}"


def remembered(connection: Connection, organization_id: UUID, name: str, agent_id: UUID | None = None) -> tuple[str, dt.datetime] | None:
    """The fingerprint a computation saw last, and when; None if it never ran."""
    row = connection.execute(
        "SELECT fingerprint, updated_at FROM curation_state WHERE organization_id = %s AND agent_id = %s AND name = %s",
        [organization_id, agent_id or NIL, name],
    ).fetchone()
    return None if row is None else (str(row[0]), row[1])


def remember(connection: Connection, organization_id: UUID, name: str, fingerprint: str, agent_id: UUID | None = None) -> None:
    """Remembers the fingerprint; part of the transaction that stores the result."""
    connection.execute(
        """INSERT INTO curation_state (organization_id, agent_id, name, fingerprint) VALUES (%s, %s, %s, %s)
        ON CONFLICT (organization_id, agent_id, name) DO UPDATE SET fingerprint = excluded.fingerprint, updated_at = now()""",
        [organization_id, agent_id or NIL, name, fingerprint],
    )


def verdicts(connection: Connection, organization_id: UUID) -> list[tuple[str, UUID, int]]:
    """Every verdict in force of an organization: example, expert, verdict 0..2."""
    return connection.execute(
        "SELECT example_id, expert_id, verdict FROM expert_verdicts WHERE organization_id = %s ORDER BY 1, 2", [organization_id]
    ).fetchall()


def reliabilities(connection: Connection, organization_id: UUID) -> dict[UUID, float]:
    """Reliability by expert."""
    rows = connection.execute("SELECT expert_id, reliability FROM expert_reliability WHERE organization_id = %s", [organization_id]).fetchall()
    return {expert: float(reliability) for expert, reliability in rows}


def store_reliabilities(connection: Connection, organization_id: UUID, rows: Sequence[tuple[UUID, int, int, float, Any]]) -> None:
    """Replaces the reliabilities of an organization by (expert, reviews, shared, reliability, confusion)."""
    connection.execute("DELETE FROM expert_reliability WHERE organization_id = %s", [organization_id])
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO expert_reliability (organization_id, expert_id, reviews, shared, reliability, confusion) VALUES (%s, %s, %s, %s, %s, %s)",
            [(organization_id, expert, reviews, shared, reliability, Jsonb(confusion)) for expert, reviews, shared, reliability, confusion in rows],
        )


def expert_counts(connection: Connection, agent: AgentRef, zone: str) -> list[tuple[str, int, int, int, int]]:
    """Examples with several verdicts: (week of the newest, rejecting, asking for a revision, approving, how many such examples)."""
    return connection.execute(
        f"""SELECT week, rejecting, revising, approving, count(*) FROM (
            SELECT v.example_id, {_WEEK.format("max(v.created_at)")} AS week, count(*) FILTER (WHERE v.verdict = 0) AS rejecting,
                count(*) FILTER (WHERE v.verdict = 1) AS revising, count(*) FILTER (WHERE v.verdict = 2) AS approving
            FROM expert_verdicts v WHERE v.organization_id = %(organization)s GROUP BY v.example_id HAVING count(*) > 1) AS each
        CROSS JOIN LATERAL ({_EXAMPLE}) e WHERE e.agent_id = %(agent)s
        GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4""",
        {"organization": agent.organization_id, "agent": agent.agent_id, "zone": zone},
    ).fetchall()


def compared(connection: Connection, agent: AgentRef, zone: str, typical: float) -> list[Compared]:
    """What users, experts and judge say about the examples that experts or the judge looked at.

    Users: thumbs in force on the example's executions, weighted; a thumb up is for an example whose answer stands, against one that says
    the answer was bad. Experts: approved or rejected, by reliability; asking for a revision is neither. Undecided sides are None.
    """
    rated = weight_of("f")
    with connection.cursor(row_factory=class_row(Compared)) as cursor:
        return cursor.execute(
            f"""WITH sides AS MATERIALIZED (
                SELECT example_id, sum(expert) AS experts, sum(judge) AS judge, max(at) AS at FROM (
                    SELECT v.example_id, (v.verdict - 1) * coalesce(r.reliability, %(typical)s) AS expert, NULL::integer AS judge, v.created_at AS at
                    FROM expert_verdicts v LEFT JOIN expert_reliability r ON r.organization_id = v.organization_id AND r.expert_id = v.expert_id
                    WHERE v.organization_id = %(organization)s
                    UNION ALL
                    -- A judge that replaced another speaks for it.
                    SELECT * FROM (SELECT DISTINCT ON (example_id) example_id, NULL::double precision, CASE WHEN approved THEN 1 ELSE -1 END, created_at
                        FROM judge_verdicts WHERE organization_id = %(organization)s AND approved IS NOT NULL
                        ORDER BY example_id, created_at DESC, judge) AS latest
                ) AS said GROUP BY 1
            )
            SELECT {_WEEK.format("each.at")} AS week,
                nullif(sign(t.side)::integer * CASE WHEN coalesce(e.expected_output = e.original_output, false) THEN 1 ELSE -1 END, 0) AS users,
                nullif(sign(each.experts)::integer, 0) AS experts, nullif(sign(each.judge)::integer, 0) AS judge, count(*)::integer AS examples
            FROM sides AS each CROSS JOIN LATERAL ({_EXAMPLE}) e
            LEFT JOIN LATERAL (
                SELECT sum(CASE f.feedback_type WHEN 'thumbs_up' THEN 1 ELSE -1 END * {rated.weight}) AS side
                FROM (SELECT DISTINCT execution_id FROM example_sources WHERE organization_id = e.organization_id AND example_id = e.id) r
                CROSS JOIN LATERAL (
                    SELECT f.organization_id, f.user_id, f.feedback_type FROM feedback_in_force f
                    WHERE f.organization_id = e.organization_id AND f.execution_id = r.execution_id AND f.facets_in_force & 1 > 0
                    UNION ALL SELECT f.organization_id, f.user_id, f.feedback_type FROM archived_thumbs f
                    WHERE f.organization_id = e.organization_id AND f.execution_id = r.execution_id
                        AND NOT EXISTS (SELECT FROM agent_feedback o WHERE o.organization_id = f.organization_id AND o.execution_id = f.execution_id)
                ) f {rated.join}
            ) t ON true
            WHERE e.agent_id = %(agent)s GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4""",
            {"organization": agent.organization_id, "agent": agent.agent_id, "zone": zone, "typical": typical},
        ).fetchall()


def user_weeks(connection: Connection, agent: AgentRef, since: dt.datetime | None, zone: str) -> list[dt.date]:
    """The weeks (Mondays) of executions that got feedback which arrived at or after `since` (None: ever).

    Weeks of which executions were archived are left out: what was computed while all their rows were there stands.
    """
    rows = connection.execute(
        """SELECT DISTINCT date_trunc('week', x.created_at AT TIME ZONE %(zone)s)::date FROM agent_feedback f
        JOIN agent_executions x ON x.organization_id = f.organization_id AND x.id = f.execution_id
        WHERE f.organization_id = %(organization)s AND f.agent_id = %(agent)s AND NOT f.pending_execution AND f.facets & 1 > 0
          AND (%(since)s::timestamptz IS NULL OR f.received_at >= %(since)s)
          AND NOT EXISTS (SELECT FROM archived_metrics m WHERE m.organization_id = %(organization)s AND m.agent_id = %(agent)s AND m.executions > 0
              AND date_trunc('week', m.day::timestamp)::date = date_trunc('week', x.created_at AT TIME ZONE %(zone)s)::date) ORDER BY 1""",
        {"organization": agent.organization_id, "agent": agent.agent_id, "since": since, "zone": zone},
    ).fetchall()
    return [row[0] for row in rows]


def user_counts(connection: Connection, agent: AgentRef, mondays: Sequence[dt.date], zone: str) -> list[tuple[str, int, int, int]]:
    """Executions of these weeks with several thumbs in force: (week, down, up, how many such executions). Distrusted raters do not count."""
    rated = weight_of("f")
    return connection.execute(
        f"""SELECT week, down, up, count(*) FROM (
            SELECT {_WEEK.format("max(x.created_at)")} AS week, count(*) FILTER (WHERE f.feedback_type = 'thumbs_down') AS down,
                count(*) FILTER (WHERE f.feedback_type = 'thumbs_up') AS up
            FROM unnest(%(mondays)s::date[]) AS w (monday)
            JOIN agent_executions x ON x.organization_id = %(organization)s AND x.agent_id = %(agent)s
                AND x.created_at >= w.monday::timestamp AT TIME ZONE %(zone)s AND x.created_at < (w.monday + 7)::timestamp AT TIME ZONE %(zone)s
            JOIN feedback_in_force f ON f.organization_id = x.organization_id AND f.execution_id = x.id {rated.join}
            WHERE f.facets_in_force & 1 > 0 AND {rated.weight} > 0
            GROUP BY x.id HAVING count(*) > 1) AS each
        GROUP BY 1, 2, 3 ORDER BY 1, 2, 3""",
        {"organization": agent.organization_id, "agent": agent.agent_id, "mondays": list(mondays), "zone": zone},
    ).fetchall()


def stored_counts(connection: Connection, agent: AgentRef, pair: str) -> dict[str, list[list[int]]]:
    """By period, the distinct rows that the agreement of a pair was computed from; empty if it never was."""
    rows = connection.execute(
        "SELECT period, counts FROM annotation_agreement WHERE organization_id = %s AND agent_id = %s AND pair = %s",
        [agent.organization_id, agent.agent_id, pair],
    ).fetchall()
    return {str(period): counts for period, counts in rows}


def store_agreement(connection: Connection, agent: AgentRef, pair: str, rows: Sequence[dict[str, Any]]) -> None:
    """Replaces all periods of a pair."""
    connection.execute(
        "DELETE FROM annotation_agreement WHERE organization_id = %s AND agent_id = %s AND pair = %s", [agent.organization_id, agent.agent_id, pair]
    )
    with connection.cursor() as cursor:
        cursor.executemany(
            """INSERT INTO annotation_agreement (organization_id, agent_id, pair, period, units, alpha, alpha_low, alpha_high, kappa, kappa_low,
                kappa_high, undefined, counts)
            VALUES (%(organization)s, %(agent)s, %(pair)s, %(period)s, %(units)s, %(alpha)s, %(alpha_low)s, %(alpha_high)s, %(kappa)s,
                %(kappa_low)s, %(kappa_high)s, %(undefined)s, %(counts)s)""",
            [
                {**row, "counts": Jsonb(row["counts"]), "organization": agent.organization_id, "agent": agent.agent_id, "pair": pair}
                for row in rows
            ],
        )


def agreement(connection: Connection, agent: AgentRef) -> list[dict[str, Any]]:
    """Every pair and period of an agent, in order of time, `all` last."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            """SELECT pair, period, units, alpha, alpha_low, alpha_high, kappa, kappa_low, kappa_high, undefined FROM annotation_agreement
            WHERE organization_id = %s AND agent_id = %s ORDER BY pair, period = 'all', period""",
            [agent.organization_id, agent.agent_id],
        ).fetchall()
