"""A learnt version of behaviour becomes a proposal: its number, its audit row and the proposal, in one transaction.

Belongs here: making it. Not here: what a version needs to serve and its labels (behavior_change.py), the state of proposals (approval.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from learning_pipelines.acceptance.approval import open_proposal
from learning_pipelines.acceptance.behavior_change import NOTHING, SUBJECTS
from learning_pipelines.retrieval.index import Artifact
from learning_pipelines.settings import Settings
from learning_pipelines.storage import audit, behavior_versions
from learning_pipelines.storage.behavior_versions import Kind
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.prompts import lock_agent
from learning_pipelines.storage.tenants import AgentRef


def propose(
    connection: Connection, agent: AgentRef, settings: Settings, *, kind: str, subject_kind: Kind, topic: str = "", config: Mapping[str, Any],
    artifact: Artifact | None = None, metrics: Mapping[str, Any], evidence: Mapping[str, Any], verdict: Any = "better", incumbent: int | None = None,
    run_id: UUID | None = None, dagster_run_id: str | None = None,
) -> tuple[int, UUID]:  # fmt: skip
    """(number, proposal) of a learnt version, its audit row and its proposal, in one transaction. Nothing serves before it is approved.

    `kind` and `subject_kind` as SUBJECTS pairs them; `artifact` lies in the store already; `incumbent`: number of the version that it was measured
    against (0: nothing learnt; None: what serves now).
    """
    assert subject_kind in SUBJECTS[kind], f"a proposal of kind {kind} is not about {subject_kind}"
    with connection.transaction():
        lock_agent(connection, agent)
        if incumbent is None:
            incumbent = behavior_versions.label_target(connection, agent, subject_kind, "serving", topic) or NOTHING
        number = behavior_versions.add(
            connection, agent, subject_kind, topic=topic, parent=incumbent, config=dict(config), metrics=dict(metrics),
            artifact=None if artifact is None else (artifact.path, artifact.sha256), training_run_id=run_id,
        )  # fmt: skip
        audit.record(
            connection, agent.organization_id, actor="pipeline", action="learnt", kind="behavior_version", subject=f"{agent.agent}/{subject_kind}/{number}",
            fields=["topic", "artifact"], after=[topic, None if artifact is None else artifact.sha256],
        )  # fmt: skip
        proposal = open_proposal(
            connection, agent, kind=kind, verdict=verdict, subject={"kind": subject_kind, "topic": topic, "version": number},
            incumbent={"version": incumbent}, evidence=evidence, training_run_id=run_id, dagster_run_id=dagster_run_id,
            auto_approve=settings.auto_approve, settings=settings,
        )  # fmt: skip
    return number, proposal
