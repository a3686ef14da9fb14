"""Questions that were judged: what people said about search results, counted per agent and question, and what is decided about each question.

Belongs here: SQL of retrieval_queries, and which questions new events are about. Not here: splits and near-duplicates (retrieval/), answers that
were judged (retrieval_answers.py), vectors of questions (question_vectors.py).

An event without an agent counts for every agent whose corpus holds a passage that it names (the agent's own documents and the shared ones): the
question was asked of that corpus, and who answers from it may learn from it. An agent without these documents learns nothing from the event.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from learning_pipelines.storage import outbox
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.ingest_sql import NIL
from learning_pipelines.storage.live_passages import joined_by_hash, resolve
from learning_pipelines.storage.tenants import AgentRef

Ints = npt.NDArray[np.int64]

READER, SHARED_READER = "retrieval_queries", "retrieval_queries_shared"
"""Readers of the outbox: of the agent's own entries, and of those without an agent."""

WEAK_WEIGHT = 0.25
"""What a judged answer says about a passage, against a direct word about it, which weighs 1."""

_ROWS = 5_000


@dataclass(frozen=True, slots=True)
class Counted:
    """What one counting did: questions looked at, of them new, changed and gone."""

    questions: int
    new: int
    changed: int
    gone: int


def lock_questions(connection: Connection, agent: AgentRef) -> None:
    """One refresh of an agent's questions at a time; released with the transaction."""
    outbox.lock_reader(connection, READER, agent)


def mine(agent: AgentRef) -> dict[str, Any]:
    """The parameters that name an agent."""
    return {"organization": agent.organization_id, "agent": agent.agent_id}


def take_up(connection: Connection, agent: AgentRef) -> int:
    """Notes in touched_questions what must be counted again: questions of new events, or of passages that came or went; in touched_executions
    those that new feedback is about. Returns how many executions.

    The first time, and after a restore into another cluster, these are all. Call it inside a transaction, after lock_questions.
    """
    values = mine(agent)
    for table, key in (("touched_questions", "question_id"), ("touched_executions", "execution_id")):
        connection.execute(f"CREATE TEMP TABLE IF NOT EXISTS {table} ({key} text PRIMARY KEY) ON COMMIT DELETE ROWS")
        connection.execute(f"DELETE FROM {table}")
    for reader, owner in ((READER, agent.agent_id), (SHARED_READER, NIL)):
        since = outbox.position(connection, reader, agent)
        here = values | {"owner": owner, "xid": str(since.xid), "id": since.id}
        last = connection.execute(_LAST, here).fetchone()
        if since.xid == 0:
            connection.execute(_ALL_OF[reader], values)
        elif last is not None:
            connection.execute(_NEW, here | {"last_xid": str(last[0]), "last_id": last[1]})
        if reader == READER and since.xid == 0:
            connection.execute(_ALL_EXECUTIONS, values)
        elif reader == READER and last is not None:
            connection.execute(_NEW_EXECUTIONS, here | {"last_xid": str(last[0]), "last_id": last[1]})
        if last is not None or since.xid == 0:
            # A position where nothing is to be read yet: from here on events are found by their entries.
            after = outbox.Position(since.cluster, int(last[0]), int(last[1])) if last is not None else outbox.Position(since.cluster, 1, 0)
            outbox.advance(connection, reader, agent, after)
    if _corpus_changed(connection, values):
        connection.execute("DROP TABLE IF EXISTS pg_temp.known_passages")
        connection.execute(f"CREATE TEMP TABLE known_passages ON COMMIT DROP AS {_KNOWN_PASSAGES}", values)
        connection.execute("ANALYZE known_passages")
        resolve(connection, values, "known_passages")
        with joined_by_hash(connection):
            connection.execute(_RESOLVE_AGAIN, values)
    connection.execute("ANALYZE touched_executions")
    return _rows(connection, "touched_executions")


def touched(connection: Connection) -> int:
    """How many questions are to be counted."""
    return _rows(connection, "touched_questions")


def _rows(connection: Connection, table: str) -> int:
    row = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
    return int(row[0]) if row else 0


_LAST = """SELECT xid::text, id FROM outbox WHERE organization_id = %(organization)s AND agent_id = %(owner)s AND (xid, id) > (%(xid)s::xid8, %(id)s)
    AND xid < pg_snapshot_xmin(pg_current_snapshot()) ORDER BY outbox.xid DESC, outbox.id DESC LIMIT 1"""
