"""Preference pairs as stored: examples that make new ones, rated answers to compare, keeping pairs in step with their examples.

Belongs here: SQL of preference_pairs, reading what makes pairs. Not here: what makes a pair (examples/preferences.py).

Everything but `counts` and `broken` works on the table of staged members (staged_members.py) of the transaction it is called in.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.tenants import AgentRef
from learning_pipelines.storage.versions import PORTION, PairRow, stream

UNKNOWN_RATER = 0.5
"""Weight of a rating by nobody known, or by somebody who has no weight yet."""

StoredPair = tuple[str, str, str, bytes, str, bytes, bytes, bytes, bytes, float | None, float, str]
"""(id, source, chosen example, its content, rejected example, its content, prompt, chosen and rejected hash, strength, weight, split)"""

_COLUMNS = """id, source, chosen_example_id, chosen_content, rejected_example_id, rejected_content, prompt_hash, chosen_hash, rejected_hash, strength,
    weight, split"""


def new_examples(connection: Connection, agent: AgentRef) -> Generator[tuple[str, bytes, str, float, dict[str, Any]], None, None]:
    """Staged examples that may make pairs by themselves and whose content has made none yet: (id, content hash, split, weight, content).

    As they are when this is called: pairs may be added while it is read.
    """
    with connection.transaction(), connection.cursor(name="learning_new_pairs") as cursor:
        cursor.itersize = PORTION
        with _hashed(connection):
            cursor.execute(_NEW, {"organization": agent.organization_id})
        yield from cursor


# What was put together for this version is at hand; the rest is read by its key.
_SAID = """coalesce(s.content, (SELECT c.content FROM example_contents c WHERE c.organization_id = %(organization)s AND c.content_hash = s.content_hash))"""
_NEW = f"""
SELECT s.example_id, s.content_hash, s.split, s.weight, {_SAID} FROM staged_members s
WHERE s.pairs AND NOT EXISTS (SELECT FROM preference_pairs p WHERE p.organization_id = %(organization)s AND p.chosen_example_id = s.example_id
    AND p.chosen_content = s.content_hash AND p.source <> 'rating')"""


def rated_answers(connection: Connection, agent: AgentRef, similarity: float) -> list[tuple[Any, ...]]:
    """Staged examples made from feedback whose input another one's has too, or nearly: (id, content hash, split, input, answer, score 0–1,
    mean rater weight 0–1, whether feedback of it was archived, ids of near-duplicates). Score and weight are None without a rating in force.

    Only such examples are looked up in the feedback: cost follows inputs that were asked again.
    """
    return connection.execute(
        _RATED, {"organization": agent.organization_id, "agent": agent.agent_id, "similarity": similarity, "unknown": UNKNOWN_RATER}
    ).fetchall()


_RATED = f"""
WITH answered AS MATERIALIZED (
    SELECT s.example_id, s.content_hash, s.split, c.content ->> 'input_text' AS input_text,
        coalesce(c.content ->> 'original_output', c.content ->> 'expected_output') AS answer,
        md5(regexp_replace(lower(c.content ->> 'input_text'), '\\W+', ' ', 'g')) AS key
    FROM staged_members s CROSS JOIN LATERAL (SELECT {_SAID} AS content OFFSET 0) c WHERE s.rated
),
alike AS (
    SELECT l.first_id AS example_id, l.second_id AS other FROM duplicate_links l WHERE l.organization_id = %(organization)s
        AND l.agent_id = %(agent)s AND l.leg = 'text' AND l.similarity >= %(similarity)s
    UNION ALL
    SELECT l.second_id, l.first_id FROM duplicate_links l WHERE l.organization_id = %(organization)s
        AND l.agent_id = %(agent)s AND l.leg = 'text' AND l.similarity >= %(similarity)s
),
asked_again AS MATERIALIZED (
    SELECT a.* FROM (SELECT *, count(*) OVER (PARTITION BY key) AS n FROM answered) a
    WHERE a.n > 1 OR EXISTS (SELECT FROM alike WHERE alike.example_id = a.example_id)
),
said AS (
    SELECT a.example_id, coalesce(w.weight, %(unknown)s) AS weight, CASE
        WHEN f.facets_in_force & 2 <> 0 THEN (f.rating - 1) / 4.0
        WHEN f.facets_in_force & 4 <> 0 THEN ((SELECT avg(given) FROM unnest(
            ARRAY[f.accuracy_rating, f.helpfulness_rating, f.clarity_rating, f.completeness_rating]) AS dimensions (given)) - 1) / 4.0
        WHEN f.facets_in_force & 1 <> 0 THEN (f.feedback_type = 'thumbs_up')::integer END AS score
    FROM asked_again a
    JOIN example_sources s ON s.organization_id = %(organization)s AND s.example_id = a.example_id
    JOIN feedback_in_force f ON f.organization_id = s.organization_id AND f.execution_id = s.execution_id AND f.id = s.feedback_id
    LEFT JOIN rater_weights w ON w.organization_id = s.organization_id AND w.user_id = f.user_id
)
SELECT a.example_id, a.content_hash, a.split, a.input_text, a.answer,
    (sum(said.score * said.weight) / nullif(sum(said.weight), 0))::double precision, avg(said.weight)::double precision,
    EXISTS (SELECT FROM example_sources s WHERE s.organization_id = %(organization)s AND s.example_id = a.example_id AND NOT EXISTS (
        SELECT FROM agent_feedback f WHERE f.organization_id = s.organization_id AND f.execution_id = s.execution_id AND f.id = s.feedback_id)),
    ARRAY(SELECT other FROM alike WHERE alike.example_id = a.example_id)
