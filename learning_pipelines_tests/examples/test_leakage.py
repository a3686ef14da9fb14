"""No near-duplicate and nobody straddles two splits of a stored dataset: planted, then looked for by comparing all pairs with both legs.

Belongs here: refresh_dataset on a real database. Not here: choosing splits (test_splits.py), finding duplicates (test_clusters.py).
"""

from __future__ import annotations

import os
import random
from collections import defaultdict
from typing import Any

import pytest

from learning_pipelines.examples.clusters import LISTED
from learning_pipelines.examples.datasets import DatasetVersion, refresh_dataset
from learning_pipelines.examples.similarity import DuplicateRule
from learning_pipelines.examples.splits import CUT, JOINS, LATE
from learning_pipelines.storage.database import Connection
from learning_pipelines_tests.conftest import Load
from learning_pipelines_tests.examples.curated import WordEncoder, alike_by_definition, approved
from learning_pipelines_tests.examples.planted import planted
from learning_pipelines_tests.feedback.rows import AGENT, agent_ref, table

RULE = DuplicateRule()
SEEDS = [int(seed) for seed in os.environ.get("PLANTED_SEEDS", "1 2").split()]
"""PLANTED_SEEDS="7 8 9" plants others."""


@pytest.fixture(autouse=True)
def _ground(load: Load) -> None:
    load("agents", [AGENT])


def built(connection: Connection) -> DatasetVersion:
    encoder = WordEncoder()
    return refresh_dataset(connection, agent_ref(connection), rule=RULE, shares=(0.5, 0.2, 0.3), open_encoder=lambda: encoder)


def splits(connection: Connection) -> dict[str, str | None]:
    return {row["example_id"]: row["split"] for row in table(connection, "example_splits")}


def leaks(connection: Connection, rows: list[dict[str, Any]], split: dict[str, str | None]) -> tuple[int, int]:
    """Near-duplicate pairs and people on two sides, by comparing everything stored with everything."""
    texts = {row["id"]: row["input_text"] for row in table(connection, "learning_examples")}
    pairs = [(one, two) for one, two in alike_by_definition(texts, WordEncoder()) if split[one] and split[two] and split[one] != split[two]]
    sides: defaultdict[str, set[str]] = defaultdict(set)
    for row in rows:
        if "user" in row and (side := split[row["example_id"]]):
            sides[row["user"]].add(side)
    return len(pairs), sum(len(found) > 1 for found in sides.values())


def rows_with_duplicates(seed: int, count: int) -> list[dict[str, Any]]:
    """Light edits, shuffled words (alike by vector alone), and for two thirds one of a few people."""
    chance = random.Random(seed)
    texts = planted(count, seed, names=400).texts
    for place in range(0, count, 9):
        words = texts[place].split()
        chance.shuffle(words)
        texts.append(" ".join(words))
    chance.shuffle(texts)
    people = [{"user": f"person-{chance.randrange(count // 2)}"} if chance.random() < 0.66 else {} for _ in texts]
    return [approved(f"x{number:04}", text, **person) for number, (text, person) in enumerate(zip(texts, people, strict=True))]


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_leaks_and_nothing_moves_while_planted_examples_arrive(load: Load, pipeline: Connection, seed: int) -> None:
    rows = rows_with_duplicates(seed, 240)
    assert len(alike_by_definition({row["example_id"]: row["input_text"] for row in rows}, WordEncoder())) > 60
    before: dict[str, str | None] = {}
    for begin, end in ((0, 150), (150, 151), (151, len(rows))):
        load("examples", rows[begin:end])
        version = built(pipeline)
        now = splits(pipeline)
        assert leaks(pipeline, rows[:end], now) == (0, 0)
        assert all(now[name] == side or (now[name] is None and side != "train") for name, side in before.items())
        assert sum(version.left_out.values()) == sum(side is None for side in now.values())
        before = now
    assert sum(side is None for side in before.values()) < 0.12 * len(rows)
    assert min(version.splits.values()) >= 0.15 * version.examples