_NEW = """INSERT INTO touched_questions SELECT DISTINCT e.question_id FROM outbox o
    JOIN retrieval_events e ON e.organization_id = o.organization_id AND e.id = o.row_id
    WHERE o.organization_id = %(organization)s AND o.agent_id = %(owner)s AND (o.xid, o.id) > (%(xid)s::xid8, %(id)s)
        AND (o.xid, o.id) <= (%(last_xid)s::xid8, %(last_id)s) AND o.kind = 'retrieval_feedback' ON CONFLICT DO NOTHING"""
_NEW_EXECUTIONS = """INSERT INTO touched_executions SELECT DISTINCT o.execution_id FROM outbox o
    WHERE o.organization_id = %(organization)s AND o.agent_id = %(owner)s AND (o.xid, o.id) > (%(xid)s::xid8, %(id)s)
        AND (o.xid, o.id) <= (%(last_xid)s::xid8, %(last_id)s) AND o.kind = 'feedback' AND EXISTS (
            SELECT FROM agent_executions x WHERE x.organization_id = o.organization_id AND x.id = o.execution_id) ON CONFLICT DO NOTHING"""
_ALL_EXECUTIONS = """INSERT INTO touched_executions SELECT DISTINCT f.execution_id FROM agent_feedback f
    WHERE f.organization_id = %(organization)s AND f.agent_id = %(agent)s AND NOT f.pending_execution AND f.facets & 19 > 0 AND EXISTS (
        SELECT FROM agent_executions x WHERE x.organization_id = f.organization_id AND x.id = f.execution_id AND x.retrieved IS NOT NULL)
    ON CONFLICT DO NOTHING"""
_ALL_OF = {
    READER: """INSERT INTO touched_questions SELECT question_id FROM retrieval_events WHERE organization_id = %(organization)s AND agent_id = %(agent)s
        UNION SELECT id FROM retrieval_queries WHERE organization_id = %(organization)s AND agent_id = %(agent)s ON CONFLICT DO NOTHING""",
    SHARED_READER: """INSERT INTO touched_questions SELECT DISTINCT question_id FROM retrieval_events
        WHERE organization_id = %(organization)s AND agent_id IS NULL ON CONFLICT DO NOTHING""",
}
_CORPUS = """SELECT (SELECT concat(count(*), '/', sum(hashtextextended(id, 0))) FROM documents
        WHERE organization_id = %(organization)s AND is_active AND (agent_id = %(agent)s OR agent_id IS NULL))
    || ' ' || (SELECT concat(count(*), '/', sum(hashtextextended(c.id, 0))) FROM knowledge_chunks c
        WHERE c.organization_id = %(organization)s AND c.is_active AND (c.agent_id = %(agent)s OR c.agent_id IS NULL)) AS corpus"""
_CORPUS_STATE = f"""INSERT INTO retrieval_feedback_state AS s (organization_id, agent_id, corpus)
    SELECT %(organization)s, %(agent)s, corpus FROM ({_CORPUS}) AS now
    ON CONFLICT (organization_id, agent_id) DO UPDATE SET corpus = excluded.corpus, updated_at = now() WHERE s.corpus <> excluded.corpus RETURNING 1"""
_KNOWN_PASSAGES = """SELECT id, jsonb_object_keys(unknown) AS passage, false AS known FROM retrieval_queries
        WHERE organization_id = %(organization)s AND agent_id = %(agent)s AND unknown <> '{}'
    UNION ALL SELECT id, jsonb_object_keys(documents), true FROM retrieval_queries WHERE organization_id = %(organization)s AND agent_id = %(agent)s
    UNION ALL SELECT id, jsonb_object_keys(chunks), true FROM retrieval_queries WHERE organization_id = %(organization)s AND agent_id = %(agent)s"""
_RESOLVE_AGAIN = """INSERT INTO touched_questions
    SELECT DISTINCT q.id FROM known_passages q LEFT JOIN live_passages l USING (passage) WHERE (l.passage IS NOT NULL) <> q.known
    UNION SELECT DISTINCT e.question_id FROM retrieval_events e WHERE e.organization_id = %(organization)s AND e.agent_id IS NULL AND NOT EXISTS (
        SELECT FROM retrieval_queries q WHERE q.organization_id = e.organization_id AND q.agent_id = %(agent)s AND q.id = e.question_id)
    ON CONFLICT DO NOTHING"""


def _corpus_changed(connection: Connection, values: dict[str, Any]) -> bool:
    """Whether documents or chunks of the agent came or went since the last time (one pass over their ids); remembers them."""
    return connection.execute(_CORPUS_STATE, values).fetchone() is not None


