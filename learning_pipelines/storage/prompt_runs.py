"""What prompt optimization reads and leaves behind: an agent's settings, items of a dataset version, candidates, evaluations, performance.

Belongs here: SQL of prompt_candidates, prompt_evaluations and prompt_performance, and reading for them. Not here: versions and labels (prompts.py).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.tenants import AgentRef

TEACHES = """(coalesce({0} ->> 'example_type', '') NOT IN ('negative', 'failure')
    OR ({0} ->> 'original_output') IS DISTINCT FROM ({0} ->> 'expected_output') AND {0} ->> 'original_output' IS NOT NULL)"""
"""Of something wrong only its correction is an answer (the rule of examples/exports.py), neither scored by nor shown otherwise."""


@dataclass(frozen=True, slots=True)
class Setup:
    """An agent as the optimizer sees it. `thresholds`: what its organization sets instead of the installation."""

    labels: tuple[str, ...]
    metric: dict[str, Any] | None
    domain: str | None
    model: str | None
    learning_enabled: bool
    thresholds: dict[str, Any]
    executions: int
    approved: int


def setup(connection: Connection, agent: AgentRef, since: dt.datetime) -> Setup:
    """Settings of the agent, its executions since a moment (by created_at), and its approved examples."""
    row = connection.execute(
        """SELECT a.labels, a.metric, a.domain, a.model, a.learning_enabled, o.settings,
            (SELECT count(*) FROM agent_executions x WHERE x.organization_id = a.organization_id AND x.agent_id = a.id AND x.created_at >= %s),
            (SELECT count(*) FROM learning_examples e WHERE e.organization_id = a.organization_id AND e.agent_id = a.id
                AND e.review_status = 'approved' AND e.is_active)
        FROM agents a JOIN organizations o USING (organization_id) WHERE a.organization_id = %s AND a.id = %s""",
        [since, agent.organization_id, agent.agent_id],
    ).fetchone()
    assert row is not None, "the agent was found a moment ago"
    return Setup(tuple(row[0] or ()), row[1], row[2], row[3], bool(row[4]), dict(row[5]), int(row[6]), int(row[7]))


def items(connection: Connection, agent: AgentRef, dataset_id: UUID) -> list[dict[str, Any]]:
    """Examples of a version that say what the answer should have been: id, split, input_text, expected_output, input_context; ordered by id."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            f"""SELECT d.example_id AS id, d.split, c.content ->> 'input_text' AS input_text, c.content ->> 'expected_output' AS expected_output,
                coalesce(c.content -> 'input_context', '{{}}') AS input_context
            FROM dataset_examples d JOIN example_contents c ON c.organization_id = d.organization_id AND c.content_hash = d.content_hash
            WHERE d.organization_id = %s AND d.dataset_id = %s AND coalesce(c.content ->> 'expected_output', '') <> ''
                AND {TEACHES.format("c.content")}
            ORDER BY d.example_id COLLATE "C\"""",
            [agent.organization_id, dataset_id],
        ).fetchall()


def learnt_from(connection: Connection, agent: AgentRef, dataset_id: UUID, texts: Sequence[str]) -> int:
    """How many of the texts are inputs of the version's train split, whatever their ids, case and spacing."""
    plain = r"lower(btrim(regexp_replace({}, '\s+', ' ', 'g')))"
    row = connection.execute(
        f"""SELECT count(*) FROM unnest(%s::text[]) AS asked (text) WHERE {plain.format("asked.text")} IN (
            SELECT {plain.format("c.content ->> 'input_text'")} FROM dataset_examples d
            JOIN example_contents c ON c.organization_id = d.organization_id AND c.content_hash = d.content_hash
            WHERE d.organization_id = %s AND d.dataset_id = %s AND d.split = 'train')""",
        [list(texts), agent.organization_id, dataset_id],
    ).fetchone()
    assert row is not None
    return int(row[0])


_PERFORMANCE = """
WITH ran AS (
    SELECT id, coalesce(prompt_version, '') AS version, latency_ms, coalesce(input_tokens, 0) AS input_tokens, coalesce(output_tokens, 0) AS output_tokens
    FROM agent_executions WHERE organization_id = %(organization)s AND agent_id = %(agent)s
        AND created_at >= %(first)s::timestamp AT TIME ZONE %(zone)s AND created_at < (%(last)s::date + 1)::timestamp AT TIME ZONE %(zone)s
),
said AS (
    SELECT r.version, f.* FROM ran r JOIN feedback_in_force f ON f.organization_id = %(organization)s AND f.execution_id = r.id
    WHERE f.agent_id = %(agent)s AND f.facets_in_force <> 0
),
rated AS (
    SELECT version, count(rating) FILTER (WHERE facets_in_force & 2 > 0) AS rating_count,
        coalesce(sum(rating) FILTER (WHERE facets_in_force & 2 > 0), 0) AS rating_sum,
        count(*) FILTER (WHERE feedback_type = 'thumbs_up' AND facets_in_force & 1 > 0) AS thumbs_up,
        count(*) FILTER (WHERE feedback_type = 'thumbs_down' AND facets_in_force & 1 > 0) AS thumbs_down,
        count(*) FILTER (WHERE facets_in_force & 16 > 0) AS corrections
    FROM said GROUP BY 1
),
issues AS (
    SELECT version, jsonb_object_agg(category, n) AS issues FROM (
        SELECT version, category, count(*) AS n FROM said, unnest(issue_categories) AS category WHERE facets_in_force & 8 > 0 GROUP BY 1, 2) AS counted
    GROUP BY 1
)
INSERT INTO prompt_performance (organization_id, agent_id, prompt_version, first_day, last_day, executions, rating_count, rating_sum, thumbs_up,
    thumbs_down, corrections, latency_ms_p50, latency_ms_p95, input_tokens, output_tokens, issues)
SELECT %(organization)s, %(agent)s, version, %(first)s, %(last)s, count(*), coalesce(max(rating_count), 0), coalesce(max(rating_sum), 0),
    coalesce(max(thumbs_up), 0), coalesce(max(thumbs_down), 0), coalesce(max(corrections), 0),
    percentile_cont(0.5) WITHIN GROUP (ORDER BY latency_ms), percentile_cont(0.95) WITHIN GROUP (ORDER BY latency_ms),
    sum(input_tokens), sum(output_tokens), coalesce((SELECT issues FROM issues i WHERE i.version = ran.version), '{}')
FROM ran LEFT JOIN rated USING (version) GROUP BY version"""


