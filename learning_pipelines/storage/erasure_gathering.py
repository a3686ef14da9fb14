"""Everything that belongs to a person, by id, and the words they said, in temporary tables that the steps of an erasure read.

Belongs here: SQL that makes and fills the tables erased_* within the transaction. Not here: deleting (erasure_rows.py), archived files
(erasure_archives.py leaves the ids and texts of archived rows in erased_archive_rows).

A person's executions are those they asked for and what agents ran for these without naming anybody: children, and children of children. Everybody's
feedback on them goes with them. An example goes if the person is any of its sources, or if its text is theirs.
"""

from __future__ import annotations

from uuid import UUID

from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.examples import EXAMPLE_OF

LEAST_LETTERS = 20
"""Shorter texts are words that anybody says."""
WORK_MEM = "256MB"
"""Of the whole transaction: ids of a million rows."""


def gather(connection: Connection, organization_id: UUID, user_id: UUID, erasure_id: UUID) -> None:
    """Makes and fills the tables (ON COMMIT DROP); call inside a transaction of role learning_pipeline.

    Beside those that the steps share: erased_again (execution_id, agent_id), executions that stay and of which somebody else's examples must be derived
    anew; erased_stored (execution_id), those of them that are archived; and erased_people (user_id), stand-ins that peers' statements without an author got.
    """
    values = {"organization": organization_id, "person": user_id, "erasure": erasure_id, "least": LEAST_LETTERS}
    # Ids are looked up in hash tables: where they do not fit, every row would be compared with all of them.
    connection.execute(f"SET LOCAL work_mem = '{WORK_MEM}'")
    for statement in _TABLES:
        connection.execute(statement)
    for table, statement in _FILLED:
        connection.execute(statement, values)
        connection.execute(f"ANALYZE {table}")


_TABLES = (
    "CREATE TEMP TABLE erased_executions (execution_id text PRIMARY KEY, agent_id uuid, happened_at timestamptz, archived boolean) ON COMMIT DROP",
    """CREATE TEMP TABLE erased_feedback (feedback_id text PRIMARY KEY, execution_id text, agent_id uuid, happened_at timestamptz, archived boolean,
        user_id uuid) ON COMMIT DROP""",
    "CREATE TEMP TABLE erased_events (event_id text PRIMARY KEY, agent_id uuid, question_id text) ON COMMIT DROP",
    "CREATE TEMP TABLE erased_demonstrations (demonstration_id text PRIMARY KEY, agent_id uuid) ON COMMIT DROP",
    "CREATE TEMP TABLE erased_examples (example_id text PRIMARY KEY, agent_id uuid) ON COMMIT DROP",
    "CREATE TEMP TABLE erased_again (execution_id text PRIMARY KEY, agent_id uuid) ON COMMIT DROP",
    "CREATE TEMP TABLE erased_stored (execution_id text PRIMARY KEY) ON COMMIT DROP",
    "CREATE TEMP TABLE erased_sessions (session_id text PRIMARY KEY) ON COMMIT DROP",
    "CREATE TEMP TABLE erased_people (user_id uuid PRIMARY KEY) ON COMMIT DROP",
    # No primary key: an index of texts holds none of more than 2,700 bytes.
    "CREATE TEMP TABLE erased_texts (text text NOT NULL) ON COMMIT DROP",
    "CREATE UNIQUE INDEX erased_texts_once ON erased_texts (md5(text))",
)

_EXECUTIONS = """
INSERT INTO erased_executions
WITH RECURSIVE theirs AS (
    SELECT x.id, x.agent_id, x.created_at, false AS archived FROM agent_executions x
    WHERE x.organization_id = %(organization)s AND x.user_id = %(person)s
    UNION SELECT a.row_id, a.agent_id, a.happened_at, true FROM erased_archive_rows a
    WHERE a.organization_id = %(organization)s AND a.erasure_id = %(erasure)s AND a.table_name = 'agent_executions'
    UNION SELECT c.id, c.agent_id, c.created_at, false FROM theirs p
    JOIN agent_executions c ON c.organization_id = %(organization)s AND c.parent_id = p.id AND c.user_id IS NULL
)
SELECT DISTINCT ON (id) id, agent_id, created_at, archived FROM theirs ORDER BY id, archived"""

