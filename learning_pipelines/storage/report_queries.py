"""The queries behind the weekly report, each under the name that the report's numbers link to, with its text as it was run.

Belongs here: SQL that reads the week's numbers. Not here: rates, intervals and verdicts (reports/), storing reports (reports.py).

A query's text is complete: run as the role learning_pipeline with the search path `learning` it gives the number again. Rows count by `created_at`,
reviews by `reviewed_at`, decisions by the moment they were made: a week computed later gives what is known of it then.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.rows import dict_row

from learning_pipelines.storage.database import Connection, snapshot
from learning_pipelines.storage.metrics import SUMS
from learning_pipelines.storage.trust_weights import DISTRUSTED

WEEKS_SHOWN = 13
_OF_DAYS = "FROM feedback_metrics m JOIN organizations o USING (organization_id) WHERE o.slug = %(organization)s AND m.day BETWEEN"
_ADDED = ", ".join(f"coalesce(sum(m.{name}), 0) AS {name}" for name in SUMS)
_WEEKS = """(VALUES ('week', %(monday)s::date), ('week before', %(monday)s::date - 7)) AS w (period, monday)"""


def _within(column: str) -> str:
    return f"{column} >= %(start)s AND {column} < %(end)s"


_DURING = "i.began_at < %(end)s AND (i.ended_at IS NULL OR i.ended_at >= %(start)s)"
"""Of incidents: what failed at any moment of the week; a check that failed before and did not pass since fails in it too."""


def _incidents_of(kind: str) -> str:
    """NULL where no run of the organization was looked at: 0 would say that none failed."""
    of = "FROM incidents i WHERE i.organization_id = o.organization_id AND i.kind ="
    return f"CASE WHEN EXISTS (SELECT {of} 'watch' AND {_DURING}) THEN (SELECT count(*) {of} '{kind}' AND {_DURING}) END"


QUERIES: Mapping[str, str] = {
    "feedback": f"""SELECT w.period, {_ADDED},
    sum(executions_with_feedback) / nullif(sum(executions), 0) AS feedback_rate,
    sum(rating_sum) / nullif(sum(rating_count), 0) AS avg_rating
FROM {_WEEKS} CROSS JOIN organizations o LEFT JOIN feedback_metrics m ON m.organization_id = o.organization_id AND m.day BETWEEN w.monday AND w.monday + 6
WHERE o.slug = %(organization)s GROUP BY 1 ORDER BY 1""",
    "agents": f"""SELECT a.slug AS agent, {_ADDED} FROM feedback_metrics m JOIN organizations o USING (organization_id)
JOIN agents a ON a.organization_id = m.organization_id AND a.id = m.agent_id
WHERE o.slug = %(organization)s AND m.day BETWEEN %(monday)s AND %(monday)s::date + 6 GROUP BY 1 ORDER BY 1""",
    "issues": """SELECT i.key AS category, sum(i.value::bigint) FILTER (WHERE m.day >= %(monday)s) AS count,
    sum(i.value::bigint) FILTER (WHERE m.day < %(monday)s) AS before
FROM feedback_metrics m JOIN organizations o USING (organization_id) CROSS JOIN jsonb_each_text(m.issues) AS i
WHERE o.slug = %(organization)s AND m.day BETWEEN %(monday)s::date - 7 AND %(monday)s::date + 6 GROUP BY 1 ORDER BY 2 DESC NULLS LAST, 1""",
    "history": f"""SELECT date_trunc('week', m.day)::date AS monday, sum(executions) AS executions,
    sum(executions_with_feedback) AS executions_with_feedback, sum(rating_count) AS rating_count, sum(rating_sum) AS rating_sum,
    sum(rating_sum_squares) AS rating_sum_squares, sum(feedback) AS feedback, sum(corrections) AS corrections
{_OF_DAYS} %(monday)s::date - 7 * {WEEKS_SHOWN - 1} AND %(monday)s::date + 6 GROUP BY 1 ORDER BY 1""",
    "examples": f"""SELECT count(*) FILTER (WHERE {_within("e.created_at")}) AS collected, count(*) FILTER (WHERE {_within("e.reviewed_at")}) AS reviewed,
    count(*) FILTER (WHERE {_within("e.reviewed_at")} AND e.review_status = 'approved') AS approved,
    count(*) FILTER (WHERE e.review_status = 'pending' AND e.is_active) AS waiting_for_review,
    min(e.created_at) AS first_example, count(*) FILTER (WHERE e.review_status = 'approved' AND e.reviewed_at < %(end)s) AS approved_so_far
FROM organizations o LEFT JOIN learning_examples e ON e.organization_id = o.organization_id WHERE o.slug = %(organization)s""",
    "milestones": """SELECT f.first_example, g.name, g.target, f.first_example + g.span AS due,
    count(e.*) FILTER (WHERE e.review_status = 'approved' AND e.reviewed_at < least(f.first_example + g.span, %(end)s::timestamptz)) AS approved
