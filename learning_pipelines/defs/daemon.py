"""Dagster's daemon as the only scheduler of its database: `python -m learning_pipelines.defs.daemon -w workspace.yaml`, what compose.yaml starts.

Belongs here: holding the lock for as long as the daemon runs. Not here: the lock (storage/scheduler_lock.py), `up` (serve.py), which holds it too.

A second one waits for nothing: it says so and ends with 1, and whoever restarts it tries again. The daemon is a child, because the lock goes with its holder.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence

from learning_pipelines.defs.instance import program
from learning_pipelines.errors import LearningError
from learning_pipelines.settings import load_settings
from learning_pipelines.storage.database import open_database
from learning_pipelines.storage.scheduler_lock import only_scheduler


def main(arguments: Sequence[str]) -> int:
    """Runs `dagster-daemon run` with these arguments until it ends or is told to; its exit code, or 1 where another scheduler runs."""
    try:
        with only_scheduler(open_database(load_settings(), start=False)):
            daemon = subprocess.Popen([program("dagster-daemon"), "run", *arguments], env=os.environ)
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, lambda number, _: daemon.send_signal(number))
            return daemon.wait()
    except LearningError as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
