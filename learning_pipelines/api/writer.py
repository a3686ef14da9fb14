"""The group writer: requests that arrive while one commit is under way share the next one.

Belongs here: the queue, the threads that commit, giving answers back. Not here: SQL (storage/grouped.py), HTTP.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import psycopg

from learning_pipelines import tracing
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.grouped import Settled, Write, store_group
from learning_pipelines.storage.ingest import columns
from learning_pipelines.storage.sessions import Busy, busy_errors, repeats_itself

LANES = 2
"""Connections that commit side by side: while one waits for the disk, the other one works."""
BESIDE_ROWS = 4
"""Rows that must wait before a group begins beside another one."""
LOOK_AHEAD = 64
"""Writes that may be passed over, because they share something with a group under way, in search of one that does not."""
MOST_PERSONS = 100_000
GROUP_ROWS = 1_000
"""Rows per transaction: larger groups make the first of them wait longer without saving much."""
WAITING_ROWS = 20_000
"""Rows that may wait; beyond that a request is refused at once instead of piling up."""
PATIENCE_SECONDS = 10.0
Store = Callable[[Sequence[Write]], list[list[Settled] | BaseException]]
_ID, _USER_ID = columns("feedback").index("id"), columns("feedback").index("user_id")  # the same in every kind


@dataclass(slots=True)
class _Waiting:
    write: Write
    answer: asyncio.Future[list[Settled]]
    deadline: float
    ids: frozenset[str]
    """No two groups under way share an id: the second must see what became of the first."""
    persons: frozenset[int]
    """Those not seen yet. No two groups under way share them either: both would insert them, and each could wait for the other's."""
    asker: Any
    """The context of the traced request, if there is one."""


class Writer:
    """Stores writes durably, several in one transaction. Everything but the commit itself happens in the event loop."""

    def __init__(self, connect: Callable[[], Connection], lanes: int = LANES) -> None:
        self._queue: deque[_Waiting] = deque()
        self._idle = [_Lane(connect) for _ in range(lanes)]
        self._lanes = tuple(self._idle)
        self._ids: set[str] = set()
        self._persons: set[int] = set()
        self._known_persons: set[int] = set()
        self._under_way: set[asyncio.Task[None]] = set()
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
            while (self._queue or self._under_way) and not self._task.done():
                await asyncio.sleep(0.01)
            self._task.cancel()
            await asyncio.gather(self._task, *self._under_way, return_exceptions=True)
        for lane in self._lanes:
            lane.close()

    async def write(self, write: Write) -> list[Settled]:
        """What became of each row, once it is on disk with its outbox entry. Raises Busy if the database cannot take it now, and
        psycopg.Error for values it refuses."""
        if self.waiting_rows + len(write.rows) > WAITING_ROWS:
            raise Busy("Too many records wait to be stored.", "Try again in a moment.")
        answer: asyncio.Future[list[Settled]] = asyncio.get_running_loop().create_future()
        kind = f"{write.kind} {write.who.organization_id} "
        ids = frozenset([kind + row[_ID] for row in write.rows])
        persons = frozenset([row[_USER_ID].int for row in write.rows if row[_USER_ID] is not None]) - self._known_persons
        self._queue.append(_Waiting(write, answer, time.monotonic() + PATIENCE_SECONDS, ids, persons, tracing.present()))
        self.waiting_rows += len(write.rows)
        self._wake.set()
        return await answer

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._worth_a_lane() and (group := self._take()):
                task = loop.create_task(self._commit(self._idle.pop(), group))
                self._under_way.add(task)
                task.add_done_callback(self._under_way.discard)

    def _worth_a_lane(self) -> bool:
        """A group has its own price (some 1.5 ms of processor time): beside another one it begins only when it is large enough."""
        alone = len(self._idle) == len(self._lanes)
        return bool(self._queue) and bool(self._idle) and (alone or self.waiting_rows >= BESIDE_ROWS)

    async def _commit(self, lane: _Lane, group: list[_Waiting]) -> None:
        ids, persons = [set[Any]().union(*sets) for sets in ([waiting.ids for waiting in group], [waiting.persons for waiting in group])]
        self._ids |= ids
        self._persons |= persons
        store = _traced(lane.store, group) if tracing.active() else lane.store
        stored = asyncio.get_running_loop().run_in_executor(lane.thread, store, [waiting.write for waiting in group])
        (outcome,) = await asyncio.gather(stored, return_exceptions=True)
        self._ids -= ids
        self._persons -= persons
        self._idle.append(lane)
        self._wake.set()
        self.groups += 1
        if isinstance(outcome, BaseException):
            outcome = [outcome] * len(group)
        else:
            self._remember(persons)
        for waiting, settled in zip(group, outcome, strict=True):
            if not isinstance(settled, BaseException):
                self.stored_rows += len(settled)
            _resolve(waiting.answer, settled)

    def _remember(self, persons: set[int]) -> None:
        if len(self._known_persons) > MOST_PERSONS:
            self._known_persons.clear()
        self._known_persons |= persons

    def _take(self) -> list[_Waiting]:
        """The oldest waiting writes, as many as fit; those that share an id or a new person with a group under way, or an id with this one, wait on."""
        group: list[_Waiting] = []
        later: list[_Waiting] = []
        taken: set[str] = set()
        now, rows = time.monotonic(), 0
        while self._queue and len(later) < LOOK_AHEAD and (not group or rows + len(self._queue[0].write.rows) <= GROUP_ROWS):
            waiting = self._queue.popleft()
            if waiting.answer.done():  # whoever asked has gone, and nothing was promised
                self.waiting_rows -= len(waiting.write.rows)
            elif waiting.deadline < now:
                self.waiting_rows -= len(waiting.write.rows)
                _resolve(waiting.answer, Busy("The record waited too long for the database.", "Try again in a moment."))
            elif not (taken.isdisjoint(waiting.ids) and self._ids.isdisjoint(waiting.ids) and self._persons.isdisjoint(waiting.persons)):
                later.append(waiting)
            else:
                self.waiting_rows -= len(waiting.write.rows)
                taken |= waiting.ids
                rows += len(waiting.write.rows)
                group.append(waiting)
        self._queue.extendleft(reversed(later))
        return group


