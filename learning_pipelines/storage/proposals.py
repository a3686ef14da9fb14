"""Proposals: changes that somebody may approve, the runs they come from, and whether an agent may learn at all.

Belongs here: SQL of proposals, of the review columns of training_runs, of agents.learning_enabled. Not here: what may be approved (acceptance/approval.py).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

from psycopg.types.json import Jsonb

from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.tenants import AgentRef

State = Literal["open", "approved", "rejected"]
_SELECT = """SELECT p.id, p.kind, p.agent_id, a.slug, p.verdict, p.state, p.subject, p.incumbent, p.evidence, p.training_run_id, p.dagster_run_id,
    p.rollout, p.notes, p.created_at, p.reviewed_at
    FROM proposals p JOIN agents a ON a.organization_id = p.organization_id AND a.id = p.agent_id"""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A change with the verdict of its test. `subject` and `incumbent` name what was compared (for prompts {"version": n})."""

    id: UUID
    kind: str
    agent_id: UUID
    agent: str
    verdict: str
    state: str
    subject: dict[str, Any]
    incumbent: dict[str, Any]
    evidence: dict[str, Any]
    training_run_id: UUID | None
    dagster_run_id: str | None
    rollout: str | None
    notes: str | None
    created_at: dt.datetime
    reviewed_at: dt.datetime | None

    def as_json(self) -> dict[str, Any]:
        """The keys of the verb and the route `proposals`; run_id is Dagster's."""
        return {
            "id": str(self.id), "kind": self.kind, "agent": self.agent, "verdict": self.verdict, "state": self.state, "run_id": self.dagster_run_id,
            "subject": self.subject, "incumbent": self.incumbent, "evidence": self.evidence,
            "training_run_id": None if self.training_run_id is None else str(self.training_run_id), "rollout": self.rollout, "notes": self.notes,
            "created_at": self.created_at.isoformat(), "reviewed_at": None if self.reviewed_at is None else self.reviewed_at.isoformat(),
        }  # fmt: skip


def add(
    connection: Connection, agent: AgentRef, kind: str, verdict: str, subject: dict[str, Any], incumbent: dict[str, Any], evidence: dict[str, Any],
    training_run_id: UUID | None, dagster_run_id: str | None,
) -> UUID:  # fmt: skip
    """Stores an open proposal."""
    row = connection.execute(
        """INSERT INTO proposals (organization_id, agent_id, kind, verdict, subject, incumbent, evidence, training_run_id, dagster_run_id)
        VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s) RETURNING id""",
        [
            agent.organization_id, agent.agent_id, kind, verdict, Jsonb(subject), Jsonb(incumbent), Jsonb(evidence), training_run_id, dagster_run_id,
        ],
    ).fetchone()  # fmt: skip
    assert row is not None
    return UUID(str(row[0]))


def find(connection: Connection, organization_id: UUID, proposal_id: UUID, *, lock: bool = False) -> Proposal | None:
    """A proposal by its id, locked for the transaction if `lock` says so."""
    query = f"{_SELECT} WHERE p.organization_id = %s AND p.id = %s{' FOR UPDATE OF p' if lock else ''}"
    row = connection.execute(query, [organization_id, proposal_id]).fetchone()
    return None if row is None else Proposal(*row)


def listed(connection: Connection, organization_id: UUID, *, agent_id: UUID | None = None, state: State | None = None, limit: int = 1000) -> list[Proposal]:
    """Proposals, newest first."""
    rows = connection.execute(
        f"""{_SELECT} WHERE p.organization_id = %(organization)s AND (%(agent)s::uuid IS NULL OR p.agent_id = %(agent)s)
        AND (%(state)s::text IS NULL OR p.state = %(state)s) ORDER BY p.created_at DESC, p.id LIMIT %(limit)s""",
        {"organization": organization_id, "agent": agent_id, "state": state, "limit": limit},
    ).fetchall()
    return [Proposal(*row) for row in rows]


def of_runs(connection: Connection, organization_id: UUID, dagster_run_ids: Sequence[str]) -> list[Proposal]:
    """What these Dagster runs proposed, oldest first."""
    rows = connection.execute(
        f"{_SELECT} WHERE p.organization_id = %s AND p.dagster_run_id = ANY(%s) ORDER BY p.created_at, p.id", [organization_id, list(dagster_run_ids)]
    ).fetchall()
    return [Proposal(*row) for row in rows]


