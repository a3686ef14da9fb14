"""Who was met in which experiment: noted while a request is answered, written in batches behind it.

Belongs here: the queue, the thread that writes, what is remembered as noted. Not here: who gets what (experiments_serving.py), SQL
(storage/experiment_assignments.py).

No answer waits for it. A unit is noted once per worker; two workers that note it leave one row. While the database is away, notes wait, up to
MOST_WAITING; beyond that a unit is noted with its next request. A worker that is killed loses at most what it noted within EVERY_SECONDS: the execution
that was served carries experiment, variant and unit, and makes up for it.
"""

from __future__ import annotations

import datetime as dt
import logging
import threading
from collections import deque
from collections.abc import Sequence
from uuid import UUID

import psycopg

from learning_pipelines.errors import Unavailable
from learning_pipelines.storage import experiment_assignments
from learning_pipelines.storage.experiment_assignments import Exposure
from learning_pipelines.storage.sessions import Acting, Sessions

EVERY_SECONDS = 0.2
_LONGEST_PAUSE = 5.0
MOST_WAITING = 100_000
MOST_REMEMBERED = 200_000
BATCH = 2_000
_CLOSING_SECONDS = 10.0
log = logging.getLogger("learning_pipelines.api")
_Noted = tuple[UUID, Exposure]


class Exposures:
    """One per worker; threads and the event loop may note. `missed`: notes that found the queue full."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._lock = threading.Lock()
        self._seen: dict[tuple[UUID, str], None] = {}
        self._waiting: deque[_Noted] = deque()
        self._wake, self._stopping = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None
        self.missed = 0

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="learning-exposures", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Writes what waits, if the database takes it."""
        self._stopping.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(_CLOSING_SECONDS)

    def note(self, organization_id: UUID, experiment_id: UUID, unit: str, variant: str, epoch: int) -> None:
        """That a unit was served a variant now; costs nothing where it was noted before."""
        key = (experiment_id, unit)
        with self._lock:
            if key in self._seen:
                return
            if len(self._waiting) >= MOST_WAITING:
                self.missed += 1
                return
            if len(self._seen) >= MOST_REMEMBERED:
                for old in list(self._seen)[: MOST_REMEMBERED // 10]:
                    del self._seen[old]
            self._seen[key] = None
            self._waiting.append((organization_id, Exposure(experiment_id, unit, variant, epoch, dt.datetime.now(dt.UTC))))
        if not self._wake.is_set():
            self._wake.set()

    def _run(self) -> None:
        pause = EVERY_SECONDS
        while True:
            self._wake.wait()
            stopping = self._stopping.wait(pause)
            self._wake.clear()
            pause = EVERY_SECONDS if self._write_all() else min(2 * pause, _LONGEST_PAUSE)
            if stopping:
                if self._waiting:
                    log.error("%d exposures were not written: the database does not take them; executions make up for them", len(self._waiting))
                return
            if self._waiting:
                self._wake.set()

    def _write_all(self) -> bool:
        """Whether the database took everything that waited."""
        while batch := self._take():
            of: dict[UUID, list[Exposure]] = {}
            for organization_id, exposure in batch:
                of.setdefault(organization_id, []).append(exposure)
            for done, organization_id in enumerate(of):
                try:
                    self._write(organization_id, of[organization_id])
                except Unavailable as error:
                    log.warning("exposures wait: %s", error)
                    with self._lock:
                        self._waiting.extendleft((name, one) for name in list(of)[done:] for one in reversed(of[name]))
                    return False
        return True

    def _take(self) -> list[_Noted]:
        with self._lock:
            return [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]

    def _write(self, organization_id: UUID, exposures: Sequence[Exposure]) -> None:
        """Where the database refuses them, each alone, so that one at fault costs no other. Raises Unavailable."""
        try:
            with self._sessions.acting(counting(organization_id)) as connection:
                experiment_assignments.add(connection, organization_id, exposures)
        except psycopg.Error as error:
            if len(exposures) == 1:
                log.error("an exposure of experiment %s is refused: %s", exposures[0].experiment_id, type(error).__name__)
                return
            for one in exposures:
                self._write(organization_id, [one])


def counting(organization_id: UUID) -> Acting:
    """Who reads what runs and counts who was met: experiments are for experimenters, but they serve everybody."""
    return Acting(organization_id, role="experimenter")
