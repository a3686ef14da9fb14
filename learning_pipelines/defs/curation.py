"""Group examples: near-duplicate inputs, contradictions among them and rare ones, per agent.

Belongs here: the asset and its checks. Not here: the rules (examples/curation.py and what it calls).
"""

import dagster as dg

from learning_pipelines.defs.common import OWNERS, agent_behind, check, encoder_at_need, table_columns
from learning_pipelines.defs.freshness import WHEN_WRITTEN
from learning_pipelines.defs.partitions import agents
from learning_pipelines.examples.curation import Curated, refresh_curation
from learning_pipelines.examples.similarity import rule_of
from learning_pipelines.storage import checks
from learning_pipelines.storage.curation import count_conflicts
from learning_pipelines.storage.duplicates import cluster_numbers
from learning_pipelines.storage.store import Store


@dg.asset(
    partitions_def=agents,
    deps=["learning_examples"],
    group_name="examples",
    kinds={"postgres"},
    owners=OWNERS,
    freshness_policy=WHEN_WRITTEN,
    pool="postgres_write",
    code_version="1",
    check_specs=[
        dg.AssetCheckSpec("every_input_searched", asset="duplicate_clusters", description="Near-duplicates of every active example are known."),
        dg.AssetCheckSpec("links_within_clusters", asset="duplicate_clusters", blocking=True, description="No near-duplicate pair is in two clusters."),
        dg.AssetCheckSpec("no_approved_contradiction", asset="duplicate_clusters", description="No two approved examples contradict each other."),
    ],
)
def duplicate_clusters(context: dg.AssetExecutionContext, store: dg.ResourceParam[Store]) -> dg.MaterializeResult:
    """Near-duplicate inputs by 5-grams and by the encoder; contradictory answers among them wait for adjudication, rare inputs are marked."""
    with store.pipeline() as connection, encoder_at_need(store.settings) as opener:
        agent = agent_behind(connection, context.partition_key)
        done = refresh_curation(connection, agent, rule_of(store.settings), opener)
        numbers = cluster_numbers(connection, agent)
        conflicts, approved = count_conflicts(connection, agent)
        found = checks.clusters(connection, agent)
        return dg.MaterializeResult(
            metadata={
                "dagster/table_name": "learning.example_sketches",
                "dagster/column_schema": table_columns(connection, "example_sketches"),
                "dagster/row_count": numbers["examples"],
                **cluster_metadata(done, numbers, conflicts),
            },
            check_results=[
                check("every_input_searched", found.unsearched, "active examples whose near-duplicates are not known"),
                check("links_within_clusters", found.torn, "near-duplicate pairs in two clusters"),
                # A warning: it takes a person to say which of the two is right.
                check("no_approved_contradiction", approved, "open conflicts between two approved examples", dg.AssetCheckSeverity.WARN),
            ],
        )


def cluster_metadata(done: Curated, numbers: dict[str, int], conflicts: int) -> dict[str, int | float]:
    """Numbers of one refresh; no user text."""
    return {
        "clusters": numbers["clusters"],
        "largest_cluster": numbers["largest"],
        **{name: count for name, count in numbers.items() if name.startswith("size_")},
        "duplicate_share": round(numbers["repeated"] / numbers["examples"], 4) if numbers["examples"] else 0.0,
        "open_conflicts": conflicts,
        "conflicts_opened": done.opened,
        "conflicts_resolved": done.resolved,
        "rare_inputs": done.rare,
        "new_inputs": done.clustered.inputs,
        "encoded": done.clustered.encoded,
        "new_links": done.clustered.links,
        "pairs_compared": done.compared,
    }
