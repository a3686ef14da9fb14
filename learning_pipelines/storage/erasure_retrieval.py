"""Questions that a person asked or judged, without the person: counted again from what others said, or gone with everything made of them.

Belongs here: SQL of retrieval_events, retrieval_answers, retrieval_queries and embedding_training_pairs. Not here: how questions are counted
(retrieval_queries.py, which does it here too), versions that were trained on pairs.
"""

from __future__ import annotations

from collections import Counter
from uuid import UUID

from learning_pipelines.storage import retrieval_queries
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.erasure_rows import Steps, run
from learning_pipelines.storage.tenants import AgentRef


def delete(connection: Connection, organization_id: UUID, organization: str, user_id: UUID) -> Counter[str]:
    """Deletes what the person said of search results and what their executions say about passages; every question that rests on it is counted anew, in
    this transaction. Returns rows by table, changed ones too."""
    values = {"organization": organization_id, "person": str(user_id)}
    connection.execute("CREATE TEMP TABLE erased_questions (question_id text PRIMARY KEY) ON COMMIT DROP")
    done = run(connection, _SAID, values)
    connection.execute("ANALYZE erased_questions")
    done += _count_again(connection, organization_id, organization)
    return done + run(connection, _PAIRS, values)


_ANSWERS = """a.organization_id = %(organization)s AND (a.people @> ARRAY[%(person)s]
    OR a.execution_id IN (SELECT execution_id FROM erased_executions UNION ALL SELECT execution_id FROM erased_again))"""
# Answers to others that the person judged are judged anew by whoever reads the outbox (erasure_rows.take_up_again).
_SAID: Steps = (
    ("", "INSERT INTO erased_questions SELECT DISTINCT question_id FROM erased_events"),
    ("retrieval_events", "DELETE FROM retrieval_events e USING erased_events t WHERE e.organization_id = %(organization)s AND e.id = t.event_id"),
    ("", f"INSERT INTO erased_questions SELECT DISTINCT a.question_id FROM retrieval_answers a WHERE {_ANSWERS} ON CONFLICT DO NOTHING"),
    ("retrieval_answers", f"DELETE FROM retrieval_answers a WHERE {_ANSWERS}"),
    ("", """
    INSERT INTO erased_questions SELECT DISTINCT id FROM retrieval_queries WHERE organization_id = %(organization)s AND people @> ARRAY[%(person)s]
    ON CONFLICT DO NOTHING"""),
)  # fmt: skip


def _count_again(connection: Connection, organization_id: UUID, organization: str) -> Counter[str]:
    agents = connection.execute(
        """SELECT DISTINCT q.agent_id, a.slug FROM retrieval_queries q JOIN erased_questions t ON t.question_id = q.id
        JOIN agents a ON a.organization_id = q.organization_id AND a.id = q.agent_id WHERE q.organization_id = %s ORDER BY 2""",
        [organization_id],
    ).fetchall()
    done: Counter[str] = Counter()
    for agent_id, slug in agents:
        agent = AgentRef(organization_id, organization, agent_id, str(slug))
        retrieval_queries.lock_questions(connection, agent)
        connection.execute("CREATE TEMP TABLE IF NOT EXISTS touched_questions (question_id text PRIMARY KEY) ON COMMIT DELETE ROWS")
        connection.execute("DELETE FROM touched_questions")
        connection.execute(
            """INSERT INTO touched_questions SELECT t.question_id FROM erased_questions t JOIN retrieval_queries q ON q.id = t.question_id
            WHERE q.organization_id = %s AND q.agent_id = %s""",
            [organization_id, agent_id],
        )
        changed, gone = retrieval_queries.count(connection, agent)
        done["retrieval_queries"] += changed + gone
    return +done


# Pairs of questions that stay are made anew; their source may have been the person's event.
_PAIRS: Steps = (
    ("embedding_training_pairs", """
    DELETE FROM embedding_training_pairs p WHERE p.organization_id = %(organization)s AND (
        p.query_id IN (SELECT question_id FROM erased_questions) AND NOT EXISTS (SELECT FROM retrieval_queries q
            WHERE q.organization_id = p.organization_id AND q.agent_id = p.agent_id AND q.id = p.query_id)
        OR p.query_id IS NULL AND p.source_feedback_id IN (SELECT event_id FROM erased_events UNION ALL SELECT feedback_id FROM erased_feedback))"""),
    ("embedding_training_pairs", """
    UPDATE embedding_training_pairs p SET source_feedback_id = NULL WHERE p.organization_id = %(organization)s
        AND p.source_feedback_id IN (SELECT event_id FROM erased_events UNION ALL SELECT feedback_id FROM erased_feedback)"""),
    ("", """
    UPDATE retrieval_queries q SET paired = NULL FROM erased_questions t WHERE q.organization_id = %(organization)s AND q.id = t.question_id"""),
)  # fmt: skip
