"""What a person said and what agents did for them, deleted set by set; what mentions it elsewhere is mended.

Belongs here: SQL over the tables erased_* of the running transaction: executions, feedback, what hangs on them, ids that are known, entries of the outbox,
experiments' names. Not here: filling these tables (erasure_gathering.py), questions and training pairs (erasure_retrieval.py), reviews
(erasure_reviews.py), days that are counted anew (erasure_days.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.ingest_sql import NIL

Steps = Sequence[tuple[str, str]]
"""(table, statement) in order; rows are counted by table, those of temporary tables ('') are not."""


def run(connection: Connection, steps: Steps, values: dict[str, Any]) -> Counter[str]:
    """Executes statements one after the other; rows by table."""
    done: Counter[str] = Counter()
    for table, statement in steps:
        rows = connection.execute(statement, values).rowcount
        if table:
            done[table] += rows
    return +done


def delete(connection: Connection, organization_id: UUID, user_id: UUID, erasure_id: UUID, name: str) -> Counter[str]:
    """Deletes executions, feedback and what hangs on them. Returns rows by table, changed ones too."""
    values = {"organization": organization_id, "person": user_id, "erasure": erasure_id, "name": name}
    connection.execute(_TRACES, values)
    connection.execute("ANALYZE erased_traces")
    return run(connection, (*_PEERS, *_SATELLITES, *_EVENTS, *_KEYS, *_PEOPLE), values)


# Spans of a trace that is the person's execution, or that is nobody's yet and holds a span of theirs.
_TRACES = """
CREATE TEMP TABLE erased_traces ON COMMIT DROP AS
SELECT DISTINCT s.trace_id FROM peer_spans s WHERE s.organization_id = %(organization)s AND (EXISTS (
        SELECT FROM erased_executions t WHERE t.execution_id = s.trace_id)
    OR s.user_id = %(person)s AND NOT EXISTS (SELECT FROM peer_spans o
        WHERE o.organization_id = s.organization_id AND o.trace_id = s.trace_id AND o.state = 'used'))"""
_PEERS: Steps = (
    ("peer_records", """
    DELETE FROM peer_records r WHERE r.organization_id = %(organization)s AND (r.user_id = %(person)s OR r.person = %(name)s
        OR r.execution_id IN (SELECT execution_id FROM erased_executions) OR r.feedback_id IN (SELECT feedback_id FROM erased_feedback)
        OR r.session_id IN (SELECT session_id FROM erased_sessions) OR r.span_id IN (
            SELECT s.span_id FROM peer_spans s JOIN erased_traces USING (trace_id) WHERE s.organization_id = %(organization)s))"""),
    ("peer_spans", """
    DELETE FROM peer_spans s WHERE s.organization_id = %(organization)s
        AND (s.user_id = %(person)s AND s.state <> 'used' OR s.trace_id IN (SELECT trace_id FROM erased_traces))"""),
    ("peer_spans", "UPDATE peer_spans SET user_id = NULL WHERE organization_id = %(organization)s AND user_id = %(person)s"),
)  # fmt: skip

# feedback_texts: of texts that others sent, the executions that are gone; whoever sent a text about these alone is no copyist of it any more.
_SATELLITES: Steps = (
    ("execution_scores", """
    DELETE FROM execution_scores s USING erased_executions t WHERE s.organization_id = %(organization)s AND s.execution_id = t.execution_id"""),
    ("feedback_texts", """
    DELETE FROM feedback_texts WHERE organization_id = %(organization)s AND (user_id = %(person)s OR user_id IN (SELECT user_id FROM erased_people))"""),
    ("feedback_texts", """
    UPDATE feedback_texts f SET executions = ARRAY(SELECT one FROM unnest(f.executions) AS one
        WHERE NOT EXISTS (SELECT FROM erased_executions t WHERE t.execution_id = one))
    WHERE f.organization_id = %(organization)s AND EXISTS (SELECT FROM unnest(f.executions) AS one JOIN erased_executions t ON t.execution_id = one)"""),
    ("feedback_texts", "DELETE FROM feedback_texts WHERE organization_id = %(organization)s AND executions = '{}'"),
    ("rater_weights", """
    DELETE FROM rater_weights WHERE organization_id = %(organization)s AND (user_id = %(person)s OR user_id IN (SELECT user_id FROM erased_people))"""),
    ("archived_raters", """
    DELETE FROM archived_raters WHERE organization_id = %(organization)s AND (user_id = %(person)s OR user_id IN (SELECT user_id FROM erased_people))"""),
    ("archived_thumbs", """
    DELETE FROM archived_thumbs a WHERE a.organization_id = %(organization)s AND (a.user_id = %(person)s
        OR a.execution_id IN (SELECT execution_id FROM erased_executions) OR a.feedback_id IN (SELECT feedback_id FROM erased_feedback))"""),
    ("archived_returns", """
    DELETE FROM archived_returns a USING erased_executions t WHERE a.organization_id = %(organization)s AND a.execution_id = t.execution_id"""),
)  # fmt: skip

_EVENTS: Steps = (
    ("agent_feedback", "DELETE FROM agent_feedback f USING erased_feedback t WHERE f.organization_id = %(organization)s AND f.id = t.feedback_id"),
    ("agent_executions", "DELETE FROM agent_executions x USING erased_executions t WHERE x.organization_id = %(organization)s AND x.id = t.execution_id"),
    ("agent_executions", """
    UPDATE agent_executions x SET parent_id = NULL FROM erased_executions t WHERE x.organization_id = %(organization)s AND x.parent_id = t.execution_id"""),
    ("demonstration_splits", """
    DELETE FROM demonstration_splits s USING erased_demonstrations t
    WHERE s.organization_id = %(organization)s AND s.demonstration_id = t.demonstration_id"""),
    ("demonstrations", """
    UPDATE demonstrations d SET replaces = NULL FROM erased_demonstrations t WHERE d.organization_id = %(organization)s AND d.replaces = t.demonstration_id"""),
    ("demonstrations", "DELETE FROM demonstrations d USING erased_demonstrations t WHERE d.organization_id = %(organization)s AND d.id = t.demonstration_id"),
)  # fmt: skip

_IDS = """(
    SELECT 'executions' AS kind, execution_id AS id FROM erased_executions UNION ALL SELECT 'feedback', feedback_id FROM erased_feedback
    UNION ALL SELECT 'retrieval_feedback', event_id FROM erased_events UNION ALL SELECT 'demonstrations', demonstration_id FROM erased_demonstrations
    UNION ALL SELECT 'examples', example_id FROM erased_examples)"""
_KEYS: Steps = (
    ("ingest_keys", f"DELETE FROM ingest_keys k USING {_IDS} AS t WHERE k.organization_id = %(organization)s AND k.kind = t.kind AND k.external_id = t.id"),
    ("outbox", f"DELETE FROM outbox o USING {_IDS} AS t WHERE o.organization_id = %(organization)s AND o.kind = t.kind AND o.row_id = t.id"),
    ("outbox", """
    DELETE FROM outbox o WHERE o.organization_id = %(organization)s AND (o.execution_id IN (SELECT execution_id FROM erased_executions)
        OR o.kind IN ('annotations', 'reviews') AND o.row_id IN (SELECT example_id FROM erased_examples))"""),
)  # fmt: skip

_PEOPLE: Steps = (
    ("users", "DELETE FROM users u USING erased_people t WHERE u.organization_id = %(organization)s AND u.id = t.user_id"),
    ("erased_archive_rows", "DELETE FROM erased_archive_rows WHERE organization_id = %(organization)s AND erasure_id = %(erasure)s"),
)  # fmt: skip


def take_up_again(connection: Connection, organization_id: UUID) -> int:
    """Tells whoever reads the outbox of the executions in erased_again: their examples, questions and raters are looked at anew. Call after delete()."""
    return connection.execute(
        f"""INSERT INTO outbox (organization_id, agent_id, kind, row_id, execution_id, happened_at, execution_at)
        SELECT %s, coalesce(x.agent_id, '{NIL}'), 'feedback', x.id, x.id, x.created_at, x.created_at
        FROM erased_again t JOIN agent_executions x ON x.organization_id = %s AND x.id = t.execution_id""",
        [organization_id, organization_id],
    ).rowcount


def stored_again(connection: Connection) -> list[str]:
    """The executions that are to be looked at anew and are not among the rows: if anywhere, they lie in the archive."""
    return [str(row[0]) for row in connection.execute("SELECT execution_id FROM erased_stored ORDER BY 1").fetchall()]


def rename_units(connection: Connection, organization_id: UUID, name: str) -> Counter[str]:
    """Replaces the names of the person in experiments: units called as they are, their sessions and their executions, and the ids of these. What was
    counted stays as it is: numbers of a unit that nobody can name."""
    values = {"organization": organization_id, "name": name}
    connection.execute(_UNITS, values)
    connection.execute("ANALYZE erased_units")
    return run(connection, _NAMES, values)


# A unit that somebody else's executions name as well is not the person's alone, unless it is called as they are.
_UNITS = """
CREATE TEMP TABLE erased_units ON COMMIT DROP AS
SELECT experiment_id, unit, 'erased-' || gen_random_uuid() AS replacement FROM (
    SELECT e.id AS experiment_id, n.unit FROM learning_experiments e CROSS JOIN (
        SELECT %(name)s::text AS unit UNION SELECT session_id FROM erased_sessions) n
    WHERE e.organization_id = %(organization)s AND (EXISTS (SELECT FROM experiment_assignments a
            WHERE a.organization_id = e.organization_id AND a.experiment_id = e.id AND a.unit = n.unit)
        OR n.unit = %(name)s)
    UNION SELECT a.experiment_id, a.unit FROM erased_executions t JOIN experiment_assignments a
        ON a.organization_id = %(organization)s AND a.unit = t.execution_id
    UNION SELECT k.experiment_id, k.unit FROM erased_executions t
    JOIN experiment_executions k ON k.organization_id = %(organization)s AND k.execution_id = t.execution_id
    WHERE k.unit IS NOT NULL AND NOT EXISTS (SELECT FROM experiment_executions o WHERE o.organization_id = k.organization_id
        AND o.experiment_id = k.experiment_id AND o.unit = k.unit AND NOT EXISTS (SELECT FROM erased_executions s WHERE s.execution_id = o.execution_id))
) AS named"""
_UNIT = "organization_id = %(organization)s AND k.experiment_id = u.experiment_id AND k.unit = u.unit"
_NAMES: Steps = (
    ("experiment_assignments", f"UPDATE experiment_assignments k SET unit = u.replacement FROM erased_units u WHERE k.{_UNIT}"),
    ("experiment_units", f"UPDATE experiment_units k SET unit = u.replacement FROM erased_units u WHERE k.{_UNIT}"),
    ("experiment_executions", f"UPDATE experiment_executions k SET unit = u.replacement FROM erased_units u WHERE k.{_UNIT}"),
    ("experiment_executions", """
    WITH renamed AS MATERIALIZED (SELECT execution_id, 'erased-' || gen_random_uuid() AS replacement FROM erased_executions)
    UPDATE experiment_executions k SET execution_id = r.replacement FROM renamed r
    WHERE k.organization_id = %(organization)s AND k.execution_id = r.execution_id"""),
)  # fmt: skip
