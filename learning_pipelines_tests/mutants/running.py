"""Runs tests on mutants: collects once, then gives each mutant a fork of the process and only the tests that reach its function, the fastest first.

Belongs here: one group of modules in one process, as a plugin of pytest. Not here: making mutants (making.py), judging what survives (__main__.py).

    python -m learning_pipelines_tests.mutants.running group module … > results

mutmut itself collects anew for each mutant and passes decorated functions over; with a fork after the collection a mutant costs hundredths of a second.
A mutant is killed where a test fails, or where the tests take ten times the processor time that they took on the right function.
"""

from __future__ import annotations

import functools
import importlib
import json
import os
import resource
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

import pytest
from _pytest.runner import runtestprotocol

from learning_pipelines_tests.mutants.making import Mutant, mutants
from learning_pipelines_tests.mutants.targets import GROUPS, PACKAGE, TESTS

SLOWEST = 1.5
"""Seconds of processor time above which a test takes no part: a mutant that only a simulation notices wants a test that says why."""
_LATE = ("scipy.optimize", "scipy.sparse.csgraph", "scipy.special", "scipy.stats")
"""What functions import when they are called; imported once before the first fork."""
_SERVERS = {"server", "make_database", "share_encoder"}
Place = tuple[str, int]
"""File and first line of a function's code."""


class Runner:
    """`results` gets a line of JSON per mutant: {module, mutant, outcome, by}; outcomes: killed, timeout, survived, untested."""

    def __init__(self, modules: Sequence[ModuleType], write: Callable[[dict[str, Any]], None]) -> None:
        self.modules, self.write = modules, write

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = [item for item in items if not _SERVERS & set(getattr(item, "fixturenames", ())) and "slow" not in item.keywords]

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        if session.testsfailed:
            raise session.Interrupted("the tests cannot be collected")
        for name in _LATE:
            importlib.import_module(name)
        known = _in_child(lambda say: [say(self._measured(item)) for item in session.items])
        bad = [one["test"] for one in known.said if one["failed"]]
        if bad or len(known.said) < len(session.items):
            raise session.Failed(f"tests fail without any mutant: {', '.join(bad) or known.end}")
        tests = sorted(zip(session.items, known.said, strict=True), key=lambda pair: pair[1]["seconds"])
        tests = [pair for pair in tests if pair[1]["seconds"] <= SLOWEST]
        for module in self.modules:
            for mutant in mutants(module):
                place = list(_place(mutant.function.__code__))
                self.write({"module": module.__name__, "mutant": mutant.name, **_judged(mutant, [pair for pair in tests if place in pair[1]["reached"]])})
        return True

    def _measured(self, item: pytest.Item) -> dict[str, Any]:
        """A test on the right functions: seconds, whether it failed, and which functions of the modules it reached (caches are emptied before)."""
        files = {module.__file__ for module in self.modules}
        for module in self.modules:
            for one in vars(module).values():
                if isinstance(one, functools._lru_cache_wrapper):
                    one.cache_clear()
        reached: set[Place] = set()

        def look(frame: FrameType, event: str, argument: object) -> None:
            if frame.f_code.co_filename in files:
                reached.add(_place(frame.f_code))

        begun = time.process_time()
        sys.settrace(look)  # type: ignore[arg-type]
        try:
            failed = _fails(item)
        finally:
            sys.settrace(None)
        return {"test": item.nodeid, "seconds": time.process_time() - begun, "failed": failed, "reached": sorted(reached)}


def _judged(mutant: Mutant, tests: Sequence[tuple[pytest.Item, dict[str, Any]]]) -> dict[str, str]:
    if not tests:
        return {"outcome": "untested", "by": ""}

    def run(say: Callable[[object], None]) -> None:
        mutant.put_in()
        for item, _ in tests:
            if _fails(item):
                say(item.nodeid)
                return

    end = _in_child(run, 2 + 10 * sum(said["seconds"] for _, said in tests))
    if end.said:
        return {"outcome": "killed", "by": end.said[0]}
    return {"outcome": {"done": "survived", "time": "timeout"}.get(end.end, "killed"), "by": end.end}


def _fails(item: pytest.Item) -> bool:
    return any(report.failed for report in runtestprotocol(item, log=False, nextitem=None))


def _place(code: Any) -> Place:
    return code.co_filename, code.co_firstlineno


class _End:
    """`said`: what the child said; `end`: done, time, or how it broke."""

    def __init__(self, said: list[Any], end: str) -> None:
        self.said, self.end = said, end


def _in_child(work: Callable[[Callable[[object], None]], object], seconds: float | None = None) -> _End:
    """Does work in a fork of this process, with so many seconds of processor time; it says lines."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.close(read)
            if seconds is not None:
                resource.setrlimit(resource.RLIMIT_CPU, (int(seconds) + 1, int(seconds) + 2))
            with os.fdopen(write, "w") as out:
                work(lambda said: print(json.dumps(said), file=out, flush=True))
            code = 0
        finally:
            os._exit(code)
    os.close(write)
    with os.fdopen(read) as lines:
        said = [json.loads(line) for line in lines]
    status = os.waitpid(child, 0)[1]
    late = os.WIFSIGNALED(status) and os.WTERMSIG(status) in (24, 9)  # SIGXCPU, SIGKILL
    return _End(said, "done" if status == 0 else "time" if late else f"broke ({status})")


def main(group: str, names: Iterable[str]) -> int:
    out = os.fdopen(os.dup(1), "w")
    modules = [importlib.import_module(f"{PACKAGE}.{name}".replace("/", ".")) for name in names]
    runner = Runner(modules, lambda found: print(json.dumps(found, ensure_ascii=False), file=out, flush=True))
    root = Path(__file__).parents[2]
    files = [str(root / TESTS / f"{name}.py") for name in GROUPS[group].tests]
    return int(pytest.main(["-q", "-p", "no:cacheprovider", "--rootdir", str(root), *files], plugins=[runner]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
