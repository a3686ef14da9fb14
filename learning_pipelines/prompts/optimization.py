"""One run of prompt optimization in three steps that can each be repeated: search, test, proposal.

Belongs here: the order of things, what is recorded, what a failure leaves. Not here: whether to run (preparation.py), how to search (search.py),
what a verdict needs (acceptance/), SQL.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from uuid import UUID

from learning_pipelines.acceptance import meeting
from learning_pipelines.acceptance.approval import open_proposal
from learning_pipelines.acceptance.gate import Evidence, Rules, Verdict
from learning_pipelines.behavior.guidance_lookup import StoredGuide, as_served
from learning_pipelines.encoder import Encoder
from learning_pipelines.errors import LearningError
from learning_pipelines.examples.lifecycle import mark_used
from learning_pipelines.llm import ChatModel, open_model
from learning_pipelines.llm_budget import Budget
from learning_pipelines.prompts.agent_metric import open_metric
from learning_pipelines.prompts.evaluation import Evaluator
from learning_pipelines.prompts.hygiene import Fault
from learning_pipelines.prompts.hygiene import faults as hygiene_faults
from learning_pipelines.prompts.judge_agreement import JudgeNotTrusted
from learning_pipelines.prompts.preparation import KIND, Prepared, reflection_model
from learning_pipelines.prompts.prompt import Prompt
from learning_pipelines.prompts.records import candidate_row, candidate_rows, evaluation_row, scores_of, search_numbers
from learning_pipelines.prompts.registry import add_learnt
from learning_pipelines.prompts.results import SearchResult, Standing
from learning_pipelines.prompts.search import search
from learning_pipelines.prompts.serving import stored_nearest
from learning_pipelines.prompts.strategies import default_strategies
from learning_pipelines.prompts.summary import Evaluation, evaluate
from learning_pipelines.prompts.task import Candidate, Guide, Item, Nearest, Scored
from learning_pipelines.settings import Settings
from learning_pipelines.storage import prompt_runs, prompts, training_runs
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.llm_cache import DatabaseCache, record_usage
from learning_pipelines.storage.tenants import AgentRef
from learning_pipelines.storage.training_runs import TrainingRun

Progress = Callable[[float, str], None]
OpenEncoder = Callable[[], Encoder]
WRITTEN = "written"
SEARCH_SHARE = 0.7
"""Of the progress of a run; the rest is the test."""


@dataclass(frozen=True)
class Engine:
    """What a run asks: models over one budget and one cache, and lookups of stored demonstrations. `record` keeps the accounts up to date.

    `guided`: number and turns of the guidance that is shown beside the incumbent, None without: what a candidate has to beat is what is served.
    """

    model: ChatModel
    reflection: ChatModel | None
    evaluators: Callable[[str], Evaluator]
    lookup: Callable[[str], Nearest]
    current: str
    record: Callable[[], None]
    guided: Callable[[], tuple[int, Guide] | None]

    def evaluator(self, prompt: Prompt) -> Evaluator:
        """The one that picks demonstrations from the dataset version the prompt is pinned to (the run's own where it is not)."""
        return self.evaluators((prompt.retrieval.dataset_id if prompt.retrieval else None) or self.current)

    def __call__(self, prompt: Prompt, items: Sequence[Item]) -> list[Scored]:
        """Implements `Evaluate` for prompts of different dataset versions."""
        try:
            return self.evaluator(prompt)(prompt, items)
        finally:
            self.record()


@dataclass(frozen=True, slots=True)
class Tested:
    """The gate's word on the winner; no numbers where nothing had to be tested."""

    verdict: Verdict
    reason: str
    evidence: Evidence | None = None
    incumbent: Evaluation | None = None
    candidate: Evaluation | None = None


@contextmanager
def open_engine(
    connection: Connection, agent: AgentRef, settings: Settings, prepared: Prepared, run: TrainingRun, encoder: OpenEncoder, *, searching: bool
) -> Iterator[Engine]:
    """The models of a run, their budget less what earlier attempts of it used. What is used is on the run's account whatever happens.

    `searching`: what the test needs is left alone, also by requests that are repeated or cost more than the search planned for.
    `connection`: in autocommit and used for nothing else meanwhile; answers are kept through it one by one.
    """
    calls, usd = prepared.limits.of_search if searching else (prepared.limits.calls, prepared.limits.usd)
    budget = Budget(calls=max(0, calls - run.spent_answers), usd=None if usd is None else max(0.0, usd - run.spent_usd))
    answers = DatabaseCache(connection, agent.organization_id)
    model = open_model(settings, cache=answers, budget=budget)
    reflection = open_model(settings, role="reflection", cache=answers, budget=budget) if reflection_model(settings) else None
    metric = open_metric(settings, connection, agent, encoder, decides=True, goals=prepared.task.goals, budget=budget).metric

    @cache
    def lookup(dataset_id: str) -> Nearest:
        return stored_nearest(connection, agent, UUID(dataset_id), encoder)

    @cache
    def evaluators(dataset_id: str) -> Evaluator:
        return Evaluator(model, metric, max_tokens=prepared.max_tokens, labels=prepared.task.labels, nearest=lookup(dataset_id))

    @cache
    def guided() -> tuple[int, Guide] | None:
        found = as_served(connection, agent, prepared.task.incumbent.content_hash.hex(), prepared.incumbent_version, encoder)
        return None if found is None else (found[0], StoredGuide(connection, agent, found[1], encoder()))

    def record() -> None:
        record_usage(connection, agent.organization_id, str(run.id), budget.take_usage())

    try:
        yield Engine(model, reflection, evaluators, lookup, str(prepared.dataset.id), record, guided)
    finally:
        record()


def doubted_judge(connection: Connection, agent: AgentRef, settings: Settings, prepared: Prepared, encoder: OpenEncoder) -> str | None:
    """Why the judging model may not decide about this agent; None if it may, or if it is not asked. What experts judged it judges first."""
    if prepared.task.metric["type"] != "judge":
        return None
    budget = Budget(calls=prepared.limits.calls, usd=prepared.limits.usd)
    try:
        open_metric(settings, connection, agent, encoder, decides=True, goals=prepared.task.goals, budget=budget)
    except JudgeNotTrusted as doubt:
        return str(doubt)
    finally:
        record_usage(connection, agent.organization_id, "judge", budget.take_usage())
    return None


def run_search(
    connection: Connection, agent: AgentRef, settings: Settings, prepared: Prepared, run: TrainingRun, engine: Engine, progress: Progress
) -> SearchResult:
    """Searches train and validation, keeps what was tried and the winner. The same answers give the same result: a repeated run pays for nothing twice."""
    mark_used(connection, agent, prepared.dataset.id, run.id)

    def told(share: float, message: str) -> None:
        training_runs.progressed(connection, agent, run.id, share * SEARCH_SHARE)
        progress(share * SEARCH_SHARE, message)

    strategies = default_strategies(prepared.task, engine.reflection, settings.reflection_engine)
    result = search(
        prepared.task, engine, strategies, calls=prepared.limits.search, seed=prepared.seed, reflection=engine.reflection,
        nearest=engine.lookup(engine.current), progress=told, min_effect=settings.min_effect,
    )  # fmt: skip
    prompt_runs.store_candidates(connection, agent, run.id, candidate_rows(result))
    training_runs.measured(connection, agent, run.id, {"search": search_numbers(result)})
    return result


def take_written(connection: Connection, agent: AgentRef, prepared: Prepared, run: TrainingRun, number: int, prompt: Prompt) -> None:
    """A version written by hand in the place of a search's winner: it goes to the same test."""
    standing = Standing(Candidate(prompt, WRITTEN, note=f"version {number}"), 0, 0.0, 0.0, 0.0, 0.0)
    prompt_runs.store_candidates(connection, agent, run.id, [candidate_row(standing, "to be tested", winner=True, front=False)])


def pinned(prompt: Prompt, dataset_id: UUID) -> Prompt:
    """The prompt with its run-time demonstrations tied to the dataset version they were scored with."""
    if prompt.retrieval is None or prompt.retrieval.dataset_id is not None:
        return prompt
    return replace(prompt, retrieval=replace(prompt.retrieval, dataset_id=str(dataset_id)))


def run_test(
    connection: Connection, agent: AgentRef, settings: Settings, prepared: Prepared, run_id: UUID, prompt: Prompt, engine: Engine, progress: Progress
) -> Tested:
    """Puts a prompt and the incumbent, as it is served, to the held-out items. The level is spent before the first item is scored.

    Guidance was measured with the incumbent and is left out with any other prompt: a candidate must be better than both together. The incumbent itself
    needs no test: nothing better was found. Raises ModelError if an answer cannot be had; what it cost is recorded, and a
    repeated run gets the same reservation.
    """
    task, candidate = prepared.task, pinned(prompt, prepared.dataset.id)
    if candidate.content_hash == task.incumbent.content_hash:
        return Tested(Verdict.NO_EVIDENCE, "no candidate did better than the current prompt on validation, so no test was spent")
    guided, plain = engine.guided(), engine.evaluator(task.incumbent)
    reserved = meeting.reserve(
        connection, agent, KIND, [item.id for item in task.test], training_run_id=run_id, candidate={"content_hash": candidate.content_hash.hex()},
        incumbent={
            "version": prepared.incumbent_version, "content_hash": task.incumbent.content_hash.hex(), **({} if guided is None else {"guidance": guided[0]}),
        },
    )  # fmt: skip
    progress(SEARCH_SHARE, f"test {reserved.k} on these items: {len(task.test)} items, level {reserved.alpha:.4f}")
    before = evaluate(plain if guided is None else plain.guided(guided[1]), task.incumbent, task.test)
    engine.record()
    after = evaluate(engine.evaluator(candidate), candidate, task.test)
    engine.record()
    scores = {one.item.id: (one.score, other.score) for one, other in zip(before.scored, after.scored, strict=True)}
    evidence = meeting.concluded(reserved) or meeting.conclude(connection, agent, reserved, scores, Rules.of(settings))
    for shown, done, version in ((task.incumbent, before, prepared.incumbent_version), (candidate, after, None)):
        prompt_runs.store_evaluation(connection, agent, run_id, evaluation_row(shown, done, version, prepared))
    if prepared.written is not None:
        prompts.add_scores(connection, agent, prepared.written, scores_of(evidence))
    training_runs.measured(connection, agent, run_id, {"test": evidence.as_json()})
    return Tested(evidence.verdict, evidence.reason, evidence, before, after)


def propose(
    connection: Connection, agent: AgentRef, settings: Settings, prepared: Prepared, run_id: UUID, dagster_run_id: str | None, won: Candidate,
    evidence: Evidence,
) -> tuple[int, UUID]:  # fmt: skip
    """(version, proposal) of a winner that the gate called better.

    Raises LearningError if it carries what no prompt may: it is then stored nowhere."""
    candidate = replace(won, prompt=pinned(won.prompt, prepared.dataset.id))
    if found := faults_of(connection, agent, prepared, run_id, won, evidence):
        said = "; ".join(f"{fault.kind} ({fault.detail})" for fault in found)
        raise LearningError(f"The winner may not be proposed: {said}.", "Nothing was stored. A version written by hand can be mended and tested again.")
    messages, serving = candidate.prompt.stored()
    test = meeting.test_of(connection, agent, KIND, run_id)
    guidance = {} if test is None or "guidance" not in test.incumbent else {"guidance": test.incumbent["guidance"]}
    with connection.transaction():
        version = add_learnt(
            connection, agent, messages=messages, serving=serving, parent=prepared.incumbent_version, strategy=won.strategy,
            dataset_id=prepared.dataset.id, model=prepared.model, scores=scores_of(evidence), training_run_id=run_id,
        )  # fmt: skip
        identity = open_proposal(
            connection, agent, kind=KIND, verdict=evidence.verdict.value, subject={"version": version},
            incumbent={"version": prepared.incumbent_version, **guidance}, evidence=evidence.as_json(), training_run_id=run_id,
            dagster_run_id=dagster_run_id, auto_approve=settings.auto_approve,
        )  # fmt: skip
        training_runs.completed(connection, agent, run_id, best=scores_of(evidence), requires_review=True)
    return version, identity


def faults_of(connection: Connection, agent: AgentRef, prepared: Prepared, run_id: UUID, won: Candidate, evidence: Evidence) -> list[Fault]:
    """What a tested winner carries that no prompt may. A person who writes a version may write demonstrations and as much as they like."""
    took = {bytes(row["content_hash"]): row["input_tokens"] / row["items"] for row in prompt_runs.evaluations(connection, agent, run_id)}
    candidate, incumbent = (took.get(one.content_hash) for one in (pinned(won.prompt, prepared.dataset.id), prepared.task.incumbent))
    tokens = None if candidate is None or incumbent is None else (candidate, incumbent)
    found = hygiene_faults(won, prepared.task, gain=evidence.difference, tokens=tokens, min_effect=evidence.min_effect)
    return [fault for fault in found if won.strategy != WRITTEN or fault.kind in ("personal_data", "empty")]
