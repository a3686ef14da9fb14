"""Assets of experiments in Dagster: materialized from new events, with counts and nobody's name.

Belongs here: wiring and metadata of defs/experiments.py. Not here: what is counted (experiments/).
"""

from __future__ import annotations

import dagster as dg

from learning_pipelines.defs.experiments import experiment_metrics
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.store import Store
from learning_pipelines_tests.conftest import Load
from learning_pipelines_tests.defs.conftest import metadata_of
from learning_pipelines_tests.experiments.world import said, trial


def test_metrics_of_experiments_are_materialized_with_counts_alone(
    pipeline: Connection, load: Load, store: Store, instance: dg.DagsterInstance
) -> None:
    running = trial(pipeline, load)
    running.expose(pipeline, "ann", "control")
    load("executions", [running.execution("a1", "ann", "control"), running.execution("a2", "ann", "treatment")])
    load("feedback", [said("f1", "a1", "thumbs_up")])
    found = metadata_of(dg.materialize([experiment_metrics], resources={"store": store}, instance=instance), "experiment_metrics")
    counts = {name: value for name, value in found.items() if not name.startswith("dagster/")}
    assert counts.pop("states_changed") > 1
    assert counts == {
        "entries": 3, "executions": 1, "units_moved": 1, "first_values": 2, "assignments_made_again": 0, "events_refused": 1, "refused_never_served": 1,
    }  # fmt: skip
