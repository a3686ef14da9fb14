"""Group examples: learning examples from the outbox, and the training datasets made of the approved ones.

Belongs here: assets and checks of the noun examples. Not here: the rules (examples/).
"""

import dagster as dg

from learning_pipelines.defs.common import OWNERS, agent_behind, check, dataset_up_to_date, table_columns
from learning_pipelines.defs.partitions import agents
from learning_pipelines.examples.datasets import DatasetVersion
from learning_pipelines.examples.refresh import refresh_examples
from learning_pipelines.examples.rescrub import raw_account_numbers
from learning_pipelines.feedback.privacy import EMAIL_PATTERN, RULES_VERSION
from learning_pipelines.storage import checks, examples, rescrub
from learning_pipelines.storage.store import Store


@dg.asset(
    partitions_def=agents,
    deps=["agent_executions", "agent_feedback", "demonstrations"],
    group_name="examples",
    kinds={"postgres"},
    owners=OWNERS,
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
                **{f"type_{kind}": count for kind, count in counts.items()},
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
    deps=[learning_examples, "duplicate_clusters", "expert_annotations"],
    group_name="examples",
    kinds={"postgres"},
    owners=OWNERS,
    pool="postgres_write",
    code_version="1",
    check_specs=[
        dg.AssetCheckSpec("splits_disjoint", asset="training_datasets", blocking=True, description="No person and no content is in two splits."),
        dg.AssetCheckSpec("only_approved", asset="training_datasets", blocking=True, description="Every example of the newest version is approved."),
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
            },
            check_results=[
                check("splits_disjoint", found.straddling, "people or contents in two splits"),
                check("only_approved", found.unapproved, "examples that are not approved"),
            ],
        )


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
        "same_content": built.same_content,
        "largest_component_share": round(built.plan.largest_component_share, 4),
    }
