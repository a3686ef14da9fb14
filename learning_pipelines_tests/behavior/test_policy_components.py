"""Parts of a policy, each alone: transitions, neighbours, classifier, mixture, calibration, what is encoded, who judges.

Belongs here: what each promises. Not here: the whole (test_policy.py).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from learning_pipelines.behavior.policy import baselines, calibration, classifier, mixture, neighbours, transitions
from learning_pipelines.behavior.policy.arguments import learn
from learning_pipelines.behavior.policy.calibration import Calibration, calibration_error
from learning_pipelines.behavior.policy.evaluation import clustered
from learning_pipelines.behavior.policy.material import Material, folds
from learning_pipelines.behavior.policy.neighbours import Neighbours, Weights
from learning_pipelines.behavior.policy.situations import CHARS, encoded, last_text, situation, situations
from learning_pipelines.behavior.policy.transitions import Transitions
from learning_pipelines.behavior.policy.vocabulary import Vocabulary
from learning_pipelines.behavior.task import END, Action, Shown, State
from learning_pipelines_tests.behavior.made import desk, shown, words


def material(given: list[Shown]) -> Material:
    return Material.of(given, [], words(), 0)


def after(types: tuple[str, ...], task: str = "do it", task_type: str = "") -> list[State]:
    return [State(task, task_type, history=tuple(Action(kind) for kind in types))]


def test_situations_of_a_demonstration_are_those_of_its_states() -> None:
    for one in desk(5, 1):
        assert [(situation(state), kind) for state, kind in one.steps()] == list(situations(one))


def test_nothing_of_the_step_that_is_asked_about_is_seen() -> None:
    before = Shown("a", "do it", (Action("look", {"at": 1}, "quiet"), Action("write", {"to": "x"}, "hush")))
    changed = replace(before, actions=(before.actions[0], Action("write", {"to": "other"}, "shout")))
    assert [row for row, _ in list(situations(before))[:2]] == [row for row, _ in list(situations(changed))[:2]]


def test_a_long_result_leaves_room_for_what_was_said() -> None:
    text = last_text(Action("look", {"id": 7}, {"result": [{"row": at, "text": "x" * 50} for at in range(500)], "said": ["please cancel it"]}))
    assert "please cancel it" in text and "id: 7" in text and len(text) < 1.5 * CHARS


def test_the_plain_transition_baseline_knows_the_last_type_and_the_start_alone() -> None:
    made = material([shown("a", "x", "y"), shown("b", "x", "y"), shown("c", "z", "y", "x")])
    first_order = baselines.transition(made.vocabulary, made.batch.rows, made.labels)
    types = first_order.types
    assert types[int(first_order.probabilities(after(()))[0].argmax())] == "x"
    assert np.array_equal(first_order.probabilities(after(("z", "y"))), first_order.probabilities(after(("x", "y"))))
    frequent = baselines.most_frequent(made.vocabulary, made.labels)
    assert np.allclose(first_order.probabilities(after(("never",))), frequent.probabilities(after(())))


def test_transitions_of_higher_order_remember_what_the_baseline_forgets() -> None:
    made = material([shown(f"a{at}", "x", "m", "p") for at in range(5)] + [shown(f"b{at}", "y", "m", "q") for at in range(5)])
    model = Transitions(made.vocabulary, transitions.count(made.vocabulary, made.batch.rows, made.labels), 1.0)
    said = model.of([situation(after((begin, "m"))[0]) for begin in ("x", "y")])
    assert [model.vocabulary.types[place] for place in said.argmax(axis=1)] == ["p", "q"]
    assert np.allclose(said.sum(axis=1), 1)


def test_a_task_type_has_transitions_of_its_own_and_a_new_one_those_of_all() -> None:
    made = material([shown(f"a{at}", "p", task_type="one") for at in range(5)] + [shown(f"b{at}", "q", task_type="two") for at in range(9)])
    model = Transitions(made.vocabulary, transitions.count(made.vocabulary, made.batch.rows, made.labels), 1.0)
    said = model.of([situation(after((), task_type=kind)[0]) for kind in ("one", "two", "new")])
    assert [model.vocabulary.types[place] for place in said.argmax(axis=1)] == ["p", "q", "q"]


def test_neighbours_are_the_same_as_an_exhaustive_search() -> None:
    made = material(desk(120, 1))
    steps, weights = neighbours.indexed(made.vocabulary, made.batch, made.labels, made.owner), Weights(1.0, 1.0, 0.5, 0.1)
    index, asked = Neighbours(made.vocabulary, steps, weights), encoded([row for one in desk(5, 2, 100) for row, _ in situations(one)], words())
    for place, near in enumerate(index.nearest(asked)):
        recent = made.vocabulary.recent([asked.rows[place]]).astype(np.int16)[0]
        tasks = steps.tasks.astype(np.float32)[steps.task] @ (asked.task[place] @ steps.projection)
        lasts = steps.lasts.astype(np.float32)[steps.last] @ (asked.last[place] @ steps.projection)
        similar = tasks + lasts + 0.125 * neighbours.agreement(steps.recent, recent)
        similar[steps.recent[:, 0] != recent[0]] = -np.inf  # there are enough after each type
        assert np.allclose(np.sort(similar)[::-1][: len(near.places)], near.similarity, atol=1e-5)


def test_neighbours_out_of_fold_are_never_of_their_own_demonstrations() -> None:
    made = material(desk(30, 1))
    steps = neighbours.indexed(made.vocabulary, made.batch, made.labels, made.owner)
    index, hidden = Neighbours(made.vocabulary, steps, neighbours.GRID[0]), made.owner[0]
    (near,) = index.nearest(made.batch.take([0]), [steps.owner != hidden])
    assert hidden not in steps.owner[near.places] and len(near.places) > 0


def test_the_classifier_finds_the_least_loss() -> None:
    rng = np.random.default_rng(0)
    rows, labels = rng.standard_normal((60, 4)).astype(np.float32), rng.integers(0, 3, 60)
    weights = classifier.fit(rows, labels, 3, 1.0).astype(np.float64)

    def loss(values: np.ndarray[tuple[int, int], np.dtype[np.float64]]) -> float:
        said = classifier.softmax(rows @ values[:-1] + values[-1])
        return -float(np.log(said[np.arange(60), labels]).sum()) + 0.5 * float(np.sum(values[:-1] ** 2))

    assert all(loss(weights) <= loss(weights + 0.05 * rng.standard_normal(weights.shape)) for _ in range(50))


def test_what_predicts_best_wins_be_it_one_component_or_a_pool() -> None:
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 3, 400)
    good, blind = np.full((400, 3), 0.05), np.full((400, 3), 1 / 3)
    good[np.arange(400), np.where(rng.random(400) < 0.9, labels, (labels + 1) % 3)] = 0.9
    for pool in (mixture.linear, mixture.logarithmic):
        made = pool({"good": good, "blind": blind}, labels)
        assert mixture.log_loss(made.of({"good": good, "blind": blind}), labels) <= mixture.log_loss(good, labels) + 1e-3
        assert np.allclose(made.of({"good": good, "blind": blind}).sum(axis=1), 1)
    chosen, losses = mixture.best([mixture.single("blind"), mixture.single("good")], {"good": good, "blind": blind}, labels)
    assert chosen.name == "good" and losses["good"] < losses["blind"]
    sharper = mixture.Mixture("logarithmic", {"good": 1.5})
    _, losses = mixture.best([mixture.single("good"), sharper], {"good": good}, labels)
    assert losses["good"] == mixture.log_loss(mixture.single("good").of({"good": good}), labels) != losses["logarithmic"]


def drawn(count: int, power: float, seed: int) -> tuple[np.ndarray[tuple[int, int], np.dtype[np.float64]], np.ndarray[tuple[int], np.dtype[np.int64]]]:
    """What is claimed, and labels drawn from the truth, of which the claim is the power (above 1: too sure)."""
    rng = np.random.default_rng(seed)
    truth = rng.dirichlet(np.full(4, 0.5), count)
    labels = (rng.random((count, 1)) > truth.cumsum(axis=1)).sum(axis=1).clip(0, 3)
    claimed = truth**power
    return claimed / claimed.sum(axis=1, keepdims=True), labels


def test_claims_that_are_too_sure_or_too_modest_are_put_right() -> None:
    for power in (0.4, 3.0):
        claimed, labels = drawn(3_000, power, 1)
        made = calibration.fit(claimed, labels)
        fresh, came = drawn(4_000, power, 2)
        after_it = made.of(fresh)
        assert calibration_error(fresh.max(axis=1), fresh.argmax(axis=1) == came) > 0.08
        assert calibration_error(after_it.max(axis=1), after_it.argmax(axis=1) == came) < 0.04
        assert np.array_equal(after_it.argmax(axis=1), fresh.argmax(axis=1)) and np.allclose(after_it.sum(axis=1), 1)


def test_claims_that_are_right_stay_as_they_are() -> None:
    claimed, labels = drawn(4_000, 1.0, 3)
    made = calibration.fit(claimed, labels)
    assert np.abs(made.of(claimed).max(axis=1) - claimed.max(axis=1)).max() < 0.05


def test_below_the_threshold_suggestions_are_wrong_more_often_than_right() -> None:
    rng = np.random.default_rng(4)
    sure = rng.random(5_000)
    right = rng.random(5_000) < sure
    assert 0.45 < calibration.threshold(sure, right) < 0.55
    assert calibration.threshold(sure, np.zeros(5_000, dtype=np.bool_)) > 1
    assert calibration.threshold(sure, np.ones(5_000, dtype=np.bool_)) == 0
    assert Calibration().of(np.eye(2)) is not None


def test_the_calibration_error_is_the_gap_between_claim_and_truth() -> None:
    right = np.arange(1_000) % 2 == 0
    assert abs(calibration_error(np.full(1_000, 0.5), right)) < 0.05
    assert abs(calibration_error(np.full(1_000, 0.9), right) - 0.4) < 0.01


def test_intervals_hold_in_95_of_100_samples_whose_steps_hang_together() -> None:
    """A demonstration is right in all of its steps or in none: intervals that took steps for draws would hold in some 65 of 100."""
    rng, held = np.random.default_rng(5), 0
    for _ in range(400):
        owner = np.repeat(np.arange(40), rng.integers(2, 8, 40))
        values = (rng.random(40) < 0.6).astype(np.float64)[owner]
        low, high = clustered(values, owner, (0, 1))
        held += low <= 0.6 <= high
    assert 0.91 < held / 400 < 0.98


def test_a_cluster_of_tasks_is_never_divided_between_folds() -> None:
    given = [replace(one, cluster=f"c{at // 3}") for at, one in enumerate(desk(30, 1))]
    made = folds(given, 0)
    assert len(set(made.tolist())) == 5
    assert all(len({int(made[at]) for at in range(30) if at // 3 == cluster}) == 1 for cluster in range(10))


def test_the_end_is_the_last_of_the_types() -> None:
    assert Vocabulary.of(list(situations(shown("a", "y", "x")))).types == ("x", "y", END)


def test_values_that_are_deep_or_large_are_learnt_from_like_others() -> None:
    deep: list[object] = []
    for _ in range(300):
        deep = [deep]
    given = [Shown(f"d{at}", "do it", (Action("x", {"n": 10**30}, deep), Action("y", {"n": 10**30}))) for at in range(5)]
    assert len(last_text(given[0].actions[0])) < 1.5 * CHARS
    assert learn(given).proposed(State("do it", history=given[0].actions[:1]), "y") == {"n": 10**30}
