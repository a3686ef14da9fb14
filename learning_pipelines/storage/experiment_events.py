"""Which new executions and feedback concern an experiment, what each adds to its unit, and what is left out and why.

Belongs here: the outbox up to experiment_executions, set by set: the entries of a portion, what their executions claim, how a claim is judged, what the
feedback in force makes of them. Not here: values of units and states of metrics (experiment_totals.py), who gets what (experiments/assignment.py).

Everything of a portion happens in one transaction, on temporary tables that end with it:
portion_executions (what the entries are about) → portion_claims (experiments that were not judged yet) → experiment_executions → portion_events
(what each counted execution says now, beside what it said before).

A claim is judged once, when it is first seen, and keeps its verdict. What feedback makes of a counted execution is looked at anew whenever feedback on it
comes, and the difference to before is what is added: entries that are read again, after a restore or a second delivery, add nothing.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

from learning_pipelines.storage import outbox
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.ingest_sql import NIL
from learning_pipelines.storage.outbox import EXPERIMENTS_READER as READER
from learning_pipelines.storage.outbox import Position
from learning_pipelines.storage.tenants import AgentRef

EVERYBODY = AgentRef(UUID(NIL), "", UUID(NIL), "")
"""There is one reader for all agents of all organizations: a portion costs the same however many experiments it is about."""
SKEW = dt.timedelta(minutes=10)
"""How far clocks of applications may be off the database's."""
MOST_CLAIMS = 20
"""Experiments of one execution that are looked at."""
OPENING = 400
"""Characters of an output in which a refusal is looked for."""
HIGHEST = 1e9
"""Milliseconds and US dollars from which an amount is a mistake: it counts as unknown. Sums of squares stay far from overflowing."""


@dataclass(frozen=True, slots=True)
class Portion:
    """New entries that may concern an experiment, and where the reader stands after them. `more`: there are further ones."""

    entries: int
    position: Position
    more: bool


def take_up(connection: Connection, limit: int) -> Portion:
    """Locks the reader and notes in portion_executions what its next entries are about, at most `limit`. Entries of organizations that never started an
    experiment are passed over. Call inside a transaction."""
    outbox.lock_reader(connection, READER, EVERYBODY)
    start = outbox.position(connection, READER, EVERYBODY)
    connection.execute("CREATE TEMP TABLE portion_executions (organization_id uuid, execution_id text) ON COMMIT DROP")
    row = connection.execute(_TAKE_UP, {"xid": str(start.xid), "id": start.id, "limit": limit}).fetchone()
    assert row is not None
    entries, last, end = int(row[0]), row[1], row[2]
    connection.execute("ANALYZE portion_executions")
    connection.execute(_JOIN_PENDING)
    reached = last if entries == limit else end  # nothing below the end is left for us
    return Portion(entries, Position(start.cluster, int(reached[0]), int(reached[1])) if reached else start, entries == limit)


# The end is that of the same snapshot: what becomes safe meanwhile is read next time.
_TAKE_UP = """
WITH concerned AS MATERIALIZED (SELECT DISTINCT organization_id FROM learning_experiments WHERE started_at IS NOT NULL),
batch AS MATERIALIZED (
    SELECT o.organization_id, o.execution_id, o.xid, o.id FROM outbox o
    WHERE (o.xid, o.id) > (%(xid)s::xid8, %(id)s) AND o.xid < pg_snapshot_xmin(pg_current_snapshot()) AND o.kind IN ('executions', 'feedback')
        AND o.execution_id IS NOT NULL AND o.organization_id IN (SELECT organization_id FROM concerned)
    ORDER BY o.xid, o.id LIMIT %(limit)s
),
noted AS (INSERT INTO portion_executions SELECT DISTINCT organization_id, execution_id FROM batch)
SELECT (SELECT count(*) FROM batch), (SELECT ARRAY[xid::text, id::text] FROM batch ORDER BY xid DESC, id DESC LIMIT 1),
    (SELECT ARRAY[xid::text, id::text] FROM outbox WHERE (xid, id) > (%(xid)s::xid8, %(id)s) AND xid < pg_snapshot_xmin(pg_current_snapshot())
        ORDER BY xid DESC, id DESC LIMIT 1)"""