FROM asked_again a LEFT JOIN said ON said.example_id = a.example_id AND said.score IS NOT NULL
GROUP BY a.example_id, a.content_hash, a.split, a.input_text, a.answer
ORDER BY a.example_id COLLATE "C\""""


def add_pairs(connection: Connection, agent: AgentRef, pairs: Iterable[StoredPair]) -> int:
    """Stores pairs of single examples that are new; returns how many were."""
    _stage(connection, pairs)
    return connection.execute(
        f"""INSERT INTO preference_pairs (organization_id, agent_id, {_COLUMNS}) SELECT %s, %s, {_COLUMNS} FROM staged_preferences
        ON CONFLICT DO NOTHING""",
        [agent.organization_id, agent.agent_id],
    ).rowcount


def replace_ratings(connection: Connection, agent: AgentRef, pairs: Iterable[StoredPair], rated: Iterable[str]) -> int:
    """Stores the pairs of ratings as they are now and withdraws those between `rated` examples that no rating supports any more.

    `rated`: examples all of whose feedback is there; a pair whose ratings were archived stays as it was. Returns how many are new.
    """
    _stage(connection, pairs)
    values = {"organization": agent.organization_id, "agent": agent.agent_id, "rated": list(rated)}
    connection.execute(
        """UPDATE preference_pairs p SET state = 'withdrawn', updated_at = now()
        WHERE p.organization_id = %(organization)s AND p.agent_id = %(agent)s AND p.source = 'rating' AND p.state <> 'withdrawn'
            AND p.chosen_example_id = ANY(%(rated)s) AND p.rejected_example_id = ANY(%(rated)s)
            AND NOT EXISTS (SELECT FROM staged_preferences s WHERE s.id = p.id)""",
        values,
    )
    connection.execute(
        """UPDATE preference_pairs p SET strength = s.strength, weight = s.weight, state = CASE p.state WHEN 'withdrawn' THEN 'active' ELSE p.state END,
            updated_at = now()
        FROM staged_preferences s WHERE p.organization_id = %(organization)s AND p.id = s.id
            AND (p.strength, p.weight, p.state = 'withdrawn') IS DISTINCT FROM (s.strength, s.weight, false)""",
        values,
    )
    return connection.execute(
        f"""INSERT INTO preference_pairs (organization_id, agent_id, {_COLUMNS}) SELECT %(organization)s, %(agent)s, {_COLUMNS} FROM staged_preferences
        ON CONFLICT DO NOTHING""",
        values,
    ).rowcount


