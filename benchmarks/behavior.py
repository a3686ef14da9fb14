"""What learning behaviour adds on real trajectories: `make bench-behavior`. About 10 minutes on a quiet machine, most of it encoding and 60 fits.

Belongs here: cross-validation over the sets, controls, printing figures. Not here: reading sets (behavior_sets.py), latency (behavior_latency.py), tests.

Every set is cut into five folds by task (dialogues of the same services and first words, runs of one task); each fold is predicted by a policy that was
learnt from the others, a fifth of which was its validation. So each demonstration is predicted once, by somebody who never saw its task; the few
airline runs that succeeded are cut anew three times and their scores averaged. Intervals (95 %) take a task for one draw. Differences are top-1 of the
policy above the baseline on the same steps. The calibration error is of all predictions of a set together, in ten bins of equal mass; beside
it what a perfectly calibrated policy would show on so few steps.

Controls: `without words` deals tasks, arguments and contexts anew, so that only the order of types is left: what remains is `history`. `without order`
deals the actions anew as well: nothing is left, and the policy must fall to the baseline.

ARGS: --sets sgd,airline,retail,dev,controls,latency names what is run.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from benchmarks import behavior_latency, behavior_sets
from benchmarks.record import record
from learning_pipelines.behavior.policy.calibration import calibration_error
from learning_pipelines.behavior.policy.evaluation import clustered
from learning_pipelines.behavior.policy.fitting import fit
from learning_pipelines.behavior.policy.material import folds
from learning_pipelines.behavior.policy.policy import Policy
from learning_pipelines.behavior.policy.situations import Doubles, encoded, situations
from learning_pipelines.behavior.task import Shown
from learning_pipelines.encoder import BATCH_TEXTS, Encoder, Vectors

COMPONENTS = ("most_frequent", "transition", "history", "neighbours", "classifier")
COLUMNS = ("n", "top-1", "95 %", "top-3", "ECE", "ECE if calibrated", *COMPONENTS, "- transition", "95 %", "- most frequent", "answers", "right of those")
SETS = ("sgd", "airline", "retail", "dev", "controls", "latency")


class Remembering:
    """An encoder that encodes each text once in its life: the same texts come back in every fold."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder, self._known = encoder, dict[str, Vectors]()
        self.name, self.dimensions = encoder.name, encoder.dimensions

    def encode(self, texts: Sequence[str], *, batch_size: int = BATCH_TEXTS) -> Vectors:
        new = sorted({text for text in texts if text not in self._known})
        if new:
            self._known.update(zip(new, self._encoder.encode(new), strict=True))
        return np.array([self._known[text] for text in texts], dtype=np.float32)


@dataclass
class Predictions:
    """Of steps, by predictor: whether the first type and one of the first three were right. `task`: whose the step is."""

    task: list[str] = field(default_factory=list)
    step: list[str] = field(default_factory=list)
    top1: dict[str, list[bool]] = field(default_factory=dict)
    top3: list[bool] = field(default_factory=list)
    confidence: list[float] = field(default_factory=list)
    answered: list[bool] = field(default_factory=list)

    def add(self, policy: Policy, shown: Sequence[Shown]) -> None:
        steps = [(row, kind, one.cluster) for one in shown for row, kind in situations(one)]
        batch = encoded([row for row, _, _ in steps], policy.encoder)
        labels = policy.learnt.vocabulary.numbers([kind for _, kind, _ in steps])
        found = policy.predict(batch)
        said: dict[str, Doubles] = {"policy": found.probabilities, "most_frequent": policy.baselines["most_frequent"].of(batch.rows), **policy.opinions(batch)}
        for name, probabilities in said.items():
            self.top1.setdefault(name, []).extend((probabilities.argmax(axis=1) == labels).tolist())
        order = np.argsort(-found.probabilities, axis=1, kind="stable")[:, :3]
        self.top3 += (order == labels[:, None]).any(axis=1).tolist()
        self.confidence += found.probabilities.max(axis=1).tolist()
        self.answered += [not why for why in found.why]
        self.step += [f"{one.id}/{place}" for one in shown for place in range(len(one.actions) + 1)]
        self.task += [cluster for _, _, cluster in steps]

    def least_error(self) -> float:
        """The mean calibration error of so many steps if every confidence were exactly right: what is left is chance. A step has the same luck each time."""
        sure, step, rng = np.array(self.confidence), np.unique(self.step, return_inverse=True)[1], np.random.default_rng(0)
        return float(np.mean([calibration_error(sure, rng.random(step.max() + 1)[step] < sure) for _ in range(100)]))

    def row(self, times: int = 1) -> list[str]:
        """`times`: how often each step was predicted."""
        owner = np.unique(self.task, return_inverse=True)[1]
        right = {name: np.array(values, dtype=np.float64) for name, values in self.top1.items()}
        own = right["policy"]
        answered = np.array(self.answered)
        beside = {name: own - right[name] for name in ("transition", "most_frequent")}
        return [
            f"{len(own) // times:,}", f"{own.mean():.3f}", _interval(clustered(own, owner, (0, 1))), f"{np.mean(self.top3):.3f}",
            f"{calibration_error(np.array(self.confidence), own > 0):.3f}", f"{self.least_error():.3f}",
            *(f"{right[name].mean():.3f}" for name in COMPONENTS),
            f"{beside['transition'].mean():+.3f}", _interval(clustered(beside["transition"], owner, (-1, 1))), f"{beside['most_frequent'].mean():+.3f}",
            f"{answered.mean():.0%}", f"{own[answered].mean():.3f}" if answered.any() else "–",
        ]  # fmt: skip