def open_ones(connection: Connection, agent: AgentRef, kind: str) -> list[Proposal]:
    """The agent's open proposals of one kind, locked."""
    rows = connection.execute(
        f"{_SELECT} WHERE p.organization_id = %s AND p.agent_id = %s AND p.kind = %s AND p.state = 'open' ORDER BY p.created_at FOR UPDATE OF p",
        [agent.organization_id, agent.agent_id, kind],
    ).fetchall()
    return [Proposal(*row) for row in rows]


def close(
    connection: Connection, organization_id: UUID, proposal: Proposal, state: State, *, rollout: str | None, reviewed_by: UUID | None, notes: str | None
) -> None:
    """Ends a proposal, and writes the same into the review columns of its training run. `reviewed_by` is kept where it is a known user."""
    values: dict[str, object] = {"organization": organization_id, "id": proposal.id, "run": proposal.training_run_id}
    values |= {"state": state, "rollout": rollout, "by": reviewed_by, "notes": notes}
    known = "(SELECT id FROM users WHERE organization_id = %(organization)s AND id = %(by)s)"
    connection.execute(
        f"""UPDATE proposals SET state = %(state)s, rollout = %(rollout)s, reviewed_by = {known}, reviewed_at = now(), notes = %(notes)s
        WHERE organization_id = %(organization)s AND id = %(id)s""",
        values,
    )
    connection.execute(
        f"""UPDATE training_runs SET review_status = %(state)s, reviewed_by = {known}, review_notes = %(notes)s
        WHERE organization_id = %(organization)s AND id = %(run)s""",
        values,
    )


def reopen(connection: Connection, organization_id: UUID, proposal: Proposal, notes: str) -> None:
    """Makes an approved proposal open again, and the review of its training run pending."""
    values: dict[str, object] = {"organization": organization_id, "id": proposal.id, "run": proposal.training_run_id, "notes": notes}
    connection.execute(
        """UPDATE proposals SET state = 'open', rollout = NULL, reviewed_by = NULL, reviewed_at = NULL, notes = %(notes)s
        WHERE organization_id = %(organization)s AND id = %(id)s""",
        values,
    )
    connection.execute(
        """UPDATE training_runs SET review_status = 'pending', reviewed_by = NULL, review_notes = %(notes)s
        WHERE organization_id = %(organization)s AND id = %(run)s""",
        values,
    )


def note(connection: Connection, organization_id: UUID, proposal_id: UUID, notes: str) -> None:
    """Writes notes on a proposal, whatever its state."""
    connection.execute("UPDATE proposals SET notes = %s WHERE organization_id = %s AND id = %s", [notes, organization_id, proposal_id])


def await_review(connection: Connection, organization_id: UUID, training_run_id: UUID | None) -> None:
    """A run whose proposal is open waits for a review."""
    connection.execute(
        "UPDATE training_runs SET requires_review = true, review_status = 'pending' WHERE organization_id = %s AND id = %s", [organization_id, training_run_id]
    )


def set_learning(connection: Connection, organization_id: UUID, agent_id: UUID | None, enabled: bool) -> list[str]:
    """Lets one agent (None: every agent of the organization) learn, or not; the slugs of those for which that is new."""
    rows = connection.execute(
        """UPDATE agents SET learning_enabled = %(enabled)s
        WHERE organization_id = %(organization)s AND (%(agent)s::uuid IS NULL OR id = %(agent)s) AND learning_enabled <> %(enabled)s RETURNING slug""",
        {"organization": organization_id, "agent": agent_id, "enabled": enabled},
    ).fetchall()
    return sorted(str(slug) for (slug,) in rows)


def may_learn(connection: Connection, agent: AgentRef) -> bool:
    """Whether learning is enabled for the agent."""
    row = connection.execute("SELECT learning_enabled FROM agents WHERE organization_id = %s AND id = %s", [agent.organization_id, agent.agent_id]).fetchone()
    return row is not None and bool(row[0])


def disabled_agents(connection: Connection, organization: str | None = None) -> frozenset[str]:
    """Partition keys of the agents that may not learn, of one organization or of all."""
    rows = connection.execute(
        """SELECT o.slug || '/' || a.slug FROM agents a JOIN organizations o USING (organization_id)
        WHERE NOT a.learning_enabled AND (%(organization)s::text IS NULL OR o.slug = %(organization)s)""",
        {"organization": organization},
    ).fetchall()
    return frozenset(str(key) for (key,) in rows)
