"""Costly parts kept by their name: each is loaded once even where many ask for it at once, and whoever asks for another is answered meanwhile.

Belongs here: keeping, waiting, letting go of what was asked for longest ago. Not here: what is loaded (loaded.py, encoders.py, behavior/loaded.py).
"""

from __future__ import annotations

import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Part = TypeVar("Part")


class KeptParts(Generic[Key, Part]):
    """Threads may share one. `most`: sizes that are kept together at most; the last part that was loaded stays, whatever its size."""

    def __init__(self, most: int = sys.maxsize) -> None:
        self._most = most
        self._kept: OrderedDict[Key, tuple[Part, int]] = OrderedDict()
        self._loading: dict[Key, threading.Lock] = {}
        self._lock = threading.Lock()

    def of(self, key: Key, load: Callable[[], Part], size: Callable[[Part], int] = lambda _: 1) -> Part:
        """The part of this name. Raises what `load` raises; then the next who asks loads again."""
        if (found := self._at_hand(key)) is not None:
            return found[0]
        with self._lock:
            loading = self._loading.setdefault(key, threading.Lock())
        with loading:
            if (found := self._at_hand(key)) is not None:
                return found[0]
            try:
                part = load()
                self._keep(key, part, size(part))
            finally:
                with self._lock:
                    self._loading.pop(key, None)
        return part

    def clear(self) -> list[Part]:
        """Lets go of everything; what that was."""
        with self._lock:
            parts = [part for part, _ in self._kept.values()]
            self._kept.clear()
        return parts

    def _at_hand(self, key: Key) -> tuple[Part, int] | None:
        with self._lock:
            if key not in self._kept:
                return None
            self._kept.move_to_end(key)
            return self._kept[key]

    def _keep(self, key: Key, part: Part, size: int) -> None:
        with self._lock:
            self._kept[key] = part, size
            while len(self._kept) > 1 and sum(one for _, one in self._kept.values()) > self._most:
                self._kept.popitem(last=False)
