"""Which experiments a unit takes part in beside its prompt's: what search and next-action last said, so that its executions carry it.

Belongs here: remembering. Not here: asking (core.py), the prompt's own experiment (prompts.py), who gets what (the service's).
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

Subject = Literal["search", "next_action"]
_MOST_KEPT = 4096


@dataclass(frozen=True)
class Part:
    """That `unit` was served `variant` of an experiment."""

    experiment: str
    variant: str
    unit: str

    def as_json(self) -> dict[str, str]:
        return {"experiment": self.experiment, "variant": self.variant, "unit": self.unit}


def part_of(data: dict[str, Any], unit: str | None) -> Part | None:
    """What an answer of the service says; None: the unit takes part in no experiment."""
    experiment, variant = data.get("experiment"), data.get("variant")
    return None if experiment is None or variant is None or not unit else Part(str(experiment), str(variant), unit)


class Parts:
    """The newest answer of each kind for each agent and unit."""

    def __init__(self) -> None:
        self._last: OrderedDict[tuple[str, str, Subject], Part] = OrderedDict()
        self.forked()

    def forked(self) -> None:
        self._lock = threading.Lock()

    def note(self, agent: str, unit: str | None, subject: Subject, part: Part | None) -> None:
        """An answer without an experiment takes back what an earlier one said: it has ended since."""
        if not unit:
            return
        key = (agent, unit, subject)
        with self._lock:
            self._last.pop(key, None)
            if part is not None:
                self._last[key] = part
            if len(self._last) > _MOST_KEPT:
                self._last.popitem(last=False)

    def of(self, agent: str, units: Iterable[str | None]) -> list[Part]:
        """Those of the first of these units that takes part in any."""
        subjects: tuple[Subject, ...] = ("search", "next_action")
        with self._lock:
            for unit in units:
                found = [self._last[agent, unit, subject] for subject in subjects if unit is not None and (agent, unit, subject) in self._last]
                if found:
                    return found
        return []
