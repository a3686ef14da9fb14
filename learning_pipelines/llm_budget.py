"""What calls of language models cost, counted once: prices, usage, and a budget that is never exceeded.

Belongs here: counting, shared by the threads of a run. Not here: making calls (llm_client.py), keeping usage (storage/llm_cache.py).
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation

from learning_pipelines.errors import BadInput
from learning_pipelines.llm_errors import BudgetExceeded

_MILLION = Decimal(1_000_000)
_FORMAT = "It is a comma-separated list of model=input/output[/cached input] in US dollars per million tokens, for example gpt-4o-mini=0.15/0.60/0.075."


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars per million tokens. Decimal: sums of many small amounts must stay exact."""

    input: Decimal
    output: Decimal
    cached_input: Decimal | None = None

    def of(self, input_tokens: int, output_tokens: int, cached_tokens: int = 0) -> Decimal:
        cached_price = self.input if self.cached_input is None else self.cached_input
        return ((input_tokens - cached_tokens) * self.input + cached_tokens * cached_price + output_tokens * self.output) / _MILLION


FREE = Price(Decimal(0), Decimal(0))


def parse_prices(text: str) -> dict[str, Price]:
    """The price of each model named in `text`. Raises BadInput naming the part that cannot be read."""
    prices = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, amounts = part.rpartition("=")
        try:
            values = [Decimal(amount) for amount in amounts.split("/")]
        except InvalidOperation:
            values = []
        if not name or len(values) not in (2, 3) or not all(value.is_finite() and value >= 0 for value in values):
            raise BadInput(f"LEARNING_MODEL_PRICES cannot be read at {part!r}.", _FORMAT)
        prices[name.strip()] = Price(*values)
    return prices


@dataclass(frozen=True, slots=True)
class Usage:
    """What was used of one model in one role. `requests` counts what was sent, failures and retries too; tokens and money are those of the endpoint only.

    `unpriced` counts answers of a model without a known price: as soon as there is one, the cost as a whole is unknown.
    """

    role: str = ""
    model: str = ""
    requests: int = 0
    answers: int = 0
    cache_hits: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    priced_usd: Decimal = Decimal(0)
    unpriced: int = 0

    @property
    def tokens(self) -> int:
        return self.input_tokens + self.output_tokens

    @property
    def cost_usd(self) -> float | None:
        return None if self.unpriced else float(self.priced_usd)

    def plus(self, other: Usage) -> Usage:
        """The sum, under our own role and model."""
        return replace(self, **{name: getattr(self, name) + getattr(other, name) for name in _COUNTS})


_COUNTS = ("requests", "answers", "cache_hits", "input_tokens", "output_tokens", "cached_tokens", "priced_usd", "unpriced")


@dataclass(frozen=True, slots=True)
class Amount:
    """Calls, tokens and money at once: a limit, what is used, or what one call may take at most."""

    calls: int = 0
    tokens: int = 0
    usd: Decimal = Decimal(0)

    def __add__(self, other: Amount) -> Amount:
        return Amount(self.calls + other.calls, self.tokens + other.tokens, self.usd + other.usd)

    def __sub__(self, other: Amount) -> Amount:
        return Amount(self.calls - other.calls, self.tokens - other.tokens, self.usd - other.usd)


class Budget:
    """The most a run may use, over all its models and threads; without limits it only counts.

    A call is let through if the most it can take still fits. If it would fit only once calls under way turn out smaller than their most,
    it waits for them. `calls` counts every request that is sent, retries too; answers out of the cache are free.
    """

    def __init__(self, calls: int | None = None, tokens: int | None = None, usd: float | Decimal | None = None) -> None:
        self.calls, self.tokens = calls, tokens
        self.usd = None if usd is None else Decimal(str(usd))
        self._used, self._held = Amount(), Amount()
        self._by_model: dict[tuple[str, str], Usage] = {}
        self._taken: dict[tuple[str, str], Usage] = {}
        self._changed = threading.Condition()

    def reserve(self, most: Amount) -> Amount:
        """Sets `most` aside. Raises BudgetExceeded if it does not fit. Whoever reserves must `settle` exactly once."""
        with self._changed:
            while True:
                if reason := self._over(self._used, most):
                    raise BudgetExceeded(f"The budget of this run is used up: {reason}.", "Raise it and run again: answers that are in the cache cost nothing.")
                if not self._over(self._used + self._held, most):
                    self._held += most
                    return most
                self._changed.wait()

    def settle(self, reserved: Amount, used: Usage) -> None:
        """Replaces what was reserved by what one request really took."""
        with self._changed:
            self._held -= reserved
            self._used += Amount(used.requests, used.tokens, used.priced_usd)
            self._count(used)
            self._changed.notify_all()

    def count_hit(self, role: str, model: str) -> None:
        with self._changed:
            self._count(Usage(role, model, cache_hits=1))

    @property
    def spent(self) -> Usage:
        """The sum over all models."""
        with self._changed:
            return _sum(self._by_model)

    def usage(self) -> list[Usage]:
        """Per role and model, since the beginning."""
        with self._changed:
            return list(self._by_model.values())

    def take_usage(self) -> list[Usage]:
        """Per role and model, what came since this was last called: for whoever keeps accounts and adds up."""
        with self._changed:
            taken, self._taken = self._taken, {}
            return list(taken.values())

    def _count(self, used: Usage) -> None:
        key = (used.role, used.model)
        for tally in (self._by_model, self._taken):
            tally[key] = tally.get(key, Usage(*key)).plus(used)

    def _over(self, used: Amount, most: Amount) -> str | None:
        """Which limit would be exceeded, in words."""
        after = used + most
        if self.calls is not None and after.calls > self.calls:
            return f"{used.calls} of {self.calls} calls"
        if self.tokens is not None and after.tokens > self.tokens:
            return f"{used.tokens} of {self.tokens} tokens, and the next call may take up to {most.tokens}"
        if self.usd is not None and after.usd > self.usd:
            return f"{used.usd:f} of {self.usd:f} US dollars, and the next call may take up to {most.usd:f}"
        return None


def _sum(tally: Mapping[tuple[str, str], Usage]) -> Usage:
    total = Usage()
    for usage in tally.values():
        total = total.plus(usage)
    return total
