"""What rater weights are computed from: the raters that new feedback and reviews concern, and everything they voted on lately.

Belongs here: set-based extraction into arrays' rows, the reader's place in the outbox. Not here: the rules (feedback/trust.py), the weights
in use (trust_weights.py).

Cost follows the new rows: raters of touched executions are judged anew, by at most VOTES_PER_RATER of their newest votes; whoever else
voted on those items is context with the weight in use.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from learning_pipelines.storage import outbox
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.ingest_sql import NIL
from learning_pipelines.storage.outbox import Position
from learning_pipelines.storage.tenants import AgentRef

READER = outbox.WEIGHTS_READER
VOTES_PER_RATER = 200
ENTRIES_PER_PORTION = 500_000
MOST_SENDERS = 50
"""A text that more people send is a ready-made phrase, not a copy."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What one portion touches. `position`: where the reader stands after it; `more`: there are further entries."""

    executions: int
    position: Position
    more: bool


@dataclass(frozen=True, slots=True)
class Rater:
    """One judged or context rater. `weight`: in use, None if never computed; `ratings`: executions rated in all."""

    user_id: UUID
    judged: bool
    expert: bool
    weight: float | None
    ratings: int
    upheld: int
    refuted: int
    copied: float


@dataclass(frozen=True, slots=True)
class Evidence:
    """raters; votes: (rater number, item number, value 0–1, seconds, on own words); gold: (item number, 0–1); texts: (rater number, text number)."""

    raters: list[Rater]
    votes: list[tuple[Any, ...]]
    gold: list[tuple[int, float]]
    texts: list[tuple[int, int]]
    items: int


def organizations_behind(connection: Connection, organization: str | None) -> list[tuple[UUID, str]]:
    """Organizations with feedback or reviews that the weights have not taken up."""
    found = {(agent.organization_id, agent.organization) for agent in outbox.agents_behind(connection, READER, organization)}
    rows = connection.execute(
        f"""SELECT o.organization_id, o.slug FROM organizations o LEFT JOIN outbox_positions p
            ON p.organization_id = o.organization_id AND p.reader = %(reader)s AND p.agent_id = '{NIL}'
        WHERE (%(organization)s::text IS NULL OR o.slug = %(organization)s) AND EXISTS (SELECT FROM learning_examples e
            WHERE e.organization_id = o.organization_id AND e.source_type = 'user_feedback'
              AND e.reviewed_at > coalesce(p.updated_at, '-infinity'))""",
        {"reader": READER, "organization": organization},
    ).fetchall()
    return sorted(found | {(row[0], str(row[1])) for row in rows}, key=lambda one: one[1])


def take(connection: Connection, agent: AgentRef) -> Taken:
    """Collects the executions of new feedback of an agent into the temporary table trust_touched. Call in a transaction, after begin()."""
    start = outbox.position(connection, READER, agent)
    row = connection.execute(
        """WITH new AS MATERIALIZED (
            SELECT xid, id, kind, execution_id FROM outbox WHERE organization_id = %(organization)s AND agent_id = %(agent)s
              AND (xid, id) > (%(xid)s::xid8, %(id)s) AND xid < pg_snapshot_xmin(pg_current_snapshot()) ORDER BY xid, id LIMIT %(limit)s
        ),
        kept AS (INSERT INTO trust_touched SELECT DISTINCT execution_id FROM new WHERE kind = 'feedback' AND execution_id IS NOT NULL RETURNING 1)
        SELECT (SELECT count(*) FROM kept), (SELECT count(*) FROM new), (SELECT ARRAY[xid::text, id::text] FROM new ORDER BY xid DESC, id DESC LIMIT 1)""",
        {"organization": agent.organization_id, "agent": agent.agent_id, "xid": str(start.xid), "id": start.id, "limit": ENTRIES_PER_PORTION},
    ).fetchone()
    assert row is not None
    last = Position(start.cluster, int(row[2][0]), int(row[2][1])) if row[2] else start
    return Taken(int(row[0]), last, int(row[1]) == ENTRIES_PER_PORTION)


