"""Running a job from the command line: which runs it takes, started as a child process, followed until the end.

Belongs here: from a job and an organization to runs and their outcome. Not here: executing (launch.py); dagster is not imported.
"""

from __future__ import annotations

import datetime as dt
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from learning_pipelines.defs.instance import child, environment
from learning_pipelines.errors import BadInput, LearningError
from learning_pipelines.feedback.identity import organization_id
from learning_pipelines.reports.week import last_closed_week
from learning_pipelines.storage import proposals, tenants
from learning_pipelines.storage.store import Store

PER_AGENT = ("prompt_optimization", "rag_training", "behavior_learning", "fine_tuning", "examples_refresh", "dataset_refresh", "index_refresh", "judge_sample")
OVERALL = ("ab_test_analysis", "cleanup", "erasure", "learning_report")
JOBS = PER_AGENT + OVERALL


@dataclass(frozen=True)
class Outcome:
    """What became of a job: `status` is failure if any run failed, skipped if all were skipped (or there was nothing to run), else success."""

    job: str
    runs: list[dict[str, Any]]
    reason: str | None
    seconds: float
    proposals: list[dict[str, Any]] = field(default_factory=list)
    status: str = field(init=False)

    def __post_init__(self) -> None:
        found = {run["status"] for run in self.runs}
        object.__setattr__(self, "status", "failure" if "failure" in found else "skipped" if found <= {"skipped"} else "success")

    def as_json(self) -> dict[str, Any]:
        launched = [run["run_id"] for run in self.runs if run["run_id"]]
        return {
            "run_id": launched[0] if launched else None, "runs": self.runs, "job": self.job, "status": self.status, "reason": self.reason,
            "seconds": round(self.seconds, 3), "proposals": self.proposals,
        }  # fmt: skip


def require_job(job: str, agent: str | None) -> None:
    """Raises BadInput for an unknown job, and for an agent of a job that is about all of them."""
    if job not in JOBS:
        raise BadInput(f"{job!r} is not a job.", f"Known jobs: {', '.join(JOBS)}.")
    if agent is not None and job in OVERALL:
        raise BadInput(f"{job} is not done agent by agent.", f"Leave --agent out; for one agent there are {', '.join(PER_AGENT)}.")


def requests_for(store: Store, job: str, organization: str, agent: str | None) -> list[dict[str, Any]]:
    """The runs a job takes for an organization. Raises BadInput for an unknown job or agent."""
    require_job(job, agent)
    if job == "learning_report":
        monday = last_closed_week(dt.datetime.now(dt.UTC), store.settings.zone)
        return [{"job": job, "partition": monday.isoformat()}]
    if job in OVERALL:
        return [{"job": job, "organization": organization}]
    with store.pipeline() as connection:
        found = tenants.agents(connection, organization, agent)
    if agent is not None and not found:
        raise BadInput(f"{organization} has no agent {agent!r}.", "Import it first (kind agents), or name another one.")
    return [{"job": job, "partition": one.partition, "organization": organization, "agent": one.agent} for one in found]


def run_job(
    store: Store, job: str, organization: str, agent: str | None, progress: Callable[[dict[str, Any]], None], tags: Mapping[str, str] | None = None
) -> Outcome:
    """Runs a job through Dagster and waits. `progress` is called with every finished run; `tags` go with every run."""
    begun = time.monotonic()
    requests = [{**request, "tags": dict(tags or {})} for request in requests_for(store, job, organization, agent)]
    runs = []
    for answer in launch(store, requests):
        runs.append({name: answer[name] for name in ("run_id", "agent", "status", "reason")})
        progress(answer)
    return Outcome(job, runs, _reason(organization, runs), time.monotonic() - begun, proposals_of(store, organization, runs))


def proposals_of(store: Store, organization: str, runs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What these runs proposed: {id, kind, agent, verdict, state}."""
    launched = [run["run_id"] for run in runs if run["run_id"]]
    if not launched:
        return []
    with store.pipeline() as connection:
        found = proposals.of_runs(connection, organization_id(organization), launched)
    return [{"id": str(one.id), "kind": one.kind, "agent": one.agent, "verdict": one.verdict, "state": one.state} for one in found]


def launch(store: Store, requests: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Executes the requested runs one after the other in a child process; yields each answer as it comes."""
    if not requests:
        return
    env = environment(store.settings, store.database)
    process = child("learning_pipelines.defs.launch", env)
    assert process.stdin is not None and process.stdout is not None
    with process:
        process.stdin.write("".join(json.dumps(request) + "\n" for request in requests))
        process.stdin.close()
        answered = 0
        for line in process.stdout:
            answered += 1
            yield json.loads(line)
    if answered < len(requests):
        raise LearningError(
            f"Dagster ended after {answered} of {len(requests)} runs (exit code {process.returncode}).",
            "Its output above says why; `learning-pipelines verify` checks the installation.",
        )


def _reason(organization: str, runs: Sequence[dict[str, Any]]) -> str | None:
    if not runs:
        return f"{organization} has no agent yet: import one first (kind agents)"
    reasons = list(dict.fromkeys(run["reason"] for run in runs if run["reason"]))
    return "; ".join(reasons) or None
