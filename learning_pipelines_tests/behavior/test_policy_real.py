"""A policy on real trajectories, a slice of each set, over an encoder without a model. Skips where the data is absent.

Belongs here: that conversion tells nothing of what comes, that a policy beats its baselines, that shuffled demonstrations teach nothing. Not here: figures
(`make bench-behavior`).
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from benchmarks import behavior_sets
from learning_pipelines.behavior.policy.evaluation import Evaluation, evaluate
from learning_pipelines.behavior.policy.fitting import fit
from learning_pipelines.behavior.policy.material import folds
from learning_pipelines.behavior.task import Shown
from learning_pipelines_tests.behavior.made import words


def dialogues() -> list[Shown]:
    if why := behavior_sets.absent("sgd_banking_dev"):
        pytest.skip(why)
    return behavior_sets.sgd("train")[::3]


def instructions() -> list[Shown]:
    if why := behavior_sets.absent("tau_bench_dev"):
        pytest.skip(why)
    return behavior_sets.retail("train")[::2]


def held_out(shown: list[Shown]) -> Evaluation:
    """Two of five folds by task are predicted by a policy that learnt from the others."""
    fold = folds(shown, 0).tolist()
    train, test = [one for one, at in zip(shown, fold, strict=True) if at > 1], [one for one, at in zip(shown, fold, strict=True) if at <= 1]
    return evaluate(fit(train, [], words(), 0), test)


@pytest.mark.parametrize("read", [dialogues, instructions])
def test_it_beats_both_baselines_on_tasks_it_never_saw(read: Callable[[], list[Shown]]) -> None:
    scored = held_out(read())
    assert min(low for _, (low, _) in scored.differences.values()) > 0.03
    assert scored.arguments is not None and scored.arguments.keys > 0.3


def test_shuffled_demonstrations_fall_to_the_baseline() -> None:
    scored = held_out(behavior_sets.without_order(dialogues(), 0))
    low, _ = scored.differences["transition"][1]
    assert low < 0.01 and abs(scored.differences["transition"][0]) < 0.06


def test_calls_are_told_with_what_was_said_after_them_and_before_the_next() -> None:
    one = next(one for one in dialogues() if len(one.actions) > 2)
    assert one.actions[0].context["said"] and one.task not in one.actions[0].context["said"]


def test_failed_runs_are_failures() -> None:
    if why := behavior_sets.absent("tau_bench_dev"):
        pytest.skip(why)
    runs = behavior_sets.airline()
    assert (len(runs), sum(one.outcome == "success" for one in runs), len({one.cluster for one in runs})) == (120, 49, 30)
