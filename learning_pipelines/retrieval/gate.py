"""A changed index meets the one that serves on the test queries, and becomes a version with a proposal if, and only if, it is better and harms nothing.

Belongs here: which parts of the queries are under guard, scoring both, version and proposal. Not here: learning (training.py), statistics and the
order of a test (acceptance/), SQL. Every kind of change goes this way: index, reranker, expansion, chunk_edit.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import numpy as np

from learning_pipelines.acceptance import meeting
from learning_pipelines.acceptance.approval import open_proposal
from learning_pipelines.acceptance.gate import Evidence, Rules, Verdict
from learning_pipelines.acceptance.guards import Guard
from learning_pipelines.acceptance.index_change import described
from learning_pipelines.retrieval.evaluation import evaluate_judged
from learning_pipelines.retrieval.index import KINDS, IndexConfig
from learning_pipelines.retrieval.judged import judged_queries
from learning_pipelines.retrieval.loaded import Loaded
from learning_pipelines.retrieval.metrics import Measured
from learning_pipelines.retrieval.task import JudgedQuery
from learning_pipelines.settings import Settings
from learning_pipelines.storage import acceptance, audit, indexes, retrieval_runs, training_runs
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.indexes import IndexVersion
from learning_pipelines.storage.tenants import AgentRef

OLD, NEW, EARLIER, LATER, GENERAL = "old topics", "new topics", "earlier half", "later half", "general questions"


@dataclass(frozen=True, slots=True)
class Tested:
    """The gate's word, and what both scored. `detectable`: the smallest true gain that so many queries with this spread show with 80 % power."""

    verdict: Verdict
    reason: str
    evidence: Evidence
    guards: tuple[Guard, ...]
    incumbent: Measured
    candidate: Measured
    detectable: float

    def numbers(self) -> dict[str, Any]:
        """What a version keeps: both with intervals, the evidence, the guards."""
        return {
            "candidate": self.candidate.as_json(), "incumbent": self.incumbent.as_json(), "test": self.evidence.as_json(),
            "guards": [one.as_json() for one in self.guards], "detectable": self.detectable,
        }  # fmt: skip


def kind_of(config: IndexConfig, serving: IndexConfig) -> str:
    """What a configuration changes: the chunks, the expansion or the re-ranker alone, else the index as a whole."""
    alone = {"chunk_edit": "chunk_edit", "expansion": "expansion", "reranker": "reranker"}
    parts = ("lexical_weight", "encoder", "adapter", "reranker", "expansion", "chunk_edit")
    changed = [name for name in parts if getattr(config, name) != getattr(serving, name)]
    return alone.get(changed[0], "index") if len(changed) == 1 else "index"


def slices(test: Sequence[JudgedQuery], train: Sequence[JudgedQuery], asked_at: Mapping[str, dt.datetime]) -> dict[str, set[str]]:
    """Parts of the test queries that must not be harmed: about passages that train feedback had or not, asked in the earlier or the later half."""
    known = {document for query in train for document in query.documents}
    old = {query.id for query in test if any(gain > 0 and document in known for document, gain in query.documents.items())}
    in_order = sorted((query.id for query in test if query.id in asked_at), key=lambda query: (asked_at[query], query))
    half = len(in_order) // 2
    return {OLD: old, NEW: {query.id for query in test} - old, EARLIER: set(in_order[:half]), LATER: set(in_order[half:])}


