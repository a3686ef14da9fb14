"""Executions that say which passages they were given and whose answers were judged: reading them, storing what that says about the passages.

Belongs here: SQL of retrieval_answers. Not here: what a judgement says about which passage (retrieval/answers.py), counting it with direct words.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from psycopg.types.json import Jsonb

from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.live_passages import LIVE
from learning_pipelines.storage.retrieval_queries import mine
from learning_pipelines.storage.tenants import AgentRef

_ROWS = 500


@dataclass(frozen=True, slots=True)
class Answer:
    """An execution as far as it is judged. `shown`: (id as it was named, text) of its live passages in rank order. `approval`: mean of thumbs (1 up,
    0 down) and stars ((stars - 1) / 4) in force, 0..1, None without any. `correction`: the newest one in force. `people`: who asked, who judged."""

    execution_id: str
    question_id: str
    people: list[str]
    output: str
    correction: str | None
    approval: float | None
    shown: list[tuple[str, str]]
    created_at: dt.datetime


def answers(connection: Connection, agent: AgentRef) -> Iterator[Answer]:
    """The answers of touched_executions that are judged now; read them all before the next statement."""
    with connection.cursor(name="judged_answers") as cursor:
        cursor.itersize = _ROWS
        cursor.execute(_ANSWERS, mine(agent))
        for execution, question, people, output, correction, approval, names, texts, created_at in cursor:
            yield Answer(execution, question, people, output, correction, approval, list(zip(names, texts, strict=True)), created_at)


_ANSWERS = f"""
WITH judged AS (
    SELECT f.execution_id, array_agg(DISTINCT f.user_id::text) FILTER (WHERE f.user_id IS NOT NULL) AS people, max(f.created_at) AS created_at,
        (array_agg(f.correction_text ORDER BY f.created_at DESC, f.arrival DESC) FILTER (WHERE f.facets_in_force & 16 > 0))[1] AS correction,
        sum((f.feedback_type = 'thumbs_up')::integer) FILTER (WHERE f.facets_in_force & 1 > 0) AS up,
        count(*) FILTER (WHERE f.facets_in_force & 1 > 0) AS thumbs,
        sum((f.rating - 1) / 4.0) FILTER (WHERE f.facets_in_force & 2 > 0) AS stars, count(*) FILTER (WHERE f.facets_in_force & 2 > 0) AS rated
    FROM touched_executions t JOIN feedback_in_force f ON f.organization_id = %(organization)s AND f.execution_id = t.execution_id
    WHERE f.agent_id = %(agent)s AND f.facets_in_force & 19 > 0 GROUP BY 1
)
SELECT x.id, learning.question_id(x.input), array_remove(coalesce(j.people, '{{}}') || x.user_id::text, NULL), x.output, j.correction,
    ((coalesce(j.up, 0) + coalesce(j.stars, 0)) / nullif(j.thumbs + j.rated, 0))::float8, s.names, s.texts, j.created_at
FROM judged j JOIN agent_executions x ON x.organization_id = %(organization)s AND x.id = j.execution_id
CROSS JOIN LATERAL (
    SELECT array_agg(passage ORDER BY at) AS names, array_agg(text ORDER BY at) AS texts FROM (
        SELECT named.passage, min(named.at) AS at, min(coalesce(d.text, c.text)) AS text
        FROM (SELECT coalesce(one.value ->> 'chunk_id', one.value ->> 'document_id') AS passage, coalesce((one.value ->> 'rank')::float8, one.ordinality) AS at
            FROM jsonb_array_elements(x.retrieved) WITH ORDINALITY AS one) AS named
        {LIVE.format(passage="named.passage")}
        WHERE d.id IS NOT NULL OR c.id IS NOT NULL GROUP BY 1) AS live
) AS s
WHERE x.agent_id = %(agent)s AND jsonb_typeof(x.retrieved) = 'array' AND s.names IS NOT NULL"""


def store(connection: Connection, agent: AgentRef, found: Iterable[tuple[Answer, dict[str, float]]]) -> int:
    """Makes what touched_executions say exactly this: answers with passage -> gain. Their questions, former ones too, become touched_questions."""
    values = mine(agent)
    connection.execute(
        """WITH gone AS (DELETE FROM retrieval_answers a USING touched_executions t WHERE a.organization_id = %(organization)s AND a.agent_id = %(agent)s
            AND a.execution_id = t.execution_id RETURNING a.question_id)
        INSERT INTO touched_questions SELECT DISTINCT question_id FROM gone ON CONFLICT DO NOTHING""",
        values,
    )
    rows = [
        (one.execution_id, one.question_id, one.people, Jsonb(gains), "rating" if one.correction is None else "correction", one.created_at)
        for one, gains in found
        if gains
    ]
    with connection.cursor() as cursor:
        cursor.execute(
            """CREATE TEMP TABLE IF NOT EXISTS staged_answers (execution_id text, question_id text, people text[], gains jsonb, origin text,
            created_at timestamptz)
            ON COMMIT DELETE ROWS"""
        )
        with cursor.copy("COPY staged_answers FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)
    connection.execute(
        """INSERT INTO retrieval_answers (organization_id, agent_id, execution_id, question_id, people, gains, origin, created_at)
        SELECT %(organization)s, %(agent)s, execution_id, question_id, people, gains, origin, created_at FROM staged_answers""",
        values,
    )
    connection.execute("INSERT INTO touched_questions SELECT DISTINCT question_id FROM staged_answers ON CONFLICT DO NOTHING")
    return len(rows)
