"""What the load sent and what was answered: the other book that the database is compared with.

Belongs here: noting, counting, reading back. Not here: sending (load.py), comparing (invariants.py).
"""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Fetch:
    """A prompt that was handed out: asked at `asked`, answered at `answered` (seconds since 1970)."""

    agent: str
    version: int
    asked: float
    answered: float


@dataclass
class Ledger:
    """Ids by kind. `sent` of them all, `acknowledged` those whose last answer was a success; `texts` of every document in the order they were sent,
    each with whether it was acknowledged."""

    sent: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    acknowledged: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    texts: dict[str, list[tuple[str, bool]]] = field(default_factory=lambda: defaultdict(list))
    fetches: list[Fetch] = field(default_factory=list)
    answers: Counter[tuple[str, str]] = field(default_factory=Counter)
    odd: list[str] = field(default_factory=list)
    corrections: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def sending(self, kind: str, identity: str) -> None:
        with self._lock:
            self.sent[kind].add(identity)

    def done(self, kind: str, identity: str) -> None:
        """Was acknowledged."""
        with self._lock:
            self.sent[kind].add(identity)
            self.acknowledged[kind].add(identity)

    def answered(self, kind: str, status: int | str, text: str = "") -> None:
        """Counts an answer; one that nobody should get is kept in words."""
        with self._lock:
            self.answers[kind, str(status)] += 1
            if isinstance(status, int) and status >= 500 and status not in (502, 503, 504):
                self.odd.append(f"{kind}: {status} {text[:300]}")

    def document(self, identity: str, text: str, acknowledged: bool) -> None:
        with self._lock:
            self.texts[identity].append((text, acknowledged))

    def fetched(self, fetch: Fetch) -> None:
        with self._lock:
            self.fetches.append(fetch)

    def numbers(self) -> dict[str, dict[str, int]]:
        """Answers by kind and status."""
        found: dict[str, dict[str, int]] = defaultdict(dict)
        for (kind, status), count in sorted(self.answers.items()):
            found[kind][status] = count
        return dict(found)
