"""The figures of a benchmark, and the one form in which its result is kept.

Belongs here: noting a figure, the result's form, the description of machine and conditions. Not here: which benchmarks there are (registry.py), running them
(__main__.py), the README's table (table.py).

A benchmark calls `record(...)` wherever it has measured something; the same name again is the next round of it. Alone (`python -m benchmarks.loop`) it only
prints, as ever; run through `python -m benchmarks` its figures go line by line into the file that LEARNING_BENCHMARK_FIGURES names.
"""

from __future__ import annotations

import json
import math
import os
import platform
import statistics
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[1]
RESULTS = PROJECT / "benchmarks" / "results"
FIGURES = "LEARNING_BENCHMARK_FIGURES"
OURS = "ours"
UNITS = {"_cpu_ms": "ms of a core", "_ms": "ms"}
"""What endings of names mean, the longer before the shorter."""
BUSY = 0.10
"""A machine is called quiet if other work of ordinary priority had less than this share of its cores before the benchmark began and after it ended."""


@dataclass(frozen=True)
class Figure:
    """What was measured, of whom (ours, or a peer with its version), and every round of it as it was found."""

    name: str
    who: str
    unit: str
    rounds: list[float]

    @property
    def median(self) -> float:
        return statistics.median(self.rounds)


@dataclass(frozen=True)
class Result:
    """One run of one benchmark. `size`: full, quick or own (with `arguments` of somebody's choice); `busy`: shares of the cores that other work had just before
    the run and just after, `yielding`: those that work of lower priority (nice) had, which makes way but shares caches and the disk; `seconds` of the whole
    run; `left_out`: what it could not measure here, in words."""

    benchmark: str
    size: str
    arguments: list[str]
    git: str
    date: str
    seed: int
    seconds: float
    machine: dict[str, Any]
    busy: list[float]
    figures: list[Figure]
    left_out: list[str] = field(default_factory=list)
    yielding: list[float] = field(default_factory=lambda: [0.0, 0.0])

    @property
    def quiet(self) -> bool:
        return max(self.busy) < BUSY


def record(name: str, value: float, unit: str, who: str = OURS) -> None:
    """Notes one round of a figure, if somebody keeps them. `unit` is empty for shares and scores. A value that is no number was not measured: an error."""
    if not math.isfinite(value):
        raise ValueError(f"{name} of {who} is {value}: it was not measured")
    if (path := os.environ.get(FIGURES)) is not None:
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps({"name": name, "who": who, "unit": unit, "value": float(value)}) + "\n")


def record_numbers(name: str, found: Mapping[str, Any]) -> None:
    """Notes each number of a table's row; units are the endings of their names (`p50_ms`)."""
    for key, value in found.items():
        if isinstance(value, int | float) and not isinstance(value, bool):
            ending = next((ending for ending in UNITS if f"_{key}".endswith(ending)), "")
            of = f"_{key}".removesuffix(ending).strip("_").replace("_", " ")
            record(f"{name}, {of}" if of else name, value, UNITS.get(ending, ""))


def left_out(what: str) -> None:
    """Says, and notes, that a part could not be measured here."""
    print(what, flush=True)
    if (path := os.environ.get(FIGURES)) is not None:
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps({"left_out": what}) + "\n")


def collected(lines: Iterable[str]) -> tuple[list[Figure], list[str]]:
    """What was noted, rounds of one figure together, in the order in which the figures came first."""
    found: dict[tuple[str, str], Figure] = {}
    missing: list[str] = []
    for line in lines:
        noted = json.loads(line)
        if "left_out" in noted:
            missing.append(noted["left_out"])
            continue
        figure = found.setdefault((noted["name"], noted["who"]), Figure(noted["name"], noted["who"], noted["unit"], []))
        if figure.unit != noted["unit"]:
            raise ValueError(f"{figure.name} of {figure.who} was noted in {figure.unit!r} and in {noted['unit']!r}")
        figure.rounds.append(noted["value"])
    return list(found.values()), missing


def path_of(name: str, size: str, results: Path = RESULTS) -> Path:
    return results / "quick" / f"{name}.json" if size == "quick" else results / f"{name}.json"


def write(result: Result, path: Path) -> None:
    """Whole or not at all; numbers with six digits, each figure on a line of its own, so that versions compare well."""
    values = asdict(result)
    figures = [json.dumps({**one, "rounds": [float(f"{value:.6g}") for value in one["rounds"]]}, ensure_ascii=False) for one in values.pop("figures")]
    head = json.dumps(values, ensure_ascii=False, indent=1)[:-2]
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".draft")
    draft.write_text(head + ',\n "figures": [\n  ' + ",\n  ".join(figures) + "\n ]\n}\n", encoding="utf-8")
    draft.replace(path)


def read(path: Path) -> Result:
    values = json.loads(path.read_text(encoding="utf-8"))
    return Result(**{**values, "figures": [Figure(**one) for one in values["figures"]]})


def newest(name: str, results: Path = RESULTS) -> Result | None:
    """The result in full, else the small one, else none."""
    return next((read(path) for size in ("full", "quick") if (path := path_of(name, size, results)).exists()), None)


def described() -> dict[str, Any]:
    """The machine, without its name."""
    import psutil

    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    memory = round(psutil.virtual_memory().total / 2**30)
    return {"cores": os.cpu_count(), "cpu": model, "memory_gb": memory, "python": platform.python_version(), "system": platform.system()}


def in_use(seconds: float = 3.0) -> tuple[float, float]:
    """Shares of the machine's cores that are in use now: by work of ordinary priority, and by work that makes way for it (nice)."""
    import psutil

    found = psutil.cpu_times_percent(seconds)
    return round(max(0.0, 100 - found.idle - getattr(found, "iowait", 0.0) - found.nice) / 100, 3), round(found.nice / 100, 3)


def revision() -> str:
    """The commit, with + where files differ from it; results and the README are no such files."""
    asked = subprocess.run(["git", "rev-parse", "--short=10", "HEAD"], cwd=PROJECT, capture_output=True, text=True)
    changed = subprocess.run(["git", "status", "--porcelain", "--", ".", ":!benchmarks/results", ":!README.md"], cwd=PROJECT, capture_output=True, text=True)
    commit = asked.stdout.strip()
    return f"commit {commit}{'+' if changed.stdout.strip() else ''}" if commit else "unknown"
