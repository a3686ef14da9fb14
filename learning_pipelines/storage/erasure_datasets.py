"""Dataset versions and examples without a person: which versions hold them, successors, rows that go, contents that nobody shares.

Belongs here: SQL over the temporary tables erased_* (feedback/erasure/gathering.py) and the tables of examples and datasets. Not here: the order of
things (examples/erasing.py), what people said (erasure_rows.py), versions of prompts, behaviour and indexes (erasure_versions.py).

All of it is part of one transaction, in which an erasure of the organization is under way: migration 0050 lets sealed rows go then, and only then.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.tenants import AgentRef
from learning_pipelines.storage.versions import TYPES, Member, PairRow, set_status, stream, version_statistics

# theirs: what an example once said on the person's word alone, in versions made before others' feedback supported it, known by the content's source. The
# others are named by erased examples, and may be named by examples that stay: whoever imported the same.
_CONTENTS = """
CREATE TEMP TABLE erased_contents ON COMMIT DROP AS
SELECT content_hash, bool_or(theirs) AS theirs FROM (
    SELECT c.content_hash, true AS theirs FROM example_contents c WHERE c.organization_id = %(organization)s AND c.content ->> 'source_id' IN (
        SELECT feedback_id FROM erased_feedback UNION ALL SELECT execution_id FROM erased_executions
        UNION ALL SELECT demonstration_id FROM erased_demonstrations)
    UNION ALL SELECT m.content_hash, false FROM dataset_examples m JOIN erased_examples e ON e.example_id = m.example_id
        WHERE m.organization_id = %(organization)s
    UNION ALL SELECT v.content_hash, false FROM demonstration_vectors v JOIN erased_examples e ON e.example_id = v.example_id
        WHERE v.organization_id = %(organization)s
    UNION ALL SELECT p.chosen_content, false FROM {pairs} p JOIN erased_examples e ON e.example_id = p.chosen_example_id
    UNION ALL SELECT p.rejected_content, false FROM {pairs} p JOIN erased_examples e ON e.example_id = p.rejected_example_id) AS found
GROUP BY 1"""
_PAIRS = """(SELECT chosen_example_id, rejected_example_id, chosen_content, rejected_content FROM dataset_pairs WHERE organization_id = %(organization)s
    UNION SELECT chosen_example_id, rejected_example_id, chosen_content, rejected_content FROM preference_pairs WHERE organization_id = %(organization)s)"""

_GONE_MEMBER = """(m.example_id IN (SELECT example_id FROM erased_examples) OR m.content_hash IN (SELECT content_hash FROM erased_contents WHERE theirs))"""
_GONE_PAIR = """(p.chosen_example_id IN (SELECT example_id FROM erased_examples) OR p.rejected_example_id IN (SELECT example_id FROM erased_examples)
    OR p.chosen_content IN (SELECT content_hash FROM erased_contents WHERE theirs)
    OR p.rejected_content IN (SELECT content_hash FROM erased_contents WHERE theirs))"""


@dataclass(frozen=True, slots=True)
class Holding:
    """A dataset version and what it is now. `rows`: examples and pairs of it that go; `sealed`: it was ready once."""

    agent: AgentRef
    id: UUID
    version: int
    recipe: dict[str, Any]
    rows: int
    sealed: bool
    erased: bool


def gather_contents(connection: Connection, organization_id: UUID) -> int:
    """Makes the temporary table erased_contents: contents of examples that are erased, in whatever wording a version holds. Returns how many."""
    connection.execute(_CONTENTS.format(pairs=_PAIRS), {"organization": organization_id})
    connection.execute("ANALYZE erased_contents")
    row = connection.execute("SELECT count(*) FROM erased_contents").fetchone()
    assert row is not None
    return int(row[0])


def versions(connection: Connection, organization_id: UUID, organization: str) -> list[Holding]:
    """Every dataset version of the organization, oldest first, with how many of its rows go."""
    rows = connection.execute(
        f"""SELECT a.id, d.name, d.id, d.version, d.recipe, coalesce(n.rows, 0), d.status IN ('ready', 'in_use', 'archived'), d.erased_at IS NOT NULL
        FROM training_datasets d JOIN agents a ON a.organization_id = d.organization_id AND a.slug = d.name
        LEFT JOIN (SELECT dataset_id, count(*) AS rows FROM (
                SELECT m.dataset_id FROM dataset_examples m WHERE m.organization_id = %(organization)s AND {_GONE_MEMBER}
                UNION ALL SELECT p.dataset_id FROM dataset_pairs p WHERE p.organization_id = %(organization)s AND {_GONE_PAIR}) AS found
            GROUP BY 1) AS n ON n.dataset_id = d.id
        WHERE d.organization_id = %(organization)s ORDER BY d.name, d.version""",
        {"organization": organization_id},
    ).fetchall()
    return [Holding(AgentRef(organization_id, organization, row[0], row[1]), *row[2:]) for row in rows]


def members_left(connection: Connection, agent: AgentRef, dataset_id: UUID) -> Generator[Member, None, None]:
    """The examples of a version that stay, in the order of their ids."""
    return stream(
        connection, "left",
        f"""SELECT m.example_id, m.content_hash, m.split, m.weight, m.quality_score, m.confidence_score FROM dataset_examples m
        WHERE m.organization_id = %(organization)s AND m.dataset_id = %(dataset)s AND NOT {_GONE_MEMBER} ORDER BY m.example_id COLLATE "C\"""",
        {"organization": agent.organization_id, "dataset": dataset_id},
    )  # fmt: skip


