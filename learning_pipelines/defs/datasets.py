"""Group examples: preference pairs, and the files of the newest dataset version.

Belongs here: assets and checks of what datasets lead to. Not here: the dataset itself (examples.py), the rules (examples/).
"""

import dagster as dg

from learning_pipelines.defs.common import OWNERS, agent_behind, check, table_columns
from learning_pipelines.defs.freshness import WHEN_WRITTEN
from learning_pipelines.defs.partitions import agents
from learning_pipelines.examples.artifacts import Artifacts, check_artifacts, refresh_artifacts
from learning_pipelines.storage import preferences
from learning_pipelines.storage.store import Store
from learning_pipelines.storage.versions import newest


@dg.asset(
    partitions_def=agents,
    deps=["training_datasets"],
    group_name="examples",
    kinds={"postgres"},
    owners=OWNERS,
    freshness_policy=WHEN_WRITTEN,
    pool="postgres_write",
    code_version="1",
    check_specs=[
        dg.AssetCheckSpec("answers_differ", asset="preference_pairs", blocking=True, description="No pair prefers an answer to itself."),
        dg.AssetCheckSpec("splits_inherited", asset="preference_pairs", blocking=True, description="No pair is outside the split of its examples."),
        dg.AssetCheckSpec("no_contradiction", asset="preference_pairs", blocking=True, description="No two pairs in use prefer the opposite."),
    ],
)
def preference_pairs(context: dg.AssetExecutionContext, store: dg.ResourceParam[Store]) -> dg.MaterializeResult:
    """Which answer is better than which other, from corrections, A/B choices and ratings of answers to the same input; sealed with each dataset version.

    Made in the transaction that makes the version (training_datasets), so that a version and its pairs belong together; here they are judged.
    """
    with store.pipeline() as connection:
        agent = agent_behind(connection, context.partition_key)
        dataset = newest(connection, agent)
        counts = preferences.counts(connection, agent)
        same, straddling, contradicting = preferences.broken(connection, agent, dataset.id if dataset else None)
        sealed = dataset.statistics.get("pairs", {}) if dataset else {}
        return dg.MaterializeResult(
            metadata={
                "dagster/row_count": sum(count for name, count in counts.items() if name.startswith("active/")),
                "dagster/table_name": "learning.preference_pairs",
                "dagster/column_schema": table_columns(connection, "preference_pairs"),
                "version": dataset.version if dataset else 0,
                **{f"pairs_{name.removeprefix('active/')}": count for name, count in counts.items()},
                **{f"sealed_{name.replace('/', '_')}": count for name, count in sealed.items()},
            },
            check_results=[
                check("answers_differ", same, "pairs whose answers are equal"),
                check("splits_inherited", straddling, "pairs outside the split of one of their examples"),
                check("no_contradiction", contradicting, "pairs whose opposite is in use too"),
            ],
        )


@dg.asset(
    partitions_def=agents,
    deps=["training_datasets", preference_pairs],
    group_name="examples",
    kinds={"file", "parquet"},
    owners=OWNERS,
    freshness_policy=WHEN_WRITTEN,
    pool="postgres_write",
    code_version="1",
    check_specs=[
        dg.AssetCheckSpec("bytes_as_recorded", asset="dataset_exports", description="Every file lies in its tenant's folder and has the recorded hash."),
        dg.AssetCheckSpec("rows_complete", asset="dataset_exports", description="Files and what was held back account for every row of the version."),
        dg.AssetCheckSpec("no_personal_data", asset="dataset_exports", description="No row of a file shows personal data."),
    ],
)
def dataset_exports(context: dg.AssetExecutionContext, store: dg.ResourceParam[Store]) -> dg.MaterializeResult:
    """The newest dataset version as files for training (split train), in the folder of its organization and agent below LEARNING_ARTIFACTS_URL."""
    with store.pipeline() as connection:
        agent = agent_behind(connection, context.partition_key)
        found = refresh_artifacts(connection, agent, store.settings.artifacts)
        faults = check_artifacts(connection, agent, found.dataset, store.settings.artifacts) if found.dataset else None
        return dg.MaterializeResult(
            metadata=export_metadata(found),
            check_results=[
                check("bytes_as_recorded", faults.changed if faults else 0, "files that are gone, changed or elsewhere"),
                check("rows_complete", faults.incomplete if faults else 0, "files with too few or too many rows"),
                check("no_personal_data", faults.personal if faults else 0, "rows that show personal data"),
            ],
        )


def export_metadata(found: Artifacts) -> dict[str, int | str | bool]:
    """Rows, sizes and hashes by format; no user text."""
    numbers: dict[str, int | str | bool] = {
        "dagster/row_count": sum(record.rows for record in found.files.values()),
        "version": found.dataset.version if found.dataset else 0,
        "files_written": len(found.written),
    }
    for name, record in found.files.items():
        numbers |= {
            f"{name}: rows": record.rows, f"{name}: bytes": record.bytes, f"{name}: sha256": record.sha256, f"{name}: path": record.path,
            f"{name}: held back": sum(record.held_back.values()),
        }  # fmt: skip
    return numbers | {f"{name}: skipped": reason for name, reason in found.skipped.items()}
