"""A worker that executes runs which another machine's scheduler hands out through Celery.

Belongs here: what has to be true before it starts, its command line. Not here: its task (celery_app.py); dagster and celery are not imported.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from typing import NoReturn

from learning_pipelines.defs.instance import environment
from learning_pipelines.errors import BadInput
from learning_pipelines.settings import Settings
from learning_pipelines.storage.database import open_database

QUEUE = "dagster"


def require_shared(settings: Settings) -> None:
    """Raises BadInput where workers on several machines would not work on the same: no broker, a database or artifacts of this machine alone."""
    if settings.celery_broker is None:
        raise BadInput("LEARNING_CELERY_BROKER is not set, so nothing is handed to workers.", "Set it everywhere, for example to redis://redis:6379/0.")
    if importlib.util.find_spec("dagster_celery") is None:
        raise BadInput("Celery is not installed.", 'Install the extra: `pip install "learning-pipelines[scale]"`.')
    if settings.database_url is None:
        raise BadInput("Workers need one database for all, and LEARNING_DATABASE_URL is not set.", "Set it, and where `up` runs too.")
    if settings.artifacts_url is None:
        raise BadInput(
            "Workers need one artifact store for all, and LEARNING_ARTIFACTS_URL is not set.", "Set it everywhere: s3://…, or a folder that all machines mount."
        )


def command(name: str, places: int) -> list[str]:
    """The program: `places` runs at once, each in a process of its own that stays."""
    quiet = ["--without-gossip", "--without-mingle", "--loglevel", "WARNING"]
    return [sys.executable, "-m", "celery", "-A", "learning_pipelines.celery_app", "worker", "-Q", QUEUE, "-n", name, "--concurrency", str(places), *quiet]


def work(settings: Settings, name: str, places: int) -> NoReturn:
    """Becomes the worker. SIGTERM or Ctrl-C: it ends after the runs it is at."""
    require_shared(settings)
    os.execve(sys.executable, command(name, places), environment(settings, open_database(settings)))
