"""Texts into vectors as every part sees it: the protocol, which model a setting means, and the client of the shared encoder process.

Belongs here: what travels, the errors, `open_encoder`, the client. Not here: the model itself (encoder_local.py), the shared process (encoder_server.py).
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import httpx
import numpy as np
import numpy.typing as npt
import orjson

from learning_pipelines.errors import BadInput, LearningError, Unavailable
from learning_pipelines.settings import Settings

Vectors = npt.NDArray[np.float32]

PACKAGED = "all-MiniLM-L6-v2"
_ALSO_PACKAGED = (PACKAGED, f"sentence-transformers/{PACKAGED}")
BATCH_TEXTS = 64
MAX_CHARS = 200_000  # far beyond the window of any model; what lies behind it only costs time in the tokenizer
REQUEST_TEXTS, REQUEST_CHARS = 256, 1_000_000
REMEMBERED, REMEMBERED_CHARS = 1_024, 2_000
CONNECT_SECONDS, ANSWER_SECONDS = 10.0, 300.0


class EncoderDown(Unavailable):
    """The shared encoder process does not answer, also after it was started again."""


class EncoderStartFailed(Unavailable):
    """The shared encoder process ended or stayed silent while starting."""


class UnknownEncoder(BadInput):
    """The named model cannot be loaded."""

    def __init__(self, model: str, why: str) -> None:
        self.why = why
        super().__init__(
            f"The embedding model {model!r} cannot be loaded: {why.rstrip('.')}.",
            "Set LEARNING_EMBEDDING_MODEL to a sentence-transformers model or a folder that holds one, or unset it to use the packaged model.",
        )


class EncoderMismatch(LearningError):
    """Vectors of two models were about to be mixed."""


class Encoder(Protocol):
    """Turns texts into vectors of length 1. Vectors may be compared only if the `name` of their encoders is equal."""

    @property
    def name(self) -> str:
        """The model and what its weights are, for example all-MiniLM-L6-v2@0123456789ab; the same on every machine."""

    @property
    def dimensions(self) -> int: ...

    def encode(self, texts: Sequence[str], *, batch_size: int = BATCH_TEXTS) -> Vectors:
        """One row per text, in their order. A text keeps its vector (cosine > 0.9999) whatever it is encoded with."""


@dataclass(frozen=True)
class Serving:
    """A running encoder process: where it listens, the secret it asks for, the model it holds."""

    key: str
    url: str
    token: str = field(repr=False)
    pid: int
    name: str
    dimensions: int


def open_encoder(settings: Settings, model: str | None = None) -> EncoderClient:
    """The shared encoder process of this home, started if need be. `model` overrides LEARNING_EMBEDDING_MODEL; PACKAGED is the packaged one.

    Keep the client and share it between threads. Raises UnknownEncoder or EncoderStartFailed.
    """
    from learning_pipelines.encoder_server import ensure_serving  # that module is built on this one

    source = model_source(model or settings.embedding_model)
    return EncoderClient(lambda: ensure_serving(settings.home, source))


def model_source(model: str | None) -> str:
    """PACKAGED, an absolute folder or the name of a model on the Hugging Face hub. Raises UnknownEncoder for a folder that is not there."""
    if model is None or model in _ALSO_PACKAGED:
        return PACKAGED
    folder = Path(model).expanduser()
    if folder.is_dir():
        return str(folder.resolve())
    if model.startswith((".", "~", "/")):
        raise UnknownEncoder(model, "there is no such folder")
    return model


def require_same(encoder: Encoder, name: str, dimensions: int) -> None:
    """Raises EncoderMismatch unless vectors of this encoder may be compared with stored ones of `name`."""
    if (encoder.name, encoder.dimensions) != (name, dimensions):
        raise EncoderMismatch(
            f"The stored vectors come from {name} ({dimensions} dimensions), the encoder is {encoder.name} ({encoder.dimensions} dimensions).",
            "Set LEARNING_EMBEDDING_MODEL back, or encode the texts again with the present model.",
        )


def prepared(texts: Sequence[str]) -> list[str]:
    """The texts as every encoder takes them: cut at MAX_CHARS, half surrogate pairs (which no tokenizer takes) replaced."""
    if isinstance(texts, str):
        raise TypeError("encode takes a sequence of texts, not one text")
    return [text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8") for text in (text[:MAX_CHARS] for text in texts)]


def batches(texts: Sequence[str], most: int, chars: int) -> Iterator[list[int]]:
    """Positions of texts to encode together: of similar length (padding costs as much as text), at most `most` texts and about `chars` padded characters."""
    order = sorted(range(len(texts)), key=lambda position: len(texts[position]), reverse=True)
    start = 0
    while start < len(order):
        count = max(1, min(most, chars // max(1, len(texts[order[start]]))))
        yield order[start : start + count]
        start += count


class EncoderClient:
    """The Encoder that asks the shared process. Threads may share one. A process that died is started again, once per call."""

    def __init__(self, connect: Callable[[], Serving]) -> None:
        self._connect = connect
        self._serving = connect()
        self._reconnecting = threading.Lock()
        # Loopback only: no proxy from the environment may see the texts, and without certificates the client opens in no time.
        self._http = httpx.Client(
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
