"""What a Celery worker loads: the app, and the task that executes one Dagster run in the worker's own process.

Belongs here: the app and its task. Not here: handing runs to it (celery_launcher.py), starting a worker (defs/celery_worker.py).

A run is one task: a process that has loaded the location executes runs one after the other, instead of one process started for each run or each step.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dagster as dg
from celery import Celery, Task
from celery.signals import worker_init
from dagster._cli.api import _execute_run_command_body
from dagster_celery.config import TASK_EXECUTE_JOB_NAME
from dagster_celery.make_app import make_app

from learning_pipelines import run_tags
from learning_pipelines.defs.celery_worker import QUEUE
from learning_pipelines.errors import Unavailable
from learning_pipelines.settings import load_settings
from learning_pipelines.storage.run_lock import executing
from learning_pipelines.storage.store import Store

# A task that no worker has finished is handed out again after so many seconds; a run that still goes on is not executed twice (its lock).
VISIBLE_AGAIN_SECONDS = 300
OPTIONS = {
    "broker_connection_retry_on_startup": True,
    "broker_transport_options": {"visibility_timeout": VISIBLE_AGAIN_SECONDS},
    "task_ignore_result": True,  # what became of a run, Dagster's own storage says
    "worker_prefetch_multiplier": 1,
    "worker_redirect_stdouts": False,
    "worker_send_task_events": False,
}


def app_arguments(broker: str) -> dict[str, Any]:
    """How both sides reach the broker: workers and whoever hands runs to them."""
    return {"broker": broker, "backend": "disabled://", "config_source": OPTIONS, "task_default_queue": QUEUE}


def execute(task: Task, execute_job_args_packed: Any) -> int | None:
    """Executes the run whose id is the task's, unless another worker does, and leaves the process as it was. The exit code that Dagster gives a run."""
    run_id = str(task.request.id)
    # Dagster puts SIGINT's handler, which Celery's children ignore, in the place of SIGTERM's: they could not be stopped any more.
    handler = signal.getsignal(signal.SIGTERM)
    try:
        with executing(Store().database, run_id) as alone:
            if not alone:
                return None  # handed out again while its first worker is still at it
            with _instance() as instance:
                run = instance.get_run_by_id(run_id)
                if run is None or run.is_finished:
                    return None  # its first worker was killed: the broker hands it out again, and the run that repeats it is another
                instance.add_run_tags(run_id, {run_tags.WORKER: task.request.hostname})
                return _execute_run_command_body(run_id, instance, lambda _: None, True)
    except Unavailable as error:  # of the database, before the run began: it waits until there is one
        raise task.retry(exc=error, countdown=5, max_retries=None) from error
    finally:
        signal.signal(signal.SIGTERM, handler)


@contextmanager
def _instance() -> Iterator[dg.DagsterInstance]:
    """With connections that stay for the run: by itself Dagster logs in anew for every event."""
    with dg.DagsterInstance.get() as instance:
        instance.optimize_for_webserver(statement_timeout=0, pool_recycle=3600, max_overflow=10)
        try:
            yield instance
        finally:
            for storage in (instance.event_log_storage, instance.run_storage, instance.schedule_storage):
                storage._engine.dispose()


@worker_init.connect
def _load_location(**_: Any) -> None:
    """Before the worker's processes are forked: they share what is loaded, and one that is replaced is ready at once."""
    from learning_pipelines.definitions import defs

    defs().get_repository_def().get_all_jobs()


app: Celery = make_app(app_arguments(load_settings().celery_broker or "memory://"))
app.task(bind=True, name=TASK_EXECUTE_JOB_NAME, acks_late=True)(execute)
