"""Arguments proposed for an action: copied from where experts took theirs, never invented, and never out of one person's demonstration.

Belongs here: where values came from, learnt; proposing values for a state; scoring them. Not here: which action comes next.

Each argument of each type has sources, tried in the order of how often each was right where it gave a value:
- seen: the newest value with one path in earlier arguments or contexts ("user_id" of the step before, "result.order_id" of what a tool answered);
- shape: the newest word of the task or of what was said that is built like the expert's values ("#W1234567" → "#A9");
- mentioned: the newest of the usual values that is mentioned there;
- constant: the usual value.
Usual values are those that SHOWN demonstrations or more hold, so that nothing that one person wrote is shown to another. A source that was right less
often than not is not used: an argument without one is left open.
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from learning_pipelines.behavior.task import Action, Shown, State

SHOWN = 3
USUAL = 20
HALF = 0.5
LOOKED_BACK = 20
"""Steps of the history in which values are looked for."""
LEAVES = 400
"""Values looked at in one step."""
SOURCES = 200
"""Of one argument that are kept count of; a value as common as `true` would stand in hundreds of places."""
DEPTH = 20
"""Of nested values; what lies deeper is not looked at."""
Kind = Literal["seen", "shape", "mentioned", "constant"]
Scalar = str | int | float | bool
_WORD = re.compile(r"[^\s,;()\"'<>{}\[\]]+")


@dataclass(frozen=True, slots=True)
class Source:
    """`what`: a path, a shape, or (as JSON) usual values. `right`: share of demonstrated steps in which it gave the expert's value, of those in which it
    gave one."""

    kind: Kind
    what: str
    right: float


@dataclass(frozen=True, slots=True)
class Argument:
    """`share` of the type's steps that had it. `sources`: the surest first; none: nothing is known to copy."""

    name: str
    share: float
    sources: tuple[Source, ...]


