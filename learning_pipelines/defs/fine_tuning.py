"""Group behavior: language models fine-tuned on an agent's approved examples and preferences, tested, and proposed where they are better.

Belongs here: the asset fine_tuned_models and its check. Not here: learning, test and proposal (behavior/fine_tuning/), approval (acceptance/).

Each method (sft, dpo, rlhf) has a training run of its own and may have nothing to do; one that fails leaves the others alone, and the run fails in the end.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext

import dagster as dg

from learning_pipelines.acceptance.beginning import NotNow
from learning_pipelines.behavior.fine_tuning import preparation, running
from learning_pipelines.behavior.fine_tuning.kept import wrong_artifacts
from learning_pipelines.behavior.fine_tuning.lessons import METHODS, Method
from learning_pipelines.behavior.fine_tuning.outcome import Outcome
from learning_pipelines.behavior.fine_tuning.preparation import TYPES, Prepared
from learning_pipelines.behavior.fine_tuning.running import Done
from learning_pipelines.defs import parts
from learning_pipelines.defs.chain import failing
from learning_pipelines.defs.common import OWNERS, agent_behind, bring_up_to_date, check, encoder_at_need, skip, table_columns
from learning_pipelines.defs.fine_tuning_metadata import method_metadata
from learning_pipelines.defs.freshness import LEARNT
from learning_pipelines.defs.links import pages_of
from learning_pipelines.defs.partitions import agents
from learning_pipelines.errors import LearningError
from learning_pipelines.prompts.judge_agreement import JudgeNotTrusted
from learning_pipelines.prompts.metrics import Metric
from learning_pipelines.prompts.serving import OpenEncoder
from learning_pipelines.storage import training_runs
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.store import Store
from learning_pipelines.storage.tenants import AgentRef
from learning_pipelines.storage.training_runs import TrainingRun

BUSY = "another run is fine-tuning this agent's model now"
CHECK = "artifacts_safe_and_whole"


@dg.asset(
    partitions_def=agents,
    deps=["training_datasets", "preference_pairs"],
    group_name="behavior",
    kinds={"postgres", "pytorch"},
    owners=OWNERS,
    freshness_policy=LEARNT,
    pool="training",
    code_version="1",
    output_required=False,
    check_specs=[
        dg.AssetCheckSpec(CHECK, asset="fine_tuned_models", description="Learnt models are safetensors, GGUF and JSON, with the bytes that were stored.")
    ],
)
def fine_tuned_models(context: dg.AssetExecutionContext, store: dg.ResourceParam[Store]) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
    """Models fine-tuned on what people approved (sft) or preferred (dpo), and reward models (rlhf): training loss, held-out score, control, verdict."""
    with store.pipeline() as connection, encoder_at_need(store.settings) as opener:
        agent = agent_behind(connection, context.partition_key)
        if not training_runs.lock_agent(connection, agent, "fine_tuning"):
            skip(context, BUSY)
            yield check(CHECK, 0, "another run looks after them")
            return
        bring_up_to_date(context, store, [agent])
        metadata: dict[str, object] = {}
        failures: list[LearningError] = []
        for method in (one for one in METHODS if one in store.settings.finetune_methods):
            try:
                metadata |= _one(context, connection, store, agent, method, opener)
            except LearningError as error:
                context.log.error(f"{method}: {error}")
                failures.append(error)
        wrong = check(CHECK, wrong_artifacts(connection, agent, store.settings), "learnt models that are not as they were stored, or hold more than numbers")
        if failures:
            yield wrong
            raise failures[0]
        if not metadata:
            yield wrong
            return
        yield dg.MaterializeResult(
            metadata={
                "dagster/table_name": "learning.behavior_versions",
                "dagster/column_schema": table_columns(connection, "behavior_versions"),
                **metadata,
            },
            check_results=[wrong],
        )


def _one(
    context: dg.AssetExecutionContext, connection: Connection, store: Store, agent: AgentRef, method: Method, opener: OpenEncoder
) -> dict[str, object]:
    """Metadata of one method; {} where it has nothing to do now."""
    prepared = preparation.prepare(connection, agent, store.settings, method, opener)
    if isinstance(prepared, NotNow):
        parts.left_out(context, method, prepared.reason)
        return {}
    try:
        metric = running.metric_for(connection, agent, store.settings, prepared, opener)
    except JudgeNotTrusted as doubt:
        parts.left_out(context, method, f"no evidence: {doubt}")
        return {}
    run = training_runs.begin(
        connection, agent, TYPES[method], dataset_id=prepared.dataset.id, config=prepared.config, dagster_run_id=context.run.run_id
    )  # fmt: skip
    running.forget_others(connection, agent, store.settings, method, run.id)
    if failures := running.failed_too_often(connection, agent, run.id):
        reason = f"it failed {failures} times on the same examples (training run {run.id}): it is tried again when they change"
        training_runs.failed(connection, agent, run.id, reason)
        parts.left_out(context, method, reason)
        return {}
    with failing(context, connection, agent, run):
        done = _done(context, connection, store, agent, prepared, run, metric)
    parts.worked(context, method, done.reason or None)
    return method_metadata(method, run, done, pages_of(store))


def _done(
    context: dg.AssetExecutionContext, connection: Connection, store: Store, agent: AgentRef, prepared: Prepared, run: TrainingRun, metric: Metric | None
) -> Done:
    settings = store.settings
    with nullcontext() if prepared.engine == "local" else store.pipeline() as answers:
        if answers is None:
            learn: Callable[..., Outcome] = running.local_learner(settings, prepared, run.id, metric)
        else:
            learn = running.endpoint_learner(connection, answers, agent, settings, prepared, run.id, metric, lambda: _cancelled(context))
        return running.run(connection, agent, settings, prepared, run.id, context.run.run_id, learn, _progress(context, prepared.method))


def _cancelled(context: dg.AssetExecutionContext) -> bool:
    """Whether somebody ended this run on purpose, rather than the machine that it runs on."""
    run = context.instance.get_run_by_id(context.run.run_id)
    return run is not None and run.status in (dg.DagsterRunStatus.CANCELING, dg.DagsterRunStatus.CANCELED)


def _progress(context: dg.AssetExecutionContext, method: str) -> Callable[[float, str, Mapping[str, float]], None]:
    def told(share: float, line: str, numbers: Mapping[str, float]) -> None:
        context.log.info(f"{method} {share:.0%} {line}" + "".join(f", {name} {value:.4g}" for name, value in numbers.items()))

    return told
