"""A process of its own that does an erasure: `python -m learning_pipelines.feedback.erasure.worker ID`, started by whoever may not do it itself.

Belongs here: starting it, its main. Not here: what it does (engine.py).

Its arguments hold the erasure's id and nothing else: other users of the machine see them, and names are nobody's business.
"""

from __future__ import annotations

import os
import subprocess
import sys
from uuid import UUID

from learning_pipelines.errors import LearningError
from learning_pipelines.settings import Settings
from learning_pipelines.storage.database import Database


def start(settings: Settings, database: Database, erasure_id: UUID) -> subprocess.Popen[bytes]:
    """Starts the process with the pipeline's login of this installation. What it complains about is in LEARNING_HOME/logs/erasure.log."""
    log = settings.home / "logs" / "erasure.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "learning_pipelines.feedback.erasure.worker", str(erasure_id)]
    with log.open("ab") as complaints:
        return subprocess.Popen(command, env=_environment(settings, database), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=complaints)


def _environment(settings: Settings, database: Database) -> dict[str, str]:
    logins = {f"LEARNING_{role.upper()}_DATABASE_URL": url for role, url in database.role_urls.items() if role == "pipeline"}
    return {
        **os.environ, **logins, "LEARNING_HOME": str(settings.home), "LEARNING_ARTIFACTS_URL": settings.artifacts,
        "LEARNING_DATABASE_URL": database.admin_url, "LEARNING_DAGSTER_DATABASE_URL": database.dagster_url,
    }  # fmt: skip


def main() -> None:
    from learning_pipelines.feedback.erasure.engine import erase
    from learning_pipelines.storage.store import Store

    try:
        erase(Store(), UUID(sys.argv[1]))
    except LearningError as error:
        sys.exit(f"Erasure {sys.argv[1]}: {error}")


if __name__ == "__main__":
    main()