def test_a_chain_of_duplicates_and_people_is_cut_with_the_fewest_and_counted(load: Load, pipeline: Connection) -> None:
    words = [f"{letter}{number}" for number in range(40) for letter in "kmprst"]
    rows = [approved(f"x{place:03}", " ".join(words[2 * place : 2 * place + 40]), user=f"person-{place // 2}") for place in range(80)]
    true = alike_by_definition({row["example_id"]: row["input_text"] for row in rows}, WordEncoder())
    assert {(f"x{place:03}", f"x{place + 1:03}") for place in range(79)} <= true
    load("examples", rows)
    version = built(pipeline)
    assert version.plan.components == 1
    assert leaks(pipeline, rows, splits(pipeline)) == (0, 0)
    assert set(version.left_out) == {CUT} and version.left_out[CUT] <= 12
    assert min(version.splits.values()) >= 0.15 * version.examples


def test_a_newcomer_alike_by_vector_alone_joins_the_split(load: Load, pipeline: Connection) -> None:
    load("examples", [approved(f"x{place}", text) for place, text in enumerate(planted(30, 8, share=0).texts)])
    built(pipeline)
    before = splits(pipeline)
    shuffled = {name: " ".join(sorted(row["input_text"].split())) for row in table(pipeline, "learning_examples") if (name := row["id"])}
    load("examples", [approved(f"{name}-again", text) for name, text in shuffled.items()])
    built(pipeline)
    after = splits(pipeline)
    assert {name: after[f"{name}-again"] for name in before} == before
    assert before.items() <= after.items()


def test_a_newcomer_that_joins_two_splits_by_two_legs_is_left_out(load: Load, pipeline: Connection) -> None:
    chance = random.Random(5)
    words, ends = (["".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=7)) for _ in range(count)] for count in (80, 8))
    load("examples", [approved("a", " ".join(words)), approved("b", " ".join(reversed(words[:72] + ends)))])
    built(pipeline)
    assert set(splits(pipeline).values()) == {"train", "test"}
    load("examples", [approved("between", " ".join(words[:74] + ends[:6]))])
    version = built(pipeline)
    assert (splits(pipeline)["between"], version.left_out) == (None, {JOINS: 1})


def test_a_stricter_rule_later_leaves_out_what_is_not_in_train(load: Load, pipeline: Connection) -> None:
    rows = [approved("a", "alpha beta gamma delta"), approved("b", "delta gamma beta alpha")]
    load("examples", rows)
    refresh_dataset(pipeline, agent_ref(pipeline), rule=DuplicateRule(cosine=None), shares=(0.5, 0.2, 0.3))
    before = splits(pipeline)
    assert set(before.values()) == {"train", "test"}
    version = built(pipeline)
    assert splits(pipeline) == {name: side if side == "train" else None for name, side in before.items()}
    assert version.left_out == {LATE: 1}


def test_a_large_cluster_stays_on_one_side(load: Load, pipeline: Connection) -> None:
    load("examples", [approved(f"x{place:03}", "Where is my parcel?") for place in range(LISTED + 5)])
    load("examples", [approved(f"y{place:03}", text) for place, text in enumerate(planted(300, 3, share=0).texts)])
    built(pipeline)
    assert len({side for name, side in splits(pipeline).items() if name.startswith("x")}) == 1


def test_what_is_not_approved_ties_nothing_together_in_a_large_cluster_either(load: Load, pipeline: Connection) -> None:
    """Two halves of a large cluster are alike only through one example: pending, it joins no split; approved, it would join two and is left out."""
    words = [f"word{number}" for number in range(60)]
    left, middle, right = (" ".join(words[shift : shift + 40]) for shift in (0, 4, 8))
    rows = [approved(f"l{place:02}", left) for place in range(60)] + [approved(f"r{place:02}", right) for place in range(60)]
    load("examples", [*rows, approved("middle", middle, review_status="pending")])
    built(pipeline)
    assert [row["size"] for row in table(pipeline, "duplicate_clusters")] == [121]
    now = splits(pipeline)
    sides = {prefix: {side for name, side in now.items() if name.startswith(prefix)} for prefix in "lr"}
    assert all(len(found) == 1 for found in sides.values()) and sides["l"] != sides["r"]
    pipeline.execute("UPDATE learning_examples SET review_status = 'approved' WHERE id = 'middle'")
    built(pipeline)
    assert splits(pipeline) == {**now, "middle": None}
