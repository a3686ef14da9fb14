"""The Dagster instance of an installation as its processes see it: DAGSTER_HOME, environment, the right interpreter.

Belongs here: files and variables. Not here: starting long-running processes (processes.py); dagster is not imported.

`python -m learning_pipelines.defs.instance` writes dagster.yaml into DAGSTER_HOME as the settings say; containers do it when they start.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import IO

import yaml
from psycopg import conninfo

from learning_pipelines.errors import LearningError
from learning_pipelines.settings import PROJECT, Settings, load_settings
from learning_pipelines.storage.database import Database

_PACKAGED = Path(__file__).parent.parent / "_project"


def project_file(name: str) -> Path:
    """dagster.yaml or workspace.yaml: in the project folder, or beside the package in an installed wheel."""
    here = PROJECT / name
    return here if here.exists() else _PACKAGED / name


def instance_file(settings: Settings) -> bytes:
    """What DAGSTER_HOME/dagster.yaml holds: the project's file, and with a broker of Celery what sends runs to its workers instead of keeping them here."""
    text = project_file("dagster.yaml").read_bytes()
    if settings.celery_broker is None:
        return text
    made = yaml.safe_load(text)
    made["run_launcher"] = {
        "module": "learning_pipelines.celery_launcher", "class": "CeleryLauncher", "config": {"broker": {"env": "LEARNING_CELERY_BROKER"}},
    }  # fmt: skip
    made["concurrency"]["runs"]["max_concurrent_runs"] = settings.celery_runs
    # A pool of one place would let one worker work at a time. What must not happen twice at once is locked in the database, agent by agent.
    made["concurrency"]["pools"]["default_limit"] = settings.celery_runs
    # Runs wait for a free worker as "starting"; one whose worker was killed is noticed within the interval. Dagster's own: 180 and 120 s.
    made["run_monitoring"] |= {"start_timeout_seconds": 7200, "poll_interval_seconds": 10, "free_slots_after_run_end_seconds": 60}
    return yaml.safe_dump(made, sort_keys=False).encode()


def write_instance_file(settings: Settings, folder: Path) -> None:
    """dagster.yaml in the folder, untouched if it is right already."""
    folder.mkdir(parents=True, exist_ok=True)
    target, wanted = folder / "dagster.yaml", instance_file(settings)
    if not target.exists() or target.read_bytes() != wanted:
        part = folder / f".dagster-{os.getpid()}.yaml"
        part.write_bytes(wanted)
        part.replace(target)  # whole for whoever starts at the same moment; and where the file is another user's, as in the image


def environment(settings: Settings, database: Database) -> dict[str, str]:
    """Makes DAGSTER_HOME and returns the environment every Dagster process of this installation runs in."""
    write_instance_file(settings, settings.dagster_home)
    parts = conninfo.conninfo_to_dict(database.dagster_url)
    variables = {
        "DAGSTER_HOME": str(settings.dagster_home),
        "LEARNING_HOME": str(settings.home),
        "LEARNING_API_HOST": settings.api_host,
        "LEARNING_API_PORT": str(settings.api_port),
        "LEARNING_DAGSTER_PORT": str(settings.dagster_port),
        "LEARNING_DAGSTER_PG_HOST": str(parts.get("host", "localhost")),
        "LEARNING_DAGSTER_PG_PORT": str(parts.get("port", 5432)),
        "LEARNING_DAGSTER_PG_USER": str(parts.get("user", "")),
        "LEARNING_DAGSTER_PG_PASSWORD": str(parts.get("password", "")),
        "LEARNING_DAGSTER_PG_DATABASE": str(parts["dbname"]),
        "PYTHONUNBUFFERED": "1",
        # torch is shared with the user's machine: idle threads must not spin.
        "OMP_WAIT_POLICY": "PASSIVE",
    }
    if settings.celery_broker is not None:
        variables["LEARNING_CELERY_BROKER"] = settings.celery_broker
    if "sslmode" in parts:
        variables["PGSSLMODE"] = str(parts["sslmode"])
    return {**os.environ, **variables}


def program(name: str) -> str:
    """A console script of the environment this process runs in. Raises LearningError if the installation lacks it."""
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        raise LearningError(f"The program {name} is not installed.", "Install the project again: `make install`.")
    return found


def child(module: str, env: dict[str, str], *, stderr: IO[str] | None = None) -> subprocess.Popen[str]:
    """Starts `python -m module` with text pipes for input and output; stderr is the caller's unless given."""
    return subprocess.Popen(
        [sys.executable, "-m", module], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, text=True, encoding="utf-8"
    )


if __name__ == "__main__":
    write_instance_file(load_settings(), Path(os.environ["DAGSTER_HOME"]))