@dataclass(frozen=True, slots=True)
class Arguments:
    """Per type of action its arguments; a type whose arguments are no JSON object has none."""

    of_type: Mapping[str, tuple[Argument, ...]]

    def proposed(self, state: State | View, kind: str) -> dict[str, Any]:
        """Name → value, of the arguments that at least half of the steps had and a source gives a value for."""
        wanted = [one for one in self.of_type.get(kind, ()) if one.share >= HALF]
        if not wanted:
            return {}
        view, found = state if isinstance(state, View) else View.of(state), dict[str, Any]()
        for one in wanted:
            for source in one.sources:
                value = view.value(source.kind, source.what)
                if value is not None:
                    found[one.name] = value
                    break
        return found

    def as_json(self) -> dict[str, Any]:
        return {
            kind: [{"name": one.name, "share": one.share, "sources": [[s.kind, s.what, s.right] for s in one.sources]} for one in arguments]
            for kind, arguments in self.of_type.items()
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Arguments:
        return cls(
            {
                kind: tuple(Argument(one["name"], float(one["share"]), tuple(Source(*source) for source in one["sources"])) for one in arguments)
                for kind, arguments in stored.items()
            }
        )


class View:
    """What a state holds to copy from: the newest value of each path, and its words, the newest first. Made once per state."""

    def __init__(self, paths: Mapping[str, Scalar], words: Sequence[str]) -> None:
        self.paths, self.words = paths, words

    @classmethod
    def of(cls, state: State) -> View:
        paths, said = dict[str, Scalar](), [state.given, state.task]
        for action in state.history[-LOOKED_BACK:]:
            for path, value in _newer(action):
                paths[path] = value
                if isinstance(value, str) and " " in value:
                    said.append(value)
        words = [word.strip(".:!?") for text in reversed(said) for word in reversed(_WORD.findall(text))]
        return cls(paths, [word for word in words if word])

    def value(self, kind: Kind, what: str) -> Scalar | None:
        if kind == "seen":
            return self.paths.get(what)
        if kind == "shape":
            return self._newest_of_shape.get(what)
        usual: list[Scalar] = json.loads(what)
        if kind == "constant":
            return usual[0]
        place, value = min(((self._place.get(str(one).lower(), len(self.words)), one) for one in usual), key=lambda found: found[0])
        return value if place < len(self.words) else None

    @cached_property
    def _newest_of_shape(self) -> Mapping[str, str]:
        return {built: word for word in reversed(self.words) if (built := shape(word))}

    @cached_property
    def _place(self) -> Mapping[str, int]:
        return {word.lower(): place for place, word in reversed(list(enumerate(self.words)))}


def learn(shown: Sequence[Shown]) -> Arguments:
    """From demonstrations that succeeded; the same ones give the same arguments."""
    steps: Counter[str] = Counter(action.type for one in shown for action in one.actions)
    usual = _usual(shown)
    had: Counter[tuple[str, str]] = Counter()
    gave, right = defaultdict[tuple[str, str], Counter[tuple[Kind, str]]](Counter), defaultdict[tuple[str, str], Counter[tuple[Kind, str]]](Counter)
    for one in shown:
        for place, action in enumerate(one.actions):
            if not isinstance(action.arguments, Mapping) or not action.arguments:
                continue
            view = View.of(before(one, place))
            for name, value in action.arguments.items():
                key = (action.type, str(name))
                had[key] += 1
                for source, said in _tried(view, value, usual.get(key, ()), gave[key]):
                    gave[key][source] += 1
                    right[key][source] += said == value
    found: dict[str, list[Argument]] = defaultdict(list)
    for (kind, name), count in sorted(had.items()):
        found[kind].append(Argument(name, count / steps[kind], _sources(gave[kind, name], right[kind, name], count)))
    return Arguments({kind: tuple(arguments) for kind, arguments in found.items()})


def before(shown: Shown, place: int) -> State:
    """The state before a step, as far back as values are looked for."""
    return State(shown.task, shown.task_type, shown.given, shown.actions[max(0, place - LOOKED_BACK) : place])


@dataclass(frozen=True, slots=True)
class ArgumentScores:
    """Given the right type, of `n` actions that had arguments: `exact`, the share whose arguments were all proposed right and no others; `keys`, the share
    of single arguments whose value was."""

    n: int
    exact: float
    keys: float

    def as_json(self) -> dict[str, Any]:
        return {"n": self.n, "exact": self.exact, "keys": self.keys}


def score(arguments: Arguments, shown: Sequence[Shown]) -> ArgumentScores | None:
    """None where no action has arguments."""
    steps = exact = keys = right = 0
    for one in shown:
        for place, action in enumerate(one.actions):
            if isinstance(action.arguments, Mapping) and action.arguments:
                said = arguments.proposed(before(one, place), action.type)
                steps, keys, exact = steps + 1, keys + len(action.arguments), exact + (said == action.arguments)
                right += sum(name in said and said[name] == value for name, value in action.arguments.items())
    return ArgumentScores(steps, exact / steps, right / keys) if steps else None


def shape(text: str) -> str:
    """How a value is built: runs of digits as 9, of letters as a or A, both mixed (a code) as X and its length; '' for an ordinary word."""
    if re.fullmatch(r"[A-Z0-9]{4,}", text) and re.search(r"\d", text) and re.search(r"[A-Z]", text):
        return f"X{len(text)}"
    made = re.sub(r"[a-z]+", "a", re.sub(r"[A-Z]+", "A", re.sub(r"\d+", "9", text)))
    return made if "9" in made or "@" in made or "_" in made else ""


def _tried(view: View, value: Any, usual: Sequence[Scalar], known: Counter[tuple[Kind, str]]) -> Iterator[tuple[tuple[Kind, str], Scalar]]:
    """Sources that gave a value: those that gave this one, and those that were known and gave another."""
    if isinstance(value, Scalar):
        sources: set[tuple[Kind, str]] = {("seen", path) for path, said in view.paths.items() if said == value}
        if isinstance(value, str) and (built := shape(value)):
            sources.add(("shape", built))
    else:
        sources = set()
    if usual:
        listed = json.dumps(list(usual))
        sources |= {("constant", listed), ("mentioned", listed)}
    sources = {one for one in sources if one in known or len(known) < SOURCES}
    for source in sorted(sources | set(known)):
        said = view.value(*source)
        if said is not None:
            yield source, said


def _sources(gave: Counter[tuple[Kind, str]], right: Counter[tuple[Kind, str]], count: int) -> tuple[Source, ...]:
    """Those worth asking: right at least half the time, and not by a chance or two; the surest first."""
    worth = [
        Source(kind, what, right[kind, what] / times)
        for (kind, what), times in gave.items()
        if times >= min(SHOWN, count) and right[kind, what] >= HALF * times
    ]
    order = {"seen": 0, "shape": 1, "mentioned": 2, "constant": 3}
    return tuple(sorted(worth, key=lambda one: (-(one.right * gave[one.kind, one.what] + 1) / (gave[one.kind, one.what] + 2), order[one.kind], one.what))[:5])


def _usual(shown: Sequence[Shown]) -> dict[tuple[str, str], list[Scalar]]:
    """The values of each argument that enough demonstrations hold, the most usual first."""
    held: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for one in shown:
        mine = {
            (action.type, str(name), json.dumps(value))
            for action in one.actions
            if isinstance(action.arguments, Mapping)
            for name, value in action.arguments.items()
            if isinstance(value, Scalar)
        }
        for kind, name, value in mine:
            held[kind, name][value] += 1
    return {
        key: [json.loads(value) for value, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:USUAL] if count >= SHOWN]
        for key, counts in held.items()
    }


def _newer(action: Action) -> Iterator[tuple[str, Scalar]]:
    """Paths and values of one step, its context after its arguments; of a list the first element (later ones are alternatives)."""
    left = LEAVES
    for root, value in (("arguments", action.arguments), ("context", action.context)):
        for path, leaf in _leaves(value, root):
            if left == 0:
                return
            left -= 1
            yield path, leaf


def _leaves(value: Any, path: str, depth: int = 0) -> Iterator[tuple[str, Scalar]]:
    if depth > DEPTH:
        return
    if isinstance(value, Mapping):
        for name, child in value.items():
            yield from _leaves(child, f"{path}.{name}", depth + 1)
    elif isinstance(value, list | tuple):
        for place, child in enumerate(value[:50]):
            yield from _leaves(child, f"{path}.{place}" if place == 0 else f"{path}.…", depth + 1)
    elif isinstance(value, Scalar):
        yield path, value
