"""Learnt files and folders in the artifact store, and their copies on this machine.

Belongs here: putting, fetching and deleting what a learner made, each checked by its SHA-256. Not here: what is in them, which version names them.

Paths hold the content's hash (retrieval/<organization>/<agent>/<hash>/<name>): nothing is ever overwritten, putting the same again changes nothing, and
two versions may name the same file. The name stays, since it is part of an encoder's name. A folder has a manifest, written last: without it, it is not there.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import shutil
import tempfile
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import orjson

from learning_pipelines.errors import LearningError, Unavailable
from learning_pipelines.examples.export_files import BLOCK, located, whole_file
from learning_pipelines.retrieval.index import Artifact, IndexConfig
from learning_pipelines.settings import Settings
from learning_pipelines.storage.tenants import AgentRef

ROOT = "retrieval"
HASH = 24
MANIFEST = ".manifest.json"
FIELDS = ("encoder", "adapter", "reranker", "expansion")
"""The fields of IndexConfig that name artifacts."""


def put_file(settings: Settings, agent: AgentRef, source: Path) -> Artifact:
    """Copies one file into the store. Raises LearningError (disk full) or BadInput (the store cannot be written)."""
    sha256 = hash_of(source)
    path = _path(agent, sha256, source.name)
    _put(settings, source, path)
    return Artifact(path, sha256)


def put_folder(settings: Settings, agent: AgentRef, source: Path) -> Artifact:
    """Copies a folder with all that lies below it into the store. Raises as put_file does."""
    hashes = _hashes(source)
    sha256 = _folder_hash(hashes)
    path = _path(agent, sha256, source.name)
    for name in hashes:
        _put(settings, source / name, f"{path}/{name}")
    with whole_file(_url(settings, f"{path}/{MANIFEST}"), make_folders=True) as file:
        file.write(orjson.dumps(hashes))
    return Artifact(path, sha256)


def publish(settings: Settings, agent: AgentRef, folder: Path, config: IndexConfig) -> IndexConfig:
    """A learner's configuration (artifact paths relative to `folder`) with its artifacts in the store. What lies in the store already stays as it is."""
    put = {}
    for name in FIELDS:
        artifact: Artifact | None = getattr(config, name)
        if artifact is not None and not artifact.path.startswith(f"{ROOT}/"):
            source = folder / artifact.path
            put[name] = (put_folder if source.is_dir() else put_file)(settings, agent, source)
    return replace(config, **put)  # type: ignore[arg-type]


def local(folder: Path, path: Path) -> Artifact:
    """What a learner names that has written `path` (a file or a folder) below `folder`."""
    return Artifact(path.relative_to(folder).as_posix(), hash_of(path))


def hash_of(path: Path) -> str:
    """SHA-256 of a file's bytes; of a folder: of its sorted names and their hashes."""
    if path.is_dir():
        return _folder_hash(_hashes(path))
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fetch(settings: Settings, artifact: Artifact) -> Path:
    """The artifact on this machine, fetched where it is missing or damaged. Its bytes are those of `artifact.sha256`.

    Raises LearningError: it is gone from the store, or holds something else. Unavailable: the store does not answer, or this machine's disk is full.
    """
    path = _relative(artifact.path)
    kept = cache_folder(settings) / artifact.sha256 / path.name
    if kept.exists() and hash_of(kept) == artifact.sha256:
        return kept
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache_folder(settings), prefix=".fetching-") as place:
            got = Path(place) / path.name
            _download(settings, artifact, got)
            if hash_of(got) != artifact.sha256:
                raise LearningError(f"The artifact {artifact.path} is not what was stored.", "Restore it, or roll back: it is not used as it is.")
            _move(got, kept, artifact.sha256)
    except FileNotFoundError as error:
        raise LearningError(f"The artifact {artifact.path} is gone from the store.", "Restore it, or roll back.") from error
    except OSError as error:
        raise Unavailable(f"The artifact {artifact.path} cannot be fetched: {error.strerror or error}.", "Free space or see to the store.") from error
    return kept


def stored(settings: Settings, agent: AgentRef) -> list[tuple[str, dt.datetime]]:
    """Paths of what lies in an agent's folder of the store, and when each was last written; also what was half put."""
    folder = f"{ROOT}/{agent.organization}/{agent.agent}"
    system, root = located(_url(settings, folder))
    try:
        found = system.find(root, detail=True)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise Unavailable(f"The artifact store cannot be read: {error.strerror or error}.", "See to the store, then again.") from error
    newest: dict[str, dt.datetime] = {}
    for file, info in found.items():
        parts = file[len(root.rstrip("/")) + 1 :].split("/")
        if len(parts) > 1:
            path, modified = f"{folder}/{parts[0]}/{parts[1]}", _modified(system, file, info)
            newest[path] = max(modified, newest.get(path, modified))
    return sorted(newest.items())


