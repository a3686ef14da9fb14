"""`learning-pipelines up` as it is used: service, daemon, webserver, code server and database as processes, watched through GraphQL.

Belongs here: what only the whole can show, also when parts of it are killed. Not here: single verbs (cli/), assets and sensors (defs/).
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from learning_pipelines.storage import embedded
from learning_pipelines_tests.cli.command_line import call, database_of, write_rows
from learning_pipelines_tests.cli.running import PATIENCE, Up, commands, family, free_port, lasting, start, wait_for
from learning_pipelines_tests.defs.conftest import asked
from learning_pipelines_tests.feedback.rows import AGENT, said

MATERIALIZED = """query($asset: String!) { assetOrError(assetKey: {path: [$asset]}) { ... on Asset { assetMaterializations { partition runId } } } }"""
SCHEDULES = """{ schedulesOrError(repositorySelector: {repositoryName: "__repository__", repositoryLocationName: "learning_pipelines"}) {
    ... on Schedules { results { name scheduleState { id status } } } } }"""
STOP = """mutation($id: String!) { stopRunningSchedule(id: $id) { __typename ... on PythonError { message } } }"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with lasting(tmp_path_factory.mktemp("up") / "home") as path:
        yield path


@pytest.fixture(scope="module")
def up(home: Path) -> Up:
    return start(home, "up")


@pytest.fixture(scope="module")
def key(up: Up) -> str:
    """An API key made as an operator makes one."""
    return str(call(up.home, "keys", "create", "--role", "trainer", "--json").document["key"])


def ask(up: Up, key: str, method: str, path: str, body: Any = None, expected: int | None = None) -> Any:
    """One request to the feedback service; fails on an unexpected status (by default anything but success)."""
    answer = httpx.request(method, f"http://127.0.0.1:{up.api_port}/api/learning{path}", json=body, headers={"Authorization": f"Bearer {key}"}, timeout=30)
    assert answer.status_code == expected if expected is not None else answer.is_success, answer.text
    return answer.json()


def drop_in(home: Path, tmp_path: Path, name: str, question: str) -> None:
    """An execution and its correction arrive, as somebody would import them while everything runs."""
    for kind, row in (("agents", AGENT), ("executions", asked(name, question)), ("feedback", said(name, name, "correction", correction_text="Form 7."))):
        ended = call(home, "import", kind, write_rows(tmp_path / f"{kind}.jsonl", [row]))
        assert ended.code == 0, ended.err


def sources(home: Path) -> set[str]:
    """Feedback that examples were made of."""
    with database_of(home).connect("pipeline") as connection:
        return {str(row[0]) for row in connection.execute("SELECT source_id FROM learning_examples").fetchall()}


# The tests below are one story: each finds the installation as the one before left it.


def test_feedback_that_is_dropped_in_becomes_examples_without_anybody_asking(up: Up, tmp_path: Path) -> None:
    drop_in(up.home, tmp_path, "f1", "How do I file VAT?")
    run = wait_for(lambda: next((run for run in up.runs("examples_refresh") if run["status"] == "SUCCESS"), None))
    assert (run["dagster/sensor_name"], run["dagster/partition"]) == ("new_feedback", "default/desk")
    materialized = up.query(MATERIALIZED, asset="learning_examples")["assetMaterializations"]
    assert (run["id"], "default/desk") in {(one["runId"], one["partition"]) for one in materialized}
    wait_for(lambda: "f1" in sources(up.home))


def test_the_metrics_of_its_day_are_computed_by_the_sensor_too(up: Up) -> None:
    run = wait_for(lambda: next((run for run in up.runs("metrics_refresh") if run["status"] == "SUCCESS"), None))
    assert run["dagster/sensor_name"] == "new_feedback"
    with database_of(up.home).connect("pipeline") as connection:
        assert connection.execute("SELECT sum(corrections) FROM feedback_metrics").fetchone() == (1,)


def test_status_sees_the_sensor_at_work_and_no_problem(up: Up) -> None:
    status = call(up.home, "status", "--json").document
    assert status["problems"] == []
    assert all(sensor["last_tick"] for sensor in status["sensors"])
    assert next(sensor["lag_rows"] for sensor in status["sensors"] if sensor["name"] == "new_feedback") == 0


def test_a_second_up_of_the_same_home_is_refused(up: Up) -> None:
    ended = call(up.home, "up", LEARNING_DAGSTER_PORT=str(free_port()), LEARNING_API_PORT=str(free_port()))
    assert (ended.code, ended.out) == (1, "")
    assert f"already up for {up.home}" in ended.err
    assert up.process.poll() is None


def test_a_schedule_that_somebody_switched_off_is_found_by_verify(up: Up) -> None:
    report = next(one for one in up.query(SCHEDULES)["results"] if one["name"] == "learning_report_weekly")
    assert report["scheduleState"]["status"] == "RUNNING"
    assert up.query(STOP, id=report["scheduleState"]["id"])["__typename"] == "ScheduleStateResult"
    ended = call(up.home, "verify", "--json")
    assert ended.code == 1
    assert {one["name"]: one["advice"] for one in ended.document["checks"] if not one["ok"]} == {
        "schedules and sensors on": "Stopped: learning_report_weekly. Switch them on in the Dagster UI (Automation)."
    }


def test_what_people_write_is_observed_without_a_run(up: Up) -> None:
    query = """query($asset: String!) { assetOrError(assetKey: {path: [$asset]}) { ... on Asset { assetObservations { runId metadataEntries { label
        ... on IntMetadataEntry { intValue } } } } } }"""

    def seen() -> list[dict[str, Any]]:
        """Observations of rows; one that came before the first row says none."""
        found = up.query(query, asset="agent_feedback")["assetObservations"]
        return [one for one in found if {entry["label"]: entry.get("intValue") for entry in one["metadataEntries"]}["dagster/row_count"]]

    assert wait_for(seen)


