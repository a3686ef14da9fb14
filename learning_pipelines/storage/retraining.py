"""What is due to be learnt anew since a person was erased that it was learnt from, whatever its thresholds say.

Belongs here: SQL of retraining_due. Not here: which things saw the person (feedback/erasure/retraining.py), the runs that
ask (prompts/, behavior/, retrieval/).

A part is named as training_runs names it: config.part (behavior_policy, playbooks, rules, guidance), else config.kind (expansion, chunk_edit), else the
training type (prompt_optimization, rag_tuning, fine_tuning, dpo, rlhf). A mark goes when a run of its part that began later is complete.
"""

from __future__ import annotations

from uuid import UUID

from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.tenants import AgentRef

PART = "coalesce(r.config ->> 'part', r.config ->> 'kind', r.training_type)"


def mark(connection: Connection, agent: AgentRef, part: str, reason: str, erasure_id: UUID) -> None:
    """The next run of this part learns anew."""
    connection.execute(
        """INSERT INTO retraining_due (organization_id, agent_id, kind, reason, erasure_id) VALUES (%s, %s, %s, %s, %s) ON CONFLICT DO NOTHING""",
        [agent.organization_id, agent.agent_id, part, reason, erasure_id],
    )


def due(connection: Connection, agent: AgentRef, part: str) -> str | None:
    """What makes a run of this part learn anew, the same as long as the mark stands; None where nothing does."""
    row = connection.execute(
        "SELECT string_agg(erasure_id::text, '/' ORDER BY erasure_id) FROM retraining_due WHERE organization_id = %s AND agent_id = %s AND kind = %s",
        [agent.organization_id, agent.agent_id, part],
    ).fetchone()
    return None if row is None else row[0]


def done(connection: Connection, organization_id: UUID, run_id: UUID) -> int:
    """Takes away the marks of a complete run's part that were set before it began; how many."""
    return connection.execute(
        f"""DELETE FROM retraining_due d USING training_runs r WHERE r.organization_id = %(organization)s AND r.id = %(run)s
        AND d.organization_id = r.organization_id AND d.agent_id = r.agent_id AND d.kind = {PART} AND d.since <= coalesce(r.started_at, r.created_at)""",
        {"organization": organization_id, "run": run_id},
    ).rowcount
