"""Dataset versions as stored: contents by hash, members, status, uses, and reading one version in order.

Belongs here: SQL of training_datasets, dataset_examples, example_contents and dataset_uses once splits are decided. Not here: splits (datasets.py),
what is staged for a version (staged_members.py).
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.tenants import AgentRef

PORTION = 2_000
"""Rows that a reader holds at a time."""

TYPES = ("positive", "negative", "correction", "demonstration", "edge_case", "failure", "preference")
"""Types of examples: a version's row counts each."""

Member = tuple[str, bytes, str, float, float | None, float | None]
"""(example id, content hash, split, weight, quality, confidence)"""

PairRow = tuple[str, str, str, bytes, str, bytes, float | None, float, str]
"""(pair id, source, chosen example, chosen content, rejected example, rejected content, strength, weight, split)"""


@dataclass(frozen=True, slots=True)
class Version:
    """A dataset version as it stands. `erased`: it held a person who was erased, and lost their rows; `successor`: number of the version in its place."""

    id: UUID
    name: str
    version: int
    status: str
    total_examples: int
    pairs_count: int
    content_hash: bytes
    recipe: dict[str, Any]
    statistics: dict[str, Any]
    erased: bool = False
    successor: int | None = None


# A successor may have a successor: another person was erased since.
_VERSION = """SELECT d.id, d.name, d.version, d.status, d.total_examples, d.pairs_count, d.content_hash, d.recipe, d.statistics,
    d.erased_at IS NOT NULL AS erased, (
    WITH RECURSIVE chain AS (
        SELECT s.version, s.erased_at, s.successor_id FROM training_datasets s WHERE s.organization_id = d.organization_id AND s.id = d.successor_id
        UNION ALL SELECT n.version, n.erased_at, n.successor_id FROM chain c JOIN training_datasets n ON n.id = c.successor_id
            WHERE n.organization_id = d.organization_id AND c.erased_at IS NOT NULL)
    SELECT version FROM chain WHERE erased_at IS NULL LIMIT 1) AS successor FROM training_datasets d"""


def version_statistics(connection: Connection, agent: AgentRef, dataset_id: UUID) -> dict[str, Any]:
    """The numbers of `statistics_of` from the stored version and its contents."""
    source = """(SELECT d.split, d.weight, d.quality_score, c.content ->> 'example_type' AS example_type, c.content ->> 'domain' AS domain,
            c.content ->> 'task_type' AS task_type, char_length(c.content ->> 'input_text') AS input_characters,
            char_length(c.content ->> 'expected_output') AS output_characters
        FROM dataset_examples d
        JOIN example_contents c ON c.organization_id = d.organization_id AND c.content_hash = d.content_hash
        WHERE d.organization_id = %(organization)s AND d.dataset_id = %(dataset)s) AS members"""
    return statistics_of(connection, source, {"organization": agent.organization_id, "dataset": dataset_id})


def store_version(connection: Connection, agent: AgentRef, values: dict[str, Any]) -> UUID:
    """Stores what is staged, and the active preference pairs, as a new version and seals it. Part of the caller's transaction."""
    row = connection.execute(
        """INSERT INTO training_datasets (organization_id, name, version, status, agent_ids, domains, task_types, total_examples, positive_count,
            negative_count, correction_count, demonstration_count, edge_case_count, failure_count, preference_count, avg_quality_score,
            human_verified_percentage, content_hash, recipe, statistics, pairs_count)
        VALUES (%(organization)s, %(name)s, %(version)s, 'collecting', %(agents)s, %(domains)s, %(task_types)s, %(total)s, %(positive)s, %(negative)s,
            %(correction)s, %(demonstration)s, %(edge_case)s, %(failure)s, %(preference)s, %(quality)s, %(verified)s, %(hash)s, %(recipe)s,
            %(statistics)s, %(pairs)s)
        RETURNING id""",
        {
            **values, "organization": agent.organization_id, "agents": [agent.agent_id], "recipe": Jsonb(values["recipe"]),
            "statistics": Jsonb(values["statistics"]),
        },
    ).fetchone()  # fmt: skip
    assert row is not None
    dataset_id = UUID(str(row[0]))
    connection.execute(
        """INSERT INTO dataset_examples (organization_id, dataset_id, example_id, split, weight, content_hash, quality_score, confidence_score)
        SELECT %s, %s, example_id, split, weight, content_hash, quality_score, confidence_score FROM staged_members
        ORDER BY example_id COLLATE "C\"""",
        [agent.organization_id, dataset_id],
    )
    columns = "source, chosen_example_id, chosen_content, rejected_example_id, rejected_content, strength, weight, split"
    connection.execute(
        f"""INSERT INTO dataset_pairs (organization_id, dataset_id, pair_id, {columns}) SELECT organization_id, %s, id, {columns} FROM preference_pairs
        WHERE organization_id = %s AND agent_id = %s AND state = 'active' AND split IS NOT NULL""",
        [dataset_id, agent.organization_id, agent.agent_id],
    )
    for status in ("processing", "ready"):
        set_status(connection, agent, dataset_id, status)
    return dataset_id


