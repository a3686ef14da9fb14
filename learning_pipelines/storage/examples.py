"""Learning examples and the feedback they come from: reading what is in force, storing what was derived.

Belongs here: SQL of learning_examples and example_sources. Not here: which feedback makes which example (examples/candidates.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from psycopg.rows import dict_row

from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.ingest_sql import join_pending as join_pending_sql
from learning_pipelines.storage.tenants import AgentRef
from learning_pipelines.storage.trust_weights import lock_weights, update_confidence

EXAMPLE_OF = "'ex-' || left(encode(sha256(uuid_send({0}.agent_id) || convert_to('demonstration/' || {0}.id, 'UTF8')), 'hex'), 32)"
"""The id of a demonstration's example, as examples/refresh.demonstration_example_id makes it."""
MERGED = "sha256(convert_to('merged/' || {0} || '/', 'UTF8') || {1})"
"""The content hash of an example (its id) that was withdrawn for another with this content: its own, and equal to no content's."""
DERIVED_COLUMNS = (
    ("id", "text"), ("example_type", "text"), ("source_type", "text"), ("source_id", "text"), ("user_id", "uuid"), ("input_context", "jsonb"),
    ("input_text", "text"), ("original_output", "text"), ("expected_output", "text"), ("task_type", "text"), ("tags", "text[]"),
    ("content_hash", "bytea"), ("scrub_rules", "text"), ("scrubbed_entities", "jsonb"), ("created_at", "timestamptz"),
    ("execution_id", "text"), ("source_user_id", "uuid"), ("input_user_id", "uuid"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Stored:
    """What one write did: examples new, support added to existing ones, examples withdrawn because nobody supports them any more."""

    created: int
    supported: int
    withdrawn: int


def join_pending(connection: Connection, agent: AgentRef, executions: Sequence[str]) -> int:
    """Joins feedback whose execution was stored by a transaction that overlapped with its own; returns how many."""
    return connection.execute(
        join_pending_sql("unnest(%(executions)s::text[]) AS w (id)"), {"organization": agent.organization_id, "executions": list(executions)}
    ).rowcount


def stored_executions(connection: Connection, executions: Sequence[str], agent: AgentRef) -> list[str]:
    """Those of these executions whose rows are there. Of the others (not come yet, or archived) nothing is derived, and nothing that was is taken back."""
    rows = connection.execute(
        """SELECT w.id FROM unnest(%s::text[]) AS w (id)
        WHERE EXISTS (SELECT FROM agent_executions x WHERE x.organization_id = %s AND x.id = w.id)""",
        [list(executions), agent.organization_id],
    ).fetchall()
    return [str(row[0]) for row in rows]


def opinions(connection: Connection, agent: AgentRef, executions: Sequence[str]) -> list[dict[str, Any]]:
    """Everything said about these executions with the facets still in force, beside the execution's texts."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            """SELECT f.id AS feedback_id, f.execution_id, f.user_id, x.user_id AS input_user_id, f.feedback_type,
                f.facets_in_force AS facets, f.rating,
                ARRAY[f.accuracy_rating, f.helpfulness_rating, f.clarity_rating, f.completeness_rating] AS dimensions,
                f.issue_categories, f.correction_text, f.task_context, x.input, x.output, x.tags, f.created_at
            FROM feedback_in_force f
            JOIN agent_executions x ON x.organization_id = f.organization_id AND x.id = f.execution_id
            WHERE f.organization_id = %s AND f.agent_id = %s AND f.execution_id = ANY(%s) AND f.facets_in_force <> 0
            ORDER BY f.created_at, f.arrival""",
            [agent.organization_id, agent.agent_id, list(executions)],
        ).fetchall()


def demonstrations(connection: Connection, agent: AgentRef, ids: Sequence[str]) -> list[dict[str, Any]]:
    """The demonstrations with these ids."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            """SELECT id AS demonstration_id, user_id, task_type, task_description, input_state, actions, reasoning, final_output, created_at, outcome
            FROM demonstrations WHERE organization_id = %s AND agent_id = %s AND id = ANY(%s) AND is_active""",
            [agent.organization_id, agent.agent_id, list(ids)],
        ).fetchall()


def withdraw_demonstrated(connection: Connection, agent: AgentRef, ids: Sequence[str]) -> int:
    """Withdraws the examples of the demonstrations that these replace, and those of these whose expert has lost the right to demonstrate, whatever
    their review. Returns how many."""
    return connection.execute(
        f"""WITH these AS (
            SELECT * FROM demonstrations n WHERE n.organization_id = %(organization)s AND n.agent_id = %(agent)s AND n.id = ANY(%(ids)s)
        )
        UPDATE learning_examples e SET is_active = false, updated_at = now()
        WHERE e.organization_id = %(organization)s AND e.is_active AND e.id IN (
            SELECT {EXAMPLE_OF.format("o")} FROM these n
            JOIN demonstrations o ON o.organization_id = n.organization_id AND o.id = n.replaces AND NOT o.is_active
            UNION ALL SELECT {EXAMPLE_OF.format("n")} FROM these n
            JOIN users u ON u.organization_id = n.organization_id AND u.id = n.user_id AND u.expertise_withdrawn_at IS NOT NULL)""",
        {"organization": agent.organization_id, "agent": agent.agent_id, "ids": list(ids)},
    ).rowcount


def store_derived(connection: Connection, agent: AgentRef, executions: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> Stored:
    """Makes the examples derived from these executions exactly `rows` (columns DERIVED_COLUMNS). Part of the caller's transaction.

    An example keeps its id and its review for ever; support comes and goes. One that no feedback supports any more is withdrawn
    (is_active false) as long as nobody has reviewed it: what an expert approved stands.
    """
    values = {"organization": agent.organization_id, "agent": agent.agent_id, "executions": list(executions)}
    lock_weights(connection, agent.organization_id, shared=True)
    with connection.cursor() as cursor:
        declared = ", ".join(f"{name} {type_}" for name, type_ in DERIVED_COLUMNS)
        cursor.execute(f"CREATE TEMP TABLE IF NOT EXISTS staged_derived ({declared}) ON COMMIT DELETE ROWS")
        cursor.execute("DELETE FROM staged_derived")
        with cursor.copy(f"COPY staged_derived ({', '.join(name for name, _ in DERIVED_COLUMNS)}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)
        cursor.execute(_ERASED, values)
        created = cursor.execute(_CREATE, values).rowcount
        cursor.execute(_SAME_CONTENT, values)
        dropped = [row[0] for row in cursor.execute(_DROP_SUPPORT, values).fetchall()]
        supported = cursor.execute(_SUPPORT, values).rowcount
        cursor.execute(_RESTORE, values)
        ids = [row[0] for row in cursor.execute("SELECT DISTINCT id FROM staged_derived WHERE execution_id IS NOT NULL").fetchall()]
        update_confidence(connection, agent.organization_id, [*ids, *dropped])
        cursor.execute(_STALE, {**values, "examples": dropped})
        withdrawn = cursor.execute(_WITHDRAW, {**values, "examples": dropped}).rowcount if dropped else 0
    return Stored(created, supported, withdrawn)


# An erasure waits for whoever holds the weights, and the other way round: what was read before it is looked for again after it.
_ERASED = """
DELETE FROM staged_derived s WHERE EXISTS (SELECT FROM erasures e WHERE e.organization_id = %(organization)s AND (e.done_at IS NULL
        OR e.done_at > now() - interval '1 hour'))
    AND NOT CASE WHEN s.execution_id IS NOT NULL THEN EXISTS (SELECT FROM agent_feedback f WHERE f.organization_id = %(organization)s
            AND f.execution_id = s.execution_id AND f.id = s.source_id)
        ELSE s.source_type <> 'expert_review' OR EXISTS (SELECT FROM demonstrations d WHERE d.organization_id = %(organization)s AND d.id = s.source_id) END"""

_CREATE = """
INSERT INTO learning_examples (organization_id, agent_id, id, example_type, source_type, source_id, user_id, input_context, input_text,
    original_output, expected_output, domain, task_type, tags, content_hash, scrub_rules, scrubbed_entities, created_at)
SELECT DISTINCT ON (s.id) %(organization)s, %(agent)s, s.id, s.example_type, s.source_type, s.source_id, s.user_id, s.input_context, s.input_text,
    s.original_output, s.expected_output, a.domain, s.task_type, s.tags, s.content_hash, s.scrub_rules, s.scrubbed_entities, s.created_at
FROM staged_derived s JOIN agents a ON a.organization_id = %(organization)s AND a.id = %(agent)s
ORDER BY s.id, s.created_at
ON CONFLICT DO NOTHING"""

# What was not created because another example has this very content: an expert's edit or newer rules of privacy have given it to that one, so that one is
# it. An example that was edited away from its own content keeps its id: deriving it again finds it as the expert left it. One that was withdrawn for the
# other has its id too, and does not come back.
_SAME_CONTENT = f"""
UPDATE staged_derived s SET id = e.id FROM learning_examples e
WHERE e.organization_id = %(organization)s AND e.agent_id = %(agent)s AND e.content_hash = s.content_hash AND e.source_type = 'user_feedback'
    AND s.source_type = 'user_feedback' AND e.id <> s.id
    AND NOT EXISTS (SELECT FROM learning_examples o WHERE o.organization_id = e.organization_id AND o.id = s.id
        AND o.content_hash <> {MERGED.format("s.id", "s.content_hash")})"""

_DROP_SUPPORT = """
DELETE FROM example_sources e WHERE e.organization_id = %(organization)s AND e.execution_id = ANY(%(executions)s)
    AND EXISTS (SELECT FROM learning_examples l WHERE l.organization_id = e.organization_id AND l.id = e.example_id AND l.agent_id = %(agent)s)
    AND NOT EXISTS (SELECT FROM staged_derived s WHERE s.source_id = e.feedback_id AND s.id = e.example_id)
RETURNING e.example_id"""

_SUPPORT = """
INSERT INTO example_sources (organization_id, example_id, feedback_id, execution_id, user_id, input_user_id)
SELECT %(organization)s, s.id, s.source_id, s.execution_id, s.source_user_id, s.input_user_id
FROM staged_derived s WHERE s.execution_id IS NOT NULL
ON CONFLICT DO NOTHING"""

# Whatever was said about these executions, for or against: the scores of their examples rest on it.
_STALE = """
INSERT INTO stale_quality (organization_id, agent_id, example_id)
SELECT %(organization)s, %(agent)s, example_id FROM example_sources WHERE organization_id = %(organization)s AND execution_id = ANY(%(executions)s)
UNION SELECT %(organization)s, %(agent)s, unnest(%(examples)s::text[])"""

_RESTORE = """
UPDATE learning_examples e SET is_active = true, updated_at = now() FROM staged_derived s
WHERE e.organization_id = %(organization)s AND e.id = s.id AND NOT e.is_active AND e.review_status IN ('pending', 'in_review', 'needs_revision')"""

_WITHDRAW = """
UPDATE learning_examples e SET is_active = false, updated_at = now()
WHERE e.organization_id = %(organization)s AND e.id = ANY(%(examples)s) AND e.source_type = 'user_feedback' AND e.is_active
    AND e.review_status IN ('pending', 'in_review', 'needs_revision')
    AND NOT EXISTS (SELECT FROM example_sources s WHERE s.organization_id = e.organization_id AND s.example_id = e.id)"""


def count_examples(connection: Connection, agent: AgentRef) -> dict[str, int]:
    """Active examples of an agent by type."""
    rows = connection.execute(
        "SELECT example_type, count(*) FROM learning_examples WHERE organization_id = %s AND agent_id = %s AND is_active GROUP BY 1 ORDER BY 1",
        [agent.organization_id, agent.agent_id],
    ).fetchall()
    return {str(kind): int(count) for kind, count in rows}