def pairs_left(connection: Connection, agent: AgentRef, dataset_id: UUID) -> Generator[PairRow, None, None]:
    """The preference pairs of a version that stay, in the order of their ids."""
    return stream(
        connection, "left",
        f"""SELECT p.pair_id, p.source, p.chosen_example_id, p.chosen_content, p.rejected_example_id, p.rejected_content, p.strength, p.weight, p.split
        FROM dataset_pairs p WHERE p.organization_id = %(organization)s AND p.dataset_id = %(dataset)s AND NOT {_GONE_PAIR}
        ORDER BY p.pair_id COLLATE "C\"""",
        {"organization": agent.organization_id, "dataset": dataset_id},
    )  # fmt: skip


def same_content(connection: Connection, agent: AgentRef, content_hash: bytes) -> tuple[UUID, int] | None:
    """(id, number) of the agent's newest sealed version that has this content and lost nothing."""
    row = connection.execute(
        """SELECT id, version FROM training_datasets WHERE organization_id = %s AND name = %s AND content_hash = %s AND erased_at IS NULL
        AND status IN ('ready', 'in_use') ORDER BY version DESC LIMIT 1""",
        [agent.organization_id, agent.agent, content_hash],
    ).fetchone()
    return None if row is None else (row[0], int(row[1]))