class _Lane:
    """One thread with one connection: commits one group at a time."""

    def __init__(self, connect: Callable[[], Connection]) -> None:
        self._connect = connect
        self._connection: Connection | None = None
        self.thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="group-writer")

    def close(self) -> None:
        self.thread.shutdown(wait=True)
        self._drop_connection()

    def store(self, writes: Sequence[Write]) -> list[list[Settled] | BaseException]:
        """In the lane's thread: one outcome per write."""
        try:
            with busy_errors():
                return list(store_group(self._connected(), writes))
        except Busy as error:
            self._drop_connection()
            return [error] * len(writes)
        except psycopg.Error as error:
            self._drop_connection()
            if len(writes) == 1:
                return [error]
            # One of them is at fault and the transaction is gone for all: each alone, so that only that one is refused.
            return [self.store([write])[0] for write in writes]

    def _connected(self) -> Connection:
        if self._connection is None or self._connection.closed:
            self._connection = self._connect()
            repeats_itself(self._connection)
        return self._connection

    def _drop_connection(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _traced(store: Store, group: Sequence[_Waiting]) -> Store:
    """The commit as a span: below the request that waited longest, linked to the others that share it."""
    rows = sum(len(waiting.write.rows) for waiting in group)
    first, *others = (waiting.asker for waiting in group)
    linked = [one for one in others if one is not None]

    def traced(writes: Sequence[Write]) -> list[list[Settled] | BaseException]:
        with tracing.span("store group", {"learning.requests": len(group), "learning.rows": rows}, parent=first, links=linked):
            return store(writes)

    return traced


def _resolve(answer: asyncio.Future[list[Settled]], outcome: list[Settled] | BaseException) -> None:
    if answer.done():
        return
    if isinstance(outcome, BaseException):
        answer.set_exception(outcome)
    else:
        answer.set_result(outcome)