def count(connection: Connection, agent: AgentRef) -> tuple[int, int]:
    """Counts touched_questions and brings the stored ones up to date; new ones wait in counted_questions. Returns (changed, gone)."""
    values = mine(agent) | {"weak": WEAK_WEIGHT}
    connection.execute("ANALYZE touched_questions")
    connection.execute("DROP TABLE IF EXISTS pg_temp.counted_questions, pg_temp.resolved_words, pg_temp.said_words")
    with joined_by_hash(connection, touched(connection)):
        connection.execute(f"CREATE TEMP TABLE said_words ON COMMIT DROP AS {_WORDS}", values)
    connection.execute("ANALYZE said_words")
    resolve(connection, values, "said_words")
    with joined_by_hash(connection):  # nothing is known of the sums: joined row by row they would cost their square
        connection.execute(f"CREATE TEMP TABLE resolved_words ON COMMIT DROP AS {_RESOLVED}")
        connection.execute("ANALYZE resolved_words")
        connection.execute(f"CREATE TEMP TABLE counted_questions ON COMMIT DROP AS {_COUNT}")
    connection.execute("ANALYZE counted_questions")
    gone = connection.execute(_GONE, values).rowcount
    return connection.execute(_CHANGED, values).rowcount, gone


# said: one row per word about a passage. The last word of a person about a passage of a question counts; several people: the mean. `level` is what
# a relevant passage gains: 1, or the stars' share of five. An event that names nothing relevant says so of everything shown, unless it says that
# something helped: then it is not known what.
_WORDS = """
WITH events AS MATERIALIZED (
    SELECT question_id, id, agent_id IS NULL AS shared, user_id::text AS person, created_at, relevant, retrieved, coalesce(rating, 5) / 5.0 AS level,
        cardinality(relevant) = 0 AND coalesce(helped, false) AS vague
    FROM touched_questions JOIN retrieval_events USING (question_id) WHERE organization_id = %(organization)s AND agent_id = %(agent)s
    UNION ALL SELECT question_id, id, true, user_id::text, created_at, relevant, retrieved, coalesce(rating, 5) / 5.0,
        cardinality(relevant) = 0 AND coalesce(helped, false)
    FROM touched_questions JOIN retrieval_events USING (question_id) WHERE organization_id = %(organization)s AND agent_id IS NULL
)
SELECT question_id, 'event/' || id AS source, coalesce(person, 'event/' || id) AS judge, ARRAY[person] AS people, shared, created_at, passage,
    1.0::float8 AS weight, level::float8 AS gain FROM events, unnest(relevant) AS passage
UNION ALL SELECT question_id, 'event/' || id, coalesce(person, 'event/' || id), ARRAY[person], shared, created_at, passage, 1.0, 0.0
    FROM events, unnest(retrieved) AS passage WHERE NOT vague AND passage <> ALL (relevant)
UNION ALL SELECT a.question_id, 'answer/' || a.execution_id, 'answer/' || a.execution_id, a.people, false, a.created_at, word.key,
    %(weak)s, word.value::float8
    FROM touched_questions t JOIN retrieval_answers a ON a.organization_id = %(organization)s AND a.agent_id = %(agent)s AND a.question_id = t.question_id,
    jsonb_each_text(a.gains) AS word"""

_RESOLVED = """
SELECT s.*, l.document_id, l.chunk_id FROM said_words s LEFT JOIN live_passages l USING (passage)
LEFT JOIN (SELECT DISTINCT source FROM said_words JOIN live_passages USING (passage) WHERE shared) AS ours USING (source)
WHERE NOT s.shared OR ours.source IS NOT NULL"""

