"""A policy: learnt, asked, stored, scored.

Belongs here: what holds for the whole. Not here: single components (test_policy_components.py), real trajectories (test_policy_real.py).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from learning_pipelines.behavior.policy.evaluation import evaluate
from learning_pipelines.behavior.policy.files import load_policy, save
from learning_pipelines.behavior.policy.fitting import fit
from learning_pipelines.behavior.policy.policy import Policy
from learning_pipelines.behavior.task import END, Action, Shown, State
from learning_pipelines.encoder import EncoderMismatch
from learning_pipelines.errors import LearningError
from learning_pipelines_tests.behavior.made import desk, shown, words
from learning_pipelines_tests.retrieval.fake_encoders import WordEncoder


@pytest.fixture(scope="module")
def policy() -> Policy:
    return fit(desk(60, 1), desk(20, 2, 100), words(), 0)


def test_it_beats_both_baselines_where_words_tell_what_follows(policy: Policy) -> None:
    scored = evaluate(policy, desk(60, 3, 200))
    assert scored.policy.top1 > 0.95
    assert scored.baselines["transition"].top1 < 0.7
    for difference, (low, high) in scored.differences.values():
        assert 0.2 < low < difference < high


def test_its_confidence_is_right_as_often_as_it_says(policy: Policy) -> None:
    assert evaluate(policy, desk(80, 4, 300)).calibration_error <= 0.05


def test_the_same_demonstrations_and_seed_give_the_same_bytes(policy: Policy, tmp_path: Path) -> None:
    save(policy.learnt, tmp_path / "one")
    save(fit(desk(60, 1), desk(20, 2, 100), words(), 0).learnt, tmp_path / "two")
    for name in ("policy.json", "policy.safetensors"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_what_is_loaded_answers_bit_by_bit_as_what_was_saved(policy: Policy, tmp_path: Path) -> None:
    save(policy.learnt, tmp_path)
    again = load_policy(tmp_path, words())
    states = [state for one in desk(10, 5, 400) for state, _ in one.steps()]
    assert np.array_equal(policy.probabilities(states), again.probabilities(states))
    assert [policy.suggest(state) for state in states] == [again.suggest(state) for state in states]


def test_a_damaged_folder_is_refused_by_name(policy: Policy, tmp_path: Path) -> None:
    save(policy.learnt, tmp_path)
    (tmp_path / "policy.safetensors").write_bytes((tmp_path / "policy.safetensors").read_bytes()[:-100])
    with pytest.raises(LearningError, match="cannot be read"):
        load_policy(tmp_path, words())
    (tmp_path / "policy.safetensors").unlink()
    with pytest.raises(LearningError, match=r"policy\.safetensors is gone"):
        load_policy(tmp_path, words())


def test_vectors_of_another_encoder_are_refused(policy: Policy, tmp_path: Path) -> None:
    save(policy.learnt, tmp_path)
    with pytest.raises(EncoderMismatch):
        load_policy(tmp_path, WordEncoder("others@1", 64))


def test_a_suggestion_names_the_demonstrations_it_comes_from(policy: Policy) -> None:
    state = State("hello 7 please", history=(Action("login", {"user": "u7"}, {"said": "now lend"}),))
    answer = policy.suggest(state, 2)
    first = answer.ranked[0]
    assert (first.type, len(answer.ranked), answer.abstained, answer.confidence) == ("loan", 2, False, first.probability)
    assert first.shown > answer.nearest // 2
    known = {one.id: one for one in desk(60, 1)}
    assert first.demonstrations and all("loan" in [action.type for action in known[name].actions] for name in first.demonstrations)


def test_nothing_is_suggested_after_an_action_that_nobody_demonstrated(policy: Policy) -> None:
    answer = policy.suggest(State("hello please", history=(Action("reboot"),)))
    assert answer.abstained and "'reboot'" in answer.why


def test_what_nobody_demonstrated_counts_as_wrong(policy: Policy) -> None:
    other = [replace(one, actions=(*one.actions[:1], Action("reboot", None, {"said": "thanks bye"}))) for one in desk(10, 6, 500)]
    scored = evaluate(policy, other)
    assert (scored.n, scored.unknown) == (30, 10)
    assert scored.policy.top1 <= 20 / 30


def test_experts_who_contradict_each_other_split_the_probability() -> None:
    policy = fit([shown(f"d{place}", "open", "approve" if place % 2 else "reject") for place in range(40)], [], words(), 0)
    found = dict(zip(policy.types, policy.probabilities([State("do it", history=(Action("open"),))])[0].tolist(), strict=True))
    assert abs(found["approve"] - 0.5) < 0.1 and abs(found["reject"] - 0.5) < 0.1


def test_demonstrations_that_failed_teach_nothing() -> None:
    good = [shown(f"g{place}", "ask", "answer") for place in range(10)]
    bad = [replace(shown(f"b{place}", "ask", "shout"), outcome="failure") for place in range(30)]
    policy = fit([*good, *bad], [], words(), 0)
    assert policy.types == ("answer", "ask", END)


def test_one_demonstration_is_enough_to_begin_with() -> None:
    policy = fit([shown("d", "look", "write")], [], words(), 0)
    assert policy.suggest(State("do it", history=(Action("look"),))).ranked[0].type == "write"


def test_a_single_type_of_action_can_be_learnt() -> None:
    policy = fit([shown(f"d{place}", "look", "look") for place in range(20)], [], words(), 0)
    history = (Action("look"),) * 2
    assert [policy.suggest(State("do it", history=history[:done])).ranked[0].type for done in range(3)] == ["look", "look", END]


def test_a_demonstration_of_a_thousand_steps_is_one_among_others() -> None:
    long = shown("long", *(("look", "write") * 500))
    policy = fit([long, *(shown(f"d{place}", "look", "write") for place in range(5))], [], words(), 0)
    assert policy.suggest(State("do it", history=long.actions[:999])).ranked[0].type == "write"


@pytest.mark.parametrize("train", [[], [Shown("empty", "do it", ())], [replace(shown("bad", "look"), outcome="failure")]])
def test_without_an_action_that_succeeded_there_is_nothing_to_learn(train: list[Shown]) -> None:
    with pytest.raises(LearningError, match="nothing to learn a policy from"):
        fit(train, [], words(), 0)