def begin(connection: Connection) -> None:
    """Makes the temporary tables of one portion; they end with the transaction."""
    connection.execute("CREATE TEMP TABLE trust_touched (execution_id text NOT NULL) ON COMMIT DROP")


def take_reviewed(connection: Connection, organization: UUID) -> int:
    """Collects the executions behind examples reviewed since the last time, with ten minutes for reviews that committed late."""
    taken = connection.execute(
        f"""INSERT INTO trust_touched SELECT DISTINCT s.execution_id FROM learning_examples e
        JOIN example_sources s ON s.organization_id = e.organization_id AND s.example_id = e.id
        WHERE e.organization_id = %(organization)s AND e.reviewed_at > coalesce((SELECT p.updated_at - interval '10 minutes' FROM outbox_positions p
            WHERE p.organization_id = %(organization)s AND p.reader = %(reader)s AND p.agent_id = '{NIL}'), '-infinity')""",
        {"organization": organization, "reader": READER},
    ).rowcount
    outbox.advance(connection, READER, AgentRef(organization, "", UUID(NIL), ""), Position("", 0, 0))
    return taken


def evidence(connection: Connection, organization: UUID) -> Evidence:
    """Everything that the raters of the touched executions are judged by."""
    values = {"organization": organization, "most": VOTES_PER_RATER, "senders": MOST_SENDERS}
    connection.execute(_TEXTS, values)
    for table, statement in (("raters", _RATERS), ("copies", _COPIES), ("items", _ITEMS), ("votes", _VOTES), ("own_words", _OWN_WORDS)):
        connection.execute(statement, values)
        connection.execute(f"ANALYZE trust_{table}")
    connection.execute(_CONTEXT, values)
    raters = [Rater(*row) for row in connection.execute(_RATER_ROWS, values).fetchall()]
    votes = connection.execute(_VOTE_ROWS, values).fetchall()
    gold = [(int(item), float(value)) for item, value in connection.execute(_GOLD, values).fetchall()]
    texts = [(int(rater), int(text)) for rater, text in connection.execute(_TEXT_ROWS, values).fetchall()]
    row = connection.execute("SELECT count(*) FROM trust_items").fetchone()
    assert row is not None
    return Evidence(raters, votes, gold, texts, int(row[0]))


# Who sent which text, about up to three executions.
_TEXTS = """
INSERT INTO feedback_texts AS known (organization_id, text_hash, user_id, executions, is_correction)
SELECT %(organization)s, hash, user_id, (array_agg(DISTINCT execution_id))[1:3], bool_or(is_correction)
FROM (
    SELECT f.user_id, f.execution_id, hash, is_correction FROM (SELECT DISTINCT execution_id FROM trust_touched) t
    JOIN agent_feedback f ON f.organization_id = %(organization)s AND f.execution_id = t.execution_id AND f.user_id IS NOT NULL AND NOT f.pending_execution,
    LATERAL (VALUES (learning.text_hash(f.feedback_text), false), (learning.text_hash(f.correction_text), true)) AS said (hash, is_correction)
    WHERE hash IS NOT NULL
) AS said GROUP BY hash, user_id ORDER BY hash, user_id
ON CONFLICT (organization_id, text_hash, user_id) DO UPDATE
    SET executions = ARRAY(SELECT DISTINCT unnest(known.executions || excluded.executions) LIMIT 3),
        is_correction = known.is_correction OR excluded.is_correction
    WHERE cardinality(known.executions) < 3 OR excluded.is_correction AND NOT known.is_correction"""

