"""Daily metrics per agent: computing days again, and reading them.

Belongs here: SQL of feedback_metrics. Not here: rates and intervals made from the sums (feedback/statistics.py, reports/).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from psycopg.rows import dict_row

from learning_pipelines.storage import outbox_days
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.tenants import AgentRef
from learning_pipelines.storage.trust_weights import NEWCOMER

DIMENSIONS = ("accuracy", "helpfulness", "clarity", "completeness")
SUMS = (
    "executions", "executions_with_feedback", "latency_count", "latency_ms_sum", "tokens_sum", "cost_usd_sum", "feedback", "simulated", "rating_count",
    "rating_sum", "rating_sum_squares", "thumbs_up", "thumbs_down", "corrections",
    "rating_weight_sum", "rating_weighted_sum", "thumbs_up_weighted", "thumbs_down_weighted",
    *(f"{name}_{part}" for name in DIMENSIONS for part in ("count", "sum")),
)  # fmt: skip

_DIMENSION_SUMS = ",\n        ".join(
    f"count({name}_rating) FILTER (WHERE facets_in_force & 4 > 0) AS {name}_count, "
    f"coalesce(sum({name}_rating) FILTER (WHERE facets_in_force & 4 > 0), 0) AS {name}_sum"
    for name in DIMENSIONS
)
_WEIGHTED = ("rating_weight_sum", "rating_weighted_sum", "thumbs_up_weighted", "thumbs_down_weighted")
_FLOATS = ("latency_ms_sum", "cost_usd_sum", *_WEIGHTED)
_EXECUTION_SUMS = ("executions", "executions_with_feedback", "latency_count", "latency_ms_sum", "tokens_sum", "cost_usd_sum")
_FEEDBACK_SUMS = tuple(name for name in SUMS if name not in _EXECUTION_SUMS)

# The weighted sums count each feedback by its rater's weight in use, and a day is computed again when one of them moves.
# Feedback whose sender says so in a key `simulated` is counted apart, so that whoever shows a number can say so too.
# Feedback counts while something in it is in force, or where it only ever was a comment (no facet at all).
_RAN = """SELECT x.organization_id, x.agent_id, (x.created_at AT TIME ZONE %(zone)s)::date AS day, count(*) AS executions,
        count(*) FILTER (WHERE EXISTS (SELECT FROM {feedback} f WHERE f.organization_id = x.organization_id
            AND f.execution_id = x.id AND NOT f.pending_execution)) AS executions_with_feedback,
        count(x.latency_ms) AS latency_count, coalesce(sum(x.latency_ms), 0) AS latency_ms_sum,
        coalesce(sum(coalesce(x.input_tokens, 0) + coalesce(x.output_tokens, 0)), 0) AS tokens_sum, coalesce(sum(x.cost_usd), 0) AS cost_usd_sum
    FROM {bounds} agents a JOIN {executions} x ON x.organization_id = a.organization_id AND x.agent_id = a.id
    WHERE {executions_within} GROUP BY 1, 2, 3"""
_SAID = """SELECT f.*, coalesce(f.weighed, w.weight, %(newcomer)s) AS weight, (f.created_at AT TIME ZONE %(zone)s)::date AS day
    FROM {bounds} agents a JOIN (SELECT *, {weighed} AS weighed FROM {in_force}) f ON f.organization_id = a.organization_id AND f.agent_id = a.id
        LEFT JOIN rater_weights w ON w.organization_id = f.organization_id AND w.user_id = f.user_id
    WHERE {feedback_within} AND (f.facets = 0 OR f.facets_in_force <> 0)"""
_RATED = f"""SELECT organization_id, agent_id, day, count(*) AS feedback,
        count(*) FILTER (WHERE context @> '{{{{"simulated": true}}}}') AS simulated,
        count(rating) FILTER (WHERE facets_in_force & 2 > 0) AS rating_count,
        coalesce(sum(rating) FILTER (WHERE facets_in_force & 2 > 0), 0) AS rating_sum,
        coalesce(sum(rating * rating) FILTER (WHERE facets_in_force & 2 > 0), 0) AS rating_sum_squares,
        coalesce(sum(weight) FILTER (WHERE rating IS NOT NULL AND facets_in_force & 2 > 0), 0) AS rating_weight_sum,
        coalesce(sum(weight * rating) FILTER (WHERE facets_in_force & 2 > 0), 0) AS rating_weighted_sum,
        coalesce(sum(weight) FILTER (WHERE feedback_type = 'thumbs_up' AND facets_in_force & 1 > 0), 0) AS thumbs_up_weighted,
        coalesce(sum(weight) FILTER (WHERE feedback_type = 'thumbs_down' AND facets_in_force & 1 > 0), 0) AS thumbs_down_weighted,
        count(*) FILTER (WHERE feedback_type = 'thumbs_up' AND facets_in_force & 1 > 0) AS thumbs_up,
        count(*) FILTER (WHERE feedback_type = 'thumbs_down' AND facets_in_force & 1 > 0) AS thumbs_down,
        count(*) FILTER (WHERE facets_in_force & 16 > 0) AS corrections,
        {_DIMENSION_SUMS}
    FROM said GROUP BY 1, 2, 3"""
_SUMS_OF = f"""ran AS ({_RAN}),
said AS MATERIALIZED ({_SAID}),
rated AS ({_RATED}),
counted_issues AS (
    SELECT organization_id, agent_id, day, category, count(*) AS n FROM said, unnest(issue_categories) AS category
    WHERE facets_in_force & 8 > 0 GROUP BY 1, 2, 3, 4{{further_issues}}
),
issues AS (
    SELECT organization_id, agent_id, day, jsonb_object_agg(category, n) AS issues
    FROM (SELECT organization_id, agent_id, day, category, sum(n) AS n FROM counted_issues GROUP BY 1, 2, 3, 4) AS added GROUP BY 1, 2, 3
)"""
# What archived rows gave counts from the moment on at which their partition is seen no more: a query leaves out a partition whose detaching has begun
# by the same snapshot by which it reads this.
_GONE = f"""attached AS MATERIALIZED (
    SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent IN ('learning.agent_executions'::regclass, 'learning.agent_feedback'::regclass) AND NOT i.inhdetachpending
),
gone AS MATERIALIZED (
    SELECT m.*, NOT EXISTS (SELECT FROM attached WHERE relname = 'agent_executions_' || to_char(m.month, 'YYYY_MM')) AS executions_gone,
        NOT EXISTS (SELECT FROM attached WHERE relname = 'agent_feedback_' || to_char(m.month, 'YYYY_MM')) AS feedback_gone
    FROM archived_metrics m JOIN agents a ON a.organization_id = m.organization_id AND a.id = m.agent_id
    WHERE m.day BETWEEN %(first)s AND %(last)s AND (%(agents)s::uuid[] IS NULL OR a.id = ANY(%(agents)s))
),
kept AS (
    SELECT organization_id, agent_id, day, {", ".join(f"sum({name}) FILTER (WHERE executions_gone) AS kept_{name}" for name in _EXECUTION_SUMS)},
        {", ".join(f"sum({name}) FILTER (WHERE feedback_gone) AS kept_{name}" for name in _FEEDBACK_SUMS)}
    FROM gone WHERE executions_gone OR feedback_gone GROUP BY 1, 2, 3
)"""
_WITHIN = "{0}.created_at >= bounds.start AND {0}.created_at < bounds.finish AND (%(agents)s::uuid[] IS NULL OR a.id = ANY(%(agents)s))"
_ISSUES_KEPT = """
    UNION ALL SELECT organization_id, agent_id, day, one.key, one.value::bigint FROM gone, jsonb_each_text(issues) AS one WHERE feedback_gone"""
_LIVE = _SUMS_OF.format(
    feedback="agent_feedback", executions="agent_executions", in_force="feedback_in_force", weighed="NULL::double precision", bounds="bounds,",
    executions_within=_WITHIN.format("x"), feedback_within=_WITHIN.format("f"), further_issues=_ISSUES_KEPT,
)  # fmt: skip
_SUMS_OF_DAYS = f"""
WITH bounds AS (
    SELECT %(first)s::timestamp AT TIME ZONE %(zone)s AS start, (%(last)s::date + 1)::timestamp AT TIME ZONE %(zone)s AS finish
),
{_GONE},
{_LIVE}"""
_SUMS = f"""{", ".join(f"coalesce({name}, 0) + coalesce(kept_{name}, 0) AS {name}" for name in _EXECUTION_SUMS + _FEEDBACK_SUMS)},
    coalesce(issues, '{{}}') AS issues
