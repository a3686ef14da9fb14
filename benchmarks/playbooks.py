"""What playbooks know on real trajectories, and how seldom chance is called an anti-pattern: `make bench-playbooks`. About five minutes.

Belongs here: cross-validation over the sets, controls, printing figures. Not here: reading sets (behavior_sets.py), the policy (behavior.py), tests.

Every set is cut into five folds by task; each fold is advised by a playbook made of the others, a fifth of which decided about its conditions, so each
demonstration is advised once, by a playbook that never saw its task. Accuracy: share of steps whose type (the end counts as one) is advised.
Intervals (95 %) take a task for one draw. `without words`: no demonstration is approved, so no word of a task and no value is named. `shuffled`: all
actions are dealt anew, nothing is left to know.
"""

from __future__ import annotations

import argparse
import os
import random
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from benchmarks import behavior_sets
from benchmarks.record import left_out, record
from learning_pipelines.behavior.patterns.anti import LEVEL, anti_patterns
from learning_pipelines.behavior.playbooks import learning
from learning_pipelines.behavior.policy.evaluation import clustered
from learning_pipelines.behavior.policy.material import folds
from learning_pipelines.behavior.task import Action, Shown, State

SEED = 1
Advise = Callable[[State], str]
ADVISERS = ("most frequent", "transition", "without words", "playbook")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", nargs="+", help="names of the first column; all, if none is given")
    wanted = parser.parse_args().sets
    sets = {"sgd train": ("sgd_banking_dev", lambda: behavior_sets.sgd("train")), "sgd dev": ("sgd_banking_dev", lambda: behavior_sets.sgd("dev")),
            "airline": ("tau_bench_dev", _succeeded), "retail": ("tau_bench_dev", lambda: behavior_sets.retail("train"))}  # fmt: skip
    print(f"{'set':14} {'n':>5} {'steps':>6} " + " ".join(f"{name:>14}" for name in ADVISERS) + "   playbook - transition")
    for name, (folder, read) in sets.items():
        if wanted and name not in wanted:
            continue
        if (missing := behavior_sets.absent(folder)) is not None:
            left_out(f"{name}: {missing}")
            continue
        shown = read()
        _row(name, shown)
        if name == "sgd train":
            _row("- shuffled", behavior_sets.without_order(shown, SEED))
    _null_rates()
    _sizes()


def _succeeded() -> list[Shown]:
    return [one for one in behavior_sets.airline() if one.outcome == "success"]


def _row(name: str, shown: Sequence[Shown]) -> None:
    right: dict[str, list[bool]] = {adviser: [] for adviser in ADVISERS}
    owner, owners = list[int](), dict[str, int]()
    fold = folds(shown, SEED)
    for held_out in sorted(set(fold.tolist())):
        others = [one for one, place in zip(shown, fold.tolist(), strict=True) if place != held_out]
        inner = folds(others, SEED + 1)
        train = [one for one, place in zip(others, inner.tolist(), strict=True) if place != 0]
        checked = [one for one, place in zip(others, inner.tolist(), strict=True) if place == 0]
        advisers = _advisers(train, checked)
        for one in (one for one, place in zip(shown, fold.tolist(), strict=True) if place == held_out):
            for state, after in one.steps():
                owner.append(owners.setdefault(one.cluster or one.task, len(owners)))
                for adviser, advise in advisers.items():
                    right[adviser].append(advise(state) == after)
    gained = np.array(right["playbook"], dtype=np.float64) - np.array(right["transition"], dtype=np.float64)
    low, high = clustered(gained, np.array(owner), (-1.0, 1.0))
    for adviser in ADVISERS:
        record(f"steps advised rightly, {name}, {adviser}", float(np.mean(right[adviser])), "")
    means = " ".join(f"{np.mean(right[adviser]):14.3f}" for adviser in ADVISERS)
    print(f"{name:14} {len(shown):5} {len(owner):6} {means}   {gained.mean():+.3f} [{low:+.3f}, {high:+.3f}]")


def _advisers(train: Sequence[Shown], checked: Sequence[Shown]) -> dict[str, Advise]:
    frequent, after = learning.most_frequent(train), defaultdict[str, Counter[str]](Counter)
    for one in train:
        for state, kind in one.steps():
            after[state.history[-1].type if state.history else ""][kind] += 1

    def transition(state: State) -> str:
        seen = after.get(state.history[-1].type if state.history else "")
        return frequent if not seen else min(seen, key=lambda kind: (-seen[kind], kind))

    wordless = learning.make("", [replace(one, approved=False) for one in train], checked)
    worded = learning.make("", [replace(one, approved=True) for one in train], checked)
    return {"most frequent": lambda state: frequent, "transition": transition, "without words": wordless.next, "playbook": worded.next}


def _null_rates(runs: int = 200) -> None:
    """Outcomes that have nothing to do with what was done: of single tasks, and of tasks that fail or succeed as a whole."""
    rng = random.Random(SEED)
    named = {"60 single tasks": 0, "15 tasks of 8 tries": 0, "15 tasks of 8 tries, Fisher alone": 0}
    for _ in range(runs):
        single = [(_chance(rng, str(number)), rng.random() < 0.5) for number in range(60)]
        named["60 single tasks"] += _names_any(single)
        tries = list[tuple[Shown, bool]]()
        for task in range(15):
            one, failed = _chance(rng, str(task)), rng.random() < 0.5
            tries += [(replace(one, id=f"{task}-{number}", cluster=str(task)), failed) for number in range(8)]
        named["15 tasks of 8 tries"] += _names_any(tries)
        named["15 tasks of 8 tries, Fisher alone"] += _names_any([(replace(one, cluster=""), failed) for one, failed in tries])
    print(f"\nruns of {runs} in which chance is called an anti-pattern (level {LEVEL:g})")
    for name, count in named.items():
        record(f"chance called an anti-pattern, {name}", count / runs, "")
        print(f"  {name:36} {count / runs:.1%}")


def _chance(rng: random.Random, name: str) -> Shown:
    return Shown(name, name, tuple(Action(kind) for kind in rng.choices("abcdef", k=rng.randint(2, 8))))


def _names_any(outcomes: Sequence[tuple[Shown, bool]]) -> bool:
    found = anti_patterns([one for one, failed in outcomes if not failed], [one for one, failed in outcomes if failed])
    return any(one.q <= LEVEL for one in found)


def _sizes() -> None:
    """100,000 steps, short and long."""
    rng = random.Random(SEED)
    words = ["".join(rng.choices("abcdefghijklmnop", k=7)) for _ in range(2_000)]
    for count, length in ((10_000, 10), (100, 1_000)):
        shown = [
            Shown(f"{number:05}", " ".join(rng.choices(words, k=20)), tuple(
                Action(f"type {rng.randrange(20)}", {"key": rng.choice("xyz")}, " ".join(rng.choices(words, k=30))) for _ in range(length)), approved=True)
            for number in range(count)
        ]  # fmt: skip
        begun = time.process_time()
        made = learning.make("", shown)
        print(f"playbook of {count} demonstrations of {length} steps: {time.process_time() - begun:.1f} s of a core, {made.left_out} steps not looked at")


if __name__ == "__main__":
    main()