# Texts of the judged raters that are copies: sent by 3 to MOST_SENDERS people, or by one about 3 executions. What more people send is a
# ready-made phrase of some form. Counting stops at MOST_SENDERS.
_COPIES = """
CREATE TEMP TABLE trust_copies ON COMMIT DROP AS
WITH mine AS MATERIALIZED (
    SELECT r.number, t.text_hash, t.executions FROM trust_raters r
    JOIN feedback_texts t ON t.organization_id = %(organization)s AND t.user_id = r.user_id WHERE r.judged
),
senders AS MATERIALIZED (
    SELECT m.text_hash, people FROM (SELECT DISTINCT text_hash FROM mine) m, LATERAL (
        SELECT count(*) AS people FROM (
            SELECT FROM feedback_texts o WHERE o.organization_id = %(organization)s AND o.text_hash = m.text_hash LIMIT %(senders)s + 1
        ) AS few
    ) AS counted
)
SELECT t.number, t.text_hash, senders.people >= 3 AS shared,
    senders.people <= %(senders)s AND (senders.people >= 3 OR cardinality(t.executions) >= 3) AS copied
FROM mine t JOIN senders USING (text_hash)"""

# Who is judged: everybody who said something about a touched execution.
_RATERS = """
CREATE TEMP TABLE trust_raters ON COMMIT DROP AS
SELECT user_id, row_number() OVER (ORDER BY user_id) - 1 AS number, true AS judged FROM (
    SELECT DISTINCT f.user_id FROM (SELECT DISTINCT execution_id FROM trust_touched) t
    JOIN agent_feedback f ON f.organization_id = %(organization)s AND f.execution_id = t.execution_id
    WHERE f.user_id IS NOT NULL AND NOT f.pending_execution
) AS people"""

_ITEMS = """
CREATE TEMP TABLE trust_items ON COMMIT DROP AS
SELECT execution_id, row_number() OVER (ORDER BY execution_id) - 1 AS number FROM (
    SELECT DISTINCT said.execution_id FROM trust_raters r, LATERAL (
        SELECT f.execution_id FROM agent_feedback f WHERE f.organization_id = %(organization)s AND f.user_id = r.user_id AND NOT f.pending_execution
        ORDER BY f.created_at DESC LIMIT %(most)s) AS said
) AS items"""

def _newest(value: str, facet: int) -> str:
    """The value of the newest feedback that has the facet; NULL if that one takes back."""
    return f"""(array_agg(CASE WHEN NOT f.withdrawn THEN {value} END ORDER BY f.created_at DESC, f.arrival DESC) FILTER (WHERE f.facets & {facet} > 0))[1]"""


# What is in force per person and execution, in one sort: the newest of each facet. Its verdict is the mean of what it says about the answer:
# a thumb, stars, dimensions; a reported issue or a correction says that the answer was not good.
_VOTES = f"""
CREATE TEMP TABLE trust_votes ON COMMIT DROP AS
WITH said AS (
    SELECT i.number AS item, f.user_id, max(f.created_at) AS at,
        {_newest("CASE f.feedback_type WHEN 'thumbs_up' THEN 1.0 ELSE 0.0 END", 1)} AS thumb, {_newest("(f.rating - 1) / 4.0", 2)} AS stars,
        {_newest("d.mean", 4)} AS dimensions,
        CASE WHEN bool_or(f.feedback_type = 'report_issue') AND {_newest("true", 8)} THEN 0.0 END AS issue, {_newest("0.0", 16)} AS correction
    FROM trust_items i JOIN agent_feedback f ON f.organization_id = %(organization)s AND f.execution_id = i.execution_id
    CROSS JOIN LATERAL (SELECT avg(value - 1) / 4.0 AS mean
        FROM (VALUES (f.accuracy_rating), (f.helpfulness_rating), (f.clarity_rating), (f.completeness_rating)) AS given (value)) d
    WHERE f.user_id IS NOT NULL AND NOT f.pending_execution AND f.facets <> 0 GROUP BY 1, 2
)
SELECT s.item, s.user_id, s.at, avg(part)::float8 AS value
FROM said s, LATERAL (VALUES (s.thumb), (s.stars), (s.dimensions), (s.issue), (s.correction)) AS parts (part)
GROUP BY 1, 2, 3 HAVING avg(part) <> 0.5"""

