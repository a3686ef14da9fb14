"""Group experiments: values of units and states of metrics, kept up with new events.

Belongs here: assets and checks of the noun experiments. Not here: the computation (experiments/), jobs (jobs.py).
"""

import dagster as dg

from learning_pipelines.defs.common import OWNERS, table_columns
from learning_pipelines.defs.freshness import HOURLY
from learning_pipelines.experiments.collecting import Collected, collect
from learning_pipelines.storage.store import Store


@dg.asset(
    deps=["agent_executions", "agent_feedback"],
    group_name="experiments",
    kinds={"postgres"},
    owners=OWNERS,
    freshness_policy=HOURLY,
    pool="postgres_write",
    code_version="1",
)
def experiment_metrics(store: dg.ResourceParam[Store]) -> dg.MaterializeResult:
    """Sums and histograms of every metric per experiment, weight epoch and variant. Each event counts once, for its unit; cost follows new events."""
    with store.pipeline() as connection:
        done = collect(connection)
        return dg.MaterializeResult(
            metadata={
                "dagster/table_name": "learning.experiment_metrics",
                "dagster/column_schema": table_columns(connection, "experiment_metrics"),
                **collected_metadata(done),
            }
        )


def collected_metadata(done: Collected) -> dict[str, int]:
    """Numbers of one run; nobody's name."""
    counts = {
        "entries": done.entries, "executions": done.executions, "units_moved": done.units, "first_values": done.first_values, "states_changed": done.states,
        "assignments_made_again": done.assigned, "events_refused": done.refused.total(),
    }  # fmt: skip
    return counts | {f"refused_{reason}": number for reason, number in sorted(done.refused.items())}
