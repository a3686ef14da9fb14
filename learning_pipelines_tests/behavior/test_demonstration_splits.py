"""Splits of demonstrations: for good, by task, whoever showed it; nothing alike on two sides.

Belongs here: decisions over stored demonstrations. Not here: how components are dealt and cut (examples/test_splits*.py).
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from typing import Any

import pytest

from learning_pipelines.behavior.demonstration_splits import Decided, refresh_splits
from learning_pipelines.behavior.demonstrations import load as loaded
from learning_pipelines.behavior.demonstrations import teachers
from learning_pipelines.settings import Settings
from learning_pipelines.storage.database import Connection
from learning_pipelines_tests.behavior.shown import demonstration, shown_by
from learning_pipelines_tests.conftest import Load
from learning_pipelines_tests.feedback.rows import Row, agent_ref, table

THINGS = (
    "invoice", "ledger", "parcel", "tenant", "salary", "pension", "broker", "harbour", "kettle", "orchard", "piano", "quarry", "raven", "saddle",
    "tunnel", "umbrella", "violin", "walnut", "yoghurt", "zipper",
)  # fmt: skip


def task(number: int) -> str:
    """A task unlike every other one."""
    return " ".join(f"{thing}{number}" for thing in random.Random(number).sample(THINGS, 10))


def refreshed(pipeline: Connection, organization: str = "default", **settings: Any) -> Decided | None:
    return refresh_splits(pipeline, agent_ref(pipeline, organization=organization), Settings(**settings))


def stored(pipeline: Connection) -> dict[str, Row]:
    return {row["demonstration_id"]: row for row in table(pipeline, "demonstration_splits")}


def sides(pipeline: Connection) -> dict[str, str | None]:
    return {name: row["split"] for name, row in stored(pipeline).items()}


def alone(count: int, first: int = 0, **more: Any) -> list[Row]:
    return [demonstration(f"d{number}", task=task(number), **more) for number in range(first, first + count)]


def test_splits_have_their_shares_and_one_expert_ties_nothing(load: Load, pipeline: Connection) -> None:
    shown_by(load, pipeline, alone(40, expert="eve"))
    done = refreshed(pipeline)
    assert done is not None
    assert done.clusters == 40
    assert Counter(sides(pipeline).values()) == {"train": 20, "validation": 8, "test": 12}
    assert {one.id: one.split for one in loaded(pipeline, agent_ref(pipeline))} == sides(pipeline)


def test_a_refresh_without_newcomers_does_nothing(load: Load, pipeline: Connection) -> None:
    shown_by(load, pipeline, alone(10))
    refreshed(pipeline)
    before = stored(pipeline)
    assert refreshed(pipeline) is None
    assert stored(pipeline) == before


def test_no_split_ever_changes_as_demonstrations_come(load: Load, pipeline: Connection) -> None:
    shown_by(load, pipeline, alone(10))
    refreshed(pipeline)
    before = sides(pipeline)
    for first in (10, 15, 30):
        shown_by(load, pipeline, alone(5, first))
        refreshed(pipeline)
    after = sides(pipeline)
    assert len(after) == 25
    assert {name: after[name] for name in before} == before


def test_the_same_task_never_stands_on_two_sides_whoever_shows_it_and_whenever_it_comes(load: Load, pipeline: Connection) -> None:
    shown_by(load, pipeline, alone(20, expert="eve"))
    refreshed(pipeline)
    again = [demonstration(f"again{n}", "other", "way", task=f"  {task(n).upper()}!", expert="bob") for n in range(20)]
    shown_by(load, pipeline, again)
    refreshed(pipeline)
    rows = stored(pipeline)
    assert [(rows[f"again{n}"]["split"], rows[f"again{n}"]["cluster"]) for n in range(20)] == [
        (rows[f"d{n}"]["split"], rows[f"d{n}"]["cluster"]) for n in range(20)
    ]  # fmt: skip
    assert {rows[f"d{n}"]["split"] for n in range(20)} == {"train", "validation", "test"}


@pytest.mark.parametrize(("threshold", "together"), [(0.7, True), (1.0, False)])
def test_how_nearly_the_same_is_a_setting(load: Load, pipeline: Connection, threshold: float, together: bool) -> None:
    pairs = [demonstration(f"{half}{n}", task=f"{task(n)} {'and so on' if half == 'b' else ''}") for n in range(10) for half in "ab"]
    shown_by(load, pipeline, pairs)
    refreshed(pipeline, duplicate_jaccard=threshold)
    rows = stored(pipeline)
    assert all((rows[f"a{n}"]["cluster"] == rows[f"b{n}"]["cluster"]) == together for n in range(10))


def test_one_task_with_another_input_state_is_another_task(load: Load, pipeline: Connection) -> None:
    states = [demonstration(f"d{n}", task="File it", input_state={"papers": task(n)}) for n in range(10)]
    shown_by(load, pipeline, [*states, demonstration("same", task="File it", input_state={"papers": task(3)})])
    refreshed(pipeline)
    rows = stored(pipeline)
    assert len({rows[f"d{n}"]["cluster"] for n in range(10)}) == 10
    assert rows["same"]["cluster"] == rows["d3"]["cluster"]


def test_demonstrations_that_name_one_task_are_of_one_task_however_they_word_it(load: Load, pipeline: Connection) -> None:
    shown_by(load, pipeline, [demonstration(f"d{n}", task=task(n), task_id=f"task {n // 4}") for n in range(40)])
    done = refreshed(pipeline)
    assert done is not None and done.clusters == 10
    shown_by(load, pipeline, [demonstration(f"late{n}", task=task(100 + n), task_id=f"task {n}") for n in range(10)])
    refreshed(pipeline)
    rows = stored(pipeline)
    for n in range(10):
        assert {(rows[name]["split"], rows[name]["cluster"]) for name in (f"late{n}", *(f"d{4 * n + m}" for m in range(4)))} == {
            (rows[f"late{n}"]["split"], rows[f"late{n}"]["cluster"])
        }
    assert len(set(sides(pipeline).values())) == 3


def test_clusters_keep_their_names_and_no_cluster_stands_on_two_sides(load: Load, pipeline: Connection) -> None:
    shown_by(load, pipeline, alone(10))
    refreshed(pipeline)
    before = {name: row["cluster"] for name, row in stored(pipeline).items()}
    shown_by(load, pipeline, [demonstration(f"more{n}", task=task(n)) for n in range(5)])
    refreshed(pipeline)
    after = stored(pipeline)
    assert {name: after[name]["cluster"] for name in before} == before
    held = defaultdict(set)
    for row in after.values():
        held[row["cluster"]].add(row["split"])
    assert all(len(splits) == 1 for splits in held.values())


def test_a_newcomer_that_joins_two_sides_is_left_out_and_nothing_moves(load: Load, pipeline: Connection) -> None:
    halves = [" ".join(f"{thing}{half}" for thing in THINGS) for half in "ab"]
    rows = [demonstration("left", task=halves[0]), demonstration("right", task=halves[1]), *alone(10)]
    shown_by(load, pipeline, rows)
    refreshed(pipeline)
    pipeline.execute(
        "UPDATE demonstration_splits SET split = CASE demonstration_id WHEN 'left' THEN 'train' ELSE 'test' END WHERE demonstration_id IN ('left', 'right')"
    )
    before = sides(pipeline)
    shown_by(load, pipeline, [demonstration("bridge", task=halves[0]), demonstration("bridge2", task=halves[1])])
    pipeline.execute("UPDATE demonstrations SET replaces = 'bridge2' WHERE id = 'bridge'")
    refreshed(pipeline)
    after = stored(pipeline)
    left_out = [name for name in ("bridge", "bridge2") if after[name]["split"] is None]
    assert len(left_out) == 1
    assert (after[left_out[0]]["left_out"], after[left_out[0]]["cluster"]) == ("joins two splits", "")
    assert {name: after[name]["split"] for name in before} == before
    assert left_out[0] not in [one.id for one in teachers(pipeline, agent_ref(pipeline))]


def test_one_that_does_not_count_keeps_its_side_and_its_task_stays_there(load: Load, pipeline: Connection) -> None:
    shown_by(load, pipeline, alone(20, expert="eve"))
    refreshed(pipeline)
    before = stored(pipeline)
    pipeline.execute("UPDATE users SET expertise_withdrawn_at = now() WHERE external_id = 'eve'")
    assert teachers(pipeline, agent_ref(pipeline)) == []
    shown_by(load, pipeline, [demonstration(f"bob{n}", task=task(n), expert="bob") for n in range(20)])
    refreshed(pipeline)
    assert [sides(pipeline)[f"bob{n}"] for n in range(20)] == [before[f"d{n}"]["split"] for n in range(20)]
    pipeline.execute("UPDATE users SET expertise_withdrawn_at = NULL WHERE external_id = 'eve'")
    assert {one.id: one.split for one in teachers(pipeline, agent_ref(pipeline)) if one.id in before} == {name: row["split"] for name, row in before.items()}


def test_who_does_not_count_from_the_start_is_decided_once_they_count(load: Load, pipeline: Connection) -> None:
    shown_by(load, pipeline, alone(5))
    pipeline.execute("UPDATE learning_examples SET review_status = 'rejected' WHERE source_id = 'd3'")
    refreshed(pipeline)
    assert "d3" not in sides(pipeline)
    pipeline.execute("UPDATE learning_examples SET review_status = 'approved' WHERE source_id = 'd3'")
    refreshed(pipeline)
    assert sides(pipeline)["d3"] is not None


def test_what_the_rule_finds_alike_later_is_left_out_outside_train(load: Load, pipeline: Connection) -> None:
    pairs = [demonstration(f"{half}{n}", task=f"{task(n)} {'and so on' if half == 'b' else ''}") for n in range(10) for half in "ab"]
    shown_by(load, pipeline, pairs)
    refreshed(pipeline, duplicate_jaccard=1.0)
    pipeline.execute("UPDATE demonstration_splits SET split = CASE left(demonstration_id, 1) WHEN 'a' THEN 'train' ELSE 'test' END")
    shown_by(load, pipeline, [demonstration("new", task=task(99))])
    refreshed(pipeline, duplicate_jaccard=0.7)
    rows = stored(pipeline)
    assert {(rows[f"a{n}"]["split"], rows[f"a{n}"]["left_out"]) for n in range(10)} == {("train", "")}
    assert {(rows[f"b{n}"]["split"], rows[f"b{n}"]["left_out"]) for n in range(10)} == {(None, "linked late to another split")}


def test_a_task_that_everybody_shows_is_cut_so_that_something_can_be_held_out(load: Load, pipeline: Connection) -> None:
    same = [demonstration(f"same{n}", task=f"{task(0)} {n}") for n in range(60)]
    shown_by(load, pipeline, [*same, *alone(10, 1)])
    done = refreshed(pipeline)
    assert done is not None and done.numbers.floors_met
    assert set(done.numbers.left_out) == {"cut from a large component"}
    assert len({row["split"] for name, row in stored(pipeline).items() if name.startswith("same") and row["split"]}) == 1


def test_each_organization_is_split_by_itself(load: Load, pipeline: Connection) -> None:
    for organization in ("ours", "theirs"):
        shown_by(load, pipeline, alone(10), organization)
    refreshed(pipeline, "ours")
    assert {row["organization_id"] for row in table(pipeline, "demonstration_splits")} == {agent_ref(pipeline, organization="ours").organization_id}
    assert refreshed(pipeline, "theirs") is not None
