"""How long a suggestion takes at 100,000 demonstrated steps, encoding apart: `python -m benchmarks.behavior_latency`.

Belongs here: one measurement. Not here: how good suggestions are (behavior.py). Wall-clock and CPU time, on one core; with many types and, the worst case
for the index, with three.
"""

from __future__ import annotations

import os
import time
import zlib
from collections.abc import Sequence
from dataclasses import replace

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from benchmarks.record import record
from learning_pipelines.behavior.policy.fitting import fit
from learning_pipelines.behavior.policy.neighbours import Neighbours, Steps
from learning_pipelines.behavior.policy.policy import Policy
from learning_pipelines.behavior.task import Action, Shown, State
from learning_pipelines.encoder import BATCH_TEXTS, Vectors

STEPS, DIMENSIONS, SUGGESTIONS = 100_000, 384, 200


class Drawn:
    """A vector drawn by each text's hash: nothing but the policy takes time."""

    name, dimensions = "drawn@1", DIMENSIONS

    def encode(self, texts: Sequence[str], *, batch_size: int = BATCH_TEXTS) -> Vectors:
        made = np.array([np.random.default_rng(zlib.crc32(text.encode())).standard_normal(DIMENSIONS, dtype=np.float32) for text in texts])
        return made / np.linalg.norm(made, axis=1, keepdims=True)


def policy_of(types: int) -> Policy:
    """Learnt from a few demonstrations; its index then holds STEPS steps of 20,000 tasks with different texts."""
    rng = np.random.default_rng(0)
    shown = [
        Shown(f"d{number}", f"task {number}", tuple(Action(f"t{kind}", {"a": number}) for kind in rng.integers(0, types, 4)), cluster=str(number))
        for number in range(100)
    ]
    learnt = fit(shown, [], Drawn(), 0).learnt
    last = np.sort(rng.integers(0, types, STEPS))
    size = learnt.neighbours.steps.projection.shape[1]
    steps = Steps(
        learnt.neighbours.steps.projection, _unit(rng, 20_000, size), _unit(rng, STEPS, size), rng.integers(0, 20_000, STEPS).astype(np.int32),
        np.arange(STEPS, dtype=np.int32), np.stack([last, *rng.integers(0, types, (3, STEPS))], axis=1).astype(np.int16),
        rng.integers(0, types, STEPS).astype(np.int16), rng.integers(0, 100, STEPS).astype(np.int32),
    )  # fmt: skip
    return Policy(replace(learnt, neighbours=Neighbours(learnt.vocabulary, steps, learnt.neighbours.weights)), Drawn())


def main() -> None:
    for types in (20, 3):
        policy = policy_of(types)
        wall, busy = [], []
        for number in range(SUGGESTIONS):
            state = State(f"other {number}", history=(Action(f"t{number % types}", {"b": number}), Action(f"t{(number + 1) % types}", {"b": number})))
            begun, used = time.perf_counter(), time.thread_time()
            policy.suggest(state)
            wall.append(1000 * (time.perf_counter() - begun))
            busy.append(1000 * (time.thread_time() - used))
        record(f"a suggestion, {STEPS:,} steps, {types} types, encoding apart, p50", float(np.percentile(wall, 50)), "ms")
        print(
            f"{STEPS:,} steps, {types} types: a suggestion takes {np.percentile(wall, 50):.1f} ms (p95 {np.percentile(wall, 95):.1f}), "
            f"of a core {np.percentile(busy, 50):.1f} ms (p95 {np.percentile(busy, 95):.1f}), encoding apart"
        )


def _unit(rng: np.random.Generator, rows: int, size: int) -> np.ndarray[tuple[int, int], np.dtype[np.float16]]:
    made = rng.standard_normal((rows, size), dtype=np.float32)
    return (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float16)


if __name__ == "__main__":
    main()
