"""The group writer: what shares a commit, what runs side by side, what waits.

Belongs here: the queue's rules, with a store that only records. Not here: what the database makes of it (test_feedback.py, test_crash.py).
"""

from __future__ import annotations

import asyncio
import threading
import uuid
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from learning_pipelines.api import writer as module
from learning_pipelines.api.writer import Writer
from learning_pipelines.storage.grouped import Settled, Write
from learning_pipelines.storage.ingest import columns
from learning_pipelines.storage.sessions import Acting, Busy

ORGANIZATION = uuid.uuid4()


class Store:
    """Stands for the database: remembers the groups, and lets one through at a time once `gate` is closed."""

    def __init__(self) -> None:
        self.groups: list[list[str]] = []
        self.under_way = 0
        self.gate = threading.Semaphore(0)

    def __call__(self, connection: object, writes: Sequence[Write]) -> list[list[Settled]]:
        self.groups.append([row[1] for write in writes for row in write.rows])
        self.under_way += 1
        assert self.gate.acquire(timeout=20)
        self.under_way -= 1
        return [[Settled("stored")] * len(write.rows) for write in writes]


def feedback(name: str, person: uuid.UUID | None = None, rows: int = 1) -> Write:
    values: dict[str, Any] = {"user_id": person}
    made = [tuple({**values, "id": name if rows == 1 else f"{name}-{number}"}.get(column) for column in columns("feedback")) for number in range(rows)]
    return Write("feedback", Acting(ORGANIZATION), "key:1", made, [[]] * rows)


def run(monkeypatch: pytest.MonkeyPatch, scenario: Callable[[Writer, Store], Awaitable[None]]) -> Store:
    """Runs a scenario with a started writer; every group still under way is let through afterwards."""
    store = Store()
    monkeypatch.setattr(module, "store_group", store)
    monkeypatch.setattr(module._Lane, "_connected", lambda lane: None)

    async def main() -> None:
        writer = Writer(lambda: None)  # type: ignore[arg-type, return-value]
        writer.start()
        await scenario(writer, store)
        store.gate.release(1_000)
        await writer.stop()

    asyncio.run(main())
    return store


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(2_000):
        if condition():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it never came to that")


def start(writer: Writer, *writes: Write) -> list[asyncio.Task[list[Settled]]]:
    return [asyncio.create_task(writer.write(write)) for write in writes]


def test_writes_that_arrive_during_a_commit_share_the_next_one(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(writer: Writer, store: Store) -> None:
        tasks = start(writer, feedback("a"))
        await until(lambda: store.under_way == 1)
        tasks += start(writer, *(feedback(f"b{number}") for number in range(7)))
        await until(lambda: len(store.groups) == 2)
        store.gate.release(2)
        assert await asyncio.gather(*tasks) == [[Settled("stored")]] * 8

    assert [len(group) for group in run(monkeypatch, scenario).groups] == [1, 7]


def test_a_few_writes_wait_for_the_commit_under_way_instead_of_beginning_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(writer: Writer, store: Store) -> None:
        tasks = start(writer, feedback("a"))
        await until(lambda: store.under_way == 1)
        tasks += start(writer, *(feedback(f"b{number}") for number in range(module.BESIDE_ROWS - 1)))
        await asyncio.sleep(0.05)
        assert len(store.groups) == 1
        store.gate.release(2)
        await asyncio.gather(*tasks)

    run(monkeypatch, scenario)


@pytest.mark.parametrize("shared", ["id", "person"])
def test_groups_under_way_share_neither_an_id_nor_a_new_person(monkeypatch: pytest.MonkeyPatch, shared: str) -> None:
    ada = uuid.uuid4()
    first, second = (feedback("a"), feedback("a")) if shared == "id" else (feedback("a", ada), feedback("b", ada))

    async def scenario(writer: Writer, store: Store) -> None:
        tasks = start(writer, first)
        await until(lambda: store.under_way == 1)
        tasks += start(writer, second, *(feedback(f"c{number}") for number in range(5)))
        await until(lambda: len(store.groups) == 2)
        assert store.groups[1] == [f"c{number}" for number in range(5)]
        store.gate.release(3)
        await asyncio.gather(*tasks)
        tasks = start(writer, feedback("d", ada), *(feedback(f"e{number}", ada) for number in range(5)))
        await until(lambda: len(store.groups) >= 4)
        store.gate.release(2)
        await asyncio.gather(*tasks)

    assert run(monkeypatch, scenario).groups[2] == [second.rows[0][1]]


def test_what_waits_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(writer: Writer, store: Store) -> None:
        start(writer, *(feedback(f"big{number}", rows=1_000) for number in range(2)))
        await until(lambda: store.under_way == 2)
        waiting = start(writer, *(feedback(f"more{number}", rows=1_000) for number in range(20)))
        await until(lambda: writer.waiting_rows == module.WAITING_ROWS)
        with pytest.raises(Busy):
            await writer.write(feedback("one too many"))
        store.gate.release(1_000)
        await asyncio.gather(*waiting)
        assert await asyncio.gather(*start(writer, feedback("later"))) == [[Settled("stored")]]

    run(monkeypatch, scenario)


def test_what_waited_too_long_is_refused_and_not_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.05)

    async def scenario(writer: Writer, store: Store) -> None:
        start(writer, feedback("a"))
        await until(lambda: store.under_way == 1)
        late = start(writer, feedback("b"))
        await asyncio.sleep(0.1)
        store.gate.release()
        with pytest.raises(Busy):
            await late[0]

    assert run(monkeypatch, scenario).groups == [["a"]]
