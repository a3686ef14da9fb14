"""Where values of arguments come from, worked out by hand: what a state holds to copy from, how often a source was right, usual values.

Belongs here: behavior/policy/arguments.py, part by part. Not here: what is proposed in the end (test_policy_arguments.py).
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from learning_pipelines.behavior.policy import arguments
from learning_pipelines.behavior.policy.arguments import Argument, Arguments, ArgumentScores, Source, View, before, learn, score
from learning_pipelines.behavior.task import Action, Shown, State

USUAL = json.dumps(["checking", "Savings", 7])


def test_what_a_state_holds_are_the_newest_value_of_each_path_and_its_words_newest_first() -> None:
    state = State(
        "Pay: (now)!", given="to MAX.", history=(Action("look", {"id": 1}, {"said": "all right then?", "code": "A1"}), Action("look", {"id": 2}, "ok..")),
    )  # fmt: skip
    view = View.of(state)
    assert dict(view.paths) == {"arguments.id": 2, "context.said": "all right then?", "context.code": "A1", "context": "ok.."}
    assert list(view.words) == ["then", "right", "all", "now", "Pay", "MAX", "to"]  # a single word is no text: it has its path


def test_values_are_looked_for_in_the_last_twenty_steps() -> None:
    history = tuple(Action("look", {f"k{at}": at}) for at in range(21))
    assert set(View.of(State("pay", history=history)).paths) == {f"arguments.k{at}" for at in range(1, 21)}
    shown = Shown("a", "pay", history, task_type="mail", given="ann")
    assert before(shown, 21) == State("pay", "mail", "ann", history[1:]) and before(shown, 3) == State("pay", "mail", "ann", history[:3])


def test_a_source_gives_its_path_its_shape_the_newest_usual_value_or_the_first() -> None:
    view = View({"a": False}, ["SAVINGS", "#A2", "Checking", "#A1", "7"])
    assert view.value("seen", "a") is False and view.value("seen", "b") is None
    assert view.value("shape", "#A9") == "#A2" and view.value("shape", "9-9") is None
    assert view.value("constant", USUAL) == "checking"
    assert view.value("mentioned", USUAL) == "Savings" and View({}, ["7", "checking"]).value("mentioned", USUAL) == 7
    assert View({}, ["other"]).value("mentioned", USUAL) is None and View({}, []).value("mentioned", USUAL) is None
    assert View({}, ["other", "checking"]).value("mentioned", USUAL) == "checking"
    assert View({}, ["checking", "savings", "checking"]).value("mentioned", USUAL) == "checking"
    assert View({}, ["a"]).value("mentioned", json.dumps([1, "a", "A"])) == "a"  # of values that are written alike the more usual one


def test_of_a_list_the_first_element_has_a_place_and_fifty_are_looked_at() -> None:
    found = list(arguments._newer(Action("look", {"ids": [{"a": 1}, {"a": 2}, [3]]}, ["x", "y", None, object()])))
    assert found == [("arguments.ids.0.a", 1), ("arguments.ids.….a", 2), ("arguments.ids.….0", 3), ("context.0", "x"), ("context.…", "y")]
    assert [value for _, value in arguments._leaves(list(range(60)), "p")] == list(range(50))
    assert [value for _, value in arguments._leaves((1, 2), "p")] == [1, 2]


def test_what_lies_deeper_than_twenty_is_not_looked_at() -> None:
    def within(depth: int, wrap: Any) -> Any:
        made: Any = 1
        for _ in range(depth):
            made = wrap(made)
        return made

    for wrap in (lambda made: [made], lambda made: {"n": made}):
        assert len(list(arguments._leaves(within(20, wrap), "p"))) == 1 and not list(arguments._leaves(within(21, wrap), "p"))


def test_of_one_step_four_hundred_values_are_looked_at() -> None:
    found = list(arguments._newer(Action("look", {f"k{at}": at for at in range(399)}, {"a": 1, "b": 2})))
    assert len(found) == 400 and found[-1] == ("context.a", 1)


@pytest.mark.parametrize(
    ("times", "right", "count", "worth"),
    [(3, 3, 9, True), (2, 2, 9, False), (2, 2, 2, True), (1, 1, 2, False), (4, 2, 9, True), (5, 2, 9, False), (9, 9, 3, True), (3, 0, 3, False)],
)
def test_a_source_is_worth_asking_that_was_right_half_the_time_and_thrice(times: int, right: int, count: int, worth: bool) -> None:
    one = ("seen", "p")
    expected = (Source("seen", "p", right / times),) if worth else ()
    assert arguments._sources(Counter({one: times}), Counter({one: right}), count) == expected


def test_the_surest_source_comes_first_and_five_are_kept() -> None:
    """Sure: (right + 1) / (times + 2). Of equals a path goes before a shape, then what is mentioned, then what is usual, then by name."""
    times: Any = {("seen", "b"): 4, ("seen", "a"): 40, ("shape", "a9"): 4, ("constant", "[1]"): 4, ("mentioned", "[1]"): 4, ("seen", "aa"): 4, ("seen", "z"): 3}
    right: Any = dict(times) | {("seen", "a"): 36}
    made = arguments._sources(Counter(times), Counter(right), 40)
    assert [(one.kind, one.what) for one in made] == [("seen", "a"), ("seen", "aa"), ("seen", "b"), ("shape", "a9"), ("mentioned", "[1]")]
    fewer = {key: count for key, count in times.items() if key[1] not in ("a", "b")}
    assert [one.kind for one in arguments._sources(Counter(fewer), Counter(fewer), 40)] == ["seen", "shape", "mentioned", "constant", "seen"]
    assert made[0].right == 0.9
    # 9 of 10 are surer than 3 of 3 (10/12 against 4/5), 5 of 5 than 6 of 7 (6/7 against 7/9), and 3 of 3 than 8 of 10.
    for first, other in (((10, 9), (3, 3)), ((5, 5), (7, 6)), ((3, 3), (10, 8))):
        both: Any = {("seen", "z"): first, ("seen", "a"): other}
        asked = arguments._sources(Counter({key: of for key, (of, _) in both.items()}), Counter({key: hit for key, (_, hit) in both.items()}), 10)
        assert [one.what for one in asked] == ["z", "a"]


def test_values_are_usual_that_three_demonstrations_hold_the_most_usual_first() -> None:
    held = {"b": 3, "a": 3, "c": 4, "rare": 2, "x": 0}
    shown = [
        Shown(f"{value}{at}", "pay", (Action("pay", {"to": value, "more": [1]}), Action("pay", {"to": value}), Action("see", "no object")))
        for value, count in held.items()
        for at in range(count)
    ]
    assert arguments._usual(shown) == {("pay", "to"): ["c", "a", "b"]}
    many = [Shown(f"{value}-{at}", "pay", (Action("pay", {"to": value}),)) for value in range(100, 125) for at in range(3)]
    assert arguments._usual(many)[("pay", "to")] == list(range(100, 120))


def test_sources_are_tried_that_gave_the_value_or_gave_another_before(monkeypatch: pytest.MonkeyPatch) -> None:
    view = View({"a": "#A1", "b": "x", "c": "#A1"}, ["#A1", "x"])
    known: Any = Counter({("seen", "b"): 1, ("seen", "gone"): 1})
    usual = json.dumps(["x"])
    seen = [(("seen", "a"), "#A1"), (("seen", "b"), "x"), (("seen", "c"), "#A1")]
    found = [(("constant", usual), "x"), (("mentioned", usual), "x"), *seen, (("shape", "#A9"), "#A1")]
    assert list(arguments._tried(view, "#A1", ["x"], known)) == found
    assert list(arguments._tried(view, ["#A1"], [], known)) == [(("seen", "b"), "x")]
    monkeypatch.setattr(arguments, "SOURCES", 2)  # no more are taken up; those that are known are tried
    assert list(arguments._tried(view, "#A1", [], known)) == [(("seen", "b"), "x")] == list(arguments._tried(view, "x", [], known))
    monkeypatch.setattr(arguments, "SOURCES", 3)
    assert next(arguments._tried(view, "#A1", [], known)) == (("seen", "a"), "#A1")


def test_of_what_experts_did_it_is_kept_how_many_steps_had_an_argument_and_how_often_a_source_was_right() -> None:
    look = [Action("look", {"id": 5}), Action("look", "nothing"), Action("look", {}), Action("look", {"id": 5}), Action("look", {"id": 6})]
    made = learn([Shown("a", "pay", tuple(look))]).of_type
    # Before the second the first says 5, which is right, and before the third it is wrong.
    assert made == {"look": (Argument("id", 3 / 5, ()),)}
    four = learn(
        [Shown(str(at), "pay", (Action("log", {"id": at}), Action("look", {"id": at}), Action("see", {"id": 0 if at > 2 else at}))) for at in range(5)]
    )
    assert four.of_type["look"] == (Argument("id", 1.0, (Source("seen", "arguments.id", 1.0),)),)
    (argument,) = four.of_type["see"]
    assert Source("seen", "arguments.id", 3 / 5) in argument.sources and argument.share == 1.0


def test_arguments_that_half_of_the_steps_had_are_proposed_from_the_first_source_that_gives_a_value() -> None:
    made = Arguments(
        {
            "pay": (
                Argument("to", 0.5, (Source("seen", "arguments.no", 1.0), Source("seen", "arguments.id", 0.9))),
                Argument("rare", 0.4, (Source("constant", "[1]", 1.0),)),
            )
        }
    )
    state = State("pay", history=(Action("look", {"id": 3}),))
    assert made.proposed(state, "pay") == {"to": 3} == made.proposed(View({"arguments.id": 3}, []), "pay")
    assert made.proposed(state, "other") == {} and made.proposed(State("pay"), "pay") == {}


def test_scores_count_whole_steps_and_single_arguments() -> None:
    made = Arguments({"pay": (Argument("to", 1.0, (Source("constant", "[1]", 1.0),)), Argument("is", 1.0, (Source("constant", "[2]", 1.0),)))})
    shown = [Shown("a", "pay", (Action("pay", {"to": 1, "is": 2}), Action("pay", {"to": 1, "is": 3, "by": 4}), Action("pay", {"to": 1}), Action("pay", "no")))]
    found = score(made, shown)
    assert found == ArgumentScores(3, 1 / 3, 4 / 6) and found is not None
    assert found.as_json() == {"n": 3, "exact": 1 / 3, "keys": 4 / 6}


@pytest.mark.parametrize(("text", "built"), [("a_b", "a_a"), ("a@b", "a@a"), ("a-b", ""), ("AB1", "A9"), ("AB12", "X4"), ("1234", "9"), ("ABCD", "")])
def test_a_word_is_built_like_a_value_that_has_a_digit_or_a_sign(text: str, built: str) -> None:
    assert arguments.shape(text) == built
