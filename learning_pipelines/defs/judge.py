"""Group prompts: the judging model at work, where an agent asks for it.

Belongs here: assets of the judge's verdicts on examples and on a sample of live executions. Not here: the rubric, its agreement with experts (prompts/).
"""

from collections.abc import Iterator

import dagster as dg

from learning_pipelines.defs.common import OWNERS, agent_behind, check, skip, table_columns
from learning_pipelines.defs.freshness import WHEN_WRITTEN
from learning_pipelines.defs.partitions import agents
from learning_pipelines.llm_budget import Budget
from learning_pipelines.prompts.judging import agreement_with_experts, judge_examples, judge_executions, open_judge
from learning_pipelines.storage import judging as storage
from learning_pipelines.storage.llm_cache import record_usage
from learning_pipelines.storage.store import Store

NOT_ASKED = "the agent asks for no judge: give it the metric judge, or a judge_sample (kind agents)"
_KIND = {
    "partitions_def": agents, "group_name": "prompts", "kinds": {"postgres", "llm"}, "owners": OWNERS, "freshness_policy": WHEN_WRITTEN, "pool": "llm",
    "output_required": False,
}  # fmt: skip


@dg.asset(
    deps=["learning_examples", "expert_annotations"],
    code_version="1",
    check_specs=[dg.AssetCheckSpec("judge_agrees_with_experts", asset="judge_verdicts", description="The judge agrees with experts well enough to decide.")],
    **_KIND,
)
def judge_verdicts(context: dg.AssetExecutionContext, store: dg.ResourceParam[Store]) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
    """What the judging model says of examples that experts judged too: hints for reviewers, and the measure of how far it may be believed."""
    name, warn = "judge_agrees_with_experts", dg.AssetCheckSeverity.WARN
    with store.pipeline() as connection:
        agent = agent_behind(connection, context.partition_key)
        if not storage.asks_for_judge(connection, agent):
            skip(context, NOT_ASKED)
            yield check(name, 0, "nobody asked the judge")
            return
        budget = Budget()
        judge = open_judge(store.settings, connection, agent, budget=budget)
        try:
            done = judge_examples(connection, agent, judge)
        finally:
            record_usage(connection, agent.organization_id, context.run.run_id, budget.take_usage())
        found = agreement_with_experts(connection, agent, judge)
        numbers = {"kappa": found.kappa, "kappa_low": found.kappa_low, "kappa_high": found.kappa_high, "accuracy": found.accuracy, "p_value": found.p}
        yield dg.MaterializeResult(
            metadata={
                "dagster/table_name": "learning.judge_verdicts", "dagster/column_schema": table_columns(connection, "judge_verdicts"),
                "judge": done.judge, "judged": done.judged, "faults": done.faults, "compared_with_experts": found.n, "may_decide": found.trusted,
                **{key: value for key, value in numbers.items() if value is not None},
            },
            check_results=[check(name, 0 if found.trusted else 1, found.cause or "its agreement is above chance", warn)],
        )  # fmt: skip


@dg.asset(deps=["agent_executions", judge_verdicts], code_version="1", **_KIND)
def execution_scores(context: dg.AssetExecutionContext, store: dg.ResourceParam[Store]) -> Iterator[dg.MaterializeResult]:
    """The judge's scores of a sample of live executions, for agents with a judge_sample. Source automated: never mixed with what people say."""
    with store.pipeline() as connection:
        agent = agent_behind(connection, context.partition_key)
        budget = Budget()
        judge = open_judge(store.settings, connection, agent, budget=budget)
        try:
            done = judge_executions(connection, agent, judge)
        finally:
            record_usage(connection, agent.organization_id, context.run.run_id, budget.take_usage())
        yield dg.MaterializeResult(
            metadata={
                "dagster/table_name": "learning.execution_scores", "dagster/column_schema": table_columns(connection, "execution_scores"),
                "new": done.new, "drawn": done.drawn, "judged": done.judged, "faults": done.faults, "left_out": done.left_out,
            }
        )  # fmt: skip
