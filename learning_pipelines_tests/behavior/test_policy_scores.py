"""Numbers of a policy, computed again by hand: scores and intervals, pools, transitions, tables, and what its gate compares.

Belongs here: exact values on a few rows. Not here: how sure it may be (test_policy_calibration.py), what they promise on data (test_policy_components.py),
the whole (test_policy.py).
"""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.stats import t

from learning_pipelines.behavior import policy_gate
from learning_pipelines.behavior.policy import baselines, evaluation, mixture, transitions
from learning_pipelines.behavior.policy.arguments import ArgumentScores
from learning_pipelines.behavior.policy.evaluation import Evaluation, Scores, clustered, evaluate_transition, scored
from learning_pipelines.behavior.policy.mixture import Mixture, best, floored, linear, log_loss, logarithmic, normalized, single
from learning_pipelines.behavior.policy.situations import Situation, situations
from learning_pipelines.behavior.policy.transitions import Transitions
from learning_pipelines.behavior.policy.vocabulary import UNKNOWN, Vocabulary
from learning_pipelines.behavior.task import END, Shown, State
from learning_pipelines.errors import LearningError
from learning_pipelines_tests.behavior.made import shown

SAID = np.array([[0.6, 0.3, 0.1, 0.0], [0.1, 0.2, 0.3, 0.4], [0.25, 0.25, 0.25, 0.25], [0.0, 0.05, 0.05, 0.9]])


def test_scores_are_shares_of_steps_and_means_of_demonstrations() -> None:
    labels, owner = np.array([0, 1, 2, UNKNOWN]), np.array([0, 0, 0, 1])
    found = scored(SAID, labels, owner, [shown("a", "x"), shown("b", "y")])
    assert (found.top1, found.top3) == (0.25, 0.75)
    assert dict(found.scores) == {"a": pytest.approx(1 / 3), "b": 0.0}
    assert found.log_loss == pytest.approx(-(math.log(0.6) + math.log(0.2) + math.log(0.25) + math.log(1e-6)) / 4)
    assert found.interval == clustered(np.array([1.0, 0.0, 0.0, 0.0]), owner, (0.0, 1.0))


def test_of_types_that_are_equally_likely_the_first_three_are_suggested() -> None:
    alike = np.tile([2 / 60, 1 / 60], (4, 20))
    found = scored(alike, np.array([0, 4, 4, 6]), np.array([0, 1, 2, 3]), [shown(name, "x") for name in "abcd"])
    assert (found.top1, found.top3) == (0.25, 0.75) and dict(found.scores) == {"a": 1.0, "b": 0.0, "c": 0.0, "d": 0.0}


def test_an_interval_counts_demonstrations_and_stays_within_its_bounds() -> None:
    values, owner = np.array([1.0, 1.0, 0.0, 0.0, 1.0, 0.0]), np.array([0, 0, 1, 1, 2, 2])
    error = math.sqrt(((1 - 0.5) * 2) ** 2 + ((0 - 0.5) * 2) ** 2 + 0.0) * math.sqrt(3 / 2) / 6
    reach = float(t.ppf(0.975, 2)) * error
    assert clustered(values, owner, (-9.0, 9.0)) == pytest.approx((0.5 - reach, 0.5 + reach))
    assert clustered(values, owner, (0.0, 1.0)) == (0.0, 1.0)
    assert clustered(values, np.zeros(6, dtype=np.int64), (-1.0, 1.0)) == (-1.0, 1.0)
    assert clustered(values[:4], owner[:4], (-9.0, 9.0)) != (-9.0, 9.0)
    one = np.array([True, False])
    assert evaluation._difference(one, ~one, np.array([0, 1])) == (0.0, (-1.0, 1.0))