_FEEDBACK = """
INSERT INTO erased_feedback
SELECT DISTINCT ON (id) id, execution_id, agent_id, created_at, archived, user_id FROM (
    SELECT f.id, f.execution_id, f.agent_id, f.created_at, false AS archived, f.user_id FROM agent_feedback f
    WHERE f.organization_id = %(organization)s AND f.user_id = %(person)s
    UNION ALL SELECT f.id, f.execution_id, f.agent_id, f.created_at, false, f.user_id FROM erased_executions x
    JOIN agent_feedback f ON f.organization_id = %(organization)s AND f.execution_id = x.execution_id
    UNION ALL SELECT a.row_id, a.execution_id, a.agent_id, a.happened_at, true, a.user_id FROM erased_archive_rows a
    WHERE a.organization_id = %(organization)s AND a.erasure_id = %(erasure)s AND a.table_name = 'agent_feedback'
) AS said ORDER BY id, archived"""

_EVENTS = """
INSERT INTO erased_events SELECT id, agent_id, question_id FROM retrieval_events WHERE organization_id = %(organization)s AND user_id = %(person)s"""

_DEMONSTRATIONS = """
INSERT INTO erased_demonstrations SELECT id, agent_id FROM demonstrations WHERE organization_id = %(organization)s AND user_id = %(person)s"""

# An expert's correction is an example's text where it is what the example says now, or what a later correction was made of.
_EXAMPLES = f"""
INSERT INTO erased_examples
SELECT e.id, e.agent_id FROM learning_examples e WHERE e.organization_id = %(organization)s AND (e.user_id = %(person)s
    OR e.id IN (SELECT s.example_id FROM example_sources s WHERE s.organization_id = %(organization)s
        AND (s.user_id = %(person)s OR s.input_user_id = %(person)s OR s.execution_id IN (SELECT execution_id FROM erased_executions)
            OR s.feedback_id IN (SELECT feedback_id FROM erased_feedback)))
    OR e.source_id IN (SELECT feedback_id FROM erased_feedback UNION ALL SELECT execution_id FROM erased_executions
        UNION ALL SELECT demonstration_id FROM erased_demonstrations)
    OR e.id IN (SELECT {EXAMPLE_OF.format("d")} FROM (SELECT demonstration_id AS id, agent_id FROM erased_demonstrations) d)
    OR e.id IN (SELECT n.example_id FROM expert_annotations n
        JOIN learning_examples w ON w.organization_id = n.organization_id AND w.id = n.example_id
        WHERE n.organization_id = %(organization)s AND n.expert_id = %(person)s AND n.corrected_output IS NOT NULL
            AND (w.expected_output = n.corrected_output OR EXISTS (SELECT FROM expert_annotations later WHERE later.organization_id = n.organization_id
                AND later.example_id = n.example_id AND later.expert_id <> n.expert_id AND later.base_output = n.corrected_output))))"""

# Executions that stay: of which the person said something, or whose example goes because the person is another source of it.
_AGAIN = """
INSERT INTO erased_again
SELECT DISTINCT ON (x.id) x.id, x.agent_id FROM (
    SELECT execution_id FROM erased_feedback WHERE NOT archived
    UNION SELECT s.execution_id FROM erased_examples e JOIN example_sources s ON s.organization_id = %(organization)s AND s.example_id = e.example_id
) AS concerned JOIN agent_executions x ON x.organization_id = %(organization)s AND x.id = concerned.execution_id
WHERE NOT EXISTS (SELECT FROM erased_executions t WHERE t.execution_id = x.id) ORDER BY x.id"""

_STORED = """
INSERT INTO erased_stored
SELECT DISTINCT s.execution_id FROM erased_examples e JOIN example_sources s ON s.organization_id = %(organization)s AND s.example_id = e.example_id
WHERE NOT EXISTS (SELECT FROM erased_executions t WHERE t.execution_id = s.execution_id)
    AND NOT EXISTS (SELECT FROM erased_again t WHERE t.execution_id = s.execution_id)"""

# A session that somebody else takes part in is not the person's alone.
_SESSIONS = """
INSERT INTO erased_sessions
SELECT DISTINCT session_id FROM (
    SELECT x.session_id FROM erased_executions t JOIN agent_executions x ON x.organization_id = %(organization)s AND x.id = t.execution_id
    UNION ALL SELECT a.session_id FROM erased_archive_rows a WHERE a.organization_id = %(organization)s AND a.erasure_id = %(erasure)s
) AS theirs WHERE session_id IS NOT NULL AND NOT EXISTS (SELECT FROM agent_executions o WHERE o.organization_id = %(organization)s
    AND o.session_id = theirs.session_id AND o.user_id <> %(person)s)"""

