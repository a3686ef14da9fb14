"""When one way is taken and not the other: what can be seen in a state, in words that a person would use.

Belongs here: the conditions that a state fulfils, and how they are said. Not here: choosing among them (branching.py).

A condition looks at what has been done and said before the step that it decides about, never at the step itself.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from learning_pipelines.behavior.patterns.transitions import START
from learning_pipelines.behavior.task import Action, Shown, State
from learning_pipelines.retrieval.stopwords import STOPWORDS as BY_LANGUAGE

What = Literal["before", "done", "not done", "times", "given", "value", "task says", "was told"]
WHATS: tuple[What, ...] = ("done", "not done", "before", "times", "given", "value", "task says", "was told")
"""In the order in which they are preferred where two say the same: the simpler ones first."""
TIMES = (2, 3, 5)
MOST_CHARS = 2_000
LONGEST_VALUE = 40
NAMEABLE_FROM = 3
"""In so many approved demonstrations a word or value must be, to be shown to others."""
STOPWORDS = frozenset[str]().union(*BY_LANGUAGE.values())
_WORD = re.compile(r"[^\W\d_]{3,24}")


@dataclass(frozen=True, slots=True, order=True)
class Condition:
    """`what` is looked at and the `name` that it must have: a type, a number of times, an argument's key, key=value, a word."""

    what: What
    name: str

    def holds(self, state: State) -> bool:
        history, name = state.history, self.name
        match self.what:
            case "before":
                return _before(history) == name
            case "done":
                return any(action.type == name for action in history[:-1])
            case "not done":
                return all(action.type != name for action in history)
            case "times":
                return _times(history) >= int(name)
            case "given":
                return bool(history) and name in _arguments(history[-1])
            case "value":
                return bool(history) and name in _values(history[-1])
            case "task says":
                return _mentions(f"{state.task} {state.given}", name)
            case "was told":
                return bool(history) and _mentions(said(history[-1]), name)

    def in_words(self) -> str:
        match self.what:
            case "before":
                return "it is the first action" if self.name == START else f"`{self.name}` came right before"
            case "done":
                return f"`{self.name}` was done before"
            case "not done":
                return f"`{self.name}` has not been done yet"
            case "times":
                return f"it has been done {self.name} times or more"
            case "given":
                return f"it was given `{self.name}`"
            case "value":
                key, _, value = self.name.partition("=")
                return f"its `{key}` was “{value}”"
            case "task says":
                return f"the task mentions “{self.name}”"
            case "was told":
                return f"what came back mentions “{self.name}”"

    def as_json(self) -> list[str]:
        return [self.what, self.name]


def words(text: str) -> frozenset[str]:
    """The words of a text that mean something, without case; of its first 2,000 characters."""
    return frozenset(word for word in _WORD.findall(text[:MOST_CHARS].casefold()) if word not in STOPWORDS)


def _mentions(text: str, word: str) -> bool:
    """Whether it is among the text's words; most texts do not even hold its letters, which is quickly seen."""
    return word in text[:MOST_CHARS].casefold() and word in words(text)


def said(action: Action) -> str:
    """What an action's context holds, as text."""
    return text_of(action.context)


def text_of(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else orjson.dumps(value, default=str).decode()


def value_of(value: Any) -> str | None:
    """A value as it may be shown and compared: short and of one piece; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return str(value).lower() if isinstance(value, bool) else None
    text = str(value).strip()
    return text if 0 < len(text) <= LONGEST_VALUE and text.isprintable() else None


def fulfilled(state: State, types: Sequence[str], known: Collection[str]) -> Iterator[Condition]:
    """Every condition that the state fulfils. `types`: of which it may be said that they are not done yet; `known`: words and values (key=value) that
    may be named."""
    history = state.history
    earlier, last = {action.type for action in history[:-1]}, history[-1:]
    yield Condition("before", _before(history))
    yield from (Condition("done", kind) for kind in earlier)
    done = earlier | {action.type for action in last}
    yield from (Condition("not done", kind) for kind in types if kind not in done)
    times = _times(history)
    yield from (Condition("times", str(number)) for number in TIMES if times >= number)
    for action in last:
        yield from (Condition("given", key) for key in _arguments(action))
        yield from (Condition("value", pair) for pair in _values(action) if pair in known)
        yield from (Condition("was told", word) for word in words(said(action)) if word in known)
    yield from (Condition("task says", word) for word in words(f"{state.task} {state.given}") if word in known)


def nameable(shown: Sequence[Shown]) -> frozenset[str]:
    """Words and argument values (key=value) that may be shown to others: in NAMEABLE_FROM demonstrations or more whose examples an expert
    approved."""
    counts: dict[str, int] = {}
    approved = [one for one in shown if one.approved]
    for one in approved:
        holds = set(words(f"{one.task} {one.given}"))
        for action in one.actions[:100]:
            holds |= words(said(action)) | set(_values(action))
        for each in holds:
            counts[each] = counts.get(each, 0) + 1
    return frozenset(each for each, count in counts.items() if count >= NAMEABLE_FROM)


def _before(history: Sequence[Action]) -> str:
    return history[-2].type if len(history) > 1 else START


def _times(history: Sequence[Action]) -> int:
    if not history:
        return 0
    return sum(action.type == history[-1].type for action in history)


def _arguments(action: Action) -> Mapping[str, Any]:
    return action.arguments if isinstance(action.arguments, Mapping) else {}


def _values(action: Action) -> Iterator[str]:
    """key=value of what is short enough to be shown."""
    for key, value in _arguments(action).items():
        shown = value_of(value)
        if shown is not None:
            yield f"{key}={shown}"
