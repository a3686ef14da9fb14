"""`up` in two parts, the make targets of operation, and what `status` says of them.

Belongs here: the worker and the scheduler as processes, `make`. Not here: the whole at work (test_end_to_end.py), the other keys of status (test_verbs.py).
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from learning_pipelines.defs.processes import only_one
from learning_pipelines.errors import Unavailable
from learning_pipelines.settings import PROJECT, Settings
from learning_pipelines_tests.children import PROGRAM
from learning_pipelines_tests.cli.command_line import call, environment
from learning_pipelines_tests.cli.conftest import Load
from learning_pipelines_tests.cli.running import lasting, start, wait_for
from learning_pipelines_tests.feedback.rows import AGENT, execution

TARGETS = {
    "learning-worker": "up --only worker", "learning-scheduler": "up --only scheduler", "learning-optimize": "run prompt_optimization",
    "learning-train": "run rag_training", "learning-analyze": "run ab_test_analysis", "learning-cleanup": "run cleanup",
    "learning-report": "run learning_report", "learning-status": "status",
}  # fmt: skip


def planned(target: str) -> str:
    """What make would do."""
    command = ["make", "-n", "-o", "install", "-C", str(PROJECT), target, "ARGS=--organization acme"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("target", TARGETS)
def test_every_target_is_a_verb_that_takes_arguments(target: str) -> None:
    assert f"learning-pipelines {TARGETS[target]} --organization acme\n" in planned(target)


def test_all_tests_are_the_quick_ones_the_slow_ones_and_those_in_a_browser() -> None:
    lines = planned("learning-test-all").splitlines()
    kinds = [word for line in lines if "--no-print-directory" in line for word in line.split() if word in ("test", "test-slow", "test-browser")]
    assert kinds == ["test", "test-slow", "test-browser"]


def test_of_each_part_there_is_one_and_up_holds_both(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    with only_one(settings, "worker"), only_one(settings, "scheduler"):
        for part, said in (("worker", "already up"), ("scheduler", "there may be one only"), ("up", "already up")):
            with pytest.raises(Unavailable, match=said), only_one(settings, part):  # type: ignore[arg-type]
                pass
    with only_one(settings), pytest.raises(Unavailable, match="there may be one only"), only_one(settings, "scheduler"):
        pass
    with only_one(settings, "scheduler"):  # what was refused left no lock behind
        pass


def test_a_scheduler_without_a_worker_says_what_to_start_first(home: Path) -> None:
    ended = call(home, "up", "--only", "scheduler")
    assert ended.code == 1
    assert "make learning-worker" in ended.err


def test_status_says_what_waits_and_how_fresh_everything_is(home: Path, load_rows: Load) -> None:
    load_rows("agents", [AGENT], "waits")
    load_rows("executions", [execution("e1"), execution("e2")], "waits")
    status = call(home, "status", "--organization", "waits", "--json").document
    assert (status["queue"]["outbox"], status["queue"]["annotations"], status["queue"]["runs_queued"]) == (2, 0, 0)
    assert status["queue"]["outbox_oldest_seconds"] >= 0
    states = {one["asset"]: one["state"] for one in status["freshness"]}
    assert len(states) > 35 and set(states.values()) <= {"fresh", "late", "stale", "never"}
    assert status["failed_checks"] == []


@pytest.fixture
def own_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with lasting(tmp_path_factory.mktemp("parts") / "home") as path:
        yield path


@pytest.mark.slow
def test_worker_and_scheduler_are_the_whole_and_a_second_scheduler_is_refused(own_home: Path) -> None:
    worker = start(own_home, "up", "--only", "worker")
    assert any("No scheduler is up" in problem for problem in call(own_home, "status", "--json").document["problems"])
    log = own_home.with_name("scheduler.log")
    with log.open("wb") as output:
        scheduler = subprocess.Popen([PROGRAM, "up", "--only", "scheduler"], env=environment(own_home), stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    wait_for(lambda: "Schedules and sensors run." in log.read_text() or scheduler.poll() is not None)
    assert scheduler.poll() is None, log.read_text()
    again = call(own_home, "up", "--only", "scheduler")
    assert (again.code, "there may be one only" in again.err) == (1, True)
    wait_for(lambda: all(one["last_tick"] for one in call(own_home, "status", "--json").document["sensors"]))
    assert call(own_home, "status", "--json").document["problems"] == []
    assert call(own_home, "down", "--json").code == 0
    assert (scheduler.wait(60), worker.process.wait(60)) == (0, 0)
