"""The judge at work: verdicts on reviewed examples, which show how far it may be believed, and scores of a sample of live executions.

Belongs here: what is judged, in which bounds, and that it is kept. Not here: the rubric (judge.py), the decision about the judge (judge_agreement.py),
SQL (storage/judging.py).

Both loops keep what was said in small steps, outside of any transaction while the model is asked: a run that ends half-way, for money or by force,
is taken up where it stopped. `budget` of the judge's model bounds what is spent; answers that are in the cache cost nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from learning_pipelines.examples.reliability import unknown_reliability
from learning_pipelines.examples.scrubbing import Content, scrubbed
from learning_pipelines.llm import open_model
from learning_pipelines.llm_budget import Budget
from learning_pipelines.llm_errors import ModelError
from learning_pipelines.prompts.judge import Case, Judge, Verdict
from learning_pipelines.prompts.judge_agreement import JudgeAgreement, judge_agreement
from learning_pipelines.prompts.metric_options import GOALS, JudgeOptions, options_of
from learning_pipelines.settings import Settings
from learning_pipelines.storage import judging as storage
from learning_pipelines.storage import outbox
from learning_pipelines.storage.database import Connection, database_errors
from learning_pipelines.storage.llm_cache import DatabaseCache
from learning_pipelines.storage.tenants import AgentRef

MOST_EXAMPLES, MOST_EXECUTIONS = 200, 200
_KEPT_AT_ONCE = 20
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class JudgedExamples:
    """`judged`: verdicts given now; `faults`: examples of which there is none."""

    judge: str
    judged: int
    faults: int


@dataclass(frozen=True, slots=True)
class JudgedExecutions:
    """`new`: executions since the last run; `drawn`: in the agent's sample; `judged` and `faults`: of those now; `left_out`: beyond the most of a run,
    they stay without a score. `more`: there are further new ones for another run."""

    judge: str
    new: int = 0
    drawn: int = 0
    judged: int = 0
    faults: int = 0
    left_out: int = 0
    more: bool = False


def open_judge(settings: Settings, connection: Connection, agent: AgentRef, *, goals: Mapping[str, float] | None = None, budget: Budget | None = None) -> Judge:
    """The judge of an agent: LEARNING_JUDGE_MODEL with the weights and instructions of the agent's metric if that is judge. `goals` (what a run asks
    for) go before them. The connection, in autocommit, holds the cache. Raises BadInput for a metric or settings that cannot be used.
    """
    about = storage.asked(connection, agent)
    said = options_of(about.metric) if about.metric is not None else None
    options = said if isinstance(said, JudgeOptions) else JudgeOptions()
    model = open_model(settings, role="judge", cache=DatabaseCache(connection, agent.organization_id), budget=budget)
    weights = goals or ({str(goal): weight for goal, weight in options.weights.items()} if options.weights else GOALS)
    return Judge(model, weights, instructions=options.instructions, about=about.system_prompt)


def judge_examples(connection: Connection, agent: AgentRef, judge: Judge, *, most: int = MOST_EXAMPLES) -> JudgedExamples:
    """Verdicts on up to `most` examples that experts have judged and this judge has not, as they read now: whether the expected output is worth
    learning from. Raises ModelError for what would hit every further call; what was said before it is kept.
    """
    with database_errors(f"looking for examples of {agent.partition} to judge"):
        waiting = storage.to_judge(connection, agent, judge.name, most)
    judged = faults = 0
    verdicts = judge.verdicts(Case(one.input_text, one.expected_output) for one in waiting)
    for subjects, said in _in_steps(waiting, verdicts):
        spoken = [_spoken(one.id, verdict, one.judged_hash) for one, verdict in zip(subjects, said, strict=True)]
        with database_errors(f"keeping verdicts on examples of {agent.partition}"):
            storage.store_verdicts(connection, agent, judge.name, spoken)
        faults += sum(one.fault is not None for one in spoken)
        judged += sum(one.fault is None for one in spoken)
    return JudgedExamples(judge.name, judged, faults)


def agreement_with_experts(connection: Connection, agent: AgentRef, judge: Judge) -> JudgeAgreement:
    """How far the judge's kept verdicts agree with those of the agent's experts."""
    with database_errors(f"comparing the judge of {agent.partition} with experts"):
        return judge_agreement(judge.name, storage.verdict_table(connection, agent, judge.name, unknown_reliability()))


def judge_executions(connection: Connection, agent: AgentRef, judge: Judge, *, most: int = MOST_EXECUTIONS) -> JudgedExecutions:
    """Scores of the agent's sample (its `judge_sample`) among the executions since the last run, at most `most`; nothing where it asks for none.

    Their texts are scrubbed as examples are before the judge sees them. Raises ModelError as judge_examples does; the next run goes on there.
    """
    with database_errors(f"drawing executions of {agent.partition} to judge"):
        share = storage.asked(connection, agent).sample
        if share == 0:
            return JudgedExecutions(judge.name)
        found = storage.new_sample(connection, agent, judge.name, share, most)
    judged = faults = 0
    for executions, said in _in_steps(found.executions, judge.verdicts(_case(one) for one in found.executions)):
        spoken = [_spoken(one.id, verdict) for one, verdict in zip(executions, said, strict=True)]
        with database_errors(f"keeping scores of executions of {agent.partition}"):
            storage.store_scores(connection, agent, judge.name, executions, spoken)
        faults += sum(one.fault is not None for one in spoken)
        judged += sum(one.fault is None for one in spoken)
    with database_errors(f"remembering which executions of {agent.partition} were judged"):
        outbox.advance(connection, storage.SAMPLES_READER, agent, found.position)
    return JudgedExecutions(judge.name, found.new, found.drawn, judged, faults, found.drawn - len(found.executions), found.more)


def _case(execution: storage.Sampled) -> Case:
    clean, _ = scrubbed(Content(execution.input, execution.output))
    return Case(clean.input_text, clean.original_output or "")


def _spoken(name: str, verdict: Verdict, judged_hash: bytes = b"") -> storage.Spoken:
    score = verdict.score if verdict.fault is None else None
    return storage.Spoken(name, verdict.approved, score, verdict.scores, verdict.fault, judged_hash)


def _in_steps(subjects: Sequence[_T], verdicts: Iterator[Verdict]) -> Iterator[tuple[list[_T], list[Verdict]]]:
    """Subjects with their verdicts, some at a time; where the verdicts end with an error, first those that came before it."""
    done: list[Verdict] = []
    start = 0
    try:
        for verdict in verdicts:
            done.append(verdict)
            if len(done) == _KEPT_AT_ONCE:
                yield list(subjects[start : start + len(done)]), done
                start, done = start + len(done), []
    except ModelError:
        if done:
            yield list(subjects[start : start + len(done)]), done
        raise
    if done:
        yield list(subjects[start : start + len(done)]), done
