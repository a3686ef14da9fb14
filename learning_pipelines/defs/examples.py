"""Group examples: learning examples from the outbox, and the training datasets made of the approved ones.

Belongs here: assets and checks of the noun examples. Not here: the rules (examples/).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from learning_pipelines.defs.common import OWNERS, agent_behind, check, dataset_up_to_date, table_columns
from learning_pipelines.defs.freshness import WHEN_WRITTEN
from learning_pipelines.defs.links import pages_of
from learning_pipelines.defs.partitions import agents
from learning_pipelines.errors import LearningError
from learning_pipelines.examples.datasets import DatasetVersion
from learning_pipelines.examples.refresh import refresh_examples
from learning_pipelines.examples.rescrub import raw_account_numbers
from learning_pipelines.examples.versions import rebuild
from learning_pipelines.feedback.archive.returning import bring_back
from learning_pipelines.feedback.privacy import EMAIL_PATTERN, RULES_VERSION
from learning_pipelines.storage import checks, examples, rescrub, versions
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.store import Store
from learning_pipelines.storage.tenants import AgentRef


@dg.asset(
    partitions_def=agents,
    deps=["agent_executions", "agent_feedback", "demonstrations"],
    group_name="examples",
    kinds={"postgres"},
    owners=OWNERS,
    freshness_policy=WHEN_WRITTEN,
    pool="postgres_write",
    code_version="1",
    check_specs=[
        dg.AssetCheckSpec("references_hold", asset="learning_examples", description="Every derived example is supported by feedback that exists."),
        dg.AssetCheckSpec("no_duplicate_example", asset="learning_examples", description="No two active examples of an agent have the same content."),
        dg.AssetCheckSpec("no_raw_email", asset="learning_examples", blocking=True, description="No example holds a raw e-mail address."),
        dg.AssetCheckSpec("no_raw_account_number", asset="learning_examples", blocking=True, description="No example holds a raw IBAN or card number."),
        dg.AssetCheckSpec("scrubbed_by_current_rules", asset="learning_examples", blocking=True, description="No active example is of older rules."),
    ],
)
def learning_examples(context: dg.AssetExecutionContext, store: dg.ResourceParam[Store]) -> dg.MaterializeResult:
    """What an agent can learn from: corrections, clearly good and bad answers, failures, demonstrations; scrubbed of personal data."""
    with store.pipeline() as connection:
        agent = agent_behind(connection, context.partition_key)
        bring_back(store, connection)
        done = refresh_examples(connection, agent)
        counts = examples.count_examples(connection, agent)
        found = checks.examples(connection, agent, EMAIL_PATTERN)
        return dg.MaterializeResult(
            metadata={
                "dagster/row_count": sum(counts.values()),
                "dagster/table_name": "learning.learning_examples",
                "dagster/column_schema": table_columns(connection, "learning_examples"),
                "entries_read": done.entries, "created": done.created, "supported": done.supported, "withdrawn": done.withdrawn,
                "personal_data_replaced": sum(done.scrubbed.values()) + done.again.replaced.total(),
                "scrubbed_again": done.again.examples, "changed_by_it": done.again.changed, "merged_by_it": done.again.merged,
                **{f"type_{kind}": count for kind, count in counts.items()}, "page": pages_of(store).queue(agent.agent),
            },
            check_results=[
                check("references_hold", found.dangling, "examples without the feedback they were derived from"),
                # A warning: derived examples cannot repeat, but whoever imports two under different ids may mean it.
                check("no_duplicate_example", found.duplicates, "active examples that repeat another one's content", dg.AssetCheckSeverity.WARN),
                check("no_raw_email", found.raw_emails, "examples with a raw e-mail address"),
                check("no_raw_account_number", raw_account_numbers(connection, agent), "raw numbers of bank accounts and cards"),
                check("scrubbed_by_current_rules", rescrub.count_older(connection, agent, RULES_VERSION), "active examples that older rules scrubbed"),
            ],
        )  # fmt: skip


@dg.asset(
    partitions_def=agents,
    deps=[learning_examples, "duplicate_clusters", "example_quality", "expert_annotations"],
    group_name="examples",
    kinds={"postgres"},
    owners=OWNERS,
    freshness_policy=WHEN_WRITTEN,
    pool="postgres_write",
    code_version="1",
    check_specs=[
        dg.AssetCheckSpec("splits_disjoint", asset="training_datasets", blocking=True, description="No person, content or near-duplicate is in two splits."),
        dg.AssetCheckSpec("only_approved", asset="training_datasets", blocking=True, description="Every example of the newest version is approved."),
        dg.AssetCheckSpec("rebuilds", asset="training_datasets", blocking=True, description="The newest version is what its recipe says, to the byte."),
    ],
)
def training_datasets(context: dg.AssetExecutionContext, store: dg.ResourceParam[Store]) -> dg.MaterializeResult:
    """An agent's approved examples with permanent leak-safe splits; a new version whenever the content changed, named by its hash."""
    with store.pipeline() as connection:
        agent = agent_behind(connection, context.partition_key)
        built = dataset_up_to_date(connection, store, agent)
        found = checks.datasets(connection, agent)
        return dg.MaterializeResult(
            data_version=dg.DataVersion(built.content_hash),
            metadata={
                "dagster/table_name": "learning.dataset_examples",
                "dagster/column_schema": table_columns(connection, "dataset_examples"),
                **dataset_metadata(built),
                "growth": dg.MetadataValue.md(growth_table(versions.growth(connection, agent))),
            },
            check_results=[
                check("splits_disjoint", found.straddling, "people, contents or near-duplicate pairs in two splits"),
                check("only_approved", found.unapproved, "examples that are not approved"),
                check("rebuilds", _not_rebuilt(connection, agent), "versions that are not what their recipe says"),
            ],
        )


