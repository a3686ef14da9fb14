"""Rows of another cluster: every reader goes on from exactly where it stood, whatever the transaction ids were and are.

Belongs here: renumbering. Not here: whole restores (defs/test_backup.py), order and safety of reading (test_outbox.py).
"""

from __future__ import annotations

import dataclasses
import random

import pytest

from learning_pipelines.storage import outbox
from learning_pipelines.storage.database import Connection, Database
from learning_pipelines.storage.outbox import EXAMPLES_READER, METRICS_READER, Position
from learning_pipelines.storage.outbox_moves import settle
from learning_pipelines_tests.conftest import Load
from learning_pipelines_tests.feedback.rows import AGENT, agent_ref
from learning_pipelines_tests.storage.test_outbox import LIMIT, look, write

FAR = 10**9


@pytest.fixture(autouse=True)
def _agents(load: Load, pipeline: Connection) -> None:
    load("agents", [AGENT, {"agent": "other"}])
    pipeline.execute("DELETE FROM outbox")


def come_from_elsewhere(pipeline: Connection, shift: int = FAR) -> None:
    """As after a dump of another cluster: its name, and its transaction ids."""
    pipeline.execute("UPDATE outbox SET xid = (xid::text::bigint + %s)::text::xid8", [shift])
    pipeline.execute("UPDATE outbox_positions SET xid = (xid::text::bigint + %s)::text::xid8 WHERE xid > '1'", [shift])
    pipeline.execute("UPDATE outbox_positions SET cluster = '42.7' WHERE reader <> 'where these rows live'")
    pipeline.execute("UPDATE outbox_positions SET cluster = '42', id = 7 WHERE reader = 'where these rows live'")


def from_elsewhere(position: Position, shift: int = FAR) -> Position:
    return Position("42.7", position.xid + shift, position.id)


def settled(database: Database, *cursors: Position) -> dict[Position, Position]:
    with database.connect("owner") as owner:
        return settle(owner, cursors)


def test_a_cursor_goes_on_after_what_it_had_read(database: Database, pipeline: Connection) -> None:
    write(pipeline, "old")
    cursor = from_elsewhere(look(pipeline, None)[1])
    write(pipeline, "unread")
    come_from_elsewhere(pipeline)
    there = settled(database, cursor)[cursor]
    write(pipeline, "new")
    assert look(pipeline, there)[0] == ["new", "unread"]


def test_a_reader_goes_on_after_what_it_had_taken_up(database: Database, pipeline: Connection) -> None:
    agent = agent_ref(pipeline)
    write(pipeline, "old")
    with pipeline.transaction():
        outbox.advance(pipeline, EXAMPLES_READER, agent, outbox.touched(pipeline, EXAMPLES_READER, agent, LIMIT).position)
    write(pipeline, "unread")
    come_from_elsewhere(pipeline)
    settled(database)
    write(pipeline, "new")
    assert outbox.touched(pipeline, EXAMPLES_READER, agent, LIMIT).entries == 2
    assert outbox.touched(pipeline, METRICS_READER, agent, LIMIT).entries == 3


def test_a_reader_whose_entries_were_pruned_misses_nothing_new(database: Database, pipeline: Connection) -> None:
    agent = agent_ref(pipeline)
    write(pipeline, "pruned")
    cursor = from_elsewhere(look(pipeline, None)[1])
    with pipeline.transaction():
        outbox.advance(pipeline, EXAMPLES_READER, agent, outbox.touched(pipeline, EXAMPLES_READER, agent, LIMIT).position)
    pipeline.execute("DELETE FROM outbox")
    come_from_elsewhere(pipeline)
    there = settled(database, cursor)[cursor]
    write(pipeline, "new")
    assert look(pipeline, there)[0] == ["new"]
    assert outbox.touched(pipeline, EXAMPLES_READER, agent, LIMIT).entries == 1


def test_every_position_between_entries_stays_between_the_same_entries(database: Database, pipeline: Connection) -> None:
    """Transactions whose ids and entries interleave, as those of writers that commit out of order."""
    dice = random.Random(7)
    write(pipeline, *(f"{number:02}" for number in range(40)))
    pipeline.execute("UPDATE outbox SET xid = (300 + (id * 7919) %% 6)::text::xid8", [])
    outbox.cluster(pipeline)
    order = [(int(xid), int(number)) for xid, number in pipeline.execute("SELECT xid::text, id FROM outbox ORDER BY outbox.xid, id").fetchall()]
    names = [str(row[0]) for row in pipeline.execute("SELECT kind FROM outbox ORDER BY xid, id").fetchall()]
    come_from_elsewhere(pipeline)
    chosen = dice.sample(range(40), 8)
    cursors = {place: from_elsewhere(Position("", *order[place])) for place in chosen}
    there = settled(database, *cursors.values())
    for place, cursor in cursors.items():
        assert look(pipeline, there[cursor])[0] == sorted(names[place + 1 :])


def test_ids_that_are_already_past_here_are_moved_as_well(database: Database, pipeline: Connection) -> None:
    write(pipeline, "old")
    cursor = from_elsewhere(look(pipeline, None)[1], shift=-200)
    write(pipeline, "unread")
    come_from_elsewhere(pipeline, shift=-200)
    there = settled(database, cursor)[cursor]
    assert look(pipeline, there)[0] == ["unread"]


def test_a_cursor_of_a_third_cluster_starts_over(database: Database, pipeline: Connection) -> None:
    write(pipeline, "old")
    third = dataclasses.replace(from_elsewhere(look(pipeline, None)[1]), cluster="17.1")
    come_from_elsewhere(pipeline)
    assert settled(database, third) == {}
    assert look(pipeline, third)[0] == ["old"]


def test_a_cursor_from_before_the_restore_is_never_taken_for_one_of_here(database: Database, pipeline: Connection) -> None:
    """Rows that come back into the cluster they were dumped in."""
    write(pipeline, "old")
    before = look(pipeline, None)[1]
    moved = settled(database, before)[before]
    assert moved.cluster != before.cluster
    assert look(pipeline, moved)[0] == []
    assert look(pipeline, before)[0] == ["old"]


def test_where_nobody_has_read_there_is_nothing_to_move(database: Database, pipeline: Connection) -> None:
    pipeline.execute("DELETE FROM outbox_positions")
    assert settled(database) == {}
