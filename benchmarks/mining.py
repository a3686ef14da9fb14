"""Memory and time of mining hard negatives: `make bench-mining ARGS="QUESTIONS PASSAGES"` (default 100,000 each).

Belongs here: one measurement in a process of its own. Not here: assertions (retrieval/test_negatives.py), which negatives are good.

Vectors of 384 numbers lie in a file as halves, as the database sends them, and are read block by block, once for every portion of questions as
retrieval/pairs.py does. What is measured is the peak resident set of the whole process, making the vectors included, above what it was once
everything was imported.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.record import record
from learning_pipelines.retrieval.negatives import Floats, allowed, mine
from learning_pipelines.retrieval.pairs import PORTION
from learning_pipelines.storage.training_pairs import _CHUNKS as BLOCK

DIMENSIONS = 384


def peak() -> float:
    """Megabytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def resident() -> float:
    """Megabytes now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


def write(path: Path, rows: int, seed: int) -> npt.NDArray[np.float16]:
    """Unit vectors around 500 centres, block by block."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(1).standard_normal((500, DIMENSIONS)).astype(np.float32)
    held = np.memmap(path, dtype=np.float16, mode="w+", shape=(rows, DIMENSIONS))
    for begin in range(0, rows, BLOCK):
        size = min(BLOCK, rows - begin)
        block = centres[rng.integers(500, size=size)] + rng.standard_normal((size, DIMENSIONS), dtype=np.float32)
        held[begin : begin + size] = block / np.linalg.norm(block, axis=1, keepdims=True)
    held.flush()
    return np.memmap(path, dtype=np.float16, mode="r", shape=(rows, DIMENSIONS))


def read(path: Path, rows: int) -> Iterator[Floats]:
    """Blocks as they come from the database: read from the file, no mapping kept."""
    with path.open("rb") as file:
        for begin in range(0, rows, BLOCK):
            size = min(BLOCK, rows - begin)
            yield np.frombuffer(file.read(size * DIMENSIONS * 2), dtype=np.float16).reshape(size, DIMENSIONS).astype(np.float32)


def main(questions: int, passages: int) -> None:
    imported = resident()
    with tempfile.TemporaryDirectory() as folder:
        asked, held = Path(folder) / "questions", Path(folder) / "passages"
        write(asked, questions, 2)
        write(held, passages, 3)
        names = [f"chunk-{place:09d}" for place in range(passages)]
        begun, busy = time.monotonic(), time.process_time()
        kept = 0
        for begin in range(0, questions, PORTION):
            size = min(PORTION, questions - begin)
            with asked.open("rb") as file:
                file.seek(begin * DIMENSIONS * 2)
                part = np.frombuffer(file.read(size * DIMENSIONS * 2), dtype=np.float16).reshape(size, DIMENSIONS).astype(np.float32)
            nearest, alike = mine(part, part, read(held, passages))
            for at in range(size):
                own = [names[place] for place in nearest.places[at].tolist()]
                kept += len(allowed(nearest.scores[at].tolist(), own, own, positive=0.9, relevant=(), alike=()))
            if begin + size == questions:
                record(f"memory of mining, {questions:,} questions, {passages:,} passages", peak() - imported, "MB")
                record(f"mining, {questions:,} questions, {passages:,} passages", time.process_time() - busy, "s of a core")
            print(json.dumps({
                "questions": begin + size, "passages": passages, "peak_mb_above_imports": round(peak() - imported), "alike": len(alike.pairs),
                "candidates": kept, "seconds": round(time.monotonic() - begun, 1), "cpu_seconds": round(time.process_time() - busy, 1),
            }), flush=True)  # fmt: skip


if __name__ == "__main__":
    main(*(int(one.replace(",", "")) for one in (sys.argv[1:] + ["100000", "100000"][len(sys.argv) - 1 :])))