_COUNT = """
WITH of_documents AS (
    SELECT question_id, jsonb_object_agg(document_id, round(gain::numeric, 4)) AS gains, count(*) FILTER (WHERE high > 0 AND low = 0) AS contradictions FROM (
        SELECT question_id, document_id, sum(gain * weight) / sum(weight) AS gain, max(gain) AS high, min(gain) AS low FROM (
            SELECT DISTINCT ON (question_id, judge, document_id) question_id, document_id, gain, weight FROM resolved_words WHERE document_id IS NOT NULL
            ORDER BY question_id, judge, document_id, created_at DESC, gain DESC) AS last_word
        GROUP BY 1, 2) AS judged GROUP BY 1
),
of_chunks AS (
    SELECT question_id, jsonb_object_agg(chunk_id, round(gain::numeric, 4)) AS gains FROM (
        SELECT question_id, chunk_id, sum(gain * weight) / sum(weight) AS gain FROM (
            SELECT DISTINCT ON (question_id, judge, chunk_id) question_id, chunk_id, gain, weight FROM resolved_words WHERE chunk_id IS NOT NULL
            ORDER BY question_id, judge, chunk_id, created_at DESC, gain DESC) AS last_word
        GROUP BY 1, 2) AS judged GROUP BY 1
),
of_unknown AS (
    SELECT question_id, jsonb_object_agg(passage, words) AS words FROM (
        SELECT question_id, passage, count(*) AS words FROM resolved_words WHERE document_id IS NULL GROUP BY 1, 2) AS missing GROUP BY 1
),
of_sources AS (
    SELECT question_id, count(DISTINCT source) AS sources, count(DISTINCT source) FILTER (WHERE source LIKE 'answer/%') AS answers,
        min(created_at) AS first_at, max(created_at) AS last_at, (array_agg(source ORDER BY created_at, source))[1] AS first_source
    FROM resolved_words GROUP BY 1
),
of_people AS (
    SELECT question_id, array_agg(DISTINCT person ORDER BY person) AS people FROM resolved_words, unnest(people) AS person WHERE person IS NOT NULL GROUP BY 1
)
SELECT s.*, coalesce(p.people, '{}') AS people, coalesce(d.gains, '{}') AS documents, coalesce(c.gains, '{}') AS chunks,
    coalesce(u.words, '{}') AS unknown, coalesce(d.contradictions, 0) AS contradictions
FROM of_sources s LEFT JOIN of_people p USING (question_id) LEFT JOIN of_documents d USING (question_id) LEFT JOIN of_chunks c USING (question_id)
    LEFT JOIN of_unknown u USING (question_id)"""

_GONE = """DELETE FROM retrieval_queries q USING touched_questions t WHERE q.organization_id = %(organization)s AND q.agent_id = %(agent)s
    AND q.id = t.question_id AND NOT EXISTS (SELECT FROM counted_questions c WHERE c.question_id = q.id)"""
_COLUMNS = ("documents", "chunks", "unknown", "people", "answers", "contradictions", "first_at", "last_at")
_CHANGED = f"""UPDATE retrieval_queries q SET events = c.sources, updated_at = now(), {", ".join(f"{name} = c.{name}" for name in _COLUMNS)}
    FROM counted_questions c WHERE q.organization_id = %(organization)s AND q.agent_id = %(agent)s AND q.id = c.question_id
    AND (q.events, {", ".join(f"q.{name}" for name in _COLUMNS)}) IS DISTINCT FROM (c.sources::integer, {", ".join(f"c.{name}" for name in _COLUMNS)})"""


def new_texts(connection: Connection, agent: AgentRef) -> Iterator[tuple[str, str]]:
    """(question id, raw text as it was first asked) of counted questions that are not stored yet; read them all before the next statement."""
    values = mine(agent)
    with connection.cursor(name="new_questions") as cursor:
        cursor.itersize = _ROWS
        cursor.execute(
            """SELECT c.question_id, coalesce(
                (SELECT e.query FROM retrieval_events e WHERE e.organization_id = %(organization)s AND 'event/' || e.id = c.first_source
                    AND e.id = substr(c.first_source, 7)),
                (SELECT x.input FROM agent_executions x WHERE x.organization_id = %(organization)s AND x.id = substr(c.first_source, 8) LIMIT 1))
            FROM counted_questions c WHERE NOT EXISTS (
                SELECT FROM retrieval_queries q WHERE q.organization_id = %(organization)s AND q.agent_id = %(agent)s AND q.id = c.question_id)""",
            values,
        )
        for name, text in cursor:
            if text is not None:  # the execution may have been archived meanwhile
                yield str(name), str(text)


def store_new(connection: Connection, agent: AgentRef, texts: Iterable[tuple[str, str]]) -> int:
    """Stores counted questions with their scrubbed texts, numbered after those that are there, oldest first. Returns how many."""
    values = mine(agent)
    connection.execute("CREATE TEMP TABLE IF NOT EXISTS staged_questions (question_id text, text text) ON COMMIT DELETE ROWS")
    connection.execute("DELETE FROM staged_questions")
    with connection.cursor() as cursor, cursor.copy("COPY staged_questions FROM STDIN") as copy:
        for row in texts:
            copy.write_row(row)
    return connection.execute(
        f"""INSERT INTO retrieval_queries (organization_id, agent_id, id, text, place, events, {", ".join(_COLUMNS)})
        SELECT %(organization)s, %(agent)s, c.question_id, s.text, (SELECT coalesce(max(place), 0) FROM retrieval_queries
            WHERE organization_id = %(organization)s AND agent_id = %(agent)s) + row_number() OVER (ORDER BY c.first_at, c.question_id), c.sources,
            {", ".join(f"c.{name}" for name in _COLUMNS)}
        FROM counted_questions c JOIN staged_questions s USING (question_id)""",
        values,
    ).rowcount