def _not_rebuilt(connection: Connection, agent: AgentRef) -> int:
    newest = versions.newest(connection, agent)
    if newest is None:
        return 0
    try:
        rebuild(connection, agent, newest.id)
    except LearningError:
        return 1
    return 0


def growth_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Examples by type over the last versions, as a Markdown table."""
    columns = ("version", "total_examples", *versions.TYPES, "pairs_count", "avg_quality_score")
    lines = [f"| {' | '.join(name.removesuffix('_count') for name in columns)} |", "|" + "---:|" * len(columns)]
    shown = ([f"{row[name]:.3f}" if isinstance(row[name], float) else "–" if row[name] is None else str(row[name]) for name in columns] for row in rows)
    return "\n".join([*lines, *(f"| {' | '.join(cells)} |" for cells in shown)])


def dataset_metadata(built: DatasetVersion) -> dict[str, int | float | str | bool]:
    """Numbers of a dataset version; no user text."""
    return {
        "dagster/row_count": built.examples,
        "version": built.version or 0,
        "new_version": built.is_new,
        "content_hash": built.content_hash[:16],
        **{f"split_{name}": count for name, count in built.splits.items()},
        **{f"type_{name}": count for name, count in built.types.items()},
        **{f"left_out: {reason}": count for reason, count in built.left_out.items()},
        **{f"pairs_{split}": count for split, count in built.pairs.items()},
        **_distribution(built.statistics),
        "same_content": built.same_content,
        "largest_component_share": round(built.plan.largest_component_share, 4),
    }


def _distribution(statistics: Mapping[str, Any]) -> dict[str, int | float]:
    """Lengths, quality and weights of a version as numbers that the UI plots over time."""
    numbers = {f"{what}_{name}": value for what in ("input_characters", "output_characters") for name, value in statistics.get(what, {}).items()}
    quality, weight = statistics.get("quality", {}), statistics.get("weight", {})
    numbers |= {"quality_known": quality.get("known"), "quality_mean": quality.get("mean")}
    numbers |= {f"quality_{tenth}0_to_{int(tenth) + 1}0_percent": count for tenth, count in sorted(quality.get("tenths", {}).items())}
    numbers |= {f"weight_{name}": value for name, value in weight.items()}
    return {name: value for name, value in numbers.items() if value is not None}