FROM ran FULL JOIN rated USING (organization_id, agent_id, day) FULL JOIN kept USING (organization_id, agent_id, day)
    LEFT JOIN issues USING (organization_id, agent_id, day)"""
COLUMNS = (*_EXECUTION_SUMS, *_FEEDBACK_SUMS, "issues")
_COMPUTE = f"""{_SUMS_OF_DAYS}
INSERT INTO feedback_metrics (organization_id, agent_id, day, {", ".join(COLUMNS)})
SELECT organization_id, agent_id, day, {_SUMS}"""


def sums_of_rows(executions: str, feedback: str, in_force: str, weighed: str = "NULL::double precision") -> str:
    """The query of what some rows give to the metrics: organization_id, agent_id, day, COLUMNS; it takes `zone` and `newcomer`.

    `executions`, `feedback`, `in_force`: FROM items without aliases; `in_force` is feedback with facets_in_force. `weighed`: each feedback's weight, where
    it is not the one in use.
    """
    counted = _SUMS_OF.format(
        feedback=feedback, executions=executions, in_force=in_force, weighed=weighed, bounds="", executions_within="true", feedback_within="true",
        further_issues="",
    )  # fmt: skip
    named = ", ".join(f"coalesce({name}, 0) AS {name}" for name in COLUMNS[:-1])
    return f"""WITH {counted} SELECT organization_id, agent_id, day, {named}, coalesce(issues, '{{}}') AS issues
        FROM ran FULL JOIN rated USING (organization_id, agent_id, day) LEFT JOIN issues USING (organization_id, agent_id, day)"""


def compute_days(connection: Connection, first: dt.date, last: dt.date, zone: str, agents: Sequence[UUID] | None = None) -> int:
    """Computes the metrics of every agent (or of these) for the days from `first` to `last` again; returns the rows written. One transaction."""
    with connection.transaction():
        # Two runs over overlapping days wait for each other; without the lock both would insert.
        connection.execute("SELECT pg_advisory_xact_lock(hashtext('feedback_metrics'))")
        values = {"first": first, "last": last, "zone": zone, "agents": None if agents is None else list(agents), "newcomer": NEWCOMER}
        connection.execute(
            "DELETE FROM feedback_metrics WHERE day BETWEEN %(first)s AND %(last)s AND (%(agents)s::uuid[] IS NULL OR agent_id = ANY(%(agents)s))", values
        )
        return connection.execute(_COMPUTE, values).rowcount


def rows_of(connection: Connection, first: dt.date, last: dt.date) -> int:
    """How many rows these days have, of all agents."""
    row = connection.execute("SELECT count(*) FROM feedback_metrics WHERE day BETWEEN %s AND %s", [first, last]).fetchone()
    return int(row[0]) if row else 0


def totals(connection: Connection, organization: str, first: dt.date, last: dt.date) -> list[dict[str, Any]]:
    """Sums per agent over the days from `first` to `last`, with the issues added up; agents without a row in that time are left out."""
    sums = ", ".join(f"sum(m.{name}) AS {name}" for name in SUMS)
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(
            f"""SELECT a.slug AS agent, {sums}, array_agg(m.issues) AS issues
            FROM feedback_metrics m JOIN organizations o USING (organization_id)
            JOIN agents a ON a.organization_id = m.organization_id AND a.id = m.agent_id
            WHERE o.slug = %s AND m.day BETWEEN %s AND %s GROUP BY 1 ORDER BY 1""",
            [organization, first, last],
        ).fetchall()
    return [{"agent": row["agent"], **added_up([row])} for row in rows]


def days_of_agent(connection: Connection, agent: AgentRef, first: dt.date, last: dt.date, zone: str) -> list[dict[str, Any]]:
    """Sums per day of one agent, exact up to now: stored ones, but computed here for the days that changed since they were stored."""
    behind = outbox_days.days_behind(connection, agent, zone)
    stale = sorted(day for day in behind if first <= day <= last)
    names = ", ".join(SUMS)
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(
            f"""SELECT day, {names}, issues FROM feedback_metrics
            WHERE organization_id = %s AND agent_id = %s AND day BETWEEN %s AND %s AND day <> ALL(%s)""",
            [agent.organization_id, agent.agent_id, first, last, stale],
        ).fetchall()
    for day in stale:
        rows += computed(connection, [agent], day, day, zone)
    return [{"day": row["day"], **added_up([row])} for row in rows]


def computed(connection: Connection, agents: Sequence[AgentRef], first: dt.date, last: dt.date, zone: str) -> list[dict[str, Any]]:
    """The sums per agent and day from `first` to `last`, from the rows as they are now; its cost follows the agents' rows of these days."""
    values = {"first": first, "last": last, "zone": zone, "agents": [agent.agent_id for agent in agents], "newcomer": NEWCOMER}
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(f"{_SUMS_OF_DAYS} SELECT agent_id, day, {_SUMS}", values, prepare=False).fetchall()


def added_up(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The sums of several rows as one; `issues` of each row is one mapping of categories to counts, or a list of them."""
    issues: dict[str, int] = {}
    for row in rows:
        for counts in row["issues"] if isinstance(row["issues"], list) else [row["issues"]]:
            for category, count in counts.items():
                issues[category] = issues.get(category, 0) + count
    added = {name: sum(row[name] or 0 for row in rows) for name in SUMS}
    numbers = {name: float(value) if name in _FLOATS else int(value) for name, value in added.items()}
    return {**numbers, "issues": dict(sorted(issues.items()))}
