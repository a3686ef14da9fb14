"""Versions of learnt behaviour and the labels that serve them: policies, playbooks, rules, guidance, fine-tuned models.

Belongs here: SQL of behavior_versions and behavior_labels. Not here: what a version holds (behavior/), proposals (proposals.py), demonstrations.

Whoever adds a version or moves a label holds the lock of the agent's row (prompts.lock_agent), as for prompts. Number 0 is nothing learnt. What serves is
what has the label, unless learning is switched off for the agent: then nothing learnt serves, and no label moves.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

from psycopg.types.json import Jsonb

from learning_pipelines.storage import tenants
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.prompts import lock_agent
from learning_pipelines.storage.tenants import AgentRef

Kind = Literal["policy", "playbook", "rules", "guidance", "fine_tune"]
Label = Literal["serving", "candidate", "previous"]
_SELECT = """SELECT kind, number, topic, parent, config, artifact_path, artifact_sha256, metrics, training_run_id, created_at FROM behavior_versions"""


@dataclass(frozen=True, slots=True)
class BehaviorVersion:
    """`topic`: task type of a playbook, cluster of rules, '' where an agent has one of the kind. `config` as the kind's own module writes it."""

    kind: Kind
    number: int
    topic: str
    parent: int | None
    config: dict[str, Any]
    artifact_path: str | None
    artifact_sha256: str | None
    metrics: dict[str, Any]
    training_run_id: UUID | None
    created_at: dt.datetime


def add(
    connection: Connection, agent: AgentRef, kind: Kind, *, topic: str = "", parent: int = 0, config: dict[str, Any], metrics: dict[str, Any],
    artifact: tuple[str, str] | None = None, training_run_id: UUID | None = None,
) -> int:  # fmt: skip
    """A learnt version, next in number of its kind. `artifact`: path in the store and sha256. Part of the caller's transaction."""
    lock_agent(connection, agent)
    path, sha256 = artifact or (None, None)
    row = connection.execute(
        """INSERT INTO behavior_versions (organization_id, agent_id, kind, number, topic, parent, config, artifact_path, artifact_sha256, metrics,
            training_run_id)
        SELECT %(organization)s, %(agent)s, %(kind)s, coalesce(max(number), 0) + 1, %(topic)s, %(parent)s, %(config)s, %(path)s, %(sha256)s, %(metrics)s,
            %(run)s
        FROM behavior_versions WHERE organization_id = %(organization)s AND agent_id = %(agent)s AND kind = %(kind)s RETURNING number""",
        {
            "organization": agent.organization_id, "agent": agent.agent_id, "kind": kind, "topic": topic, "parent": parent, "config": Jsonb(config),
            "path": path, "sha256": sha256, "metrics": Jsonb(metrics), "run": training_run_id,
        },
    ).fetchone()  # fmt: skip
    assert row is not None
    return int(row[0])


def version(connection: Connection, agent: AgentRef, kind: Kind, number: int) -> BehaviorVersion | None:
    """One version; None if there is none with this number, or if it is a tombstone (`successor` tells)."""
    row = connection.execute(
        f"{_SELECT} WHERE organization_id = %s AND agent_id = %s AND kind = %s AND number = %s AND erased_at IS NULL",
        [agent.organization_id, agent.agent_id, kind, number],
    ).fetchone()
    return None if row is None else BehaviorVersion(*row)


def successor(connection: Connection, agent: AgentRef, kind: Kind, number: int) -> int | None:
    """The version in the place of a tombstone: of one that held words of an erased person (0: nothing learnt). None if it is none."""
    row = connection.execute(
        "SELECT successor FROM behavior_versions WHERE organization_id = %s AND agent_id = %s AND kind = %s AND number = %s AND erased_at IS NOT NULL",
        [agent.organization_id, agent.agent_id, kind, number],
    ).fetchone()
    return None if row is None else int(row[0] or 0)


def listed(connection: Connection, agent: AgentRef, kind: Kind) -> list[BehaviorVersion]:
    """The agent's versions of a kind that can serve, newest first."""
    rows = connection.execute(
        f"{_SELECT} WHERE organization_id = %s AND agent_id = %s AND kind = %s AND erased_at IS NULL ORDER BY number DESC",
        [agent.organization_id, agent.agent_id, kind],
    ).fetchall()
    return [BehaviorVersion(*row) for row in rows]


