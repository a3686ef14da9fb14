"""Lines of one agent in a file, to score something on: checked as an import checks them, and not stored.

Belongs here: what every kind of such a file shares: counting, refusals, equal ids, other agents' lines. Not here: reading and checking lines
(importing.py), what becomes of a record (prompts/example_files.py, behavior/demonstration_files.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from learning_pipelines.feedback.importing import ERRORS_LISTED, checked_lines
from learning_pipelines.feedback.kinds import KINDS
from learning_pipelines.feedback.records import Checked, Refusal, Window

T = TypeVar("T")


@dataclass
class CheckedFile(Generic[T]):
    """`items` of the agent, in the order of the file, each id once; `rejected` lines, of which the first are listed; lines of `others` by their agent."""

    items: list[T] = field(default_factory=list)
    read: int = 0
    rejected: int = 0
    errors: list[dict[str, Any]] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)

    def records(self, path: Path, kind: str, agent: str, window: Window) -> Iterator[Checked]:
        """The agent's records of a kind that has ids, each once, counting what is not among them. An equal line again counts once; the same id with other
        content is refused. Raises BadInput for a file that cannot be read."""
        known: dict[str, bytes] = {}
        for number, checked in checked_lines(path, kind, window):
            self.read += 1
            if isinstance(checked, Refusal):
                self._reject(number, checked)
            elif (of := checked.record.own("agent")) != agent:
                self.others[of] += 1
            elif checked.id not in known:
                known[checked.id] = checked.content_hash
                yield checked
            elif known[checked.id] != checked.content_hash:
                self._reject(number, Refusal(KINDS[kind].id_key or "", f"conflict: {checked.id!r} stands in this file with other content"))

    def instead(self) -> str:
        """What a file holds that has nothing to score on, for its error."""
        if self.errors:
            first = self.errors[0]
            return f"{self.rejected} of {self.read} lines are refused, the first (line {first['line']}) because {first['field'] or 'it'} {first['reason']}"
        return f"its {self.read} lines are of {', '.join(sorted(self.others)[:5])}" if self.others else "it is empty"

    def _reject(self, line: int, refusal: Refusal) -> None:
        self.rejected += 1
        if len(self.errors) < ERRORS_LISTED:
            self.errors.append({"line": line, "field": refusal.field, "reason": refusal.reason})