def follow_members(connection: Connection, agent: AgentRef) -> None:
    """Brings every pair of the agent in step with its examples: withdrawn where one is no member any more, has another content or another
    split; else with their split, and the weight of its example where it has only one.
    """
    with _hashed(connection):
        connection.execute(_FOLLOW, {"organization": agent.organization_id, "agent": agent.agent_id})


_FOLLOW = """
UPDATE preference_pairs p SET state = f.state, split = f.split, weight = f.weight, updated_at = now() FROM (
    SELECT q.id, c.split,
        CASE WHEN c.split IS NULL OR r.split IS NULL OR c.split <> r.split THEN 'withdrawn'
            WHEN q.state = 'withdrawn' AND q.source <> 'rating' THEN 'active' ELSE q.state END AS state,
        CASE WHEN q.source = 'rating' OR c.weight IS NULL THEN q.weight ELSE c.weight END AS weight
    FROM preference_pairs q
    LEFT JOIN staged_members c ON c.example_id = q.chosen_example_id AND c.content_hash = q.chosen_content
    LEFT JOIN staged_members r ON r.example_id = q.rejected_example_id AND r.content_hash = q.rejected_content
    WHERE q.organization_id = %(organization)s AND q.agent_id = %(agent)s) AS f
WHERE p.organization_id = %(organization)s AND p.id = f.id AND (p.state, p.split, p.weight) IS DISTINCT FROM (f.state, f.split, f.weight)"""


def contested(connection: Connection, agent: AgentRef) -> list[tuple[str, bytes, bytes, bytes, float]]:
    """Pairs whose opposite exists for the same prompt: (id, prompt hash, chosen hash, rejected hash, weight). Those that no longer are become active."""
    found = connection.execute(
        """SELECT id, prompt_hash, chosen_hash, rejected_hash, weight FROM (
            SELECT *, bool_or(chosen_hash < rejected_hash) OVER versus AND bool_or(chosen_hash > rejected_hash) OVER versus AS opposed
            FROM preference_pairs WHERE organization_id = %s AND agent_id = %s AND state <> 'withdrawn'
            WINDOW versus AS (PARTITION BY prompt_hash, least(chosen_hash, rejected_hash), greatest(chosen_hash, rejected_hash))) AS judged
        WHERE opposed""",
        [agent.organization_id, agent.agent_id],
    ).fetchall()
    connection.execute(
        """UPDATE preference_pairs p SET state = 'active', updated_at = now() WHERE p.organization_id = %s AND p.agent_id = %s
        AND p.state IN ('outvoted', 'contradicted') AND p.id <> ALL(%s)""",
        [agent.organization_id, agent.agent_id, [row[0] for row in found]],
    )
    return found


def set_states(connection: Connection, agent: AgentRef, states: Mapping[str, str]) -> None:
    """Writes states by pair id."""
    connection.execute(
        """UPDATE preference_pairs p SET state = s.state, updated_at = now() FROM unnest(%s::text[], %s::text[]) AS s (id, state)
        WHERE p.organization_id = %s AND p.id = s.id AND p.state <> s.state""",
        [list(states), list(states.values()), agent.organization_id],
    )


def active_pairs(connection: Connection, agent: AgentRef) -> Generator[PairRow, None, None]:
    """The pairs that a version made now holds, in the order of their ids (columns of versions.PairRow)."""
    query = """SELECT id, source, chosen_example_id, chosen_content, rejected_example_id, rejected_content, strength, weight, split FROM preference_pairs
        WHERE organization_id = %(organization)s AND agent_id = %(agent)s AND state = 'active' AND split IS NOT NULL ORDER BY id COLLATE "C\""""
    return stream(connection, "active_pairs", query, {"organization": agent.organization_id, "agent": agent.agent_id})


