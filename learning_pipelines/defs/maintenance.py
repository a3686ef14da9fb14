"""Housekeeping: month partitions ahead of time, old months into the archive, the consumed outbox, what nobody needs any more, old runs of Dagster.

Belongs here: the cleanup job. Not here: how each is done (feedback/archive/, retrieval/retention.py, storage/).
"""

import datetime as dt

import dagster as dg

from learning_pipelines.defs.common import bring_up_to_date
from learning_pipelines.feedback.archive import checking
from learning_pipelines.feedback.archive.archiving import archive
from learning_pipelines.retrieval import retention
from learning_pipelines.storage import dataset_states, outbox, peers
from learning_pipelines.storage.migrate import make_partitions
from learning_pipelines.storage.store import Store

RUNS_KEPT_DAYS = 90
RUNS_PER_CLEANUP = 2_000


@dg.op(pool="postgres_write", out=dg.Out(dg.Nothing))
def tidy(context: dg.OpExecutionContext, store: dg.ResourceParam[Store]):
    """Partitions for the months to come; consumed outbox entries, spans of no execution, old versions and runs away; months beyond retention archived."""
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
    # Last: what cannot be archived today must not keep the rest from being tidied.
    done = archive(store)
    if done.waiting:
        context.log.warning(f"Not archived: {done.waiting}.")
    checked = checking.check(store, most=checking.SAMPLE)
    for wrong in checked.wrong:
        context.log.error(f"The archive is not as it was written: {wrong}")
    numbers = {
        "partitions_made": made, "outbox_entries_deleted": pruned, "spans_deleted": spans, "runs_deleted": runs,
        "index_versions_deleted": indexes.pruned.versions, "artifacts_deleted": indexes.artifacts,
        "months_archived": len(done.months), "executions_archived": done.rows["agent_executions"],
        "feedback_archived": done.rows["agent_feedback"], "files_written": done.files, "bytes_written": done.bytes, "rows_moved_on": done.carried,
        "archived_files_checked": checked.files, "archived_files_wrong": len(checked.wrong),
    }  # fmt: skip
    words = {"archived": ", ".join(done.months) or "nothing was due", "waiting": done.waiting or "", "executions": f"{store.settings.page_link}/executions"}
    yield dg.Output(None, metadata={**numbers, **{name: text for name, text in words.items() if text}})
    if checked.wrong:
        raise dg.Failure(f"{len(checked.wrong)} archived files are not as they were written: {checked.wrong[0]}", allow_retries=False)


@dg.job(description="Weekly clean-up: archives executions and feedback beyond retention, and deletes what nobody needs any more.")
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