def find_version(connection: Connection, agent: AgentRef, number: int | None = None) -> Version | None:
    """A sealed version of the agent's dataset: the one with this number, or the newest that is not archived."""
    return _one(
        connection,
        f"""{_VERSION} WHERE organization_id = %s AND name = %s AND (version = %s OR %s::integer IS NULL AND status <> 'archived')
        AND status IN ('ready', 'in_use', 'archived') ORDER BY version DESC LIMIT 1""",
        [agent.organization_id, agent.agent, number, number],
    )


def newest(connection: Connection, agent: AgentRef) -> Version | None:
    """The version with the highest number, whatever its status."""
    return _one(connection, f"{_VERSION} WHERE organization_id = %s AND name = %s ORDER BY version DESC LIMIT 1", [agent.organization_id, agent.agent])


def version_by_id(connection: Connection, agent: AgentRef, dataset_id: UUID) -> Version | None:
    """A version of the agent's dataset by its id."""
    return _one(connection, f"{_VERSION} WHERE organization_id = %s AND name = %s AND id = %s", [agent.organization_id, agent.agent, dataset_id])


def list_versions(connection: Connection, agent: AgentRef) -> list[dict[str, Any]]:
    """Every version of the agent's dataset, newest first: the keys of the route and the verb `datasets`."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            """SELECT id, name, version, status, total_examples, avg_quality_score, created_at FROM training_datasets
            WHERE organization_id = %s AND name = %s ORDER BY version DESC""",
            [agent.organization_id, agent.agent],
        ).fetchall()


def growth(connection: Connection, agent: AgentRef, last: int = 20) -> list[dict[str, Any]]:
    """The newest `last` versions, oldest first: number, examples by type, preference pairs, mean quality."""
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(
            """SELECT version, total_examples, positive_count AS positive, negative_count AS negative, correction_count AS correction,
                demonstration_count AS demonstration, edge_case_count AS edge_case, failure_count AS failure, preference_count AS preference,
                pairs_count, avg_quality_score
            FROM training_datasets WHERE organization_id = %s AND name = %s ORDER BY version DESC LIMIT %s""",
            [agent.organization_id, agent.agent, last],
        ).fetchall()
    return rows[::-1]


def members(connection: Connection, agent: AgentRef, dataset_id: UUID) -> Generator[tuple[Member, str | None], None, None]:
    """The examples of a version in the order of their ids, and for each the hash that its content really has (None: the content is gone)."""
    query = """SELECT d.example_id, d.content_hash, d.split, d.weight, d.quality_score, d.confidence_score,
            encode(sha256(convert_to(c.content::text, 'UTF8')), 'hex')
        FROM dataset_examples d LEFT JOIN example_contents c ON c.organization_id = d.organization_id AND c.content_hash = d.content_hash
        WHERE d.organization_id = %(organization)s AND d.dataset_id = %(dataset)s ORDER BY d.example_id COLLATE "C\""""
    for row in stream(connection, "members", query, {"organization": agent.organization_id, "dataset": dataset_id}):
        yield row[:6], row[6]


def pairs(connection: Connection, agent: AgentRef, dataset_id: UUID) -> Generator[PairRow, None, None]:
    """The preference pairs of a version in the order of their ids."""
    query = """SELECT pair_id, source, chosen_example_id, chosen_content, rejected_example_id, rejected_content, strength, weight, split
        FROM dataset_pairs WHERE organization_id = %(organization)s AND dataset_id = %(dataset)s ORDER BY pair_id COLLATE "C\""""
    return stream(connection, "pairs", query, {"organization": agent.organization_id, "dataset": dataset_id})


def lock_status(connection: Connection, agent: AgentRef, dataset_id: UUID) -> str | None:
    """The status of a version, locked until the transaction ends; None if the agent has no such version."""
    row = connection.execute(
        "SELECT status FROM training_datasets WHERE organization_id = %s AND name = %s AND id = %s FOR UPDATE",
        [agent.organization_id, agent.agent, dataset_id],
    ).fetchone()
    return None if row is None else str(row[0])


def set_status(connection: Connection, agent: AgentRef, dataset_id: UUID, status: str) -> None:
    """Writes a status; the database refuses one that cannot follow."""
    connection.execute("UPDATE training_datasets SET status = %s WHERE organization_id = %s AND id = %s", [status, agent.organization_id, dataset_id])