# Feedback and its execution that came in transactions which overlapped: neither saw the other (join_pending of ingest_sql.py, for all organizations).
_JOIN_PENDING = """
WITH joined AS (
    UPDATE agent_feedback f SET pending_execution = false, agent_id = x.agent_id
    FROM portion_executions t CROSS JOIN LATERAL (
        SELECT * FROM ingest_keys k WHERE k.organization_id = t.organization_id AND k.kind = 'executions' AND k.external_id = t.execution_id LIMIT 1
    ) x
    WHERE f.organization_id = t.organization_id AND f.pending_execution AND f.execution_id = t.execution_id
        AND EXISTS (SELECT FROM agent_feedback p WHERE p.organization_id = t.organization_id AND p.pending_execution)
    RETURNING f.organization_id, f.id, f.agent_id, f.execution_id, f.created_at, x.happened_at
)
INSERT INTO outbox (organization_id, agent_id, kind, row_id, execution_id, happened_at, execution_at)
SELECT organization_id, agent_id, 'feedback', id, execution_id, created_at, happened_at FROM joined"""


def advance(connection: Connection, portion: Portion) -> None:
    """Remembers that the portion is taken up; part of the transaction that stored what came of it."""
    outbox.advance(connection, READER, EVERYBODY, portion.position)


def claim(connection: Connection, refusal: str) -> int:
    """Notes in portion_claims the experiments that the portion's executions carry and that are not judged yet. `refusal`: a regular expression that
    outputs match which refuse to answer. Returns how many."""
    values = {"refusal": refusal, "most": MOST_CLAIMS, "opening": OPENING, "highest": HIGHEST}
    connection.execute(f"CREATE TEMP TABLE portion_claims ON COMMIT DROP AS {_CLAIMS}", values)
    connection.execute("ANALYZE portion_claims")
    row = connection.execute("SELECT count(*) FROM portion_claims").fetchone()
    return int(row[0]) if row else 0


# LATERAL … LIMIT 1: always one probe of the index of executions that carry an experiment, whatever the statistics say. What is no uuid is no experiment
# of ours: applications put what they like into their context.
_CLAIMS = r"""
SELECT DISTINCT ON (x.organization_id, x.id, said.experiment_id) x.organization_id, said.experiment_id, x.id AS execution_id, x.agent_id, x.user_id,
    x.created_at, x.received_at, said.variant,
    coalesce(said.unit, CASE e.unit WHEN 'user' THEN (SELECT u.external_id FROM users u WHERE u.organization_id = x.organization_id AND u.id = x.user_id)
        WHEN 'session' THEN x.session_id WHEN 'execution' THEN x.id END) AS unit,
    CASE WHEN x.latency_ms < %(highest)s THEN x.latency_ms END AS latency_ms, CASE WHEN x.cost_usd < %(highest)s THEN x.cost_usd END AS cost_usd,
    left(x.output, %(opening)s) ~ %(refusal)s AS refusal
FROM portion_executions t
CROSS JOIN LATERAL (
    SELECT * FROM agent_executions a WHERE a.organization_id = t.organization_id AND a.id = t.execution_id
        AND a.context ?| ARRAY['experiment', 'experiments'] LIMIT 1
) x
CROSS JOIN LATERAL (
    SELECT CASE WHEN one ->> 'experiment' ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN (one ->> 'experiment')::uuid END AS experiment_id,
        CASE WHEN jsonb_typeof(one -> 'variant') = 'string' THEN one ->> 'variant' END AS variant,
        coalesce(CASE WHEN jsonb_typeof(one -> 'unit') = 'string' THEN one ->> 'unit' END,
            CASE WHEN jsonb_typeof(x.context -> 'unit') = 'string' THEN x.context ->> 'unit' END) AS unit, place
    FROM (
        SELECT x.context AS one, 0 AS place
        UNION ALL SELECT listed.one, listed.place
        FROM jsonb_array_elements(CASE WHEN jsonb_typeof(x.context -> 'experiments') = 'array' THEN x.context -> 'experiments' ELSE '[]' END)
            WITH ORDINALITY AS listed (one, place) WHERE listed.place <= %(most)s
    ) named WHERE jsonb_typeof(one -> 'experiment') = 'string'
) said
LEFT JOIN learning_experiments e ON e.organization_id = x.organization_id AND e.id = said.experiment_id
WHERE said.experiment_id IS NOT NULL AND NOT EXISTS (SELECT FROM experiment_executions k WHERE k.organization_id = x.organization_id
    AND k.execution_id = x.id AND k.experiment_id = said.experiment_id)
ORDER BY x.organization_id, x.id, said.experiment_id, said.place"""


