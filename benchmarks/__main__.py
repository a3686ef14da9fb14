"""Runs benchmarks: `python -m benchmarks NAME [--quick] [--publish] [arguments of the benchmark]`, `--all --quick`, `--list`, `--table`.

Belongs here: the command line, one process per benchmark, keeping results. Not here: which there are (registry.py), the form of a result (record.py).

Runs at the registry's own sizes, in full or quick, are kept in benchmarks/results; those with arguments of your choice in LEARNING_HOME, or with --publish
in benchmarks/results as well.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import record, registry, table
from benchmarks.registry import BENCHMARKS, Benchmark


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False)
    parser.add_argument("name", nargs="?", help="one of those that --list shows")
    parser.add_argument("--quick", action="store_true", help="at small sizes")
    parser.add_argument("--publish", action="store_true", help="keep the result in benchmarks/results although the arguments are your own")
    parser.add_argument("--all", action="store_true", help="every one, after each other")
    parser.add_argument("--list", action="store_true", help="what there is, what it needs and how long it takes")
    parser.add_argument("--table", action="store_true", help="make the README's table of the results anew")
    chosen, given = parser.parse_known_args()
    if chosen.list:
        print(registry.listed())
        return 0
    if chosen.table:
        table.update()
        return 0
    if chosen.all:
        return run_all(chosen.quick)
    if chosen.name not in BENCHMARKS:
        parser.error(f"there is no benchmark {chosen.name}: --list shows what there is" if chosen.name else "name a benchmark: --list shows what there is")
    if missing := BENCHMARKS[chosen.name].missing(peers=not given):
        print(f"{chosen.name} cannot run here: {missing}", file=sys.stderr)
        return 2
    return run(BENCHMARKS[chosen.name], "quick" if chosen.quick and not given else "own" if given else "full", given, chosen.publish)


def run_all(quick: bool) -> int:
    """Every benchmark that can run here. Goes on after one that failed, and says at the end which did and which could not."""
    failed, missing = [], {}
    for name, one in BENCHMARKS.items():
        if reason := one.missing():
            missing[name] = reason
        elif run(one, "quick" if quick else "full", []):
            failed.append(name)
    for name, reason in missing.items():
        print(f"not run: {name}: {reason}")
    print(f"{len(BENCHMARKS) - len(failed) - len(missing)} of {len(BENCHMARKS)} benchmarks ran" + (f"; failed: {', '.join(failed)}" if failed else ""))
    return 1 if failed else 0


def run(one: Benchmark, size: str, given: list[str], publish: bool = False) -> int:
    """One benchmark in a process of its own; its exit code. A result is kept only of a run that ended well."""
    asked = given or shlex.split(one.quick if size == "quick" else one.full)
    print(f"\n== {one.name}: {one.measures}\n== {' '.join([one.module, *asked])}", flush=True)
    git, before, begun = record.revision(), record.in_use(), time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        figures, scratch = Path(folder) / "figures.jsonl", Path(folder) / "scratch"
        figures.touch()
        scratch.mkdir()
        arguments = [argument.replace(registry.SCRATCH, str(scratch)) for argument in asked]
        code = subprocess.run([sys.executable, "-m", one.module, *arguments], env={**os.environ, record.FIGURES: str(figures)}).returncode
        seconds = time.monotonic() - begun
        found, left_out = record.collected(figures.read_text(encoding="utf-8").splitlines())
    if code or not found:
        print(f"== {one.name} failed (exit code {code}, {len(found)} figures): no result is kept", file=sys.stderr)
        return code or 1
    after = record.in_use()
    result = record.Result(
        one.name, size, asked, git, f"{dt.datetime.now(dt.UTC):%Y-%m-%d}", one.seed_of(asked), round(seconds, 1), record.described(),
        [before[0], after[0]], found, left_out, [before[1], after[1]],
    )  # fmt: skip
    path = record.path_of(one.name, size) if size != "own" or publish else _own(one.name)
    record.write(result, path)
    print(f"== {seconds:.0f} s; {len(found)} figures in {path}", flush=True)
    return 0


def _own(name: str) -> Path:
    from learning_pipelines.settings import load_settings

    return load_settings().home / "benchmarks" / "results" / f"{name}.json"


if __name__ == "__main__":
    sys.exit(main())
