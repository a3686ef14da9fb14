"""Failed checks and failed runs, kept for the weekly report of the organization they belong to.

Belongs here: what a finished run says of whom. Not here: telling people at once (alerts.py), SQL (storage/incidents.py), the report (reports/).
"""

import datetime as dt
from collections.abc import Mapping

import dagster as dg

from learning_pipelines import run_tags
from learning_pipelines.defs import standing
from learning_pipelines.storage.incidents import Seen


def seen_in(instance: dg.DagsterInstance, run: dg.DagsterRun, *, failed: bool) -> list[Seen]:
    """How the run and its checks ended, without what belongs to no single organization. `failed`: it failed, and is not tried again."""
    partition = run.tags.get(run_tags.PARTITION, "")
    found = [(organization_of(run.tags, partition), "run", run.job_name, partition, failed, ended_at(instance, run))]
    for one in standing.evaluations(instance, run):
        name = f"{one.asset}:{one.check}"
        found.append((organization_of(run.tags, one.partition), "check", name, one.partition, not one.passed, one.at))
    return [Seen(organization, *rest, run.run_id) for organization, *rest in found if organization is not None]


def organization_of(tags: Mapping[str, str], partition: str) -> str | None:
    """The organization of a partition <organization>/<agent>, or the one that a run is tagged with."""
    return partition.partition("/")[0] if "/" in partition else tags.get(run_tags.ORGANIZATION)


def ended_at(instance: dg.DagsterInstance, run: dg.DagsterRun) -> dt.datetime:
    """When a run ended: a sensor that was down looks at it later."""
    record = instance.get_run_record_by_id(run.run_id)
    ended = record.end_time if record is not None else None
    return dt.datetime.now(dt.UTC) if ended is None else dt.datetime.fromtimestamp(ended, dt.UTC)
