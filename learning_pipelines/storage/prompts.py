"""Prompt versions and the labels that point at them: reading what serves, adding versions written by hand or learnt, moving labels.

What serves is what the label points at, unless learning is switched off for the agent: then it is its base prompt, and no label moves.

Belongs here: SQL of prompt_versions and prompt_labels. Not here: imported prompts (ingest_sql.py), proposals (proposals.py), learning new ones.

Whoever adds a version or moves a label first locks the agent's row: imports that change a prompt hold the same lock, so numbers are never
given twice, and whatever was checked under the lock still holds when the label moves.

Demonstrations are texts of examples, in messages of versions and of prompt_candidates (whose `shown` names the examples). A version that held an erased
person is a tombstone (prompts/erasing.py): it has no messages, nothing serves it and no label can be moved to it. Its successor has its labels; one of an
approved version counts as approved.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.tenants import AgentRef

PRODUCTION, CANDIDATE, PREVIOUS = "production", "candidate", "previous"


@dataclass(frozen=True, slots=True)
class Served:
    """A version as it is handed out; `serving` is what is done for each input beside the messages ({}: nothing). `disabled`: learning is switched off,
    and this is the base prompt."""

    version: int
    messages: list[dict[str, Any]]
    content_hash: bytes
    serving: dict[str, Any]
    disabled: bool = False


@dataclass(frozen=True, slots=True)
class Version:
    """A version with where it comes from. `origin`: imported, written, learnt or erasure; `labels` point at it now. `erased`: a tombstone, in whose place
    `successor` stands."""

    version: int
    parent: int | None
    origin: str
    strategy: str | None
    messages: list[dict[str, Any]]
    serving: dict[str, Any]
    model: str | None
    dataset_id: UUID | None
    training_run_id: UUID | None
    scores: dict[str, Any]
    content_hash: bytes
    created_at: dt.datetime
    labels: list[str]
    erased: bool = False
    successor: int | None = None


class Tombstone(LookupError):
    """A version that held an erased person was asked for. `successor`: number of the one in its place."""

    def __init__(self, version: int, successor: int | None) -> None:
        super().__init__(version)
        self.cause = f"Version {version} held words of a person who was erased."
        self.advice = f"Version {successor} took its place: name that one."


_LABELS = """ARRAY(SELECT l.label FROM prompt_labels l WHERE l.organization_id = p.organization_id AND l.agent_id = p.agent_id AND l.version = p.version
    ORDER BY l.label = 'production' DESC, l.label)"""
_SELECT = f"""SELECT p.version, p.parent_version, p.origin, p.strategy, p.messages, p.serving, p.model, p.dataset_id, p.training_run_id, p.scores,
    p.content_hash, p.created_at, {_LABELS}, p.erased_at IS NOT NULL, p.successor FROM prompt_versions p"""


def lock_agent(connection: Connection, agent: AgentRef) -> bool:
    """Locks the agent's row until the transaction ends (see above); whether the agent may learn."""
    row = connection.execute(
        "SELECT learning_enabled FROM agents WHERE organization_id = %s AND id = %s FOR NO KEY UPDATE", [agent.organization_id, agent.agent_id]
    ).fetchone()
    return row is not None and bool(row[0])


def labelled(connection: Connection, agent: AgentRef, label: str = PRODUCTION) -> Served | None:
    """The version a label points at; None if nothing has the label."""
    row = connection.execute(
        """SELECT p.version, p.messages, p.content_hash, p.serving FROM prompt_labels l
        JOIN prompt_versions p ON p.organization_id = l.organization_id AND p.agent_id = l.agent_id AND p.version = l.version
        WHERE l.organization_id = %s AND l.agent_id = %s AND l.label = %s""",
        [agent.organization_id, agent.agent_id, label],
    ).fetchone()
    return None if row is None else Served(int(row[0]), row[1], bytes(row[2]), row[3])


def served(connection: Connection, agent: AgentRef, label: str = PRODUCTION) -> Served | None:
    """What is handed out for a label: the version it points at; while learning is switched off for the agent its base prompt, whatever the label.

    The base prompt is the newest system prompt that the agent was imported with, else its first version, with nothing done for each input.
    None if nothing has the label.
    """
    row = connection.execute(
        """SELECT p.version, p.messages, p.content_hash, CASE WHEN a.learning_enabled THEN p.serving ELSE '{}' END, NOT a.learning_enabled
        FROM prompt_labels l JOIN agents a ON a.organization_id = l.organization_id AND a.id = l.agent_id
        JOIN prompt_versions p ON p.organization_id = l.organization_id AND p.agent_id = l.agent_id AND p.version = CASE WHEN a.learning_enabled THEN l.version
            ELSE (SELECT b.version FROM prompt_versions b WHERE b.organization_id = l.organization_id AND b.agent_id = l.agent_id
                AND b.erased_at IS NULL ORDER BY b.origin <> 'imported', CASE WHEN b.origin = 'imported' THEN -b.version ELSE b.version END LIMIT 1) END
        WHERE l.organization_id = %s AND l.agent_id = %s AND l.label = %s""",
        [agent.organization_id, agent.agent_id, label],
    ).fetchone()
    return None if row is None else Served(int(row[0]), row[1], bytes(row[2]), row[3], bool(row[4]))


