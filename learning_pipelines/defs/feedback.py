"""Group feedback: what people write (external assets), and its daily metrics.

Belongs here: assets and checks of the noun feedback. Not here: the computation (feedback/statistics.py).
"""

import dagster as dg

from learning_pipelines.defs.common import OWNERS, check, table_columns
from learning_pipelines.defs.partitions import day_range, days
from learning_pipelines.feedback import statistics
from learning_pipelines.storage import checks
from learning_pipelines.storage.store import Store

_WRITTEN = {
    "agent_executions": "What agents did: input, output and circumstances of every execution, as applications report them.",
    "agent_feedback": "What users said about an execution: thumbs, stars, dimensions, issues, comments and corrections.",
    "expert_annotations": "What experts said about learning examples: verdicts, scores, corrections, explanations.",
    "demonstrations": "How experts do a task: their actions, reasoning and result.",
    "documents": "The texts that agents answer from.",
}
_GROUPS = {"expert_annotations": "examples", "demonstrations": "behavior", "documents": "retrieval"}

written_by_people = [
    dg.AssetSpec(
        key,
        description=text,
        group_name=_GROUPS.get(key, "feedback"),
        kinds={"postgres"},
        owners=OWNERS,
        metadata={"dagster/table_name": f"learning.{key}"},
    )
    for key, text in _WRITTEN.items()
]


@dg.asset(
    partitions_def=days,
    backfill_policy=dg.BackfillPolicy.single_run(),
    deps=["agent_executions", "agent_feedback"],
    group_name="feedback",
    kinds={"postgres"},
    owners=OWNERS,
    pool="postgres_write",
    code_version="1",
    check_specs=[
        dg.AssetCheckSpec("references_hold", asset="feedback_metrics", description="Every feedback that counts has its execution and its agent."),
        dg.AssetCheckSpec("ratings_in_range", asset="feedback_metrics", description="Means of stars lie between 1 and 5, and no count is negative."),
    ],
)
def feedback_metrics(context: dg.AssetExecutionContext, store: dg.ResourceParam[Store]) -> dg.MaterializeResult:
    """Executions, ratings, thumbs, corrections and issues per day and agent; only feedback in force counts. Sums, so that weeks add up."""
    first, last = day_range(context)
    with store.pipeline() as connection:
        rows = statistics.compute(connection, statistics.Days(first, last), store.settings.timezone)
        found = checks.metrics(connection, first, last, store.settings.timezone)
        return dg.MaterializeResult(
            metadata={
                "dagster/row_count": rows,
                "dagster/table_name": "learning.feedback_metrics",
                "dagster/column_schema": table_columns(connection, "feedback_metrics"),
                "days": (last - first).days + 1,
                **found.numbers,
            },
            check_results=[
                check("references_hold", found.dangling, "feedback rows whose execution or agent is missing"),
                check("ratings_in_range", found.out_of_range, "rows with impossible sums"),
            ],
        )
