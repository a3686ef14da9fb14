"""Quality scores: whose evidence changed, the opinions about them, writing scores back, calibrations.

Belongs here: SQL of stale_quality, example_quality and quality_calibrations. Not here: how opinions become a score (examples/quality.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.rater_weights import weight_of
from learning_pipelines.storage.tenants import AgentRef

COLUMNS = (
    ("example_id", "text"), ("imported_score", "double precision"), ("experts", "integer"), ("expert_score", "double precision"),
    ("supporting", "double precision"), ("contradicting", "double precision"), ("agreement", "double precision"), ("evidence", "double precision"),
    ("score", "double precision"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class OpinionRow:
    """What is known about one example; the three arrays hold one element per expert."""

    example_id: str
    imported: float | None
    supporting: float
    contradicting: float
    raters: int
    scores: list[float]
    reliabilities: list[float]
    approved: list[bool]


def lock_quality(connection: Connection, organization_id: UUID, what: str) -> None:
    """One computation of its kind at a time; released with the transaction."""
    connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"example_quality/{organization_id}/{what}"])


def mark_stale(connection: Connection, organization_id: UUID, experts: Sequence[UUID]) -> int:
    """Marks every example that one of the experts reviewed or verified; part of the transaction that changes their reliability."""
    return connection.execute(
        """INSERT INTO stale_quality (organization_id, agent_id, example_id)
        SELECT DISTINCT e.organization_id, e.agent_id, e.id FROM expert_annotations n
        JOIN learning_examples e ON e.organization_id = n.organization_id AND e.id = n.example_id
        WHERE n.organization_id = %s AND (n.expert_id = ANY(%s) OR n.verified_by = ANY(%s))""",
        [organization_id, list(experts), list(experts)],
    ).rowcount


def take_stale(connection: Connection, agent: AgentRef, calibration: int, limit: int) -> list[str]:
    """At most `limit` examples to score: those marked (the marks are deleted with the caller's transaction), then those scored by another
    calibration. Empty: every score is up to date.
    """
    values = {"organization": agent.organization_id, "agent": agent.agent_id, "calibration": calibration, "limit": limit}
    # Up to the last id of the portion, and not by a list of ids: a range of the primary key, however fresh the table's statistics are.
    marked = connection.execute(
        """DELETE FROM stale_quality WHERE organization_id = %(organization)s AND agent_id = %(agent)s AND id <= (SELECT max(id) FROM (
            SELECT id FROM stale_quality WHERE organization_id = %(organization)s AND agent_id = %(agent)s ORDER BY id LIMIT %(limit)s) AS portion)
        RETURNING example_id""",
        values,
    ).fetchall()
    if marked:
        return sorted({str(row[0]) for row in marked})
    rows = connection.execute(
        """SELECT example_id FROM example_quality
        WHERE organization_id = %(organization)s AND agent_id = %(agent)s AND (calibration < %(calibration)s OR calibration > %(calibration)s)
        ORDER BY example_id LIMIT %(limit)s""",
        values,
    ).fetchall()
    return [str(row[0]) for row in rows]


def stale_agents(connection: Connection, organization: str | None = None) -> list[AgentRef]:
    """Agents with an example that is marked."""
    rows = connection.execute(
        """SELECT o.organization_id, o.slug, a.id, a.slug FROM agents a JOIN organizations o USING (organization_id)
        WHERE (%(organization)s::text IS NULL OR o.slug = %(organization)s)
          AND EXISTS (SELECT FROM stale_quality s WHERE s.organization_id = a.organization_id AND s.agent_id = a.id)
        ORDER BY o.slug, a.slug""",
        {"organization": organization},
    ).fetchall()
    return [AgentRef(*row) for row in rows]


def opinions(connection: Connection, organization_id: UUID, examples: Sequence[str], typical: float) -> list[OpinionRow]:
    """The opinions about these examples; those that are gone are left out. `typical`: reliability of an expert who has none yet.

    A user supports an example if their feedback is among its sources, and contradicts it if their feedback on one of the same executions
    made an example that takes the other side: that the answer stands, or that it does not. Each person counts once per example.
    """
    rated = weight_of("s")
    values = {"organization": organization_id, "examples": list(examples), "typical": typical}
    reviewed = {str(row[0]): row[1:] for row in connection.execute(_REVIEWED, values).fetchall()}
    rows = connection.execute(_RATED.format(join=rated.join, weight=rated.weight), values).fetchall()
    return [OpinionRow(*row, *reviewed.get(str(row[0]), ([], [], []))) for row in rows]


_REVIEWED = """
SELECT v.example_id, array_agg(v.score ORDER BY v.expert_id), array_agg(coalesce(r.reliability, %(typical)s)
        + CASE WHEN v.verified_by IS NULL THEN 0 ELSE coalesce(x.reliability, %(typical)s) END ORDER BY v.expert_id),
    array_agg(v.verdict = 2 ORDER BY v.expert_id)
FROM expert_verdicts v
LEFT JOIN expert_reliability r ON r.organization_id = v.organization_id AND r.expert_id = v.expert_id
LEFT JOIN expert_reliability x ON x.organization_id = v.organization_id AND x.expert_id = v.verified_by
WHERE v.organization_id = %(organization)s AND v.example_id = ANY(%(examples)s) GROUP BY 1"""

# The sums are looked up by example: as grouped tables without statistics they would be joined by comparing every pair.
_STANDS = "({0}.expected_output IS NOT NULL AND {0}.expected_output = {0}.original_output)"
_RATED = f"""
SELECT e.id, CASE WHEN q.example_id IS NOT NULL THEN q.imported_score WHEN e.source_type = 'imported' THEN e.quality_score END,
    coalesce(u.weight, 0), coalesce(c.weight, 0), (u.people + c.people)::integer
FROM learning_examples e LEFT JOIN example_quality q ON q.organization_id = e.organization_id AND q.example_id = e.id
CROSS JOIN LATERAL (
    SELECT sum(weight) AS weight, count(*) FILTER (WHERE weight > 0) AS people FROM (
        SELECT coalesce(s.user_id::text, s.feedback_id) AS person, max({{weight}}) AS weight FROM example_sources s {{join}}
        WHERE s.organization_id = e.organization_id AND s.example_id = e.id GROUP BY 1) AS each
) u
CROSS JOIN LATERAL (
    SELECT sum(weight) AS weight, count(*) FILTER (WHERE weight > 0) AS people FROM (
        SELECT coalesce(s.user_id::text, s.feedback_id) AS person, max({{weight}}) AS weight FROM example_sources o
        JOIN example_sources s ON s.organization_id = o.organization_id AND s.execution_id = o.execution_id AND s.example_id <> e.id
        JOIN learning_examples x ON x.organization_id = s.organization_id AND x.id = s.example_id AND {_STANDS.format("x")} <> {_STANDS.format("e")}
        {{join}} WHERE o.organization_id = e.organization_id AND o.example_id = e.id GROUP BY 1) AS each
) c
WHERE e.organization_id = %(organization)s AND e.id = ANY(%(examples)s) ORDER BY e.id"""


def store_scores(connection: Connection, agent: AgentRef, calibration: int, rows: Iterable[tuple[Any, ...]]) -> int:
    """Writes scores (columns COLUMNS) with what they were made of, and to learning_examples; returns how many changed there."""
    values = {"organization": agent.organization_id, "agent": agent.agent_id, "calibration": calibration}
    names = ", ".join(name for name, _ in COLUMNS)
    with connection.cursor() as cursor:
        declared = ", ".join(f"{name} {type_}" for name, type_ in COLUMNS)
        cursor.execute(f"CREATE TEMP TABLE IF NOT EXISTS staged_quality ({declared}) ON COMMIT DELETE ROWS")
        cursor.execute("DELETE FROM staged_quality")
        with cursor.copy(f"COPY staged_quality ({names}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)
        updated = ", ".join(f"{name} = excluded.{name}" for name, _ in COLUMNS[1:])
        cursor.execute(
            f"""INSERT INTO example_quality (organization_id, agent_id, calibration, {names})
            SELECT %(organization)s, %(agent)s, %(calibration)s, {names} FROM staged_quality
            ON CONFLICT (organization_id, example_id) DO UPDATE SET calibration = excluded.calibration, scored_at = now(), {updated}""",
            values,
        )
        return cursor.execute(
            """UPDATE learning_examples e SET quality_score = s.score, updated_at = now() FROM staged_quality s
            WHERE e.organization_id = %(organization)s AND e.id = s.example_id AND e.quality_score IS DISTINCT FROM s.score""",
            values,
        ).rowcount


def count_annotations(connection: Connection, organization_id: UUID) -> int:
    """Annotations of an organization."""
    row = connection.execute("SELECT count(*) FROM expert_annotations WHERE organization_id = %s", [organization_id]).fetchone()
    return int(row[0]) if row else 0


def reviewed_examples(connection: Connection, organization_id: UUID, limit: int) -> list[str]:
    """Examples with an expert's verdict, the `limit` latest reviewed ones."""
    rows = connection.execute(
        "SELECT example_id FROM expert_annotations WHERE organization_id = %s GROUP BY 1 ORDER BY max(created_at) DESC, 1 LIMIT %s",
        [organization_id, limit],
    ).fetchall()
    return [str(row[0]) for row in rows]


def latest_calibration(connection: Connection, organization_id: UUID) -> dict[str, Any] | None:
    """The calibration in force: version, method, knots, verdicts, numbers; None before the first."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            "SELECT version, method, knots, verdicts, numbers FROM quality_calibrations WHERE organization_id = %s ORDER BY version DESC LIMIT 1",
            [organization_id],
        ).fetchone()


def store_calibration(connection: Connection, organization_id: UUID, version: int, method: str, knots: Sequence[Any], verdicts: int, numbers: Any) -> None:
    """Stores a calibration. Of a version that is there only the numbers change, never the map."""
    connection.execute(
        """INSERT INTO quality_calibrations (organization_id, version, method, knots, verdicts, numbers) VALUES (%s, %s, %s, %s, %s, %s)
        ON CONFLICT (organization_id, version) DO UPDATE SET verdicts = excluded.verdicts, numbers = excluded.numbers, fitted_at = now()""",
        [organization_id, version, method, Jsonb(knots), verdicts, Jsonb(numbers)],
    )


def distribution(connection: Connection, agent: AgentRef, bins: int = 20) -> tuple[list[int], int, int]:
    """Scores of active examples: counts per bin of equal width over 0..1, how many there are, and how many have no score."""
    rows = connection.execute(
        """SELECT least(floor(quality_score * %(bins)s)::integer, %(bins)s - 1), count(*) FROM learning_examples
        WHERE organization_id = %(organization)s AND agent_id = %(agent)s AND is_active GROUP BY 1""",
        {"organization": agent.organization_id, "agent": agent.agent_id, "bins": bins},
    ).fetchall()
    counts = {None if place is None else int(place): int(count) for place, count in rows}
    return [counts.get(place, 0) for place in range(bins)], sum(counts.values()), counts.get(None, 0)


CHECKED = 10_000
"""Latest scores that the checks look at: their cost does not grow with history."""


@dataclass(frozen=True, slots=True)
class QualityChecks:
    """Of the latest scores: `strayed` are not what learning_examples says (or outside 0..1), `falling` are lower than with less evidence."""

    strayed: int
    falling: int


def check_scores(connection: Connection, agent: AgentRef) -> QualityChecks:
    """Checks the latest scores of an agent against each other and against learning_examples."""
    row = connection.execute(
        """WITH latest AS MATERIALIZED (
            SELECT q.example_id, q.evidence, q.score, q.calibration, e.quality_score FROM (
                SELECT * FROM example_quality WHERE organization_id = %(organization)s AND agent_id = %(agent)s ORDER BY scored_at DESC LIMIT %(limit)s) q
            JOIN learning_examples e ON e.organization_id = q.organization_id AND e.id = q.example_id
        )
        SELECT (SELECT count(*) FROM latest WHERE score IS DISTINCT FROM quality_score OR (evidence IS NULL) <> (score IS NULL) OR NOT score BETWEEN 0 AND 1),
            (SELECT count(*) FROM (SELECT score, lag(score) OVER (PARTITION BY calibration ORDER BY evidence, score) AS less FROM latest
                WHERE evidence IS NOT NULL) AS ordered WHERE score < less)""",
        {"organization": agent.organization_id, "agent": agent.agent_id, "limit": CHECKED},
    ).fetchone()
    assert row is not None
    return QualityChecks(int(row[0]), int(row[1]))