def test_transitions_are_scored_beside_the_baselines_on_what_succeeded() -> None:
    train = [shown("a", "x", "y"), shown("b", "x", "y"), Shown("bad", "do it", shown("c", "z").actions, outcome="failure")]
    test = [shown("t1", "x", "y"), shown("t2", "x", "q"), Shown("no", "do it", shown("c", "x").actions, outcome="failure")]
    found = evaluate_transition(train, test)
    assert (found.n, found.demonstrations, found.unknown, found.coverage, found.arguments) == (6, 2, 1, 1.0, None)
    assert found.policy.top1 == found.covered_top1 == pytest.approx(4 / 6) == found.baselines["transition"].top1
    assert dict(found.scores) == {"t1": 1.0, "t2": pytest.approx(1 / 3)}
    difference, interval = found.differences["most_frequent"]
    assert difference == pytest.approx(found.policy.top1 - found.baselines["most_frequent"].top1)
    assert set(found.baselines) == {"most_frequent", "transition"} and found.differences["transition"][0] == 0.0
    assert interval[0] <= difference <= interval[1]
    told = found.as_json()
    assert (told["n"], told["top1"], told["top3"], told["unknown_types"], told["arguments"]) == (6, found.policy.top1, found.policy.top3, 1, None)
    assert told["differences"]["most_frequent"] == {"difference": difference, "interval": list(interval)}
    assert told["baselines"] == {name: one.top1 for name, one in found.baselines.items()} and told["interval"] == list(found.policy.interval)
    assert told["baseline_intervals"] == {name: list(one.interval) for name, one in found.baselines.items()}
    assert (told["demonstrations"], told["calibration_error"], told["coverage"]) == (2, found.calibration_error, 1.0)
    assert told["covered_top1"] == found.covered_top1
    given = ArgumentScores(7, 0.5, 0.25)
    assert replace(found, arguments=given).as_json()["arguments"] == given.as_json()
    with pytest.raises(LearningError, match="nothing to score"):
        evaluate_transition(train[2:], test)
    with pytest.raises(LearningError, match="no demonstration that succeeded"):
        evaluate_transition(train, test[2:])


def test_a_linear_pool_averages_opinions_and_a_logarithmic_one_their_logarithms() -> None:
    opinions = {"one": SAID, "other": SAID[::-1]}
    a, b = (SAID + 1e-6) / (1 + 4e-6), (SAID[::-1] + 1e-6) / (1 + 4e-6)
    assert floored(SAID) == pytest.approx(a)
    assert Mixture("linear", {"one": 0.25, "other": 0.75}).of(opinions) == pytest.approx(0.25 * a + 0.75 * b)
    raised = a**0.5 * b**2
    assert Mixture("logarithmic", {"one": 0.5, "other": 2.0}).of(opinions) == pytest.approx(raised / raised.sum(axis=1, keepdims=True))
    assert normalized(np.log(SAID + 0.1)) == pytest.approx((SAID + 0.1) / 1.4)
    assert normalized(np.array([[2000.0, 2000.0], [-2000.0, -2000.0]])).tolist() == [[0.5, 0.5], [0.5, 0.5]]
    assert [one.name for one in (single("a"), Mixture("linear", {"a": 0.5, "b": 0.5}), Mixture("logarithmic", {"a": 1.0}))] == ["a", "linear", "logarithmic"]
    assert Mixture("linear", {"a": 1.0}).as_json() == {"pool": "linear", "weights": {"a": 1.0}}


def pooled() -> tuple[dict[str, np.ndarray], np.ndarray]:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 500)

    def opinion(right: float, seed: int) -> np.ndarray:
        hits = np.random.default_rng(seed).random(500) < right
        made = np.full((500, 3), 0.1)
        made[np.arange(500), np.where(hits, labels, (labels + 1) % 3)] = 0.8
        return made

    return {"good": opinion(0.85, 1), "fair": opinion(0.7, 2), "useless": np.full((500, 3), 1 / 3)}, labels


def test_the_weights_of_a_linear_pool_are_the_likeliest_and_tiny_ones_are_left_out() -> None:
    opinions, labels = pooled()
    made = linear(opinions, labels)
    assert sum(made.weights.values()) == pytest.approx(1.0) and "useless" not in made.weights and made.pool == "linear"
    loss = log_loss(made.of(opinions), labels)
    for step in (-0.03, 0.03):
        other = Mixture("linear", {"good": made.weights["good"] + step, "fair": made.weights["fair"] - step})
        assert log_loss(other.of(opinions), labels) > loss


def test_the_weights_of_a_logarithmic_pool_have_the_least_loss_held_a_little_to_equal_shares() -> None:
    opinions, labels = pooled()
    made = logarithmic(opinions, labels)
    assert made.pool == "logarithmic" and set(made.weights) <= set(opinions)

    def loss(weights: dict[str, float]) -> float:
        return log_loss(Mixture("logarithmic", weights).of(opinions), labels) + 1e-3 * sum((weight - 1 / 3) ** 2 for weight in weights.values())

    weights = {name: made.weights.get(name, 0.0) for name in opinions}
    for name in opinions:
        for step in (-0.02, 0.02):
            if weights[name] + step >= 0:
                assert loss(weights | {name: weights[name] + step}) > loss(weights)
    assert logarithmic({"wrong": np.eye(3)[(labels + 1) % 3]}, labels).weights == {"wrong": 1.0}


