"""Where demonstrations contradict each other, and what is odd about an agent's demonstrations as a whole; as numbers and ids.

Belongs here: pure findings over what learning sees. Not here: what follows from them. Nothing does: no demonstration is dropped for contradicting
another, because nobody here knows who is right; a policy says so by its probabilities, a page by naming both sides.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from learning_pipelines.behavior.task import END, Shown
from learning_pipelines.examples.duplicates import normalised

LISTED = 50
"""Ids of demonstrations named in metadata; the count is of all."""


@dataclass(frozen=True, slots=True)
class Contradiction:
    """The same task, the same types of actions so far, different ones next. `sides`: type of the next action (END too) → ids of demonstrations.

    `task`: the words of the first of them, for pages, never for metadata. `between_experts`: two different experts stand on different sides;
    else one expert contradicts themself, or nobody is named.
    """

    task: str
    history: tuple[str, ...]
    sides: dict[str, tuple[str, ...]]
    between_experts: bool

    @property
    def demonstrations(self) -> set[str]:
        """The ids of all that take part."""
        return {name for side in self.sides.values() for name in side}


def contradictions(shown: Iterable[Shown]) -> list[Contradiction]:
    """Every contradiction among the successes, in a fixed order. The same task: the same words and input, whatever their case and spacing.

    Each step of a task that was shown more than once is looked at once, so that the cost is that of reading them.
    """
    tasks: defaultdict[tuple[str, str], list[Shown]] = defaultdict(list)
    for one in shown:
        if one.outcome == "success":
            tasks[normalised(one.task), normalised(one.given)].append(one)
    found = [each for members in tasks.values() if len(members) > 1 for each in _partings(sorted(members, key=lambda one: one.id))]
    return sorted(found, key=lambda each: (min(each.demonstrations), len(each.history), each.history))


def _partings(members: Sequence[Shown]) -> Iterator[Contradiction]:
    """Where those that went one way so far part."""
    together = [(0, list(members))]
    while together:
        step, those = together.pop()
        sides: defaultdict[str, list[Shown]] = defaultdict(list)
        for one in those:
            sides[one.actions[step].type if step < len(one.actions) else END].append(one)
        if len(sides) > 1:
            history = tuple(action.type for action in those[0].actions[:step])
            named = {kind: tuple(one.id for one in side) for kind, side in sorted(sides.items())}
            yield Contradiction(those[0].task, history, named, _between_experts(sides.values()))
        together += [(step + 1, side) for kind, side in sides.items() if kind != END and len(side) > 1]


def _between_experts(sides: Iterable[Sequence[Shown]]) -> bool:
    people = [{one.expert for one in side if one.expert is not None} for side in sides]
    return sum(bool(some) for some in people) > 1 and len(set().union(*people)) > 1


def seen_once(shown: Iterable[Shown]) -> tuple[str, ...]:
    """The types of actions that one demonstration alone uses, in alphabetical order: new ones, rare ones and slips of the pen."""
    used = Counter(kind for one in shown for kind in {action.type for action in one.actions})
    return tuple(sorted(kind for kind, count in used.items() if count == 1))


def summary(shown: Sequence[Shown]) -> dict[str, Any]:
    """Counts and ids for the metadata of assets: what there is, which of it contradicts what."""
    found = contradictions(shown)
    ids = sorted({name for each in found for name in each.demonstrations})
    outcomes, splits = Counter(one.outcome for one in shown), Counter(one.split or "left_out" for one in shown)
    return {
        "demonstrations": len(shown), "steps": sum(len(one.actions) + 1 for one in shown),
        "successes": outcomes["success"], "failures": outcomes["failure"], "approved": sum(one.approved for one in shown),
        "experts": len({one.expert for one in shown} - {None}), "task_types": len({one.task_type for one in shown} - {""}),
        "action_types": len({action.type for one in shown for action in one.actions}), "action_types_seen_once": len(seen_once(shown)),
        **{name: splits[name] for name in ("train", "validation", "test", "left_out")},
        "contradictions": len(found), "contradictions_between_experts": sum(each.between_experts for each in found),
        "contradictory_demonstrations": len(ids), "contradictory_ids": ids[:LISTED],
    }  # fmt: skip
