"""Rate limits per API key, person and address.

Belongs here: what is counted and the answer when it is too much. Not here: the counting itself (the library `limits`).
"""

from __future__ import annotations

import math
import time

from limits import RateLimitItem, parse
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter

from learning_pipelines.api.principals import Principal
from learning_pipelines.api.problems import Problem
from learning_pipelines.errors import BadInput

DEFAULTS = {"key": "5000/second", "user": "50/second", "address": "200/second"}


class Limits:
    """Counts requests in this process (several workers count each for itself). `key` counts an API key, `user` a person or token,
    `address` whoever sends no valid API key."""

    def __init__(self, setting: str) -> None:
        self._limits = {name: _parsed(name, text) for name, text in {**DEFAULTS, **_given(setting)}.items()}
        self._limiter = FixedWindowRateLimiter(MemoryStorage())

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
        limit = self._limits[name]
        if not self._limiter.hit(limit, value):
            reset = self._limiter.get_window_stats(limit, value).reset_time
            wait = max(1, math.ceil(reset - time.time()))
            raise Problem(429, f"More than {limit} for this {name}. Try again in {wait} s.", headers={"Retry-After": str(wait)})


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
