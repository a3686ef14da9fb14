"""A state out of a query string: what is read, in which form, and which parameter a refusal names.

Belongs here: api/behavior_query.py. Not here: the route (test_next_action.py).
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from learning_pipelines.api.behavior_query import read_state
from learning_pipelines.api.problems import Problem
from learning_pipelines.behavior.task import Action, State


def read(task: str = "refund order 7", task_type: str = "", given: str | None = None, history: str | None = None, actions: Any = ()) -> State:
    return read_state(task, task_type, given, history, actions)


def test_a_history_is_read_as_it_is_captured_and_by_its_types_alone() -> None:
    steps = [{"type": " look_up ", "arguments": {"id": 7}, "context": "found", "more": 1}, {"type": "ask"}]
    assert read(history=json.dumps(steps)).history == (Action("look_up", {"id": 7}, "found"), Action("ask"))
    assert read(actions=["look_up", "ask"]).history == (Action("look_up"), Action("ask"))
    assert read(history="[]").history == read().history == ()


@pytest.mark.parametrize(
    ("given", "read_as"),
    [
        (None, ""), ("", ""), ("order 7, paid", "order 7, paid"), ('{"b": 1,\n "a": "é"}', '{"a":"é","b":1}'), ("[2, 1]", "[2,1]"), ("7", "7"),
        ('{"a": "\\\\u0000"}', '{"a":"\\\\u0000"}'), ("[urgent] call back", "[urgent] call back"), ('"quoted"', '"quoted"'),
    ],
)  # fmt: skip
def test_what_was_given_is_text_or_json_in_the_form_that_demonstrations_have(given: str | None, read_as: str) -> None:
    assert read(given=given).given == read_as


@pytest.mark.parametrize(
    ("more", "field", "said"),
    [
        ({"task": " \n"}, "task", "says nothing"), ({"task": "a\x00"}, "task", "NUL"), ({"task_type": "\x00"}, "task_type", "NUL"),
        ({"given": "\x00"}, "state", "NUL"), ({"given": '{"a": '}, "state", "begins like a JSON object"), ({"history": "look_up"}, "history", "not JSON"),
        ({"history": '{"type": "a"}'}, "history", "no JSON array"), ({"history": "null"}, "history", "no JSON array"),
        ({"history": '["look_up"]'}, "history", "Action 0"), ({"history": '[{"type": "a"}, {"kind": "b"}]'}, "history", "Action 1.type"),
        ({"history": '[{"type": 7}]'}, "history", "Action 0.type"), ({"history": '[{"type": " "}]'}, "history", "Action 0.type"),
        ({"history": '[{"type": "' + "a" * 256 + '"}]'}, "history", "Action 0.type"), ({"history": '[{"type": "<end>"}]'}, "history", "0.type.*reserved"),
        ({"history": '[{"type": "a", "context": "\\u0000"}]'}, "history", "NUL"), ({"history": json.dumps([{"type": "a"}] * 1001)}, "history", "1001"),
        ({"history": '[{"type": "a", "context": ' + "[" * 260 + "]" * 260 + "}]"}, "history", "nested deeper"),
        ({"history": '[{"type": "a", "arguments": {"\\u0000": 1}}]'}, "history", "NUL"), ({"given": '["\\u0000"]'}, "state", "NUL"),
        ({"given": "[" * 260 + "]" * 260}, "state", "nested deeper"), ({"actions": [""]}, "action", "1 to 255"), ({"actions": ["a\x00"]}, "action", "NUL"),
        ({"history": "[]", "actions": ["a"]}, "action", "not by both"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_names_its_parameter(more: dict[str, Any], field: str, said: str) -> None:
    with pytest.raises(Problem, match=said) as refused:
        read(**more)
    assert (refused.value.status, refused.value.field) == (422, field)
