"""Files of an erased person: in the artifact store deleted once no row names them, on this machine with the rows.

Belongs here: deleting. Not here: which files (the steps before), archived files (archives.py).
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from learning_pipelines.errors import LearningError


def delete_here(folder: Path) -> None:
    """Deletes a folder of this machine that learnt things left, if there is one. Raises LearningError for one that cannot be deleted."""
    try:
        shutil.rmtree(folder)
    except FileNotFoundError:
        return
    except OSError as error:
        raise LearningError(f"{folder}, which may hold what the person said, cannot be deleted: {error}.", "See to it, then erase again.") from error


def delete(artifacts: str, paths: Sequence[str]) -> list[str]:
    """Deletes files and folders below the artifact store; what is gone already is passed over. Returns the paths.

    Raises LearningError for one that cannot be deleted: the erasure is not done until it is.
    """
    from fsspec.core import url_to_fs

    for path in dict.fromkeys(paths):
        if path.startswith("/") or ".." in path.split("/"):
            raise LearningError(f"{path!r} does not lie below the artifact store.", "Report this with its text: nothing outside of it is deleted.")
        try:
            system, location = url_to_fs(f"{artifacts.rstrip('/')}/{path}")
            system.rm(location, recursive=True)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise LearningError(
                f"The file {path} of the artifact store cannot be deleted: {error}.",
                "See to the store; the erasure goes on there with the sensor requested_erasures, or with the same command.",
            ) from error
    return list(dict.fromkeys(paths))