def record_use(connection: Connection, agent: AgentRef, dataset_id: UUID, training_run_id: UUID, splits: Sequence[str]) -> int | None:
    """Counts a use once per training run; how many examples got it, or None if the run was counted before."""
    values = {"organization": agent.organization_id, "dataset": dataset_id, "run": training_run_id, "splits": list(splits)}
    new = connection.execute(
        """INSERT INTO dataset_uses (organization_id, dataset_id, training_run_id, splits, examples, used_at)
        SELECT %(organization)s, %(dataset)s, %(run)s, %(splits)s, count(*), now() FROM dataset_examples
        WHERE organization_id = %(organization)s AND dataset_id = %(dataset)s AND split = ANY(%(splits)s)
        ON CONFLICT DO NOTHING RETURNING examples""",
        values,
    ).fetchone()
    if new is None:
        return None
    connection.execute(
        """UPDATE learning_examples e SET times_used_in_training = e.times_used_in_training + 1, last_used_at = now()
        FROM dataset_examples d WHERE d.organization_id = %(organization)s AND d.dataset_id = %(dataset)s AND d.split = ANY(%(splits)s)
            AND e.organization_id = d.organization_id AND e.id = d.example_id""",
        values,
    )
    return int(new[0])


def production_prompt(connection: Connection, agent: AgentRef) -> tuple[int, list[dict[str, Any]]] | None:
    """Number and messages of the prompt version that the label production points at."""
    row = connection.execute(
        """SELECT p.version, p.messages FROM prompt_labels l JOIN prompt_versions p USING (organization_id, agent_id, version)
        WHERE l.organization_id = %s AND l.agent_id = %s AND l.label = 'production'""",
        [agent.organization_id, agent.agent_id],
    ).fetchone()
    return None if row is None else (int(row[0]), row[1])


def _one(connection: Connection, query: str, values: list[Any]) -> Version | None:
    row = connection.execute(query, values).fetchone()
    if row is None:
        return None
    dataset_id, name, version, status, total, pairs_count, content_hash, *rest = row
    return Version(dataset_id, name, version, status, total, pairs_count, bytes(content_hash), *rest)


def stream(connection: Connection, name: str, query: str, values: dict[str, Any]) -> Generator[Any, None, None]:
    """Rows of a query, a portion at a time. A server-side cursor lives in a transaction."""
    with connection.transaction(), connection.cursor(name=f"learning_{name}") as cursor:
        cursor.itersize = PORTION
        cursor.execute(query, values)
        yield from cursor


def statistics_of(connection: Connection, source: str, values: dict[str, Any]) -> dict[str, Any]:
    """Counts by type and split, domain and task type; percentiles of lengths (characters); how quality is distributed. `source`: a FROM item."""
    length = """jsonb_build_object('p5', {0}[1], 'p50', {0}[2], 'p95', {0}[3], 'max', {0}[4])"""
    percentiles = "percentile_disc(ARRAY[0.05, 0.5, 0.95, 1]) WITHIN GROUP (ORDER BY {0})"
    row = connection.execute(
        f"""SELECT jsonb_build_object(
            'types', (SELECT coalesce(jsonb_object_agg(kind, splits), '{{}}') FROM (SELECT kind, jsonb_object_agg(split, n) AS splits FROM (
                SELECT example_type AS kind, split, count(*) AS n FROM {source} GROUP BY 1, 2) AS counted GROUP BY 1) AS by_kind),
            'domains', (SELECT coalesce(jsonb_object_agg(label, n), '{{}}') FROM (
                SELECT domain AS label, count(*) AS n FROM {source} WHERE domain IS NOT NULL GROUP BY 1) AS counted),
            'task_types', (SELECT coalesce(jsonb_object_agg(label, n), '{{}}') FROM (
                SELECT task_type AS label, count(*) AS n FROM {source} WHERE task_type IS NOT NULL GROUP BY 1) AS counted),
            'input_characters', (SELECT {length.format("p")} FROM (SELECT {percentiles.format("input_characters")} AS p FROM {source}) AS found),
            'output_characters', (SELECT {length.format("p")} FROM (SELECT {percentiles.format("output_characters")} AS p FROM {source}) AS found),
            'quality', (SELECT jsonb_build_object('known', count(quality_score), 'mean', avg(quality_score)::numeric(6,4),
                'tenths', coalesce((SELECT jsonb_object_agg(tenth, n) FROM (SELECT least(floor(quality_score * 10), 9)::integer AS tenth, count(*) AS n
                    FROM {source} WHERE quality_score IS NOT NULL GROUP BY 1) AS counted), '{{}}')) FROM {source}),
            'weight', (SELECT jsonb_build_object('least', min(weight), 'mean', avg(weight)::numeric(6,4), 'most', max(weight)) FROM {source}))""",
        values,
    ).fetchone()
    assert row is not None
    return dict(row[0])
