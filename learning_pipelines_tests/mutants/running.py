"""Runs tests on mutants: collects once, then puts one mutant after the other in and gives it only the tests that reach its function.

Belongs here: one group of modules in one process, as a plugin of pytest. Not here: making mutants (making.py), judging what survives (__main__.py), forks
(forking.py).

    python -m learning_pipelines_tests.mutants.running group module … > results

mutmut itself collects anew for each mutant and passes decorated functions over; without that a mutant costs hundredths of a second. A mutant is killed where a
test fails that passes again with the right function, or where a test takes ten times the processor time that it took on the right function.
"""

from __future__ import annotations

import functools
import gc
import importlib
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

import pytest
from _pytest.runner import runtestprotocol
from _pytest.warnings import catch_warnings_for_item

from learning_pipelines_tests.mutants.forking import done, within
from learning_pipelines_tests.mutants.making import Mutant, mutants
from learning_pipelines_tests.mutants.targets import GROUPS, PACKAGE, TESTS

_LATE = ("scipy.optimize", "scipy.sparse.csgraph", "scipy.special", "scipy.stats")
"""What functions import when they are called; imported once before the first fork."""
_SERVERS = {"server", "make_database", "share_encoder"}
_PYTEST = ("-q", "-p", "no:cacheprovider", "-p", "no:faker", "--assert=plain", "--tb=native")
"""Nobody reads why a mutant fails; saying it takes longer than the test."""
Place = tuple[str, int]
"""File and first line of a function's code."""


@dataclass(frozen=True)
class Known:
    """A test on the right functions: seconds of processor time, and the functions of the modules that it reached."""

    item: pytest.Item
    seconds: float
    reached: frozenset[Place]


class Runner:
    """`results` gets a line of JSON per mutant: {module, mutant, outcome, by}; outcomes: killed, timeout, survived, untested."""

    def __init__(self, modules: Sequence[ModuleType], slowest: float, write: Callable[[dict[str, Any]], None]) -> None:
        self.modules, self.slowest, self.write = modules, slowest, write
        self.caches = [one for module in modules for one in vars(module).values() if isinstance(one, functools._lru_cache_wrapper)]
        self.kills = Counter[tuple[Place, str]]()

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = [item for item in items if not _SERVERS & set(getattr(item, "fixturenames", ())) and "slow" not in item.keywords]

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        if session.testsfailed:
            raise session.Interrupted("the tests cannot be collected")
        for name in _LATE:
            importlib.import_module(name)
        gc.freeze()
        tests = self._known(session)
        work = [(module.__name__, mutant, _place(mutant.function.__code__)) for module in self.modules for mutant in mutants(module)]
        reaching = {place: [one for one in tests if place in one.reached] for _, _, place in work}

        def judged(job: tuple[str, Mutant, Place]) -> tuple[dict[str, str], bool]:
            return self._judged(job[1], job[2], reaching[job[2]])

        for (module, mutant, place), said, end in done(work, judged):
            found = said if said is not None else {"outcome": "timeout" if end == "time" else "killed", "by": end}
            self.kills[place, found["by"]] += 1
            self.write({"module": module, "mutant": mutant.name, **found})
        return True

    def _known(self, session: pytest.Session) -> list[Known]:
        """The tests that are fast enough. Raises where one fails."""
        known, bad = [], []
        for item, said, end in done(session.items, lambda item: (self._measured(item), True)):
            if said is None and end != "time":
                bad.append(f"{item.nodeid} ({end})")
            elif said is not None and said["failed"]:
                bad.append(item.nodeid)
            elif said is not None and said["seconds"] <= self.slowest:
                known.append(Known(item, said["seconds"], frozenset((file, line) for file, line in said["reached"])))
        if bad:
            raise session.Failed(f"tests fail without any mutant: {', '.join(bad)}")
        return known

    def _measured(self, item: pytest.Item) -> dict[str, Any]:
        files = {module.__file__ for module in self.modules}
        reached: set[Place] = set()

        def look(frame: FrameType, event: str, argument: object) -> None:
            if frame.f_code.co_filename in files:
                reached.add(_place(frame.f_code))

        begun = time.process_time()
        sys.settrace(look)  # type: ignore[arg-type]
        try:
            with within(2 * self.slowest):
                failed = self._fails(item)
        finally:
            sys.settrace(None)
        return {"seconds": time.process_time() - begun, "failed": failed, "reached": sorted(reached)}

    def _judged(self, mutant: Mutant, place: Place, tests: Sequence[Known]) -> tuple[dict[str, str], bool]:
        """What tests say of a mutant, those first that are fast and that killed others of its function; whether all is as it was before."""
        for one in sorted(tests, key=lambda one: one.seconds / (1 + self.kills[place, one.item.nodeid])):
            with within(0.5 + 10 * one.seconds):
                with mutant.put_in():
                    fails = self._fails(one.item)
                if fails:
                    self.kills[place, one.item.nodeid] += 1
                    return {"outcome": "killed", "by": one.item.nodeid}, not self._fails(one.item)
        return {"outcome": "survived" if tests else "untested", "by": "done"}, True

    def _fails(self, item: pytest.Item) -> bool:
        for cache in self.caches:
            cache.cache_clear()
        with catch_warnings_for_item(config=item.config, ihook=item.ihook, when="runtest", item=item):
            return any(report.failed for report in runtestprotocol(item, log=False, nextitem=None))


def _place(code: Any) -> Place:
    return code.co_filename, code.co_firstlineno


def main(group: str, names: Iterable[str]) -> int:
    out = os.fdopen(os.dup(1), "w")
    modules = [importlib.import_module(f"{PACKAGE}.{name}".replace("/", ".")) for name in names]
    runner = Runner(modules, GROUPS[group].slowest, lambda found: print(json.dumps(found, ensure_ascii=False), file=out, flush=True))
    root = Path(__file__).parents[2]
    files = [str(root / TESTS / f"{name}.py") for name in GROUPS[group].tests]
    return int(pytest.main([*_PYTEST, "--rootdir", str(root), *files], plugins=[runner]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
