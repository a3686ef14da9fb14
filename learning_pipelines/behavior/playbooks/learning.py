"""Makes a playbook of the demonstrations of one task type.

Belongs here: which steps there are, their order, their branches with the evidence behind each. Not here: what it is (playbook.py), words (render.py),
whether it is any good (gate.py).

Demonstrations of the split train teach, those of validation decide which conditions stay. The order of everything is fixed by the demonstrations alone.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from uuid import UUID

from learning_pipelines.behavior.patterns.anti import LEVEL, AntiPattern
from learning_pipelines.behavior.patterns.sequences import MOST_NAMED
from learning_pipelines.behavior.patterns.shares import clustered, share
from learning_pipelines.behavior.patterns.transitions import START
from learning_pipelines.behavior.playbooks.arguments import typical
from learning_pipelines.behavior.playbooks.branching import Decision, chosen, most, usual
from learning_pipelines.behavior.playbooks.conditions import Condition, nameable
from learning_pipelines.behavior.playbooks.playbook import Avoid, Branch, Contested, Playbook, Step, Way
from learning_pipelines.behavior.task import END, Shown, State

FEWEST = 2
"""A step that one demonstration alone holds is told of as seldom, not as a step."""
MOST_STEPS, MOST_ACTIONS, MOST_DECISIONS, MOST_EXAMINED, FEWEST_EXAMINED = 30, 200, 100_000, 20_000, 500
"""Types that become steps; actions of a demonstration, decisions of all that are looked at, decisions that conditions are sought in
(after each step at least FEWEST_EXAMINED, if there are so many)."""
MOST_WAYS, MOST_AVOIDED, MOST_SELDOM = 5, 10, 20


def make(task_type: str, train: Sequence[Shown], validation: Sequence[Shown] = (), avoid: Sequence[AntiPattern] = (), failures: int = 0) -> Playbook:
    """A playbook of successful demonstrations (one at least). `avoid`: what failures of the type do, of which there are `failures`.

    Cost is bounded: of each demonstration the first 200 actions count, of all 100,000 decisions.
    """
    train, left_out = _within_limits(sorted(train, key=lambda one: one.id))
    after = _decisions(train)
    holders = Counter(kind for one in train for kind in {action.type for action in one.actions})
    types = sorted((kind for kind, count in holders.items() if count >= FEWEST), key=lambda kind: (-holders[kind], kind))[:MOST_STEPS]
    checked, known = _decisions(_within_limits(validation)[0]), nameable(train)
    contested = _contested(after)
    decisions = sum(map(len, after.values()))
    steps = []
    for kind in [START, *_in_order(types, train)]:
        examined = max(FEWEST_EXAMINED, MOST_EXAMINED * len(after[kind]) // decisions)
        steps.append(_step(kind, train, after[kind], checked.get(kind, []), types, known, contested.get(kind), examined))
    seldom = sorted(((kind, count) for kind, count in holders.items() if kind not in types), key=lambda one: (-one[1], one[0]))
    return Playbook(
        task_type, len(train), len({one.expert for one in train if one.expert is not None}), tuple(steps), _fallback(after, types), _quartiles(train),
        failures, tuple(_avoided(one) for one in avoid[:MOST_AVOIDED]), tuple(seldom[:MOST_SELDOM]), left_out, sum(one.approved for one in train),
    )  # fmt: skip


def most_frequent(train: Iterable[Shown]) -> str:
    """The type of action that is most frequent in demonstrations, the end included: what serves where nothing is learnt."""
    counts: Counter[str] = Counter()
    for one in train:
        counts.update([*(action.type for action in one.actions), END])
    return most(counts) or END


def _within_limits(shown: Sequence[Shown]) -> tuple[list[Shown], int]:
    kept, decisions, left_out = list[Shown](), 0, 0
    for one in shown:
        length = min(len(one.actions), MOST_ACTIONS)
        if decisions + length + 1 > MOST_DECISIONS:
            left_out += len(one.actions)
            continue
        decisions += length + 1
        left_out += len(one.actions) - length
        kept.append(one)
    return kept, left_out


def _decisions(shown: Sequence[Shown]) -> dict[str, list[Decision]]:
    """What was done after each type (START: first), in the order of demonstrations; not the end of one that goes on beyond the limit."""
    found: dict[str, list[Decision]] = defaultdict(list)
    for one in shown:
        types = [*(action.type for action in one.actions), END][: MOST_ACTIONS + 1]
        for place, kind in enumerate(types):
            state = State(one.task, one.task_type, one.given, one.actions[:place])
            found[types[place - 1] if place else START].append(Decision(state, kind, one.id, one.cluster or one.id, one.expert))
    return found


def _in_order(types: Sequence[str], train: Sequence[Shown]) -> list[str]:
    """By where in a demonstration they first come on average; of equals the more frequent."""
    places: dict[str, list[float]] = defaultdict(list)
    for one in train:
        seen = set[str]()
        for place, action in enumerate(one.actions):
            if action.type not in seen:
                seen.add(action.type)
                places[action.type].append(place / len(one.actions))
    return sorted(types, key=lambda kind: (sum(places[kind]) / len(places[kind]), -len(places[kind]), kind))


def _step(
    kind: str, train: Sequence[Shown], rows: Sequence[Decision], checked: Sequence[Decision], types: Sequence[str], known: frozenset[str],
    contested: Contested | None, examined: int,
) -> Step:  # fmt: skip
    """`examined`: of so many of the rows, evenly drawn, conditions are sought; the figures behind each are of all."""
    every = max(1, -(-len(rows) // examined))
    conditions = chosen(rows[::every], checked, types, known)
    holders = [one for one in train if kind == START or any(action.type == kind for action in one.actions)]
    experts = {one.expert for one in holders if one.expert is not None}
    return Step(
        kind, share(len(holders), len(train)), len(experts), tuple(one.id for one in holders[:MOST_NAMED]), _branches(conditions, rows),
        () if kind == START else typical(kind, holders, known), contested,
    )  # fmt: skip


def _branches(conditions: Sequence[tuple[Condition, str]], rows: Sequence[Decision]) -> tuple[Branch, ...]:
    """Each condition with the cases of which it is the first that holds, and all others last."""
    cases: list[list[Decision]] = [[] for _ in range(len(conditions) + 1)]
    for row in rows:
        cases[next((place for place, (condition, _) in enumerate(conditions) if condition.holds(row.state)), len(conditions))].append(row)
    made = [Branch(condition, _ways(inside)) for (condition, _), inside in zip(conditions, cases, strict=False) if inside]
    rest = cases[-1] or list(rows)
    return (*made, Branch(None, _ways(rest))) if rest else tuple(made)


def _ways(rows: Sequence[Decision]) -> tuple[Way, ...]:
    """What was done, by frequency: the first is what is advised."""
    sizes = Counter(row.group for row in rows)
    by_way: dict[str, list[Decision]] = defaultdict(list)
    for row in rows:
        by_way[row.after].append(row)
    order = sorted(by_way, key=lambda after: (-len(by_way[after]), after))
    return tuple(_way(after, by_way[after], sizes) for after in order[:MOST_WAYS])


def _way(after: str, rows: Sequence[Decision], sizes: Counter[str]) -> Way:
    counts = Counter(row.group for row in rows)
    who = list(dict.fromkeys(row.id for row in rows))
    experts = {row.expert for row in rows if row.expert is not None}
    of = clustered([counts[group] for group in sizes], list(sizes.values()))
    return Way(after, of, len(who), len(experts), tuple(who[:MOST_NAMED]))


def _fallback(after: dict[str, list[Decision]], types: Sequence[str]) -> str:
    """What is usual after actions that are no steps of the playbook; where there are none, what is most frequent of all."""
    others = [row for kind, rows in after.items() if kind != START and kind not in types for row in rows]
    return usual(others or [row for rows in after.values() for row in rows]) or END


def _contested(after: dict[str, list[Decision]]) -> dict[str, Contested]:
    """Situations (the same task, or one of its cluster, and the same types before) in which two experts did different things, by the step before."""
    found: dict[str, Contested] = {}
    members: dict[str, set[str]] = defaultdict(set)
    for row in after[START]:
        members[row.group].add(row.id)
    for kind, rows in after.items():
        done: dict[tuple[str, tuple[str, ...]], dict[str, set[UUID]]] = defaultdict(lambda: defaultdict(set))
        for row in rows:
            if row.expert is not None and len(row.state.history) <= MOST_COMPARED:
                task = row.group if len(members[row.group]) > 1 else row.state.task.casefold()
                done[task, tuple(action.type for action in row.state.history)][row.after].add(row.expert)
        apart = [ways for ways in done.values() if len(ways) > 1 and len(set().union(*ways.values())) > 1]
        if apart:
            sides: dict[str, set[UUID]] = defaultdict(set)
            for ways in apart:
                for way, experts in ways.items():
                    sides[way] |= experts
            order = sorted(sides, key=lambda way: (-len(sides[way]), way))
            found[kind] = Contested(len(apart), tuple((way, len(sides[way])) for way in order))
    return found


MOST_COMPARED = 20
"""Situations with a longer history are not compared: hardly two are the same."""


def _quartiles(train: Sequence[Shown]) -> tuple[int, int, int]:
    lengths = sorted(len(one.actions) for one in train)
    return lengths[len(lengths) // 4], lengths[len(lengths) // 2], lengths[3 * len(lengths) // 4]


def _avoided(one: AntiPattern) -> Avoid:
    return Avoid(one.how, one.types, one.failed, one.succeeded, one.q, one.q <= LEVEL, one.named)
