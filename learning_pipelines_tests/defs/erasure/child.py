"""An erasure in a process of its own, which may be killed after any of its steps: `python -m learning_pipelines_tests.defs.erasure.child ERASURE_ID [STEP]`.

Belongs here: the process. Not here: what holds after it (test_cut_off.py).

It prints the certificate's id and checksum. With a step it kills itself once that is done, as the kernel or somebody with `kill -9` would.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from uuid import UUID

from learning_pipelines.feedback.erasure.engine import erase
from learning_pipelines.settings import load_settings
from learning_pipelines.storage.installation import ready_store
from learning_pipelines_tests.cli.command_line import environment
from learning_pipelines_tests.defs.erasure.planted import Planted


def started(planted: Planted, erasure: UUID, step: str = "") -> subprocess.Popen[str]:
    """The process, which works for this installation."""
    settings = planted.settings
    env = environment(
        settings.home, LEARNING_DATABASE_URL=str(settings.database_url), LEARNING_DAGSTER_DATABASE_URL=str(settings.dagster_database_url),
        LEARNING_TIMEZONE=settings.timezone,
    )  # fmt: skip
    return subprocess.Popen([sys.executable, "-m", __name__, str(erasure), step], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


if __name__ == "__main__":
    named, last = UUID(sys.argv[1]), sys.argv[2]

    def stop(name: str) -> None:
        if name == last:
            os.kill(os.getpid(), signal.SIGKILL)

    done = erase(ready_store(load_settings()), named, step=stop)
    print(done["certificate_id"], done["checksum"])
