"""A child process that says how Dagster stands: `python -m learning_pipelines.defs.state`, one JSON document on standard output.

Belongs here: reading the code location and the instance. Not here: the judgement and the words (serve.py, status_problems.py).
"""

import datetime as dt
import json
import logging
import sys

import dagster as dg
from dagster._utils.schedules import cron_string_iterator

from learning_pipelines import run_tags
from learning_pipelines.defs import standing


def main() -> None:
    logging.getLogger("dagster").setLevel(logging.WARNING)
    from learning_pipelines.definitions import defs

    definitions = defs()
    dg.Definitions.validate_loadable(definitions)
    repository = definitions.get_repository_def()
    with dg.DagsterInstance.get() as instance:
        states = {state.instigator_name: state for state in instance.all_instigator_state()}
        json.dump(
            {
                "jobs": [_job(instance, repository, name) for name in sorted(repository.job_names) if not name.startswith("__")],
                "sensors": [_sensor(one) for one in standing.sensor_states(instance, repository)],
                "runs": standing.runs(instance),
                "failed_checks": standing.failed_checks(instance, repository),
                "freshness": standing.freshness(instance, repository, dt.datetime.now(dt.UTC)),
                "stopped": sorted(name for name, state in states.items() if state.status.value == "STOPPED"),
            },
            sys.stdout,
        )


def _job(instance: dg.DagsterInstance, repository: dg.RepositoryDefinition, name: str) -> dict:
    last = next(iter(instance.get_run_records(dg.RunsFilter(job_name=name), limit=1)), None)
    crons = [(schedule.cron_schedule, schedule.execution_timezone) for schedule in repository.schedule_defs if schedule.job_name == name]
    return {
        "name": name,
        "last_run": None if last is None else last.create_timestamp.isoformat(),
        "last_status": None if last is None else last.dagster_run.tags.get(run_tags.STATUS, last.dagster_run.status.value.lower()),
        "last_run_id": None if last is None else last.dagster_run.run_id,
        "next_run": min((_next(cron, zone) for cron, zone in crons), default=None),
    }


def _next(cron: str, zone: str | None) -> str:
    moments = cron_string_iterator(dt.datetime.now(dt.UTC).timestamp(), cron, zone or "UTC")
    now = dt.datetime.now(dt.UTC)
    return next(moment for moment in moments if moment > now).isoformat()


def _sensor(state: dict) -> dict:
    tick = state["last_tick"]
    return {**state, "last_tick": None if tick is None else dt.datetime.fromtimestamp(tick, dt.UTC).isoformat()}


if __name__ == "__main__":
    main()
