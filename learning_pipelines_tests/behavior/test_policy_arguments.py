"""Arguments that are proposed: copied from where experts took theirs, or left open.

Belongs here: sources, what they may show, scores. Not here: which action is suggested (test_policy.py).
"""

from __future__ import annotations

import pytest

from learning_pipelines.behavior.policy.arguments import Arguments, learn, score, shape
from learning_pipelines.behavior.task import Action, Shown, State


def orders(count: int) -> list[Shown]:
    """An order is looked up by the number that the task names; what is paid back goes to the method that the look-up told."""
    return [
        Shown(
            f"d{at}", f"Please cancel order #W{100 + at}, bought on the 7th.",
            (
                Action("find", {"order": f"#W{100 + at}"}, {"result": {"method": f"card_{at}", "items": [f"i{at}", "x"]}}),
                Action("refund", {"order": f"#W{100 + at}", "to": f"card_{at}", "reason": "returned", "note": f"seen by clerk {at}"}),
            ),
        )
        for at in range(count)
    ]  # fmt: skip


def test_values_are_copied_from_where_experts_took_theirs() -> None:
    learnt = learn(orders(10))
    new = State("Cancel #W999 please", history=(Action("find", {"order": "#W999"}, {"result": {"method": "card_77", "items": ["i", "x"]}}),))
    assert learnt.proposed(State(new.task), "find") == {"order": "#W999"}
    assert learnt.proposed(new, "refund") == {"order": "#W999", "to": "card_77", "reason": "returned"}


def test_what_one_person_wrote_is_never_proposed_or_stored() -> None:
    learnt = learn(orders(10))
    assert "clerk" not in str(learnt.as_json())
    assert "note" not in learnt.proposed(State("Cancel #W999"), "refund")


def test_the_newest_mention_of_a_usual_value_is_taken() -> None:
    shown = [
        Shown(f"d{at}", f"move it to {kind}", (Action("move", {"to": kind}),)) for at, kind in enumerate(["savings", "checking", "savings", "checking"] * 5)
    ]
    learnt = learn(shown)
    assert learnt.proposed(State("not savings any more, Checking."), "move") == {"to": "checking"}


def test_an_argument_whose_value_has_no_source_is_left_open() -> None:
    shown = [Shown(f"d{at}", "write it", (Action("write", {"text": f"words number {at} of nobody else"}),)) for at in range(10)]
    assert learn(shown).proposed(State("write it"), "write") == {}


def test_what_is_rarely_given_is_not_proposed() -> None:
    shown = [Shown(f"d{at}", "pay", (Action("pay", {"cash": True} if at < 4 else {"other": at}),)) for at in range(20)]
    assert "cash" not in learn(shown).proposed(State("pay"), "pay")


def test_arguments_that_are_no_object_are_left_alone() -> None:
    shown = [Shown(f"d{at}", "pay", (Action("pay", ["a", at]),)) for at in range(5)]
    assert learn(shown).of_type == {} and score(learn(shown), shown) is None


def test_they_are_scored_apart_whole_and_one_by_one() -> None:
    scored = score(learn(orders(10)), orders(20)[10:])
    assert scored is not None and (scored.n, scored.exact, scored.keys) == (20, 0.5, 0.8)


def test_stored_arguments_are_the_same_again() -> None:
    learnt = learn(orders(10))
    assert Arguments.from_json(learnt.as_json()) == learnt


@pytest.mark.parametrize(
    ("text", "built"), [("#W1234567", "#A9"), ("mia_li_3668", "a_a_9"), ("UM3OG5", "X6"), ("a.b@c.de", "a.a@a.a"), ("2024-05-20", "9-9-9"), ("hello", "")]
)
def test_a_shape_says_how_a_value_is_built(text: str, built: str) -> None:
    assert shape(text) == built