def cross_validated(shown: Sequence[Shown], encoder: Encoder, seeds: Sequence[int] = (0,)) -> list[str]:
    made = Predictions()
    for seed in seeds:
        fold = folds(shown, seed)
        for number in sorted(set(fold.tolist())):
            rest, test = _cut(shown, fold == number)
            validation = folds(rest, seed + 1) == 0
            made.add(fit(*_cut(rest, validation), encoder, seed), test)
    return made.row(len(seeds))


def transferred(train: Sequence[Shown], test: Sequence[Shown], encoder: Encoder) -> list[str]:
    """Learnt from one part, scored on another."""
    made = Predictions()
    made.add(fit(*_cut(train, folds(train, 1) == 0), encoder, 0), test)
    return made.row()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", default=",".join(SETS))
    wanted = parser.parse_args().sets.split(",")
    from learning_pipelines.encoder_local import LocalEncoder

    encoder: Encoder = Remembering(LocalEncoder(threads=1))
    sgd, retail, runs = behavior_sets.sgd("train"), behavior_sets.retail("train"), behavior_sets.airline()
    airline = [one for one in runs if one.outcome == "success"]
    rows: dict[str, dict[str, Callable[[], list[str]]]] = {
        "sgd": {"SGD banking": lambda: cross_validated(sgd, encoder)},
        "airline": {"tau-bench airline, 49 runs that succeeded": lambda: cross_validated(airline, encoder, (0, 1, 2))},
        "retail": {"tau-bench retail": lambda: cross_validated(retail, encoder)},
        "dev": {
            "SGD train → dev (other services)": lambda: transferred(sgd, behavior_sets.sgd("dev"), encoder),
            "retail train → dev (other wording)": lambda: transferred(retail, behavior_sets.retail("dev"), encoder),
        },
        "controls": {
            "SGD without words": lambda: cross_validated(behavior_sets.without_words(sgd, 0), encoder),
            "SGD without order": lambda: cross_validated(behavior_sets.without_order(sgd, 0), encoder),
            "retail without words": lambda: cross_validated(behavior_sets.without_words(retail, 0), encoder),
            "retail without order": lambda: cross_validated(behavior_sets.without_order(retail, 0), encoder),
            "airline without words": lambda: cross_validated(behavior_sets.without_words(airline, 0), encoder, (0, 1, 2)),
        },
    }
    print("| set | " + " | ".join(COLUMNS) + " |\n|" + "---|" * (len(COLUMNS) + 1), flush=True)
    for name, each in rows.items():
        for title, measure in each.items() if name in wanted else ():
            begun = time.monotonic()
            cells = measure()
            record(f"next action right, {title}", float(cells[1]), "")
            record(f"next action right above the transition model, {title}", float(cells[COLUMNS.index("- transition")]), "")
            print(f"| {title} | " + " | ".join(cells) + f" | <!-- {time.monotonic() - begun:.0f} s -->", flush=True)
    if "latency" in wanted:
        behavior_latency.main()


def _cut(shown: Sequence[Shown], apart: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> tuple[list[Shown], list[Shown]]:
    """(the rest, those apart)."""
    return [one for one, is_apart in zip(shown, apart.tolist(), strict=True) if not is_apart], [
        one for one, is_apart in zip(shown, apart.tolist(), strict=True) if is_apart
    ]


def _interval(bounds: tuple[float, float]) -> str:
    return f"[{bounds[0]:.3f}, {bounds[1]:.3f}]"


if __name__ == "__main__":
    main()
