"""What tests of learners share.

Belongs here: fixtures of several modules. Not here: the tiny model (tiny.py).
"""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest


@pytest.fixture
def small_files() -> Callable[[int], AbstractContextManager[None]]:
    """`with small_files(most):` no file may grow beyond so many bytes: the kernel refuses the write, as on a full disk."""

    @contextmanager
    def limited(most: int) -> Iterator[None]:
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return limited
