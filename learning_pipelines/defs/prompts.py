"""Group prompts: how prompts do, what a search tries, how winner and incumbent test, what is proposed.

Belongs here: assets and checks of the noun prompts. Not here: search, test and proposal themselves (prompts/), approval (acceptance/).

The four are one chain: each takes up the training run that the one before began or resumed in the same Dagster run, and a run that is
skipped leaves the later ones out.
"""

import datetime as dt
import json
from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from learning_pipelines import run_tags
from learning_pipelines.acceptance import meeting
from learning_pipelines.acceptance.beginning import NotNow
from learning_pipelines.acceptance.gate import Evidence
from learning_pipelines.defs.chain import failing, taken_up, without_proposal
from learning_pipelines.defs.common import OWNERS, agent_behind, bring_up_to_date, check, encoder_at_need, skip, table_columns
from learning_pipelines.defs.freshness import LEARNT
from learning_pipelines.defs.links import pages_of
from learning_pipelines.defs.partitions import agents
from learning_pipelines.defs.prompts_metadata import candidate_metadata, evaluation_metadata, performance_metadata, proposal_metadata
from learning_pipelines.llm import model_name
from learning_pipelines.prompts import optimization
from learning_pipelines.prompts.preparation import KIND as TESTED
from learning_pipelines.prompts.preparation import WINDOW_DAYS, Prepared, prepare, restore
from learning_pipelines.prompts.prompt import from_stored
from learning_pipelines.prompts.records import winner_of
from learning_pipelines.storage import prompt_runs, prompts, training_runs
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.store import Store
from learning_pipelines.storage.tenants import AgentRef
from learning_pipelines.storage.training_runs import TrainingRun

KIND = "prompt_optimization"
BUSY = "another run is optimizing this agent now"


@dg.asset(
    partitions_def=agents,
    deps=["agent_executions", "agent_feedback"],
    group_name="prompts",
    kinds={"postgres"},
    owners=OWNERS,
    freshness_policy=LEARNT,
    pool="llm",
    code_version="1",
    check_specs=[dg.AssetCheckSpec("counts_every_execution", asset="prompt_performance", description="Versions add up to the executions of the window.")],
)
def prompt_performance(context: dg.AssetExecutionContext, store: dg.ResourceParam[Store]) -> dg.MaterializeResult:
    """The last 30 days of an agent by the version that answered: executions, ratings, latency, tokens, top issues."""
    with store.pipeline() as connection:
        agent = agent_behind(connection, context.partition_key)
        bring_up_to_date(context, store, [agent])
        today = dt.datetime.now(store.settings.zone).date()
        first = today - dt.timedelta(days=WINDOW_DAYS - 1)
        rows = prompt_runs.compute_performance(connection, agent, first, today, store.settings.timezone)
        counted = prompt_runs.executions_between(connection, agent, first, today, store.settings.timezone)
        return dg.MaterializeResult(
            metadata={
                "dagster/row_count": len(rows),
                "dagster/table_name": "learning.prompt_performance",
                "dagster/column_schema": table_columns(connection, "prompt_performance"),
                **performance_metadata(rows), "page": pages_of(store).executions(agent.agent),
            },
            check_results=[check("counts_every_execution", abs(counted - sum(row["executions"] for row in rows)), "executions missed or counted twice")],
        )


@dg.asset(
    partitions_def=agents,
    deps=[prompt_performance, "training_datasets"],
    group_name="prompts",
    kinds={"postgres", "llm"},
    owners=OWNERS,
    freshness_policy=LEARNT,
    pool="llm",
    code_version="1",
    output_required=False,
)
def prompt_candidates(context: dg.AssetExecutionContext, store: dg.ResourceParam[Store]) -> Iterator[dg.MaterializeResult]:
    """What the search for a better prompt tried on train and validation, and which candidate won."""
    with store.pipeline() as connection:
        agent = agent_behind(connection, context.partition_key)
        if not training_runs.lock_agent(connection, agent, KIND):
            skip(context, BUSY)
            return
        prepared = _prepared(context, connection, store, agent)
        if isinstance(prepared, NotNow):
            skip(context, prepared.reason)
            return
        with encoder_at_need(store.settings) as opener:
            if doubt := optimization.doubted_judge(connection, agent, store.settings, prepared, opener):
                skip(context, f"no evidence: {doubt}")
                return
        run = training_runs.begin(connection, agent, KIND, dataset_id=prepared.dataset.id, config=prepared.config, dagster_run_id=context.run.run_id)
        tried = _searched(context, connection, store, agent, prepared, run)
        yield dg.MaterializeResult(
            metadata={
                "dagster/table_name": "learning.prompt_candidates",
                "dagster/column_schema": table_columns(connection, "prompt_candidates"),
                "training_run": str(run.id), "page": pages_of(store).training_run(run.id), "resumed": run.resumed, **tried,
            }
        )  # fmt: skip


