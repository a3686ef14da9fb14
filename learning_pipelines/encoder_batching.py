"""Requests that wait for the model, put together into batches and taken in a fair order.

Belongs here: the queues and the one thread that encodes. Not here: how requests arrive (encoder_service.py), the model (encoder_local.py).
"""

from __future__ import annotations

import threading
import time
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass, field

import numpy as np

from learning_pipelines.encoder_local import CPU_BATCH_CHARS
from learning_pipelines.encoder_protocol import BATCH_TEXTS, Encoder, Vectors, batches

GATHER_SECONDS = 0.002
QUICK_TEXTS = 8


@dataclass
class _Job:
    """One request: its texts, and its vectors as they come."""

    texts: list[str]
    vectors: Vectors
    missing: int
    done: Future[Vectors] = field(default_factory=Future)


_Piece = tuple[_Job, list[int]]


class Batcher:
    """One thread encodes for all requests: small ones that arrive together share a batch, large ones take turns with them piece by piece."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._chars: int = getattr(encoder, "batch_chars", CPU_BATCH_CHARS)
        self._quick: deque[_Piece] = deque()
        self._bulk: deque[_Piece] = deque()
        self._bulk_turn = False
        self._waiting = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="encoder", daemon=True)
        self._thread.start()

    def encode(self, texts: list[str]) -> Vectors:
        """The vectors of one request; waits for them. Raises what the model raised."""
        if not texts:
            return np.empty((0, self._encoder.dimensions), dtype=np.float32)
        job = _Job(texts, np.empty((len(texts), self._encoder.dimensions), dtype=np.float32), len(texts))
        pieces = [(job, positions) for positions in batches(texts, BATCH_TEXTS, self._chars)]
        quick = len(pieces) == 1 and len(texts) <= QUICK_TEXTS
        with self._waiting:
            (self._quick if quick else self._bulk).extend(pieces)
            self._waiting.notify()
        return job.done.result()

    def close(self) -> None:
        """Ends the thread; requests that still wait are given up."""
        with self._waiting:
            self._closed = True
            self._waiting.notify()
        self._thread.join()

    def _run(self) -> None:
        while self._wait():
            self._work(self._take())

    def _wait(self) -> bool:
        """Until there is something to do. False when closed."""
        with self._waiting:
            idle = not self._quick and not self._bulk
            self._waiting.wait_for(lambda: self._closed or self._quick or self._bulk)
        if idle:
            time.sleep(GATHER_SECONDS)  # calls that start together arrive within a few milliseconds
        return not self._closed

    def _take(self) -> list[_Piece]:
        with self._waiting:
            if self._bulk and (self._bulk_turn or not self._quick):
                self._bulk_turn = False
                return [self._bulk.popleft()]
            self._bulk_turn = True
            taken: list[_Piece] = []
            texts = longest = 0
            while self._quick:
                job, positions = self._quick[0]
                longest = max(longest, *(len(text) for text in job.texts))
                texts += len(positions)
                if taken and (texts > BATCH_TEXTS or texts * longest > self._chars):
                    break
                taken.append(self._quick.popleft())
            return taken

    def _work(self, pieces: list[_Piece]) -> None:
        pieces = [piece for piece in pieces if not piece[0].done.done()]  # an earlier piece of it failed
        if not pieces:
            return
        try:
            vectors = self._encoder.encode([job.texts[position] for job, positions in pieces for position in positions])
        except Exception as error:  # noqa: BLE001  this thread works for everybody: whatever happens belongs to those who asked
            for job, _ in pieces:
                job.done.set_exception(error)
            return
        start = 0
        for job, positions in pieces:
            job.vectors[positions] = vectors[start : start + len(positions)]
            start += len(positions)
            job.missing -= len(positions)
            if job.missing == 0:
                job.done.set_result(job.vectors)
