"""Verdicts on examples as stored: the item under review, its annotations, the decision, what an undo needs.

Belongs here: SQL of expert_annotations, of the review columns of learning_examples, of review_actions. Not here: the queue and its leases
(review_queue.py), the rules (examples/review.py, examples/reviewing.py).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg.rows import class_row, dict_row
from psycopg.types.json import Jsonb

from learning_pipelines.storage.database import Connection


@dataclass(frozen=True, slots=True)
class Item:
    """An example under review, locked for this transaction. `own`: made of the expert's own words or deeds."""

    example_id: str
    agent_id: UUID
    example_type: str
    input_text: str
    input_context: dict[str, Any]
    original_output: str | None
    expected_output: str | None
    output_a: str | None
    output_b: str | None
    tags: list[str]
    review_status: str
    reviewed_by: UUID | None
    reviewed_at: dt.datetime | None
    review_notes: str | None
    round: int
    reviews_needed: int | None
    adjudicating: bool
    is_active: bool
    content_hash: bytes
    scrubbed_entities: dict[str, int]
    own: bool


_ITEM = """
SELECT e.id AS example_id, e.agent_id, e.example_type, e.input_text, e.input_context, e.original_output, e.expected_output, e.output_a, e.output_b,
    e.tags, e.review_status, e.reviewed_by, e.reviewed_at, e.review_notes, e.review_round AS round, e.reviews_needed, e.adjudicating, e.is_active,
    e.content_hash, e.scrubbed_entities,
    e.user_id IS NOT DISTINCT FROM %(me)s OR EXISTS (SELECT FROM example_sources s WHERE s.organization_id = e.organization_id
        AND s.example_id = e.id AND (s.user_id = %(me)s OR s.input_user_id = %(me)s)) AS own
FROM learning_examples e WHERE e.organization_id = %(organization)s AND e.id = ANY(%(ids)s)"""


def ensure_expert(connection: Connection, organization_id: UUID, expert_id: UUID, external_id: str) -> None:
    """Makes the user at first sight, as capture does."""
    connection.execute(
        "INSERT INTO users (organization_id, id, external_id, role) VALUES (%s, %s, %s, 'expert') ON CONFLICT DO NOTHING",
        [organization_id, expert_id, external_id],
    )


def lock(connection: Connection, organization_id: UUID, expert_id: UUID, ids: Sequence[str]) -> dict[str, Item]:
    """Locks these items, in the order of their ids so that two requests never wait for each other; those that are not there are left out."""
    values = {"organization": organization_id, "me": expert_id, "ids": list(ids)}
    connection.execute("SELECT FROM learning_examples e WHERE e.organization_id = %(organization)s AND e.id = ANY(%(ids)s) ORDER BY e.id FOR UPDATE", values)
    with connection.cursor(row_factory=class_row(Item)) as cursor:  # a statement of its own: it sees what whoever held the lock committed
        return {item.example_id: item for item in cursor.execute(_ITEM, values).fetchall()}


def exists(connection: Connection, organization_id: UUID, example_id: str) -> bool:
    """Whether there is such an example for the caller."""
    return connection.execute("SELECT FROM learning_examples WHERE organization_id = %s AND id = %s", [organization_id, example_id]).fetchone() is not None


ANNOTATION = (
    "example_id", "expert_id", "annotation_type", "approved", "technical_accuracy", "professional_quality", "completeness", "clarity",
    "corrected_output", "base_output", "notes", "improvement_suggestions", "round", "is_verdict", "action_id",
)  # fmt: skip


def add_annotation(connection: Connection, organization_id: UUID, values: Mapping[str, Any]) -> UUID:
    """Stores an annotation; `values` has the keys ANNOTATION. Returns its id."""
    names = ", ".join(ANNOTATION)
    row = connection.execute(
        f"""INSERT INTO expert_annotations (organization_id, {names}, created_at)
        VALUES (%(organization_id)s, {", ".join(f"%({name})s" for name in ANNOTATION)}, clock_timestamp()) RETURNING id""",
        {**values, "organization_id": organization_id},
    ).fetchone()
    assert row is not None
    return UUID(str(row[0]))


@dataclass(frozen=True, slots=True)
class StoredVerdict:
    """A verdict of the current round."""

    expert_id: UUID
    approved: bool | None
    corrected_output: str | None


def verdicts(connection: Connection, organization_id: UUID, example_id: str, round_: int) -> list[StoredVerdict]:
    """The verdicts of a round that count, in the order they came; whoever has judged sees them all."""
    with connection.cursor(row_factory=class_row(StoredVerdict)) as cursor:
        return cursor.execute(
            """SELECT expert_id, approved, corrected_output FROM expert_annotations
            WHERE organization_id = %s AND example_id = %s AND round = %s AND is_verdict AND withdrawn_at IS NULL ORDER BY created_at, id""",
            [organization_id, example_id, round_],
        ).fetchall()


STATE = ("review_status", "reviewed_by", "reviewed_at", "review_notes", "review_round", "reviews_needed", "adjudicating", "example_type", "content_hash")
TEXTS = ("expected_output", "scrubbed_entities")