def test_a_logarithmic_pool_of_a_few_steps_is_held_to_equal_shares_as_stated() -> None:
    """The one that is always right would get all the weight there is but for .001·(w - 1/2)²; the one that says nothing keeps its half."""
    right = np.array([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1]])
    made = logarithmic({"right": right, "flat": np.full((2, 3), 1 / 3)}, np.array([0, 1]))
    odds = math.log(8)

    def slope(weight: float) -> float:
        return -2 * odds * math.exp(-odds * weight) / (1 + 2 * math.exp(-odds * weight)) + 0.002 * (weight - 0.5)

    assert made.weights == pytest.approx({"right": brentq(slope, 1, 10), "flat": 0.5}, rel=1e-3)
    beside = logarithmic({"right": right, "wrong": right[::-1]}, np.array([0, 1]))
    assert beside.weights == pytest.approx({"right": brentq(slope, 1, 10)}, rel=1e-3)  # no opinion counts as its contrary
    faint = np.array([[0.36, 0.32, 0.32], [0.32, 0.36, 0.32]])
    assert logarithmic({"faint": faint}, np.array([0, 1])).weights == {"faint": 10.0}


def test_the_best_is_the_first_of_the_least_loss() -> None:
    opinions = {"one": SAID, "same": SAID, "bad": SAID[:, ::-1]}
    assert log_loss(np.ones((2, 1)), np.array([0, UNKNOWN])) == pytest.approx(-math.log(1e-6) / 2)
    chosen, losses = best([single("bad"), single("one"), single("same")], opinions, np.array([0, 3, 0, 3]))
    assert chosen.name == "one" and set(losses) == {"bad", "one", "same"} and losses["one"] == losses["same"] < losses["bad"]


def test_tables_of_baselines_are_smoothed_counts() -> None:
    pairs = [pair for one in (shown("a", "x", "y"), shown("b", "x", "x", "y")) for pair in situations(one)]
    vocabulary = Vocabulary.of(pairs)
    rows, labels = [row for row, _ in pairs], vocabulary.numbers([kind for _, kind in pairs])
    overall = np.array([3, 2, 2]) / 7
    made = baselines.both(vocabulary, rows, labels)
    assert made["most_frequent"].of(rows) == pytest.approx(np.tile(overall, (7, 1)))
    table = np.array([[1, 2, 0], [0, 0, 2], [0, 0, 0], [2, 0, 0], [0, 0, 0]]) + overall
    assert made["transition"].table == pytest.approx(table / table.sum(axis=1, keepdims=True))
    assert made["most_frequent"].types == made["transition"].types == ("x", "y", END)
    assert made["transition"].probabilities([State("do it", {}, ())]).dtype == np.float32
    assert baselines.most_frequent(vocabulary, np.array([0, 0])).table.tolist() == [[1.0, 0.0, 0.0]]  # nobody ended


def test_a_vocabulary_numbers_types_and_the_last_steps_newest_first() -> None:
    rows = [Situation("mail", ("a", "z", "b"), {}, 3, "", ""), Situation("call", ("b", "b", "a", "b"), {}, 9, "", ""), Situation("", (), {}, 0, "", "")]
    made = Vocabulary.of([(rows[0], "b"), (rows[1], END), (rows[2], "a")])
    assert (made.types, made.task_types, made.start) == (("a", "b", END), ("", "call", "mail"), 3)
    assert made.numbers(["b", END, "z"]).tolist() == [1, 2, UNKNOWN] and made.number("a") == 0
    assert made.recent(rows).tolist() == [[1, UNKNOWN, 0, 3], [1, 0, 1, 1], [3, UNKNOWN, UNKNOWN, UNKNOWN]]
    assert made.task_type_numbers([*rows, Situation("new", (), {}, 0, "", "")]).tolist() == [2, 1, 0, UNKNOWN]


