"""The state that somebody asks about, out of a query string: task, what was given, what was done so far.

Belongs here: reading and checking parameters, each refusal naming its own. Not here: the route (behavior.py), what a state is (behavior/task.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
from pydantic import TypeAdapter, ValidationError

from learning_pipelines.api.problems import Problem, without_nul
from learning_pipelines.behavior.demonstrations import as_text
from learning_pipelines.behavior.task import END, Action, State
from learning_pipelines.feedback.kinds import NESTED_TOO_DEEPLY
from learning_pipelines.feedback.kinds import Action as CapturedAction

MOST_STEPS, DEEPEST = 1_000, 250
_STEPS: TypeAdapter[list[CapturedAction]] = TypeAdapter(list[CapturedAction])


def read_state(task: str, task_type: str, given: str | None, history: str | None, actions: Sequence[str]) -> State:
    """`given`: text, or JSON of an object or array (compared in one form, however it is spelled). `history`: JSON as a demonstration's actions are
    captured; `actions`: their types alone. Raises Problem 422 naming the parameter."""
    for name, value in (("task", task), ("task_type", task_type), ("state", given), ("history", history), *(("action", one) for one in actions)):
        without_nul(**{name: value})
    if not task.strip():
        raise Problem(422, "The task says nothing: name what the agent is to do, in words.", field="task")
    if history is not None and actions:
        raise Problem(422, "Say what was done so far by history or by action, not by both.", field="action")
    steps = _steps(history) if history is not None else [_action(kind, None, None, "action") for kind in actions]
    return State(task.strip(), task_type.strip(), _given(given), tuple(steps))


def _given(text: str | None) -> str:
    """Whatever opens like an object has to be one: half a document would be taken for words."""
    opens = (text or "").lstrip()[:1]
    if text is None or opens not in ("{", "["):
        return text or ""
    try:
        return as_text(_shallow(orjson.loads(text), "state"))
    except orjson.JSONDecodeError as error:
        if opens == "[":
            return text  # words may begin with a bracket
        raise Problem(422, f"It begins like a JSON object and is none: {error.msg} (column {error.colno}).", field="state") from None


def _steps(text: str) -> list[Action]:
    try:
        found = _shallow(orjson.loads(text), "history")
    except orjson.JSONDecodeError as error:
        raise Problem(422, f"It is not JSON: {error.msg} (column {error.colno}).", field="history") from None
    if not isinstance(found, list):
        raise Problem(422, 'It is no JSON array of actions, such as [{"type": "look_up", "arguments": {"id": 7}}].', field="history")
    if len(found) > MOST_STEPS:
        raise Problem(422, f"It has {len(found)} actions, {MOST_STEPS} are the most.", field="history")
    try:
        steps = _STEPS.validate_python(found)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise Problem(422, f"Action {where}: {str(first['msg']).removeprefix('Input ')}.", field="history") from None
    return [_action(step.type, step.arguments, step.context, "history") for step in steps]


def _action(kind: str, arguments: Any, context: Any, field: str) -> Action:
    kind = kind.strip()
    if not 0 < len(kind) <= 255:
        raise Problem(422, "The type of an action has 1 to 255 characters.", field=field)
    if kind == END:
        raise Problem(422, f"After {END} nothing is left to do.", field=field)
    return Action(kind, arguments, context)


def _shallow(value: Any, field: str) -> Any:
    """Whatever is asked about has been captured, or could be: no deeper than capture takes, and without NUL. Without recursion."""
    level, depth = [value], 0
    while level:
        if any(isinstance(one, str) and "\x00" in one for one in level):
            raise Problem(422, "It contains a NUL character, which no text has.", field=field)
        if depth > DEEPEST:
            raise Problem(422, f"It {NESTED_TOO_DEEPLY}.", field=field)
        level = [child for one in level if isinstance(one, dict | list) for child in ((*one, *one.values()) if isinstance(one, dict) else one)]
        depth += 1
    return value
