"""What a proposal is about, for whoever reviews it: what the candidate holds, what it was measured against holds, and by which metric.

Belongs here: from the versions that a proposal names to plain values. Not here: verdicts and numbers (the proposal's own evidence), deciding (approval.py).
"""

from __future__ import annotations

from typing import Any

from learning_pipelines.acceptance import behavior_change
from learning_pipelines.prompts.metric_options import metric_of_agent
from learning_pipelines.retrieval.metrics import NDCG
from learning_pipelines.storage import behavior_versions, indexes, prompts, tenants
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.proposals import Proposal
from learning_pipelines.storage.tenants import AgentRef

STEPS = "share of steps"
"""Of policies and playbooks: the steps of an expert's demonstration, its end included, whose type was named first."""


def contents(connection: Connection, agent: AgentRef, proposal: Proposal) -> dict[str, Any]:
    """{metric, candidate, incumbent}; a side is None where nothing learnt (number 0) or nothing that is still there stands for it."""
    new, old = (int(side["version"]) for side in (proposal.subject, proposal.incumbent))
    return {
        "metric": _metric(connection, agent, proposal), "candidate": _content(connection, agent, proposal, new),
        "incumbent": _content(connection, agent, proposal, old),
    }  # fmt: skip


def _content(connection: Connection, agent: AgentRef, proposal: Proposal, number: int) -> dict[str, Any] | None:
    if proposal.kind == "prompt":
        prompt = prompts.version(connection, agent, number)
        return None if prompt is None else {"messages": prompt.messages, "serving": prompt.serving, "model": prompt.model, "strategy": prompt.strategy}
    if proposal.kind in behavior_change.SUBJECTS:
        kind, _ = behavior_change.about(proposal.subject)
        found = next((behavior_versions.version(connection, agent, one, number) for one in behavior_change.KINDS if one == kind), None)
        return None if found is None else found.config
    index = indexes.version(connection, agent, number)
    return None if index is None else {"encoder": index.encoder.name, **index.config}


def _metric(connection: Connection, agent: AgentRef, proposal: Proposal) -> str:
    kind, _ = behavior_change.about(proposal.subject)
    if kind in ("policy", "playbook"):
        return STEPS
    if proposal.kind == "prompt" or proposal.kind in behavior_change.SUBJECTS:
        stored, labels = tenants.answers_of(connection, agent)
        return str(metric_of_agent(stored, labels)["type"])
    return NDCG
