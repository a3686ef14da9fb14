"""Rater weights in use: storing them, what they make of days and examples, and what SQL takes where there is no row.

Belongs here: rater_weights as others read it, confidence of examples. Not here: what weights are computed from (trust.py), the rules.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from learning_pipelines.storage.database import Connection

NEWCOMER = 0.2878
"""Weight of a rater without a row, and of feedback whose author is unknown."""
DISTRUSTED = 0.1
"""Below this weight a rater's support alone leaves an example marked, and reports count the rater as down-weighted."""
TOLERANCE = 0.1
"""A weight in use moves when the computed one is farther away than this, or on the other side of DISTRUSTED: otherwise every vote would
make old days stale."""
REACH_DAYS = 35
"""How far back the days of a rater whose weight moved are computed again: what statistics and the weekly report show. Older ones stay."""
WEIGHT_COLUMNS = (("user_id", "uuid"), ("weight", "double precision"), ("flags", "text[]"), ("signals", "jsonb"), ("ratings", "bigint"))
_VALUES = {"newcomer": NEWCOMER, "distrusted": DISTRUSTED}


@dataclass(frozen=True, slots=True)
class Written:
    """raters: rows written; moved: raters whose weight in use changed; days: (agent, day) pairs made stale; examples: confidences changed."""

    raters: int
    moved: int
    days: int
    examples: int


@dataclass(frozen=True, slots=True)
class WeightChecks:
    """out_of_range: weights or signals that cannot be; raters: all with a weight; distrusted: those below DISTRUSTED."""

    out_of_range: int
    raters: int
    distrusted: int


def lock_weights(connection: Connection, organization: UUID, *, shared: bool = False) -> None:
    """Weights change alone, many may read them for what they write: neither misses the other. Take it before touching examples."""
    kind = "pg_advisory_xact_lock_shared" if shared else "pg_advisory_xact_lock"
    connection.execute(f"SELECT {kind}(hashtextextended(%s, 0))", [f"rater_weights/{organization}"])


