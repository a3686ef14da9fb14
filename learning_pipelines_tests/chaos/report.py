"""What a run of chaos comes to: as JSON, and as a page.

Belongs here: shapes and words. Not here: judging (invariants.py).
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import os
import platform
from collections import Counter
from pathlib import Path
from typing import Any


@dataclasses.dataclass
class Event:
    """A blow that hit: `recovered` seconds after it everything answered again; None: not before the next blow, or, where it was waited for (`judged`),
    not in time."""

    kind: str
    at: float
    what: str
    recovered: float | None
    judged: bool = True


@dataclasses.dataclass
class Report:
    seed: int
    model: str
    disk_limited: bool
    conditions: str = ""
    begun: str = dataclasses.field(default_factory=lambda: dt.datetime.now(dt.UTC).isoformat(timespec="seconds"))
    seconds: float = 0.0
    events: list[Event] = dataclasses.field(default_factory=list)
    missed: Counter[str] = dataclasses.field(default_factory=Counter)
    answers: dict[str, dict[str, int]] = dataclasses.field(default_factory=dict)
    calls: dict[str, dict[str, int]] = dataclasses.field(default_factory=dict)
    sent: dict[str, int] = dataclasses.field(default_factory=dict)
    acknowledged: dict[str, int] = dataclasses.field(default_factory=dict)
    runs: dict[str, int] = dataclasses.field(default_factory=dict)
    rows: dict[str, int] = dataclasses.field(default_factory=dict)
    rest: dict[str, Any] = dataclasses.field(default_factory=dict)
    invariants: dict[str, list[str]] = dataclasses.field(default_factory=dict)

    @property
    def holds(self) -> bool:
        return bool(self.invariants) and not any(self.invariants.values())

    def as_json(self) -> dict[str, Any]:
        machine = f"{os.cpu_count()} CPUs, {platform.machine()}, Python {platform.python_version()}"
        missed = dict(self.missed)  # asdict makes a Counter of the pairs of a Counter
        fields = dataclasses.asdict(dataclasses.replace(self, missed=Counter()))
        return {**fields, "missed": missed, "machine": machine, "events_by_kind": dict(self.by_kind()), "holds": self.holds}

    @classmethod
    def read(cls, path: Path) -> Report:
        """A report as it was written."""
        stored = json.loads(path.read_text(encoding="utf-8"))
        fields = {one.name: stored[one.name] for one in dataclasses.fields(cls)}
        return cls(**{**fields, "events": [Event(**event) for event in stored["events"]], "missed": Counter(stored["missed"])})

    def by_kind(self) -> Counter[str]:
        return Counter(event.kind for event in self.events)

    def as_markdown(self) -> str:
        lines = [
            f"# Chaos, seed {self.seed}: {'every invariant holds' if self.holds else 'AN INVARIANT FAILED'}", "",
            f"{len(self.events)} blows in {self.seconds / 60:.0f} minutes from {self.begun}; model: {self.model}; "
            f"disk {'of its own, filled' if self.disk_limited else 'not limited: never filled'}. {self.conditions}", "",
            "| struck | times | of them well before the next | median seconds until then | longest |", "|---|---|---|---|---|",
        ]  # fmt: skip
        for kind, count in self.by_kind().most_common():
            times = sorted(event.recovered for event in self.events if event.kind == kind and event.recovered is not None)
            lines.append(f"| {kind} | {count} | {len(times)} | {_seconds(times, len(times) // 2)} | {_seconds(times, -1)} |")
        lines += ["", "| sent | different ids | acknowledged |", "|---|---|---|"]
        lines += [f"| {kind} | {count} | {self.acknowledged.get(kind, 0)} |" for kind, count in self.sent.items()]
        lines += ["", "| asked | answers |", "|---|---|"]
        lines += [f"| {kind} | {', '.join(f'{status}: {count}' for status, count in found.items())} |" for kind, found in self.answers.items()]
        lines += [f"| {who}, called directly | {', '.join(f'{how}: {count}' for how, count in found.items())} |" for who, found in self.calls.items()]
        lines += ["", f"Runs: {self.runs}. Rows: {self.rows}. Coming to rest: {self.rest}.", "", "| invariant | holds |", "|---|---|"]
        lines += [f"| {name} | {'yes' if not faults else 'NO: ' + '; '.join(faults)} |" for name, faults in self.invariants.items()]
        return "\n".join(lines) + "\n"

    def write(self, folder: Path) -> Path:
        """chaos-SEED.json and chaos-SEED.md; returns the latter."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"chaos-{self.seed}.json").write_text(json.dumps(self.as_json(), indent=1))
        page = folder / f"chaos-{self.seed}.md"
        page.write_text(self.as_markdown())
        return page


def _seconds(ordered: list[float], place: int) -> str:
    return f"{ordered[place]:.1f}" if ordered else "–"
