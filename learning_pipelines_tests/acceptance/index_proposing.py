"""An agent with a base index and learnt versions that may be proposed.

Belongs here: what tests of approving an index share. Not here: assertions.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from learning_pipelines.acceptance.approval import open_proposal
from learning_pipelines.acceptance.index_change import described
from learning_pipelines.retrieval.index import IndexConfig
from learning_pipelines.retrieval.knowledge import ensure_base
from learning_pipelines.storage import indexes
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.tenants import AgentRef
from learning_pipelines_tests.retrieval.fake_encoders import fake_encoders


def corpus(connection: Connection, load: Any, agent: AgentRef) -> None:
    """Two documents, one of them the agent's own, in the organization's base index."""
    rows = [{"document_id": f"{agent.agent}-vat", "text": "VAT is due."}, {"document_id": f"{agent.agent}-tax", "text": "Tax in May.", "agent": agent.agent}]
    assert load("documents", rows, agent.organization).rejected == 0
    ensure_base(connection, agent.organization_id, fake_encoders()[1])


def learnt(connection: Connection, agent: AgentRef, config: IndexConfig | None = None, kind: str = "index", **more: Any) -> int:
    """A learnt version over the base index's encoder (or `encoder_id`)."""
    base = indexes.base(connection, agent.organization_id)
    assert base is not None
    given: dict[str, Any] = {"encoder_id": base.encoder.id, "parent": 0, "metrics": {}, "training_run_id": None, **more}
    return indexes.add(connection, agent, kind=kind, config=(config or IndexConfig(lexical_weight=0.3)).as_json(), **given)


def proposed(connection: Connection, agent: AgentRef, number: int, against: int = 0, kind: str = "index", **more: Any) -> UUID:
    incumbent = indexes.version(connection, agent, against)
    assert incumbent is not None
    given: dict[str, Any] = {"verdict": "better", "evidence": {}, **more}
    return open_proposal(connection, agent, kind=kind, subject={"version": number}, incumbent=described(incumbent), **given)


def labels(connection: Connection, agent: AgentRef) -> tuple[int | None, ...]:
    return tuple(indexes.label_target(connection, agent, label) for label in ("serving", "candidate", "previous"))  # type: ignore[arg-type]
