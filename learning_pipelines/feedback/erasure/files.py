"""Files of an erased person, in the artifact store and on this machine: deleted once the rows are gone, for deleting cannot be taken back and rows can.

Belongs here: deleting. Not here: which files (the steps before), archived files (archives.py).
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from learning_pipelines.errors import LearningError
from learning_pipelines.examples.export_files import located

_GOES_ON = "the erasure goes on there with the sensor requested_erasures, or with the same command."


def delete_here(home: Path, folders: Sequence[str]) -> None:
    """Deletes folders of this machine that learnt things left, named relative to LEARNING_HOME; what is gone already is passed over.

    Raises LearningError for one that cannot be deleted: the erasure is not done until it is.
    """
    for folder in map(home.joinpath, dict.fromkeys(folders)):
        try:
            shutil.rmtree(folder)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise LearningError(f"{folder}, which may hold what the person said, cannot be deleted: {error}.", f"See to it; {_GOES_ON}") from error


def delete(artifacts: str, paths: Sequence[str]) -> list[str]:
    """Deletes files and folders below the artifact store; what is gone already is passed over. Returns the paths.

    Raises LearningError for one that cannot be deleted: the erasure is not done until it is.
    """
    for path in dict.fromkeys(paths):
        if path.startswith("/") or ".." in path.split("/"):
            raise LearningError(f"{path!r} does not lie below the artifact store.", "Report this with its text: nothing outside of it is deleted.")
        try:
            system, location = located(f"{artifacts.rstrip('/')}/{path}")
            system.rm(location, recursive=True)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise LearningError(
                f"The file {path} of the artifact store cannot be deleted: {error}.",
                f"See to the store; {_GOES_ON}",
            ) from error
    return list(dict.fromkeys(paths))
