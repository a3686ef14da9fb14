"""A state as numbers and two short texts: what every component of a policy looks at, the same while learning and while serving.

Belongs here: situations out of states and demonstrations, a step's JSON as a short text, batches of situations with their vectors. Not here: models.

Two texts are encoded per state, so that a suggestion costs two: the task with what was given, and the last step with what came of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from learning_pipelines.behavior.task import END, Action, Shown, State
from learning_pipelines.encoder import Encoder

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int64]

ORDER = 4
"""Types of this many last steps are told apart; of earlier ones it counts how often each was taken."""
CHARS = 1_000
"""Of a text that is encoded: about the 256 tokens that the packaged model reads."""
_LEAST = 24
"""Characters that every part of a long step keeps."""
_DEEPEST = 20


@dataclass(frozen=True, slots=True)
class Situation:
    """`recent`: types of up to ORDER last steps, the newest last. `counts`: how often each type was taken. `last_text` is '' before the first step."""

    task_type: str
    recent: tuple[str, ...]
    counts: Mapping[str, int]
    length: int
    task_text: str
    last_text: str


def situation(state: State) -> Situation:
    """Of a state that somebody asks about. The cost follows the length of its history."""
    types = [action.type for action in state.history]
    last = last_text(state.history[-1]) if state.history else ""
    return Situation(state.task_type, tuple(types[-ORDER:]), Counter(types), len(types), task_text(state.task, state.given), last)


def situations(shown: Shown) -> Iterator[tuple[Situation, str]]:
    """Every state of a demonstration with the type of the action that followed, as Shown.steps, at a cost that follows its length."""
    text, counts, recent = task_text(shown.task, shown.given), Counter[str](), tuple[str, ...]()
    last = ""
    for place, action in enumerate(shown.actions):
        yield Situation(shown.task_type, recent, dict(counts), place, text, last), action.type
        counts[action.type] += 1
        recent, last = (*recent, action.type)[-ORDER:], last_text(action)
    yield Situation(shown.task_type, recent, dict(counts), len(shown.actions), text, last), END


def task_text(task: str, given: str) -> str:
    """The task first; of what was given as much as fits behind it."""
    task = " ".join(task.split())[:CHARS]
    return f"{task}\n{_plain(given, max(_LEAST, CHARS - len(task)))}" if given else task


def last_text(action: Action) -> str:
    """A step as a short text: its type, its arguments, what came of it; a long part leaves room for the others."""
    parts = {"": action.type, "arguments": action.arguments, "context": action.context}
    return _fitted({name: value for name, value in parts.items() if value not in (None, "", [], {})}, CHARS)


def _fitted(value: Any, room: int, depth: int = 0) -> str:
    """A JSON value as words within about `room` characters; its parts share them: a part that needs less leaves more to the others."""
    if isinstance(value, str):
        return _plain(value, room)
    if depth > _DEEPEST:
        return _plain(str(value), room)
    if isinstance(value, Mapping):
        parts = [(f"{name}: " if name else "", child) for name, child in value.items()]
    elif isinstance(value, list | tuple):
        parts = [("", child) for child in value]
    else:
        return _plain(str(value), room)
    wanted, most = [len(name) + _size(child, room) for name, child in parts], max(1, room // _LEAST)
    if len(parts) > most and sum(wanted) + 2 * (len(parts) - 1) > room:  # the first and the last ones, which say most
        kept = [*range(most // 2), *range(len(parts) - (most - most // 2), len(parts))]
        parts, wanted = [parts[place] for place in kept], [wanted[place] for place in kept]
    allowed = _shares(wanted, room)
    return ", ".join(f"{name}{_fitted(child, max(_LEAST, share - len(name)), depth + 1)}" for (name, child), share in zip(parts, allowed, strict=True))


def _size(value: Any, most: int) -> int:
    if isinstance(value, str):
        return min(most, len(value))
    return min(most, len(str(value)))


def _shares(wanted: Sequence[int], room: int) -> list[int]:
    """Max-min fair: nobody gets more than it wants, what is left over goes to those who want more."""
    shares, left, waiting = [0] * len(wanted), room, len(wanted)
    for place in sorted(range(len(wanted)), key=lambda place: wanted[place]):
        shares[place] = min(wanted[place], left // waiting)
        left, waiting = left - shares[place], waiting - 1
    return shares


def _plain(text: str, room: int) -> str:
    """Of a long text the beginning and, twice as much, the end: what was said last."""
    text = " ".join(text[: 4 * CHARS].split()) if len(text) <= 4 * CHARS else " ".join((text[: 2 * CHARS] + " " + text[-2 * CHARS :]).split())
    return text if len(text) <= room else f"{text[: room // 3]} … {text[len(text) - (room - room // 3) :]}"


@dataclass(frozen=True, slots=True)
class Batch:
    """`rows`: situations. `task`, `last`: (n, d) vectors of their two texts; a text that is empty has a zero vector."""

    rows: Sequence[Situation]
    task: Floats
    last: Floats

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, places: Sequence[int] | Numbers) -> Batch:
        places = np.asarray(places, dtype=np.int64)
        return Batch([self.rows[place] for place in places.tolist()], self.task[places], self.last[places])


def encoded(rows: Sequence[Situation], encoder: Encoder) -> Batch:
    """Each different text is encoded once. Raises what the encoder raises."""
    texts = sorted({text for row in rows for text in (row.task_text, row.last_text) if text.strip()})
    place = {text: number for number, text in enumerate(texts, 1)}
    vectors = np.zeros((len(texts) + 1, encoder.dimensions), dtype=np.float32)
    if texts:
        vectors[1:] = encoder.encode(texts)
    return Batch(rows, vectors[[place.get(row.task_text, 0) for row in rows]], vectors[[place.get(row.last_text, 0) for row in rows]])
