"""How often looking again and again calls a difference that is not there, in metrics that are ratios and means: ours beside two simpler analyses.

Belongs here: the table. Not here: the data (experiments/simulated.py), exact metrics (experiments.py).

    make bench-experiment-ratios            # 1,000 experiments a row, twenty looks each, nominal 5 %; ARGS="--experiments 4000"

The others: gbstats' sequential formula (0.8.0, its tuning of 5,000) with its variance, which is each arm's own, and Welch's t test at every look. They see
what we see at the same looks from the same burn-in, but all epochs in one: they have none.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable

import numpy as np

from benchmarks.record import OURS, record
from learning_pipelines.experiments.asymptotic import BURN_IN, unit_variance
from learning_pipelines.experiments.fixed_horizon import welch
from learning_pipelines_tests.experiments.simulated import Simulated, one_value_per_unit, share_wrong, used_more_and_more

ALPHA = 0.05
GBSTATS_RHO_SQUARED = (-2 * math.log(ALPHA) + math.log(-2 * math.log(ALPHA) + 1)) / 5_000


def of_gbstats(experiment: Simulated) -> bool:
    """Whether gbstats' sequential interval ever leaves zero out."""
    for control, treatment in zip(experiment.control, experiment.treatment, strict=True):
        one, other = control[1], treatment[1]
        if min(one.n, other.n) >= BURN_IN:
            variance, spread = unit_variance(one) / one.n + unit_variance(other) / other.n, GBSTATS_RHO_SQUARED * (one.n + other.n)
            bound = (1 + 1 / spread) * (math.log1p(spread) - 2 * math.log(ALPHA))
            if variance > 0 and (other.x / other.y - one.x / one.y) ** 2 > bound * variance:
                return True
    return False


def of_welch(experiment: Simulated) -> bool:
    looks = [(control[1], treatment[1]) for control, treatment in zip(experiment.control, experiment.treatment, strict=True)]
    return any(min(one.n, other.n) >= BURN_IN and welch(one, other, metric="m", variant="t").p < ALPHA for one, other in looks)


def lognormal(draw: np.random.Generator, experiments: int, sigma: float, share: float) -> list[Simulated]:
    units = min(5_000, int(300 / share) + 2_000)
    treated = draw.random((experiments, units)) < share
    return one_value_per_unit(draw.lognormal(0, sigma, treated.shape), treated, int(120 / share))


def rare(draw: np.random.Generator, experiments: int, share: float) -> list[Simulated]:
    treated = draw.random((experiments, 5_000)) < share
    return one_value_per_unit((draw.random(treated.shape) < 0.01).astype(float), treated, int(120 / share))


def changing(draw: np.random.Generator, experiments: int) -> list[Simulated]:
    """5 % treatment while everything is fast, then halves while it is slow."""
    epochs = []
    for share, slowness in ((0.05, 0.0), (0.5, 0.7)):
        treated = draw.random((experiments, 2_500)) < share
        values = draw.lognormal(0, 1, treated.shape) * np.exp(0.5 * np.sin(np.linspace(0, 12, 2_500)) + slowness)
        epochs.append(one_value_per_unit(values, treated, 200))
    return [first.then(second) for first, second in zip(*epochs, strict=True)]


DATA: dict[str, tuple[Callable[[np.random.Generator, int], list[Simulated]], bool]] = {
    "lognormal σ 1, halves": (lambda draw, n: lognormal(draw, n, 1.0, 0.5), False),
    "lognormal σ 1.5, halves": (lambda draw, n: lognormal(draw, n, 1.5, 0.5), False),
    "lognormal σ 1, 5 % treatment": (lambda draw, n: lognormal(draw, n, 1.0, 0.05), False),
    "lognormal σ 1.5, 5 % treatment": (lambda draw, n: lognormal(draw, n, 1.5, 0.05), False),
    "1 % events, halves": (lambda draw, n: rare(draw, n, 0.5), False),
    "1 % events, 5 % treatment": (lambda draw, n: rare(draw, n, 0.05), False),
    "clustered (ICC .3), growing, trending": (lambda draw, n: used_more_and_more(draw, n, 1_000, wave=0.5), False),
    "the same with CUPED": (lambda draw, n: used_more_and_more(draw, n, 1_000, wave=0.5), True),
    "the same, executions as units": (lambda draw, n: used_more_and_more(draw, n, 1_000, wave=0.5, clustered=False), False),
    "weights change in a trend": (changing, False),
}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--experiments", type=int, default=1_000)
    count = options.parse_args().experiments
    print(f"False differences in % of {count:,} experiments of 20 looks (nominal 5)\n")
    print("| data | ours | gbstats' sequential formula | t test at every look |\n|---|---|---|---|")
    for name, (drawn, cuped) in DATA.items():
        ours, theirs, fixed = 0.0, 0.0, 0.0
        for seed in range(math.ceil(count / 250)):  # in portions, for the memory
            portion = drawn(np.random.default_rng(seed), min(250, count - 250 * seed))
            ours += len(portion) * share_wrong(portion, cuped=cuped)
            theirs += sum(of_gbstats(one.pooled()) for one in portion)
            fixed += sum(of_welch(one.pooled()) for one in portion)
        for who, wrong in ((OURS, ours), ("gbstats 0.8.0's sequential formula", theirs), ("t test at every look", fixed)):
            record(f"false differences, {name}", wrong / count, "", who)
        print(f"| {name} | {100 * ours / count:.1f} | {100 * theirs / count:.1f} | {100 * fixed / count:.1f} |", flush=True)


if __name__ == "__main__":
    main()
