"""What a step is given: which keys always, which values never change, and where they come from.

Belongs here: typical arguments of one type of action. Not here: the order of steps.

A value is shown only if it is among those that may be (conditions.nameable: in several approved demonstrations); that it never changes is said anyway.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence

from learning_pipelines.behavior.patterns.shares import clustered
from learning_pipelines.behavior.playbooks.conditions import said, text_of, value_of
from learning_pipelines.behavior.playbooks.playbook import Argument
from learning_pipelines.behavior.task import Shown

MOST_LOOKED_AT, MOST_KEYS, MOST_VALUES, MOST_CHARS = 500, 12, 5, 20_000
SELDOM = 0.2
"""A key that is given less often is not typical."""
MOSTLY = 0.8
FEWEST_TASKS = 3
"""Of fewer different tasks nothing is said about how values vary."""


def typical(kind: str, shown: Sequence[Shown], known: Collection[str]) -> tuple[Argument, ...]:
    """The arguments of a type, those given most often first. Looks at the first 500 times that it was done."""
    times = [(one, place) for one in shown for place, action in enumerate(one.actions) if action.type == kind][:MOST_LOOKED_AT]
    given: dict[str, list[tuple[Shown, int]]] = defaultdict(list)
    for one, place in times:
        arguments = one.actions[place].arguments
        if isinstance(arguments, Mapping):
            for key in arguments:
                given[str(key)].append((one, place))
    sizes = Counter(one.cluster or one.id for one, _ in times)
    found = [_argument(key, where, sizes, known) for key, where in given.items() if len(where) >= max(2, SELDOM * len(times))]
    return tuple(sorted(found, key=lambda one: (-one.given.count, one.key))[:MOST_KEYS])


def _argument(key: str, where: Sequence[tuple[Shown, int]], sizes: Mapping[str, int], known: Collection[str]) -> Argument:
    counts = Counter(one.cluster or one.id for one, _ in where)
    values = [one.actions[place].arguments[key] for one, place in where]
    shown = Counter(value_of(value) for value in values)
    often = len(counts) >= FEWEST_TASKS
    constant = often and len({text_of(value) for value in values}) == 1
    few = often and len(shown) <= min(MOST_VALUES, len(values) // 2) and all(value is not None and f"{key}={value}" in known for value in shown)
    names = tuple(sorted((str(value) for value in shown), key=lambda value: (-shown[value], value))) if few else ()
    share = clustered([counts[group] for group in sizes], list(sizes.values()))
    return Argument(key, share, constant, names, "" if few or constant else _source(key, where))


def _source(key: str, where: Sequence[tuple[Shown, int]]) -> str:
    """task, where most values stand in what the agent was asked or given; earlier, where they stand in what came of an earlier step."""
    task = earlier = 0
    for one, place in where[:100]:
        value = text_of(one.actions[place].arguments[key]).strip().casefold()
        if len(value) < 2:
            continue
        if value in f"{one.task} {one.given}"[:MOST_CHARS].casefold():
            task += 1
        elif any(value in text for text in _before(one, place)):
            earlier += 1
    looked = min(100, len(where))
    return "task" if task >= MOSTLY * looked else "earlier" if task + earlier >= MOSTLY * looked else ""


def _before(one: Shown, place: int) -> list[str]:
    """What the last steps brought, and what they were given."""
    return [f"{said(action)} {text_of(action.arguments)}"[:MOST_CHARS].casefold() for action in one.actions[max(0, place - 10) : place]]
