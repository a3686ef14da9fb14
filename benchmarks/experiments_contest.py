"""How many values the exact test, gbstats' sequential test and an oracle need: the same data, looks every so many values per arm, the same error.

Belongs here: the contest, the oracle. Not here: gbstats itself (gbstats_contest.py, in an environment of its own), printing (experiments.py).

All see the same values and answer at the same looks. Ours takes in their order, too (once the arms alternate, once they come by chance) and keeps what was
told between two looks, as the oracle does; how it would do without stands beside it. A run that is not told counts with the whole horizon.
"""

from __future__ import annotations

import json
import math
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learning_pipelines.experiments.exact import ExactState

PEER = Path(__file__).resolve().parents[1] / ".venv-peer-experiments" / "bin" / "python"
ALPHA, RATE, HORIZON, EVERY = 0.05, 0.5, 5000, 100
LOOKS = HORIZON // EVERY
Drawn = tuple[NDArray[np.bool_], NDArray[np.bool_]]


def contest(rng: np.random.Generator, runs: int, effects: tuple[float, ...]) -> list[dict[str, Any]]:
    """Per effect and test the mean number of values per arm at the stop, its standard error, the share of runs that were told, the look of each run."""
    rows = []
    for effect in effects:
        drawn = [(rng.random(HORIZON) < RATE, rng.random(HORIZON) < RATE + effect) for _ in range(runs)]
        tests = {
            "exact, arms alternate": [_ours(one, np.tile([False, True], HORIZON)) for one in drawn],
            "exact, arms by chance": [_ours(one, _by_chance(rng)) for one in drawn],
            "exact, without what was told between looks": [_ours(one, np.tile([False, True], HORIZON), between=False) for one in drawn],
            **{f"gbstats 0.8.0{words}": _gbstats(drawn, tuning) for words, tuning in ((" as it comes", 5000), (", tuned to 1,000", 1000))},
        }
        if effect:
            tests["oracle SPRT (knows the rates)"] = [_oracle(one, effect) for one in drawn]
        rows += [_row(effect, name, looks) for name, looks in tests.items() if looks is not None]
    return rows


def _row(effect: float, name: str, looks: list[int | None]) -> dict[str, Any]:
    values = np.array([HORIZON if look is None else look * EVERY for look in looks])
    return {
        "effect": effect, "test": name, "told": sum(look is not None for look in looks) / len(looks), "values per arm": round(float(values.mean())),
        "±": round(float(values.std() / math.sqrt(len(values)))), "looks": looks,
    }  # fmt: skip


def _ours(drawn: Drawn, arms: NDArray[np.bool_], between: bool = True) -> int | None:
    values = np.empty(2 * HORIZON)
    values[~arms], values[arms] = drawn
    made, capital = ExactState(steps=1).add(arms, values)
    most = capital.max(axis=1)
    if not between:
        most = most[np.searchsorted(made.last, 2 * EVERY * np.arange(1, LOOKS + 1)) - 1]
    over = np.flatnonzero(most > math.log(2 / ALPHA))
    if not len(over):
        return None
    return int(made.last[over[0]]) // (2 * EVERY) + 1 if between else int(over[0]) + 1


def _by_chance(rng: np.random.Generator) -> NDArray[np.bool_]:
    """As many of each arm at every look, in an order of chance between looks."""
    return rng.permuted(np.tile(np.arange(2 * EVERY) < EVERY, (LOOKS, 1)), axis=1).ravel()


def _oracle(drawn: Drawn, effect: float) -> int | None:
    """The likelihood ratio of the true rates, either way round, against both at their mean, after each pair of values; told at the next look, as ours."""
    middle = RATE + effect / 2
    control, treatment = (one.cumsum() for one in drawn)
    n = np.arange(1, HORIZON + 1)

    def log_chance(successes: NDArray[Any], rate: float) -> NDArray[np.float64]:
        return np.asarray(successes * math.log(rate) + (n - successes) * math.log(1 - rate))

    null = log_chance(control, middle) + log_chance(treatment, middle)
    ways = [log_chance(control, one) + log_chance(treatment, other) - null for one, other in ((RATE, RATE + effect), (RATE + effect, RATE))]
    over = np.flatnonzero(np.logaddexp(*ways) - math.log(2) > math.log(1 / ALPHA))
    return int(over[0]) // EVERY + 1 if len(over) else None


def _gbstats(drawn: list[Drawn], tuning: float) -> list[int | None] | None:
    if not PEER.exists():
        return None
    successes = [[one.reshape(LOOKS, EVERY).sum(1).cumsum().tolist() for one in run] for run in drawn]
    asked = {"alpha": ALPHA, "tuning": tuning, "every": EVERY, "successes": successes}
    done = subprocess.run([PEER, Path(__file__).with_name("gbstats_contest.py")], input=json.dumps(asked), capture_output=True, text=True, check=True)
    looks: list[int | None] = json.loads(done.stdout)["looks"]
    return looks
