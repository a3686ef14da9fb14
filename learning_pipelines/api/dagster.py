"""Dagster through its GraphQL: starting a run, reading how runs of one organization stand.

Belongs here: the queries and what their answers mean here. Not here: what jobs do (defs/); dagster is not imported.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping
from typing import Any

import httpx

from learning_pipelines import run_tags, tracing
from learning_pipelines.errors import LearningError, Unavailable
from learning_pipelines.settings import Settings

ATTEMPTS = 4
_SELECTOR = {"repositoryName": "__repository__", "repositoryLocationName": "learning_pipelines"}
_STATUS = {
    "QUEUED": "pending", "NOT_STARTED": "pending", "MANAGED": "pending", "STARTING": "running", "STARTED": "running", "CANCELING": "running",
    "SUCCESS": "completed", "FAILURE": "failed", "CANCELED": "cancelled",
}  # fmt: skip
_NOT_NOW = ("PythonError", "PipelineNotFoundError", "RepositoryNotFoundError")
"""What is answered while Dagster's database is away, or the code is not loaded: every job that is asked for is one of ours."""
_RUN = "runId jobName status startTime endTime creationTime tags { key value } stepStats { status }"
_LAUNCH = """mutation($params: ExecutionParams!) { launchRun(executionParams: $params) {
    __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } ... on RunConfigValidationInvalid { errors { message } } } }"""
_PARTITION = """mutation($key: String!, $repository: RepositorySelector!) {
    addDynamicPartition(partitionsDefName: "agents", partitionKey: $key, repositorySelector: $repository) { __typename } }"""
_ONE = f"query($id: ID!) {{ runOrError(runId: $id) {{ __typename ... on Run {{ {_RUN} }} }} }}"
_MANY = f"""query($filter: RunsFilter!, $limit: Int!, $cursor: String) {{ runsOrError(filter: $filter, limit: $limit, cursor: $cursor) {{
    __typename ... on Runs {{ results {{ {_RUN} }} }} }} }}"""


class Dagster:
    """The webserver of this installation. Raises Unavailable when it does not answer."""

    def __init__(self, settings: Settings) -> None:
        self._http = httpx.Client(base_url=f"http://127.0.0.1:{settings.dagster_port}", timeout=20, limits=httpx.Limits(keepalive_expiry=4))

    def close(self) -> None:
        self._http.close()

    def launch(self, job: str, organization: str, agent: str, tags: Mapping[str, str]) -> str:
        """Starts a job for one agent; returns the run's id. The run waits in Dagster's queue like any other."""
        partition = f"{organization}/{agent}"
        self._ask(_PARTITION, key=partition, repository=_SELECTOR)
        request = uuid.uuid4().hex
        all_tags = {run_tags.PARTITION: partition, run_tags.ORGANIZATION: organization, run_tags.LAUNCHED_BY: "api", run_tags.REQUEST: request, **tags}
        if parent := tracing.outgoing().get(tracing.TRACEPARENT):
            all_tags[run_tags.TRACEPARENT] = parent
        params = {
            "selector": {**_SELECTOR, "jobName": job}, "runConfigData": {}, "mode": "default",
            "executionMetadata": {"tags": [{"key": key, "value": value} for key, value in all_tags.items()]},
        }  # fmt: skip
        for _ in range(ATTEMPTS):
            try:
                answer = self._ask(_LAUNCH, attempts=1, params=params)
                break
            except Unavailable:  # the answer is lost, the run may have begun all the same
                found = self._ask(_MANY, filter={"tags": [{"key": run_tags.REQUEST, "value": request}]}, limit=1, cursor=None)["results"]
                if found:
                    return str(found[0]["runId"])
        else:
            raise Unavailable("Dagster does not take the run now.", "Its log says why: see LEARNING_HOME/logs. Then try again.")
        if answer["__typename"] != "LaunchRunSuccess":
            raise LearningError(f"Dagster did not take the run of {job}: {answer['__typename']}.", "Its log says more: see LEARNING_HOME/logs.")
        return str(answer["run"]["runId"])

    def run(self, organization: str, run_id: str) -> dict[str, Any] | None:
        """One run, if it belongs to the organization."""
        answer = self._ask(_ONE, id=run_id)
        if answer["__typename"] != "Run" or not _belongs(answer, organization):
            return None
        return _described(answer)

    def runs(self, organization: str, job: str | None, limit: int, cursor: str | None, agent: str | None = None) -> list[dict[str, Any]]:
        """Runs of the organization, newest first: those tagged with it. `cursor` is the last run id of the page before."""
        wanted: dict[str, Any] = {"tags": [{"key": run_tags.ORGANIZATION, "value": organization}]}
        if agent is not None:
            wanted["tags"].append({"key": run_tags.PARTITION, "value": f"{organization}/{agent}"})
        if job is not None:
            wanted["pipelineName"] = job
        answer = self._ask(_MANY, filter=wanted, limit=limit, cursor=cursor)
        return [_described(run) for run in answer.get("results", [])]

    def _ask(self, query: str, attempts: int = ATTEMPTS, **variables: Any) -> Any:
        """`attempts`: after its database was away, the webserver fails once per connection it had kept; what may be asked twice is."""
        try:
            answer = self._http.post("/graphql", json={"query": query, "variables": variables})
            if answer.status_code >= 500 and attempts > 1:
                return self._ask(query, attempts - 1, **variables)
            answer.raise_for_status()
            document = answer.json()
        except (httpx.HTTPError, ValueError) as error:
            raise Unavailable(f"Dagster does not answer ({type(error).__name__}).", "Start it with `learning-pipelines up`, then try again.") from error
        if document.get("errors"):
            raise LearningError("Dagster did not understand the request.", "Its version does not fit this one: install the project again.")
        answered = next(iter(document["data"].values()))
        if (kind := answered.get("__typename")) in _NOT_NOW:
            raise Unavailable(f"Dagster cannot do this now ({kind}).", "Its database or code server is away or starting: try again in a moment.")
        return answered


def _tags(run: Mapping[str, Any]) -> dict[str, str]:
    return {tag["key"]: tag["value"] for tag in run["tags"]}


def _belongs(run: Mapping[str, Any], organization: str) -> bool:
    tags = _tags(run)
    return tags.get(run_tags.ORGANIZATION) == organization or tags.get(run_tags.PARTITION, "").startswith(f"{organization}/")


def _described(run: Mapping[str, Any]) -> dict[str, Any]:
    """The run in the words of training_runs; progress is the share of its steps that ended (0–1)."""
    tags = _tags(run)
    steps = run["stepStats"]
    status = _STATUS.get(run["status"], "pending")
    done = sum(step["status"] in ("SUCCESS", "FAILURE", "SKIPPED") for step in steps)
    finished = status in ("completed", "failed", "cancelled")
    return {
        "run_id": run["runId"],
        "job": run["jobName"],
        "agent": tags.get(run_tags.PARTITION, "").partition("/")[2] or None,
        "status": status,
        "outcome": tags.get(run_tags.STATUS, "success") if status == "completed" else None,
        "reason": tags.get(run_tags.REASON),
        "progress": 1.0 if finished else done / len(steps) if steps else 0.0,
        "created_at": _moment(run["creationTime"]),
        "started_at": _moment(run["startTime"]),
        "ended_at": _moment(run["endTime"]),
    }


def _moment(seconds: float | None) -> str | None:
    return None if seconds is None else dt.datetime.fromtimestamp(seconds, dt.UTC).isoformat()
