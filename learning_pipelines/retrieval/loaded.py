"""What index versions name, ready to use: encoders, adapters, re-rankers and expansions, loaded at need and kept by their content.

Belongs here: loading and keeping, questions made ready for a version. Not here: searching (searcher.py), artifacts in the store (artifacts.py), learning.

One per worker or run; threads may share it. What is kept is named by its hash: versions that share a file share what was loaded, and a swap of
versions finds its parts by name or loads them beside the others.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from learning_pipelines.encoder import Encoder
from learning_pipelines.retrieval.artifacts import fetch
from learning_pipelines.retrieval.encoders import Encoders
from learning_pipelines.retrieval.index import Artifact, IndexConfig
from learning_pipelines.retrieval.kept_parts import KeptParts
from learning_pipelines.retrieval.task import Floats
from learning_pipelines.settings import Settings
from learning_pipelines.storage.indexes import EncoderVersion, IndexVersion

if TYPE_CHECKING:
    from learning_pipelines.retrieval.expansion import Expansion
    from learning_pipelines.retrieval.learning.reranker import Reranker

KEPT = 64
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Question:
    """A query as one version asks it. `vector` (d,) of length 1, adapted; `expansion`: further terms with their weights."""

    text: str
    vector: Floats
    expansion: Mapping[str, float] = field(default_factory=dict)


class Loaded:
    """Parts of index versions by their content. `encoder_of`: by default the shared encoder processes."""

    def __init__(self, settings: Settings, encoder_of: Callable[[EncoderVersion], Encoder] | None = None) -> None:
        self._settings = settings
        self._encoders = Encoders(settings)
        self._encoder_of = encoder_of or self._encoders.of
        self._parts: KeptParts[tuple[str, str], Any] = KeptParts(KEPT)
        self._asked: dict[int, tuple[float, Encoder]] = {}

    def close(self) -> None:
        self._encoders.close()

    def encoder(self, version: EncoderVersion) -> Encoder:
        """Raises what Encoders.of raises."""
        return self._part("encoder", str(version.id), lambda: self._encoder_of(version))

    def adapter(self, artifact: Artifact, dimensions: int) -> Floats:
        """(dimensions, dimensions), applied to query vectors. Raises LearningError where the file is damaged or of another size."""
        from learning_pipelines.retrieval.learning.adapter import load

        return self._of_file("adapter", artifact, lambda path: load(path, dimensions))

    def reranker(self, artifact: Artifact) -> Reranker:
        """Raises Unavailable where LightGBM cannot be loaded."""
        from learning_pipelines.retrieval.learning.reranker import Reranker

        return self._of_file("reranker", artifact, Reranker.load)

    def expansion(self, artifact: Artifact) -> Expansion:
        """Raises LearningError where the file is damaged or of another version."""
        from learning_pipelines.retrieval.expansion import Expansion

        return self._of_file("expansion", artifact, Expansion.load)

    def questions(self, version: IndexVersion, texts: Sequence[str]) -> list[Question]:
        """The texts encoded, adapted and expanded as the version says; touches no database. Raises what the encoder and artifacts raise."""
        config = IndexConfig.from_json(version.config)
        encoder = self.encoder(version.encoder)
        self._asked[id(encoder)] = (time.monotonic(), encoder)
        vectors = encoder.encode(texts)
        if config.adapter is not None:
            from learning_pipelines.retrieval.learning.adapter import apply

            vectors = apply(self.adapter(config.adapter, version.encoder.dimensions), vectors)
        expansion = None if config.expansion is None else self.expansion(config.expansion)
        return [Question(text, vector, {} if expansion is None else expansion.expand(text)) for text, vector in zip(texts, vectors, strict=True)]

    def stay_ready(self, seconds: float) -> None:
        """Asks every encoder that a question was encoded by within so many seconds, and forgets the others."""
        now = time.monotonic()
        for key, (at, encoder) in list(self._asked.items()):
            if now - at > seconds:
                del self._asked[key]
            else:
                encoder.encode(["still", "there"])  # two: one text alone would be remembered and not asked

    def _of_file(self, kind: str, artifact: Artifact, load: Callable[[Path], _T]) -> _T:
        return self._part(kind, artifact.sha256, lambda: load(fetch(self._settings, artifact)))

    def _part(self, kind: str, content: str, load: Callable[[], _T]) -> _T:
        """An encoder process that starts takes half a minute: nobody waits for it who asks for another part."""
        part: _T = self._parts.of((kind, content), load)
        return part
