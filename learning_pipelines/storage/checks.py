"""What must hold in the data, counted: zero where all is well.

Belongs here: the SQL of asset checks. Not here: what a failure leads to (defs/), checks of the installation (storage/installation.py).
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.tenants import AgentRef


@dataclass(frozen=True, slots=True)
class MetricChecks:
    """`dangling`: feedback of these days without execution or agent; `out_of_range`: metric rows with impossible sums; sums for metadata."""

    dangling: int
    out_of_range: int
    numbers: dict[str, int]


@dataclass(frozen=True, slots=True)
class ExampleChecks:
    dangling: int
    duplicates: int
    raw_emails: int


@dataclass(frozen=True, slots=True)
class ClusterChecks:
    unsearched: int
    torn: int


@dataclass(frozen=True, slots=True)
class DatasetChecks:
    straddling: int
    unapproved: int


def metrics(connection: Connection, first: dt.date, last: dt.date, zone: str) -> MetricChecks:
    """Checks the feedback and the metric rows of a stretch of days: cost follows the stretch, not the history."""
    bounds = {"first": first, "last": last, "zone": zone}
    dangling = _count(
        connection,
        """SELECT count(*) FROM agents a JOIN agent_feedback f ON f.organization_id = a.organization_id AND f.agent_id = a.id
        WHERE f.created_at >= %(first)s::timestamp AT TIME ZONE %(zone)s AND f.created_at < (%(last)s::date + 1)::timestamp AT TIME ZONE %(zone)s
          AND NOT f.pending_execution AND NOT EXISTS (SELECT FROM agent_executions x
              WHERE x.organization_id = f.organization_id AND x.id = f.execution_id AND x.agent_id = f.agent_id)
          -- Feedback on an archived execution: its key proves it, until the execution comes back.
          AND NOT EXISTS (SELECT FROM ingest_keys k WHERE k.organization_id = f.organization_id AND k.kind = 'executions' AND k.external_id = f.execution_id
              AND k.agent_id = f.agent_id AND k.received_at < (SELECT max(month) + interval '1 month' FROM archived_partitions p
                  WHERE p.organization_id = f.organization_id))""",
        bounds,
    )
    # Rows of an agent that is not there are invisible to the join above and counted nowhere: they are looked for by arrival.
    dangling += _count(
        connection,
        """SELECT count(*) FROM agent_feedback f WHERE f.received_at >= now() - interval '2 days'
          AND NOT EXISTS (SELECT FROM agents a WHERE a.organization_id = f.organization_id AND a.id = f.agent_id)""",
        {},
    )
    out_of_range = _count(
        connection,
        """SELECT count(*) FROM feedback_metrics WHERE day BETWEEN %(first)s AND %(last)s AND NOT (
            rating_sum BETWEEN rating_count AND 5 * rating_count AND accuracy_sum BETWEEN accuracy_count AND 5 * accuracy_count
            AND helpfulness_sum BETWEEN helpfulness_count AND 5 * helpfulness_count AND clarity_sum BETWEEN clarity_count AND 5 * clarity_count
            AND completeness_sum BETWEEN completeness_count AND 5 * completeness_count AND executions_with_feedback BETWEEN 0 AND executions
            AND least(executions, feedback, thumbs_up, thumbs_down, corrections) >= 0)""",
        bounds,
    )
    row = connection.execute(
        """SELECT coalesce(sum(executions), 0), coalesce(sum(feedback), 0), coalesce(sum(simulated), 0), coalesce(sum(corrections), 0)
        FROM feedback_metrics WHERE day BETWEEN %(first)s AND %(last)s""",
        bounds,
    ).fetchone()
    assert row is not None
    return MetricChecks(dangling, out_of_range, dict(zip(("executions", "feedback", "simulated_feedback", "corrections"), map(int, row), strict=True)))


def examples(connection: Connection, agent: AgentRef, email_pattern: str) -> ExampleChecks:
    """Checks all examples of one agent, on purpose: also what was changed past the rules shows. `email_pattern` is a POSIX expression, matched without case."""
    values = {"organization": agent.organization_id, "agent": agent.agent_id, "pattern": email_pattern}
    mine = "e.organization_id = %(organization)s AND e.agent_id = %(agent)s"
    dangling = _count(
        connection,
        # Two counts and no OR, which would be looked up example by example.
        f"""SELECT (SELECT count(*) FROM learning_examples e WHERE {mine} AND e.is_active AND e.source_type = 'user_feedback'
                AND e.review_status = 'pending' AND NOT EXISTS (SELECT FROM example_sources s
                    WHERE s.organization_id = e.organization_id AND s.example_id = e.id))
            + (SELECT count(DISTINCT e.id) FROM learning_examples e
                JOIN example_sources s ON s.organization_id = e.organization_id AND s.example_id = e.id
                WHERE {mine} AND e.is_active AND e.source_type = 'user_feedback' AND NOT EXISTS (SELECT FROM ingest_keys k
                    WHERE k.organization_id = s.organization_id AND k.kind = 'feedback' AND k.external_id = s.feedback_id))""",
        values,
    )
    duplicates = _count(
        connection,
        f"SELECT coalesce(sum(n - 1), 0) FROM (SELECT count(*) AS n FROM learning_examples e WHERE {mine} AND e.is_active GROUP BY content_hash) AS same",
        values,
    )
    raw_emails = _count(
        connection,
        f"""SELECT count(*) FROM learning_examples e WHERE {mine} AND concat_ws(E'\\n', e.input_text, e.original_output, e.expected_output,
            e.output_a, e.output_b, e.input_context::text, array_to_string(e.tags || e.jurisdictions, ' '), e.domain, e.task_type,
            e.review_notes) ~* %(pattern)s""",
        values,
    )
    return ExampleChecks(dangling, duplicates, raw_emails)


def datasets(connection: Connection, agent: AgentRef) -> DatasetChecks:
    """Checks the newest dataset version of one agent."""
    values = {"organization": agent.organization_id, "name": agent.agent}
    newest = """WITH newest AS (
        SELECT e.id, e.content_hash, e.user_id, e.review_status, d.split FROM dataset_examples d
        JOIN learning_examples e ON e.organization_id = d.organization_id AND e.id = d.example_id
        WHERE d.organization_id = %(organization)s AND d.dataset_id = (SELECT id FROM training_datasets
            WHERE organization_id = %(organization)s AND name = %(name)s ORDER BY version DESC LIMIT 1)
    )"""
    straddling = _count(
        connection,
        newest
        + """, keyed AS (
        SELECT split, encode(content_hash, 'hex') AS key FROM newest
        UNION ALL SELECT split, user_id::text FROM newest WHERE user_id IS NOT NULL
        UNION ALL SELECT n.split, person::text FROM newest n
            JOIN example_sources s ON s.organization_id = %(organization)s AND s.example_id = n.id,
            LATERAL (VALUES (s.user_id), (s.input_user_id)) AS people (person) WHERE person IS NOT NULL
    ) SELECT count(*) FROM (SELECT key FROM keyed GROUP BY key HAVING count(DISTINCT split) > 1) AS straddling""",
        values,
    )
    straddling += _count(
        connection,
        newest
        + """SELECT count(*) FROM duplicate_links l JOIN newest a ON a.id = l.first_id JOIN newest b ON b.id = l.second_id
        WHERE l.organization_id = %(organization)s AND a.split <> b.split""",
        values,
    )
    unapproved = _count(connection, newest + "SELECT count(*) FROM newest WHERE review_status <> 'approved'", values)
    return DatasetChecks(straddling, unapproved)


def clusters(connection: Connection, agent: AgentRef) -> ClusterChecks:
    """Checks the near-duplicates of one agent."""
    values: dict[str, object] = {"organization": agent.organization_id, "agent": agent.agent_id}
    unsearched = _count(
        connection,
        """SELECT count(*) FROM learning_examples e WHERE e.organization_id = %(organization)s AND e.agent_id = %(agent)s AND e.is_active
            AND e.review_status <> 'rejected' AND NOT EXISTS (
                SELECT FROM example_sketches s WHERE s.organization_id = e.organization_id AND s.example_id = e.id)""",
        values,
    )
    torn = _count(
        connection,
        """SELECT count(*) FROM duplicate_links l
        LEFT JOIN example_sketches a ON a.organization_id = l.organization_id AND a.example_id = l.first_id
        LEFT JOIN example_sketches b ON b.organization_id = l.organization_id AND b.example_id = l.second_id
        WHERE l.organization_id = %(organization)s AND l.agent_id = %(agent)s AND a.cluster IS DISTINCT FROM b.cluster""",
        values,
    )
    return ClusterChecks(unsearched, torn)


def feedback_in_force(connection: Connection, organization: str, first: dt.date, last: dt.date, zone: str) -> int:
    """Feedback of an organization that counts on these days, from the rows themselves: what the sums of the metrics must come to."""
    return _count(
        connection,
        """SELECT count(*) FROM organizations o JOIN feedback_in_force f USING (organization_id)
        WHERE o.slug = %(organization)s AND (f.facets = 0 OR f.facets_in_force <> 0)
          AND f.created_at >= %(first)s::timestamp AT TIME ZONE %(zone)s AND f.created_at < (%(last)s::date + 1)::timestamp AT TIME ZONE %(zone)s""",
        {"organization": organization, "first": first, "last": last, "zone": zone},
    )


def reports_missing(connection: Connection, week: dt.date) -> int:
    """Active organizations without the report of a week."""
    return _count(
        connection,
        """SELECT count(*) FROM organizations o WHERE o.is_active AND NOT EXISTS (
            SELECT FROM learning_reports r WHERE r.organization_id = o.organization_id AND r.week = %(week)s)""",
        {"week": week},
    )


def _count(connection: Connection, query: str, values: dict[str, object]) -> int:
    row = connection.execute(query, values).fetchone()
    return int(row[0]) if row else 0
