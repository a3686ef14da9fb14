"""Index versions and the labels that point at them: reading what serves, adding versions, moving labels.

Belongs here: SQL of index_versions, encoder_versions and index_labels. Not here: vectors and postings, proposals (proposals.py), learning.

Whoever adds a version or moves a label holds the lock of the agent's row (prompts.lock_agent), as for prompts.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

from psycopg.types.json import Jsonb

from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.prompts import lock_agent
from learning_pipelines.storage.tenants import AgentRef

Label = Literal["serving", "candidate", "previous"]
Status = Literal["building", "ready", "serving", "retired"]


@dataclass(frozen=True, slots=True)
class EncoderVersion:
    """A model whose vectors are stored. `name` as the encoder says it; `artifact_path` and `sha256` of a learnt one, None for the packaged."""

    id: UUID
    name: str
    model: str
    dimensions: int
    artifact_path: str | None
    sha256: str | None


@dataclass(frozen=True, slots=True)
class IndexVersion:
    """`number` 0 and no agent: the organization's base. `config` as IndexConfig.as_json gives it."""

    id: UUID
    agent_id: UUID | None
    number: int
    parent: int | None
    kind: str
    status: Status
    config: dict[str, Any]
    metrics: dict[str, Any]
    training_run_id: UUID | None
    created_at: dt.datetime
    encoder: EncoderVersion


_SELECT = """SELECT v.id, v.agent_id, v.number, v.parent, v.kind, v.status, v.config, v.metrics, v.training_run_id, v.created_at,
    e.id, e.name, e.model, e.dimensions, e.artifact_path, e.sha256
    FROM index_versions v JOIN encoder_versions e ON e.organization_id = v.organization_id AND e.id = v.encoder_id"""


def _version(row: tuple[Any, ...]) -> IndexVersion:
    own, encoder = row[:10], EncoderVersion(*row[10:])
    return IndexVersion(*(*own, encoder))


def add_encoder(
    connection: Connection, organization_id: UUID, *, name: str, model: str, dimensions: int, artifact_path: str | None = None,
    sha256: str | None = None, agent_id: UUID | None = None, training_run_id: UUID | None = None,
) -> UUID:  # fmt: skip
    """The encoder version of this name, made where it is missing."""
    row = connection.execute(
        """INSERT INTO encoder_versions AS e (organization_id, name, model, dimensions, artifact_path, sha256, agent_id, training_run_id)
        VALUES (%s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT (organization_id, name) DO UPDATE SET name = excluded.name RETURNING id""",
        [organization_id, name, model, dimensions, artifact_path, sha256, agent_id, training_run_id],
    ).fetchone()
    assert row is not None
    return UUID(str(row[0]))


def base(connection: Connection, organization_id: UUID) -> IndexVersion | None:
    """The organization's base index; None before it was built."""
    row = connection.execute(f"{_SELECT} WHERE v.organization_id = %s AND v.agent_id IS NULL AND v.number = 0", [organization_id]).fetchone()
    return None if row is None else _version(row)


def put_base(connection: Connection, organization_id: UUID, encoder_id: UUID, config: dict[str, Any], status: Status = "serving") -> None:
    """Makes or changes the base index of an organization (another encoder or another mixture replaces the one before)."""
    connection.execute(
        """INSERT INTO index_versions AS v (organization_id, encoder_id, status, config, kind, number) VALUES (%s, %s, %s, %s, 'base', 0)
        ON CONFLICT (organization_id, agent_id, number) DO UPDATE SET encoder_id = excluded.encoder_id, status = excluded.status, config = excluded.config""",
        [organization_id, encoder_id, status, Jsonb(config)],
    )


def add(
    connection: Connection, agent: AgentRef, *, encoder_id: UUID, kind: str, parent: int, config: dict[str, Any], metrics: dict[str, Any],
    training_run_id: UUID | None, status: Status = "ready",
) -> int:  # fmt: skip
    """A learnt version, next in number. Part of the caller's transaction."""
    lock_agent(connection, agent)
    row = connection.execute(
        """INSERT INTO index_versions (organization_id, agent_id, number, encoder_id, kind, parent, config, metrics, training_run_id, status)
        SELECT %(organization)s, %(agent)s, coalesce(max(number), 0) + 1, %(encoder)s, %(kind)s, %(parent)s, %(config)s, %(metrics)s, %(run)s, %(status)s
        FROM index_versions WHERE organization_id = %(organization)s AND agent_id = %(agent)s RETURNING number""",
        {
            "organization": agent.organization_id, "agent": agent.agent_id, "encoder": encoder_id, "kind": kind, "parent": parent,
            "config": Jsonb(config), "metrics": Jsonb(metrics), "run": training_run_id, "status": status,
        },
    ).fetchone()  # fmt: skip
    assert row is not None
    return int(row[0])


