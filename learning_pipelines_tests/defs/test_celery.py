"""Runs handed to Celery workers: what dagster.yaml says, what a worker needs, who executes a run, and when its worker is gone.

Belongs here: each part by itself, without broker and workers. Not here: all of it together (scale_out/).
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from learning_pipelines.defs.celery_worker import require_shared
from learning_pipelines.defs.instance import instance_file, project_file
from learning_pipelines.errors import BadInput
from learning_pipelines.settings import Settings
from learning_pipelines.storage.database import Database
from learning_pipelines.storage.run_lock import executing, is_executed
from learning_pipelines_tests.cli.running import wait_for

BROKER = "redis://127.0.0.1:1/0"
SHARED = {"celery_broker": BROKER, "database_url": "postgresql://user@db/learning", "artifacts_url": "s3://bucket"}


def test_without_a_broker_the_instance_is_the_projects_own_to_the_byte(tmp_path: Path) -> None:
    assert instance_file(Settings(home=tmp_path)) == project_file("dagster.yaml").read_bytes()


def test_with_a_broker_runs_go_to_workers_and_a_pool_lets_them_work_at_once(tmp_path: Path) -> None:
    made = yaml.safe_load(instance_file(Settings(home=tmp_path, celery_broker=BROKER, celery_runs=7)))
    own = yaml.safe_load(project_file("dagster.yaml").read_bytes())
    assert made["run_launcher"]["class"] == "CeleryLauncher"
    assert (made["concurrency"]["runs"]["max_concurrent_runs"], made["concurrency"]["pools"]["default_limit"]) == (7, 7)
    changed = {"run_launcher", "concurrency", "run_monitoring"}
    assert {name: value for name, value in made.items() if name not in changed} == {name: value for name, value in own.items() if name not in changed}


def test_nothing_of_celery_is_loaded_with_the_location() -> None:
    code = "import sys; from learning_pipelines.definitions import defs; defs(); print([name for name in sys.modules if 'celery' in name.split('.')[0]])"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.strip().splitlines()[-1] == "[]"


@pytest.mark.parametrize("lacks", ["celery_broker", "database_url", "artifacts_url"])
def test_a_worker_that_would_work_on_something_of_its_own_is_refused(lacks: str, tmp_path: Path) -> None:
    pytest.importorskip("dagster_celery")
    require_shared(Settings(home=tmp_path, **SHARED))
    with pytest.raises(BadInput, match=f"LEARNING_{lacks.upper()}"):
        require_shared(Settings(home=tmp_path, **{**SHARED, lacks: None}))


def test_a_run_is_executed_by_one_process_at_a_time(database: Database) -> None:
    with executing(database, "run-1") as first, executing(database, "run-1") as second, executing(database, "run-2") as other:
        assert (first, second, other) == (True, False, True)
        assert is_executed(database, "run-1")
    assert not is_executed(database, "run-1")


def test_a_killed_process_executes_nothing_any_more(database: Database) -> None:
    code = """import sys, time
from learning_pipelines.storage.database import Database
from learning_pipelines.storage.run_lock import executing
with executing(Database(sys.argv[1], sys.argv[1], {}, False), "run-1"):
    print("holds", flush=True)
    time.sleep(600)"""
    with subprocess.Popen([sys.executable, "-c", code, database.dagster_url], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "holds\n"
        assert is_executed(database, "run-1")
        process.kill()
        process.wait()
    wait_for(lambda: not is_executed(database, "run-1"), 30)
