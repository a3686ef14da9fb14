"""Versions of learnt behaviour and of indexes without a person: which there are, tombstones, labels; proposals and runs that are about what goes.

Belongs here: SQL of an erasure over these. Not here: what holds a person and what takes its place (behavior/erasing.py, retrieval/erasing.py), prompts
(erasure_prompts.py), datasets and examples (erasure_datasets.py).

All of it is part of one transaction, in which an erasure of the organization is under way (migration 0050).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.tenants import AgentRef


@dataclass(frozen=True, slots=True)
class LearntVersion:
    """A version of behaviour or of an index. `kind`: of behaviour its kind, of an index `index`; `topic`: '' where there is one only."""

    kind: str
    number: int
    topic: str
    parent: int | None
    config: dict[str, Any]
    metrics: dict[str, Any]
    artifact: tuple[str, str] | None
    training_run_id: UUID | None
    created_at: dt.datetime
    labels: list[str]


def behavior(connection: Connection, agent: AgentRef) -> list[LearntVersion]:
    """Every version of the agent's learnt behaviour that is none's tombstone, oldest first."""
    rows = connection.execute(
        """SELECT v.kind, v.number, v.topic, v.parent, v.config, v.metrics,
            CASE WHEN v.artifact_path IS NOT NULL THEN ARRAY[v.artifact_path, v.artifact_sha256] END, v.training_run_id, v.created_at,
            ARRAY(SELECT l.label FROM behavior_labels l WHERE l.organization_id = v.organization_id AND l.agent_id = v.agent_id AND l.kind = v.kind
                AND l.topic = v.topic AND l.number = v.number ORDER BY 1)
        FROM behavior_versions v WHERE v.organization_id = %s AND v.agent_id = %s AND v.erased_at IS NULL ORDER BY v.kind, v.number""",
        [agent.organization_id, agent.agent_id],
    ).fetchall()
    return [LearntVersion(*row) for row in rows]


def indexes(connection: Connection, agent: AgentRef) -> list[LearntVersion]:
    """Every learnt version of the agent's index that is none's tombstone, oldest first."""
    rows = connection.execute(
        """SELECT 'index', v.number, '', v.parent, v.config, v.metrics, NULL, v.training_run_id, v.created_at,
            ARRAY(SELECT l.label FROM index_labels l WHERE l.organization_id = v.organization_id AND l.agent_id = v.agent_id AND l.number = v.number ORDER BY 1)
        FROM index_versions v WHERE v.organization_id = %s AND v.agent_id = %s AND v.erased_at IS NULL ORDER BY v.number""",
        [agent.organization_id, agent.agent_id],
    ).fetchall()
    return [LearntVersion(*row) for row in rows]


def bury_behavior(connection: Connection, agent: AgentRef, version: LearntVersion, successor: int) -> None:
    """Makes a version a tombstone; its labels point at the successor (0: nothing learnt)."""
    values = {"organization": agent.organization_id, "agent": agent.agent_id, "kind": version.kind, "topic": version.topic, "old": version.number,
              "new": successor}  # fmt: skip
    connection.execute(
        """UPDATE behavior_versions SET config = '{}', artifact_path = NULL, artifact_sha256 = NULL, erased_at = now(), successor = %(new)s
        WHERE organization_id = %(organization)s AND agent_id = %(agent)s AND kind = %(kind)s AND number = %(old)s""",
        values,
    )
    connection.execute(
        """UPDATE behavior_labels SET number = %(new)s, moved_by = NULL, moved_at = now()
        WHERE organization_id = %(organization)s AND agent_id = %(agent)s AND kind = %(kind)s AND topic = %(topic)s AND number = %(old)s""",
        values,
    )


def bury_index(connection: Connection, agent: AgentRef, version: LearntVersion, successor: int) -> None:
    """Makes a version a tombstone; its labels point at the successor (0: the base index)."""
    values = {"organization": agent.organization_id, "agent": agent.agent_id, "old": version.number, "new": successor}
    connection.execute(
        """UPDATE index_versions SET config = '{}', erased_at = now(), successor = %(new)s
        WHERE organization_id = %(organization)s AND agent_id = %(agent)s AND number = %(old)s""",
        values,
    )
    connection.execute(
        """UPDATE index_labels SET number = %(new)s, moved_by = NULL, moved_at = now()
        WHERE organization_id = %(organization)s AND agent_id = %(agent)s AND number = %(old)s""",
        values,
    )


def encoder_of(connection: Connection, agent: AgentRef, number: int) -> UUID:
    """The encoder of a version of the agent's index."""
    row = connection.execute(
        "SELECT encoder_id FROM index_versions WHERE organization_id = %s AND agent_id = %s AND number = %s", [agent.organization_id, agent.agent_id, number]
    ).fetchone()
    assert row is not None
    return UUID(str(row[0]))