FROM organizations o
JOIN (SELECT organization_id, min(created_at) AS first_example FROM learning_examples GROUP BY 1) AS f USING (organization_id)
CROSS JOIN (VALUES ('first month', 100, interval '1 month'), ('first quarter', 500, interval '3 months')) AS g (name, target, span)
JOIN learning_examples e USING (organization_id)
WHERE o.slug = %(organization)s AND f.first_example < %(end)s GROUP BY 1, 2, 3, 4 ORDER BY 4""",
    "agreement": """SELECT a.slug AS agent, g.pair, g.period, g.units, g.alpha, g.alpha_low, g.alpha_high, g.undefined
FROM annotation_agreement g JOIN organizations o USING (organization_id) JOIN agents a ON a.organization_id = g.organization_id AND a.id = g.agent_id
WHERE o.slug = %(organization)s AND g.period IN (%(week)s, 'all') AND g.units > 0 ORDER BY 1, 2, g.period = 'all'""",
    "proposals": f"""SELECT p.id::text, a.slug AS agent, p.kind, p.verdict, p.state, {_within("p.created_at")} AS proposed,
    coalesce({_within("p.reviewed_at")}, false) AS reviewed, (p.evidence ->> 'n')::integer AS n,
    (p.evidence ->> 'incumbent_mean')::float8 AS incumbent, (p.evidence ->> 'candidate_mean')::float8 AS candidate,
    (p.evidence ->> 'difference')::float8 AS difference, (p.evidence ->> 'low')::float8 AS low, (p.evidence ->> 'high')::float8 AS high,
    (p.evidence ->> 'alpha')::float8 AS alpha
FROM proposals p JOIN organizations o USING (organization_id) JOIN agents a ON a.organization_id = p.organization_id AND a.id = p.agent_id
WHERE o.slug = %(organization)s AND ({_within("p.created_at")} OR {_within("p.reviewed_at")}) ORDER BY p.created_at, p.id""",
    "waiting proposals": """SELECT count(*) AS waiting FROM proposals p JOIN organizations o USING (organization_id)
WHERE o.slug = %(organization)s AND p.state = 'open' AND p.verdict = 'better' AND p.created_at < %(end)s""",
    "tests": f"""SELECT t.kind, t.verdict, count(*) AS tests FROM acceptance_tests t JOIN organizations o USING (organization_id)
WHERE o.slug = %(organization)s AND {_within("t.created_at")} AND t.verdict IS NOT NULL GROUP BY 1, 2 ORDER BY 1, 2""",
    "experiments": f"""SELECT e.id::text, a.slug AS agent, e.name, e.kind, d.decision, d.decided_at, e.statistical_significance AS p, e.primary_metric,
    e.winner, n.value AS numbers
FROM experiment_decisions d JOIN organizations o USING (organization_id)
JOIN learning_experiments e ON e.organization_id = d.organization_id AND e.id = d.experiment_id
JOIN agents a ON a.organization_id = e.organization_id AND a.id = e.agent_id
LEFT JOIN LATERAL (SELECT value FROM jsonb_each(CASE jsonb_typeof(d.evidence -> 'outcome' -> 'numbers') WHEN 'object'
    THEN d.evidence -> 'outcome' -> 'numbers' ELSE '{{}}' END) ORDER BY key LIMIT 1) AS n ON true
WHERE o.slug = %(organization)s AND d.final AND {_within("d.decided_at")} ORDER BY d.decided_at, d.id""",
    "running experiments": """SELECT count(*) AS running FROM learning_experiments e JOIN organizations o USING (organization_id)
WHERE o.slug = %(organization)s AND e.started_at < %(end)s AND (e.ended_at IS NULL OR e.ended_at >= %(end)s)""",
    "model cost": """SELECT u.role, u.model, sum(u.requests) AS requests, sum(u.cache_hits) AS cache_hits, sum(u.input_tokens) AS input_tokens,
    sum(u.output_tokens) AS output_tokens, sum(u.cost_usd)::float8 AS cost_usd, sum(u.unpriced) AS unpriced
FROM llm_usage u JOIN organizations o USING (organization_id)
WHERE o.slug = %(organization)s AND u.day BETWEEN %(monday)s AND %(monday)s::date + 6 GROUP BY 1, 2 ORDER BY 1, 2""",
    "training": f"""SELECT r.training_type AS type, count(*) AS runs, count(*) FILTER (WHERE r.status = 'failed') AS failed,
    coalesce(sum(extract(epoch FROM r.completed_at - r.started_at)), 0)::float8 AS seconds
