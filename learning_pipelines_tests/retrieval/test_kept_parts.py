"""Costly parts: loaded once, without keeping those waiting who ask for another; bounded, and loaded again after a failure.

Belongs here: retrieval/kept_parts.py. Not here: what is loaded (test_searcher.py, ../api/test_next_action.py).
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from learning_pipelines.retrieval.kept_parts import KeptParts


def test_many_who_ask_at_once_load_it_once() -> None:
    parts, loaded, together = KeptParts[str, int](), list[int](), threading.Barrier(8)

    def load() -> int:
        loaded.append(1)
        return len(loaded)

    def ask() -> int:
        together.wait(10)
        return parts.of("a", load)

    with ThreadPoolExecutor(8) as pool:
        assert {one.result() for one in [pool.submit(ask) for _ in range(8)]} == {1}
    assert loaded == [1]


def test_whoever_asks_for_another_part_does_not_wait() -> None:
    parts, begun, may_end = KeptParts[str, str](), threading.Event(), threading.Event()

    def slow() -> str:
        begun.set()
        assert may_end.wait(10)
        return "slow"

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(parts.of, "a", slow)
        assert begun.wait(10)
        assert parts.of("b", lambda: "quick") == "quick"
        assert not waiting.done()
        may_end.set()
        assert waiting.result(10) == "slow"


def test_what_could_not_be_loaded_is_loaded_by_the_next_who_asks() -> None:
    parts = KeptParts[str, str]()
    with pytest.raises(OSError, match="away"):
        parts.of("a", lambda: (_ for _ in ()).throw(OSError("away")))
    assert parts.of("a", lambda: "there") == "there" and not parts._loading


def test_beyond_its_bound_what_was_asked_for_longest_ago_goes() -> None:
    parts, loaded = KeptParts[str, str](5), list[str]()

    def ask(name: str, size: int) -> str:
        return parts.of(name, lambda: (loaded.append(name), name)[1], lambda _: size)

    for name, size in (("a", 2), ("b", 2), ("a", 2), ("c", 3), ("a", 2), ("b", 2)):
        assert ask(name, size) == name
    assert loaded == ["a", "b", "c", "b"]
    assert ask("large", 50) == "large" and parts.clear() == ["large"]
