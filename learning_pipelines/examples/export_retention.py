"""Files of old dataset versions: deleted by the weekly clean-up, written again by whoever asks for them.

Belongs here: the order in which file and row go, files that are nobody's to delete. Not here: which are old (storage/exports.py), writing (exporting.py).

A version stays with all its rows, and its file follows from them: exporting it again gives the same bytes, as long as the privacy rules are the same (and
for parquet the release of pyarrow). The file goes first and its row after: a clean-up that is killed between them leaves a row that the next one finds,
never a file that nothing knows.
"""

from __future__ import annotations

import datetime as dt

from learning_pipelines.errors import LearningError
from learning_pipelines.examples.export_files import delete_file, require_inside, tenant_folder
from learning_pipelines.storage import exports as storage
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.exports import OldExport
from learning_pipelines.storage.tenants import AgentRef

GRACE = dt.timedelta(days=7)
"""What is younger stays: somebody may be reading it."""


def prune_exports(connection: Connection, agent: AgentRef, artifacts: str, kept: int, grace: dt.timedelta = GRACE) -> int:
    """Deletes an agent's old files below `artifacts` with their rows; returns how many. In autocommit. Raises Unavailable if a file cannot be deleted.

    A file that does not lie in the agent's folder (the store was moved, or a path was changed by hand) stays with its row: it may be another tenant's,
    and an erasure names it.
    """
    gone = 0
    for old in _own(connection, agent, artifacts, kept, grace):
        delete_file(old.path)
        gone += storage.forget_export(connection, agent, old)
    return gone


def would_prune(connection: Connection, agent: AgentRef, artifacts: str, kept: int, grace: dt.timedelta = GRACE) -> int:
    """How many files prune_exports() would delete."""
    return len(_own(connection, agent, artifacts, kept, grace))


def _own(connection: Connection, agent: AgentRef, artifacts: str, kept: int, grace: dt.timedelta) -> list[OldExport]:
    folder = tenant_folder(artifacts, agent)
    return [old for old in storage.old_exports(connection, agent, kept, grace) if _lies_inside(folder, old.path)]


def _lies_inside(folder: str, path: str) -> bool:
    try:
        require_inside(folder, path)
    except LearningError:
        return False
    return True