def add_successor(connection: Connection, agent: AgentRef, former: UUID, content_hash: bytes, recipe: Mapping[str, Any]) -> tuple[UUID, int]:
    """(id, number) of a new version of what stays of a former one, sealed: the same splits, weights and scores, counted anew."""
    values = {"organization": agent.organization_id, "name": agent.agent, "former": former, "hash": content_hash, "recipe": Jsonb(dict(recipe))}
    counts = ", ".join(f"count(*) FILTER (WHERE c.content ->> 'example_type' = '{kind}')" for kind in TYPES)
    row = connection.execute(
        f"""INSERT INTO training_datasets (organization_id, name, version, status, agent_ids, total_examples, {", ".join(f"{kind}_count" for kind in TYPES)},
            domains, task_types, avg_quality_score, human_verified_percentage, content_hash, recipe, pairs_count)
        SELECT %(organization)s, %(name)s, (SELECT max(version) + 1 FROM training_datasets WHERE organization_id = %(organization)s AND name = %(name)s),
            'collecting', (SELECT agent_ids FROM training_datasets WHERE organization_id = %(organization)s AND id = %(former)s), count(*), {counts},
            coalesce(array_agg(DISTINCT (c.content ->> 'domain') COLLATE "C") FILTER (WHERE c.content ->> 'domain' <> ''), '{{}}'),
            coalesce(array_agg(DISTINCT (c.content ->> 'task_type') COLLATE "C") FILTER (WHERE c.content ->> 'task_type' <> ''), '{{}}'),
            avg(m.quality_score), 100.0 * count(*) FILTER (WHERE EXISTS (SELECT FROM expert_annotations n WHERE n.organization_id = m.organization_id
                AND n.example_id = m.example_id AND n.withdrawn_at IS NULL)) / count(*), %(hash)s, %(recipe)s,
            (SELECT count(*) FROM dataset_pairs p WHERE p.organization_id = %(organization)s AND p.dataset_id = %(former)s AND NOT {_GONE_PAIR})
        FROM dataset_examples m JOIN example_contents c ON c.organization_id = m.organization_id AND c.content_hash = m.content_hash
        WHERE m.organization_id = %(organization)s AND m.dataset_id = %(former)s AND NOT {_GONE_MEMBER} RETURNING id, version""",
        values,
    ).fetchone()
    assert row is not None
    values["new"] = row[0]
    connection.execute(
        f"""INSERT INTO dataset_examples (organization_id, dataset_id, example_id, split, weight, content_hash, quality_score, confidence_score)
        SELECT m.organization_id, %(new)s, m.example_id, m.split, m.weight, m.content_hash, m.quality_score, m.confidence_score FROM dataset_examples m
        WHERE m.organization_id = %(organization)s AND m.dataset_id = %(former)s AND NOT {_GONE_MEMBER}""",
        values,
    )
    columns = "source, chosen_example_id, chosen_content, rejected_example_id, rejected_content, strength, weight, split"
    connection.execute(
        f"""INSERT INTO dataset_pairs (organization_id, dataset_id, pair_id, {columns}) SELECT p.organization_id, %(new)s, p.pair_id, {columns}
        FROM dataset_pairs p WHERE p.organization_id = %(organization)s AND p.dataset_id = %(former)s AND NOT {_GONE_PAIR}""",
        values,
    )
    pairs = connection.execute(
        """SELECT coalesce(jsonb_object_agg(source || '/' || split, n), '{}') FROM (SELECT source, split, count(*) AS n FROM dataset_pairs
        WHERE organization_id = %(organization)s AND dataset_id = %(new)s GROUP BY 1, 2) AS counted""",
        values,
    ).fetchone()
    assert pairs is not None
    statistics = {**version_statistics(connection, agent, row[0]), "pairs": pairs[0]}
    connection.execute(
        "UPDATE training_datasets SET statistics = %s WHERE organization_id = %s AND id = %s", [Jsonb(statistics), agent.organization_id, row[0]]
    )
    for status in ("processing", "ready"):
        set_status(connection, agent, row[0], status)
    return row[0], int(row[1])


def empty_version(connection: Connection, agent: AgentRef, dataset_id: UUID, recipe: Mapping[str, Any], successor: UUID | None) -> tuple[int, int]:
    """Takes the person's rows out of a version and archives it; (examples, pairs) that went. Its hash and counts stay what they were."""
    values = {"organization": agent.organization_id, "dataset": dataset_id}
    pairs = connection.execute(
        f"DELETE FROM dataset_pairs p WHERE p.organization_id = %(organization)s AND p.dataset_id = %(dataset)s AND {_GONE_PAIR}", values
    ).rowcount
    members = connection.execute(
        f"DELETE FROM dataset_examples m WHERE m.organization_id = %(organization)s AND m.dataset_id = %(dataset)s AND {_GONE_MEMBER}", values
    ).rowcount
    connection.execute(_ARCHIVE, values | {"successor": successor, "recipe": Jsonb(dict(recipe))})
    return members, pairs


