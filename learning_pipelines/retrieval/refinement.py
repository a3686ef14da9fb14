"""Changes that are proposed alone, beside what the index as a whole learns: a query expansion, an edit of chunks. Each meets what serves in its own test.

Belongs here: the steps of such a run, which a killed one takes up. Not here: what is learnt (learning/associations.py, learning/editing.py), the gate
(gate.py), SQL. Most runs end without a proposal, and say why: the level of a test is spent only by what gained on validation.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

import orjson

from learning_pipelines.acceptance.beginning import DISABLED, needed
from learning_pipelines.acceptance.gate import Rules, Verdict
from learning_pipelines.acceptance.index_change import described
from learning_pipelines.acceptance.meeting import next_plan
from learning_pipelines.errors import LearningError
from learning_pipelines.retrieval import gate
from learning_pipelines.retrieval.artifacts import delete, publish
from learning_pipelines.retrieval.chunk_edits import MOST_OPERATIONS, edit
from learning_pipelines.retrieval.encoders import Encoders
from learning_pipelines.retrieval.evaluation import unserved
from learning_pipelines.retrieval.gate import Tested, put_to_test
from learning_pipelines.retrieval.index import IndexConfig
from learning_pipelines.retrieval.knowledge import embed
from learning_pipelines.retrieval.learning.associations import ExpansionLearner
from learning_pipelines.retrieval.learning.editing import EditLearner
from learning_pipelines.retrieval.lexical import refresh_lexical
from learning_pipelines.retrieval.loaded import Loaded
from learning_pipelines.retrieval.preparation import TRAINING
from learning_pipelines.retrieval.task import Progress, Training
from learning_pipelines.retrieval.training_data import training_of
from learning_pipelines.settings import Settings
from learning_pipelines.storage import chunk_edits, indexes, retraining, retrieval_runs, training_runs
from learning_pipelines.storage.chunk_edits import Operation
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.indexes import IndexVersion
from learning_pipelines.storage.tenants import AgentRef

Kind = Literal["expansion", "chunk_edit"]
RULES = "1"
"""Part of the fingerprint: bumped when what is learnt or the choice changes, so that repeating a run can find something else."""
UNNAMED_DAYS = 7
"""How long an edit that no version names waits for the run that made it."""


@dataclass(frozen=True, slots=True)
class Refined:
    """What a run of one kind led to. `reason`: why there is no proposal, '' if there is one. `numbers`: of learning and of the edit that serves.
    `against`: the version that served."""

    reason: str
    numbers: Mapping[str, float] = field(default_factory=dict)
    tested: Tested | None = None
    version: int | None = None
    proposal: UUID | None = None
    training_run: UUID | None = None
    against: int = 0


@dataclass(frozen=True, slots=True)
class Run:
    """What every step needs. `progress` gets no text of users."""

    connection: Connection
    agent: AgentRef
    settings: Settings
    encoders: Encoders
    loaded: Loaded
    folder: Path
    progress: Progress
    dagster_run_id: str | None = None


def refine(run: Run, kind: Kind) -> Refined:
    """Learns, tests and proposes one change of what serves now. The caller trains this agent alone (training_runs.lock_agent) and has brought
    knowledge and judged queries up to date. Raises what encoders, artifacts and the database raise; the training run is then failed, and taken up
    by the next one."""
    connection, agent = run.connection, run.agent
    numbers = _tidied(connection, agent) if kind == "chunk_edit" else {}
    serving = indexes.serving(connection, agent.organization_id, agent.agent_id)
    if serving is None:
        return Refined("there is no index: import documents first (kind documents)")
    fingerprint = _fingerprint(kind, retrieval_runs.setup(connection, agent).content, serving)
    if (why_not := _not_now(run, kind, fingerprint)) is not None:
        return Refined(why_not, numbers)
    config = {"fingerprint": fingerprint, "kind": kind, "serving": described(serving), "seed": int(fingerprint[:8], 16)}
    begun = training_runs.begin(connection, agent, TRAINING, dataset_id=None, config=config, dagster_run_id=run.dagster_run_id)
    try:
        return _refined(run, kind, serving, begun.id, int(fingerprint[:8], 16), numbers)
    except Exception as error:
        if not connection.closed:
            training_runs.failed(connection, agent, begun.id, str(error) if isinstance(error, LearningError) else type(error).__name__)
        raise


def _refined(run: Run, kind: Kind, serving: IndexVersion, run_id: UUID, seed: int, numbers: Mapping[str, float]) -> Refined:
    connection, agent, said = run.connection, run.agent, list[str]()

    def progress(share: float, line: str, values: Mapping[str, float]) -> None:
        said.append(line)
        run.progress(0.7 * share, line, values)

    training = _adapted(run, training_of(connection, agent, serving, run.encoders, run.folder, seed), serving)
    learn = {"expansion": _expansion, "chunk_edit": _edit}[kind]
    learnt = learn(run, training, serving, run_id, progress)
    if learnt is None:
        training_runs.completed(connection, agent, run_id, best={}, requires_review=False)
        return Refined(said[-1] if said else "nothing was learnt", numbers, training_run=run_id)
    config, learnt_numbers = learnt
    candidate, numbers = unserved(serving, config), {**numbers, **learnt_numbers}
    tested = put_to_test(connection, agent, run.settings, run.loaded, kind, candidate, serving, run_id)
    if tested.verdict is not Verdict.BETTER:
        training_runs.completed(connection, agent, run_id, best={}, requires_review=False)
        _forgotten(run, kind, config)
        return Refined(f"{tested.verdict.value}: {tested.reason}", numbers, tested, training_run=run_id)
    version, proposal = gate.propose(connection, agent, run.settings, kind, candidate, serving, tested, run_id, run.dagster_run_id)
    return Refined("", numbers, tested, version, proposal, run_id, serving.number)


def _expansion(run: Run, training: Training, serving: IndexVersion, run_id: UUID, progress: Progress) -> tuple[IndexConfig, Mapping[str, float]] | None:
    before = training.serving.expansion
    learnt = ExpansionLearner(None if before is None else run.loaded.expansion(before)).learn(training, training.serving, progress)
    return None if learnt is None else (publish(run.settings, run.agent, training.folder, learnt.config), learnt.numbers)


def _edit(run: Run, training: Training, serving: IndexVersion, run_id: UUID, progress: Progress) -> tuple[IndexConfig, Mapping[str, float]] | None:
    """The edit is stored with its postings and vectors, which no version shows yet. What serves already is taken over into it."""
    connection, agent, before = run.connection, run.agent, training.serving
    hidden = set(chunk_edits.edit_of(connection, agent.organization_id, before.chunk_edit).hidden)
    chunks = [chunk for chunk in chunk_edits.base_chunks(connection, agent) if chunk.id not in hidden]
    expansion = None if before.expansion is None else run.loaded.expansion(before.expansion)
    learnt = EditLearner(chunks, expansion).learn(training, progress)
    if learnt is None:
        return None
    kept: Sequence[Operation] = [] if before.chunk_edit is None else chunk_edits.operations_in(connection, agent.organization_id, before.chunk_edit)
    identity, operations = edit(agent.agent_id, [*kept, *learnt.operations][:MOST_OPERATIONS])
    chunk_edits.add_edit(connection, agent, identity, operations, run_id)
    refresh_lexical(connection, agent.organization_id)
    embed(connection, agent.organization_id, serving.encoder, training.encoder, agent.agent_id)
    return replace(before, chunk_edit=str(identity)), {**learnt.numbers, "kept": float(len(kept))}


def _forgotten(run: Run, kind: Kind, config: IndexConfig) -> None:
    """What was learnt and is not proposed leaves nothing behind, unless a version names the same."""
    connection, agent = run.connection, run.agent
    if kind == "chunk_edit" and config.chunk_edit is not None:
        chunk_edits.drop_edit(connection, agent.organization_id, config.chunk_edit)
    if kind == "expansion" and config.expansion is not None:
        used = {IndexConfig.from_json(version.config).expansion for version in indexes.listed(connection, agent)}
        if config.expansion not in used:
            delete(run.settings, config.expansion)


def _adapted(run: Run, training: Training, serving: IndexVersion) -> Training:
    """Question vectors as the serving version turns them, so that a change is chosen beside what serves."""
    if training.serving.adapter is None:
        return training
    from learning_pipelines.retrieval.learning.adapter import apply

    matrix = run.loaded.adapter(training.serving.adapter, serving.encoder.dimensions)
    return replace(training, train_vectors=apply(matrix, training.train_vectors), validation_vectors=apply(matrix, training.validation_vectors))


def _not_now(run: Run, kind: Kind, fingerprint: str) -> str | None:
    connection, agent = run.connection, run.agent
    found = retrieval_runs.setup(connection, agent)
    if not found.learning_enabled:
        return DISABLED
    again = retraining.due(connection, agent, kind) is not None
    if not again and (before := training_runs.completed_with(connection, agent, TRAINING, fingerprint)) is not None:
        return f"nothing changed since training run {before}: the same feedback, documents and index; what it found stands"
    if training_runs.unfinished_with(connection, agent, TRAINING, fingerprint):
        return None  # its test may be reserved, and counts for the next one only
    if empty := [split for split in ("train", "validation", "test") if not found.queries.get(split)]:
        return f"no judged query is in the split {' and '.join(empty)}"
    test = retrieval_runs.query_ids(connection, agent, "test")
    planned = next_plan(connection, agent, kind, test, Rules.of(run.settings))
    if not planned.enough:
        return f"{len(test)} test queries, {needed(planned, 'these queries')}"
    return None


def _tidied(connection: Connection, agent: AgentRef) -> dict[str, float]:
    """Operations whose documents changed are void and go; edits that no version names go after a while."""
    return {
        "void_operations": float(chunk_edits.drop_void(connection, agent.organization_id)),
        "forgotten_edits": float(chunk_edits.drop_unnamed(connection, agent.organization_id, UNNAMED_DAYS)),
    }


def _fingerprint(kind: Kind, content: str, serving: IndexVersion) -> str:
    """What the outcome of a run depends on."""
    parts: list[Any] = [kind, RULES, content, described(serving)]
    return hashlib.sha256(orjson.dumps(parts, option=orjson.OPT_SORT_KEYS)).hexdigest()
