"""The general set and the verdict about forgetting, with encoders whose vectors are made for the case.

Belongs here: general.py. Not here: the packaged encoder's figure (the benchmark of encoders), what the gate does with it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from learning_pipelines.encoder import Vectors
from learning_pipelines.retrieval.learning.general import forgetting, general_scores, general_set

SET = general_set()
ANSWERS = dict(SET.questions)


class Made:
    """Every passage on an axis of its own, every question on the axis that `finds` says."""

    name, dimensions = "made", len(SET.ids)

    def __init__(self, finds: Callable[[str, int], str]) -> None:
        place = {name: number for number, name in enumerate(SET.ids)}
        self._axis = {text: place[name] for name, text in zip(SET.ids, SET.texts, strict=True)}
        self._axis |= {text: place[finds(answer, number)] for number, (text, answer) in enumerate(SET.questions)}

    def encode(self, texts: Sequence[str], *, batch_size: int = 64) -> Vectors:
        return np.eye(len(SET.ids), dtype=np.float32)[[self._axis[text] for text in texts]]


def knows_all(answer: str, number: int) -> str:
    return answer


def knows_but(one_in: int) -> Callable[[str, int], str]:
    return lambda answer, number: SET.ids[(SET.ids.index(answer) + 40) % len(SET.ids)] if number % one_in == 0 else answer


def test_the_set_is_about_120_short_passages_each_with_a_question_or_two() -> None:
    assert 110 <= len(SET.ids) == len(set(SET.ids)) == len(set(SET.texts)) <= 140
    assert {answer for _, answer in SET.questions} == set(SET.ids)
    assert max(sum(answer == name for _, answer in SET.questions) for name in SET.ids) <= 2
    assert len({text for text, _ in SET.questions}) == len(SET.questions)
    assert all(15 <= len(text.split()) <= 60 for text in SET.texts)


def test_an_encoder_that_knows_what_the_reference_knows_has_not_forgotten() -> None:
    found = forgetting(Made(knows_all), Made(knows_all))
    assert not found.forgot and found.comparison.difference == 0 and found.comparison.n == len(SET.questions)
    assert "no loss of more than 0.05" in found.sentence


@pytest.mark.parametrize(("one_in", "forgot"), [(100, False), (8, True), (2, True)])
def test_a_loss_is_refused_from_the_size_that_cannot_be_ruled_out(one_in: int, forgot: bool) -> None:
    found = forgetting(Made(knows_but(one_in)), Made(knows_all))
    assert found.forgot is forgot and found.comparison.difference < 0 and found.comparison.low < found.comparison.difference
    assert ("cannot be ruled out" in found.sentence) is forgot


def test_what_the_reference_did_not_know_either_is_not_forgotten() -> None:
    found = forgetting(Made(knows_but(2)), Made(knows_but(2)))
    assert not found.forgot and found.comparison.candidate_mean == pytest.approx(found.comparison.incumbent_mean)


def test_words_make_up_for_vectors_where_they_serve_too() -> None:
    lost = Made(knows_but(1))
    assert np.mean(general_scores(lost, SET, 0.7)) > 0.4 > 0.1 > np.mean(general_scores(lost, SET, 0.0))
    assert forgetting(lost, Made(knows_all), lexical_weight=0.7).comparison.candidate_mean > 0.4
