"""What behaviour is learnt from and predicted as: demonstrations, the states that an agent passes through in them, the action that follows each.

Belongs here: plain values that learning, storage and serving share, and the protocol of a policy. Not here: learning, SQL, files.

A state never holds anything of the step that it is asked about: an action's context may be the situation it was taken in or what came of it, and
its mere presence would say that the demonstration goes on. So what was said or seen counts from the next step on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol
from uuid import UUID

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Outcome = Literal["success", "failure"]
END = "<end>"
"""The action of having nothing left to do; what every demonstration that succeeded ends with."""


@dataclass(frozen=True, slots=True)
class Action:
    """One step: its type is what a policy suggests; `arguments` and `context` are JSON values."""

    type: str
    arguments: Any = None
    context: Any = None


@dataclass(frozen=True, slots=True)
class State:
    """Where an agent stands: its task in words, the kind of task ('' if unknown), what it was given (text; JSON as compact text), what it did so far."""

    task: str
    task_type: str = ""
    given: str = ""
    history: tuple[Action, ...] = ()


@dataclass(frozen=True, slots=True)
class Shown:
    """A demonstration as learning sees it: scrubbed of personal data.

    `split`: train, validation or test, for good; None is left out. `cluster`: tasks of one cluster never stand on two sides. `approved`: an expert
    approved the example it makes, so that its texts may be shown to others. `outcome` failure: what not to do; it teaches no policy.
    """

    id: str
    task: str
    actions: tuple[Action, ...]
    final_output: str = ""
    task_type: str = ""
    given: str = ""
    reasoning: str = ""
    expert: UUID | None = None
    split: str | None = None
    cluster: str = ""
    outcome: Outcome = "success"
    approved: bool = False

    def steps(self) -> list[tuple[State, str]]:
        """Every state with the type of the action that followed; the last with END. n actions make n + 1 steps."""
        types = [*(action.type for action in self.actions), END]
        return [(State(self.task, self.task_type, self.given, self.actions[:place]), kind) for place, kind in enumerate(types)]


class NextAction(Protocol):
    """Anything that says how likely each type of action comes next: a baseline, a component, a policy."""

    @property
    def types(self) -> tuple[str, ...]:
        """The types it knows, END among them, in a fixed order."""

    def probabilities(self, states: Sequence[State]) -> Floats:
        """(states, types), each row summing to 1."""