def index_kind(connection: Connection, agent: AgentRef, number: int) -> str:
    """What a version of the agent's index changed: index, reranker, expansion or chunk_edit."""
    row = connection.execute(
        "SELECT kind FROM index_versions WHERE organization_id = %s AND agent_id = %s AND number = %s", [agent.organization_id, agent.agent_id, number]
    ).fetchone()
    assert row is not None
    return str(row[0])


def terms_of_documents(connection: Connection, agent: AgentRef, terms: Sequence[str]) -> set[str]:
    """Of these analyzed terms those that chunks of documents hold."""
    rows = connection.execute(
        "SELECT DISTINCT term FROM lexical_postings WHERE organization_id = %s AND term = ANY(%s)", [agent.organization_id, list(terms)]
    ).fetchall()
    return {str(term) for (term,) in rows}


def questions(connection: Connection, agent: AgentRef) -> tuple[list[str], list[str]]:
    """What the person asked this agent, and what others did."""
    own = connection.execute(
        """SELECT e.query FROM retrieval_events e JOIN erased_events x ON x.event_id = e.id WHERE e.organization_id = %(organization)s
            AND (e.agent_id IS NULL OR e.agent_id = %(agent)s)
        UNION SELECT q.text FROM retrieval_answers r JOIN erased_executions x ON x.execution_id = r.execution_id
            JOIN retrieval_queries q ON q.organization_id = r.organization_id AND q.agent_id = r.agent_id AND q.id = r.question_id
        WHERE r.organization_id = %(organization)s AND r.agent_id = %(agent)s""",
        {"organization": agent.organization_id, "agent": agent.agent_id},
    ).fetchall()
    others = connection.execute(
        """SELECT q.text FROM retrieval_queries q WHERE q.organization_id = %(organization)s AND q.agent_id = %(agent)s AND (
            EXISTS (SELECT FROM retrieval_events e WHERE e.organization_id = q.organization_id AND e.question_id = q.id
                AND NOT EXISTS (SELECT FROM erased_events x WHERE x.event_id = e.id))
            OR EXISTS (SELECT FROM retrieval_answers r WHERE r.organization_id = q.organization_id AND r.agent_id = q.agent_id AND r.question_id = q.id
                AND NOT EXISTS (SELECT FROM erased_executions x WHERE x.execution_id = r.execution_id)))""",
        {"organization": agent.organization_id, "agent": agent.agent_id},
    ).fetchall()
    return [str(text) for (text,) in own], [str(text) for (text,) in others]


def endpoint_models(connection: Connection, organization_id: UUID) -> list[str]:
    """Names of fine-tuned models that lie at an endpoint."""
    rows = connection.execute(
        """SELECT DISTINCT config ->> 'model' FROM behavior_versions WHERE organization_id = %s AND kind = 'fine_tune' AND config ->> 'engine' = 'openai'
        AND config ->> 'model' IS NOT NULL ORDER BY 1""",
        [organization_id],
    ).fetchall()
    return [str(name) for (name,) in rows]


def proposals_about(connection: Connection, agent: AgentRef, kinds: Collection[str], version_kind: str | None, number: int) -> list[UUID]:
    """Open proposals whose subject is this version."""
    rows = connection.execute(
        """SELECT id FROM proposals WHERE organization_id = %s AND agent_id = %s AND state = 'open' AND kind = ANY(%s)
        AND (%s::text IS NULL OR subject ->> 'kind' = %s) AND subject ->> 'version' = %s ORDER BY created_at, id""",
        [agent.organization_id, agent.agent_id, list(kinds), version_kind, version_kind, str(number)],
    ).fetchall()
    return [row[0] for row in rows]


def say_erasing(connection: Connection) -> None:
    """Lets this transaction add successors of what runs made that it ends (migration 0050)."""
    connection.execute("SELECT set_config('app.erasing', 'on', true)")


def cancel_runs(connection: Connection, organization_id: UUID, agents: Collection[UUID], why: str) -> list[UUID]:
    """Ends every run of these agents that is under way or would be gone on with: it has read what is erased. Their ids."""
    rows = connection.execute(
        """UPDATE training_runs SET status = 'cancelled', error = %s, completed_at = now()
        WHERE organization_id = %s AND agent_id = ANY(%s) AND status IN ('pending', 'running', 'failed') RETURNING id""",
        [why, organization_id, list(agents)],
    ).fetchall()
    return [row[0] for row in rows]
