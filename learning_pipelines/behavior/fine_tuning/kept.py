"""What is kept of learnt models, looked over again: formats that cannot run code, bytes as they were stored.

Belongs here: the look at artifacts of stored versions. Not here: writing them (work.py, gate.py), the store (retrieval/artifacts.py).
"""

from __future__ import annotations

import json
from pathlib import Path

from learning_pipelines.errors import LearningError
from learning_pipelines.retrieval.artifacts import fetch
from learning_pipelines.retrieval.index import Artifact
from learning_pipelines.settings import Settings
from learning_pipelines.storage import behavior_versions
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.tenants import AgentRef


def wrong_artifacts(connection: Connection, agent: AgentRef, settings: Settings) -> int:
    """How many of the agent's fine-tuned versions have files that are gone, changed, or of another format than safetensors, GGUF and JSON."""
    found = behavior_versions.listed(connection, agent, "fine_tune")
    kept = {(one.artifact_path, one.artifact_sha256) for one in found if one.artifact_path and one.artifact_sha256}
    return sum(not _good(settings, Artifact(str(path), str(sha256))) for path, sha256 in kept)


def _good(settings: Settings, artifact: Artifact) -> bool:
    try:
        folder = fetch(settings, artifact)
    except LearningError:
        return False
    files = [path for path in folder.rglob("*") if path.is_file()]
    return bool(files) and all(_safe(path) for path in files)


def _safe(path: Path) -> bool:
    from safetensors import SafetensorError, safe_open

    try:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="numpy") as tensors:
                return bool(list(tensors.keys()))
        if path.suffix == ".gguf":
            with path.open("rb") as file:
                return file.read(4) == b"GGUF"
        json.loads(path.read_bytes())
    except (SafetensorError, ValueError, OSError):
        return False
    return path.suffix == ".json"
