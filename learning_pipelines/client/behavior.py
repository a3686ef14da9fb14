"""What an agent would best do next, as the service suggests it, and how what it did so far travels there.

Belongs here: the values, cutting a history to what an address holds. Not here: HTTP (transport.py), which policy serves (the service's).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
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
    return {**found, "history": _fitting([_step(one) for one in history], room)}


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


def _fitting(steps: list[dict[str, Any]], room: int) -> str:
    """The history in at most `room` characters of an address. First long texts are cut, then what was said in the oldest steps is left out, in as few as
    suffices, then the oldest steps themselves, a tenth at a time; where nothing fits, there is no history."""
    whole = to_json(steps)
    if _length(whole) <= room:
        return whole
    steps = [{name: _shortened(value) for name, value in one.items()} for one in steps]
    bare = [{"type": one["type"]} for one in steps]

    def without(count: int) -> str:
        return to_json(bare[:count] + steps[count:])

    # The more steps say only their type, the shorter it is: bisected, or five thousand steps would be written five thousand times.
    count = bisect_left(range(len(steps) + 1), True, key=lambda tried: _length(without(tried)) <= room)
    if count <= len(steps):
        return without(count)
    while bare and _length(to_json(bare)) > room:
        bare = bare[max(1, len(bare) // 10) :]
    return to_json(bare)


def _length(text: str) -> int:
    return len(quote(text, safe=""))


def _shortened(value: Any) -> Any:
    text = value if isinstance(value, str) else to_json(value)
    return value if len(text) <= _LONG else _cut(text, _LONG)


def _cut(text: str, room: int) -> str:
    """Of a long text the beginning and, twice as much, the end: what was said last."""
    return text if len(text) <= room else f"{text[: room // 3]} … {text[-2 * room // 3 :]}"
