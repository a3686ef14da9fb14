"""`make mutants`: which small wrong changes of the deciding modules no test notices, and whether each of them has been looked at.

    python -m learning_pipelines_tests.mutants [acceptance | sequential | plans | splits | policies | suggestions | part of a module's path …]

Belongs here: the table, the comparison with explained.toml, what makes the target fail. Not here: the mutants (making.py), running tests on them (running.py).

It fails on a mutant that survives unexplained, and on an explanation of one that does not survive (any more).
"""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from learning_pipelines_tests.mutants.targets import PACKAGE, chosen

EXPLAINED = Path(__file__).with_name("explained.toml")
"""{module: {mutant: reason}}; a module's "functions" are those that tests of other folders look after: {function: reason}."""
Explained = Mapping[str, Mapping[str, Any]]
Result = Mapping[str, str]
_HEAD = ("module", "mutants", "killed", "timeout", "survived", "untested", "explained")


def judged(results: Sequence[Result], explained: Explained) -> tuple[list[tuple[str, ...]], list[str], list[str]]:
    """(rows of the table, mutants that nobody explained, explanations that explain nothing) of modules that were run."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    open_ones, used = [], set[tuple[str, str]]()
    for one in results:
        module = one["module"].removeprefix(f"{PACKAGE}.").replace(".", "/")
        counts[module][one["outcome"]] += 1
        if one["outcome"] in ("killed", "timeout"):
            continue
        reasons = explained.get(module, {})
        function = one["mutant"].partition(":")[0]
        key = one["mutant"] if one["mutant"] in reasons else f"functions {function}"
        if one["mutant"] in reasons or function in reasons.get("functions", {}):
            counts[module]["explained"] += 1
            used.add((module, key))
        else:
            open_ones.append(f"{module} {one['mutant']} ({one['outcome']})")
    rows = [(module, str(found.total() - found["explained"]), *(str(found[name]) for name in _HEAD[2:])) for module, found in counts.items()]
    said = {(module, key) for module in counts for key in _keys(explained.get(module, {}))}
    return rows, open_ones, [f"{module} {key}" for module, key in sorted(said - used)]


def _keys(reasons: Mapping[str, Any]) -> Iterator[str]:
    for key, reason in reasons.items():
        if key == "functions":
            yield from (f"functions {function}" for function in reason)
        else:
            yield key


def main(asked: list[str]) -> int:
    try:
        groups = chosen(asked)
    except ValueError as error:
        print(error)
        return 2
    results: list[Result] = []
    for name, group in groups.items():
        # A process for each group: what it imports and how it collects is its own.
        command = [sys.executable, "-m", "learning_pipelines_tests.mutants.running", name, *group.modules]
        run = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
        lines = run.stdout.splitlines()
        if run.returncode:
            print("\n".join(line for line in lines if not line.startswith("{")))
            print(f"{name}: its tests do not run without any mutant.")
            return run.returncode
        results += [json.loads(line) for line in lines if line.startswith("{")]
    rows, open_ones, stale = judged(results, tomllib.loads(EXPLAINED.read_text()))
    widths = [max(len(row[at]) for row in (_HEAD, *rows)) for at in range(len(_HEAD))]
    for row in (_HEAD, *rows):
        print("  ".join(cell.ljust(width) if not at else cell.rjust(width) for at, (cell, width) in enumerate(zip(row, widths, strict=True))))
    for line in open_ones:
        print(f"nobody explained: {line}")
    for line in stale:
        print(f"explained, but it does not survive: {line}")
    return 1 if open_ones or stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