@dataclass(frozen=True, slots=True)
class Unmet:
    """A unit that executions say was served an experiment, and that no assignment knows. `claims`: (variant, moment), the earliest first."""

    organization_id: UUID
    experiment_id: UUID
    unit: str
    claims: list[tuple[str, dt.datetime]]


def unmet(connection: Connection) -> Iterator[Unmet]:
    """Units of portion_claims without an assignment, where it would make a claim count."""
    rows = connection.execute(
        f"""SELECT c.organization_id, c.experiment_id, c.unit, array_agg(c.variant ORDER BY c.created_at, c.execution_id),
            array_agg(c.created_at ORDER BY c.created_at, c.execution_id)
        FROM portion_claims c {_JUDGED} WHERE {_WITHOUT_ASSIGNMENT} IS NULL AND a.unit IS NULL GROUP BY 1, 2, 3 ORDER BY 1, 2, 3""",
        {"skew": SKEW},
    ).fetchall()
    return (Unmet(organization, experiment, unit, list(zip(variants, moments, strict=True))) for organization, experiment, unit, variants, moments in rows)


# Why a claim does not count, as far as that does not depend on the assignment of its unit.
_WITHOUT_ASSIGNMENT = """CASE
    WHEN e.id IS NULL THEN 'unknown_experiment'
    WHEN e.agent_id <> c.agent_id THEN 'other_agent'
    WHEN e.started_at IS NULL THEN 'not_started'
    WHEN c.variant IS NULL OR NOT e.arms @> jsonb_build_array(jsonb_build_object('variant', c.variant)) THEN 'unknown_variant'
    WHEN coalesce(char_length(c.unit), 0) NOT BETWEEN 1 AND 255 THEN 'no_unit'
    WHEN c.created_at > c.received_at + %(skew)s THEN 'future'
    WHEN c.created_at > e.ended_at THEN 'after_end' END"""
_JUDGED = """LEFT JOIN learning_experiments e ON e.organization_id = c.organization_id AND e.id = c.experiment_id
    LEFT JOIN experiment_assignments a ON a.organization_id = c.organization_id AND a.experiment_id = c.experiment_id AND a.unit = c.unit"""


def judge(connection: Connection) -> dict[str, int]:
    """Stores the claims with their verdicts. Returns how many were left out, by reason."""
    rows = connection.execute(
        f"""WITH judged AS (
            INSERT INTO experiment_executions (organization_id, experiment_id, execution_id, unit, variant, refused, latency_ms, cost_usd, refusal)
            SELECT c.organization_id, c.experiment_id, c.execution_id, left(c.unit, 255), left(c.variant, 255),
                coalesce({_WITHOUT_ASSIGNMENT}, CASE WHEN a.variant IS DISTINCT FROM c.variant THEN 'never_served'
                    WHEN c.created_at < a.exposed_at - %(skew)s THEN 'before_exposure' END),
                c.latency_ms, c.cost_usd, c.refusal
            FROM portion_claims c {_JUDGED} RETURNING refused
        ) SELECT refused, count(*) FROM judged WHERE refused IS NOT NULL GROUP BY 1""",
        {"skew": SKEW},
    ).fetchall()
    return {reason: int(number) for reason, number in rows}


