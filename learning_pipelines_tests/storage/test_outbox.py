"""The outbox: no committed entry missed or read twice, whatever the order of commits, the cluster and the number of readers.

Belongs here: order, positions, adoption, pruning. Not here: what readers make of the entries (examples/test_refresh.py).
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import random
import re
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from learning_pipelines.examples.refresh import refresh_examples
from learning_pipelines.storage import outbox, outbox_pruning, reviewed
from learning_pipelines.storage.database import Connection, Database
from learning_pipelines.storage.outbox import EXAMPLES_READER, METRICS_READER, WEIGHTS_READER, Position
from learning_pipelines_tests.conftest import Load
from learning_pipelines_tests.feedback.rows import AGENT, agent_ref, execution, said, table

LIMIT = 10_000
READERS = (EXAMPLES_READER, METRICS_READER, WEIGHTS_READER)


@pytest.fixture(autouse=True)
def _agents(load: Load, pipeline: Connection) -> None:
    load("agents", [AGENT, {"agent": "other"}])
    pipeline.execute("DELETE FROM outbox")


def write(connection: Connection, *rows: str, agent: str = "desk", moment: str = "2026-03-02T23:30:00Z") -> None:
    """Entries whose kind is their name, so that `news`, which only counts, tells which ones it saw."""
    connection.execute(
        """INSERT INTO outbox (organization_id, agent_id, kind, row_id, execution_id, happened_at)
        SELECT organization_id, id, entry, entry, entry, %s FROM agents, unnest(%s::text[]) AS entry WHERE slug = %s""",
        [moment, list(rows), agent],
    )


def look(connection: Connection, after: Position | None, limit: int = LIMIT) -> tuple[list[str], Position]:
    """The names of the entries after a position."""
    found = outbox.news(connection, after, limit, "UTC")
    return sorted(kind for agent in found.agents for kind in agent.kinds), found.position


def test_an_entry_is_read_once(pipeline: Connection) -> None:
    write(pipeline, "a")
    seen, position = look(pipeline, None)
    assert (seen, look(pipeline, position)[0]) == (["a"], [])


def test_nothing_above_a_transaction_that_is_still_open_is_read(database: Database, pipeline: Connection) -> None:
    with database.connect("pipeline", autocommit=False) as slow:
        write(slow, "first")
        write(pipeline, "second")
        seen, position = look(pipeline, None)
        assert seen == []
        slow.commit()
    assert look(pipeline, position)[0] == ["first", "second"]


def test_what_was_written_before_an_open_transaction_is_read_meanwhile(database: Database, pipeline: Connection) -> None:
    write(pipeline, "early")
    with database.connect("pipeline", autocommit=False) as slow:
        write(slow, "late")
        seen, position = look(pipeline, None)
        assert seen == ["early"]
        slow.commit()
    assert look(pipeline, position)[0] == ["late"]


def test_a_transaction_that_rolls_back_holds_nothing_up(database: Database, pipeline: Connection) -> None:
    with database.connect("pipeline", autocommit=False) as failed:
        write(failed, "never")
        write(pipeline, "second")
        failed.rollback()
    assert look(pipeline, None)[0] == ["second"]


def test_concurrent_writers_are_read_completely_and_once(database: Database, pipeline: Connection) -> None:
    start, done, seen = threading.Barrier(9, timeout=30), threading.Event(), Counter[str]()

    def writer(number: int) -> list[str]:
        committed, dice = [], random.Random(number)
        with database.connect("pipeline", autocommit=False) as connection:
            start.wait()
            for turn in range(25):
                names = [f"{number}-{turn}-{part}" for part in range(dice.randint(1, 4))]
                for name in names:
                    write(connection, name, agent=dice.choice(["desk", "other"]))
                    time.sleep(dice.random() * 0.004)
                if dice.random() < 0.2:
                    connection.rollback()
                else:
                    connection.commit()
                    committed += names
        return committed

    def reader() -> None:
        position: Position | None = None
        with database.connect("pipeline") as connection:
            start.wait()
            while True:
                last = done.is_set()
                names, position = look(connection, position, limit=7)
                seen.update(names)
                if last and not names:
                    return

    with ThreadPoolExecutor(9) as pool:
        reading = pool.submit(reader)
        try:
            written = [name for names in pool.map(writer, range(8)) for name in names]
        finally:
            done.set()
        reading.result()
    assert len(written) > 200
    assert seen == Counter(written)


def test_a_look_is_bounded_and_says_when_there_is_more(pipeline: Connection) -> None:
    write(pipeline, "a", "b", "c", "d", "e")
    found = outbox.news(pipeline, None, 2, "UTC")
    assert (found.entries, found.full) == (2, True)


def test_a_look_that_takes_all_is_not_full(pipeline: Connection) -> None:
    write(pipeline, "a", "b")
    assert outbox.news(pipeline, None, 3, "UTC").full is False


def test_bounded_looks_carry_on_inside_one_transaction(pipeline: Connection) -> None:
    write(pipeline, *"abcde")
    position, seen = None, []
    for _ in range(3):
        names, position = look(pipeline, position, limit=2)
        seen.append(names)
    assert seen == [["a", "b"], ["c", "d"], ["e"]]


def test_news_come_by_agent_with_their_days_in_the_zone(pipeline: Connection) -> None:
    write(pipeline, "a", "b")
    pipeline.execute("UPDATE outbox SET kind = 'feedback', execution_at = '2026-02-27T12:00:00Z'")
    write(pipeline, "c", agent="other")
    first, second = outbox.news(pipeline, None, LIMIT, "Europe/Berlin").agents
    assert (first.agent, first.entries, first.days) == ("desk", 2, [dt.date(2026, 2, 27), dt.date(2026, 3, 3)])
    assert (second.agent, second.entries, second.days) == ("other", 1, [])


def test_entries_that_belong_to_no_agent_are_news_too(load: Load, pipeline: Connection) -> None:
    load("documents", [{"document_id": "d1", "text": "t"}])
    (found,) = outbox.news(pipeline, None, LIMIT, "UTC").agents
    assert (found.organization, found.agent, found.kinds, found.behind) == ("default", None, ["documents"], False)


def test_an_agent_is_behind_until_its_examples_are_refreshed(load: Load, pipeline: Connection) -> None:
    load("executions", [execution("e1")])
    assert outbox.news(pipeline, None, LIMIT, "UTC").agents[0].behind is True
    refresh_examples(pipeline, agent_ref(pipeline))
    assert outbox.news(pipeline, None, LIMIT, "UTC").agents[0].behind is False


def test_a_position_of_another_cluster_starts_over(pipeline: Connection) -> None:
    write(pipeline, "a")
    _, position = look(pipeline, None)
    seen, again = look(pipeline, dataclasses.replace(position, cluster="another", xid=10**15))
    assert (seen, again) == (["a"], position)


def test_a_cursor_this_cluster_handed_out_before_a_restore_starts_over(pipeline: Connection) -> None:
    """An installation that ran before older rows were restored into it has a cursor beyond their transaction ids."""
    write(pipeline, "old")
    _, before = look(pipeline, None)
    write(pipeline, "a", "b")
    pipeline.execute("UPDATE outbox SET xid = '3'")
    pipeline.execute("UPDATE outbox_positions SET cluster = '1234'")  # what the restored rows say of themselves
    seen, after = look(pipeline, before)
    assert (seen, after.cluster == before.cluster) == (["a", "b", "old"], False)
    assert look(pipeline, after) == ([], after)


def test_entries_restored_from_another_cluster_are_read_once(pipeline: Connection) -> None:
    write(pipeline, "a", "b")
    pipeline.execute("UPDATE outbox SET xid = '900000000000'")
    write(pipeline, "c")
    seen, position = look(pipeline, Position("another", 900000000000, 10**9))
    assert (seen, look(pipeline, position)[0]) == (["a", "b", "c"], [])


def test_entries_of_a_transaction_under_way_are_not_adopted(database: Database, pipeline: Connection) -> None:
    with database.connect("pipeline", autocommit=False) as slow:
        write(slow, "a")
        assert outbox.adopt_foreign_entries(pipeline) == 0
        slow.commit()
    assert outbox.adopt_foreign_entries(pipeline) == 0


def test_restored_entries_make_their_examples_at_the_first_refresh_and_once(load: Load, pipeline: Connection) -> None:
    load("executions", [execution("e1")])
    load("feedback", [said("f1", "e1")])
    pipeline.execute("UPDATE outbox SET xid = '900000000000'")
    assert [refresh_examples(pipeline, agent_ref(pipeline)).created for _ in range(2)] == [1, 0]


def test_a_readers_own_position_counts_only_in_its_cluster(load: Load, pipeline: Connection) -> None:
    load("executions", [execution("e1")])
    refresh_examples(pipeline, agent_ref(pipeline))
    pipeline.execute("UPDATE outbox_positions SET cluster = 'another', xid = '900000000000'")
    assert refresh_examples(pipeline, agent_ref(pipeline)).entries == 1
    assert refresh_examples(pipeline, agent_ref(pipeline)).entries == 0


def take(connection: Connection, reader: str, agent: str, limit: int = LIMIT) -> list[str]:
    """What the reader has not taken up of this agent; taken up now."""
    ref = agent_ref(connection, agent)
    connection.execute("UPDATE outbox SET kind = 'executions'")
    with connection.transaction():
        outbox.lock_reader(connection, reader, ref)
        new = outbox.touched(connection, reader, ref, limit)
        outbox.advance(connection, reader, ref, new.position)
    return new.executions


def test_every_agent_has_a_position_of_its_own(pipeline: Connection) -> None:
    write(pipeline, "a", "b")
    write(pipeline, "c", agent="other")
    assert take(pipeline, EXAMPLES_READER, "desk") == ["a", "b"]
    assert take(pipeline, EXAMPLES_READER, "other") == ["c"]
    assert take(pipeline, EXAMPLES_READER, "desk") == []


def numbered(connection: Connection, *xids: int, kind: str = "executions", agent: str = "desk") -> None:
    """An entry of each of these transactions, named after it."""
    for xid in xids:
        write(connection, kind, agent=agent)
        connection.execute("UPDATE outbox SET xid = %s::xid8, row_id = %s, execution_id = %s WHERE row_id = %s", [str(xid), *[f"e{xid}"] * 2, kind])


@pytest.mark.parametrize("portion", [1, 2, 3, 100])
def test_no_entry_is_passed_over_where_transaction_ids_get_a_digit_more(pipeline: Connection, portion: int) -> None:
    """A column `xid::text` is called xid as well, and what is ordered by that name is ordered as text: 10 before 9."""
    numbered(pipeline, 8, 9, 10, 11, 99, 100, 101)
    agent, seen = agent_ref(pipeline), list[str]()
    for _ in range(8):
        new = outbox.touched(pipeline, EXAMPLES_READER, agent, portion)
        outbox.advance(pipeline, EXAMPLES_READER, agent, new.position)
        seen += new.executions
    assert seen == ["e8", "e9", "e10", "e11", "e99", "e100", "e101"]
    assert outbox.position(pipeline, EXAMPLES_READER, agent).xid == 101


def test_the_newest_entry_is_that_of_the_highest_transaction_id_and_not_of_the_last_word(pipeline: Connection) -> None:
    numbered(pipeline, 9, 10, kind="reviews")
    agent = agent_ref(pipeline)
    found = [outbox.newest(pipeline, agent), reviewed.newest_review(pipeline, agent)]
    assert [one.xid for one in found if one is not None] == [10, 10]


def test_no_statement_orders_transaction_ids_as_text() -> None:
    """SELECT xid::text … ORDER BY xid orders by the text; outbox.xid, or xid within ARRAY[…] or an aggregate, is the number."""
    root = Path(outbox.__file__).parents[2]
    read = [path for folder in ("learning_pipelines", "benchmarks", "learning_pipelines_tests") for path in sorted((root / folder).rglob("*.py"))]
    wrong = re.compile(r"SELECT (?:[\w.]*\bxid::text|[^\"()\[\]]*, [\w.]*\bxid::text)[^\"]*?ORDER BY xid\b")
    assert [str(path.relative_to(root)) for path in read if path != Path(__file__) and wrong.search(path.read_text(encoding="utf-8"))] == []


def test_a_reader_never_goes_back_also_if_the_slower_of_two_speaks_last(pipeline: Connection) -> None:
    agent = agent_ref(pipeline)
    here = outbox.cluster(pipeline)
    for xid, number in ((7, 9), (7, 8), (6, 10)):
        outbox.advance(pipeline, METRICS_READER, agent, Position(here, xid, number))
    assert outbox.position(pipeline, METRICS_READER, agent) == Position(here, 7, 9)
    pipeline.execute("UPDATE outbox_positions SET cluster = 'former' WHERE reader = %s", [METRICS_READER])
    outbox.advance(pipeline, METRICS_READER, agent, Position(here, 1, 1))
    assert outbox.position(pipeline, METRICS_READER, agent) == Position(here, 1, 1)


def test_every_reader_has_a_position_of_its_own(pipeline: Connection) -> None:
    write(pipeline, "a")
    assert [take(pipeline, reader, "desk") for reader in (EXAMPLES_READER, METRICS_READER, EXAMPLES_READER)] == [["a"], ["a"], []]


def test_a_reader_takes_portions_in_order(pipeline: Connection) -> None:
    write(pipeline, "a", "b", "c")
    assert [take(pipeline, EXAMPLES_READER, "desk", limit=2) for _ in range(3)] == [["a", "b"], ["c"], []]


def test_one_reader_of_an_agent_works_at_a_time(database: Database, pipeline: Connection) -> None:
    ref = agent_ref(pipeline)
    with database.connect("pipeline", autocommit=False) as first, database.connect("pipeline", autocommit=False) as second:
        outbox.lock_reader(first, EXAMPLES_READER, ref)
        outbox.lock_reader(second, METRICS_READER, ref)
        second.execute("SET LOCAL lock_timeout = '50ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            outbox.lock_reader(second, EXAMPLES_READER, ref)


def test_agents_behind_are_those_with_entries_a_reader_has_not_taken(pipeline: Connection) -> None:
    write(pipeline, "a")
    assert [ref.agent for ref in outbox.agents_behind(pipeline, EXAMPLES_READER)] == ["desk"]
    take(pipeline, EXAMPLES_READER, "desk")
    assert outbox.agents_behind(pipeline, EXAMPLES_READER) == []
    assert [ref.agent for ref in outbox.agents_behind(pipeline, METRICS_READER)] == ["desk"]


@pytest.mark.parametrize("readers", [[], *(READERS[:left] + READERS[left + 1 :] for left in range(3))])
def test_pruning_keeps_what_a_reader_has_not_taken(pipeline: Connection, readers: list[str]) -> None:
    write(pipeline, "a")
    for reader in readers:
        take(pipeline, reader, "desk")
    assert outbox_pruning.prune(pipeline, dt.timedelta(0)) == 0


def test_pruning_deletes_what_all_readers_have_taken(pipeline: Connection) -> None:
    write(pipeline, "a", "b")
    for reader in READERS:
        take(pipeline, reader, "desk")
    write(pipeline, "c")
    assert outbox_pruning.prune(pipeline, dt.timedelta(0)) == 2
    assert [row["row_id"] for row in table(pipeline, "outbox")] == ["c"]


def test_pruning_keeps_what_is_young(pipeline: Connection) -> None:
    write(pipeline, "a")
    for reader in READERS:
        take(pipeline, reader, "desk")
    assert outbox_pruning.prune(pipeline, dt.timedelta(days=1)) == 0


def test_pruning_does_not_trust_positions_of_another_cluster(pipeline: Connection) -> None:
    write(pipeline, "a")
    for reader in READERS:
        take(pipeline, reader, "desk")
    pipeline.execute("UPDATE outbox_positions SET cluster = 'another'")
    assert outbox_pruning.prune(pipeline, dt.timedelta(0)) == 0


def test_the_lag_counts_entries_after_a_position_up_to_a_limit(pipeline: Connection) -> None:
    write(pipeline, *"abcde")
    _, position = look(pipeline, None, limit=2)
    assert [outbox.lag(pipeline, position), outbox.lag(pipeline, None), outbox.lag(pipeline, None, limit=4)] == [3, 5, 4]
