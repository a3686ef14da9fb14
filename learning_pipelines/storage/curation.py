"""Conflicts between examples and rare inputs as stored: what is to be compared, what is open, how it is settled.

Belongs here: SQL of example_conflicts, comparisons in duplicate_links, is_rare. Not here: what contradicts what (examples/conflicts.py).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from psycopg.rows import dict_row

from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.tenants import AgentRef

RARE_TAG = "rare-input"

_OUTPUTS = """sha256(convert_to(jsonb_build_array({0}.example_type IN ('negative', 'failure'), {0}.original_output, {0}.expected_output,
    {0}.output_a, {0}.output_b, {0}.preferred_output, {0}.input_text)::text, 'UTF8'))"""
_FIRST, _SECOND = _OUTPUTS.format("a"), _OUTPUTS.format("b")
_COUNTS = "{0}.is_active AND {0}.review_status <> 'rejected'"
_SAYS = """'example_type', {0}.example_type, 'input_text', {0}.input_text, 'original_output', {0}.original_output,
    'expected_output', {0}.expected_output, 'output_a', {0}.output_a, 'output_b', {0}.output_b, 'preferred_output', {0}.preferred_output,
    'review_status', {0}.review_status"""
_SIDE = f"jsonb_build_object({_SAYS}, 'user_id', {{0}}.user_id)"
_SHOWN = f"jsonb_build_object('example_id', {{0}}.id, {_SAYS})"
_BOTH = f"""JOIN learning_examples a ON a.organization_id = l.organization_id AND a.id = l.first_id AND {_COUNTS.format("a")}
    JOIN learning_examples b ON b.organization_id = l.organization_id AND b.id = l.second_id AND {_COUNTS.format("b")}"""
_STANDS = f"l.status = 'open' AND l.first_output = {_FIRST} AND l.second_output = {_SECOND}"
_OWN = """({0}.user_id IS NOT DISTINCT FROM %(reader)s OR EXISTS (SELECT FROM example_sources s WHERE s.organization_id = {0}.organization_id
    AND s.example_id = {0}.id AND %(reader)s IN (s.user_id, s.input_user_id)))"""


def link_equal_inputs(connection: Connection, agent: AgentRef, most: int) -> int:
    """In clusters too large to be listed: links the oldest example of each input with the oldest of every other output to it, at most `most`
    outputs an input, so that those are compared too. Returns how many links are new."""
    return connection.execute(
        f"""INSERT INTO duplicate_links (organization_id, agent_id, first_id, second_id, similarity)
        SELECT %(organization)s, %(agent)s, least(id, head), greatest(id, head), 1 FROM (
            SELECT id, first_value(id) OVER same AS head, row_number() OVER same AS place FROM (
                SELECT DISTINCT ON (key, {_FIRST}) a.id, s.number, key
                FROM example_sketches s JOIN learning_examples a ON a.organization_id = s.organization_id AND a.id = s.example_id,
                    LATERAL (SELECT lower(regexp_replace(btrim(a.input_text), '\\s+', ' ', 'g')) AS key) k
                WHERE s.organization_id = %(organization)s AND s.agent_id = %(agent)s AND {_COUNTS.format("a")} AND s.cluster IN (
                    SELECT cluster FROM example_sketches WHERE organization_id = %(organization)s AND agent_id = %(agent)s AND NOT is_listed)
                ORDER BY key, {_FIRST}, s.number
            ) AS outputs WINDOW same AS (PARTITION BY key ORDER BY number)
        ) AS others WHERE place BETWEEN 2 AND %(most)s ON CONFLICT DO NOTHING""",
        {"organization": agent.organization_id, "agent": agent.agent_id, "most": most},
    ).rowcount


def to_compare(connection: Connection, agent: AgentRef, limit: int) -> list[dict[str, Any]]:
    """Near-duplicate pairs not compared since one of them came or changed: ids, both sides' texts, hash of what is compared, the agent's labels."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            f"""SELECT l.first_id, l.second_id, {_SIDE.format("a")} AS first, {_SIDE.format("b")} AS second, {_FIRST} || {_SECOND} AS compared, g.labels
            FROM duplicate_links l {_BOTH} JOIN agents g ON g.organization_id = l.organization_id AND g.id = l.agent_id
            WHERE l.organization_id = %s AND l.agent_id = %s AND l.compared IS DISTINCT FROM {_FIRST} || {_SECOND}
            ORDER BY l.first_id, l.second_id LIMIT %s""",
            [agent.organization_id, agent.agent_id, limit],
        ).fetchall()


def store_comparisons(connection: Connection, agent: AgentRef, found: Sequence[tuple[str, str, bytes, str | None]]) -> None:
    """Stores (first id, second id, hash of what was compared, contradiction or None)."""
    connection.execute(
        """UPDATE duplicate_links l SET compared = f.compared, contradiction = f.contradiction
        FROM unnest(%s::text[], %s::text[], %s::bytea[], %s::text[]) AS f (first_id, second_id, compared, contradiction)
        WHERE l.organization_id = %s AND l.first_id = f.first_id AND l.second_id = f.second_id""",
        [*(list(column) for column in zip(*found, strict=True)), agent.organization_id],
    )


def settle_conflicts(connection: Connection, agent: AgentRef) -> tuple[int, int]:
    """Opens a conflict for every contradiction and resolves those that are none any more: (opened, resolved).

    Examples of one cluster that give the same output stand behind the oldest of them. What was dismissed stays so until an output changes.
    """
    values = {"organization": agent.organization_id, "agent": agent.agent_id}
    current = f"""current AS MATERIALIZED (
        SELECT DISTINCT ON (s.cluster, least({_FIRST}, {_SECOND}), greatest({_FIRST}, {_SECOND}))
            l.first_id, l.second_id, l.contradiction, {_FIRST} AS first_output, {_SECOND} AS second_output
        FROM duplicate_links l {_BOTH} JOIN example_sketches s ON s.organization_id = l.organization_id AND s.example_id = l.first_id
        WHERE l.organization_id = %(organization)s AND l.agent_id = %(agent)s AND l.contradiction IS NOT NULL AND l.compared = {_FIRST} || {_SECOND}
        ORDER BY s.cluster, least({_FIRST}, {_SECOND}), greatest({_FIRST}, {_SECOND}), a.created_at, a.id, b.created_at, b.id
    )"""
    opened = connection.execute(
        f"""WITH {current} INSERT INTO example_conflicts AS c (organization_id, agent_id, first_id, second_id, reason, first_output, second_output)
        SELECT %(organization)s, %(agent)s, first_id, second_id, contradiction, first_output, second_output FROM current
        ON CONFLICT (organization_id, first_id, second_id) DO UPDATE SET reason = excluded.reason, first_output = excluded.first_output,
            second_output = excluded.second_output, status = 'open', found_at = now(), settled_at = NULL, settled_by = NULL, notes = NULL
        WHERE c.status = 'resolved' OR (c.first_output, c.second_output) <> (excluded.first_output, excluded.second_output)""",
        values,
    ).rowcount
    resolved = connection.execute(
        f"""WITH {current} UPDATE example_conflicts c SET status = 'resolved', settled_at = now()
        WHERE c.organization_id = %(organization)s AND c.agent_id = %(agent)s AND c.status = 'open' AND NOT EXISTS (
            SELECT FROM current WHERE current.first_id = c.first_id AND current.second_id = c.second_id)""",
        values,
    ).rowcount
    return opened, resolved


def open_conflicts(
    connection: Connection, organization_id: UUID, *, limit: int, agent_id: UUID | None = None, reader: UUID | None = None,
    after: tuple[dt.datetime, tuple[str, str]] | None = None,
) -> list[dict[str, Any]]:  # fmt: skip
    """What waits for adjudication, of one agent or of all, oldest first: agent, reason, found_at, and `first` and `second` with what each example says.

    One that a rejection or an edited output has settled since is not among them, also before the next refresh writes it down; nor is one with an example
    made of what `reader` said or did. `after`: the place of the last one that is known.
    """
    found_at, (first_id, second_id) = after or (None, (None, None))
    values = {
        "organization": organization_id, "agent": agent_id, "reader": reader, "limit": limit, "found_at": found_at, "first": first_id, "second": second_id,
    }  # fmt: skip
    of_agent = "AND l.agent_id = %(agent)s" if agent_id is not None else ""
    of_others = f"AND NOT {_OWN.format('a')} AND NOT {_OWN.format('b')}" if reader is not None else ""
    later = "AND (l.found_at, l.first_id, l.second_id) > (%(found_at)s, %(first)s, %(second)s)" if after is not None else ""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            f"""SELECT g.slug AS agent, l.reason, l.found_at, {_SHOWN.format("a")} AS first, {_SHOWN.format("b")} AS second
            FROM example_conflicts l {_BOTH} JOIN agents g ON g.organization_id = l.organization_id AND g.id = l.agent_id
            WHERE l.organization_id = %(organization)s {of_agent} AND {_STANDS} {of_others} {later}
            ORDER BY l.found_at, l.first_id, l.second_id LIMIT %(limit)s""",
            values,
        ).fetchall()


def dismiss_conflict(connection: Connection, organization_id: UUID, pair: tuple[str, str], user_id: UUID | None, notes: str | None) -> bool:
    """An adjudicator says that both of the pair are right. It stays settled until an output changes. False: there is no such open conflict."""
    return (
        connection.execute(
            f"""UPDATE example_conflicts c SET status = 'dismissed', settled_at = now(), settled_by = %(user)s, notes = %(notes)s
            FROM example_conflicts l {_BOTH}
            WHERE l.organization_id = %(organization)s AND l.first_id = ANY(%(pair)s) AND l.second_id = ANY(%(pair)s) AND {_STANDS}
            AND (c.organization_id, c.first_id, c.second_id) = (l.organization_id, l.first_id, l.second_id)""",
            {"organization": organization_id, "pair": list(pair), "user": user_id, "notes": notes},
        ).rowcount
        == 1
    )


def count_conflicts(connection: Connection, agent: AgentRef) -> tuple[int, int]:
    """Open conflicts, and those of them in which both examples are approved."""
    row = connection.execute(
        f"""SELECT count(*), count(*) FILTER (WHERE a.review_status = 'approved' AND b.review_status = 'approved') FROM example_conflicts l {_BOTH}
        WHERE l.organization_id = %s AND l.agent_id = %s AND {_STANDS}""",
        [agent.organization_id, agent.agent_id],
    ).fetchone()
    assert row is not None
    return int(row[0]), int(row[1])


def mark_rare(connection: Connection, agent: AgentRef, *, share: float, fewest: int) -> tuple[int, int]:
    """Marks the rare inputs: (how many are rare, how many pending examples were marked or unmarked by it).

    Rare is whose nearest other input is further than Tukey's fence below the agent's quartiles (Q1 - 1.5 (Q3 - Q1) of the nearest cosines), alone in
    its cluster, and among the `share` furthest; of agents with fewer than `fewest` inputs nothing is rare. A pending example that nobody has
    reviewed gets the tag RARE_TAG, and as a positive one the type edge_case; both are taken back when the input is not rare any more.
    """
    values = {"organization": agent.organization_id, "agent": agent.agent_id, "share": share, "fewest": fewest, "tag": RARE_TAG}
    connection.execute(_MARK, values)
    changed = connection.execute(_TAG, values).rowcount + connection.execute(_UNTAG, values).rowcount
    row = connection.execute(
        """SELECT count(*) FROM example_sketches s JOIN learning_examples a ON a.organization_id = s.organization_id AND a.id = s.example_id
        WHERE s.organization_id = %(organization)s AND s.agent_id = %(agent)s AND s.is_rare AND a.is_active AND a.review_status <> 'rejected'""",
        values,
    ).fetchone()
    return (int(row[0]) if row else 0), changed


_MARK = f"""WITH inputs AS MATERIALIZED (
    SELECT s.example_id, s.nearest, count(*) OVER (PARTITION BY s.cluster) AS size, row_number() OVER (ORDER BY s.nearest, s.number) AS place
    FROM example_sketches s JOIN learning_examples a ON a.organization_id = s.organization_id AND a.id = s.example_id
    WHERE s.organization_id = %(organization)s AND s.agent_id = %(agent)s AND s.nearest IS NOT NULL AND {_COUNTS.format("a")}
), fence AS (
    SELECT count(*) AS n, 2.5 * percentile_cont(0.25) WITHIN GROUP (ORDER BY nearest) - 1.5 * percentile_cont(0.75) WITHIN GROUP (ORDER BY nearest) AS below
    FROM inputs
), rare AS (
    SELECT i.example_id FROM inputs i, fence f WHERE f.n >= %(fewest)s AND i.size = 1 AND i.nearest < f.below AND i.place <= f.n * %(share)s
)
UPDATE example_sketches s SET is_rare = NOT s.is_rare
WHERE s.organization_id = %(organization)s AND s.agent_id = %(agent)s AND s.is_rare <> (s.example_id IN (SELECT example_id FROM rare))"""

# Nobody has looked at it yet: what a reviewer saw as positive does not turn into something else under their hands.
_UNREVIEWED = """s.organization_id = %(organization)s AND s.agent_id = %(agent)s AND e.organization_id = s.organization_id AND e.id = s.example_id
    AND e.review_status = 'pending' AND e.source_type = 'user_feedback' AND NOT EXISTS (
        SELECT FROM expert_annotations n WHERE n.organization_id = e.organization_id AND n.example_id = e.id)"""

# A negative or a failure says that its output is wrong, a correction holds a pair of outputs: their type tells how to use them, and stays.
_TAG = f"""UPDATE learning_examples e SET tags = e.tags || %(tag)s::text, updated_at = now(),
    example_type = CASE e.example_type WHEN 'positive' THEN 'edge_case' ELSE e.example_type END
FROM example_sketches s WHERE {_UNREVIEWED} AND s.is_rare AND NOT e.tags @> ARRAY[%(tag)s::text]"""

_UNTAG = f"""UPDATE learning_examples e SET tags = array_remove(e.tags, %(tag)s::text), updated_at = now(),
    example_type = CASE e.example_type WHEN 'edge_case' THEN 'positive' ELSE e.example_type END
FROM example_sketches s WHERE {_UNREVIEWED} AND NOT s.is_rare AND e.tags @> ARRAY[%(tag)s::text]"""