def _modified(system: Any, file: str, info: Mapping[str, Any]) -> dt.datetime:
    seconds = info.get("mtime")
    if isinstance(seconds, int | float):
        return dt.datetime.fromtimestamp(seconds, dt.UTC)
    moment: dt.datetime = system.modified(file)
    return moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)


def delete(settings: Settings, artifact: Artifact) -> None:
    """Deletes an artifact from the store and, where its hash is given, from this machine; one that is gone already is no error."""
    system, path = located(_url(settings, _relative(artifact.path).as_posix()))
    try:
        system.rm(path.rsplit("/", 1)[0], recursive=True)  # the folder named by the hash holds nothing else
    except FileNotFoundError:
        pass
    except OSError as error:
        raise Unavailable(f"The artifact {artifact.path} cannot be deleted: {error.strerror or error}.", "The next clean-up tries again.") from error
    if artifact.sha256:
        shutil.rmtree(cache_folder(settings) / artifact.sha256, ignore_errors=True)


def forget(settings: Settings, named: Collection[str], before: dt.datetime) -> int:
    """Deletes copies on this machine that were fetched before then and are of none of the `named` paths; returns how many."""
    hashes, forgotten = {path.split("/")[3] for path in named}, 0
    folder = cache_folder(settings)
    for kept in folder.iterdir() if folder.is_dir() else ():
        if kept.name[:HASH] not in hashes and dt.datetime.fromtimestamp(kept.stat().st_mtime, dt.UTC) < before:
            shutil.rmtree(kept, ignore_errors=True)
            forgotten += 1
    return forgotten


def cache_folder(settings: Settings) -> Path:
    """Where fetched artifacts lie on this machine; may be emptied at any time."""
    return settings.home / "cache" / "artifacts"


def _path(agent: AgentRef, sha256: str, name: str) -> str:
    return _relative(f"{ROOT}/{agent.organization}/{agent.agent}/{sha256[:HASH]}/{name}").as_posix()


def _relative(path: str) -> PurePosixPath:
    """Raises LearningError for a path that would lead out of the store."""
    parts = path.split("/")
    if len(parts) != 5 or parts[0] != ROOT or any(part in ("", ".", "..") or "\\" in part or "\0" in part for part in parts):
        raise LearningError(f"{path!r} is no path of an artifact.", "It is neither read nor written.")
    return PurePosixPath(path)


def _url(settings: Settings, path: str) -> str:
    return f"{settings.artifacts.rstrip('/')}/{path}"


def _put(settings: Settings, source: Path, path: str) -> None:
    """Also where the same lies already: it is young again then, and no clean-up takes it away before a version names it."""
    with whole_file(_url(settings, path), make_folders=True) as file, source.open("rb") as read:
        while block := read.read(BLOCK):
            file.write(block)


def _hashes(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): hash_of(path) for path in _files(folder)}


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != MANIFEST)


def _folder_hash(hashes: Mapping[str, str]) -> str:
    return hashlib.sha256("".join(f"{name}\0{one}\n" for name, one in sorted(hashes.items())).encode()).hexdigest()


def _download(settings: Settings, artifact: Artifact, target: Path) -> None:
    system, path = located(_url(settings, artifact.path))
    manifest = f"{path}/{MANIFEST}"
    if not system.exists(manifest):
        _copy(system, path, target)
        return
    for name in _names(system.cat_file(manifest), artifact):
        _copy(system, f"{path}/{name}", target / name)


def _names(manifest: bytes, artifact: Artifact) -> list[str]:
    """Names in a folder, none of which leads out of it."""
    try:
        names = list(orjson.loads(manifest))
    except (orjson.JSONDecodeError, TypeError) as error:
        raise LearningError(f"The manifest of {artifact.path} cannot be read.", "Restore it, or roll back.") from error
    if any(not isinstance(name, str) or name.startswith("/") or ".." in name.split("/") for name in names):
        raise LearningError(f"The manifest of {artifact.path} names files outside its folder.", "Restore it, or roll back.")
    return names


def _copy(system: Any, path: str, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with system.open(path, "rb") as read, target.open("wb") as file:
        shutil.copyfileobj(read, file, BLOCK)


def _move(got: Path, kept: Path, sha256: str) -> None:
    """In one step; whoever was faster has put the same there."""
    if kept.exists() and hash_of(kept) != sha256:
        shutil.rmtree(kept) if kept.is_dir() else kept.unlink()
    try:
        got.rename(kept)
    except OSError:
        if not kept.exists() or hash_of(kept) != sha256:
            raise
