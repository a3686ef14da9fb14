"""Training runs as people read them: a list, and one with its candidates, evaluations, what models were asked for, and its proposals.

Belongs here: reading SQL over training_runs and what belongs to them. Not here: beginning, resuming and ending runs (training_runs.py).
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg.rows import dict_row

from learning_pipelines.storage.database import Connection

_RUN = """r.id::text AS id, a.slug AS agent, r.training_type, coalesce(r.config ->> 'part', r.config ->> 'kind') AS part, r.status, r.dagster_run_id AS run_id,
    r.progress, r.best_metrics, r.error, r.requires_review, r.review_status, r.review_notes, r.created_at, r.started_at, r.completed_at,
    coalesce(u.requests, 0)::bigint AS requests, coalesce(u.answers, 0)::bigint AS answers, coalesce(u.cache_hits, 0)::bigint AS cache_hits,
    coalesce(u.input_tokens, 0)::bigint AS input_tokens, coalesce(u.output_tokens, 0)::bigint AS output_tokens,
    CASE WHEN coalesce(u.unpriced, 0) = 0 THEN coalesce(u.cost_usd, 0)::double precision END AS cost_usd"""
_FROM = """FROM training_runs r LEFT JOIN agents a ON a.organization_id = r.organization_id AND a.id = r.agent_id
    LEFT JOIN LATERAL (SELECT sum(requests) AS requests, sum(answers) AS answers, sum(cache_hits) AS cache_hits, sum(input_tokens) AS input_tokens,
        sum(output_tokens) AS output_tokens, sum(cost_usd) AS cost_usd, sum(unpriced) AS unpriced
        FROM llm_usage l WHERE l.organization_id = r.organization_id AND l.run_id = r.id::text) u ON true"""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Filters of a list; `position`: (created_at, id) of the last run of the page before."""

    agent_id: UUID | None = None
    run_ids: list[str] | None = None
    position: tuple[dt.datetime, UUID] | None = None


def page(connection: Connection, organization_id: UUID, wanted: Wanted, limit: int) -> list[dict[str, Any]]:
    """Runs, newest first, with the sums of what models were asked for. `cost_usd` is None where a price is not known."""
    at, identity = wanted.position or (None, None)
    values = {
        "organization": organization_id, "agent": wanted.agent_id, "runs": wanted.run_ids, "at": at, "id": identity, "limit": limit,
    }  # fmt: skip
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            f"""SELECT {_RUN} {_FROM} WHERE r.organization_id = %(organization)s AND (%(agent)s::uuid IS NULL OR r.agent_id = %(agent)s)
            AND (%(runs)s::text[] IS NULL OR r.dagster_run_id = ANY(%(runs)s))
            AND (%(at)s::timestamptz IS NULL OR (r.created_at, r.id) < (%(at)s, %(id)s::uuid))
            ORDER BY r.created_at DESC, r.id DESC LIMIT %(limit)s""",
            values,
        ).fetchall()


def one(connection: Connection, organization_id: UUID, run_id: UUID) -> dict[str, Any] | None:
    """One run with `metrics`, `candidates` (the best first), `evaluations`, `usage` by role and model, and ids of its `proposals`."""
    of = [organization_id, run_id]
    with connection.cursor(row_factory=dict_row) as cursor:
        found = cursor.execute(f"SELECT {_RUN}, r.metrics {_FROM} WHERE r.organization_id = %s AND r.id = %s", of).fetchone()
        if found is None:
            return None
        candidates = cursor.execute(
            """SELECT name, strategy, parent, note, items, mean_score AS score, input_tokens, seconds, outcome, is_winner AS winner, on_front
            FROM prompt_candidates WHERE organization_id = %s AND training_run_id = %s ORDER BY is_winner DESC, mean_score DESC NULLS LAST, name LIMIT 200""",
            of,
        ).fetchall()
        evaluations = cursor.execute(
            """SELECT version, split, metric, model, items, mean_score AS score, low, high, faults, input_tokens, output_tokens, seconds
            FROM prompt_evaluations WHERE organization_id = %s AND training_run_id = %s ORDER BY created_at, id""",
            of,
        ).fetchall()
        usage = cursor.execute(
            """SELECT role, model, sum(requests)::bigint AS requests, sum(answers)::bigint AS answers, sum(cache_hits)::bigint AS cache_hits,
                sum(input_tokens)::bigint AS input_tokens, sum(output_tokens)::bigint AS output_tokens,
                CASE WHEN sum(unpriced) = 0 THEN sum(cost_usd)::double precision END AS cost_usd
            FROM llm_usage WHERE organization_id = %s AND run_id = %s GROUP BY role, model ORDER BY role, model""",
            [organization_id, str(run_id)],
        ).fetchall()
        proposals = cursor.execute(
            "SELECT id::text AS id FROM proposals WHERE organization_id = %s AND training_run_id = %s ORDER BY created_at, id", of
        ).fetchall()
    return {**found, "candidates": candidates, "evaluations": evaluations, "usage": usage, "proposals": [row["id"] for row in proposals]}