@dg.asset(
    partitions_def=agents,
    deps=[prompt_candidates],
    group_name="prompts",
    kinds={"postgres", "llm"},
    owners=OWNERS,
    freshness_policy=LEARNT,
    pool="llm",
    code_version="1",
    output_required=False,
    check_specs=[
        dg.AssetCheckSpec("verdict_recomputes", asset="prompt_evaluations", description="The stored scores of the test give the stored verdict again.")
    ],
)
def prompt_evaluations(context: dg.AssetExecutionContext, store: dg.ResourceParam[Store]) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
    """How winner and incumbent did on the held-out items, and the gate's verdict."""
    with store.pipeline() as connection:
        agent = agent_behind(connection, context.partition_key)
        taken_up = _taken_up(context, connection, agent)
        if taken_up is None:
            yield check("verdict_recomputes", 0, "nothing was tested")
            return
        run, prepared = taken_up
        won = prompt_runs.winner(connection, agent, run.id)
        if won is None:
            raise dg.Failure(f"The training run {run.id} has no winner: its search did not end. Run the job again: it resumes.", allow_retries=False)
        with _engine(context, connection, store, agent, prepared, run, searching=False) as engine:
            prompt = winner_of(won).prompt
            tested = optimization.run_test(connection, agent, store.settings, prepared, run.id, prompt, engine, _progress(context))
        if tested.evidence is None:
            without_proposal(context, connection, agent, run, tested.reason)
        yield dg.MaterializeResult(
            metadata={
                "dagster/table_name": "learning.prompt_evaluations",
                "dagster/column_schema": table_columns(connection, "prompt_evaluations"),
                **evaluation_metadata(tested),
            },
            check_results=[check("verdict_recomputes", len(_differing(connection, agent, run)), "fields of the verdict that its scores do not give")],
        )


@dg.asset(
    partitions_def=agents,
    deps=[prompt_evaluations],
    group_name="prompts",
    kinds={"postgres"},
    owners=OWNERS,
    freshness_policy=LEARNT,
    pool="llm",
    code_version="1",
    output_required=False,
    check_specs=[
        dg.AssetCheckSpec("beats_current_prompt", asset="optimized_prompts", description="The held-out scores say that the proposal is better."),
        dg.AssetCheckSpec("no_copied_examples", asset="optimized_prompts", description="No span of an example outside declared demonstrations."),
    ],
)
def optimized_prompts(context: dg.AssetExecutionContext, store: dg.ResourceParam[Store]) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
    """A new version and a proposal, if and only if the gate said better. Nothing serves before somebody approves it."""
    with store.pipeline() as connection:
        agent = agent_behind(connection, context.partition_key)
        taken_up = _taken_up(context, connection, agent)
        nothing = [check(name, 0, "nothing was proposed") for name in ("beats_current_prompt", "no_copied_examples")]
        if taken_up is None:
            yield from nothing
            return
        run, prepared = taken_up
        stored = meeting.test_of(connection, agent, TESTED, run.id)
        if stored is None or stored.verdict != "better":
            if stored is not None:
                without_proposal(context, connection, agent, run, f"{stored.verdict}: {stored.evidence['reason']}")
            yield from nothing
            return
        row = prompt_runs.winner(connection, agent, run.id)
        assert row is not None, "the test was of this winner"
        won, evidence = winner_of(row), Evidence.from_json(stored.evidence)
        carried = sorted({fault.kind for fault in optimization.faults_of(connection, agent, prepared, run.id, won, evidence)})
        copied = check("no_copied_examples", len([kind for kind in carried if kind != "length"]), "kinds of what no prompt may carry")
        if carried:
            without_proposal(context, connection, agent, run, f"better in its test, but no prompt may be proposed that has: {', '.join(carried)}")
            yield from (nothing[0], copied)
            return
        version, proposal = optimization.propose(connection, agent, store.settings, prepared, run.id, context.run.run_id, won, evidence)
        pages = pages_of(store)
        yield dg.MaterializeResult(
            metadata={"dagster/table_name": "learning.proposals", **proposal_metadata(agent, version, proposal, won, prepared, evidence, pages)},
            check_results=[
                check(
                    "beats_current_prompt", len(_differing(connection, agent, run)), "fields of the verdict that its scores do not give",
                    page=pages.proposal(proposal),
                ),
                copied,
            ],
        )


