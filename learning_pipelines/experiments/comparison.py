"""What comparing one treatment with the control in one metric comes to.

Belongs here: the value that every family of tests returns. Not here: the tests (exact.py, asymptotic.py), what follows (decision.py).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Comparison:
    """Treatment minus control in the metric's own unit. [low, high] holds the difference at every look at once with probability 1 - alpha; `p` is valid
    at any time (0 to 1). `ready` is False while too few units are there for a statement: then the interval is unbounded and p is 1. Where epochs have
    been pooled, means are those of all units and `difference` is the stratified one, so it need not equal the difference of the means.
    """

    metric: str
    variant: str
    n_control: int
    n_treatment: int
    mean_control: float | None
    mean_treatment: float | None
    difference: float | None
    low: float
    high: float
    p: float
    alpha: float
    exact: bool
    ready: bool

    @property
    def conclusive(self) -> bool:
        """Whether the interval leaves zero out."""
        return self.ready and (self.low > 0 or self.high < 0)

    def as_json(self) -> dict[str, Any]:
        """Unbounded ends are null, which JSON has for them."""
        said = asdict(self) | {"conclusive": self.conclusive}
        return said | {end: None if abs(said[end]) == float("inf") else said[end] for end in ("low", "high")}