_CONTEXT = """
INSERT INTO trust_raters
SELECT user_id, (SELECT count(*) FROM trust_raters) + row_number() OVER (ORDER BY user_id) - 1, false
FROM (SELECT DISTINCT v.user_id FROM trust_votes v WHERE NOT EXISTS (SELECT FROM trust_raters r WHERE r.user_id = v.user_id)) AS others"""

# An expert's verdict on an example speaks for or against those who support it, but nobody's verdict on the own words does.
_RATER_ROWS = """
SELECT r.user_id, r.judged, u.role <> 'user', w.weight,
    CASE WHEN r.judged THEN (SELECT count(*) FROM agent_feedback f
        WHERE f.organization_id = %(organization)s AND f.user_id = r.user_id AND NOT f.pending_execution) + (SELECT coalesce(sum(k.ratings), 0)
        FROM archived_raters k WHERE k.organization_id = %(organization)s AND k.user_id = r.user_id)::bigint ELSE coalesce(w.ratings, 0) END,
    coalesce(reviewed.upheld, 0), coalesce(reviewed.refuted, 0), coalesce(texts.copied, 0)
FROM trust_raters r JOIN users u ON u.organization_id = %(organization)s AND u.id = r.user_id
LEFT JOIN rater_weights w ON w.organization_id = %(organization)s AND w.user_id = r.user_id
LEFT JOIN LATERAL (
    SELECT count(*) FILTER (WHERE e.review_status = 'approved') AS upheld, count(*) FILTER (WHERE e.review_status = 'rejected') AS refuted
    FROM example_sources s JOIN learning_examples e ON e.organization_id = s.organization_id AND e.id = s.example_id
    WHERE r.judged AND s.organization_id = %(organization)s AND s.user_id = r.user_id AND e.reviewed_by IS DISTINCT FROM r.user_id
) reviewed ON true
LEFT JOIN (SELECT number, avg(copied::integer)::float8 AS copied FROM trust_copies GROUP BY 1) texts ON texts.number = r.number
ORDER BY r.number"""

# Answers that repeat a correction, and whose.
_OWN_WORDS = """
CREATE TEMP TABLE trust_own_words ON COMMIT DROP AS
SELECT DISTINCT i.number AS item, t.user_id
FROM trust_items i JOIN agent_executions x ON x.organization_id = %(organization)s AND x.id = i.execution_id
JOIN feedback_texts t ON t.organization_id = x.organization_id AND t.text_hash = learning.text_hash(x.output) AND t.is_correction"""

_VOTE_ROWS = """
SELECT r.number, v.item, v.value, extract(epoch FROM v.at)::float8, v.value > 0.5 AND o.user_id IS NOT NULL
FROM trust_votes v JOIN trust_raters r USING (user_id) LEFT JOIN trust_own_words o ON o.item = v.item AND o.user_id = v.user_id"""

# Where the only supporter reviewed the example, there is no second pair of eyes: no gold.
_GOLD = """
SELECT i.number, avg(CASE
    WHEN e.example_type = 'positive' THEN (e.review_status = 'approved')::integer
    WHEN e.example_type IN ('negative', 'failure') THEN (e.review_status = 'rejected')::integer
    ELSE 0 END)
FROM trust_items i
JOIN example_sources s ON s.organization_id = %(organization)s AND s.execution_id = i.execution_id
JOIN learning_examples e ON e.organization_id = s.organization_id AND e.id = s.example_id
WHERE e.review_status = 'approved' AND e.example_type IN ('positive', 'negative', 'failure', 'correction')
   OR e.review_status = 'rejected' AND e.example_type IN ('positive', 'negative', 'failure')
GROUP BY i.number, e.organization_id HAVING bool_or(e.reviewed_by IS DISTINCT FROM s.user_id)"""

_TEXT_ROWS = """
SELECT number, dense_rank() OVER (ORDER BY text_hash) - 1 FROM trust_copies WHERE copied AND shared"""


def behind(connection: Connection, organization: str) -> Sequence[AgentRef]:
    """Agents of the organization with entries that the weights have not taken up."""
    return outbox.agents_behind(connection, READER, organization)
