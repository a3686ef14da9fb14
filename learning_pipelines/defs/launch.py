"""A child process that runs jobs through Dagster and says what became of each: `python -m learning_pipelines.defs.launch`.

Belongs here: executing runs against the instance, one after the other. Not here: deciding which (runner.py), anything on user data.

Reads JSON requests on standard input, one a line ({job, partition?, first?, last?, organization?, agent?, tags?}), writes one JSON answer a
line ({run_id, job, partition, agent, status, reason}).
"""

import json
import logging
import re
import socket
import sys
from typing import Any

import dagster as dg

from learning_pipelines import run_tags
from learning_pipelines.defs.sensors import observations
from learning_pipelines.storage import overview
from learning_pipelines.storage.store import Store

_OURS = re.compile(r"^learning_pipelines[\w.]*: ")  # an error's class says nothing that its words do not
_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
# Makes the run appear under its code location in the UI, as one that the daemon launched.
_LOCATION = {".dagster/repository": "__repository__@learning_pipelines"}


def main() -> None:
    logging.getLogger("dagster").setLevel(logging.WARNING)
    from learning_pipelines.definitions import defs

    repository = defs().get_repository_def()
    with dg.DagsterInstance.get() as instance:
        for line in sys.stdin:
            request = json.loads(line)
            answer = _observe(instance) if request["job"] == "observe" else _run(instance, repository.get_job(request["job"]), request)
            print(json.dumps(answer), flush=True)


def _run(instance: dg.DagsterInstance, job: dg.JobDefinition, request: dict[str, Any]) -> dict[str, Any]:
    tags = {**_LOCATION, run_tags.LAUNCHED_BY: "command line", run_tags.HOST: socket.gethostname()}
    tags |= request.get("tags", {})
    if request.get("organization"):
        tags[run_tags.ORGANIZATION] = request["organization"]
    if request.get("first"):
        tags |= {run_tags.RANGE_START: request["first"], run_tags.RANGE_END: request["last"]}
    if request.get("agent"):
        instance.add_dynamic_partitions("agents", [request["partition"]])
    result = job.execute_in_process(instance=instance, partition_key=request.get("partition"), tags=tags, run_config=_QUIET, raise_on_error=False)
    run = instance.get_run_by_id(result.run_id)
    found = {} if run is None else run.tags
    status = found.get(run_tags.STATUS, "success") if result.success else "failure"
    reason = found.get(run_tags.REASON) if result.success else _why(result)
    return {
        "run_id": result.run_id, "job": request["job"], "partition": request.get("partition"), "agent": request.get("agent"),
        "status": status, "reason": reason,
    }  # fmt: skip


def _why(result: dg.ExecuteInProcessResult) -> str:
    """The innermost cause of the first failure, in its own words."""
    for event in result.all_events:
        if event.is_step_failure or event.is_job_failure:
            error = getattr(event.event_specific_data, "error", None)
            while error is not None and error.cause is not None:
                error = error.cause
            if error is not None:
                return _OURS.sub("", str(error.message).strip())
    failed = [one.check_name for one in result.get_asset_check_evaluations() if not one.passed]
    return "; ".join(f"check {name} failed" for name in failed) or "the run failed"


def _observe(instance: dg.DagsterInstance) -> dict[str, Any]:
    with Store().pipeline() as connection:
        for event in observations(overview.written(connection)):
            instance.report_runless_asset_event(event)
    return {"run_id": None, "job": "observe", "partition": None, "agent": None, "status": "success", "reason": None}


if __name__ == "__main__":
    main()
