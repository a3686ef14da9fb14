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
    not in time. `rows` and `works`: what there was when it fell (sight.py); None: nobody could look, the database was away."""

    kind: str
    at: float
    what: str
    recovered: float | None
    judged: bool = True
    rows: dict[str, int] | None = None
    works: dict[str, int] | None = None


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
    silent: list[str] = dataclasses.field(default_factory=list)
    """Invariants whose subject has not a single row: nothing could break them."""

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
        fields = {one.name: stored[one.name] for one in dataclasses.fields(cls) if one.name in stored}
        return cls(**{**fields, "events": [Event(**event) for event in stored["events"]], "missed": Counter(stored["missed"])})

    def by_kind(self) -> Counter[str]:
        return Counter(event.kind for event in self.events)

    def as_markdown(self) -> str:
        lines = [
            f"# Chaos, seed {self.seed}: {self._verdict()}", "",
            f"{len(self.events)} blows in {self.seconds / 60:.0f} minutes from {self.begun}; model: {self.model}; "
            f"disk {'of its own, filled' if self.disk_limited else 'not limited: never filled'}. {self.conditions}".rstrip(), "",
            "| struck | times | of them well before the next | median seconds until then | longest |", "|---|---|---|---|---|",
        ]  # fmt: skip
        for kind, count in self.by_kind().most_common():
            times = sorted(event.recovered for event in self.events if event.kind == kind and event.recovered is not None)
            lines.append(f"| {kind} | {count} | {len(times)} | {_seconds(times, len(times) // 2)} | {_seconds(times, -1)} |")
        lines += self._met()
        lines += ["", "| sent | different ids | acknowledged |", "|---|---|---|"]
        lines += [f"| {kind} | {count} | {self.acknowledged.get(kind, 0)} |" for kind, count in self.sent.items()]
        lines += ["", "| asked | answers |", "|---|---|"]
        lines += [f"| {kind} | {', '.join(f'{status}: {count}' for status, count in found.items())} |" for kind, found in self.answers.items()]
        lines += [f"| {who}, called directly | {', '.join(f'{how}: {count}' for how, count in found.items())} |" for who, found in self.calls.items()]
        lines += ["", f"Runs: {self.runs}. Rows: {self.rows}. Coming to rest: {self.rest}.", "", "| invariant | holds |", "|---|---|"]
        lines += [f"| {name} | {self._answer(name)} |" for name in self.invariants]
        return "\n".join(lines) + "\n"

    def _verdict(self) -> str:
        if not self.holds:
            return "AN INVARIANT FAILED"
        return f"no invariant failed, {len(self.silent)} with nothing to say" if self.silent else "every invariant holds"

    def _answer(self, name: str) -> str:
        if faults := self.invariants[name]:
            return "NO: " + "; ".join(faults)
        return "nothing to say" if name in self.silent else "yes"

    def _met(self) -> list[str]:
        """What there was to break when blows fell."""
        seen = [event for event in self.events if event.rows is not None]
        if not seen:
            return []
        lines = ["", "| when a blow fell there were | in the middle | at most | blows that met any |", "|---|---|---|---|"]
        for table in seen[0].rows or {}:
            counts = sorted((event.rows or {}).get(table, 0) for event in seen)
            lines.append(f"| {table} | {counts[len(counts) // 2]} | {counts[-1]} | {sum(count > 0 for count in counts)} |")
        for job in sorted({job for event in seen for job in event.works or {}}):
            counts = sorted((event.works or {}).get(job, 0) for event in seen)
            lines.append(f"| runs of {job} at work | {counts[len(counts) // 2]} | {counts[-1]} | {sum(count > 0 for count in counts)} |")
        return [*lines, "", f"Of {len(self.events)} blows {len(self.events) - len(seen)} fell while nobody could look: the database was away."]

    def write(self, folder: Path) -> Path:
        """chaos-SEED.json and chaos-SEED.md; returns the latter."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"chaos-{self.seed}.json").write_text(json.dumps(self.as_json(), indent=1))
        page = folder / f"chaos-{self.seed}.md"
        page.write_text(self.as_markdown())
        return page


def _seconds(ordered: list[float], place: int) -> str:
    return f"{ordered[place]:.1f}" if ordered else "–"
