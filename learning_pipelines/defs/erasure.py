"""Erasures that were asked for and that nobody works on: a sensor finds them, a job ends them.

Belongs here: the sensor requested_erasures, the job erasure. Not here: what is erased (feedback/erasure/), asking for it (api/, cli).
"""

import datetime as dt

import dagster as dg

from learning_pipelines.defs.ticks import unless_away
from learning_pipelines.errors import LearningError
from learning_pipelines.feedback.erasure import engine
from learning_pipelines.storage import erasure_requests
from learning_pipelines.storage.store import Store

YOUNG_SECONDS = 45
"""So long whoever asked for an erasure has the time to do it."""
AGAIN_MINUTES = 10
"""A request whose run failed is asked for again after so long."""


@dg.op(pool="postgres_write", out=dg.Out(dg.Nothing))
def erase(context: dg.OpExecutionContext, store: dg.ResourceParam[Store]):
    """Ends every erasure that was asked for and that no process works on. Names are neither logged nor in metadata."""
    with store.pipeline() as connection:
        waiting = erasure_requests.nobodys(connection, 0)
    touched, failed = 0, []
    for one in waiting:
        try:
            certificate = engine.erase(store, one.id)
        except LearningError as error:
            context.log.error(f"Erasure {one.id}: {error}")
            failed.append(str(one.id))
            continue
        rows = sum(certificate["touched"].values())
        touched += rows
        context.log.info(f"Erasure {one.id} is done: {rows} rows touched.")
    yield dg.Output(None, metadata={"erasures": len(waiting) - len(failed), "rows_touched": touched, "failed": len(failed)})
    if failed:
        raise dg.Failure(f"{len(failed)} erasures could not be ended: {', '.join(failed[:5])}", allow_retries=False)


@dg.job(description="Ends erasures of persons that were asked for and that nobody works on.")
def erasure():
    erase()


@dg.sensor(
    name="requested_erasures",
    job=erasure,
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Asks for the job erasure where an erasure was asked for and no process works on it: killed, or none could be started.",
)
@unless_away
def requested_erasures(context: dg.SensorEvaluationContext, store: dg.ResourceParam[Store]):
    with store.pipeline() as connection:
        waiting = erasure_requests.nobodys(connection, YOUNG_SECONDS)
    if not waiting:
        return dg.SkipReason("No erasure waits.")
    return dg.RunRequest(run_key=f"{waiting[0].id}/{dt.datetime.now(dt.UTC).timestamp() // (60 * AGAIN_MINUTES):.0f}")
