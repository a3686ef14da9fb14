"""The members of a dataset version while it is being made: which they are, what they say under its hash, their numbers.

Belongs here: SQL of the temporary table staged_members. Not here: versions as stored (versions.py), preference pairs (preferences.py).
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import dataclass
from typing import Any

from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.tenants import AgentRef
from learning_pipelines.storage.versions import Member, statistics_of, stream


@dataclass(frozen=True, slots=True)
class Totals:
    """What is staged, in numbers: by split and by type, what a version's row says of it."""

    examples: int
    splits: dict[str, int]
    types: dict[str, int]
    domains: list[str]
    task_types: list[str]
    quality: float | None


def stage_members(connection: Connection, agent: AgentRef, weights: bytes, known: bool, reworded: Iterable[str]) -> None:
    """Stages the approved examples that have a split (datasets.stage_approved), one per content, the oldest, and keeps what they say under its hash.

    `weights`: a byte per staged example, in hundredths. `known`: an example of the newest version says what it said then, unless it is among the
    `reworded` or was reworded meanwhile; otherwise every content is put together and hashed again. In a transaction.
    """
    values = {"organization": agent.organization_id, "agent": agent.agent_id, "name": agent.agent, "weights": weights, "reworded": list(reworded)}
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS pg_temp.staged_members")
        cursor.execute(
            """CREATE TEMP TABLE staged_members (example_id text, split text, weight double precision, quality_score double precision,
            confidence_score double precision, content_hash bytea, content jsonb, example_type text, domain text, task_type text,
            input_characters integer, output_characters integer, pairs boolean, rated boolean) ON COMMIT DROP"""
        )
        cursor.execute(_STAGE.format(known=_KNOWN if known else "SELECT NULL::text AS example_id, NULL::bytea AS content_hash WHERE false"), values)
        cursor.execute('CREATE INDEX ON staged_members (example_id COLLATE "C")')
        cursor.execute("ANALYZE staged_members")
        cursor.execute(
            """INSERT INTO example_contents (organization_id, content_hash, content)
            SELECT %(organization)s, s.content_hash, s.content FROM staged_members s
            WHERE s.content IS NOT NULL
                AND NOT EXISTS (SELECT FROM example_contents c WHERE c.organization_id = %(organization)s AND c.content_hash = s.content_hash)
            ON CONFLICT DO NOTHING""",
            {"organization": agent.organization_id},
        )


# One statement, one snapshot: what was reworded and what it says now cannot fall apart. Whatever is not known for certain is put together again.
_KNOWN = """SELECT d.example_id, d.content_hash FROM dataset_examples d
    WHERE d.organization_id = %(organization)s AND d.dataset_id = (SELECT id FROM training_datasets
            WHERE organization_id = %(organization)s AND name = %(name)s ORDER BY version DESC LIMIT 1)
        AND EXISTS (SELECT FROM example_contents c WHERE c.organization_id = %(organization)s AND c.content_hash = d.content_hash)
        AND NOT EXISTS (SELECT FROM example_changes c WHERE c.organization_id = %(organization)s AND c.agent_id = %(agent)s AND c.reworded IS NULL)
        AND d.example_id NOT IN (SELECT unnest(%(reworded)s::text[]) UNION ALL SELECT unnest(c.reworded) FROM example_changes c
            WHERE c.organization_id = %(organization)s AND c.agent_id = %(agent)s)"""
_STAGE = """
INSERT INTO staged_members
SELECT m.id, m.split, m.weight, m.quality_score, m.confidence_score, coalesce(m.known_hash, sha256(convert_to(m.content::text, 'UTF8'))), m.content,
    m.example_type, m.domain, m.task_type, m.input_characters, m.output_characters, m.pairs, m.rated
FROM (
    SELECT k.id, k.split, get_byte(%(weights)s::bytea, k.place - 1) / 100.0::double precision AS weight, k.quality_score, k.confidence_score,
        d.content_hash AS known_hash, CASE WHEN d.content_hash IS NULL THEN example_content(e) END AS content, e.example_type, e.domain, e.task_type,
        char_length(e.input_text) AS input_characters, char_length(e.expected_output) AS output_characters,
        coalesce(e.original_output <> e.expected_output, false) OR e.preferred_output IS NOT NULL AS pairs,
        e.source_type = 'user_feedback' AND e.example_type NOT IN ('preference', 'demonstration') AS rated
    FROM (SELECT DISTINCT ON (content_hash) * FROM staged_approved WHERE split IS NOT NULL ORDER BY content_hash, place) k
    JOIN learning_examples e ON e.organization_id = %(organization)s AND e.id = k.id
    LEFT JOIN ({known}) d ON d.example_id = k.id
    OFFSET 0) AS m"""


def members(connection: Connection) -> Generator[Member, None, None]:
    """What is staged, in the order of the ids, a portion at a time."""
    query = """SELECT example_id, content_hash, split, weight, quality_score, confidence_score FROM staged_members ORDER BY example_id COLLATE "C\""""
    return stream(connection, "staged", query, {})


def totals(connection: Connection) -> Totals:
    """Of what is staged."""
    row = connection.execute(
        """SELECT count(*), (SELECT coalesce(jsonb_object_agg(split, n), '{}') FROM (SELECT split, count(*) AS n FROM staged_members GROUP BY 1) AS counted),
            (SELECT coalesce(jsonb_object_agg(example_type, n), '{}') FROM (
                SELECT example_type, count(*) AS n FROM staged_members GROUP BY 1) AS counted),
            coalesce(array_agg(DISTINCT domain COLLATE "C") FILTER (WHERE domain <> ''), '{}'),
            coalesce(array_agg(DISTINCT task_type COLLATE "C") FILTER (WHERE task_type <> ''), '{}'), avg(quality_score)
        FROM staged_members"""
    ).fetchone()
    assert row is not None
    return Totals(*row)


def annotated(connection: Connection, agent: AgentRef) -> int:
    """How many of what is staged an expert has looked at."""
    row = connection.execute(
        """SELECT count(*) FROM staged_members s WHERE EXISTS (SELECT FROM expert_annotations n
            WHERE n.organization_id = %s AND n.example_id = s.example_id AND n.withdrawn_at IS NULL)""",
        [agent.organization_id],
    ).fetchone()
    assert row is not None
    return int(row[0])


def statistics(connection: Connection) -> dict[str, Any]:
    """Counts by type and split, domain and task type; percentiles of lengths (characters); how quality is distributed. Of what is staged."""
    return statistics_of(connection, "staged_members", {})
