"""A playbook: for each step what comes next and when, the arguments, the evidence, what to avoid; and the next action that it advises.

Belongs here: the values, what they are as JSON, following a playbook. Not here: making one (learning.py), saying it in words (render.py).

What people read is what is tested: `next` follows the very branches that the text states, in their order.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from learning_pipelines.behavior.patterns.shares import Share
from learning_pipelines.behavior.patterns.transitions import START
from learning_pipelines.behavior.playbooks.conditions import Condition
from learning_pipelines.behavior.task import State

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Way:
    """What came next. `share`: of the cases of its branch; `demonstrations` and `experts` (named ones): in so many and by so many; `named`: up to 10 ids."""

    after: str
    share: Share
    demonstrations: int
    experts: int
    named: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        return {
            "next": self.after, **self.share.as_json(), "demonstrations": self.demonstrations, "experts": self.experts, "evidence": list(self.named)
        }  # fmt: skip

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Way:
        return cls(stored["next"], Share.from_json(stored), stored["demonstrations"], stored["experts"], tuple(stored["evidence"]))


@dataclass(frozen=True, slots=True)
class Branch:
    """The ways that were taken where `when` holds (None: in all other cases), the most frequent first: that is what the playbook advises."""

    when: Condition | None
    ways: tuple[Way, ...]

    def as_json(self) -> dict[str, Any]:
        return {"when": None if self.when is None else self.when.as_json(), "ways": [one.as_json() for one in self.ways]}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Branch:
        when = None if stored["when"] is None else Condition(*stored["when"])
        return cls(when, tuple(Way.from_json(one) for one in stored["ways"]))


@dataclass(frozen=True, slots=True)
class Argument:
    """An argument of a step. `given`: in so many of the times the step was done. `values`: the only ones there were, where few and such as may be shown;
    `constant`: there was one value only (shown or not). `source`: where the values come from in most cases: task, earlier, or ''."""

    key: str
    given: Share
    constant: bool
    values: tuple[str, ...]
    source: str

    def as_json(self) -> dict[str, Any]:
        return {"key": self.key, "given": self.given.as_json(), "constant": self.constant, "values": list(self.values), "source": self.source}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Argument:
        return cls(stored["key"], Share.from_json(stored["given"]), stored["constant"], tuple(stored["values"]), stored["source"])


@dataclass(frozen=True, slots=True)
class Contested:
    """Experts who did different things in the same situation: `situations` of those after one step; `sides`: what was done, and by how many experts."""

    situations: int
    sides: tuple[tuple[str, int], ...]

    def as_json(self) -> dict[str, Any]:
        return {"situations": self.situations, "sides": [{"next": after, "experts": experts} for after, experts in self.sides]}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any] | None) -> Contested | None:
        return None if stored is None else cls(stored["situations"], tuple((one["next"], one["experts"]) for one in stored["sides"]))


@dataclass(frozen=True, slots=True)
class Step:
    """One step, or START. `support`: the demonstrations that hold it, of all; `named`: up to 10 of them; `experts`: how many named ones did it."""

    type: str
    support: Share
    experts: int
    named: tuple[str, ...]
    branches: tuple[Branch, ...]
    arguments: tuple[Argument, ...] = ()
    contested: Contested | None = None

    def as_json(self) -> dict[str, Any]:
        return {
            "type": self.type, "support": self.support.as_json(), "experts": self.experts, "evidence": list(self.named),
            "branches": [one.as_json() for one in self.branches], "arguments": [one.as_json() for one in self.arguments],
            "contested": None if self.contested is None else self.contested.as_json(),
        }  # fmt: skip

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Step:
        return cls(
            stored["type"], Share.from_json(stored["support"]), stored["experts"], tuple(stored["evidence"]),
            tuple(Branch.from_json(one) for one in stored["branches"]), tuple(Argument.from_json(one) for one in stored["arguments"]),
            Contested.from_json(stored["contested"]),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Avoid:
    """What failures do (`how` done) or leave out (omitted) more often. `sure`: significant for all candidates together; else worth watching only."""

    how: str
    types: tuple[str, ...]
    failed: Share
    succeeded: Share
    q: float
    sure: bool
    named: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        return {
            "how": self.how, "types": list(self.types), "failed": self.failed.as_json(), "succeeded": self.succeeded.as_json(), "q": self.q,
            "sure": self.sure, "evidence": list(self.named),
        }  # fmt: skip

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Avoid:
        return cls(
            stored["how"], tuple(stored["types"]), Share.from_json(stored["failed"]), Share.from_json(stored["succeeded"]), stored["q"], stored["sure"],
            tuple(stored["evidence"]),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Playbook:
    """How tasks of one type are done. `steps`: the beginning first, then in the order in which they usually come. `usual`: what is advised after an action
    that it knows nothing about. `lengths`: quartiles of the number of steps. `failures`: failed demonstrations that `avoid` rests on. `seldom`: types
    too rare to say anything about, with their number of demonstrations. `left_out`: steps beyond the limits, which were not looked at.
    `approved`: demonstrations whose words may be named."""

    task_type: str
    demonstrations: int
    experts: int
    steps: tuple[Step, ...]
    usual: str
    lengths: tuple[int, int, int]
    failures: int = 0
    avoid: tuple[Avoid, ...] = ()
    seldom: tuple[tuple[str, int], ...] = ()
    left_out: int = 0
    approved: int = 0

    def next(self, state: State) -> str:
        """The type of action (END included) that the playbook advises."""
        last = state.history[-1].type if state.history else START
        step = next((one for one in self.steps if one.type == last), None)
        if step is not None:
            for branch in step.branches:
                if branch.when is None or branch.when.holds(state):
                    return branch.ways[0].after
        return self.usual

    def advice(self) -> str:
        """A hash of what it advises, whatever the counts behind it: two playbooks of the same advice need no second approval."""
        said = [
            self.task_type, self.usual,
            [[step.type, [[None if one.when is None else one.when.as_json(), one.ways[0].after] for one in step.branches],
              [[one.key, one.constant, one.values] for one in step.arguments if one.given.count == one.given.of]] for step in self.steps],
            [[one.how, one.types] for one in self.avoid if one.sure],
        ]  # fmt: skip
        return hashlib.sha256(orjson.dumps(said)).hexdigest()

    def as_json(self) -> dict[str, Any]:
        return {
            "format": FORMAT, "task_type": self.task_type, "demonstrations": self.demonstrations, "experts": self.experts, "usual": self.usual,
            "lengths": list(self.lengths), "failures": self.failures, "left_out": self.left_out, "approved": self.approved,
            "steps": [one.as_json() for one in self.steps],
            "avoid": [one.as_json() for one in self.avoid], "seldom": [[kind, count] for kind, count in self.seldom], "advice": self.advice(),
        }  # fmt: skip

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Playbook:
        first, middle, last = stored["lengths"]
        return cls(
            stored["task_type"], stored["demonstrations"], stored["experts"], tuple(Step.from_json(one) for one in stored["steps"]), stored["usual"],
            (first, middle, last), stored["failures"], tuple(Avoid.from_json(one) for one in stored["avoid"]),
            tuple((kind, count) for kind, count in stored["seldom"]), stored["left_out"], stored["approved"],
        )  # fmt: skip