def counts(connection: Connection, agent: AgentRef) -> dict[str, int]:
    """How many pairs there are: `active/<source>`, and by state the others."""
    rows = connection.execute(
        """SELECT CASE state WHEN 'active' THEN 'active/' || source ELSE state END, count(*) FROM preference_pairs
        WHERE organization_id = %s AND agent_id = %s GROUP BY 1 ORDER BY 1""",
        [agent.organization_id, agent.agent_id],
    ).fetchall()
    return {str(name): int(count) for name, count in rows}


def broken(connection: Connection, agent: AgentRef, dataset_id: object) -> tuple[int, int, int]:
    """What must be zero: pairs whose two outputs are the same, that straddle splits or leave their examples' split, and that contradict another.

    Of the active pairs, and of those sealed in a version.
    """
    row = connection.execute(
        """WITH pairs AS (
            SELECT chosen_example_id, chosen_content, rejected_example_id, rejected_content, source, split FROM preference_pairs
                WHERE organization_id = %(organization)s AND agent_id = %(agent)s AND state = 'active'
            UNION SELECT chosen_example_id, chosen_content, rejected_example_id, rejected_content, source, split FROM dataset_pairs
                WHERE organization_id = %(organization)s AND dataset_id = %(dataset)s
        ), worded AS (
            SELECT p.*, c.content ->> 'input_text' AS prompt,
                CASE p.source WHEN 'correction' THEN c.content ->> 'expected_output'
                    WHEN 'choice' THEN c.content ->> (CASE c.content ->> 'preferred_output' WHEN 'A' THEN 'output_a' ELSE 'output_b' END)
                    ELSE coalesce(c.content ->> 'original_output', c.content ->> 'expected_output') END AS chosen,
                CASE p.source WHEN 'correction' THEN c.content ->> 'original_output'
                    WHEN 'choice' THEN c.content ->> (CASE c.content ->> 'preferred_output' WHEN 'A' THEN 'output_b' ELSE 'output_a' END)
                    ELSE coalesce(r.content ->> 'original_output', r.content ->> 'expected_output') END AS rejected
            FROM pairs p
            JOIN example_contents c ON c.organization_id = %(organization)s AND c.content_hash = p.chosen_content
            JOIN example_contents r ON r.organization_id = %(organization)s AND r.content_hash = p.rejected_content
        ), hashed AS (SELECT md5(prompt) AS prompt, md5(btrim(chosen)) AS chosen, md5(btrim(rejected)) AS rejected FROM worded)
        SELECT (SELECT count(*) FROM worded WHERE btrim(chosen) IS NOT DISTINCT FROM btrim(rejected)),
            (SELECT count(*) FROM pairs p WHERE EXISTS (SELECT FROM example_splits s WHERE s.organization_id = %(organization)s
                AND s.example_id IN (p.chosen_example_id, p.rejected_example_id) AND s.split <> p.split)),
            (SELECT count(*) FROM hashed a JOIN hashed b ON a.prompt = b.prompt AND a.chosen = b.rejected AND a.rejected = b.chosen AND a.chosen < b.chosen)""",
        {"organization": agent.organization_id, "agent": agent.agent_id, "dataset": dataset_id},
    ).fetchone()
    assert row is not None
    return int(row[0]), int(row[1]), int(row[2])


@contextmanager
def _hashed(connection: Connection) -> Iterator[None]:
    """Plans without nested loops: tables that this very transaction fills have no statistics yet, and a guess of one row makes a join of
    5,000 pairs take 20 s instead of .1 s.
    """
    connection.execute("SET LOCAL enable_nestloop = off")
    yield
    connection.execute("SET LOCAL enable_nestloop = on")


def _stage(connection: Connection, pairs: Iterable[StoredPair]) -> None:
    # COPY holds the connection: what it is fed must not read from the same one meanwhile.
    rows = list(pairs)
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS pg_temp.staged_preferences")
        cursor.execute(f"CREATE TEMP TABLE staged_preferences ON COMMIT DROP AS SELECT {_COLUMNS} FROM preference_pairs WITH NO DATA")
        with cursor.copy(f"COPY staged_preferences ({_COLUMNS}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)
