"""The Dagster instance of an installation as its processes see it: DAGSTER_HOME, environment, the right interpreter.

Belongs here: files and variables. Not here: starting long-running processes (processes.py); dagster is not imported.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import IO

from psycopg import conninfo

from learning_pipelines.errors import LearningError
from learning_pipelines.settings import PROJECT, Settings
from learning_pipelines.storage.database import Database

_PACKAGED = Path(__file__).parent.parent / "_project"


def project_file(name: str) -> Path:
    """dagster.yaml or workspace.yaml: in the project folder, or beside the package in an installed wheel."""
    here = PROJECT / name
    return here if here.exists() else _PACKAGED / name


def environment(settings: Settings, database: Database) -> dict[str, str]:
    """Makes DAGSTER_HOME and returns the environment every Dagster process of this installation runs in."""
    settings.dagster_home.mkdir(parents=True, exist_ok=True)
    target = settings.dagster_home / "dagster.yaml"
    wanted = project_file("dagster.yaml").read_bytes()
    if not target.exists() or target.read_bytes() != wanted:
        target.write_bytes(wanted)
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
