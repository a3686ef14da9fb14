"""Contradictions between demonstrations are found and counted, and nothing is dropped for them.

Belongs here: findings over values. Not here: what counts (test_demonstrations.py).
"""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid5

from learning_pipelines.behavior.contradictions import Contradiction, contradictions, seen_once, summary
from learning_pipelines.behavior.task import Action, Shown

NAMESPACE = UUID(int=7)


def shown(name: str, *types: str, task: str = "Close the month", expert: str | None = None, **more: Any) -> Shown:
    return Shown(name, task, tuple(Action(kind) for kind in types), expert=None if expert is None else uuid5(NAMESPACE, expert), **more)


def test_experts_who_go_on_differently_contradict_each_other_where_they_part() -> None:
    (found,) = contradictions([shown("b", "open", "check", "file", expert="eve"), shown("a", "open", "check", "mail", expert="bob")])
    assert found == Contradiction("Close the month", ("open", "check"), {"file": ("b",), "mail": ("a",)}, True)


def test_ending_where_others_go_on_is_a_contradiction() -> None:
    (found,) = contradictions([shown("a", "open"), shown("b", "open", "file")])
    assert found.sides == {"<end>": ("a",), "file": ("b",)}


def test_the_same_way_is_none_and_another_task_input_or_history_is_none() -> None:
    assert contradictions([shown("a", "open"), shown("b", "open")]) == []
    assert contradictions([shown("a", "open"), shown("b", "file", task="Open the month")]) == []
    assert contradictions([shown("a", "open", given="March"), shown("b", "file", given="April")]) == []
    several = contradictions([shown("a", "open", "file"), shown("b", "look", "mail")])
    assert [one.history for one in several] == [()]  # once they parted, their histories differ


def test_case_and_spacing_make_no_other_task() -> None:
    assert len(contradictions([shown("a", "open", task="Close  the MONTH"), shown("b", "file", task="close the month ")])) == 1


def test_a_failure_contradicts_nobody() -> None:
    assert contradictions([shown("a", "open"), shown("b", "guess", outcome="failure")]) == []


def test_each_place_where_they_part_is_one_contradiction() -> None:
    members = [
        shown("a", "open", "file"),
        shown("b", "open", "mail"),
        shown("c", "look", "file"),
        shown("d", "look", "call"),
        shown("e", "look", "call", "file"),
    ]
    assert [(one.history, one.demonstrations) for one in contradictions(members)] == [
        ((), {"a", "b", "c", "d", "e"}), (("open",), {"a", "b"}), (("look",), {"c", "d", "e"}), (("look", "call"), {"d", "e"}),
    ]  # fmt: skip


def test_one_expert_who_contradicts_themself_is_told_apart() -> None:
    both = [contradictions([shown("a", "open", expert="eve"), shown("b", "file", expert=other)]) for other in ("eve", "bob", None)]
    assert [found[0].between_experts for found in both] == [False, True, False]


def test_many_demonstrations_of_one_task_cost_what_reading_them_costs() -> None:
    way = [f"step{n}" for n in range(99)]
    members = [shown(f"d{n:04}", *way, "even" if n % 2 else "odd") for n in range(1000)]  # 100,000 steps; compared in pairs: 50 million
    (found,) = contradictions(members)
    assert (len(found.history), [len(side) for side in found.sides.values()]) == (99, [500, 500])


def test_types_that_one_demonstration_alone_uses_are_named() -> None:
    assert seen_once([shown("a", "open", "opne", "opne"), shown("b", "open", "file"), shown("c", "file")]) == ("opne",)


def test_metadata_counts_and_names_ids_but_holds_no_text() -> None:
    found = summary([shown("a", "open", expert="eve", split="train", approved=True), shown("b", "file", expert="bob"), shown("c", "guess", outcome="failure")])
    assert found == {
        "demonstrations": 3, "steps": 6, "successes": 2, "failures": 1, "approved": 1, "experts": 2, "task_types": 0, "action_types": 3,
        "action_types_seen_once": 3, "train": 1, "validation": 0, "test": 0, "left_out": 2, "contradictions": 1, "contradictions_between_experts": 1,
        "contradictory_demonstrations": 2, "contradictory_ids": ["a", "b"],
    }  # fmt: skip