def weigh_feedback(connection: Connection) -> tuple[int, int]:
    """Notes in portion_events what the portion's counted executions say now, beside what they said before, and stores it. Returns how many executions
    are counted for the first time, and how many feedback more is left out for lying outside the experiment's time."""
    connection.execute(f"CREATE TEMP TABLE portion_events ON COMMIT DROP AS {_EVENTS}", {"skew": SKEW})
    connection.execute("ANALYZE portion_events")
    row = connection.execute("SELECT count(*) FILTER (WHERE is_new), coalesce(sum(feedback_refused - old_feedback_refused), 0) FROM portion_events").fetchone()
    assert row is not None
    connection.execute(_STORE_EVENTS)
    return int(row[0]), int(row[1])


# facets: 8 issues, 16 correction (agent_feedback). An execution is counted for the first time where it was claimed in this portion.
_EVENTS = """
SELECT k.organization_id, k.experiment_id, k.execution_id, k.unit, a.exposed_at, e.ended_at, c.execution_id IS NOT NULL AS is_new, c.user_id, c.created_at,
    k.latency_ms, k.cost_usd, k.refusal,
    k.with_feedback AS old_with_feedback, k.corrected AS old_corrected, k.issues AS old_issues, k.feedback_refused AS old_feedback_refused,
    f.with_feedback, coalesce(f.corrected, false) AS corrected, f.feedback_refused::integer AS feedback_refused,
    ARRAY(SELECT DISTINCT one FROM unnest(string_to_array(f.categories, ',')) AS one WHERE one <> '' ORDER BY 1) AS issues
FROM portion_executions t
JOIN experiment_executions k ON k.organization_id = t.organization_id AND k.execution_id = t.execution_id AND k.refused IS NULL
JOIN learning_experiments e ON e.organization_id = k.organization_id AND e.id = k.experiment_id
JOIN experiment_assignments a ON a.organization_id = k.organization_id AND a.experiment_id = k.experiment_id AND a.unit = k.unit
LEFT JOIN portion_claims c ON c.organization_id = k.organization_id AND c.execution_id = k.execution_id AND c.experiment_id = k.experiment_id
CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE in_time) > 0 AS with_feedback, bool_or(facets_in_force & 16 > 0) FILTER (WHERE in_time) AS corrected,
        string_agg(array_to_string(issue_categories, ','), ',') FILTER (WHERE in_time AND facets_in_force & 8 > 0) AS categories,
        count(*) FILTER (WHERE NOT in_time) AS feedback_refused
    FROM (
        SELECT f.facets_in_force, f.issue_categories, f.created_at >= a.exposed_at - %(skew)s AND f.created_at <= f.received_at + %(skew)s
            AND (e.ended_at IS NULL OR f.created_at <= e.ended_at) AS in_time
        FROM feedback_in_force f WHERE f.organization_id = k.organization_id AND f.execution_id = k.execution_id
    ) said
) f"""
_STORE_EVENTS = """
UPDATE experiment_executions k SET with_feedback = p.with_feedback, corrected = p.corrected, issues = p.issues, feedback_refused = p.feedback_refused
FROM portion_events p WHERE k.organization_id = p.organization_id AND k.execution_id = p.execution_id AND k.experiment_id = p.experiment_id
    AND (p.with_feedback, p.corrected, p.issues, p.feedback_refused) IS DISTINCT FROM (k.with_feedback, k.corrected, k.issues, k.feedback_refused)"""
