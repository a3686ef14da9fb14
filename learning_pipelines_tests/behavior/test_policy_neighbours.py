"""The nearest demonstrated steps, worked out by hand: how alike two situations are, the index, the vote.

Belongs here: behavior/policy/neighbours.py by value. Not here: exhaustive searches over many steps (test_policy_components.py).
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from learning_pipelines.behavior.policy import neighbours
from learning_pipelines.behavior.policy.neighbours import PRIOR, Near, Neighbours, Weights, _once, _within, agreement, indexed, main_directions
from learning_pipelines.behavior.policy.situations import Batch, Situation
from learning_pipelines.behavior.policy.vocabulary import Vocabulary
from learning_pipelines.behavior.task import END

VOCABULARY = Vocabulary(("x", "y", END), ("",))


def situation(*recent: str, task: str = "a", last: str = "") -> Situation:
    return Situation("", recent, {}, len(recent), task, last)


def batch(*rows: Situation) -> Batch:
    """Two tasks at right angles, last steps along a third direction."""
    task = {"a": [1.0, 0.0, 0.0], "b": [0.0, 1.0, 0.0]}
    return Batch(
        list(rows), np.array([task[row.task_text] for row in rows], dtype=np.float32),
        np.array([[0.0, 0.0, float(bool(row.last_text))] for row in rows], dtype=np.float32),
    )  # fmt: skip


KNOWN = batch(situation("x", last="did x"), situation(), situation("x", task="b", last="did x"), situation("y", "x", task="b"), situation(task="b"))
LABELS = np.array([1, 0, 2, 0, 0])


WEIGHTS = Weights(1.0, 0.5, 0.4, 0.2)


def index() -> Neighbours:
    return Neighbours(VOCABULARY, indexed(VOCABULARY, KNOWN, LABELS, np.array([0, 0, 1, 2, 1])), WEIGHTS)


def test_last_types_agree_from_the_newest_until_one_does_not() -> None:
    known = np.array([[1, 2, 3, 4], [1, 2, 0, 4], [0, 2, 3, 4], [1, 0, 3, 0], [1, 2, 3, 0], [2, 1, 4, 3]], dtype=np.int16)
    made = agreement(known, np.array([1, 2, 3, 4], dtype=np.int16))
    assert made.dtype == np.float32 and made.tolist() == [4, 2, 0, 1, 3, 0]


def test_an_index_holds_each_text_once_in_the_order_of_last_types() -> None:
    made = index().steps
    assert made.recent.tolist() == [[0, 3, -1, -1], [0, 3, -1, -1], [0, 1, 3, -1], [3, -1, -1, -1], [3, -1, -1, -1]]
    assert (made.labels.tolist(), made.owner.tolist()) == ([1, 2, 0, 0, 0], [0, 1, 2, 0, 1])
    assert (made.task.tolist(), made.last.tolist()) == ([0, 1, 1, 0, 1], [0, 0, 1, 2, 2])
    assert (made.tasks.tolist(), made.lasts.tolist()) == ([[1, 0, 0], [0, 1, 0]], [[0, 0, 1], [0, 0, 0], [0, 0, 0]])
    assert made.projection.tolist() == np.eye(3).tolist()
    kinds = (made.projection, made.tasks, made.lasts, made.task, made.last, made.recent, made.labels, made.owner)
    assert [one.dtype for one in kinds] == [np.float32, np.float16, np.float16, np.int32, np.int32, np.int16, np.int16, np.int32]


def test_steps_of_one_last_type_keep_their_order() -> None:
    many = batch(*[situation("x" if at % 2 else "y", last=str(at)) for at in range(60)])
    made = indexed(VOCABULARY, many, np.arange(60) % 3, np.arange(60))
    assert made.owner.tolist() == [*range(1, 60, 2), *range(0, 60, 2)]


def test_the_same_words_after_another_type_are_another_text() -> None:
    made = indexed(
        VOCABULARY, batch(situation("x", last="ok"), situation("y", last="ok"), situation("y", "x", last="ok")), np.zeros(3, dtype=np.int64), np.arange(3)
    )
    assert made.last.tolist() == [0, 0, 1]


def test_similarity_is_of_tasks_of_last_steps_and_of_last_types() -> None:
    """After a type with few steps all are compared. Agreement is counted in fourths of its weight; of equals the first comes first."""
    (near,) = index().nearest(batch(situation("x", last="did x")))
    assert near.places.tolist() == [0, 3, 1, 2, 4]
    assert near.similarity == pytest.approx([1 + 0.5 + 0.4, 1, 0.5 + 0.4, 0.1, 0], abs=1e-6)
    assert near.similarity.dtype == np.float64 and near.votes == pytest.approx(np.exp(np.array([0, -0.9, -1, -1.8, -1.9]) / 0.2), rel=1e-5)
    (unknown,) = index().nearest(batch(situation("new", task="b")))
    assert unknown.places.tolist() == [1, 2, 4, 0, 3] and unknown.similarity == pytest.approx([1, 1, 1, 0, 0], abs=1e-6)


def test_only_steps_that_are_allowed_are_found() -> None:
    (near,) = index().nearest(batch(situation("x", last="did x")), [np.array([False, True, True, False, True])])
    assert near.places.tolist() == [1, 2, 4] and near.votes[0] == 1.0
    (none,) = index().nearest(batch(situation("x")), [np.zeros(5, dtype=np.bool_)])
    assert len(none.places) == len(none.votes) == len(none.similarity) == 0
    part = slice(1, 4)
    assert _within(part, None).tolist() == [True] * 3 and _within(part, np.array([True, False, True, False, True])).tolist() == [False, True, False]


@pytest.mark.parametrize(("alike", "allowed"), [(32, 32), (33, 33), (31, 31), (40, 32), (40, 31)])
def test_where_enough_steps_follow_the_same_type_only_those_are_compared(alike: int, allowed: int) -> None:
    """Those after x are all of task b and those after the start of task a, as what is asked: from 32 after x on they are the only ones."""
    rows = [*[situation("x", task="b", last=str(at)) for at in range(alike)], *[situation() for _ in range(3)]]
    made = Neighbours(VOCABULARY, indexed(VOCABULARY, batch(*rows), np.zeros(len(rows), dtype=np.int64), np.arange(len(rows))), WEIGHTS)
    may = None if allowed == alike else [(np.arange(len(rows)) < allowed) | (np.arange(len(rows)) >= alike)]
    (near,) = made.nearest(batch(situation("x")), may)
    assert len(near.places) == 32 and bool((near.places >= alike).any()) is (allowed < 32)
    (later,) = made.nearest(batch(situation()))  # three after the start: all are compared, and those of the task are the nearest
    assert later.places[:3].tolist() == [alike, alike + 1, alike + 2] and len(later.places) == 32


def test_places_count_from_the_first_of_all_steps() -> None:
    rows = [*[situation("x", last=str(at)) for at in range(40)], *[situation("y", task="ab"[at == 7], last=str(at)) for at in range(40)]]
    made = Neighbours(VOCABULARY, indexed(VOCABULARY, batch(*rows), np.zeros(80, dtype=np.int64), np.arange(80)), WEIGHTS)
    (near,) = made.nearest(batch(situation("y", task="b")))
    assert near.places[0] == 47 and near.places.min() >= 40 and len(near.places) == 32


def test_votes_fall_by_width_and_overall_shares_count_for_a_part_of_one() -> None:
    made = index()
    near = Near(np.array([0, 3, 1]), np.array([2.0, 1.9, 1.5]), np.array([1.0, 0.5, 0.25]))
    shares = np.array([3, 1, 1]) / 5
    expected = (np.array([0.5, 1.0, 0.25]) + PRIOR * shares) / (1.75 + PRIOR)
    assert made.shares(near) == pytest.approx(expected)
    nobody = Near(near.places[:0], near.similarity[:0], near.votes[:0])
    assert made.shares(nobody) == pytest.approx(shares)
    assert made.said([near, nobody]) == pytest.approx(np.stack([expected, shares])) and made.said([]).shape == (0, 3)
    voting = made.voting(near)
    assert voting.votes == pytest.approx([1.0, math.exp(-0.5), math.exp(-2.5)]) and voting.places is near.places
    asked = batch(situation("x", last="did x"), situation())
    assert made.of(asked) == pytest.approx(np.stack([made.shares(one) for one in made.nearest(asked)]))


def test_a_type_that_never_followed_has_a_share_of_nothing() -> None:
    made = Neighbours(VOCABULARY, indexed(VOCABULARY, batch(situation(), situation("x")), np.array([0, 0]), np.arange(2)), neighbours.GRID[0])
    assert made.of(batch(situation())).tolist() == [[1.0, 0.0, 0.0]]


def test_many_numbers_are_reduced_to_the_directions_in_which_the_texts_are_longest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "REDUCED", 2)
    vectors = np.array([[0, 3, 0, 0], [0, -3, 0.5, 0], [-1, 0, 0, 0.1], [0, 0, 0, 0.1]], dtype=np.float32)
    made = main_directions(vectors)
    _, directions = np.linalg.eigh(vectors.T.astype(np.float64) @ vectors)
    assert made.shape == (4, 2) and made.dtype == np.float32
    for place, found in enumerate(made.T):
        wanted = directions[:, 3 - place]
        assert found == pytest.approx(wanted * np.sign(wanted[np.abs(wanted).argmax()]), abs=1e-6)
        assert found[np.abs(found).argmax()] > 0  # whatever sign the solver gave it
    assert main_directions(np.eye(2, dtype=np.float32)).tolist() == np.eye(2).tolist() == main_directions(2 * np.eye(2, dtype=np.float32)[::-1]).tolist()
    turned = main_directions(np.array([[1, -2, 0], [1, -2, 0], [0, 0, 1]], dtype=np.float32))
    assert turned == pytest.approx(np.array([[-1, 0], [2, 0], [0, math.sqrt(5)]]) / math.sqrt(5), abs=1e-6)


def test_each_text_has_the_vector_of_where_it_stands_first() -> None:
    vectors, numbers = _once(["b", "a", "b", "c", "a"], np.arange(5, dtype=np.float32)[:, None])
    assert vectors.ravel().tolist() == [0, 1, 3] and numbers.tolist() == [0, 1, 0, 2, 1] and numbers.dtype == np.int32
