"""Examples, datasets and files of many agents in one run, agent by agent; runs of different batches go on at once, on several workers if there are.

Belongs here: how agents are cut into batches, the job over one. Not here: what is done to an agent (common.py, examples/), the assets' own runs (jobs.py).

A run of `dataset_refresh` records 110 events for one agent, whatever there is to do; here an agent costs 7. What is left out are the assets' checks.
"""

import zlib

import dagster as dg

from learning_pipelines import run_tags
from learning_pipelines.defs.common import know_agents, refresh_agent
from learning_pipelines.defs.datasets import export_metadata
from learning_pipelines.errors import LearningError
from learning_pipelines.examples.artifacts import refresh_artifacts
from learning_pipelines.storage import tenants
from learning_pipelines.storage.store import Store

BATCHES = 40
batches = dg.StaticPartitionsDefinition([f"{number:02}" for number in range(BATCHES)])
"""Keys are two digits. An agent stays in its batch, so that no two batches ever write the same agent."""
_LAST = dg.AssetKey("dataset_exports")


def batch_of(partition: str) -> str:
    """The batch of `<organization>/<agent>`, the same on every machine."""
    return f"{zlib.crc32(partition.encode()) % BATCHES:02}"


@dg.op(pool="postgres_write", out=dg.Out(dg.Nothing))
def refresh_batch(context: dg.OpExecutionContext, store: dg.ResourceParam[Store]):
    """Every agent of the batch, one after the other; one that fails leaves the others as they should be, and fails the run at its end."""
    failed: list[str] = []
    with store.pipeline() as connection:
        mine = [agent for agent in tenants.agents(connection) if batch_of(agent.partition) == context.partition_key]
        done = _already(context)
        know_agents(context, mine)
        for agent in mine:
            if agent.partition in done:
                continue
            try:
                refresh_agent(context, connection, store, agent)
                found = refresh_artifacts(connection, agent, store.settings.artifacts)
            except LearningError as error:
                context.log.error(f"{agent.partition}: {error}")
                failed.append(agent.partition)
                continue
            sealed = found.dataset.statistics.get("pairs", {}) if found.dataset else {}
            context.log_event(dg.AssetMaterialization("preference_pairs", partition=agent.partition, metadata={"sealed": sum(sealed.values())}))
            context.log_event(dg.AssetMaterialization(_LAST, partition=agent.partition, metadata=export_metadata(found)))
    if failed:
        raise dg.Failure(f"{len(failed)} of {len(mine)} agents could not be brought up to date, {failed[0]} first: its error is in the log of the run.")
    yield dg.Output(None, metadata={"agents": len(mine), "already_done": len(done)})


def _already(context: dg.OpExecutionContext) -> set[str]:
    """Partitions that the runs which this one repeats had finished: their workers were killed in the middle."""
    done: set[str] = set()
    run: dg.DagsterRun | None = context.run
    while run is not None and (parent := run.tags.get(run_tags.AFTER)) is not None:
        records = context.instance.get_records_for_run(parent, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION).records
        events = [record.event_log_entry.dagster_event for record in records]
        done |= {event.partition for event in events if event is not None and event.asset_key == _LAST and event.partition is not None}
        run = context.instance.get_run_by_id(parent)
    return done


@dg.job(partitions_def=batches, description="Brings examples, datasets and exported files of every agent of one batch up to date; a backfill over all: of all.")
def agents_refresh():
    refresh_batch()
