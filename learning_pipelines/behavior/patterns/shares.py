"""A share with its interval: so many of so many.

Belongs here: the value and its intervals. Not here: what is counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from learning_pipelines.prompts.summary import wilson


@dataclass(frozen=True, slots=True)
class Share:
    """`count` of `of`, with a 95 % interval within 0–1."""

    count: int
    of: int
    low: float
    high: float

    @property
    def value(self) -> float:
        return self.count / self.of if self.of else 0.0

    def as_json(self) -> dict[str, Any]:
        return {"count": self.count, "of": self.of, "low": self.low, "high": self.high}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Share:
        return cls(int(stored["count"]), int(stored["of"]), float(stored["low"]), float(stored["high"]))


def share(count: int, of: int) -> Share:
    """Of independent cases: Wilson's interval. Of none: everything is possible."""
    low, high = wilson(count / of, of) if of else (0.0, 1.0)
    return Share(count, of, low, high)


def clustered(counts: Sequence[int], sizes: Sequence[int], whole: Sequence[int] = ()) -> Share:
    """Of cases that come in groups, such as the steps of one demonstration: group i has counts[i] of sizes[i]; `whole`: sizes of further groups
    with a count of 0.

    Wilson's interval at the effective number of cases (J. Rao and A. Scott, "A simple method for the analysis of clustered binary data", Biometrics 48
    (1992) 577-585). Where all cases are alike the groups are counted, for nothing is known about how they differ.
    """
    sizes, counts = [*sizes, *whole], [*counts, *([0] * len(whole))]
    groups, total, count = len(sizes), sum(sizes), sum(counts)
    if groups == total:
        return share(count, total)
    p = count / total
    if count in (0, total) or groups < 2:
        effective = float(groups)
    else:
        spread = sum((one - p * size) ** 2 for one, size in zip(counts, sizes, strict=True)) * groups / (groups - 1) / total**2
        effective = min(float(total), max(1.0, p * (1 - p) / spread)) if spread else float(groups)
    low, high = wilson(p, max(1, round(effective)))
    return Share(count, total, low, high)
