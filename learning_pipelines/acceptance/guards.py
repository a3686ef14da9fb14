"""Guards beside the overall test: parts of the items, and other items, that a better candidate must not harm.

Belongs here: when a guard fires, how surely it would have, the verdict with guards. Not here: the overall test (gate.py), which parts there are.

A guard of a part fires where the harm is significant (paired one-sided t-test, level .05) or, with 20 items or more, where the mean loss reaches the margin
of .05 whatever its p-value: a harm as large as that is not approved because the part is small. A guard that stays silent on few items
proves little, so each says the chance with which it would have found a harm of the margin. A guard of other items, of which there are as many as
one likes, is stricter: it fires unless a loss of the margin is ruled out (`low` above -margin), and lets smaller losses pass.

The t-test here and the exact bound in gate.py, on purpose: an error of the overall test serves something that is not better, an error of a
guard only keeps what serves. Urbano, Lima and Hanjalic (SIGIR 2019, "Statistical significance testing in information retrieval") find the
t-test closest to its level of all on differences per query, and the most powerful.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal

import numpy as np

from learning_pipelines.acceptance.gate import Evidence, Verdict
from learning_pipelines.errors import BadInput

LEVEL = 0.05
MARGIN = 0.05
FEWEST = 20
"""Items below which a guard does not judge: nothing could be said of them."""
State = Literal["clear", "silent", "fired", "too few"]


@dataclass(frozen=True, slots=True)
class Guard:
    """One part of the items. `difference`: mean gain of the candidate on it, -1 … 1; `low`: its lower bound at level 1 - `level`. `p_harm`: of
    "not harmed". `power`: chance that a true harm of `margin` fires with these items and their spread.

    `clear`: a harm of the margin is excluded (low > -margin); `silent`: no harm seen, none excluded; `fired`; `too few` to judge.
    """

    name: str
    n: int
    incumbent_mean: float
    candidate_mean: float
    difference: float
    low: float
    p_harm: float
    power: float
    level: float
    margin: float
    state: State

    @property
    def fired(self) -> bool:
        return self.state == "fired"

    def same(self, other: Guard, tolerance: float = 1e-9) -> bool:
        """Whether both say the same, numbers within `tolerance`."""
        pairs = zip(asdict(self).values(), asdict(other).values(), strict=True)
        return all(
            math.isclose(one, two, rel_tol=tolerance, abs_tol=tolerance) if isinstance(one, float) and isinstance(two, (int, float)) else one == two
            for one, two in pairs
        )

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Guard:
        """Raises BadInput where a field is missing."""
        names = [field.name for field in fields(cls)]
        if absent := [name for name in names if name not in stored]:
            raise BadInput(f"A guard of the evidence lacks {', '.join(absent)}.", "It was written by another version; run the test again.")
        return cls(**{name: stored[name] for name in names})


def guard(
    name: str, incumbent: Sequence[float], candidate: Sequence[float], *, level: float = LEVEL, margin: float = MARGIN, strict: bool = False
) -> Guard:
    """What the scores (0 … 1, in the same order of items) of one part say. `strict`: a loss of the margin must be ruled out."""
    from scipy.stats import norm, t  # slow to import

    before, after = np.asarray(incumbent, dtype=np.float64), np.asarray(candidate, dtype=np.float64)
    if before.shape != after.shape:
        raise BadInput(f"The guard {name} has {len(after)} scores of the candidate and {len(before)} of the incumbent.", "Score both on the same items.")
    n, differences = len(before), after - before
    if n < 2:
        mean = float(differences.sum())
        return Guard(name, n, float(before.sum()), float(after.sum()), mean, -1.0, 1.0, 0.0, level, margin, "too few")
    mean, error = float(differences.mean()), float(differences.std(ddof=1)) / math.sqrt(n)
    if error:
        p_harm, low = float(t.cdf(mean / error, n - 1)), max(-1.0, mean - float(t.isf(level, n - 1)) * error)
        # A true harm of the margin fires if the observed one is significant, or reaches the margin (in half of all cases, however few the items).
        power = float(norm.cdf(margin / error - min(float(norm.isf(level)), margin / error))) if n >= FEWEST else 0.0
    else:
        p_harm, low, power = (1.0, mean, 1.0) if mean >= 0 else (0.0, mean, 1.0)
    state = _state(n, mean, low, p_harm, level, margin, strict)
    return Guard(name, n, float(before.mean()), float(after.mean()), mean, low, p_harm, power, level, margin, state)


def guarded(evidence: Evidence, guards: Sequence[Guard]) -> Evidence:
    """The evidence with the verdict that the guards leave: `better` becomes `no evidence` where one fires, its reason names those."""
    fired = [one for one in guards if one.fired]
    if evidence.verdict is not Verdict.BETTER or not fired:
        return evidence
    said = "; ".join(f"{one.name} ({one.n} items) by {-one.difference:.3f} (p = {one.p_harm:.2g})" for one in fired)
    return replace(evidence, verdict=Verdict.NO_EVIDENCE, reason=f"{evidence.reason} But it harms: {said}.")


def guards_of(
    scores: Mapping[str, tuple[float, float]], slices: Mapping[str, AbstractSet[str]], outside: Mapping[str, Sequence[tuple[float, float]]]
) -> list[Guard]:
    """One guard per slice (name → ids of tested items) and per set of other items (name → their scores), in the order of their names."""
    inside = {name: [scores[item] for item in sorted(items) if item in scores] for name, items in slices.items()}
    judged = [
        guard(name, [one[0] for one in pairs], [one[1] for one in pairs], strict=strict)
        for parts, strict in ((inside, False), (outside, True))
        for name, pairs in parts.items()
    ]
    return sorted(judged, key=lambda one: one.name)


def _state(n: int, mean: float, low: float, p_harm: float, level: float, margin: float, strict: bool) -> State:
    if n < FEWEST:
        return "too few"
    if strict:
        return "clear" if low > -margin else "fired"
    if p_harm <= level or mean <= -margin + 1e-12:
        return "fired"
    return "clear" if low > -margin else "silent"