def test_a_killed_database_comes_back_and_new_feedback_is_processed(up: Up, tmp_path: Path) -> None:
    before = embedded.running(up.home)
    assert before is not None
    os.kill(before.pid, signal.SIGKILL)
    wait_for(lambda: (now := embedded.running(up.home)) is not None and now.pid != before.pid)
    assert "f1" in sources(up.home)
    drop_in(up.home, tmp_path, "f2", "Where is my refund?")
    wait_for(lambda: "f2" in sources(up.home))
    assert up.process.poll() is None


def test_a_correction_over_http_becomes_a_scrubbed_pending_example(up: Up, key: str) -> None:
    ask(up, key, "POST", "/executions", {"execution_id": "h1", "agent": "desk", "input": "Mail me at ada@example.org", "output": "I cannot."})
    body = {"execution_id": "h1", "feedback_type": "correction", "correction_text": "I wrote to ada@example.org.", "feedback_id": "h1", "user": "ada"}
    assert ask(up, key, "POST", "/feedback", body)["status"] == "stored"
    wait_for(lambda: "h1" in sources(up.home))
    with database_of(up.home).connect("pipeline") as connection:
        row = connection.execute("SELECT input_text, expected_output, review_status FROM learning_examples WHERE source_id = 'h1'").fetchone()
    assert row == ("Mail me at <EMAIL_1>", "I wrote to <EMAIL_1>.", "pending")
    assert ask(up, key, "GET", "/lineage/feedback/h1")["examples"][0]["review_status"] == "pending"


def test_prompt_optimization_is_started_through_the_service_and_its_progress_seen(up: Up, key: str) -> None:
    launched = ask(up, key, "POST", "/optimize-prompt", {"agent_id": "desk", "optimization_goals": {"accuracy": 1}, "budget": 10}, 202)
    assert launched["status_url"] == f"/api/learning/runs/{launched['run_id']}"
    run = wait_for(lambda: (now := ask(up, key, "GET", f"/runs/{launched['run_id']}"))["status"] == "completed" and now)
    assert (run["job"], run["agent"], run["outcome"], run["progress"]) == ("prompt_optimization", "desk", "skipped", 1.0)
    assert "executions in the last 30 days, 50 are needed" in run["reason"]
    assert launched["run_id"] in {one["run_id"] for one in ask(up, key, "GET", "/runs?job=prompt_optimization")["runs"]}


def test_a_run_of_another_organization_is_not_there(up: Up, key: str) -> None:
    run_id = ask(up, key, "GET", "/runs")["runs"][0]["run_id"]
    other = call(up.home, "keys", "create", "--role", "trainer", "--organization", "other", "--json").document["key"]
    assert ask(up, other, "GET", f"/runs/{run_id}", expected=404)["field"] == "run_id"
    assert ask(up, other, "GET", "/runs") == {"runs": [], "cursor": None}
    assert ask(up, other, "POST", "/optimize-prompt", {"agent_id": "desk"}, 404)["field"] == "agent_id"


def test_a_revoked_key_is_refused_once_the_command_has_ended(up: Up) -> None:
    made = call(up.home, "keys", "create", "--role", "user", "--json").document
    ask(up, made["key"], "GET", "/stats")
    assert call(up.home, "keys", "revoke", made["key_id"], "--json").document["changed"] is True
    ask(up, made["key"], "GET", "/stats", expected=401)
    assert next(one for one in call(up.home, "keys", "list", "--json").document["keys"] if one["key_id"] == made["key_id"])["revoked_at"]


def test_a_killed_feedback_service_is_started_again(up: Up, key: str) -> None:
    (service,) = [process for process, words in commands(up.home).items() if "learning_pipelines.api.app:app" in words.split()]
    service.kill()

    def answers() -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{up.api_port}/readyz", timeout=5).status_code == 200
        except httpx.TransportError:
            return False

    wait_for(answers)
    assert ask(up, key, "POST", "/feedback", {"execution_id": "h1", "feedback_type": "thumbs_down", "feedback_id": "h2"})["status"] == "stored"
    assert "The api ended" in up.words()


def test_a_killed_service_is_started_again(up: Up) -> None:
    def daemons() -> list[psutil.Process]:
        return [process for process, words in commands(up.home).items() if "dagster-daemon" in " ".join(words.split()[:2])]

    (daemon,) = daemons()
    daemon.kill()
    wait_for(lambda: [one for one in daemons() if one.pid != daemon.pid])
    assert "The daemon ended" in up.words()


def test_a_killed_loader_of_code_is_started_again(up: Up) -> None:
    def loaders() -> set[int]:
        return {process.pid for process, words in commands(up.home).items() if "dagster api grpc" in words}

    before = loaders()
    for process in family(up.home):
        if process.pid in before:
            process.kill()
    wait_for(lambda: loaders() - before)
    assert "The process that loads the code ended" in up.words()


def test_sigterm_ends_everything_that_up_started(up: Up) -> None:
    up.process.send_signal(signal.SIGTERM)
    assert up.process.wait(PATIENCE) == 0
    assert family(up.home) == []
    assert embedded.running(up.home) is None
    assert "Traceback" not in up.words()


def test_down_ends_what_a_killed_up_left_behind(home: Path) -> None:
    killed = start(home, "up")
    killed.process.kill()
    killed.process.wait(PATIENCE)
    assert family(home) != []
    ended = call(home, "down", "--json")
    assert (ended.code, ended.document) == (0, {"stopped": ["feedback service and Dagster", "embedded database"]})
    assert family(home) == []
    assert embedded.running(home) is None