def compute_performance(connection: Connection, agent: AgentRef, first: dt.date, last: dt.date, zone: str) -> list[dict[str, Any]]:
    """Computes the agent's window anew (one transaction) and returns its rows, the most used version first. Only feedback in force counts."""
    values = {"organization": agent.organization_id, "agent": agent.agent_id, "first": first, "last": last, "zone": zone}
    with connection.transaction():
        connection.execute("DELETE FROM prompt_performance WHERE organization_id = %s AND agent_id = %s", [agent.organization_id, agent.agent_id])
        connection.execute(_PERFORMANCE, values)
    return performance(connection, agent)


def performance(connection: Connection, agent: AgentRef) -> list[dict[str, Any]]:
    """The stored rows of an agent, the most used version first."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            "SELECT * FROM prompt_performance WHERE organization_id = %s AND agent_id = %s ORDER BY executions DESC, prompt_version",
            [agent.organization_id, agent.agent_id],
        ).fetchall()


def executions_between(connection: Connection, agent: AgentRef, first: dt.date, last: dt.date, zone: str) -> int:
    """Executions whose day lies from `first` to `last`."""
    row = connection.execute(
        """SELECT count(*) FROM agent_executions WHERE organization_id = %(organization)s AND agent_id = %(agent)s
        AND (created_at AT TIME ZONE %(zone)s)::date BETWEEN %(first)s AND %(last)s""",
        {"organization": agent.organization_id, "agent": agent.agent_id, "first": first, "last": last, "zone": zone},
    ).fetchone()
    return 0 if row is None else int(row[0])


_CANDIDATE = (
    "name", "strategy", "parent", "note", "content_hash", "messages", "serving", "shown", "items", "mean_score", "input_tokens", "seconds", "outcome",
    "is_winner", "on_front",
)  # fmt: skip


def store_candidates(connection: Connection, agent: AgentRef, training_run_id: UUID, rows: Iterable[Mapping[str, Any]]) -> int:
    """What a search tried, instead of what an earlier attempt of the run stored. One transaction."""
    with connection.transaction(), connection.cursor() as cursor:
        cursor.execute("DELETE FROM prompt_candidates WHERE organization_id = %s AND training_run_id = %s", [agent.organization_id, training_run_id])
        owner = (agent.organization_id, training_run_id, agent.agent_id)
        values = [(*owner, *(_json(row[name]) if name in ("messages", "serving") else row[name] for name in _CANDIDATE)) for row in rows]
        cursor.executemany(
            f"""INSERT INTO prompt_candidates (organization_id, training_run_id, agent_id, {", ".join(_CANDIDATE)})
            VALUES ({", ".join(["%s"] * (3 + len(_CANDIDATE)))})""",
            values,
        )
    return len(values)


def winner(connection: Connection, agent: AgentRef, training_run_id: UUID) -> dict[str, Any] | None:
    """The candidate that won the search of a run."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            """SELECT name, strategy, parent, note, content_hash, messages, serving, shown, items, mean_score FROM prompt_candidates
            WHERE organization_id = %s AND training_run_id = %s AND is_winner""",
            [agent.organization_id, training_run_id],
        ).fetchone()


def store_evaluation(connection: Connection, agent: AgentRef, training_run_id: UUID | None, values: Mapping[str, Any]) -> None:
    """One prompt on one split; the same one again within a run replaces it. `values`: content_hash, version, dataset_id, split, metric, model, items,
    mean_score, low, high, faults, input_tokens, output_tokens, seconds."""
    names = ("content_hash", "version", "dataset_id", "split", "metric", "model", "items", "mean_score", "low", "high", "faults", "input_tokens",
             "output_tokens", "seconds")  # fmt: skip
    connection.execute(
        f"""INSERT INTO prompt_evaluations (organization_id, agent_id, training_run_id, {", ".join(names)})
        VALUES (%s, %s, %s, {", ".join(["%s"] * len(names))})
        ON CONFLICT (organization_id, training_run_id, content_hash, split) DO UPDATE SET {", ".join(f"{name} = excluded.{name}" for name in names)}""",
        [agent.organization_id, agent.agent_id, training_run_id, *(values[name] for name in names)],
    )


def evaluations(connection: Connection, agent: AgentRef, training_run_id: UUID) -> list[dict[str, Any]]:
    """The evaluations of a run, in the order they were made."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            "SELECT * FROM prompt_evaluations WHERE organization_id = %s AND training_run_id = %s ORDER BY created_at, id",
            [agent.organization_id, training_run_id],
        ).fetchall()


def _json(value: Sequence[Any] | Mapping[str, Any] | None) -> Jsonb | None:
    return None if value is None else Jsonb(value)
