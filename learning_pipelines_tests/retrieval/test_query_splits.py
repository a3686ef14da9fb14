"""The permanent splits of judged questions.

Belongs here: what never straddles, what newcomers join, sizes. Not here: how components are cut (examples/test_splits.py).
"""

from __future__ import annotations

import numpy as np
import pytest

from learning_pipelines.retrieval.query_splits import decided
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.retrieval_queries import Board
from learning_pipelines_tests.conftest import Load
from learning_pipelines_tests.retrieval.judging import SHARES, World, world

TOPICS = 40


@pytest.fixture
def desk(pipeline: Connection, load: Load) -> World:
    made = world(pipeline, load)
    made.documents({f"d{number}": f"What topic number {number} is about." for number in range(TOPICS)})
    return made


def question(number: int, ask: str = "tell me of") -> str:
    return f"{ask} {number * 7919 % 10007} and {number * 104729 % 99991}"


def ask_all(desk: World) -> None:
    """Each topic asked twice in other words, by another person each time."""
    desk.say(*({"query": question(n), "relevant": [f"d{n}"], "user": f"u{n}"} for n in range(TOPICS)))
    desk.say(*({"query": question(n + 1000, "hints for"), "relevant": [f"d{n}"], "user": f"v{n}"} for n in range(TOPICS)))


def test_no_passage_and_no_person_is_on_two_sides_and_the_sizes_are_as_asked_for(desk: World) -> None:
    ask_all(desk)
    numbers = desk.refresh().numbers
    assert numbers is not None and numbers.sizes == {"train": 40, "validation": 16, "test": 24} and not numbers.left_out
    sides: dict[str, set[str]] = {}
    for one in desk.stored().values():
        for shared in (*one["documents"], *one["people"], f"cluster {one['cluster']}"):
            sides.setdefault(shared, set()).add(one["split"])
    assert all(len(found) == 1 for found in sides.values())
    assert len({one["cluster"] for one in desk.stored().values()}) == TOPICS


def test_a_newcomer_joins_its_passage_and_one_that_joins_two_sides_is_left_out(desk: World) -> None:
    ask_all(desk)
    desk.refresh()
    before = desk.stored()
    of_split = {one["split"]: document for one in before.values() for document in one["documents"]}
    desk.say(
        {"query": "something quite new about it", "relevant": [of_split["test"]]},
        {"query": "this one wants both of them", "relevant": [of_split["test"], of_split["train"]]},
    )
    numbers = desk.refresh().numbers
    after = desk.stored()
    assert numbers is not None and numbers.left_out == {"joins two splits": 1}
    assert after["something quite new about it"]["split"] == "test"
    assert (after["this one wants both of them"]["split"], after["this one wants both of them"]["left_out"]) == (None, "joins two splits")
    assert {text: one["split"] for text, one in after.items() if text in before} == {text: one["split"] for text, one in before.items()}


def test_a_passage_that_did_not_help_joins_nothing(desk: World) -> None:
    ask_all(desk)
    desk.say(*({"query": question(n + 2000, "why"), "retrieved": ["d0", f"d{n}"], "relevant": [f"d{n}"]} for n in range(TOPICS)))
    numbers = desk.refresh().numbers
    assert numbers is not None and numbers.components == TOPICS


def test_nearly_the_same_question_is_never_on_another_side(desk: World) -> None:
    ask_all(desk)
    desk.say(*({"query": f"{question(n)}!", "relevant": [f"d{TOPICS - 1 - n}"]} for n in range(0, TOPICS, 2)))
    desk.refresh()
    stored = desk.stored()
    alike = [(stored[question(n)]["split"], stored[f"{question(n)}!"]["split"]) for n in range(0, TOPICS, 2)]
    assert all(None in pair or pair[0] == pair[1] for pair in alike) and any(None not in pair for pair in alike)


def test_a_passage_that_everybody_found_helpful_is_cut_so_that_every_side_has_its_floor() -> None:
    """Half of 200 questions share one document and each has one of its own: the largest component can't be dealt, only cut."""
    hub = [(n, 0) for n in range(140)]
    own = [(n, 1 + n // 2) for n in range(200)]
    table = np.asarray(hub + own, dtype=np.int64)
    nothing = np.full(200, -1, dtype=np.int64)
    board = Board([f"q{n}" for n in range(200)], nothing, np.zeros(200, dtype=np.bool_), np.ones(200, dtype=np.int64), [""] * 200, (table[:, 0], table[:, 1]))
    found = decided(board, SHARES)
    sizes, kept = found.numbers.sizes, sum(found.numbers.sizes.values())
    assert found.numbers.floors_met and min(sizes["validation"], sizes["test"]) >= 0.15 * kept
    assert kept == 200 - sum(found.numbers.left_out.values()) and sum(found.numbers.left_out.values()) <= 10


def test_one_person_who_asked_everything_leaves_the_fewest_out(desk: World) -> None:
    desk.say(*({"query": question(n), "relevant": [f"d{n}"], "user": "ada"} for n in range(TOPICS)))
    numbers = desk.refresh().numbers
    assert numbers is not None and numbers.sizes["train"] + sum(numbers.left_out.values()) <= TOPICS


def test_people_who_ask_about_everything_make_no_single_cluster_and_still_never_straddle() -> None:
    """Eight people ask 400 questions about 100 passages: all is one component, so the splits cut it; clusters are then told apart by passage."""
    rng = np.random.default_rng(3)
    asked, about, person = np.arange(400), rng.integers(0, 100, 400), 1_000 + rng.integers(0, 8, 400)
    hubs = np.concatenate([asked, asked]), np.concatenate([about, person])
    board = Board(
        [f"q{n}" for n in range(400)], np.full(400, -1), np.zeros(400, dtype=np.bool_), np.ones(400, dtype=np.int64), [""] * 400, hubs,
        frozenset(range(1_000, 1_008)),
    )  # fmt: skip
    found = decided(board, SHARES)
    splits: dict[int, set[str]] = {}
    clusters: dict[int, set[str]] = {}
    for name, split, _, cluster in found.rows:
        for shared in (about[int(name[1:])], person[int(name[1:])]) if split else ():
            splits.setdefault(int(shared), set()).add(split or "")
        if split:
            clusters.setdefault(int(about[int(name[1:])]), set()).add(cluster)
    assert all(len(sides) == 1 for sides in splits.values()) and found.numbers.floors_met
    assert found.clusters > 50 and all(len(names) == 1 for names in clusters.values())