def test_transitions_smooth_each_context_towards_the_shorter_one() -> None:
    pairs = [(Situation("mail", ("a",), {}, 1, "", ""), "b"), (Situation("mail", ("a",), {}, 1, "", ""), "b"), (Situation("call", ("b",), {}, 1, "", ""), "a")]
    vocabulary = Vocabulary.of([*pairs, (pairs[0][0], END)])
    rows, labels = [row for row, _ in pairs], vocabulary.numbers([kind for _, kind in pairs])
    model = Transitions(vocabulary, transitions.count(vocabulary, rows, labels), 2.0)
    flat = np.full(3, 1 / 3)
    all_0 = (np.array([1, 2, 0]) + 2 * flat) / 5
    all_a = (np.array([0, 2, 0]) + 2 * all_0) / 4
    all_start = (np.array([0, 2, 0]) + 2 * all_a) / 4
    mail_0 = (np.array([0, 2, 0]) + 2 * all_0) / 4
    mail_a = (np.array([0, 2, 0]) + 2 * (mail_0 + all_a) / 2) / 4
    mail_start = (np.array([0, 2, 0]) + 2 * (mail_a + all_start) / 2) / 4
    assert model.of([pairs[0][0]])[0] == pytest.approx(mail_start)
    assert model.of([Situation("new", ("a",), {}, 1, "", "")])[0] == pytest.approx(all_start)
    assert model.of([Situation("new", ("a",), {}, 7, "", "")])[0] == pytest.approx(all_a)
    assert model.of([Situation("new", ("never", "a"), {}, 7, "", "")])[0] == pytest.approx(all_a)
    assert model.of([Situation("new", ("a", "never"), {}, 7, "", "")])[0] == pytest.approx(all_0)


def test_contexts_of_a_task_type_are_smoothed_towards_its_own_shorter_one_and_that_of_all() -> None:
    """After `a` mail goes on with `b` and a call ends."""
    rows = [Situation("mail", ("a",), {}, 1, "", ""), Situation("call", ("a",), {}, 1, "", "")]
    vocabulary = Vocabulary(("a", "b", END), ("call", "mail"))
    model = Transitions(vocabulary, transitions.count(vocabulary, rows, np.array([1, 2])), 2.0)
    overall = own = np.full(3, 1 / 3)
    for order in range(3):
        overall = (np.array([0, 1, 1]) + 2 * overall) / 4
        own = (np.array([0, 1, 0]) + 2 * ((own + overall) / 2 if order else overall)) / 3
    assert model.of(rows[:1])[0] == pytest.approx(own)
    alone = Vocabulary(("a", "b", END), ("mail",))
    assert set(transitions.count(alone, rows[:1], np.array([1]))) == {(UNKNOWN,), (UNKNOWN, 0), (UNKNOWN, 0, 3)}


def scores_of(**said: float) -> Scores:
    return Scores(0.0, 0.0, (0.0, 1.0), 0.0, said)


def test_a_policy_must_not_fall_short_of_the_baselines_beside_what_serves() -> None:
    others = {"most_frequent": scores_of(a=0.1, b=0.2), "transition": scores_of(a=0.3, b=0.4)}
    made = Evaluation(2, 2, scores_of(b=0.6, a=0.5), others, {}, 0.0, 1.0, None, 0, None)
    assert policy_gate._baselines(made, None) == {"the most frequent action": [(0.1, 0.5), (0.2, 0.6)]}
    assert policy_gate._baselines(made, made) == {"the most frequent action": [(0.1, 0.5), (0.2, 0.6)], "the transition model": [(0.3, 0.5), (0.4, 0.6)]}


def test_kinds_of_task_are_guarded_from_twenty_demonstrations_on_where_there_are_several() -> None:
    test = [shown(f"m{at}", "x", task_type="mail") for at in range(20)] + [shown(f"c{at}", "x", task_type="call") for at in range(19)]
    assert policy_gate.slices(test) == {"task type mail": {f"m{at}" for at in range(20)}}
    assert policy_gate.slices(test[:20]) == {}
    assert set(policy_gate.slices([*test, shown("none", "x"), *(shown(f"n{at}", "x") for at in range(19))])) == {"task type mail", "task type (none)"}


def test_a_policy_beats_the_most_frequent_action_by_the_scores_that_are_stored() -> None:
    def stored(**outside: Any) -> Any:
        return cast("Any", SimpleNamespace(evidence={"outside": outside}))

    name = "the most frequent action"
    assert policy_gate.beats_frequency(stored(**{name: [[0.5, 0.4], [0.1, 0.4]]})) is True
    assert policy_gate.beats_frequency(stored(**{name: [[0.5, 0.4], [0.3, 0.4]]})) is False
    assert policy_gate.beats_frequency(stored()) is None and policy_gate.beats_frequency(cast("Any", SimpleNamespace(evidence={}))) is None
    assert mixture.TINY == 1e-6
