"""The one gate every learnt change passes: a candidate and the incumbent on held-out items, and the verdict with its numbers.

Belongs here: the rules of a verdict, the evidence it rests on, recomputing it. Not here: the statistics (paired.py), what a verdict leads to
(proposals), where it is kept (storage/acceptance.py).

`better`: the one-sided p-value is within the level that this test may spend, and the mean gain reaches the minimum effect. `worse`: the
same test the other way round. Everything else is `no evidence`; the evidence then says how many items are missing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from typing import Any

from learning_pipelines.acceptance.alpha import spent
from learning_pipelines.acceptance.paired import Array, Comparison, compare
from learning_pipelines.acceptance.power import plan, require_plannable
from learning_pipelines.errors import BadInput
from learning_pipelines.settings import Settings


class Verdict(StrEnum):
    BETTER = "better"
    NO_EVIDENCE = "no evidence"
    WORSE = "worse"


@dataclass(frozen=True, slots=True)
class Rules:
    """What the gate asks. `min_effect`: smallest mean gain worth promoting. `planned_effect`: gain that sizes are planned for, above it.
    `test_share`: share of approved examples that the test split gets. Raises BadInput for what cannot be planned, before anything is spent."""

    min_effect: float = 0.02
    planned_effect: float = 0.30
    test_share: float = 0.3

    def __post_init__(self) -> None:
        require_plannable(self.planned_effect, self.min_effect)

    @classmethod
    def of(cls, settings: Settings) -> Rules:
        return cls(settings.min_effect, settings.planned_effect, settings.split_shares[2])


@dataclass(frozen=True, slots=True)
class Evidence:
    """A verdict and all it rests on; with the scores of the items it can be computed again.

    `wins`, `losses`: items on which the candidate scores higher and lower. `difference`: mean gain, -1 … 1, with one bound on each side at
    level 1 - `alpha`. `p_value`: of "not better"; `p_worse`: of "not worse". `k`, `alpha`: the number of this test among those on linked
    items and the level it spends. `power`: the chance that a gain of `planned_effect` is seen with n items; `needed`: items for 80 %;
    `missing`: of those; `missing_examples`: about so many more approved examples bring them. `reason`: one sentence.
    """

    verdict: Verdict
    reason: str
    n: int
    wins: int
    losses: int
    incumbent_mean: float
    candidate_mean: float
    difference: float
    low: float
    high: float
    p_value: float
    p_worse: float
    alpha: float
    k: int
    method: str
    min_effect: float
    planned_effect: float
    test_share: float
    power: float
    needed: int
    missing: int
    missing_examples: int

    def as_json(self) -> dict[str, Any]:
        """Plain values; `from_json` gives the same evidence back."""
        return asdict(self) | {"verdict": self.verdict.value}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Evidence:
        """Raises BadInput where a field is missing. Keys that are not its own are left aside."""
        names = [field.name for field in fields(cls)]
        if absent := [name for name in names if name not in stored]:
            raise BadInput(f"The evidence lacks {', '.join(absent)}.", "It was written by another version or not by the gate; run the test again.")
        return cls(**{name: stored[name] for name in names} | {"verdict": Verdict(stored["verdict"])})


def decide(incumbent: Sequence[float] | Array, candidate: Sequence[float] | Array, *, k: int = 1, rules: Rules | None = None) -> Evidence:
    """The verdict of the k-th test on linked items (alpha.count, storage.acceptance.reserve_test); scores 0 … 1 in the same order of items.

    Raises BadInput for scores that cannot be compared.
    """
    rules = rules or Rules()
    level = spent(k)
    found = compare(incumbent, candidate, level)
    planned = plan(found.n, k, effect=rules.planned_effect, min_effect=rules.min_effect, test_share=rules.test_share)
    verdict, reason = _verdict(found, level, rules)
    if verdict is Verdict.NO_EVIDENCE and not planned.enough:
        reason += f" {found.n} items see a gain of {rules.planned_effect:g} with {planned.power:.0%} power; {planned.needed} would with 80 %."
    return Evidence(
        verdict=verdict,
        reason=reason,
        n=found.n,
        wins=found.wins,
        losses=found.losses,
        incumbent_mean=found.incumbent_mean,
        candidate_mean=found.candidate_mean,
        difference=found.difference,
        low=found.low,
        high=found.high,
        p_value=found.p_better,
        p_worse=found.p_worse,
        alpha=level,
        k=k,
        method=found.method,
        min_effect=rules.min_effect,
        planned_effect=rules.planned_effect,
        test_share=rules.test_share,
        power=planned.power,
        needed=planned.needed,
        missing=planned.missing_items,
        missing_examples=planned.missing_examples,
    )


def recompute(stored: Mapping[str, Any], incumbent: Sequence[float] | Array, candidate: Sequence[float] | Array) -> Evidence:
    """The evidence that the items' scores give under the rules and the k that `stored` names (Evidence.as_json, read back)."""
    before = Evidence.from_json(stored)
    return decide(incumbent, candidate, k=before.k, rules=Rules(before.min_effect, before.planned_effect, before.test_share))


def deviations(stored: Mapping[str, Any], again: Evidence, tolerance: float = 1e-9) -> list[str]:
    """The names of the fields in which stored evidence and evidence computed again differ; numbers by more than `tolerance`, relative or absolute."""
    new = again.as_json()

    def same(one: Any, other: Any) -> bool:
        if isinstance(one, float) and isinstance(other, (int, float)):
            return math.isclose(one, other, rel_tol=tolerance, abs_tol=tolerance)
        return bool(one == other)

    return [name for name, value in new.items() if not same(value, stored.get(name))]


def _verdict(found: Comparison, level: float, rules: Rules) -> tuple[Verdict, str]:
    numbers = f"{found.wins} of {found.n} items score higher, {found.losses} lower"
    if found.p_worse <= level:
        return Verdict.WORSE, f"{numbers}: worse (p = {found.p_worse:.2g} at level {level:.2g})."
    if found.p_better > level:
        return Verdict.NO_EVIDENCE, f"{numbers}: that can be chance (p = {found.p_better:.2g} at level {level:.2g})."
    if found.difference < rules.min_effect - 1e-12:
        return Verdict.NO_EVIDENCE, f"{numbers}: the gain of {found.difference:.3g} is below the minimum effect {rules.min_effect:g}."
    return Verdict.BETTER, f"{numbers}: better (p = {found.p_better:.2g} at level {level:.2g})."
