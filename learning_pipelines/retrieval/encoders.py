"""The encoders that index versions mean, opened at need and kept: the one of the settings, learnt ones out of the artifact store.

Belongs here: from a stored encoder version to something that encodes. Not here: the encoder itself (encoder.py), artifacts (artifacts.py).
"""

from __future__ import annotations

from types import TracebackType

from learning_pipelines.encoder import Encoder, EncoderClient, model_source, open_encoder, require_same
from learning_pipelines.encoder_local import name_of
from learning_pipelines.retrieval.artifacts import fetch
from learning_pipelines.retrieval.index import Artifact
from learning_pipelines.retrieval.kept_parts import KeptParts
from learning_pipelines.settings import Settings
from learning_pipelines.storage.indexes import EncoderVersion


class Encoders:
    """Clients of the shared encoder processes, one per model; closed at the end of the block. Threads may share one."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._open: KeptParts[str, EncoderClient] = KeptParts()

    def __enter__(self) -> Encoders:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        for client in self._open.clear():
            client.close()

    def base(self) -> Encoder:
        """The encoder that the settings name: LEARNING_EMBEDDING_MODEL, else the packaged one. Raises UnknownEncoder or EncoderStartFailed."""
        return self._client(model_source(self.settings.embedding_model))

    def base_name(self) -> str:
        """Its name, without starting it. Raises UnknownEncoder where only loading it can tell."""
        return name_of(model_source(self.settings.embedding_model))

    def of(self, version: EncoderVersion) -> Encoder:
        """The encoder of a stored version; a learnt one is fetched. Raises EncoderMismatch if it is not what made the stored vectors, else as fetch does."""
        learnt = version.artifact_path
        client = self._client(version.model if learnt is None else str(fetch(self.settings, Artifact(learnt, version.sha256 or ""))))
        require_same(client, version.name, version.dimensions)
        return client

    def _client(self, source: str) -> EncoderClient:
        return self._open.of(source, lambda: open_encoder(self.settings, source))
