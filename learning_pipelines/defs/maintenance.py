"""Housekeeping: month partitions ahead of time, old months into the archive, the consumed outbox, what nobody needs any more, old runs of Dagster.

Belongs here: the cleanup job. Not here: what is done to the data (housekeeping.py).
"""

import datetime as dt

import dagster as dg

from learning_pipelines.defs import housekeeping
from learning_pipelines.defs.common import bring_up_to_date
from learning_pipelines.storage.store import Store

RUNS_KEPT_DAYS = 90
RUNS_PER_CLEANUP = 2_000


@dg.op(pool="postgres_write", out=dg.Out(dg.Nothing))
def tidy(context: dg.OpExecutionContext, store: dg.ResourceParam[Store]):
    """Partitions for the months to come; consumed outbox entries, spans of no execution, old versions and runs away; months beyond retention archived."""
    bring_up_to_date(context, store)
    runs = _delete_old_runs(context.instance)
    done = housekeeping.tidy(store)
    if done.archived.waiting:
        context.log.warning(f"Not archived: {done.archived.waiting}.")
    for wrong in done.wrong:
        context.log.error(f"The archive is not as it was written: {wrong}")
    numbers = {
        **{f"{table}_rows": count for table, count in done.touched.items()}, "partitions_made": done.partitions, "runs_deleted": runs,
        "artifacts_deleted": done.artifacts, "months_archived": len(done.archived.months), "files_written": done.archived.files,
        "bytes_written": done.archived.bytes, "rows_moved_on": done.archived.carried, "rows_brought_back": done.archived.returned,
        "archived_files_checked": done.checked, "archived_files_wrong": len(done.wrong),
    }  # fmt: skip
    words = {"archived": ", ".join(done.archived.months) or "nothing was due", "executions": f"{store.settings.page_link}/executions"}
    context.log.info("; ".join(f"{name} {value}" for name, value in (numbers | words).items()))
    yield dg.Output(None, metadata={**numbers, **words, **({"waiting": done.archived.waiting} if done.archived.waiting else {})})
    if done.wrong:
        raise dg.Failure(f"{len(done.wrong)} archived files are not as they were written: {done.wrong[0]}", allow_retries=False)


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