def store_weights(connection: Connection, organization: UUID, rows: Sequence[tuple[Any, ...]], rules: str, zone: str) -> Written:
    """Stores computed weights (columns WEIGHT_COLUMNS) and passes on what moved. Part of the caller's transaction, after lock_weights."""
    values = {**_VALUES, "organization": organization, "rules": rules, "tolerance": TOLERANCE, "zone": zone, "days": REACH_DAYS}
    with connection.cursor() as cursor:
        declared = ", ".join(f"{name} {type_}" for name, type_ in WEIGHT_COLUMNS)
        cursor.execute(f"CREATE TEMP TABLE IF NOT EXISTS staged_weights ({declared}) ON COMMIT DELETE ROWS")
        cursor.execute("CREATE TEMP TABLE IF NOT EXISTS moved_raters (user_id uuid) ON COMMIT DELETE ROWS")
        cursor.execute("DELETE FROM staged_weights")
        cursor.execute("DELETE FROM moved_raters")
        with cursor.copy(f"COPY staged_weights ({', '.join(name for name, _ in WEIGHT_COLUMNS)}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)
        written = cursor.execute(_STORE, values).rowcount
        moved = _count(cursor.execute("SELECT count(*) FROM moved_raters"))
        if not moved:
            return Written(written, 0, 0, 0)
        cursor.execute("ANALYZE moved_raters")
        days = cursor.execute(_STALE_DAYS, values).rowcount
        examples = cursor.execute(_CONFIDENCE.format(which=_EXAMPLES_OF_MOVED), values).rowcount
    return Written(written, moved, days, examples)


# One statement: the weights, and beside them who moved.
_STORE = """
WITH judged AS MATERIALIZED (
    SELECT s.*, in_use, abs(s.weight - in_use) > %(tolerance)s OR (s.weight < %(distrusted)s) <> (in_use < %(distrusted)s) AS moved
    FROM staged_weights s LEFT JOIN rater_weights w ON w.organization_id = %(organization)s AND w.user_id = s.user_id,
    LATERAL (SELECT coalesce(w.weight, %(newcomer)s)) AS known (in_use)
),
noted AS (INSERT INTO moved_raters SELECT user_id FROM judged WHERE moved)
INSERT INTO rater_weights (organization_id, user_id, weight, flags, signals, ratings, rules)
SELECT %(organization)s, user_id, CASE WHEN moved THEN weight ELSE in_use END, flags, signals, ratings, %(rules)s FROM judged
ON CONFLICT (organization_id, user_id) DO UPDATE SET weight = excluded.weight, flags = excluded.flags, signals = excluded.signals,
    ratings = excluded.ratings, rules = excluded.rules, computed_at = now()"""

# The outbox tells whoever computes days (storage/outbox.py), as for a late row: one entry per agent and day, not per feedback.
_STALE_DAYS = """
INSERT INTO outbox (organization_id, agent_id, kind, row_id, happened_at)
SELECT DISTINCT %(organization)s::uuid, f.agent_id, 'rater_weights', 'moved', date_trunc('day', f.created_at, %(zone)s)
FROM moved_raters m JOIN agent_feedback f ON f.organization_id = %(organization)s AND f.user_id = m.user_id
WHERE NOT f.pending_execution AND f.created_at >= now() - make_interval(days => %(days)s)"""

_EXAMPLES_OF_MOVED = """SELECT DISTINCT s.example_id FROM moved_raters m
    JOIN example_sources s ON s.organization_id = %(organization)s AND s.user_id = m.user_id"""

# One minus the chance that every supporter is wrong; distrusted ones add nothing to each other (a crowd of them is still nobody), so alone
# they give the largest of their weights. Not decreasing in any weight. Each person counts once, each unknown one as a newcomer.
_CONFIDENCE = """
WITH supporters AS (
    SELECT DISTINCT s.example_id, coalesce(s.user_id::text, s.feedback_id) AS person, coalesce(w.weight, %(newcomer)s) AS weight
    FROM ({which}) AS wanted JOIN example_sources s ON s.organization_id = %(organization)s AND s.example_id = wanted.example_id
    LEFT JOIN rater_weights w ON w.organization_id = s.organization_id AND w.user_id = s.user_id
),
combined AS (
    SELECT example_id, coalesce(1 - exp(sum(ln(1 - least(weight, 0.99))) FILTER (WHERE weight >= %(distrusted)s)), max(weight)) AS confidence,
        bool_and(weight < %(distrusted)s) AS distrusted
    FROM supporters GROUP BY 1
)
UPDATE learning_examples e SET confidence_score = c.confidence, distrusted = c.distrusted, updated_at = now() FROM combined c
WHERE e.organization_id = %(organization)s AND e.id = c.example_id AND e.source_type = 'user_feedback'
    AND (e.confidence_score, e.distrusted) IS DISTINCT FROM (c.confidence, c.distrusted)"""


def update_confidence(connection: Connection, organization: UUID, examples: Sequence[str]) -> int:
    """Computes confidence_score and distrusted of these derived examples again; returns how many changed. Call under lock_weights."""
    which = "SELECT DISTINCT unnest(%(examples)s::text[]) AS example_id"
    return connection.execute(_CONFIDENCE.format(which=which), {**_VALUES, "organization": organization, "examples": list(examples)}).rowcount


def check_weights(connection: Connection) -> WeightChecks:
    """Counts over all raters. The table refuses a weight out of range; the signals are only numbers in a document."""
    row = connection.execute(
        """SELECT count(*) FILTER (WHERE NOT (weight BETWEEN 0 AND 1) OR EXISTS (
                SELECT FROM jsonb_each(signals) AS s (name, value) WHERE name IN ('sensitivity', 'specificity', 'burst', 'copied', 'self_votes')
                AND NOT (jsonb_typeof(value) = 'number' AND value::float8 BETWEEN 0 AND 1))),
            count(*), count(*) FILTER (WHERE weight < %s) FROM rater_weights""",
        [DISTRUSTED],
    ).fetchone()
    assert row is not None
    return WeightChecks(*map(int, row))


def _count(cursor: Any) -> int:
    row = cursor.fetchone()
    return int(row[0])