@dataclass(frozen=True)
class Board:
    """Questions with a live passage as arrays, by ascending place. `sides`: 0 to 2, -1 without a split; `answered`: whether something helped.

    `hubs`: index of a question and number of what it shares with others: a document that helped, being nearly the same question, a person.
    `personal`: which of these numbers are people.
    """

    ids: list[str]
    sides: Ints
    left_out: npt.NDArray[np.bool_]
    answered: Ints
    clusters: list[str]
    hubs: tuple[Ints, Ints] = field(default_factory=lambda: (np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)))
    personal: frozenset[int] = frozenset()


_TAKES_PART = "organization_id = %(organization)s AND agent_id = %(agent)s AND (documents <> '{}' OR split IS NOT NULL OR left_out <> '')"


def board(connection: Connection, agent: AgentRef) -> Board:
    """Everything that splits are decided by. Questions none of whose passages is live wait for one, unless they were decided before."""
    values = mine(agent)
    rows = connection.execute(
        f"""SELECT id, coalesce(array_position(ARRAY['train', 'validation', 'test'], split) - 1, -1), left_out <> '',
            jsonb_path_exists(documents, '$.* ? (@ > 0)'), cluster FROM retrieval_queries WHERE {_TAKES_PART} ORDER BY place""",
        values,
    ).fetchall()
    row = connection.execute(
        f"""WITH mine AS (SELECT row_number() OVER (ORDER BY place) - 1 AS at, people, documents, near FROM retrieval_queries WHERE {_TAKES_PART}),
        shared AS (
            SELECT at, 'person/' || person AS hub FROM mine, unnest(people) AS person
            UNION ALL SELECT at, 'document/' || gain.key FROM mine, jsonb_each_text(documents) AS gain WHERE gain.value::float8 > 0
            UNION ALL SELECT at, 'near/' || near FROM mine WHERE near IS NOT NULL
        ),
        numbered AS (SELECT at, dense_rank() OVER (ORDER BY hub COLLATE "C") - 1 AS hub_number, hub LIKE 'person/%%' AS personal,
            count(*) OVER (PARTITION BY hub COLLATE "C") AS held FROM shared)
        SELECT string_agg(int4send(at::integer) || int4send(hub_number::integer), ''::bytea), array_agg(DISTINCT hub_number) FILTER (WHERE personal)
        FROM numbered WHERE held > 1""",
        values,
    ).fetchone()
    table = np.frombuffer(bytes(row[0]) if row is not None and row[0] is not None else b"", dtype=">i4").astype(np.int64).reshape(-1, 2)
    return Board(
        [str(one[0]) for one in rows], np.asarray([one[1] for one in rows], dtype=np.int64), np.asarray([one[2] for one in rows], dtype=np.bool_),
        np.asarray([int(one[3]) for one in rows], dtype=np.int64), [str(one[4]) for one in rows], (table[:, 0], table[:, 1]),
        frozenset(row[1] or ()) if row is not None else frozenset(),
    )  # fmt: skip


def store_decisions(connection: Connection, agent: AgentRef, rows: Iterable[tuple[str, str | None, str, str]]) -> None:
    """Writes (question id, split or None, reason it is left out or '', cluster). A split is given once: it can only be given up."""
    decided = list(rows)
    connection.execute(
        """UPDATE retrieval_queries q SET split = d.split, left_out = d.reason, cluster = d.cluster
        FROM unnest(%(ids)s::text[], %(splits)s::text[], %(reasons)s::text[], %(clusters)s::text[]) AS d (id, split, reason, cluster)
        WHERE q.organization_id = %(organization)s AND q.agent_id = %(agent)s AND q.id = d.id AND (q.split IS NULL OR d.split IS NULL OR q.split = d.split)""",
        mine(agent) | dict(zip(("ids", "splits", "reasons", "clusters"), map(list, zip(*decided, strict=True)), strict=True)) if decided
        else mine(agent) | {"ids": [], "splits": [], "reasons": [], "clusters": []},
    )  # fmt: skip
