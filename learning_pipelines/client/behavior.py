"""What an agent would best do next, as the service suggests it, and how what it did so far travels there.

Belongs here: the values, cutting a history to what an address holds. Not here: HTTP (transport.py), which policy serves (the service's).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from learning_pipelines.client.errors import InvalidRecord
from learning_pipelines.client.experiments import Part, part_of
from learning_pipelines.client.records import to_json

Step = str | Mapping[str, Any]
"""The type of an action, or {"type": …, "arguments": …, "context": what came of it}."""
END = "<end>"
_ADDRESS = 6000  # servers and proxies allow a few kilobytes
_LONG = 400


@dataclass(frozen=True)
class Suggestion:
    """`type` END: nothing is left to do. `demonstrations`: ids of those that did this in the most similar situations."""

    type: str
    confidence: float
    arguments: Mapping[str, Any] = field(default_factory=dict)
    demonstrations: tuple[str, ...] = ()


@dataclass(frozen=True)
class NextAction:
    """Likeliest first; false without any. `reason`: why there is none. `policy`: number of the version that answered, 0: none serves or none was reached.
    `part`: the experiment that the unit takes part in."""

    agent: str
    suggestions: tuple[Suggestion, ...] = ()
    abstained: bool = False
    reason: str | None = None
    policy: int = 0
    part: Part | None = None

    def __bool__(self) -> bool:
        return bool(self.suggestions)

    @property
    def type(self) -> str | None:
        """The likeliest next action."""
        return self.suggestions[0].type if self.suggestions else None


def parameters(task: str, task_type: str | None, state: Any, history: Sequence[Step], k: int, unit: str | None = None) -> dict[str, str]:
    """The query string. Too long for an address, a state is cut, and of a history the newest steps keep what was said in them, longest."""
    given = state if isinstance(state, str) or state is None else to_json(state)
    more = {"unit": unit, "task_type": task_type, "state": _cut(given, 2000) if given else None}
    found = {"task": task[:2000], "k": str(k), **{name: value for name, value in more.items() if value}}
    room = _ADDRESS - sum(len(quote(value, safe="")) for value in found.values())
    return {**found, "history": next(text for text in _shorter([_step(one) for one in history]) if len(quote(text, safe="")) <= room or text == "[]")}


def read(agent: str, data: Mapping[str, Any], unit: str | None = None) -> NextAction | None:
    """The service's answer; None if it is none."""
    try:
        suggestions = tuple(
            Suggestion(str(one["type"]), float(one["confidence"]), dict(one["arguments"]), tuple(map(str, one["evidence"]["demonstrations"])))
            for one in data["suggestions"]
        )
        return NextAction(agent, suggestions, bool(data["abstained"]), data["reason"] or data.get("hint"), int(data["policy"]), part_of(dict(data), unit))
    except (KeyError, TypeError, ValueError):
        return None


def _step(one: Step) -> dict[str, Any]:
    step = {"type": one} if isinstance(one, str) else {name: one[name] for name in ("type", "arguments", "context") if one.get(name) is not None}
    if not step.get("type"):
        raise InvalidRecord(f"A step of the history has no type: {sorted(step)}.")
    return step


def _shorter(steps: list[dict[str, Any]]) -> Iterator[str]:
    """The history, then with ever less of it: long texts cut, what was said in the oldest steps left out, the oldest steps left out."""
    yield to_json(steps)
    steps = [{name: _shortened(value) for name, value in one.items()} for one in steps]
    yield to_json(steps)
    for place, one in enumerate(steps):
        steps[place] = {"type": one["type"]}
        yield to_json(steps)
    while steps:
        steps = steps[max(1, len(steps) // 10) :]
        yield to_json(steps)


def _shortened(value: Any) -> Any:
    text = value if isinstance(value, str) else to_json(value)
    return value if len(text) <= _LONG else _cut(text, _LONG)


def _cut(text: str, room: int) -> str:
    """Of a long text the beginning and, twice as much, the end: what was said last."""
    return text if len(text) <= room else f"{text[: room // 3]} … {text[-2 * room // 3 :]}"
