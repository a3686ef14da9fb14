"""What is encoded of a state, worked out by hand: the task with what was given, the last step, and how a long one is made short.

Belongs here: behavior/policy/situations.py by value. Not here: whether it helps to predict (test_policy.py).
"""

from __future__ import annotations

import numpy as np
import pytest

from learning_pipelines.behavior.policy import situations as of
from learning_pipelines.behavior.policy.situations import Situation, encoded, last_text, situation, situations, task_text
from learning_pipelines.behavior.task import Action, Shown, State
from learning_pipelines_tests.behavior.made import words


def test_the_task_comes_first_and_what_was_given_behind_it() -> None:
    assert task_text("  pay\n it ", "") == "pay it"
    assert task_text("pay it", " to\n me ") == "pay it\nto me"
    long = "a" * 600 + "b" * 600
    assert task_text("x" * 900, long) == "x" * 900 + "\n" + "a" * 33 + " … " + "b" * 67
    assert task_text("x" * 2_000, long) == "x" * 1_000 + "\n" + "a" * 8 + " … " + "b" * 16
    assert situation(State("pay", given="me")).task_text == "pay\nme" == next(situations(Shown("a", "pay", (), given="me")))[0].task_text


def test_a_step_is_its_type_its_arguments_and_what_came_of_it() -> None:
    step = Action("pay", {"to": {"whom": "somebody whom nobody knows"}}, {"said": ["done as it was said, and nothing else"]})
    assert last_text(step) == "pay, arguments: to: whom: somebody whom nobody knows, context: said: done as it was said, and nothing else"
    assert last_text(Action("pay", {}, "")) == last_text(Action("pay", [], None)) == "pay"
    assert last_text(Action("pay", {"": "me"}, 0)) == "pay, arguments: me, context: 0"


def test_parts_share_the_room_and_of_too_many_the_first_and_last_are_kept() -> None:
    assert of._fitted(["a" * 30, "b" * 100 + "c" * 100], 90) == "a" * 30 + ", " + "b" * 20 + " … " + "c" * 40
    assert of._fitted({"name": "a" * 100, "n": 7}, 52) == "name: " + "a" * 14 + " … " + "a" * 28 + ", n: 7"
    long = [letter * 30 for letter in "abcdef"]
    assert of._fitted(long, 120) == ", ".join(f"{letter * 8} … {letter * 16}" for letter in "abdef")
    assert of._fitted(long[:5], 120) == ", ".join(f"{letter * 8} … {letter * 16}" for letter in "abcde")
    assert of._fitted({letter: letter * 30 for letter in "abcdef"}, 96) == ", ".join(f"{letter}: {letter * 8} … {letter * 16}" for letter in "abef")
    assert of._fitted([["abc"]], 1) == "abc"


def test_of_many_parts_that_fit_none_is_dropped() -> None:
    assert last_text(Action("pay", {"a": 1, "b": 2, "c": 3}, "")) == "pay, arguments: a: 1, b: 2, c: 3"
    assert of._fitted(list("abcdef"), 16) == "a, b, c, d, e, f" and of._fitted(list("abcdef"), 15) == "f"


def test_what_lies_deep_is_one_word() -> None:
    deep: object = ["x"]
    for _ in range(19):
        deep = [deep]
    assert of._fitted(deep, 50) == "x" and of._fitted([deep], 50) == "x"
    assert of._fitted([[deep]], 50) == "['x']"
    named: object = {"n": 1}
    for _ in range(20):
        named = {"": named}
    assert of._fitted(named, 50) == "n: 1" and of._fitted({"": named}, 50) == "{'n': 1}"


def test_nobody_gets_more_than_it_wants_and_the_rest_is_shared() -> None:
    assert of._shares([50, 10, 50], 90) == [40, 10, 40]
    assert of._shares([5, 5], 90) == [5, 5] and of._shares([], 9) == []
    assert of._shares([9, 3, 9, 1], 16) == [6, 3, 6, 1]
    assert [of._size(value, 5) for value in ("abc", "abcdefg", 12, [1, 2])] == [3, 5, 2, 5]


def test_of_a_long_text_the_beginning_and_twice_as_much_of_the_end_are_kept() -> None:
    assert of._plain(" a\n b ", 9) == "a b" and of._plain("123456789", 9) == "123456789"
    assert of._plain("1234567890", 9) == "123 … 567890"
    assert of._plain("a" * 4_000, 5_000) == "a" * 4_000
    assert of._plain("a" * 2_000 + "b" * 2_000, 5_000) == "a" * 2_000 + "b" * 2_000
    assert of._plain("a" * 2_000 + "b" + "c" * 2_000, 5_000) == "a" * 2_000 + " " + "c" * 2_000
    assert of._plain("a" * 1_999 + "xyz" * 900 + "c" * 2_000, 5_000) == "a" * 1_999 + "x " + "c" * 2_000


def test_each_text_has_its_vector_and_an_empty_one_has_none() -> None:
    rows = [Situation("", (), {}, 0, "pay it", ""), Situation("", ("x",), {"x": 1}, 1, "see it", "pay it"), Situation("", (), {}, 0, " ", "see it")]
    made = encoded(rows, words())
    pay, see = words().encode(["pay it", "see it"])
    nothing = np.zeros(64)
    assert len(made) == 3 and made.rows == rows
    assert made.task == pytest.approx(np.stack([pay, see, nothing])) and made.last == pytest.approx(np.stack([nothing, pay, see]))
    assert made.take([2, 0]).rows == [rows[2], rows[0]] and made.take([1]).last == pytest.approx(pay[None, :])
    assert encoded(rows[2:] * 0, words()).task.shape == (0, 64)
