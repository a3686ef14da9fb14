"""Group feedback: what people write (external assets), its daily metrics, and how far each rater is trusted.

Belongs here: assets and checks of the noun feedback. Not here: the computation (feedback/statistics.py, feedback/trust*.py).
"""

import dagster as dg

from learning_pipelines import run_tags
from learning_pipelines.defs.common import OWNERS, check, table_columns
from learning_pipelines.defs.freshness import WHEN_WRITTEN
from learning_pipelines.defs.links import pages_of
from learning_pipelines.defs.partitions import day_range, days
from learning_pipelines.feedback import statistics
from learning_pipelines.feedback.trust import RULES
from learning_pipelines.feedback.trust_refresh import Reweighed, refresh_weights
from learning_pipelines.settings import load_settings
from learning_pipelines.storage import checks, trust_weights
from learning_pipelines.storage.store import Store

_WRITTEN = {
    "agent_executions": "What agents did: input, output and circumstances of every execution, as applications report them.",
    "agent_feedback": "What users said about an execution: thumbs, stars, dimensions, issues, comments and corrections.",
    "expert_annotations": "What experts said about learning examples: verdicts, scores, corrections, explanations.",
    "demonstrations": "How experts do a task: their actions, reasoning and result.",
    "documents": "The texts that agents answer from.",
}
_GROUPS = {"expert_annotations": "examples", "demonstrations": "behavior", "documents": "retrieval"}
_PAGES = {"agent_executions": "executions", "agent_feedback": "executions?with_feedback=true", "expert_annotations": "annotate"}

written_by_people = [
    dg.AssetSpec(
        key,
        description=text,
        group_name=_GROUPS.get(key, "feedback"),
        kinds={"postgres"},
        owners=OWNERS,
        freshness_policy=WHEN_WRITTEN,
        metadata={"dagster/table_name": f"learning.{key}", "page": dg.MetadataValue.url(f"{load_settings().page_link}/{_PAGES.get(key, '')}")},
    )
    for key, text in _WRITTEN.items()
]


MOST_DISTRUSTED = 0.2
"""Share of raters below the trusted weight from which somebody should look: an attack, or rules that do not fit these raters."""


@dg.asset(
    deps=["agent_feedback", "expert_annotations", dg.AssetDep("learning_examples", partition_mapping=dg.AllPartitionMapping())],
    group_name="feedback",
    kinds={"postgres"},
    owners=OWNERS,
    freshness_policy=WHEN_WRITTEN,
    pool="postgres_write",
    code_version=RULES,
    check_specs=[
        dg.AssetCheckSpec("weights_in_range", asset="rater_weights", description="Every weight and every share lies between 0 and 1."),
        dg.AssetCheckSpec("few_are_distrusted", asset="rater_weights", description="At most a fifth of the raters (of 10 or more) is distrusted."),
    ],
)
def rater_weights(store: dg.ResourceParam[Store]) -> dg.MaterializeResult:
    """How far each rater is trusted, 0 to 1: agreement with independent others and with experts, bursts, copies, votes in lockstep."""
    with store.pipeline() as connection:
        done = refresh_weights(connection, store.settings.timezone)
        found = trust_weights.check_weights(connection)
        too_many = found.distrusted if found.raters >= 10 and found.distrusted > MOST_DISTRUSTED * found.raters else 0
        return dg.MaterializeResult(
            metadata={
                "dagster/row_count": found.raters,
                "dagster/table_name": "learning.rater_weights",
                "dagster/column_schema": table_columns(connection, "rater_weights"),
                "distrusted": found.distrusted,
                **weights_metadata(done),
            },
            check_results=[
                check("weights_in_range", found.out_of_range, "raters with an impossible weight or signal"),
                check("few_are_distrusted", too_many, "distrusted raters, more than a fifth of all", dg.AssetCheckSeverity.WARN),
            ],
        )


def weights_metadata(done: Reweighed) -> dict[str, int]:
    """Numbers of one refresh; nobody's name."""
    return {
        "executions_touched": done.executions, "votes_read": done.votes, "raters_judged": done.raters, "weights_moved": done.moved,
        "days_made_stale": done.stale_days, "confidences_changed": done.examples,
    }  # fmt: skip


@dg.asset(
    partitions_def=days,
    backfill_policy=dg.BackfillPolicy.single_run(),
    deps=["agent_executions", "agent_feedback", rater_weights],
    group_name="feedback",
    kinds={"postgres"},
    owners=OWNERS,
    freshness_policy=WHEN_WRITTEN,
    pool="postgres_write",
    code_version="2",
    check_specs=[
        dg.AssetCheckSpec("references_hold", asset="feedback_metrics", description="Every feedback that counts has its execution and its agent."),
        dg.AssetCheckSpec("ratings_in_range", asset="feedback_metrics", description="Means of stars lie between 1 and 5, and no count is negative."),
    ],
)
def feedback_metrics(context: dg.AssetExecutionContext, store: dg.ResourceParam[Store]) -> dg.MaterializeResult:
    """Executions, ratings, thumbs, corrections and issues per day and agent; only feedback in force counts. Sums, so that weeks add up."""
    first, last = day_range(context)
    with store.pipeline() as connection:
        only = context.run.tags.get(run_tags.CHANGED_ONLY) == "true"
        rows = statistics.refresh(connection, statistics.Days(first, last), store.settings.timezone, changed_only=only)
        found = checks.metrics(connection, first, last, store.settings.timezone)
        return dg.MaterializeResult(
            metadata={
                "dagster/row_count": rows,
                "dagster/table_name": "learning.feedback_metrics",
                "dagster/column_schema": table_columns(connection, "feedback_metrics"),
                "days": (last - first).days + 1,
                **found.numbers, "page": pages_of(store).dashboard(),
            },
            check_results=[
                check("references_hold", found.dangling, "feedback rows whose execution or agent is missing"),
                check("ratings_in_range", found.out_of_range, "rows with impossible sums"),
            ],
        )
