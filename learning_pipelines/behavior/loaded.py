"""Policies that serve, ready to be asked: fetched and loaded at need, kept by their content, with the shared encoder they were learnt with.

Belongs here: loading, keeping, letting go, keeping the encoder awake. Not here: what a policy answers (policy/), which version serves (suggesting.py).

One per worker; threads may share it. What is kept is named by its hash: a version that serves again finds its policy, and two never mix.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

from learning_pipelines.behavior.policy.files import load_policy
from learning_pipelines.behavior.policy.policy import Policy
from learning_pipelines.encoder import Encoder
from learning_pipelines.retrieval.artifacts import fetch
from learning_pipelines.retrieval.encoders import Encoders
from learning_pipelines.retrieval.index import Artifact
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
        self._kept: OrderedDict[str, tuple[Policy, int]] = OrderedDict()
        self._loading: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()
        self._opening = threading.Lock()
        self._asked = float("-inf")

    def policy(self, artifact: Artifact) -> Policy:
        """The policy of an artifact, loaded once even where many ask at once. Raises what fetching, the encoder and a damaged folder raise."""
        self._asked = time.monotonic()
        found = self._at_hand(artifact)
        if found is not None:
            return found
        with self._lock:
            loading = self._loading.setdefault(artifact.sha256, threading.Lock())
        with loading:  # of this policy alone: those of other agents are answered meanwhile
            found = self._at_hand(artifact)
            if found is not None:
                return found
            folder = fetch(self._settings, artifact)
            policy = load_policy(folder, self.encoder())
            with self._lock:
                self._keep(artifact.sha256, policy, _IN_MEMORY * _size(folder))
        return policy

    def encoder(self) -> Encoder:
        with self._opening:
            return self._encoder_of()

    def stay_ready(self, seconds: float) -> None:
        """Asks the encoder, if a suggestion was asked for within so many seconds."""
        if time.monotonic() - self._asked <= seconds:
            self.encoder().encode(["still", "there"])  # two: one text alone would be remembered and not asked

    def close(self) -> None:
        self._encoders.close()

    def _at_hand(self, artifact: Artifact) -> Policy | None:
        with self._lock:
            if artifact.sha256 not in self._kept:
                return None
            self._kept.move_to_end(artifact.sha256)
            return self._kept[artifact.sha256][0]

    def _keep(self, content: str, policy: Policy, size: int) -> None:
        self._kept[content] = (policy, size)
        self._loading.pop(content, None)
        while len(self._kept) > 1 and sum(one for _, one in self._kept.values()) > KEPT_BYTES:
            self._kept.popitem(last=False)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