# Domains and task types are words too: those that nothing of what is left has are the person's. The other numbers stay.
_ARCHIVE = f"""
UPDATE training_datasets d SET status = 'archived', erased_at = now(), successor_id = coalesce(%(successor)s, d.successor_id), recipe = %(recipe)s,
    {", ".join(f"{name} = ARRAY(SELECT said FROM unnest(d.{name}) AS said WHERE said = ANY(kept.{name}))" for name in ("domains", "task_types"))},
    statistics = d.statistics || jsonb_build_object({", ".join(
        f"'{name}', (SELECT coalesce(jsonb_object_agg(key, value), '{{}}') FROM jsonb_each(d.statistics -> '{name}') WHERE key = ANY(kept.{name}))"
        for name in ("domains", "task_types"))})
FROM (SELECT coalesce(array_agg(DISTINCT c.content ->> 'domain'), '{{}}') AS domains,
        coalesce(array_agg(DISTINCT c.content ->> 'task_type'), '{{}}') AS task_types
    FROM dataset_examples m JOIN example_contents c ON c.organization_id = m.organization_id AND c.content_hash = m.content_hash
    WHERE m.organization_id = %(organization)s AND m.dataset_id = %(dataset)s) AS kept
WHERE d.organization_id = %(organization)s AND d.id = %(dataset)s"""


def drop_exports(connection: Connection, agent: AgentRef, dataset_id: UUID) -> list[str]:
    """Forgets the recorded files of a version; where they lie."""
    rows = connection.execute(
        "DELETE FROM dataset_exports WHERE organization_id = %s AND dataset_id = %s RETURNING path", [agent.organization_id, dataset_id]
    ).fetchall()
    return sorted(str(path) for (path,) in rows)


# In this order: whatever names an example goes before it. Satellites that go with an example are counted, not deleted.
_EXAMPLES: tuple[tuple[str, str], ...] = (
    ("expert_annotations", "example_id"), ("stale_quality", "example_id"), ("acceptance_test_items", "example_id"), ("learning_examples", "id"),
)  # fmt: skip
_WITH_THEM = (
    ("example_sources", "example_id"), ("example_splits", "example_id"), ("review_seats", "example_id"), ("review_action_items", "example_id"),
    ("example_sketches", "example_id"), ("example_embeddings", "example_id"), ("duplicate_links", "first_id"), ("duplicate_links", "second_id"),
    ("example_conflicts", "first_id"), ("example_conflicts", "second_id"), ("adjudications", "example_id"), ("judge_verdicts", "example_id"),
    ("example_quality", "example_id"), ("correction_findings", "example_id"), ("demonstration_vectors", "example_id"),
)  # fmt: skip


def delete_examples(connection: Connection, organization_id: UUID) -> dict[str, int]:
    """Deletes the erased examples with all that is about them, wherever it stands; rows by table. Items of tests keep their scores, under a drawn name."""
    values = {"organization": organization_id}
    gone: dict[str, int] = {}
    for table, column in _WITH_THEM:
        row = connection.execute(
            f"SELECT count(*) FROM {table} t JOIN erased_examples e ON e.example_id = t.{column} WHERE t.organization_id = %(organization)s", values
        ).fetchone()
        assert row is not None
        gone[table] = gone.get(table, 0) + int(row[0])
    gone["preference_pairs"] = connection.execute(
        f"DELETE FROM preference_pairs p WHERE p.organization_id = %(organization)s AND {_GONE_PAIR}", values
    ).rowcount
    connection.execute(
        """DELETE FROM demonstration_vectors v USING erased_contents c
        WHERE v.organization_id = %(organization)s AND v.content_hash = c.content_hash AND c.theirs""", values
    )
    for table, column in _EXAMPLES:
        if table == "acceptance_test_items":
            gone[table] = _rename_items(connection, values)
            continue
        gone[table] = connection.execute(
            f"DELETE FROM {table} t USING erased_examples e WHERE t.organization_id = %(organization)s AND t.{column} = e.example_id", values
        ).rowcount
    gone["example_changes"] = connection.execute(
        """UPDATE example_changes c SET reworded = ARRAY(SELECT r FROM unnest(c.reworded) AS r WHERE r NOT IN (SELECT example_id FROM erased_examples))
        WHERE c.organization_id = %(organization)s AND c.reworded && ARRAY(SELECT example_id FROM erased_examples)""",
        values,
    ).rowcount
    gone["example_contents"] = _delete_contents(connection, values)
    return {table: count for table, count in gone.items() if count}