def labelled(connection: Connection, organization_id: UUID, agent_id: UUID, kind: Kind, label: Label = "serving") -> list[BehaviorVersion]:
    """The versions with a label, one per topic, in the order of topics; [] where nothing learnt has it."""
    rows = connection.execute(
        f"""{_SELECT} v WHERE organization_id = %(organization)s AND agent_id = %(agent)s AND kind = %(kind)s AND EXISTS (
            SELECT FROM behavior_labels l WHERE l.organization_id = v.organization_id AND l.agent_id = v.agent_id AND l.kind = v.kind
            AND l.topic = v.topic AND l.number = v.number AND l.label = %(label)s)
        ORDER BY topic""",
        {"organization": organization_id, "agent": agent_id, "kind": kind, "label": label},
    ).fetchall()
    return [BehaviorVersion(*row) for row in rows]


def serving(connection: Connection, organization_id: UUID, agent_id: UUID, kind: Kind) -> list[BehaviorVersion]:
    """The versions that serve now, one per topic, in the order of topics; [] where nothing learnt does, and while learning is switched off."""
    return [] if tenants.switched_off(connection, organization_id, agent_id) else labelled(connection, organization_id, agent_id, kind)


def last_moved(connection: Connection, organization_id: UUID, agent_id: UUID, kind: Kind, topics: Sequence[str]) -> BehaviorVersion | None:
    """Of the versions that serve one of these topics now, the one whose label was moved last; None where nothing learnt serves any of them."""
    row = connection.execute(
        """SELECT v.kind, v.number, v.topic, v.parent, v.config, v.artifact_path, v.artifact_sha256, v.metrics, v.training_run_id, v.created_at
        FROM behavior_labels l JOIN behavior_versions v USING (organization_id, agent_id, kind, topic, number)
        JOIN agents a ON a.organization_id = l.organization_id AND a.id = l.agent_id AND a.learning_enabled
        WHERE l.organization_id = %s AND l.agent_id = %s AND l.kind = %s AND l.label = 'serving' AND l.topic = ANY(%s)
        ORDER BY l.moved_at DESC, l.topic LIMIT 1""",
        [organization_id, agent_id, kind, list(topics)],
    ).fetchone()
    return None if row is None else BehaviorVersion(*row)


def label_target(connection: Connection, agent: AgentRef, kind: Kind, label: Label, topic: str = "") -> int | None:
    """The number a label points at (0: nothing learnt); None if nothing ever had it."""
    row = connection.execute(
        "SELECT number FROM behavior_labels WHERE organization_id = %s AND agent_id = %s AND kind = %s AND topic = %s AND label = %s",
        [agent.organization_id, agent.agent_id, kind, topic, label],
    ).fetchone()
    return None if row is None else int(row[0])


def topics(connection: Connection, agent: AgentRef, kind: Kind, label: Label) -> list[str]:
    """The topics of which anything ever had the label, in order."""
    rows = connection.execute(
        "SELECT topic FROM behavior_labels WHERE organization_id = %s AND agent_id = %s AND kind = %s AND label = %s ORDER BY topic",
        [agent.organization_id, agent.agent_id, kind, label],
    ).fetchall()
    return [str(topic) for (topic,) in rows]


def point(connection: Connection, agent: AgentRef, kind: Kind, label: Label, number: int, moved_by: UUID | None, topic: str = "") -> None:
    """Points one label at a version, whatever the others do. `moved_by` is kept where it is a known user."""
    connection.execute(
        """INSERT INTO behavior_labels AS l (organization_id, agent_id, kind, topic, label, number, moved_by)
        VALUES (%s, %s, %s, %s, %s, %s, (SELECT id FROM users WHERE organization_id = %s AND id = %s))
        ON CONFLICT (organization_id, agent_id, kind, topic, label) DO UPDATE
        SET number = excluded.number, moved_by = excluded.moved_by, moved_at = now()""",
        [agent.organization_id, agent.agent_id, kind, topic, label, number, agent.organization_id, moved_by],
    )


def move_serving(connection: Connection, agent: AgentRef, kind: Kind, number: int, moved_by: UUID | None, topic: str = "") -> int:
    """Makes a version serve; returns what served before (0: nothing learnt), which previous points at from now on. Part of the caller's transaction.

    Raises LookupError if the agent has no such version.
    """
    lock_agent(connection, agent)
    if version(connection, agent, kind, number) is None:
        raise LookupError(number)
    before = label_target(connection, agent, kind, "serving", topic) or 0
    point(connection, agent, kind, "serving", number, moved_by, topic)
    if before != number:
        point(connection, agent, kind, "previous", before, moved_by, topic)
    return before
