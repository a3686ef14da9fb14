"""How Dagster stands: what waits and runs, what failed, checks, freshness, how far the sensors are.

Belongs here: reading the instance and the code location, as plain values. Not here: the judgement and the words (serve.py), telling anybody (alerts.py).
"""

import datetime as dt
from dataclasses import dataclass
from typing import Any

import dagster as dg
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus

from learning_pipelines import run_tags
from learning_pipelines.defs.freshness import judged, scheduled

VERDICTS = frozenset({
    "beats_current_prompt", "beats_serving_index", "refinement_beats_serving_index", "policy_beats_frequency_baseline", "guidance_beats_prompt_alone",
    "rules_help_on_held_out_corrections", "playbook_has_evidence", "calibration_helps", "judge_agrees_with_experts",
})  # fmt: skip
"""Checks that say no when nothing better was learnt: that is an answer and no incident."""
_RUNNING = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]


def runs(instance: dg.DagsterInstance) -> dict[str, int]:
    """Runs that wait in the queue, and that run."""
    return {
        "queued": instance.get_runs_count(dg.RunsFilter(statuses=[dg.DagsterRunStatus.QUEUED])),
        "running": instance.get_runs_count(dg.RunsFilter(statuses=_RUNNING)),
    }


def failures(instance: dg.DagsterInstance, jobs: list[str], since: dt.datetime) -> dict[str, int]:
    """Runs that failed since a moment, by job; every job is named."""
    return {
        job: instance.get_runs_count(dg.RunsFilter(job_name=job, statuses=[dg.DagsterRunStatus.FAILURE], updated_after=since)) for job in jobs
    }


@dataclass(frozen=True, slots=True)
class Evaluated:
    """A check as a run left it; `partition`: '' without one."""

    asset: str
    check: str
    partition: str
    passed: bool
    severity: str
    at: dt.datetime


def evaluations(instance: dg.DagsterInstance, run: dg.DagsterRun) -> list[Evaluated]:
    """The checks that a run evaluated, in their order, without those that only found nothing better."""
    found = []
    for record in instance.get_records_for_run(run.run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION).records:
        one = record.event_log_entry.dagster_event.asset_check_evaluation_data
        if one.check_name not in VERDICTS:
            partition = one.partition or run.tags.get(run_tags.PARTITION, "")
            at = dt.datetime.fromtimestamp(record.event_log_entry.timestamp, dt.UTC)
            found.append(Evaluated(one.asset_key.to_user_string(), one.check_name, partition, one.passed, one.severity.value.lower(), at))
    return found


def failed_checks(instance: dg.DagsterInstance, repository: dg.RepositoryDefinition) -> list[dict[str, Any]]:
    """Checks whose last evaluation failed, without those that only found nothing better: {asset, check, severity, partition, run_id, at}."""
    keys = [key for key in repository.asset_graph.asset_check_keys if key.name not in VERDICTS]
    latest = instance.event_log_storage.get_latest_asset_check_execution_by_key(keys)
    found = [record for record in latest.values() if record.status == AssetCheckExecutionRecordStatus.FAILED]
    return sorted((_failed(record) for record in found), key=lambda one: (one["asset"], one["check"]))


def _failed(record) -> dict[str, Any]:
    event = record.event.dagster_event if record.event is not None else None
    evaluation = event.asset_check_evaluation_data if event is not None and event.event_type is dg.DagsterEventType.ASSET_CHECK_EVALUATION else None
    return {
        "asset": record.key.asset_key.to_user_string(), "check": record.key.name, "severity": evaluation.severity.value.lower() if evaluation else "error",
        "partition": record.partition, "run_id": record.run_id, "at": dt.datetime.fromtimestamp(record.create_timestamp, dt.UTC).isoformat(),
    }  # fmt: skip


def freshness(instance: dg.DagsterInstance, repository: dg.RepositoryDefinition, now: dt.datetime) -> list[dict[str, Any]]:
    """Every asset with its state and when it was last made (for what people write: when the newest row came, as last observed)."""
    nodes = {node.key: node for node in repository.asset_graph.asset_nodes}
    records = {record.asset_entry.asset_key: record.asset_entry for record in instance.get_asset_records(list(nodes))}
    found = []
    for key, node in sorted(nodes.items(), key=lambda one: one[0].to_user_string()):
        last = _observed(instance, key) if node.is_external else _made(records.get(key))
        policy = node.freshness_policy_or_from_metadata
        when = None if last is None else last.isoformat()
        found.append({"asset": key.to_user_string(), "state": judged(policy, last, now), "scheduled": scheduled(policy), "last": when})
    return found


def _made(entry) -> dt.datetime | None:
    event = None if entry is None else entry.last_materialization
    return None if event is None else dt.datetime.fromtimestamp(event.timestamp, dt.UTC)


def _observed(instance: dg.DagsterInstance, key: dg.AssetKey) -> dt.datetime | None:
    newest = next(iter(instance.fetch_observations(key, limit=1).records), None)
    observation = None if newest is None else newest.asset_observation
    row = None if observation is None else observation.metadata.get("last_row")
    return None if row is None else dt.datetime.fromtimestamp(row.value, dt.UTC)


def sensor_states(instance: dg.DagsterInstance, repository: dg.RepositoryDefinition) -> list[dict[str, Any]]:
    """Name, last tick (seconds since 1970) and cursor of every sensor; None where it never ticked."""
    states = {state.instigator_name: state for state in instance.all_instigator_state()}
    data = {sensor.name: getattr(states.get(sensor.name), "instigator_data", None) for sensor in repository.sensor_defs}
    return [{"name": name, "last_tick": getattr(one, "last_tick_timestamp", None), "cursor": getattr(one, "cursor", None)} for name, one in data.items()]
