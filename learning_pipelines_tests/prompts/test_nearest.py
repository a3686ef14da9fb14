"""Nearest examples in memory.

Belongs here: order, leaving out, what is encoded. Not here: the stored lookup.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from learning_pipelines.encoder import BATCH_TEXTS, Vectors
from learning_pipelines.encoder_protocol import inner_products
from learning_pipelines.errors import BadInput
from learning_pipelines.prompts.nearest import nearest_in, nearest_of
from learning_pipelines.prompts.task import Item
from learning_pipelines_tests.prompts.worlds import bag

ITEMS = (Item("a", "return money", "refund"), Item("b", "money", "refund"), Item("c", "pin card", "card"))
ELSEWHERE = "money order"


class Remembering:
    """An Encoder that remembers what it was asked, call by call."""

    name, dimensions = "bag", 27

    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    def encode(self, texts: Sequence[str], *, batch_size: int = BATCH_TEXTS) -> Vectors:
        self.asked.append(list(texts))
        return bag(texts)


def test_the_nearest_come_first_as_they_were_approved() -> None:
    found = nearest_of(ITEMS, Remembering())("money", 2)
    assert [(one.input, one.output, one.example_id) for one in found] == [("money", "refund", "b"), ("return money", "refund", "a")]


def test_an_item_does_not_find_itself_where_it_is_left_out() -> None:
    nearest = nearest_of(ITEMS, Remembering())
    assert all(one.example_id != item.id for item in ITEMS for one in nearest(item.input, 3, frozenset([item.id])))


def test_no_more_than_there_are_and_none_for_nothing() -> None:
    nearest = nearest_of(ITEMS, Remembering())
    assert len(nearest("pin", 10)) == 3 and nearest("pin", 0) == [] and nearest_of((), Remembering())("pin", 3) == []


def test_everything_known_in_advance_is_encoded_in_one_call() -> None:
    encoder = Remembering()
    nearest = nearest_of(ITEMS, encoder, also=[Item("v", ELSEWHERE, "refund")])
    for text in ("money", "pin card", ELSEWHERE):
        nearest(text, 1)
    assert len(encoder.asked) == 1
    nearest("quite new", 1)
    assert encoder.asked[1:] == [["quite new"]]


@pytest.mark.parametrize("stored", [np.float32, np.float16])
@pytest.mark.parametrize("count", [0, 1, 1_041, 1_042, 3_000])
def test_rows_are_multiplied_in_portions_that_wake_no_threads(count: int, stored: type) -> None:
    made = np.random.default_rng(count)
    rows, vector = made.normal(size=(count, 384)).astype(stored), made.normal(size=384).astype(np.float32)
    found = inner_products(rows, vector)
    assert (found.dtype, found.shape) == (np.float32, (count,))
    np.testing.assert_allclose(found, (rows.astype(np.float64) * vector).sum(axis=1), atol=1e-3)


def test_rows_that_do_not_match_are_refused() -> None:
    with pytest.raises(BadInput, match="3 examples came with 2 vectors"):
        nearest_in(ITEMS, np.zeros((2, 27), dtype=np.float32), bag)
