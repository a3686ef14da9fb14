"""Policies that serve, ready to be asked: fetched and loaded at need, kept by their content, with the shared encoder they were learnt with.

Belongs here: loading, keeping, letting go, keeping the encoder awake. Not here: what a policy answers (policy/), which version serves (suggesting.py).

One per worker; threads may share it. What is kept is named by its hash: a version that serves again finds its policy, and two never mix. While one is
loaded, those of other agents are answered.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from learning_pipelines.behavior.policy.files import load_policy
from learning_pipelines.behavior.policy.policy import Policy
from learning_pipelines.encoder import Encoder
from learning_pipelines.retrieval.artifacts import fetch
from learning_pipelines.retrieval.encoders import Encoders
from learning_pipelines.retrieval.index import Artifact
from learning_pipelines.retrieval.kept_parts import KeptParts
from learning_pipelines.settings import Settings

KEPT_BYTES = 1 << 30
_IN_MEMORY = 4
"""Bytes in memory for each in the files: vectors are stored by halves and compared as floats."""


class Policies:
    """`encoder_of`: by default the shared encoder process of the settings."""

    def __init__(self, settings: Settings, encoder_of: Callable[[], Encoder] | None = None) -> None:
        self._settings = settings
        self._encoders = Encoders(settings)
        self._encoder_of = encoder_of or self._encoders.base
        self._kept: KeptParts[str, tuple[Policy, int]] = KeptParts(KEPT_BYTES)
        self._asked = float("-inf")

    def policy(self, artifact: Artifact) -> Policy:
        """The policy of an artifact, loaded once even where many ask at once. Raises what fetching, the encoder and a damaged folder raise."""
        self._asked = time.monotonic()
        return self._kept.of(artifact.sha256, lambda: self._load(artifact), lambda loaded: loaded[1])[0]

    def encoder(self) -> Encoder:
        return self._encoder_of()

    def stay_ready(self, seconds: float) -> None:
        """Asks the encoder, if a suggestion was asked for within so many seconds."""
        if time.monotonic() - self._asked <= seconds:
            self.encoder().encode(["still", "there"])  # two: one text alone would be remembered and not asked

    def close(self) -> None:
        self._encoders.close()

    def _load(self, artifact: Artifact) -> tuple[Policy, int]:
        """The policy, and about what it takes of memory."""
        folder = fetch(self._settings, artifact)
        return load_policy(folder, self.encoder()), _IN_MEMORY * _size(folder)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
