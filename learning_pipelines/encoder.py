"""Texts into vectors as every part sees it: the encoder that the settings mean, which is the client of a process that all share.

Belongs here: `open_encoder`, the client; what encoder_protocol.py says is named here too. Not here: the model itself (encoder_local.py), the shared
process (encoder_server.py).
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence

import httpx
import numpy as np
import orjson

from learning_pipelines import tracing
from learning_pipelines.encoder_protocol import (
    BATCH_TEXTS,
    MAX_CHARS,
    PACKAGED,
    Encoder,
    EncoderDown,
    EncoderMismatch,
    EncoderStartFailed,
    Serving,
    UnknownEncoder,
    Vectors,
    batches,
    model_source,
    prepared,
    require_same,
)
from learning_pipelines.settings import Settings

__all__ = [
    "BATCH_TEXTS",
    "MAX_CHARS",
    "PACKAGED",
    "Encoder",
    "EncoderClient",
    "EncoderDown",
    "EncoderMismatch",
    "EncoderStartFailed",
    "Serving",
    "UnknownEncoder",
    "Vectors",
    "batches",
    "model_source",
    "open_encoder",
    "prepared",
    "require_same",
]
REQUEST_TEXTS, REQUEST_CHARS = 256, 1_000_000
REMEMBERED, REMEMBERED_CHARS = 1_024, 2_000
CONNECT_SECONDS, ANSWER_SECONDS = 10.0, 300.0


def open_encoder(settings: Settings, model: str | None = None) -> EncoderClient:
    """The shared encoder process of this home, started if need be. `model` overrides LEARNING_EMBEDDING_MODEL; PACKAGED is the packaged one.

    Keep the client and share it between threads. Raises UnknownEncoder or EncoderStartFailed.
    """
    from learning_pipelines.encoder_server import ensure_serving  # slow to import, and only wanted where an encoder is

    source = model_source(model or settings.embedding_model)
    return EncoderClient(lambda: ensure_serving(settings.home, source))


class EncoderClient:
    """The Encoder that asks the shared process. Threads may share one. A process that died is started again, once per call."""

    def __init__(self, connect: Callable[[], Serving]) -> None:
        self._connect = connect
        self._serving = connect()
        self._reconnecting = threading.Lock()
        # Loopback only: no proxy from the environment may see the texts, and without certificates the client opens in no time.
        self._http = httpx.Client(  # nosec B501 # there is no TLS on loopback
            trust_env=False, verify=False, timeout=httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS), limits=httpx.Limits(max_connections=None)
        )
        self._remembered: OrderedDict[str, Vectors] = OrderedDict()
        self._remembering = threading.Lock()

    @property
    def name(self) -> str:
        return self._serving.name

    @property
    def dimensions(self) -> int:
        return self._serving.dimensions

    def encode(self, texts: Sequence[str], *, batch_size: int = BATCH_TEXTS) -> Vectors:
        """As the protocol says; the shared process batches as suits it, so `batch_size` changes nothing here. Raises EncoderDown."""
        texts = prepared(texts)
        if len(texts) == 1:
            return self._encode_one(texts[0])
        vectors = np.empty((len(texts), self.dimensions), dtype=np.float32)
        for positions in batches(texts, REQUEST_TEXTS, REQUEST_CHARS):
            vectors[positions] = self._ask([texts[position] for position in positions])
        return vectors

    def close(self) -> None:
        """Closes the connections; the shared process goes on."""
        self._http.close()

    def _encode_one(self, text: str) -> Vectors:
        """Search queries repeat: the last ones are remembered, and the same query gets the very same vector again."""
        with self._remembering:
            if (known := self._remembered.get(text)) is not None:
                self._remembered.move_to_end(text)
                return known.copy()
        vectors = self._ask([text])
        if len(text) <= REMEMBERED_CHARS:
            with self._remembering:
                self._remembered[text] = vectors.copy()
                while len(self._remembered) > REMEMBERED:
                    self._remembered.popitem(last=False)
        return vectors

    def _ask(self, texts: list[str]) -> Vectors:
        if not tracing.active():
            return self._asked(texts)
        model = self.name.rpartition("/")[2] if self.name.startswith("/") else self.name  # a folder's place is nobody's business
        asked: dict[str, tracing.Value] = {"gen_ai.operation.name": "embeddings", "gen_ai.request.model": model, "learning.texts": len(texts)}
        with tracing.span(f"embeddings {model}", asked, kind="client"):
            return self._asked(texts)

    def _asked(self, texts: list[str]) -> Vectors:
        body = orjson.dumps({"texts": texts})
        for last_try in (False, True):
            serving = self._serving
            try:
                return self._vectors(serving, len(texts), self._post(serving, body))
            except (httpx.TransportError, _NotOurs) as error:
                if last_try or isinstance(error, httpx.ReadTimeout):
                    why = f"it did not answer within {ANSWER_SECONDS:.0f} s" if isinstance(error, httpx.ReadTimeout) else str(error) or type(error).__name__
                    raise EncoderDown(
                        f"The encoder process ({serving.pid}) cannot be used: {why}.", f"Try again; end it with `kill {serving.pid}` if it hangs."
                    ) from error
                self._reconnect(serving)
        raise AssertionError("unreachable")

    def _post(self, serving: Serving, body: bytes) -> httpx.Response:
        headers = {"Authorization": f"Bearer {serving.token}", "Content-Type": "application/json"}
        return self._http.post(f"{serving.url}/encode", content=body, headers=headers)

    def _vectors(self, serving: Serving, count: int, response: httpx.Response) -> Vectors:
        if response.status_code == 401 or response.headers.get("X-Encoder") != serving.key:
            raise _NotOurs("another program listens on its port")
        if response.status_code != 200:
            raise EncoderDown(f"The encoder process could not encode {count} texts: {response.text.strip()}.", "Try again with fewer or shorter texts.")
        values = np.frombuffer(response.content, dtype="<f4")
        if values.size != count * self.dimensions:
            raise EncoderMismatch(
                f"The encoder process answered {values.size} numbers for {count} texts of {self.dimensions} dimensions.", "Stop it and try again."
            )
        return values.reshape(count, self.dimensions).astype(np.float32)

    def _reconnect(self, gone: Serving) -> None:
        with self._reconnecting:
            if self._serving is not gone:
                return  # another thread was faster
            serving = self._connect()
            if (serving.name, serving.dimensions) != (self.name, self.dimensions):
                raise EncoderMismatch(
                    f"The encoder was {self.name} and came back as {serving.name}.", "Start this process again: their vectors cannot be compared."
                )
            self._serving = serving


class _NotOurs(Exception):
    """Whatever answered is not the process that was asked."""
