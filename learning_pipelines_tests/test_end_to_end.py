"""`learning-pipelines up` as it is used: daemon, webserver, code server and database as processes, watched through GraphQL.

Belongs here: what only the whole can show, also when parts of it are killed. Not here: single verbs (cli/), assets and sensors (defs/).
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from learning_pipelines.storage import embedded
from learning_pipelines_tests.cli.command_line import call, database_of, remove, write_rows
from learning_pipelines_tests.cli.running import PATIENCE, Up, family, free_port, start, wait_for
from learning_pipelines_tests.defs.conftest import asked
from learning_pipelines_tests.feedback.rows import AGENT, said

MATERIALIZED = """query($asset: String!) { assetOrError(assetKey: {path: [$asset]}) { ... on Asset { assetMaterializations { partition runId } } } }"""
SCHEDULES = """{ schedulesOrError(repositorySelector: {repositoryName: "__repository__", repositoryLocationName: "learning_pipelines"}) {
    ... on Schedules { results { name scheduleState { id status } } } } }"""
STOP = """mutation($id: String!) { stopRunningSchedule(id: $id) { __typename ... on PythonError { message } } }"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("up") / "home"
    try:
        yield path
    finally:
        for process in family(path):
            process.kill()
        remove(path)


@pytest.fixture(scope="module")
def up(home: Path) -> Up:
    return start(home, "up")


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
    ended = call(up.home, "up", LEARNING_DAGSTER_PORT=str(free_port()))
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
    (*_, observed) = wait_for(lambda: up.query(query, asset="agent_feedback")["assetObservations"])
    assert {entry["label"]: entry.get("intValue") for entry in observed["metadataEntries"]}["dagster/row_count"] >= 1


def test_a_killed_database_comes_back_and_new_feedback_is_processed(up: Up, tmp_path: Path) -> None:
    before = embedded.running(up.home)
    assert before is not None
    os.kill(before.pid, signal.SIGKILL)
    wait_for(lambda: (now := embedded.running(up.home)) is not None and now.pid != before.pid)
    assert "f1" in sources(up.home)
    drop_in(up.home, tmp_path, "f2", "Where is my refund?")
    wait_for(lambda: "f2" in sources(up.home))
    assert up.process.poll() is None


def test_a_killed_service_is_started_again(up: Up) -> None:
    (daemon,) = [process for process in family(up.home) if "dagster-daemon" in " ".join(process.cmdline()[:2])]
    daemon.kill()
    wait_for(lambda: [one for one in family(up.home) if one.pid != daemon.pid and "dagster-daemon" in " ".join(one.cmdline()[:2])])
    assert "The daemon ended" in up.words()


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
    assert (ended.code, ended.document) == (0, {"stopped": ["Dagster", "embedded database"]})
    assert family(home) == []
    assert embedded.running(home) is None