# Whoever is not named in a peer's statement got a person of the statement's own (feedback/peers/said.py), called as the feedback is.
_PEOPLE = """
INSERT INTO erased_people
SELECT DISTINCT u.id FROM erased_feedback f JOIN users u ON u.organization_id = %(organization)s AND u.id = f.user_id
WHERE u.id <> %(person)s AND (f.feedback_id = u.external_id OR starts_with(f.feedback_id, u.external_id || ':v')) AND NOT EXISTS (
    SELECT FROM agent_feedback o WHERE o.organization_id = %(organization)s AND o.user_id = u.id
        AND NOT EXISTS (SELECT FROM erased_feedback k WHERE k.feedback_id = o.id))"""

# What somebody else's example or demonstration says as well is not the person's alone: few-shot examples in the messages of an execution, an answer
# that everybody gets. System messages are the agent's, and what tools gave it is the corpus.
_STRINGS = "jsonb_path_query({}, 'strict $.** ? (@.type() == \"string\")') #>> '{{}}'"
_TEXTS = f"""
INSERT INTO erased_texts
WITH words AS (
    SELECT unnest(ARRAY[x.input, x.output]) AS text FROM erased_executions t
    JOIN agent_executions x ON x.organization_id = %(organization)s AND x.id = t.execution_id
    UNION ALL SELECT {_STRINGS.format("m.message -> 'content'")} FROM erased_executions t
    JOIN agent_executions x ON x.organization_id = %(organization)s AND x.id = t.execution_id
    CROSS JOIN LATERAL jsonb_array_elements(CASE WHEN jsonb_typeof(x.messages) = 'array' THEN x.messages ELSE '[]' END) AS m (message)
    WHERE m.message ->> 'role' IN ('user', 'human')
    UNION ALL SELECT unnest(ARRAY[f.feedback_text, f.correction_text]) FROM erased_feedback t
    JOIN agent_feedback f ON f.organization_id = %(organization)s AND f.id = t.feedback_id
    UNION ALL SELECT unnest(a.texts) FROM erased_archive_rows a WHERE a.organization_id = %(organization)s AND a.erasure_id = %(erasure)s
    UNION ALL SELECT e.query FROM erased_events t JOIN retrieval_events e ON e.organization_id = %(organization)s AND e.id = t.event_id
    UNION ALL SELECT unnest(ARRAY[d.task_description, d.reasoning, d.final_output]) FROM erased_demonstrations t
    JOIN demonstrations d ON d.organization_id = %(organization)s AND d.id = t.demonstration_id
    UNION ALL SELECT {_STRINGS.format("jsonb_build_array(d.input_state, d.actions)")} FROM erased_demonstrations t
    JOIN demonstrations d ON d.organization_id = %(organization)s AND d.id = t.demonstration_id
    UNION ALL SELECT unnest(ARRAY[e.input_text, e.original_output, e.expected_output, e.output_a, e.output_b]) FROM erased_examples t
    JOIN learning_examples e ON e.organization_id = %(organization)s AND e.id = t.example_id
    UNION ALL SELECT unnest(ARRAY[n.corrected_output, n.notes, n.improvement_suggestions]) FROM expert_annotations n
    WHERE n.organization_id = %(organization)s AND n.expert_id = %(person)s
)
SELECT DISTINCT w.text FROM words w WHERE char_length(btrim(w.text)) >= %(least)s ON CONFLICT DO NOTHING"""
_SHARED = """
DELETE FROM erased_texts t USING (
    SELECT unnest(ARRAY[e.input_text, e.original_output, e.expected_output, e.output_a, e.output_b]) AS text FROM learning_examples e
    WHERE e.organization_id = %(organization)s AND NOT EXISTS (SELECT FROM erased_examples k WHERE k.example_id = e.id)
    UNION ALL SELECT unnest(ARRAY[d.task_description, d.reasoning, d.final_output]) FROM demonstrations d
    WHERE d.organization_id = %(organization)s AND NOT EXISTS (SELECT FROM erased_demonstrations k WHERE k.demonstration_id = d.id)
) AS others WHERE t.text = others.text"""

_FILLED = (
    ("erased_executions", _EXECUTIONS), ("erased_feedback", _FEEDBACK), ("erased_events", _EVENTS), ("erased_demonstrations", _DEMONSTRATIONS),
    ("erased_examples", _EXAMPLES), ("erased_again", _AGAIN), ("erased_stored", _STORED), ("erased_sessions", _SESSIONS), ("erased_people", _PEOPLE),
    ("erased_texts", _TEXTS), ("erased_texts", _SHARED),
)  # fmt: skip
