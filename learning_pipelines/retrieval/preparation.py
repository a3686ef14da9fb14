"""Whether an agent's retrieval can learn now, and from what: or the reason why not.

Belongs here: bringing up to date what is learnt from, thresholds, the fingerprint of a run. Not here: learning (training.py), the gate (gate.py), SQL.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Final

import orjson

from learning_pipelines.acceptance.beginning import DISABLED, NotNow, needed
from learning_pipelines.acceptance.gate import Rules
from learning_pipelines.acceptance.index_change import described
from learning_pipelines.acceptance.meeting import next_plan
from learning_pipelines.errors import LearningError
from learning_pipelines.examples.similarity import rule_of
from learning_pipelines.retrieval.encoders import Encoders
from learning_pipelines.retrieval.knowledge import embed_used, ensure_base, silent
from learning_pipelines.retrieval.loaded import Loaded
from learning_pipelines.retrieval.pairs import new_pairs, refresh_pairs
from learning_pipelines.retrieval.queries import refresh_queries
from learning_pipelines.retrieval.relevance_refresh import refresh_relevance
from learning_pipelines.retrieval.task import Progress
from learning_pipelines.settings import Settings
from learning_pipelines.storage import found_chunks, indexes, retraining, retrieval_runs, training_runs
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.indexes import IndexVersion
from learning_pipelines.storage.retrieval_runs import Setup
from learning_pipelines.storage.tenants import AgentRef

TRAINING: Final = "rag_tuning"
WINDOW_DAYS = 7
TESTED_KINDS = ("index", "reranker")
"""What the winner of a run may turn out to be: which of them is known only then, so there must be queries enough for either's test."""
RULES = "1"
"""Part of the fingerprint: bumped when learners or the choice among them change, so that repeating a run can find something else."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """What one run begins with. `queries`: judged ones by split; `seconds`: how long it may learn."""

    serving: IndexVersion
    queries: Mapping[str, int]
    new_pairs: int
    seconds: float
    fingerprint: str

    @property
    def seed(self) -> int:
        return int(self.fingerprint[:8], 16)

    @property
    def config(self) -> dict[str, Any]:
        """What the training run keeps of it; `restore` gives the same run back."""
        return {
            "fingerprint": self.fingerprint, "seed": self.seed, "serving": described(self.serving), "queries": dict(self.queries),
            "new_pairs": self.new_pairs, "seconds": self.seconds,
        }  # fmt: skip


def bring_up_to_date(
    connection: Connection, agent: AgentRef, settings: Settings, encoders: Encoders, progress: Progress = silent
) -> dict[str, dict[str, int]]:
    """Documents → chunks → base index and the vectors of what serves; retrieval feedback → judged queries → training pairs and
    relevance of chunks. Cost follows what is new. Returns what was done by the table it was done to; without a document there is nothing to do."""
    if not found_chunks.any_document(connection, agent.organization_id, agent.agent_id):
        return {}
    base = ensure_base(connection, agent.organization_id, encoders, agent_id=agent.agent_id, progress=progress)
    learnt = embed_used(connection, agent.organization_id, encoders, agent.agent_id, progress)
    refresh_queries(connection, agent, rule=rule_of(settings), shares=settings.split_shares, open_encoder=encoders.base)
    with closing(Loaded(settings, encoders.of)) as loaded:
        paired = refresh_pairs(connection, agent, loaded=loaded)
    relevant = refresh_relevance(connection, agent)
    return {
        "knowledge_chunks": {"documents_chunked_now": base.chunking.documents, "added": base.chunking.written.added},
        "chunk_embeddings": {"encoded_now": sum(base.vectors.values()) + sum(learnt.values())},
        "embedding_training_pairs": {"questions_paired": paired.questions, "new_pairs": paired.new, "withdrawn_pairs": paired.withdrawn},
        "chunk_relevance": {"fitted_now": relevant.chunks},
    }


def prepare(connection: Connection, agent: AgentRef, settings: Settings) -> Prepared | NotNow:
    """The run that would be made now; call bring_up_to_date first. A run that ended early is gone on with whatever the thresholds say."""
    found = retrieval_runs.setup(connection, agent)
    if not found.learning_enabled:
        return NotNow(DISABLED)
    serving = indexes.serving(connection, agent.organization_id, agent.agent_id)
    if serving is None or not found_chunks.any_document(connection, agent.organization_id, agent.agent_id):
        return NotNow("there are no documents to search: import them (kind documents)")
    fresh = new_pairs(connection, agent, WINDOW_DAYS)
    seconds = float(found.thresholds.get("rag_training_seconds", settings.rag_training_seconds))
    prepared = Prepared(serving, found.queries, fresh, seconds, _fingerprint(found, serving, seconds))
    again = retraining.due(connection, agent, TRAINING) is not None
    if not again and (before := training_runs.completed_with(connection, agent, TRAINING, prepared.fingerprint)) is not None:
        return NotNow(f"nothing changed since training run {before}: the same feedback, documents and index; its verdict stands")
    if training_runs.unfinished_with(connection, agent, TRAINING, prepared.fingerprint):
        return prepared  # its test may be reserved, and counts for the next one only
    least = 0 if again else int(found.thresholds.get("rag_min_pairs", settings.rag_min_pairs))
    if fresh < least:
        return NotNow(f"{fresh} new training pairs in the last {WINDOW_DAYS} days, {least} are needed")
    if missing := _untestable(connection, agent, found, settings):
        return NotNow(missing)
    return prepared


def restore(connection: Connection, agent: AgentRef, config: Mapping[str, Any]) -> Prepared:
    """The run of a stored configuration. Raises LearningError where another index serves than the one it began with."""
    serving = indexes.serving(connection, agent.organization_id, agent.agent_id)
    if serving is None or described(serving) != config["serving"]:
        raise LearningError("Another index serves than when this run began.", "Run the job again: it begins anew, against what serves now.")
    return Prepared(serving, config["queries"], config["new_pairs"], config["seconds"], config["fingerprint"])


def _untestable(connection: Connection, agent: AgentRef, found: Setup, settings: Settings) -> str | None:
    """Why nothing could be learnt, chosen or seen by the gate; None if it could."""
    if empty := [split for split in ("train", "validation", "test") if not found.queries.get(split)]:
        return f"no judged query is in the split {' and '.join(empty)}: more feedback on search results is needed, of more people and about more passages"
    test = retrieval_runs.query_ids(connection, agent, "test")
    plans = [next_plan(connection, agent, kind, test, Rules.of(settings)) for kind in TESTED_KINDS]
    planned = max(plans, key=lambda one: one.missing_items)
    if not planned.enough:
        return f"{len(test)} test queries, {needed(planned, 'these queries')}: about {planned.missing_examples} more judged queries bring them"
    return None


def _fingerprint(found: Setup, serving: IndexVersion, seconds: float) -> str:
    """What the outcome of a run depends on. Equal: the same queries, judgements, chunks, index and time, so the same learning."""
    parts = [RULES, found.content, described(serving), seconds]
    return hashlib.sha256(orjson.dumps(parts, option=orjson.OPT_SORT_KEYS)).hexdigest()