def put_to_test(
    connection: Connection, agent: AgentRef, settings: Settings, loaded: Loaded, kind: str, candidate: IndexVersion, serving: IndexVersion, run_id: UUID
) -> Tested:
    """Candidate and serving version on the agent's test queries. The level is spent before the first is scored; a run that resumes gets its own test
    back, on the same queries, with its verdict if it has one.

    `candidate` may be unserved (evaluation.unserved); its vectors and artifacts are there. Raises what encoders and artifacts raise.
    """
    assert kind in KINDS
    test = {query.id: query for query in judged_queries(connection, agent, "test")}
    before = meeting.test_of(connection, agent, kind, run_id)
    if before is not None and set(items := [one.example_id for one in acceptance.item_scores(connection, agent, before.id)]) <= set(test):
        test = {item: test[item] for item in items}
    reserved = meeting.reserve(
        connection, agent, kind, list(test), training_run_id=run_id, candidate=_content(candidate), incumbent=_content(serving)
    )  # fmt: skip
    asked = list(test.values())
    old, new = (evaluate_judged(connection, agent.organization_id, agent.agent_id, one, loaded, asked) for one in (serving, candidate))
    scores = {item: (score, new.of()[item]) for item, score in old.of().items()}
    rules = Rules.of(settings)
    evidence = meeting.concluded(reserved) or meeting.conclude(
        connection, agent, reserved, scores, rules,
        slices=slices(asked, judged_queries(connection, agent, "train"), retrieval_runs.asked_at(connection, agent, "test")),
        outside=_general(loaded, candidate, serving),
    )  # fmt: skip
    kept = meeting.test_of(connection, agent, kind, run_id)
    assert kept is not None, "it was reserved above"
    found = Tested(evidence.verdict, evidence.reason, evidence, tuple(meeting.guards(kept)), old, new, _detectable(scores, evidence))
    training_runs.measured(connection, agent, run_id, {"test": found.numbers()})
    return found


def propose(
    connection: Connection, agent: AgentRef, settings: Settings, kind: str, candidate: IndexVersion, serving: IndexVersion, tested: Tested, run_id: UUID,
    dagster_run_id: str | None,
) -> tuple[int, UUID]:  # fmt: skip
    """(version, proposal) of a change that the gate called better; the training run is complete then. Nothing serves before it is approved."""
    assert tested.verdict is Verdict.BETTER
    with connection.transaction():
        number = indexes.add(
            connection, agent, encoder_id=candidate.encoder.id, kind=kind, parent=serving.number, config=candidate.config, metrics=tested.numbers(),
            training_run_id=run_id,
        )  # fmt: skip
        audit.record(
            connection, agent.organization_id, actor="pipeline", action="learnt", kind="index_version", subject=f"{agent.agent}/{number}",
            fields=["config", "encoder"], after=[candidate.config, candidate.encoder.name],
        )  # fmt: skip
        proposal = open_proposal(
            connection, agent, kind=kind, verdict="better", subject={"version": number}, incumbent=described(serving),
            evidence={**tested.evidence.as_json(), "guards": [one.as_json() for one in tested.guards], "metrics": tested.candidate.means(),
                      "incumbent_metrics": tested.incumbent.means()},
            training_run_id=run_id, dagster_run_id=dagster_run_id, auto_approve=settings.auto_approve, settings=settings,
        )  # fmt: skip
        training_runs.completed(connection, agent, run_id, best=tested.candidate.means(), requires_review=True)
    return number, proposal


def _content(version: IndexVersion) -> dict[str, Any]:
    """What a version answers by, whatever its number: the same content is the same test."""
    return {"encoder": version.encoder.name, "config": {name: value for name, value in version.config.items() if name != "notes"}}


def _general(loaded: Loaded, candidate: IndexVersion, serving: IndexVersion) -> dict[str, list[tuple[float, float]]]:
    """For a learnt encoder: both on questions of general knowledge. It must not forget what the agent's own questions cannot show."""
    if candidate.encoder.name == serving.encoder.name:
        return {}
    from learning_pipelines.retrieval.learning.general import general_scores, general_set

    chosen = general_set()
    pairs = zip(*(general_scores(loaded.encoder(one.encoder), chosen) for one in (serving, candidate)), strict=True)
    return {GENERAL: [(before, after) for before, after in pairs]}


def _detectable(scores: Mapping[str, tuple[float, float]], evidence: Evidence) -> float:
    """By the normal approximation, with the spread that was seen: (z_1-alpha + z_.8) · sd / √n."""
    from scipy.stats import norm  # slow to import

    differences = np.array([after - before for before, after in scores.values()])
    if len(differences) < 2:
        return 1.0
    return float(min(1.0, (norm.isf(evidence.alpha) + norm.isf(0.2)) * differences.std(ddof=1) / np.sqrt(len(differences))))
