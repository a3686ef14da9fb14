"""What a run of retrieval training reads beside judged queries: when they were asked, what everything was, what a run offered so far.

Belongs here: SQL over retrieval_queries, knowledge_chunks and training_runs for training and its gate. Not here: judged queries themselves
(judged_queries.py), versions and labels (indexes.py), tests (acceptance.py).
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.tenants import AgentRef

_HELPED = "jsonb_path_exists(q.documents, '$.* ? (@ > 0)')"


@dataclass(frozen=True, slots=True)
class Setup:
    """Whether an agent may learn, what its organization sets instead of the installation, and its judged queries with an answer that helped, by
    split. `content` changes with every judgement and every chunk of the agent's corpus."""

    learning_enabled: bool
    thresholds: dict[str, int]
    queries: dict[str, int]
    content: str


def setup(connection: Connection, agent: AgentRef) -> Setup:
    """What the next run would find. One pass over the agent's judged queries and chunk ids."""
    values = {"organization": agent.organization_id, "agent": agent.agent_id}
    enabled = connection.execute(
        """SELECT a.learning_enabled, o.settings FROM agents a JOIN organizations o USING (organization_id)
        WHERE a.organization_id = %(organization)s AND a.id = %(agent)s""",
        values,
    ).fetchone()
    assert enabled is not None  # the caller has the agent
    rows = connection.execute(
        f"""SELECT q.split, count(*), sum(hashtextextended(q.id || q.documents::text || q.chunks::text, 0))::text FROM retrieval_queries q
        WHERE q.organization_id = %(organization)s AND q.agent_id = %(agent)s AND q.split IS NOT NULL AND {_HELPED} GROUP BY 1 ORDER BY 1""",
        values,
    ).fetchall()
    chunks = connection.execute(
        """SELECT concat(count(*), '/', sum(hashtextextended(id, 0))) FROM knowledge_chunks
        WHERE organization_id = %(organization)s AND (agent_id = %(agent)s OR agent_id IS NULL) AND is_active AND edit_id IS NULL""",
        values,
    ).fetchone()
    assert chunks is not None
    content = " ".join([*(f"{split} {count} {content}" for split, count, content in rows), str(chunks[0])])
    return Setup(bool(enabled[0]), dict(enabled[1]), {str(split): int(count) for split, count, _ in rows}, content)


def query_ids(connection: Connection, agent: AgentRef, split: str) -> list[str]:
    """Ids of the split's queries that something helped with."""
    rows = connection.execute(
        f"SELECT q.id FROM retrieval_queries q WHERE q.organization_id = %s AND q.agent_id = %s AND q.split = %s AND {_HELPED} ORDER BY q.id",
        [agent.organization_id, agent.agent_id, split],
    ).fetchall()
    return [str(query) for (query,) in rows]


def asked_at(connection: Connection, agent: AgentRef, split: str) -> dict[str, dt.datetime]:
    """When each query of a split was first asked."""
    rows = connection.execute(
        "SELECT id, first_at FROM retrieval_queries WHERE organization_id = %s AND agent_id = %s AND split = %s",
        [agent.organization_id, agent.agent_id, split],
    ).fetchall()
    return {str(query): moment for query, moment in rows}


def measured(connection: Connection, agent: AgentRef, run_id: UUID) -> dict[str, Any]:
    """What a training run has measured and offered so far."""
    row = connection.execute(
        "SELECT metrics FROM training_runs WHERE organization_id = %s AND agent_id = %s AND id = %s", [agent.organization_id, agent.agent_id, run_id]
    ).fetchone()
    return {} if row is None else dict(row[0])


def cancel_others(connection: Connection, agent: AgentRef, run_id: UUID) -> list[UUID]:
    """Ends the agent's other runs that are running or failed, for good; their ids. Call it with the agent's training locked."""
    rows = connection.execute(
        """UPDATE training_runs SET status = 'cancelled', completed_at = now() WHERE organization_id = %s AND agent_id = %s
        AND training_type = 'rag_tuning' AND status IN ('running', 'failed') AND id <> %s RETURNING id""",
        [agent.organization_id, agent.agent_id, run_id],
    ).fetchall()
    return [identity for (identity,) in rows]


def drop_unused_encoders(connection: Connection, agent: AgentRef, run_id: UUID) -> int:
    """Encoders that a run learnt and no index version uses go, with their vectors. Returns how many."""
    return connection.execute(
        """DELETE FROM encoder_versions e WHERE organization_id = %s AND agent_id = %s AND training_run_id = %s AND NOT EXISTS (
            SELECT FROM index_versions v WHERE v.organization_id = e.organization_id AND v.encoder_id = e.id)""",
        [agent.organization_id, agent.agent_id, run_id],
    ).rowcount


def history(connection: Connection, agent: AgentRef, limit: int = 50) -> list[tuple[dt.datetime, float, float]]:
    """(when, nDCG@10 of what served, of the candidate) of the agent's tested runs, oldest first."""
    rows = connection.execute(
        """SELECT completed_at, metrics #>> '{test,incumbent,metrics,ndcg@10}', metrics #>> '{test,candidate,metrics,ndcg@10}' FROM training_runs
        WHERE organization_id = %s AND agent_id = %s AND training_type = 'rag_tuning' AND status = 'completed' AND metrics ? 'test'
        ORDER BY completed_at DESC LIMIT %s""",
        [agent.organization_id, agent.agent_id, limit],
    ).fetchall()
    return [(when, float(before), float(after)) for when, before, after in reversed(rows) if before is not None and after is not None]
