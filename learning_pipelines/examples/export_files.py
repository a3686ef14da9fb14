"""Files that are there whole or not at all, with their SHA-256, on a disk or behind any fsspec URL; and where a tenant's files lie.

Belongs here: writing, hashing, paths. Not here: what is written.
"""

from __future__ import annotations

import hashlib
import os
import posixpath
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any
from uuid import uuid4

from learning_pipelines.errors import BadInput, LearningError, Unavailable
from learning_pipelines.storage.tenants import AgentRef

BLOCK = 1 << 20


class HashedFile:
    """What rows are written into: passes bytes on and hashes them. Enough of a file for pyarrow too."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        self.bytes = 0
        self.closed = False

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        self._file.write(view)
        self._digest.update(view)
        self.bytes += len(view)
        return len(view)

    def tell(self) -> int:
        return self.bytes

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        """The one who opened it closes it."""

    def readable(self) -> bool:
        return False

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()


@contextmanager
def whole_file(target: str, *, make_folders: bool = False) -> Iterator[HashedFile]:
    """A file at `target` (path or fsspec URL) that appears when the block ends without an error, and not at all otherwise.

    Written beside it under a name of its own and then moved there; what was there before stays until then. BadInput: the target cannot be
    written (a folder, a missing folder, no permission, an unknown kind of URL). LearningError: the disk is full.
    """
    system, path = located(target)
    local = _is_local(system)
    _check(system, path, target, make_folders)
    part = posixpath.join(posixpath.dirname(path), f".{posixpath.basename(path)}.{uuid4().hex[:12]}.part")
    try:
        with system.open(part, "wb") as file:
            hashed = HashedFile(file)
            yield hashed
            file.flush()
            if local:
                os.fsync(file.fileno())
        if local:
            Path(part).replace(path)
        else:
            system.mv(part, path)
    except OSError as error:
        raise _refused(target, error) from error
    finally:
        with suppress(OSError):
            if system.exists(part):
                system.rm(part)


def file_hash(location: str) -> tuple[str, int] | None:
    """SHA-256 and size of a file as it is now; None if there is none. Raises Unavailable: the store does not answer."""
    system, path = located(location)
    digest, size = hashlib.sha256(), 0
    try:
        with system.open(path, "rb") as file:
            while block := file.read(BLOCK):
                digest.update(block)
                size += len(block)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Unavailable(f"The file {location} cannot be read: {error.strerror or error}.", "See to the artifact store, then try again.") from error
    return digest.hexdigest(), size


def delete_file(location: str) -> None:
    """Deletes a file, and its folder on a disk where that is empty then; one that is gone already is no error. Raises Unavailable if it cannot be."""
    system, path = located(location)
    try:
        system.rm_file(path)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise Unavailable(f"The file {location} cannot be deleted: {error.strerror or error}.", "See to the store; the next clean-up tries again.") from error
    if _is_local(system):
        with suppress(OSError):
            Path(path).parent.rmdir()


def tenant_folder(artifacts: str, agent: AgentRef) -> str:
    """Where files of an agent's datasets lie: <artifacts>/datasets/<organization>/<agent>. Raises LearningError for names that would lead elsewhere."""
    for name in (agent.organization, agent.agent):
        if not name or name in (".", "..") or "/" in name or "\\" in name or "\0" in name:
            raise LearningError(f"{name!r} cannot be the name of a folder.", "Rename it; nothing was written.")
    return f"{artifacts.rstrip('/')}/datasets/{agent.organization}/{agent.agent}"


def require_inside(folder: str, location: str) -> None:
    """Raises LearningError unless `location` lies below `folder`, symbolic links followed: no tenant reads or writes in another's folder."""
    (system, inner), (other, base) = located(location), located(folder)
    if _is_local(system):
        inner, base = os.path.realpath(inner), os.path.realpath(base)
    else:
        inner, base = posixpath.normpath(inner), posixpath.normpath(base)
    if type(system) is not type(other) or not inner.startswith(base.rstrip("/") + "/"):
        raise LearningError(f"{location} does not lie below {folder}.", "It may belong to another tenant: it is neither read nor written.")


def located(target: str) -> tuple[Any, str]:
    """The file system of a path or fsspec URL, and the path in it. Raises BadInput for a kind of URL that cannot be used.

    Listings are not remembered: object stores would show a process that stays what other machines had stored when it first looked.
    """
    from fsspec.core import url_to_fs

    try:
        system, path = url_to_fs(target if "://" in target else str(Path(target).expanduser().absolute()), use_listings_cache=False)
    except ImportError as error:
        raise BadInput(f"{target} needs a package that is not installed: {error}.", "Install it, or give a path on this machine.") from error
    except ValueError as error:
        raise BadInput(f"{target} cannot be written: {error}.", "Give a path or a URL that fsspec knows (file://, s3://, gs://, …).") from error
    return system, str(path)


def _is_local(system: Any) -> bool:
    from fsspec.implementations.local import LocalFileSystem

    return isinstance(system, LocalFileSystem)


def _check(system: Any, path: str, target: str, make_folders: bool) -> None:
    try:
        if system.isdir(path) or target.endswith("/"):
            raise BadInput(f"{target} is a folder.", "Name the file to write.")
        folder = posixpath.dirname(path)
        if make_folders:
            system.makedirs(folder, exist_ok=True)
        elif _is_local(system) and not system.isdir(folder):
            raise BadInput(f"There is no folder {folder}.", "Make it, or choose another path.")
        if _is_local(system) and os.path.lexists(path) and not Path(path).is_file():
            raise BadInput(f"{target} is no ordinary file.", "Name a file to write: it is replaced as a whole.")
    except OSError as error:
        raise _refused(target, error) from error


def _refused(target: str, error: OSError) -> LearningError:
    said = error.strerror or str(error)
    if isinstance(error, PermissionError | NotADirectoryError | IsADirectoryError | FileNotFoundError):
        return BadInput(f"{target} cannot be written: {said}.", "Choose another path, or change its permissions; nothing was left behind.")
    return LearningError(f"{target} could not be written to its end: {said}.", "Free space or choose another place and run it again; nothing was left behind.")
