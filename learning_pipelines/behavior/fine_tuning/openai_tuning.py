"""Fine-tuning at an OpenAI-compatible endpoint: the learnt model and its control as two jobs, then all sides asked the test questions.

Belongs here: from prepared lessons to an Outcome, costs, what a restart finds again. Not here: the protocol (openai_jobs.py), the gate.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from learning_pipelines.behavior.fine_tuning.lessons import Lessons
from learning_pipelines.behavior.fine_tuning.openai_jobs import Finished, Jobs, Wanted
from learning_pipelines.behavior.fine_tuning.outcome import Outcome, Scored, Side
from learning_pipelines.behavior.fine_tuning.preparation import Prepared
from learning_pipelines.behavior.fine_tuning.serving import model_of
from learning_pipelines.errors import BadInput
from learning_pipelines.llm import endpoint_of, open_model
from learning_pipelines.llm_budget import Budget
from learning_pipelines.prompts.evaluation import Evaluator
from learning_pipelines.prompts.metrics import Metric
from learning_pipelines.retrieval.task import Progress
from learning_pipelines.settings import Settings
from learning_pipelines.storage import retrieval_runs, training_runs
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.llm_cache import DatabaseCache, record_usage
from learning_pipelines.storage.tenants import AgentRef

LEARNT, CONTROL = "learnt", "control"
CHARS_PER_TOKEN = 2.5
"""Cautious, as for prompts: an estimate that is too high refuses, one that is too low is paid."""
TOKENS_PER_TURN = 8


def learn(
    connection: Connection, answers: Connection, agent: AgentRef, settings: Settings, prepared: Prepared, run_id: UUID, metric: Metric,
    cancelled: Callable[[], bool], progress: Progress, jobs: Jobs | None = None,
) -> Outcome:  # fmt: skip
    """Both jobs side by side at the endpoint; a repeated run takes them up by the ids that the training run keeps.

    `answers`: in autocommit and used for nothing else: the models' answers are kept through it. Raises BadInput for what would cost too much, and what
    openai_jobs raises.
    """
    lessons = prepared.material.lessons
    _require_affordable(settings, prepared)
    stands = jobs or Jobs(endpoint_of(settings), settings.finetune_wait_seconds, lambda line: progress(0.5, line, {}))
    sides = {name: _wanted(prepared, rows, run_id, name) for name, rows in ((LEARNT, lessons), (CONTROL, lessons.shuffled(prepared.seed)))}
    stored = {name: _Stored(connection, agent, run_id, name) for name in sides}
    try:
        for name, wanted in sides.items():
            stands.begin(wanted, stored[name])
        done = {name: stands.run(wanted, stored[name]) for name, wanted in sides.items()}
    except BaseException as error:
        if not isinstance(error, Exception) and cancelled():
            for name, wanted in sides.items():
                stands.cancel(wanted, stored[name])
            training_runs.cancelled(connection, agent, run_id, "It was cancelled, and its jobs with it.")
        raise
    learnt, control = (_side(done[name], sides[name], settings) for name in (LEARNT, CONTROL))

    def scored() -> Scored:
        incumbent = prepared.base.source if prepared.incumbent is None else model_of(prepared.incumbent)
        ask = _Asking(connection, answers, agent, settings, prepared, run_id, metric)
        return Scored(ask.scores(incumbent), ask.scores(str(learnt.model)), ask.scores(str(control.model)), incumbent)

    return Outcome(learnt, control, scored)


@dataclass(frozen=True)
class _Stored:
    """Ids of one job, kept on the training run."""

    connection: Connection
    agent: AgentRef
    run_id: UUID
    name: str

    def read(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = retrieval_runs.measured(self.connection, self.agent, self.run_id).get(f"job: {self.name}", {})
        return found

    def write(self, values: Mapping[str, Any]) -> None:
        training_runs.measured(self.connection, self.agent, self.run_id, {f"job: {self.name}": {**self.read(), **values}})


@dataclass(frozen=True)
class _Asking:
    """One model after the other asked the test questions through the client that everything else uses, cached and on the run's account."""

    connection: Connection
    answers: Connection
    agent: AgentRef
    settings: Settings
    prepared: Prepared
    run_id: UUID
    metric: Metric

    def scores(self, model: str) -> dict[str, float]:
        budget = Budget(calls=3 * len(self.prepared.material.items) + 10)
        asked = open_model(
            self.settings.model_copy(update={"task_model": model}), cache=DatabaseCache(self.answers, self.agent.organization_id), budget=budget
        )  # fmt: skip
        evaluator = Evaluator(asked, self.metric, max_tokens=self.prepared.max_tokens, labels=self.prepared.labels, nearest=self.prepared.nearest)
        try:
            return {one.item.id: one.score for one in evaluator(self.prepared.prompt, self.prepared.material.items)}
        finally:
            record_usage(self.connection, self.agent.organization_id, str(self.run_id), budget.take_usage())


def most_usd(settings: Settings, prepared: Prepared) -> float | None:
    """What both jobs may cost at most; None where the price is not set."""
    if settings.finetune_price is None:
        return None
    lessons = prepared.material.lessons
    tokens = sum(_tokens(row.openai()) for row in lessons.train) * prepared.recipe.epochs + sum(_tokens(row.openai()) for row in lessons.validation)
    return 2 * tokens * settings.finetune_price / 1e6


def _require_affordable(settings: Settings, prepared: Prepared) -> None:
    most = most_usd(settings, prepared)
    if most is not None and settings.finetune_usd is not None and most > settings.finetune_usd:
        raise BadInput(
            f"Fine-tuning and its control may cost {most:.2f} USD, {settings.finetune_usd:.2f} are allowed.", "Raise LEARNING_FINETUNE_USD. No job was created."
        )


def _tokens(row: Any) -> float:
    """Of a row's texts, whatever its form."""
    if isinstance(row, str):
        return len(row) / CHARS_PER_TOKEN
    if isinstance(row, Mapping):
        return TOKENS_PER_TURN + sum(_tokens(value) for name, value in row.items() if name != "role")
    return sum(_tokens(one) for one in row) if isinstance(row, Sequence) else 0.0


def _wanted(prepared: Prepared, lessons: Lessons, run_id: UUID, name: str) -> Wanted:
    return Wanted(
        prepared.base.source, prepared.method, [row.openai() for row in lessons.train], [row.openai() for row in lessons.validation],
        f"lp-{run_id.hex[:12]}-{name}", prepared.seed, prepared.recipe.epochs, prepared.recipe.beta,
    )  # fmt: skip


def _side(done: Finished, wanted: Wanted, settings: Settings) -> Side:
    losses = [point["loss"] for point in done.curve if "loss" in point]
    looks = [point["validation_loss"] for point in done.curve if "validation_loss" in point]
    numbers: dict[str, Any] = {"job": done.id, "train_rows": len(wanted.rows), "validation_rows": len(wanted.looks), "trained_tokens": done.trained_tokens}
    numbers |= ({"training_loss": losses[-1]} if losses else {}) | ({"validation_loss": looks[-1]} if looks else {})
    if settings.finetune_price is not None and done.trained_tokens is not None:
        numbers["usd"] = done.trained_tokens * settings.finetune_price / 1e6
    return Side(done.model, done.curve, numbers, model=done.model)
