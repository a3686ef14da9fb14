"""Runs handed to Celery workers: the launcher that dagster.yaml names where LEARNING_CELERY_BROKER is set (defs/instance.py).

Belongs here: what the launcher of dagster-celery lacks. Not here: executing (celery_app.py), which runs may start (Dagster's queue).

Celery knows nothing of a task whose worker was killed, and says "started" for ever. The database does: the lock of a run is gone with its process.
"""

from typing import Any

import dagster as dg
from dagster._core.launcher import CheckRunHealthResult, WorkerStatus
from dagster_celery.launcher import CeleryRunLauncher
from dagster_celery.tags import DAGSTER_CELERY_QUEUE_TAG, DAGSTER_CELERY_TASK_ID_TAG

from learning_pipelines import run_tags
from learning_pipelines.celery_app import app_arguments
from learning_pipelines.storage.run_lock import is_executed
from learning_pipelines.storage.store import Store


class CeleryLauncher(CeleryRunLauncher):
    """A run is one task of one worker. One whose worker is gone fails at the next look of run monitoring, and the sensor `crashed_runs` asks for it again."""

    def app_args(self) -> dict[str, Any]:
        return app_arguments(self.broker)

    @property
    def supports_resume_run(self) -> bool:
        return False  # one that crashed is asked for again, which is a run of its own

    def _launch_celery_task_run(self, run: dg.DagsterRun, task_signature: Any, routing_key: str) -> None:
        """The task has the id of its run, and the tag is set before a worker can see it: tags that two processes set at once overwrite each other."""
        queue = run.tags.get(DAGSTER_CELERY_QUEUE_TAG, self.default_queue)
        self._instance.add_run_tags(run.run_id, {DAGSTER_CELERY_TASK_ID_TAG: run.run_id})
        task_signature.apply_async(task_id=run.run_id, queue=queue, routing_key=f"{queue}.{routing_key}")
        self._instance.report_engine_event(f"Handed to the Celery queue {queue}.", run, cls=type(self))

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        if DAGSTER_CELERY_TASK_ID_TAG not in run.tags:  # `learning-pipelines run` executes it itself
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        if is_executed(Store().database, run.run_id):
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        return CheckRunHealthResult(WorkerStatus.FAILED, f"Its worker {run.tags.get(run_tags.WORKER, '')} is gone.")

    def terminate(self, run_id: str) -> bool:
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            return False
        if run.status is not dg.DagsterRunStatus.CANCELING:
            self._instance.report_run_canceling(run)
        return bool(super().terminate(run_id))

    def get_run_worker_debug_info(self, run: dg.DagsterRun, include_container_logs: bool | None = True) -> str | None:
        return f"Celery worker: {run.tags.get(run_tags.WORKER, 'none took it yet')}"
