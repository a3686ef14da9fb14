"""The group writer: requests that arrive while one commit is under way share the next one.

Belongs here: the queue, one thread that commits, giving answers back. Not here: SQL (storage/grouped.py), HTTP.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import psycopg

from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.grouped import Settled, Write, store_group
from learning_pipelines.storage.sessions import Busy, busy_errors

GROUP_ROWS = 1_000
"""Rows per transaction: larger groups make the first of them wait longer without saving much."""
WAITING_ROWS = 20_000
"""Rows that may wait; beyond that a request is refused at once instead of piling up."""
PATIENCE_SECONDS = 10.0


@dataclass(slots=True)
class _Waiting:
    write: Write
    answer: asyncio.Future[list[Settled]]
    deadline: float
    keys: tuple[tuple[str, object, str], ...]


class Writer:
    """Stores writes durably, several in one transaction. Everything but the commit itself happens in the event loop."""

    def __init__(self, connect: Callable[[], Connection]) -> None:
        self._connect = connect
        self._queue: deque[_Waiting] = deque()
        self._connection: Connection | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="group-writer")
        self._task: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self.waiting_rows = 0
        self.groups = 0
        self.stored_rows = 0

    def start(self) -> None:
        """Call within the event loop that will wait for the answers."""
        self._task = asyncio.get_running_loop().create_task(self._serve(), name="group-writer")

    async def stop(self) -> None:
        """Stores what waits, then ends."""
        if self._task is not None:
            while self._queue and not self._task.done():
                await asyncio.sleep(0.01)
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._thread.shutdown(wait=True)
        self._drop_connection()

    async def write(self, write: Write) -> list[Settled]:
        """What became of each row, once it is on disk with its outbox entry. Raises Busy if the database cannot take it now, and
        psycopg.Error for values it refuses."""
        if self.waiting_rows + len(write.rows) > WAITING_ROWS:
            raise Busy("Too many records wait to be stored.", "Try again in a moment.")
        answer: asyncio.Future[list[Settled]] = asyncio.get_running_loop().create_future()
        keys = tuple((write.kind, write.who.organization_id, row[1]) for row in write.rows)
        self._queue.append(_Waiting(write, answer, time.monotonic() + PATIENCE_SECONDS, keys))
        self.waiting_rows += len(write.rows)
        self._wake.set()
        return await answer

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._queue:
                group = self._take()
                stored = loop.run_in_executor(self._thread, self._store, [waiting.write for waiting in group])
                (outcome,) = await asyncio.gather(stored, return_exceptions=True)
                for position, waiting in enumerate(group):
                    _resolve(waiting.answer, outcome if isinstance(outcome, BaseException) else outcome[position])

    def _take(self) -> list[_Waiting]:
        """The oldest waiting writes, as many as fit. One whose id is in the group already waits for the next, which sees the first one's outcome."""
        group: list[_Waiting] = []
        later: list[_Waiting] = []
        taken: set[tuple[str, object, str]] = set()
        now, rows = time.monotonic(), 0
        while self._queue and (not group or rows + len(self._queue[0].write.rows) <= GROUP_ROWS):
            waiting = self._queue.popleft()
            if not taken.isdisjoint(waiting.keys):
                later.append(waiting)
                continue
            self.waiting_rows -= len(waiting.write.rows)
            if waiting.deadline < now:
                _resolve(waiting.answer, Busy("The record waited too long for the database.", "Try again in a moment."))
            elif not waiting.answer.done():  # else whoever asked has gone, and nothing was promised
                taken.update(waiting.keys)
                rows += len(waiting.write.rows)
                group.append(waiting)
        self._queue.extendleft(reversed(later))
        return group

    def _store(self, writes: Sequence[Write]) -> list[list[Settled] | BaseException]:
        """In the writer's thread: one outcome per write."""
        if not writes:
            return []
        try:
            with busy_errors():
                stored = store_group(self._connected(), writes)
        except Busy as error:
            self._drop_connection()
            return [error] * len(writes)
        except psycopg.Error as error:
            self._drop_connection()
            if len(writes) == 1:
                return [error]
            # One of them is at fault and the transaction is gone for all: each alone, so that only that one is refused.
            return [self._store([write])[0] for write in writes]
        self.groups += 1
        self.stored_rows += sum(len(rows) for rows in stored)
        return list(stored)

    def _connected(self) -> Connection:
        if self._connection is None or self._connection.closed:
            self._connection = self._connect()
            # The statements are the same every time: planning each anew would cost more than running it.
            self._connection.execute("SET plan_cache_mode = force_generic_plan")
        return self._connection

    def _drop_connection(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _resolve(answer: asyncio.Future[list[Settled]], outcome: list[Settled] | BaseException) -> None:
    if answer.done():
        return
    if isinstance(outcome, BaseException):
        answer.set_exception(outcome)
    else:
        answer.set_result(outcome)
