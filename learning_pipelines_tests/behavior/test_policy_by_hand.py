"""What a policy answers from what its components say: ranking, evidence, reasons for silence, scores. The components are given, nothing is learnt.

Belongs here: policy.py and evaluate on values that are known. Not here: components (test_policy_components.py), learning (test_policy.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from learning_pipelines.behavior.policy.calibration import Calibration
from learning_pipelines.behavior.policy.evaluation import evaluate, scored
from learning_pipelines.behavior.policy.mixture import Mixture, floored, single
from learning_pipelines.behavior.policy.neighbours import Near
from learning_pipelines.behavior.policy.policy import Learnt, Policy
from learning_pipelines.behavior.policy.situations import Batch, Situation, encoded, situation
from learning_pipelines.behavior.policy.vocabulary import Vocabulary
from learning_pipelines.behavior.task import END, Action, Shown, State
from learning_pipelines.encoder import EncoderMismatch
from learning_pipelines_tests.behavior.made import words

SAID = {"transition": [0.6, 0.3, 0.1], "history": [0.1, 0.2, 0.7], "neighbours": [0.2, 0.7, 0.1], "classifier": [0.3, 0.3, 0.4]}


def opinion(name: str, rows: Sequence[Situation]) -> Any:
    """What a component says, the same of every situation."""
    return np.tile(SAID[name], (len(rows), 1))


class Steps:
    """Five demonstrated steps, the nearest first: mail, call, and mail again by three others. The second situation that is asked about is unlike all."""

    steps = SimpleNamespace(labels=np.array([0, 1, 1, 1, 1]), owner=np.array([4, 0, 2, 1, 3]))

    def nearest(self, batch: Batch) -> list[Near]:
        return [Near(np.array([1, 0, 3, 4, 2]), np.array([0.2 if place == 1 else 0.9, 0.1, 0.1, 0.1, 0.1]), np.ones(5)) for place in range(len(batch))]

    def said(self, near: Sequence[Near]) -> Any:
        return np.tile(SAID["neighbours"], (len(near), 1))


class Proposed:
    """Whoever it is for is named by the action."""

    def proposed(self, state: Any, kind: str) -> Mapping[str, Any]:
        return {"to": kind}


def learnt(**more: Any) -> Learnt:
    transition, frequent = (SimpleNamespace(of=partial(opinion, name)) for name in ("transition", "history"))
    given: dict[str, Any] = {
        "vocabulary": Vocabulary(("call", "mail", END), ("",)), "baselines": {"transition": transition, "most_frequent": frequent},
        "transitions": frequent, "neighbours": Steps(), "classifier": SimpleNamespace(of=lambda batch: opinion("classifier", batch.rows)),
        "arguments": Proposed(), "mixture": single("neighbours"), "calibration": Calibration(), "familiar": 0.5,
        "demonstrations": ("d0", "d1", "d2", "d3", "d4"), "encoder": "words@1", "dimensions": 64,
    }  # fmt: skip
    return Learnt(**{**given, **more})


def policy(**more: Any) -> Policy:
    return Policy(learnt(**more), words())


def test_types_are_ranked_by_probability_with_the_nearest_that_did_so() -> None:
    found = policy().suggest(State("write to them"))
    assert [(one.type, round(one.probability, 5), one.demonstrations, one.shown, one.arguments) for one in found.ranked] == [
        ("mail", 0.7, ("d0", "d1", "d3"), 4, {"to": "mail"}), ("call", 0.2, ("d4",), 1, {"to": "call"}), (END, 0.1, (), 0, {"to": END}),
    ]  # fmt: skip
    assert (round(found.confidence, 5), found.abstained, found.why, found.nearest) == (0.7, False, "", 5)
    assert [len(policy().suggest(State("write"), k).ranked) for k in (0, 1, 2, 9)] == [1, 1, 2, 3]
    repeated = Steps()
    repeated.steps = SimpleNamespace(labels=np.ones(5, dtype=np.int64), owner=np.array([1, 0, 0, 1, 0]))
    assert policy(neighbours=repeated).suggest(State("write")).ranked[0].demonstrations == ("d0", "d1")


def test_three_are_suggested_and_of_equally_likely_ones_the_first() -> None:
    alike = Steps()
    alike.said = lambda near: np.tile([1 / 60, 2 / 60], (len(near), 20))  # type: ignore[method-assign]
    kinds = tuple(f"t{number:02}" for number in range(39))
    found = policy(neighbours=alike, vocabulary=Vocabulary((*kinds, END), ("",))).suggest(State("write"))
    assert [one.type for one in found.ranked] == ["t01", "t03", "t05"]


def test_it_says_why_it_had_better_say_nothing() -> None:
    after = State("write", history=(Action("mail"), Action("fax")))
    assert policy().suggest(after).why == "no demonstration holds the action 'fax', which was taken last"
    assert policy().suggest(State("write", history=(Action("fax"), Action("mail")))).why == ""
    assert policy().suggest(State("write", history=(Action("call"),))).why == ""
    for limit, why in ((0.9, ""), (0.91, "no demonstration was in a situation like this")):
        found = policy(familiar=limit).suggest(State("write"))
        assert (found.why, found.abstained) == (why, bool(why))
    sure = float(floored(np.array([SAID["neighbours"]])).max())
    assert policy(calibration=Calibration(threshold=sure)).suggest(State("write")).why == ""
    unsure = policy(calibration=Calibration(threshold=0.71)).suggest(State("write"))
    assert unsure.why == "a suggestion of confidence 0.70 would be wrong more often than right" and unsure.ranked[0].type == "mail"


def test_opinions_are_pooled_by_their_names_and_calibrated() -> None:
    weights = {"transition": 0.1, "history": 0.2, "neighbours": 0.3, "classifier": 0.4}
    made = policy(mixture=Mixture("linear", weights), calibration=Calibration(0.3, 0.0))
    states = [State("write"), State("call them", history=(Action("mail"),))]
    batch = encoded([situation(state) for state in states], words())
    assert {name: said.tolist() for name, said in made.opinions(batch).items()} == {name: [row, row] for name, row in SAID.items()}
    assert {len(said) for said in made.opinions(batch, made.learnt.neighbours.nearest(batch.take([0]))).values()} == {1, 2}
    mixed = sum(weight * floored(np.array([SAID[name]])) for name, weight in weights.items())
    expected = Calibration(0.3, 0.0).of(np.tile(mixed, (2, 1)))
    assert made.predict(batch).probabilities == pytest.approx(expected)
    found = made.probabilities(states)
    assert found == pytest.approx(expected, abs=1e-6) and found.dtype == np.float32
    assert made.types == ("call", "mail", END) and set(made.baselines) == {"transition", "most_frequent"}
    assert made.predict(batch).why == ["", "no demonstration was in a situation like this"]


def test_the_nearest_steps_are_looked_for_once() -> None:
    asked: list[Batch] = []

    class Counted(Steps):
        def nearest(self, batch: Batch) -> list[Near]:
            asked.append(batch)
            return super().nearest(batch)

    policy(neighbours=Counted()).suggest(State("write"))
    assert len(asked) == 1


@pytest.mark.parametrize("other", [{"encoder": "words@2"}, {"dimensions": 65}])
def test_another_encoder_is_refused(other: dict[str, Any]) -> None:
    with pytest.raises(EncoderMismatch):
        policy(**other)


def test_an_evaluation_scores_policy_baselines_arguments_and_what_was_not_abstained_from() -> None:
    """Mail, mail and the end: always mail is right twice; of the second, which is unlike all, it would have said nothing."""
    once = Shown("a", "write", (Action("mail", {"to": "mail"}), Action("mail", {"to": "them"})))
    found = evaluate(policy(), [once, replace(once, id="b", outcome="failure")])
    assert (found.n, found.demonstrations, found.unknown) == (3, 1, 0)
    assert (found.policy.top1, found.coverage, found.covered_top1) == (pytest.approx(2 / 3), pytest.approx(2 / 3), 0.5)
    assert found.arguments is not None and (found.arguments.n, found.arguments.exact) == (2, 0.5)
    labels, owner = np.array([1, 1, 2]), np.zeros(3, dtype=np.int64)
    assert found.policy == scored(floored(np.tile(SAID["neighbours"], (3, 1))), labels, owner, [once])
    assert found.baselines["most_frequent"] == scored(np.tile(SAID["history"], (3, 1)), labels, owner, [once])
    assert found.baselines["transition"].top1 == 0.0
    assert {name: value for name, (value, _) in found.differences.items()} == pytest.approx({"transition": 2 / 3, "most_frequent": 1 / 3})
    assert found.calibration_error == pytest.approx((0.3 + 0.3 + 0.7) / 3, abs=1e-5)
    silent = evaluate(policy(calibration=cast("Any", Calibration(threshold=1.01))), [once])
    assert (silent.coverage, silent.covered_top1) == (0.0, None)
