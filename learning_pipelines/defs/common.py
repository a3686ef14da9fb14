"""What assets of all nouns share: owners, the agent behind a partition, catching up before other work.

Belongs here: small helpers of asset bodies. Not here: assets, metadata of one noun.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import dagster as dg

from learning_pipelines import run_tags
from learning_pipelines.encoder import EncoderClient, open_encoder
from learning_pipelines.examples.agreement_refresh import refresh_agreement
from learning_pipelines.examples.curation import refresh_curation
from learning_pipelines.examples.datasets import DatasetVersion, refresh_dataset
from learning_pipelines.examples.quality_refresh import refresh_quality
from learning_pipelines.examples.refresh import refresh_examples
from learning_pipelines.examples.similarity import rule_of
from learning_pipelines.feedback import statistics
from learning_pipelines.feedback.archive.returning import bring_back
from learning_pipelines.feedback.privacy import RULES_VERSION
from learning_pipelines.feedback.trust_refresh import refresh_weights
from learning_pipelines.settings import Settings
from learning_pipelines.storage import outbox, overview, quality, rescrub, tenants
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.store import Store
from learning_pipelines.storage.tenants import AgentRef

OWNERS = ["team:learning"]


def agent_behind(connection: Connection, partition: str) -> AgentRef:
    """The agent of a partition key; a partition without an agent fails the run at once (no retry helps)."""
    agent = tenants.agent_of_partition(connection, partition)
    if agent is None:
        raise dg.Failure(
            description=f"There is no agent {partition!r}. Import it (kind agents), or delete the partition.", allow_retries=False
        )
    return agent


def table_columns(connection: Connection, table: str) -> dg.TableSchema:
    """The columns of a table as the database has them."""
    found = overview.columns(connection, table)
    return dg.TableSchema(columns=[dg.TableColumn(name=name, type=kind, constraints=dg.TableColumnConstraints(nullable=empty)) for name, kind, empty in found])


@contextmanager
def encoder_at_need(settings: Settings) -> Iterator[Callable[[], EncoderClient]]:
    """Opens the shared encoder when it is called for, and closes the connections at the end."""
    opened: list[EncoderClient] = []

    def opener() -> EncoderClient:
        if not opened:
            opened.append(open_encoder(settings))
        return opened[0]

    try:
        yield opener
    finally:
        for client in opened:
            client.close()


def dataset_up_to_date(connection: Connection, store: Store, agent: AgentRef) -> DatasetVersion:
    """Splits and dataset of an agent by the settings of the installation."""
    with encoder_at_need(store.settings) as opener:
        return refresh_dataset(connection, agent, rule=rule_of(store.settings), shares=store.settings.split_shares, open_encoder=opener)


def check(
    name: str, failures: int, description: str, severity: dg.AssetCheckSeverity = dg.AssetCheckSeverity.ERROR, page: dg.UrlMetadataValue | None = None
) -> dg.AssetCheckResult:  # fmt: skip
    """The result of a check that counts what is wrong. `page`: where people see it and act."""
    metadata = {"failures": failures} if page is None else {"failures": failures, "page": page}
    return dg.AssetCheckResult(check_name=name, passed=failures == 0, metadata=metadata, description=description, severity=severity)


def skip(context: dg.AssetExecutionContext, reason: str) -> None:
    """Marks the run as skipped, which is no failure, with the reason that the command line and the service show."""
    context.instance.add_run_tags(context.run.run_id, {run_tags.STATUS: "skipped", run_tags.REASON: reason})
    context.log.warning(f"Skipped: {reason}")


def bring_up_to_date(context: dg.OpExecutionContext | dg.AssetExecutionContext, store: Store, agents: Sequence[AgentRef] | None = None) -> None:
    """What comes back from the archive → outbox → examples → weights of raters → agreement, quality → datasets, and the metrics of changed days, recorded as
    materializations of those assets.

    `agents` limits examples and datasets; None is every agent of the organization the run is tagged with, or of all.
    """
    organization = context.run.tags.get(run_tags.ORGANIZATION)
    with store.pipeline() as connection:
        begun = time.monotonic()
        returned = bring_back(store, connection)
        wanted = None if agents is None else {agent.partition for agent in agents}
        behind = list(dict.fromkeys([
            *outbox.agents_behind(connection, outbox.EXAMPLES_READER, organization), *rescrub.agents_with_older(connection, RULES_VERSION, organization),
        ]))  # fmt: skip
        behind = [agent for agent in behind if wanted is None or agent.partition in wanted]
        know_agents(context, behind)
        for agent in behind:
            _derive_examples(context, connection, agent)
        # Before scores are computed: a rater's weight that moved marks every example that rests on it.
        judged = refresh_weights(connection, store.settings.timezone, organization)
        if judged.raters:
            context.log_event(dg.AssetMaterialization("rater_weights", metadata={"raters_judged": judged.raters, "weights_moved": judged.moved}))
        touched = dict.fromkeys([*behind, *quality.stale_agents(connection, organization)])
        curated = [agent for agent in touched if wanted is None or agent.partition in wanted]
        know_agents(context, curated)
        for agent in curated:
            _curate(context, connection, store, agent)
        days = statistics.catch_up(connection, store.settings.timezone, organization)
        for day in days:
            context.log_event(dg.AssetMaterialization("feedback_metrics", partition=day.isoformat()))
    if returned.executions:
        context.log.info(f"{returned.executions} archived executions came back: something new was said about them.")
    for problem in returned.problems:
        context.log.warning(f"Executions stay in the archive about which something new was said: {problem}")
    context.log.info(f"Brought up to date: {len(behind)} agents behind, {len(days)} days computed, {time.monotonic() - begun:.1f} s.")


def know_agents(context: dg.OpExecutionContext | dg.AssetExecutionContext, agents: Sequence[AgentRef]) -> None:
    """Makes agents partitions, which their materializations need. All at once: for each it would be two statements more."""
    context.instance.add_dynamic_partitions("agents", [agent.partition for agent in agents])


def refresh_agent(context: dg.OpExecutionContext | dg.AssetExecutionContext, connection: Connection, store: Store, agent: AgentRef) -> None:
    """Examples → duplicates, agreement, quality → dataset of one agent, recorded as materializations of those assets. Again changes nothing.

    Whoever calls it has made the agent a partition (know_agents).
    """
    _derive_examples(context, connection, agent)
    _curate(context, connection, store, agent)


def _derive_examples(context: dg.OpExecutionContext | dg.AssetExecutionContext, connection: Connection, agent: AgentRef) -> None:
    done = refresh_examples(connection, agent)
    counts = {"entries": done.entries, "created": done.created, "scrubbed_again": done.again.examples}
    context.log_event(dg.AssetMaterialization("learning_examples", partition=agent.partition, metadata=counts))


def _curate(context: dg.OpExecutionContext | dg.AssetExecutionContext, connection: Connection, store: Store, agent: AgentRef) -> None:
    with encoder_at_need(store.settings) as opener:
        curated = refresh_curation(connection, agent, rule_of(store.settings), opener)
    context.log_event(
        dg.AssetMaterialization("duplicate_clusters", partition=agent.partition, metadata={"new_inputs": curated.clustered.inputs, "rare_inputs": curated.rare})
    )
    compared = refresh_agreement(connection, agent, store.settings.timezone)
    context.log_event(dg.AssetMaterialization("annotation_agreement", partition=agent.partition, metadata={"experts": compared.experts}))
    scored = refresh_quality(connection, agent)
    context.log_event(dg.AssetMaterialization("example_quality", partition=agent.partition, metadata={"scored": scored.scored, "changed": scored.changed}))
    built = dataset_up_to_date(connection, store, agent)
    context.log_event(
        dg.AssetMaterialization("training_datasets", partition=agent.partition, metadata={"dagster/row_count": built.examples, "version": built.version or 0})
    )
