"""Whether a judge may decide anything: how far its verdicts agree with those of experts on the same examples.

Belongs here: from a table of verdicts to a decision with its reason. Not here: asking the judge (judge.py), reading verdicts (storage/judging.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from learning_pipelines.errors import LearningError
from learning_pipelines.examples.agreement import RESAMPLES, kappa
from learning_pipelines.prompts.summary import Interval, wilson

LEAST_VERDICTS = 30
LEAST_KAPPA = 0.2
"""Below this, agreement counts as slight at best (Landis and Koch, Biometrics 33, 1977)."""
ALPHA = 0.01
"""Of each look. Every run looks again, at more verdicts: with kappa as well, a judge that throws dice passes at any of thirty looks, one after every ten
verdicts from 30 to 330, at most once in 40 times (simulated; at .025 a look once in 20)."""


class JudgeNotTrusted(LearningError):
    """The judge has not shown that it agrees with experts, so nothing may be decided by its scores."""


@dataclass(frozen=True, slots=True)
class JudgeAgreement:
    """`table`: examples by [experts rejected, approved] × [judge rejected, approved]. `kappa`: Cohen's, with a bootstrap interval where it is
    defined. `accuracy`: share of equal verdicts; `majority`: what always saying the experts' most frequent verdict would get. `p`: one-sided, Fisher's
    exact test against verdicts that have nothing to do with each other. `cause`: why the judge is not trusted; empty if it is.
    """

    judge: str
    n: int
    table: tuple[tuple[int, int], tuple[int, int]]
    kappa: float | None
    kappa_low: float | None
    kappa_high: float | None
    accuracy: float | None
    accuracy_interval: Interval | None
    majority: float | None
    p: float | None
    cause: str

    @property
    def trusted(self) -> bool:
        return not self.cause

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "trusted": self.trusted}


def judge_agreement(judge: str, table: Sequence[Sequence[int]]) -> JudgeAgreement:
    """What a 2 × 2 table (rows: experts, columns: judge; rejected, approved) says about a judge.

    It is trusted from LEAST_VERDICTS examples on if its agreement is above chance at the one-sided level ALPHA and kappa is LEAST_KAPPA or more.
    The test is exact, however few examples there are and however unequal the verdicts.
    """
    (neither, only_judge), (only_experts, both) = table
    n = neither + only_judge + only_experts + both
    cells = ((neither, only_judge), (only_experts, both))
    if n == 0:
        return JudgeAgreement(judge, 0, cells, None, None, None, None, None, None, None, f"none of its verdicts can be compared with experts' yet; {_NEEDED}")
    from scipy.stats import fisher_exact  # slow to import

    found = kappa(cells, resamples=RESAMPLES)
    p = float(fisher_exact(cells, alternative="greater").pvalue)
    right = (neither + both) / n
    return JudgeAgreement(
        judge, n, cells, found.value, found.low, found.high, right, Interval(*wilson(right, n), "wilson"), max(only_experts + both, neither + only_judge) / n,
        p, _doubt(n, found.value, p),
    )  # fmt: skip


def require_trusted(found: JudgeAgreement) -> None:
    """Raises JudgeNotTrusted unless the judge may decide."""
    if not found.trusted:
        raise JudgeNotTrusted(
            f"There is no evidence that the judge {found.judge} can decide: {found.cause}.",
            "Have experts review more examples, set LEARNING_JUDGE_MODEL to a stronger model, or give the agent another metric.",
        )


_NEEDED = f"{LEAST_VERDICTS} are needed"


def _doubt(n: int, value: float | None, p: float) -> str:
    if n < LEAST_VERDICTS:
        return f"only {n} of its verdicts can be compared with experts'; {_NEEDED}"
    if value is None:
        return f"its {n} verdicts and the experts' are all the same, which says nothing about telling good from bad"
    if p > ALPHA:
        return f"its agreement with experts on {n} examples (kappa {value:.2f}) is not above chance (p = {p:.3f})"
    if value < LEAST_KAPPA:
        return f"its agreement with experts on {n} examples is above chance but slight (kappa {value:.2f}; {LEAST_KAPPA} is needed)"
    return ""
