"""Housekeeping: month partitions ahead of time, the consumed outbox, spans that became no execution, old index versions, old runs of Dagster.

Belongs here: the cleanup job. Not here: archiving feedback, which is not there yet.
"""

import datetime as dt

import dagster as dg

from learning_pipelines.defs.common import REASON_TAG, STATUS_TAG, bring_up_to_date
from learning_pipelines.retrieval import retention
from learning_pipelines.storage import dataset_states, outbox, peers
from learning_pipelines.storage.migrate import make_partitions
from learning_pipelines.storage.store import Store

RUNS_KEPT_DAYS = 90
RUNS_PER_CLEANUP = 2_000
_MISSING = "archiving of old feedback is not there yet; partitions, outbox and old runs are tidy"


@dg.op(pool="postgres_write", out=dg.Out(dg.Nothing, is_required=False))
def tidy(context: dg.OpExecutionContext, store: dg.ResourceParam[Store]):
    """Partitions for the months to come; consumed outbox entries, spans of no execution, old index versions and runs away. Rows of people stay."""
    bring_up_to_date(context, store)
    made = make_partitions(store.database)
    with store.pipeline() as connection:
        pruned = outbox.prune(connection, dt.timedelta(days=store.settings.outbox_retention_days))
        spans = peers.prune(connection, dt.timedelta(days=store.settings.orphan_days))
        changes = dataset_states.prune(connection)
        indexes = retention.prune(connection, store.settings)
    runs = _delete_old_runs(context.instance)
    context.log.info(
        f"{indexes.pruned.versions} index versions, {indexes.pruned.encoders} encoders, {indexes.pruned.edits} edits of chunks and "
        f"{indexes.artifacts} artifacts that nothing names deleted."
    )
    context.log.info(f"{made} partitions made, {pruned} outbox entries, {spans} spans of no execution, {changes} notes of changes and {runs} runs deleted.")
    context.instance.add_run_tags(context.run_id, {STATUS_TAG: "skipped", REASON_TAG: _MISSING})
    context.log.warning(f"Skipped: {_MISSING}")
    yield from ()


@dg.job(description=f"Weekly clean-up. Ends skipped for now: {_MISSING}")
def cleanup():
    tidy()


def _delete_old_runs(instance: dg.DagsterInstance) -> int:
    """Dagster keeps runs and their events for ever (dagster #33785); run keys are safe to lose because the cursor protects too."""
    before = dt.datetime.now(dt.UTC) - dt.timedelta(days=RUNS_KEPT_DAYS)
    finished = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
    old = instance.get_run_records(dg.RunsFilter(statuses=finished, updated_before=before), limit=RUNS_PER_CLEANUP, ascending=True)
    for record in old:
        instance.delete_run(record.dagster_run.run_id)
    return len(old)