def _prepared(context: dg.AssetExecutionContext, connection: Connection, store: Store, agent: AgentRef) -> Prepared | NotNow:
    tags = context.run.tags
    issues: dict[str, int] = {}
    for row in prompt_runs.performance(connection, agent):
        for category, count in row["issues"].items():
            issues[category] = issues.get(category, 0) + int(count)
    budget, written = (int(tags[name]) if name in tags else None for name in (run_tags.BUDGET, run_tags.CANDIDATE))
    return prepare(
        connection, agent, store.settings, model=model_name(store.settings), issues=issues, goals=json.loads(tags.get(run_tags.GOALS, "{}")),
        budget=budget, written=written,
    )  # fmt: skip


def _taken_up(context: dg.AssetExecutionContext, connection: Connection, agent: AgentRef) -> tuple[TrainingRun, Prepared] | None:
    found = taken_up(context, connection, agent, KIND, "prompt_candidates", BUSY)
    return None if found is None else (found[0], restore(connection, agent, found[1]))


def _searched(
    context: dg.AssetExecutionContext, connection: Connection, store: Store, agent: AgentRef, prepared: Prepared, run: TrainingRun
) -> dict[str, object]:
    """Searches, or takes the version that somebody wants tested; metadata of it. A search that ended is not made again: its winner is being tested."""
    if run.resumed and (won := prompt_runs.winner(connection, agent, run.id)) is not None:
        return {"winner": won["name"], "searched_before": True}
    if prepared.written is not None:
        version = prompts.version(connection, agent, prepared.written)
        if version is None:
            reason = f"{agent.partition} has no prompt version {prepared.written}"
            training_runs.failed(connection, agent, run.id, reason)
            raise dg.Failure(f"{reason}: `learning-pipelines prompts {agent.agent}` lists them.", allow_retries=False)
        optimization.take_written(connection, agent, prepared, run, prepared.written, from_stored(version.messages, version.serving))
        return {"dagster/row_count": 1, "written_version": prepared.written}
    with _engine(context, connection, store, agent, prepared, run, searching=True) as engine:
        result = optimization.run_search(connection, agent, store.settings, prepared, run, engine, _progress(context))
    return candidate_metadata(prepared, result)


@contextmanager
def _engine(
    context: dg.AssetExecutionContext, connection: Connection, store: Store, agent: AgentRef, prepared: Prepared, run: TrainingRun, *, searching: bool
) -> Iterator[optimization.Engine]:
    """The run's models. What fails it is kept with the training run."""
    with (
        failing(context, connection, agent, run),
        store.pipeline() as answers,
        encoder_at_need(store.settings) as opener,
        optimization.open_engine(answers, agent, store.settings, prepared, run, opener, searching=searching) as engine,
    ):
        yield engine


def _progress(context: dg.AssetExecutionContext) -> optimization.Progress:
    return lambda share, message: context.log.info(f"{share:.0%} {message}")


def _differing(connection: Connection, agent: AgentRef, run: TrainingRun) -> list[str]:
    """Fields of the stored verdict that the stored scores of its items do not give; [] without a test."""
    stored = meeting.test_of(connection, agent, TESTED, run.id)
    return [] if stored is None else meeting.audit(connection, agent, stored)