def set_state(connection: Connection, organization_id: UUID, example_id: str, values: Mapping[str, Any]) -> None:
    """Sets columns of STATE and TEXTS. Raises UniqueViolation if another derived example has this content."""
    assert set(values) <= {*STATE, *TEXTS}
    adapted = {name: Jsonb(value) if name == "scrubbed_entities" else value for name, value in values.items()}
    connection.execute(
        f"""UPDATE learning_examples SET {", ".join(f"{name} = %({name})s" for name in values)}, updated_at = now()
        WHERE organization_id = %(organization_id)s AND id = %(id)s""",
        {**adapted, "organization_id": organization_id, "id": example_id},
    )


def with_content(connection: Connection, organization_id: UUID, agent_id: UUID, content_hash: bytes, not_id: str) -> str | None:
    """Another active example of the agent with this content. Whoever asks for the same content waits until this transaction has ended."""
    connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 1))", [f"{organization_id}/{agent_id}/{content_hash.hex()}"])
    row = connection.execute(
        "SELECT id FROM learning_examples WHERE organization_id = %s AND agent_id = %s AND content_hash = %s AND id <> %s AND is_active ORDER BY id LIMIT 1",
        [organization_id, agent_id, content_hash, not_id],
    ).fetchone()
    return None if row is None else str(row[0])


def announce(connection: Connection, organization_id: UUID, agent_id: UUID, example_id: str) -> None:
    """An outbox entry: the review of an example of this agent changed. row_id is the example."""
    connection.execute(
        "INSERT INTO outbox (organization_id, agent_id, kind, row_id, happened_at) VALUES (%s, %s, 'annotations', %s, clock_timestamp())",
        [organization_id, agent_id, example_id],
    )


# The different texts that experts approved in the round an example is in, in an order that tells nothing of them.
CANDIDATES = """ARRAY(SELECT text FROM (
        SELECT DISTINCT coalesce(n.corrected_output, e.expected_output) AS text FROM expert_annotations n
        WHERE n.organization_id = e.organization_id AND n.example_id = e.id AND greatest(n.round, 1) = e.review_round AND n.approved
            AND n.withdrawn_at IS NULL) AS approved WHERE text IS NOT NULL ORDER BY md5(text))"""


def set_adjudication(
    connection: Connection, organization_id: UUID, agent_id: UUID, example_id: str, *, reason: str | None, by: UUID, again: bool = False
) -> None:
    """Opens the adjudication of an example (with a reason), or resolves one that is open (None). `again`: it is between the same texts as before."""
    if reason is not None:
        candidates = "a.candidates" if again else "excluded.candidates"
        connection.execute(
            f"""INSERT INTO adjudications AS a (organization_id, example_id, agent_id, reason, candidates)
            SELECT e.organization_id, e.id, %s, %s, {CANDIDATES} FROM learning_examples e WHERE e.organization_id = %s AND e.id = %s
            ON CONFLICT (organization_id, example_id) DO UPDATE SET reason = excluded.reason, opened_at = now(), resolved_at = NULL, resolved_by = NULL,
                candidates = {candidates}""",
            [agent_id, reason, organization_id, example_id],
        )
    else:
        connection.execute(
            # Not now(): the verdict that resolves it has the clock's time, and would seem newer than the resolution.
            "UPDATE adjudications SET resolved_at = clock_timestamp(), resolved_by = %s WHERE organization_id = %s AND example_id = %s AND resolved_at IS NULL",
            [by, organization_id, example_id],
        )


_SHOWN = """
SELECT n.id AS annotation_id, n.example_id, u.external_id AS expert, n.annotation_type, n.approved,
    n.is_verdict AND n.approved IS NULL AS needs_revision, n.technical_accuracy, n.professional_quality, n.completeness, n.clarity,
    n.corrected_output, n.base_output, n.notes, n.improvement_suggestions, n.round, n.is_verified, v.external_id AS verified_by, n.verified_at,
    n.withdrawn_at, n.created_at
FROM expert_annotations n
JOIN users u ON u.organization_id = n.organization_id AND u.id = n.expert_id
LEFT JOIN users v ON v.organization_id = n.organization_id AND v.id = n.verified_by
WHERE n.organization_id = %(organization)s"""


def annotations_of(connection: Connection, organization_id: UUID, example_id: str) -> list[dict[str, Any]]:
    """What was said about an example, as far as the caller may see it, oldest first; withdrawn ones too."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(f"{_SHOWN} AND n.example_id = %(id)s ORDER BY n.created_at, n.id", {"organization": organization_id, "id": example_id}).fetchall()


def annotation(connection: Connection, organization_id: UUID, annotation_id: UUID) -> dict[str, Any] | None:
    """One annotation, if the caller may see it."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(f"{_SHOWN} AND n.id = %(id)s", {"organization": organization_id, "id": annotation_id}).fetchone()


def verify(connection: Connection, organization_id: UUID, annotation_id: UUID, expert_id: UUID) -> bool:
    """Marks an annotation of somebody else as verified; False if it is withdrawn, verified already or the expert's own."""
    return (
        connection.execute(
            """UPDATE expert_annotations SET is_verified = true, verified_by = %(me)s, verified_at = now()
            WHERE organization_id = %(organization)s AND id = %(id)s AND NOT is_verified AND withdrawn_at IS NULL AND expert_id <> %(me)s""",
            {"organization": organization_id, "id": annotation_id, "me": expert_id},
        ).rowcount
        == 1
    )