def version(connection: Connection, agent: AgentRef, number: int) -> IndexVersion | None:
    """One version of the agent's index; 0 is the organization's base. None if there is none with this number."""
    return version_of(connection, agent.organization_id, agent.agent_id, number)


def version_of(connection: Connection, organization_id: UUID, agent_id: UUID, number: int) -> IndexVersion | None:
    """As `version`, for an agent by its id."""
    if number == 0:
        return base(connection, organization_id)
    row = connection.execute(
        f"{_SELECT} WHERE v.organization_id = %s AND v.agent_id = %s AND v.number = %s AND v.erased_at IS NULL", [organization_id, agent_id, number]
    ).fetchone()
    return None if row is None else _version(row)


def successor(connection: Connection, agent: AgentRef, number: int) -> int | None:
    """The version in the place of a tombstone: of one that held words of an erased person (0: the base). None if it is none."""
    row = connection.execute(
        "SELECT successor FROM index_versions WHERE organization_id = %s AND agent_id = %s AND number = %s AND erased_at IS NOT NULL",
        [agent.organization_id, agent.agent_id, number],
    ).fetchone()
    return None if row is None else int(row[0] or 0)


def serving(connection: Connection, organization_id: UUID, agent_id: UUID | None) -> IndexVersion | None:
    """What answers an agent's searches: the version with the label serving, else the base. Without an agent, and while learning is switched off for it,
    the base."""
    row = connection.execute(
        f"""{_SELECT} WHERE v.organization_id = %(organization)s AND v.agent_id = %(agent)s AND v.number = (SELECT l.number FROM index_labels l
        JOIN agents a ON a.organization_id = l.organization_id AND a.id = l.agent_id AND a.learning_enabled
        WHERE l.organization_id = %(organization)s AND l.agent_id = %(agent)s AND l.label = 'serving')""",
        {"organization": organization_id, "agent": agent_id},
    ).fetchone()
    return base(connection, organization_id) if row is None else _version(row)


def listed(connection: Connection, agent: AgentRef) -> list[IndexVersion]:
    """The agent's learnt versions, newest first."""
    rows = connection.execute(
        f"{_SELECT} WHERE v.organization_id = %s AND v.agent_id = %s AND v.erased_at IS NULL ORDER BY v.number DESC", [agent.organization_id, agent.agent_id]
    ).fetchall()
    return [_version(row) for row in rows]


def label_target(connection: Connection, agent: AgentRef, label: Label) -> int | None:
    """The number a label points at; None if nothing has it (nothing learnt ever served: the base does)."""
    row = connection.execute(
        "SELECT number FROM index_labels WHERE organization_id = %s AND agent_id = %s AND label = %s", [agent.organization_id, agent.agent_id, label]
    ).fetchone()
    return None if row is None else int(row[0])


def point(connection: Connection, agent: AgentRef, label: Label, number: int, moved_by: UUID | None) -> None:
    """Points one label at a version, whatever the others do. `moved_by` is kept where it is a known user."""
    connection.execute(
        """INSERT INTO index_labels AS l (organization_id, agent_id, label, number, moved_by)
        VALUES (%s, %s, %s, %s, (SELECT id FROM users WHERE organization_id = %s AND id = %s))
        ON CONFLICT (organization_id, agent_id, label) DO UPDATE SET number = excluded.number, moved_by = excluded.moved_by, moved_at = now()""",
        [agent.organization_id, agent.agent_id, label, number, agent.organization_id, moved_by],
    )


def move_serving(connection: Connection, agent: AgentRef, number: int, moved_by: UUID | None) -> int:
    """Makes a version serve; returns what served before (0: the base), which previous points at from now on. Part of the caller's transaction.

    Raises LookupError if the agent has no such version.
    """
    lock_agent(connection, agent)
    if version(connection, agent, number) is None:
        raise LookupError(number)
    before = label_target(connection, agent, "serving") or 0
    point(connection, agent, "serving", number, moved_by)
    if before != number:
        point(connection, agent, "previous", before, moved_by)
    return before
