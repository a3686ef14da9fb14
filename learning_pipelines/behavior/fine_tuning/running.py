"""One run of one method: learn, test, propose; what is recorded, what a failure leaves.

Belongs here: the order of things. Not here: whether to run (preparation.py), learning, the gate (gate.py), SQL, dagster.

Every step can be repeated: what was learnt lies in the run's folder or at the endpoint, a reserved test is got back. Whatever fails, nothing that serves
was touched.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from learning_pipelines.acceptance.gate import Verdict
from learning_pipelines.behavior.fine_tuning import gate, local
from learning_pipelines.behavior.fine_tuning.gate import Tested
from learning_pipelines.behavior.fine_tuning.lessons import ANSWERING, Method
from learning_pipelines.behavior.fine_tuning.outcome import Outcome
from learning_pipelines.behavior.fine_tuning.preparation import TYPES, Prepared
from learning_pipelines.errors import BadInput, LearningError, Unavailable
from learning_pipelines.examples.lifecycle import mark_used
from learning_pipelines.llm_budget import Budget
from learning_pipelines.llm_errors import ModelError
from learning_pipelines.prompts.agent_metric import open_metric
from learning_pipelines.prompts.metrics import Metric
from learning_pipelines.prompts.serving import OpenEncoder
from learning_pipelines.retrieval.artifacts import hash_of
from learning_pipelines.retrieval.index import Artifact
from learning_pipelines.retrieval.learning.child import TrainingKilled
from learning_pipelines.retrieval.task import Progress
from learning_pipelines.retrieval.training import folder_of
from learning_pipelines.settings import Settings
from learning_pipelines.storage import retrieval_runs, training_runs
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.llm_cache import record_usage
from learning_pipelines.storage.tenants import AgentRef

FAILURES = "failures"
MOST_FAILURES = 2
"""So often the same run may fail; after that it waits for other examples, or every month would end in the same alarm."""
LEARNING_SHARE = 0.95


@dataclass(frozen=True, slots=True)
class Done:
    """`tested` None: nothing was learnt that could be tested. `reason`: why nothing is proposed; '' where something is."""

    outcome: Outcome
    tested: Tested | None
    reason: str
    version: int | None = None
    proposal: UUID | None = None
    artifact: Artifact | None = None


def metric_for(connection: Connection, agent: AgentRef, settings: Settings, prepared: Prepared, encoder: OpenEncoder) -> Metric | None:
    """The agent's metric, ready to decide; None for a reward model, which answers nothing. Raises JudgeNotTrusted."""
    if prepared.method not in ANSWERING:
        return None
    budget = Budget()
    try:
        return open_metric(settings, connection, agent, encoder, decides=True, budget=budget).metric
    finally:
        record_usage(connection, agent.organization_id, "judge", budget.take_usage())


def failed_too_often(connection: Connection, agent: AgentRef, run_id: UUID) -> int:
    """How often the run failed, if that is too often to try again; else 0."""
    failures = int(retrieval_runs.measured(connection, agent, run_id).get(FAILURES, 0))
    return failures if failures >= MOST_FAILURES else 0


def run(
    connection: Connection, agent: AgentRef, settings: Settings, prepared: Prepared, run_id: UUID, dagster_run_id: str | None,
    learn: Callable[[Progress], Outcome], progress: Progress,
) -> Done:  # fmt: skip
    """Learns by `learn`, tests and proposes; the training run is complete then. Raises LearningError with the failure counted."""
    mark_used(connection, agent, prepared.dataset.id, run_id)

    def told(share: float, line: str, numbers: dict[str, float]) -> None:
        training_runs.progressed(connection, agent, run_id, LEARNING_SHARE * share)
        progress(share, line, numbers)

    try:
        outcome = learn(told)  # type: ignore[arg-type]
    except LearningError as error:
        if not _of_the_training(error):
            raise
        failures = int(retrieval_runs.measured(connection, agent, run_id).get(FAILURES, 0))
        training_runs.measured(connection, agent, run_id, {FAILURES: failures + 1})
        raise
    sides = {"learnt": outcome.learnt.as_json(), "control": None if outcome.control is None else outcome.control.as_json()}
    training_runs.measured(connection, agent, run_id, {**sides, "left_out": {**prepared.material.lessons.left_out, **outcome.left_out}})
    if outcome.scored is None:
        numbers = outcome.learnt.numbers
        reason = f"validation loss never fell below where it began ({numbers.get('start_validation_loss', 0.0):.4f}), so no test was spent"
        training_runs.completed(connection, agent, run_id, best={}, requires_review=False)
        done = Done(outcome, None, reason)
    else:
        done = _tested(connection, agent, settings, prepared, outcome, run_id, dagster_run_id)
    shutil.rmtree(folder_of(settings, run_id), ignore_errors=True)
    return done


def endpoint_learner(
    connection: Connection, answers: Connection, agent: AgentRef, settings: Settings, prepared: Prepared, run_id: UUID, metric: Metric | None,
    cancelled: Callable[[], bool],
) -> Callable[[Progress], Outcome]:  # fmt: skip
    from learning_pipelines.behavior.fine_tuning import openai_tuning  # imports openai, which takes seconds

    assert metric is not None, "an endpoint trains no reward model"
    return lambda progress: openai_tuning.learn(connection, answers, agent, settings, prepared, run_id, metric, cancelled, progress)


def forget_others(connection: Connection, agent: AgentRef, settings: Settings, method: Method, run_id: UUID) -> None:
    """Runs of the method that ended early over other examples than this one's are not gone on with: their checkpoints go."""
    for other in training_runs.cancel_unfinished(connection, agent, TYPES[method], run_id):
        shutil.rmtree(folder_of(settings, other), ignore_errors=True)


def local_learner(settings: Settings, prepared: Prepared, run_id: UUID, metric: Metric | None) -> Callable[[Progress], Outcome]:
    return lambda progress: local.learn(settings, prepared, run_id, metric, progress)


def _of_the_training(error: LearningError) -> bool:
    """Whether the same examples would most likely fail again; not so where something around them is missing, wrong or not over yet."""
    return isinstance(error, TrainingKilled) or not isinstance(error, Unavailable | BadInput | ModelError)


def _tested(
    connection: Connection, agent: AgentRef, settings: Settings, prepared: Prepared, outcome: Outcome, run_id: UUID, dagster_run_id: str | None
) -> Done:
    tested = gate.put_to_test(connection, agent, settings, prepared, outcome, run_id)
    if tested.verdict is not Verdict.BETTER:
        training_runs.completed(connection, agent, run_id, best={"score": tested.evidence.candidate_mean}, requires_review=False)
        return Done(outcome, tested, f"{tested.verdict.value}: {tested.reason}")
    if outcome.learnt.folder is not None and hash_of(outcome.learnt.folder) != outcome.learnt.content:
        raise LearningError("The learnt adapter is not what was tested.", "Run the job again: it is learnt anew.")
    version, proposal, artifact = gate.propose(connection, agent, settings, prepared, outcome, tested, run_id, dagster_run_id)
    return Done(outcome, tested, "", version, proposal, artifact)