def served_versions(connection: Connection, agent: AgentRef, numbers: Collection[int]) -> dict[int, Served]:
    """The versions with these numbers, as they are handed out; one that is gone is missing."""
    rows = connection.execute(
        """SELECT version, messages, content_hash, serving FROM prompt_versions
        WHERE organization_id = %s AND agent_id = %s AND version = ANY(%s) AND erased_at IS NULL""",
        [agent.organization_id, agent.agent_id, list(numbers)],
    ).fetchall()
    return {int(row[0]): Served(int(row[0]), row[1], bytes(row[2]), row[3]) for row in rows}


def version(connection: Connection, agent: AgentRef, number: int) -> Version | None:
    """One version of the agent's prompt; None if there is none with this number."""
    row = connection.execute(
        f"{_SELECT} WHERE p.organization_id = %s AND p.agent_id = %s AND p.version = %s", [agent.organization_id, agent.agent_id, number]
    ).fetchone()
    return None if row is None else Version(*row)


def was_deleted(connection: Connection, agent: AgentRef, number: int) -> bool:
    """Whether there was a version of this number that the clean-up deleted: numbers are given in turn, and none is given again."""
    row = connection.execute(
        """SELECT count(*) FILTER (WHERE version = %(number)s) = 0 AND coalesce(max(version), 0) > %(number)s FROM prompt_versions
        WHERE organization_id = %(organization)s AND agent_id = %(agent)s""",
        {"organization": agent.organization_id, "agent": agent.agent_id, "number": number},
    ).fetchone()
    return row is not None and number > 0 and bool(row[0])


def list_versions(connection: Connection, agent: AgentRef) -> list[dict[str, Any]]:
    """Every version, newest first: {version, labels, strategy, score, verdict, origin, parent, model, dataset_version, training_run_id, scores, created_at}.

    `score` is scores.score; `verdict` that of the newest test the version was put to as a candidate. None where there is none.
    """
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            f"""SELECT p.version, {_LABELS} AS labels, p.strategy, CASE WHEN jsonb_typeof(p.scores -> 'score') = 'number'
                    THEN (p.scores ->> 'score')::double precision END AS score,
                coalesce((SELECT t.verdict FROM acceptance_tests t WHERE t.organization_id = p.organization_id AND t.agent_id = p.agent_id
                        AND t.kind = 'prompt' AND t.candidate ->> 'content_hash' = encode(p.content_hash, 'hex') AND t.verdict IS NOT NULL
                        ORDER BY t.created_at DESC LIMIT 1),
                    (SELECT o.verdict FROM proposals o WHERE o.organization_id = p.organization_id AND o.agent_id = p.agent_id
                        AND o.kind = 'prompt' AND o.subject -> 'version' = to_jsonb(p.version) ORDER BY o.created_at DESC LIMIT 1)) AS verdict,
                p.origin, p.parent_version AS parent, p.model, d.version AS dataset_version, p.training_run_id, p.scores, p.created_at
            FROM prompt_versions p LEFT JOIN training_datasets d ON d.organization_id = p.organization_id AND d.id = p.dataset_id
            WHERE p.organization_id = %s AND p.agent_id = %s ORDER BY p.version DESC""",
            [agent.organization_id, agent.agent_id],
        ).fetchall()


def add_written(
    connection: Connection, agent: AgentRef, messages: list[dict[str, Any]], model: str | None, content_hash: bytes, created_by: UUID | None,
    parent: int | None = None,
) -> tuple[int, bool]:  # fmt: skip
    """A version written by hand, next in number, its parent the named one or the one before. An agent's newest version with this content is not repeated.

    Returns the version and whether it is new. Part of the caller's transaction.
    """
    lock_agent(connection, agent)
    latest = connection.execute(
        "SELECT version, content_hash, erased_at FROM prompt_versions WHERE organization_id = %s AND agent_id = %s ORDER BY version DESC LIMIT 1",
        [agent.organization_id, agent.agent_id],
    ).fetchone()
    if latest is not None and bytes(latest[1]) == content_hash and latest[2] is None:
        return int(latest[0]), False
    return _insert(
        connection, agent, origin="written", parent=parent or (latest[0] if latest is not None else None), messages=Jsonb(messages), model=model,
        content_hash=content_hash, created_by=created_by,
    ), True  # fmt: skip


