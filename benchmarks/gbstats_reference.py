"""Records what gbstats 0.8.0 says of small experiments, for test_gbstats_parity.py: inputs and answers in one file.

    make peer-experiments
    .venv-peer-experiments/bin/python benchmarks/gbstats_reference.py           # write the file anew
    .venv-peer-experiments/bin/python benchmarks/gbstats_reference.py --check   # compute again, compare with the file

Belongs here: calls of gbstats. Not here: our own figures. Runs in the environment of the peer, so it imports nothing of ours.
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np

FILE = Path(__file__).parent.parent / "learning_pipelines_tests" / "experiments" / "gbstats_0_8_0.json"


def units(seed: int, n: int, slower: float) -> list[list[float]]:
    """Rows (x, y, c, d): milliseconds and executions of a unit after and before its exposure."""
    draw = np.random.default_rng(seed)
    own = draw.normal(0, 0.7, n)
    executions, before = 1 + draw.poisson(4, n), 1 + draw.poisson(3, n)
    after_ms = executions * np.exp(6 + own + draw.normal(0, 0.4, n)) * slower
    before_ms = before * np.exp(6 + own + draw.normal(0, 0.4, n))
    return [[float(value) for value in row] for row in np.column_stack([after_ms.round(3), executions, before_ms.round(3), before])]


def inputs() -> dict[str, Any]:
    """Per case the kind, and of control and treatment the rows (x, y, c, d), or (units, successes)."""
    return {
        "mean": {"kind": "mean", "control": units(1, 60, 1.0), "treatment": units(2, 80, 1.1)},
        "mean of equal arms": {"kind": "mean", "control": units(3, 70, 1.0), "treatment": units(4, 70, 0.8)},
        "proportion": {"kind": "proportion", "control": [200, 23], "treatment": [190, 41]},
        "large proportion": {"kind": "proportion", "control": [1_234_567, 617_000], "treatment": [1_234_000, 619_001]},
        "ratio": {"kind": "ratio", "control": units(5, 60, 1.0), "treatment": units(6, 90, 1.2)},
        "ratio of equal arms": {"kind": "ratio", "control": units(7, 75, 1.0), "treatment": units(8, 75, 0.9)},
        "mean with covariate": {"kind": "cuped", "control": units(9, 80, 1.0), "treatment": units(10, 80, 1.15)},
        "mean with covariate, unequal arms": {"kind": "cuped", "control": units(11, 120, 1.0), "treatment": units(12, 50, 0.9)},
    }


def statistic(kind: str, arm: Any) -> Any:
    from gbstats.models.statistics import ProportionStatistic, RatioStatistic, RegressionAdjustedStatistic, SampleMeanStatistic

    if kind == "proportion":
        return ProportionStatistic(n=arm[0], sum=arm[1])
    n = len(arm)
    x, y, c, _ = ([row[i] for row in arm] for i in range(4))

    def mean(values: list[float]) -> Any:
        return SampleMeanStatistic(n=n, sum=math.fsum(values), sum_squares=math.fsum(value * value for value in values))

    if kind == "ratio":
        return RatioStatistic(n=n, m_statistic=mean(x), d_statistic=mean(y), m_d_sum_of_products=math.fsum(a * b for a, b in zip(x, y, strict=True)))
    if kind == "cuped":
        return RegressionAdjustedStatistic(
            n=n, post_statistic=mean(x), pre_statistic=mean(c), post_pre_sum_of_products=math.fsum(a * b for a, b in zip(x, c, strict=True)), theta=0
        )
    return mean(x)


def answers(case: dict[str, Any]) -> dict[str, Any]:
    """Point estimates (absolute and relative to the control), the two-sided t test's interval, p and variance of the absolute one."""
    from gbstats.frequentist.tests import FrequentistConfig, TwoSidedTTest

    said: dict[str, Any] = {}
    for kind in ("absolute", "relative"):
        arms = [statistic(case["kind"], case[arm]) for arm in ("control", "treatment")]
        test = TwoSidedTTest(*arms, FrequentistConfig(alpha=0.05, difference_type=kind))
        result = test.compute_result()
        said[kind] = float(result.expected)
        if kind == "absolute":
            said |= {"ci": [float(end) for end in result.ci], "p": float(result.p_value), "variance": float(test.variance)}
            said |= {"mean_control": float(test.stat_a.unadjusted_mean), "mean_treatment": float(test.stat_b.unadjusted_mean)}
    return said


def differs(one: Any, other: Any) -> bool:
    if isinstance(one, list):
        return len(one) != len(other) or any(differs(a, b) for a, b in zip(one, other, strict=True))
    return not math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-12)


def main() -> int:
    if "--check" not in sys.argv:
        made_by = ".venv-peer-experiments/bin/python benchmarks/gbstats_reference.py"
        cases = {name: {**case, "gbstats": answers(case)} for name, case in inputs().items()}
        FILE.write_text(json.dumps({"made_by": made_by, "gbstats": "0.8.0", "cases": cases}) + "\n")
        return 0
    recorded = json.loads(FILE.read_text())["cases"]
    wrong = [
        f"{name}: {key} is {value}, recorded was {case['gbstats'][key]}"
        for name, case in recorded.items()
        for key, value in answers(case).items()
        if differs(value, case["gbstats"][key])
    ]
    print("\n".join(wrong) if wrong else f"{len(recorded)} cases as recorded.")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
