"""Whole rollouts on simulated people: how many harmful ones are taken back and when, how many harmless ones: `make bench-rollouts [ARGS="--runs 200"]`.

Belongs here: people who come again and again, a look every six hours, the steps of a rollout with its default options, a table. Not here: how soon exact
comparisons tell (experiments.py), asserting anything (experiments/test_canary.py).

Of 6,000 people a few come often and most seldom. A visit is answered by a thumb in three of ten cases; the first counts. Content: 70 % of all; with
regulars, 85 % of those who come most down to 55 % of those who come least. Every decision is the product's own, from evidence as it stores it.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from benchmarks.record import record
from learning_pipelines.experiments.assignment import ranges_of_step
from learning_pipelines.experiments.canary import STEPS
from learning_pipelines.experiments.decision import Outcome, decide
from learning_pipelines.experiments.exact import ExactState
from learning_pipelines.experiments.metrics import GUARDRAILS
from learning_pipelines.experiments.sample_ratio import shares
from learning_pipelines.storage.experiment_rows import Ranges

PEOPLE, VISITS_A_DAY, ANSWERED, LOOKS_A_DAY, MOST_DAYS = 6_000, 3_000, 0.3, 4, 30
Steps = Callable[[float], Ranges]


def upper_half(percent: float) -> Ranges:
    """The control from the beginning: larger, and not comparable, which the table shows."""
    return {"control": ((0.5, 1.0),), "treatment": ((0.0, percent / 100),)}


@dataclass
class Rollout:
    """One simulated rollout. `effect`: what the treatment adds to the chance that somebody is content."""

    draw: np.random.Generator
    effect: float
    regulars: bool
    steps: Steps
    step: int = 0
    epochs: list[dict[str, Any]] = field(default_factory=list)
    states: dict[str, dict[str, ExactState]] = field(default_factory=dict)
    exposures: dict[str, dict[str, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        often = self.draw.gamma(0.5, size=PEOPLE)
        rank = often.argsort().argsort() / PEOPLE
        self.often, self.place = often / often.sum(), self.draw.random(PEOPLE)
        self.content = 0.55 + 0.3 * rank if self.regulars else np.full(PEOPLE, 0.7)
        self.met, self.arm, self.answered = np.zeros(PEOPLE, int), np.full(PEOPLE, -1), np.zeros(PEOPLE, bool)
        self.reached = np.zeros(PEOPLE, bool)

    def run(self) -> tuple[str, float, float]:
        """(how it ended, days, share of the people who ever got the treatment)."""
        self._begin(0.0)
        for look in range(1, MOST_DAYS * LOOKS_A_DAY + 1):
            self._visits(VISITS_A_DAY // LOOKS_A_DAY)
            day = look / LOOKS_A_DAY
            outcome = self._decide(day)
            if outcome.ends:
                return outcome.decision, day, float(self.reached.mean())
            if outcome.next_step is not None:
                self.step = outcome.next_step
                self._begin(day)
        return "not ended", float(MOST_DAYS), float(self.reached.mean())

    def _begin(self, day: float) -> None:
        ranges = self.steps(STEPS[self.step])
        if self.epochs:
            self.epochs[-1]["ended_at"] = _at(day)
        kept = {name: list(spans) for name, spans in ranges.items()}
        self.epochs.append({"number": len(self.epochs) + 1, "ranges": kept, "started_at": _at(day), "ended_at": None})
        number, wide = str(len(self.epochs)), shares(ranges)
        self.states[number] = {name: ExactState.for_shares(wide["control"], wide["treatment"]) for name in ("thumbs", "thumbs_down_rate")}
        self.exposures[number] = {"control": 0, "treatment": 0}

    def _visits(self, n: int) -> None:
        """So many visits with the ranges of now: who is met for the first time gets an arm for good, and whoever answers for the first time counts."""
        now, ranges = len(self.epochs), self.epochs[-1]["ranges"]
        who = self.draw.choice(PEOPLE, size=n, p=self.often)
        for arm, name in enumerate(("control", "treatment")):
            inside = np.logical_or.reduce([(self.place >= low) & (self.place < high) for low, high in ranges[name]])
            fresh = np.unique(who[inside[who] & (self.arm[who] < 0)])
            self.met[fresh], self.arm[fresh] = now, arm
            self.exposures[str(now)][name] += len(fresh)
        self.reached[who[self.arm[who] == 1]] = True
        answers = who[(self.arm[who] >= 0) & ~self.answered[who] & (self.draw.random(n) < ANSWERED)]
        _, first = np.unique(answers, return_index=True)  # whoever answers twice at this look counts once
        answers = answers[np.sort(first)]
        self.answered[answers] = True
        treated = self.arm[answers] == 1
        up = self.draw.random(len(answers)) < self.content[answers] + self.effect * treated
        for number, states in self.states.items():
            here = self.met[answers] == int(number)
            states["thumbs"].add(treated[here], up[here])
            states["thumbs_down_rate"].add(treated[here], ~up[here])

    def _decide(self, day: float) -> Outcome:
        experiment = {
            "kind": "rollout", "arms": [{"variant": "control"}, {"variant": "treatment"}], "primary_metric": "thumbs", "guardrails": GUARDRAILS, "config": {},
            "steps": STEPS, "step": self.step, "min_duration_hours": 0, "min_sample_size": 0,
        }  # fmt: skip
        metrics = {
            name: {epoch: {"treatment": each[name].as_json()} for epoch, each in self.states.items()} for name in ("thumbs", "thumbs_down_rate")
        }  # fmt: skip
        return decide({"at": _at(day), "experiment": experiment, "epochs": self.epochs, "metrics": metrics, "exposures": self.exposures, "refused": {}})


def _at(day: float) -> str:
    return (np.datetime64("2026-11-02T00:00:00") + np.timedelta64(round(day * 86_400), "s")).astype(str) + "+00:00"


CASES: dict[str, tuple[float, bool, Steps]] = {
    "nothing changes": (0.0, False, ranges_of_step),
    "nothing changes, regulars": (0.0, True, ranges_of_step),
    "-10 points": (-0.1, False, ranges_of_step),
    "-20 points": (-0.2, False, ranges_of_step),
    "+5 points": (0.05, False, ranges_of_step),
    "nothing changes, regulars, control = upper half": (0.0, True, upper_half),
}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--runs", type=int, default=200, help="rollouts of each case")
    arguments.add_argument("--seed", type=int, default=0, help="of everything drawn here")
    chosen = arguments.parse_args()
    print(f"| {chosen.runs} rollouts each | taken back | adopted | days, median | people with the treatment when taken back: median, 90 of 100 within |")
    print("| --- | --- | --- | --- | --- |")
    for name, (effect, regulars, steps) in CASES.items():
        begun = time.monotonic()
        ended = [Rollout(np.random.default_rng([chosen.seed, seed]), effect, regulars, steps).run() for seed in range(chosen.runs)]
        back = [share for decision, _, share in ended if decision == "rollback"]
        adopted = sum(decision == "adopt_treatment" for decision, _, _ in ended)
        reached = f"{np.median(back):.0%}, {np.quantile(back, 0.9):.0%}" if back else "–"
        days = float(np.median([day for _, day, _ in ended]))
        record(f"taken back, {name}", len(back) / len(ended), "")
        record(f"adopted, {name}", adopted / len(ended), "")
        if back:
            record(f"people reached when taken back, {name}, median", float(np.median(back)), "")
        print(f"| {name} | {len(back) / len(ended):.1%} | {adopted / len(ended):.1%} | {days:g} | {reached} |  ({time.monotonic() - begun:.0f} s)", flush=True)


if __name__ == "__main__":
    main()
