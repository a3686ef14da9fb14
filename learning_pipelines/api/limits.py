"""Rate limits per API key, person and address.

Belongs here: what is counted, fixed windows in memory, the answer when it is too much. Not here: how a limit is written (the library
`limits`; its own memory store starts a thread every 10 ms that looks at every window there is).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from limits import RateLimitItem, parse

from learning_pipelines.api.principals import Principal
from learning_pipelines.api.problems import Problem
from learning_pipelines.errors import BadInput

DEFAULTS = {"key": "5000/second", "user": "50/second", "address": "200/second"}


class Limits:
    """Counts requests in this process (several workers count each for itself). `key` counts an API key, `user` a person or token,
    `address` whoever sends no valid API key."""

    def __init__(self, setting: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._windows = {name: _Windows(_parsed(name, text), clock) for name, text in {**DEFAULTS, **_given(setting)}.items()}

    def address(self, address: str) -> None:
        """Counts a request without a valid API key. Raises 429."""
        self._hit("address", address)

    def principal(self, who: Principal, address: str) -> None:
        """Counts a request of somebody known. Raises 429."""
        if who.kind == "key":
            self._hit("key", str(who.key_id))
        else:
            self._hit("user", f"{who.organization}/{who.user or who.execution_id}")
            self._hit("address", address)

    def _hit(self, name: str, value: str) -> None:
        windows = self._windows[name]
        if (left := windows.count(value)) is not None:
            wait = max(1, math.ceil(left))
            raise Problem(429, f"More than {windows.limit} for this {name}. Try again in {wait} s.", headers={"Retry-After": str(wait)})


class _Windows:
    """A count per value and window; a window begins with the first request after the last one's end."""

    def __init__(self, limit: RateLimitItem, clock: Callable[[], float]) -> None:
        self.limit = limit
        self._most, self._seconds = limit.amount, limit.get_expiry()
        self._clock = clock
        self._open: dict[str, tuple[float, int]] = {}
        self._sweep = clock() + self._seconds

    def count(self, value: str) -> float | None:
        """Counts one request; the seconds until the window ends if it is one too many."""
        now = self._clock()
        if now >= self._sweep:  # once per window: each is looked at twice at most
            self._open = {name: window for name, window in self._open.items() if window[0] > now}
            self._sweep = now + self._seconds
        ends, counted = self._open.get(value, (0.0, 0))
        if ends <= now:
            ends, counted = now + self._seconds, 0
        self._open[value] = ends, counted + 1
        return ends - now if counted >= self._most else None


def _given(setting: str) -> dict[str, str]:
    given: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in setting.split(","))):
        name, separator, text = part.partition("=")
        if not separator or name.strip() not in DEFAULTS:
            raise _bad(part)
        given[name.strip()] = text.strip()
    return given


def _parsed(name: str, text: str) -> RateLimitItem:
    try:
        return parse(text)
    except ValueError as error:
        raise _bad(f"{name}={text}") from error


def _bad(part: str) -> BadInput:
    return BadInput(f"LEARNING_RATE_LIMITS has {part!r}.", "It looks like key=5000/second,user=50/second,address=200/minute.")