def add_learnt(
    connection: Connection, agent: AgentRef, *, messages: list[dict[str, Any]], serving: dict[str, Any], content_hash: bytes, parent: int | None,
    strategy: str, dataset_id: UUID | None, model: str | None, scores: dict[str, Any], training_run_id: UUID | None,
) -> tuple[int, bool]:  # fmt: skip
    """A version that was learnt, next in number; a version that has this content already is returned as it is (the newest such).

    Returns the version and whether it is new. Part of the caller's transaction.
    """
    lock_agent(connection, agent)
    same = connection.execute(
        "SELECT max(version) FROM prompt_versions WHERE organization_id = %s AND agent_id = %s AND content_hash = %s AND erased_at IS NULL",
        [agent.organization_id, agent.agent_id, content_hash],
    ).fetchone()
    if same is not None and same[0] is not None:
        return int(same[0]), False
    return _insert(
        connection, agent, origin="learnt", parent=parent, strategy=strategy, messages=Jsonb(messages), serving=Jsonb(serving), model=model,
        dataset_id=dataset_id, training_run_id=training_run_id, scores=Jsonb(scores), content_hash=content_hash,
    ), True  # fmt: skip


def add_scores(connection: Connection, agent: AgentRef, number: int, scores: dict[str, Any]) -> None:
    """What was measured of a version, beside what is known of it; nothing else of a version ever changes."""
    connection.execute(
        "UPDATE prompt_versions SET scores = scores || %s WHERE organization_id = %s AND agent_id = %s AND version = %s",
        [Jsonb(scores), agent.organization_id, agent.agent_id, number],
    )


def move_label(connection: Connection, agent: AgentRef, label: str, version: int, moved_by: UUID | None) -> int | None:
    """Points a label at a version; returns where it pointed before. Where production moves, previous points at what it left.

    Part of the caller's transaction. Raises LookupError if the agent has no such version, Tombstone if it can serve no more.
    """
    lock_agent(connection, agent)
    found = connection.execute(
        "SELECT erased_at, successor FROM prompt_versions WHERE organization_id = %s AND agent_id = %s AND version = %s",
        [agent.organization_id, agent.agent_id, version],
    ).fetchone()
    if found is None:
        raise LookupError(version)
    if found[0] is not None:
        raise Tombstone(version, found[1])
    before = label_target(connection, agent, label)
    point(connection, agent, label, version, moved_by)
    if label == PRODUCTION and before is not None and before != version:
        point(connection, agent, PREVIOUS, before, moved_by)
    return before


def label_target(connection: Connection, agent: AgentRef, label: str) -> int | None:
    """The number of the version a label points at; None if nothing has it."""
    row = connection.execute(
        "SELECT version FROM prompt_labels WHERE organization_id = %s AND agent_id = %s AND label = %s", [agent.organization_id, agent.agent_id, label]
    ).fetchone()
    return None if row is None else int(row[0])


def point(connection: Connection, agent: AgentRef, label: str, version: int, moved_by: UUID | None) -> None:
    """Points one label at a version, whatever the others do. `moved_by` is kept where it is a known user."""
    connection.execute(
        """INSERT INTO prompt_labels AS l (organization_id, agent_id, label, version, moved_by)
        VALUES (%s, %s, %s, %s, (SELECT id FROM users WHERE organization_id = %s AND id = %s))
        ON CONFLICT (organization_id, agent_id, label) DO UPDATE SET version = excluded.version, moved_by = excluded.moved_by, moved_at = now()""",
        [agent.organization_id, agent.agent_id, label, version, agent.organization_id, moved_by],
    )


def _insert(connection: Connection, agent: AgentRef, *, parent: int | None, created_by: UUID | None = None, **values: Any) -> int:
    """The next version. Under the agent's lock. `created_by` is kept where it is a known user."""
    columns = ", ".join(values)
    row = connection.execute(
        f"""INSERT INTO prompt_versions (organization_id, agent_id, version, parent_version, created_by, {columns})
        SELECT %s, %s, coalesce(max(version), 0) + 1, %s, (SELECT id FROM users WHERE organization_id = %s AND id = %s), {", ".join(["%s"] * len(values))}
        FROM prompt_versions WHERE organization_id = %s AND agent_id = %s RETURNING version""",
        [agent.organization_id, agent.agent_id, parent, agent.organization_id, created_by, *values.values(), agent.organization_id, agent.agent_id],
    ).fetchone()
    assert row is not None
    return int(row[0])