FROM training_runs r JOIN organizations o USING (organization_id)
WHERE o.slug = %(organization)s AND {_within("coalesce(r.completed_at, r.started_at, r.created_at)")} GROUP BY 1 ORDER BY 1""",
    "incidents": f"""SELECT
    (SELECT count(*) FROM agent_feedback f WHERE f.organization_id = o.organization_id AND f.pending_execution
        AND f.received_at < %(end)s::timestamptz - make_interval(days => %(orphan_days)s)) AS orphans,
    CASE WHEN EXISTS (SELECT FROM archived_metrics k WHERE k.organization_id = o.organization_id AND k.day BETWEEN %(monday)s AND %(monday)s::date + 6
            AND k.feedback > 0) THEN NULL -- the archive keeps sums by day and raters by month: who spoke in this week is not known
        ELSE (SELECT count(*) FROM rater_weights w WHERE w.organization_id = o.organization_id AND w.weight < %(distrusted)s AND EXISTS (
            SELECT FROM agent_feedback f WHERE f.organization_id = w.organization_id AND f.user_id = w.user_id AND {_within("f.created_at")}))
        END AS distrusted_raters,
    (SELECT count(*) FROM example_conflicts c WHERE c.organization_id = o.organization_id AND {_within("c.found_at")}) AS conflicts_found,
    (SELECT count(*) FROM example_conflicts c WHERE c.organization_id = o.organization_id AND c.status = 'open' AND c.found_at < %(end)s) AS conflicts_open,
    (SELECT count(*) FROM training_runs r WHERE r.organization_id = o.organization_id AND r.status = 'failed'
        AND {_within("coalesce(r.completed_at, r.started_at, r.created_at)")}) AS failed_runs,
    (SELECT count(*) FROM experiment_executions x JOIN agent_executions a ON a.organization_id = x.organization_id AND a.id = x.execution_id
        WHERE x.organization_id = o.organization_id AND x.refused IS NOT NULL AND {_within("a.created_at")}) AS refused_exposures,
    {_incidents_of("check")} AS failing_checks,
    {_incidents_of("run")} AS failed_jobs
FROM organizations o WHERE o.slug = %(organization)s""",
    "failures": f"""SELECT i.kind, i.name, count(*) AS count, count(*) FILTER (WHERE i.ended_at IS NULL OR i.ended_at >= %(end)s) AS still_failing
FROM incidents i JOIN organizations o USING (organization_id)
WHERE o.slug = %(organization)s AND i.kind IN ('check', 'run') AND {_DURING} GROUP BY 1, 2 ORDER BY 1, 3 DESC, 2""",
    "serving": """SELECT a.slug AS agent, s.kind, s.version, s.set_number, s.metric, s.model, s.n, s.score, s.low, s.high, s.faults, s.calls, s.reason,
    f.first_week, b.score AS first_score, s.drift
FROM serving_scores s JOIN organizations o USING (organization_id) JOIN agents a ON a.organization_id = s.organization_id AND a.id = s.agent_id
LEFT JOIN LATERAL (SELECT min(x.week) AS first_week FROM serving_scores x WHERE x.organization_id = s.organization_id AND x.agent_id = s.agent_id
    AND x.kind = s.kind AND x.set_number = s.set_number AND x.subject = s.subject AND x.n > 0) AS f ON s.n > 0
LEFT JOIN serving_scores b ON b.organization_id = s.organization_id AND b.agent_id = s.agent_id AND b.kind = s.kind AND b.week = f.first_week
WHERE o.slug = %(organization)s AND s.week = %(monday)s ORDER BY 1, 2""",
}


@dataclass(frozen=True, slots=True)
class Asked:
    """What a report is about. `start` and `end`: the moments at which its week begins and ended."""

    organization: str
    monday: dt.date
    start: dt.datetime
    end: dt.datetime
    orphan_days: int


def run(connection: Connection, name: str, asked: Asked) -> tuple[list[dict[str, Any]], str]:
    """The rows of a query, and its text with every value in it."""
    year, week, _ = asked.monday.isocalendar()
    values = {
        "organization": asked.organization, "monday": asked.monday, "start": asked.start, "end": asked.end, "week": f"{year:04d}-W{week:02d}",
        "orphan_days": asked.orphan_days, "distrusted": DISTRUSTED,
    }  # fmt: skip
    text = psycopg.ClientCursor(connection).mogrify(QUERIES[name], values)
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(text.encode()).fetchall(), text


def run_all(connection: Connection, asked: Asked) -> tuple[dict[str, list[dict[str, Any]]], dict[str, str]]:
    """Rows and texts of every query, by name, of one state of the database."""
    with snapshot(connection):
        found = {name: run(connection, name, asked) for name in QUERIES}
    return {name: rows for name, (rows, _) in found.items()}, {name: text for name, (_, text) in found.items()}
