"""Daily metrics per agent: computing days again, and reading them.

Belongs here: SQL of feedback_metrics. Not here: rates and intervals made from the sums (feedback/statistics.py, reports/).
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from psycopg.rows import dict_row

from learning_pipelines.storage.database import Connection

DIMENSIONS = ("accuracy", "helpfulness", "clarity", "completeness")
SUMS = (
    "executions", "executions_with_feedback", "latency_count", "latency_ms_sum", "tokens_sum", "cost_usd_sum", "feedback", "simulated", "rating_count",
    "rating_sum", "rating_sum_squares", "thumbs_up", "thumbs_down", "corrections",
    *(f"{name}_{part}" for name in DIMENSIONS for part in ("count", "sum")),
)  # fmt: skip

_DIMENSION_SUMS = ",\n        ".join(
    f"count({name}_rating) FILTER (WHERE facets_in_force & 4 > 0) AS {name}_count, "
    f"coalesce(sum({name}_rating) FILTER (WHERE facets_in_force & 4 > 0), 0) AS {name}_sum"
    for name in DIMENSIONS
)
_EXECUTION_SUMS = ("executions", "executions_with_feedback", "latency_count", "latency_ms_sum", "tokens_sum", "cost_usd_sum")
_FEEDBACK_SUMS = tuple(name for name in SUMS if name not in _EXECUTION_SUMS)

# Feedback whose sender says so in a key `simulated` is counted apart, so that whoever shows a number can say so too.
# Feedback counts while something in it is in force, or where it only ever was a comment (no facet at all).
_COMPUTE = f"""
WITH bounds AS (
    SELECT %(first)s::timestamp AT TIME ZONE %(zone)s AS start, (%(last)s::date + 1)::timestamp AT TIME ZONE %(zone)s AS finish
),
ran AS (
    SELECT x.organization_id, x.agent_id, (x.created_at AT TIME ZONE %(zone)s)::date AS day, count(*) AS executions,
        count(*) FILTER (WHERE EXISTS (SELECT FROM agent_feedback f WHERE f.organization_id = x.organization_id
            AND f.execution_id = x.id AND NOT f.pending_execution)) AS executions_with_feedback,
        count(x.latency_ms) AS latency_count, coalesce(sum(x.latency_ms), 0) AS latency_ms_sum,
        coalesce(sum(coalesce(x.input_tokens, 0) + coalesce(x.output_tokens, 0)), 0) AS tokens_sum, coalesce(sum(x.cost_usd), 0) AS cost_usd_sum
    FROM bounds, agents a JOIN agent_executions x ON x.organization_id = a.organization_id AND x.agent_id = a.id
    WHERE x.created_at >= bounds.start AND x.created_at < bounds.finish GROUP BY 1, 2, 3
),
said AS MATERIALIZED (
    SELECT f.*, (f.created_at AT TIME ZONE %(zone)s)::date AS day
    FROM bounds, agents a JOIN feedback_in_force f ON f.organization_id = a.organization_id AND f.agent_id = a.id
    WHERE f.created_at >= bounds.start AND f.created_at < bounds.finish AND (f.facets = 0 OR f.facets_in_force <> 0)
),
rated AS (
    SELECT organization_id, agent_id, day, count(*) AS feedback,
        count(*) FILTER (WHERE context @> '{{"simulated": true}}') AS simulated,
        count(rating) FILTER (WHERE facets_in_force & 2 > 0) AS rating_count,
        coalesce(sum(rating) FILTER (WHERE facets_in_force & 2 > 0), 0) AS rating_sum,
        coalesce(sum(rating * rating) FILTER (WHERE facets_in_force & 2 > 0), 0) AS rating_sum_squares,
        count(*) FILTER (WHERE feedback_type = 'thumbs_up' AND facets_in_force & 1 > 0) AS thumbs_up,
        count(*) FILTER (WHERE feedback_type = 'thumbs_down' AND facets_in_force & 1 > 0) AS thumbs_down,
        count(*) FILTER (WHERE facets_in_force & 16 > 0) AS corrections,
        {_DIMENSION_SUMS}
    FROM said GROUP BY 1, 2, 3
),
issues AS (
    SELECT organization_id, agent_id, day, jsonb_object_agg(category, n) AS issues
    FROM (SELECT organization_id, agent_id, day, category, count(*) AS n FROM said, unnest(issue_categories) AS category
          WHERE facets_in_force & 8 > 0 GROUP BY 1, 2, 3, 4) AS per_category
    GROUP BY 1, 2, 3
)
INSERT INTO feedback_metrics (organization_id, agent_id, day, {", ".join(_EXECUTION_SUMS + _FEEDBACK_SUMS)}, issues)
SELECT organization_id, agent_id, day, {", ".join(f"coalesce({name}, 0)" for name in _EXECUTION_SUMS + _FEEDBACK_SUMS)}, coalesce(issues, '{{}}')
FROM ran FULL JOIN rated USING (organization_id, agent_id, day) LEFT JOIN issues USING (organization_id, agent_id, day)"""


def compute_days(connection: Connection, first: dt.date, last: dt.date, zone: str) -> int:
    """Computes the metrics of every agent for the days from `first` to `last` again; returns the rows written. One transaction."""
    with connection.transaction():
        # Two runs over overlapping days wait for each other; without the lock both would insert.
        connection.execute("SELECT pg_advisory_xact_lock(hashtext('feedback_metrics'))")
        connection.execute("DELETE FROM feedback_metrics WHERE day BETWEEN %s AND %s", [first, last])
        return connection.execute(_COMPUTE, {"first": first, "last": last, "zone": zone}).rowcount


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
    for row in rows:
        added: dict[str, int] = {}
        for day in row["issues"]:
            for category, count in day.items():
                added[category] = added.get(category, 0) + count
        row["issues"] = dict(sorted(added.items()))
        row.update({name: float(row[name]) if name.endswith("_ms_sum") or name == "cost_usd_sum" else int(row[name]) for name in SUMS})
    return rows