def _rename_items(connection: Connection, values: Mapping[str, Any]) -> int:
    """Items of tests are numbers that verdicts rest on: they stay, and nothing says any more whose they were. Questions and demonstrations too."""
    return connection.execute(
        """UPDATE acceptance_test_items i SET example_id = n.name FROM (
            SELECT id, 'erased-' || gen_random_uuid() AS name FROM (SELECT example_id AS id FROM erased_examples
                UNION SELECT demonstration_id FROM erased_demonstrations UNION SELECT question_id FROM erased_events WHERE question_id IS NOT NULL
                    AND NOT EXISTS (SELECT FROM retrieval_events o WHERE o.organization_id = %(organization)s AND o.question_id = erased_events.question_id
                        AND o.id NOT IN (SELECT event_id FROM erased_events))) AS ids OFFSET 0) AS n
        WHERE i.organization_id = %(organization)s AND i.example_id = n.id""",
        values,
    ).rowcount


def _delete_contents(connection: Connection, values: Mapping[str, Any]) -> int:
    return connection.execute(
        """DELETE FROM example_contents c USING erased_contents e WHERE c.organization_id = %(organization)s AND c.content_hash = e.content_hash
        AND NOT EXISTS (SELECT FROM dataset_examples m WHERE m.organization_id = c.organization_id AND m.content_hash = c.content_hash)
        AND NOT EXISTS (SELECT FROM dataset_pairs p WHERE p.organization_id = c.organization_id AND p.chosen_content = c.content_hash)
        AND NOT EXISTS (SELECT FROM dataset_pairs p WHERE p.organization_id = c.organization_id AND p.rejected_content = c.content_hash)
        AND NOT EXISTS (SELECT FROM preference_pairs p WHERE p.organization_id = c.organization_id AND p.chosen_content = c.content_hash)
        AND NOT EXISTS (SELECT FROM preference_pairs p WHERE p.organization_id = c.organization_id AND p.rejected_content = c.content_hash)
        AND NOT EXISTS (SELECT FROM demonstration_vectors v WHERE v.organization_id = c.organization_id AND v.content_hash = c.content_hash)""",
        values,
    ).rowcount


def delete_demonstrations(connection: Connection, organization_id: UUID) -> dict[str, int]:
    """Deletes the erased demonstrations and their splits, and lets go of them where others name them as what they replace; rows by table."""
    values = {"organization": organization_id}
    erased = "(SELECT demonstration_id FROM erased_demonstrations)"
    splits = connection.execute(f"DELETE FROM demonstration_splits WHERE organization_id = %(organization)s AND demonstration_id IN {erased}", values).rowcount
    connection.execute(f"UPDATE demonstrations SET replaces = NULL WHERE organization_id = %(organization)s AND replaces IN {erased}", values)
    gone = connection.execute(f"DELETE FROM demonstrations WHERE organization_id = %(organization)s AND id IN {erased}", values).rowcount
    return {table: count for table, count in (("demonstration_splits", splits), ("demonstrations", gone)) if count}


def examples_of(connection: Connection, organization_id: UUID) -> list[tuple[UUID, str, str, str]]:
    """(agent, id, input, answer) of everything that erased examples say or said in any version: what a prompt may have shown of them."""
    rows = connection.execute(
        """SELECT DISTINCT e.agent_id, e.id, e.input_text, o.answer FROM learning_examples e JOIN erased_examples x ON x.example_id = e.id,
            LATERAL unnest(ARRAY[e.expected_output, e.original_output, e.output_a, e.output_b]) AS o (answer)
        WHERE e.organization_id = %(organization)s AND o.answer IS NOT NULL
        UNION SELECT DISTINCT x.agent_id, m.example_id, c.content ->> 'input_text', o.answer
        FROM dataset_examples m JOIN erased_examples x ON x.example_id = m.example_id
            JOIN example_contents c ON c.organization_id = m.organization_id AND c.content_hash = m.content_hash,
            LATERAL unnest(ARRAY[c.content ->> 'expected_output', c.content ->> 'original_output']) AS o (answer)
        WHERE m.organization_id = %(organization)s AND o.answer IS NOT NULL""",
        {"organization": organization_id},
    ).fetchall()
    return [(agent, str(name), asked or "", answer) for agent, name, asked, answer in rows]
