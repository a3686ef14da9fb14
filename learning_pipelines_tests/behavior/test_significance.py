"""An edit matters by what it changes in meaning and facts, not by how many words it changes.

Belongs here: single edits by hand, real corrected answers. Not here: grouping corrections (test_clusters.py).
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from benchmarks import significance as benchmark
from learning_pipelines.behavior.corrections import significance as module
from learning_pipelines.behavior.corrections.facts import differences, facts_of
from learning_pipelines.behavior.corrections.significance import SIGNIFICANT, Kind, significance
from learning_pipelines.encoder import EncoderClient, open_encoder
from learning_pipelines.examples.word_diff import Piece, word_diff
from learning_pipelines.settings import Settings
from learning_pipelines_tests.behavior.edits import EDITS, SAME
from learning_pipelines_tests.conftest import ShareEncoder


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory, share_encoder: ShareEncoder) -> Iterator[EncoderClient]:
    client = open_encoder(Settings(home=share_encoder(tmp_path_factory.mktemp("significance")), embedding_model=None))
    yield client
    client.close()


@pytest.fixture(scope="module")
def cosines(encoder: EncoderClient) -> dict[tuple[str, str], float]:
    one, two = (encoder.encode([edit[side] for edit in EDITS]) for side in (0, 1))
    return {(edit[0], edit[1]): float(a @ b) for edit, a, b in zip(EDITS, one, two, strict=True)}


@pytest.mark.parametrize(("said", "corrected", "change"), EDITS)
def test_an_edit_is_significant_if_it_changes_what_is_said(said: str, corrected: str, change: str, cosines: dict[tuple[str, str], float]) -> None:
    edit = significance(said, corrected, cosines[said, corrected])
    assert (edit.score >= SIGNIFICANT) == (change != SAME)
    if change == SAME:
        assert edit.score < 0.15
    else:
        assert change in edit.kinds
        assert edit.score >= 0.8


@pytest.mark.parametrize(("said", "corrected", "change"), EDITS)
def test_a_correction_matters_the_same_in_the_other_direction(said: str, corrected: str, change: str, cosines: dict[tuple[str, str], float]) -> None:
    there, back = significance(said, corrected, cosines[said, corrected]), significance(corrected, said, cosines[said, corrected])
    assert back.score == pytest.approx(there.score, abs=1e-6)
    assert (back.wrong, back.right) == (there.right, there.wrong)


def test_another_label_of_a_closed_answer_set_counts_fully_and_is_spelt_as_the_set_spells_it() -> None:
    edit = significance(" card_lost. ", "Card_Stolen", labels=["card_lost", "card_stolen"])
    assert (edit.score, edit.kinds, edit.wrong, edit.right) == (1.0, {Kind.LABEL}, "card_lost", "card_stolen")
    assert significance("card_lost", "Card_Lost.", labels=["card_lost"]).score == 0


def test_without_vectors_facts_decide() -> None:
    assert significance("It is 5 EUR.", "It is 6 EUR.").score == pytest.approx(0.9)
    assert significance("One thing entirely.", "Another matter, quite.").score == pytest.approx(0.02)


def test_a_statement_that_was_added_or_cut_counts_less_than_one_that_was_wrong() -> None:
    short, long = "You can return it.", "You can return it. The shop in Berlin takes it back within 30 days for a refund of the price."
    other = "You can return it. The shop in Berlin takes it back within 14 days for a refund of the price."
    added, cut, wrong = significance(short, long), significance(long, short), significance(other, long)
    assert Kind.ADDED in added.kinds
    assert Kind.REMOVED in cut.kinds
    assert SIGNIFICANT < added.score < wrong.score


def test_what_may_be_read_in_two_ways_is_no_change() -> None:
    same = [("It is 1.000 long.", "It is 1,000 long."), ("At 12,5 % now.", "At 12.5 % now."), ("10 000 users", "10,000 users"), ("1'500 CHF", "CHF 1500")]
    assert [differences(facts_of(one), facts_of(two)) for one, two in same] == [{}] * len(same)


def test_hostile_texts_are_judged_too() -> None:
    for text in ("", "\x00", "€" * 1000, "1" * 400, "1,2.3,4..5", "0000-00-00", "99/99/9999", "5" + " not" * 300, "<EMAIL_1>" * 50, "May 99", "ﬁ ½ ²"):
        edit = significance(text, "It is 5 EUR.", 0.0)
        assert 0 <= edit.score <= 1
        assert significance(text, text).score == 0


def test_the_cost_of_a_long_edit_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stretches that differ in thousands of words are not compared word by word, which takes the square of their length."""
    compared: list[int] = []

    def counted(one: str, two: str) -> list[Piece]:
        compared.append(len(one.split()))
        return word_diff(one, two)

    monkeypatch.setattr(module, "word_diff", counted)
    long, other = (" ".join(f"{word}{number}" for number in range(30_000)) for word in ("ab", "cd"))
    assert significance(long, other, 0.0).score > SIGNIFICANT
    assert significance(long, long.replace("ab2 ", "7 days "), 0.99).kinds >= {Kind.NUMBER}
    assert compared == []


@pytest.mark.skipif(not benchmark.FILE.exists(), reason=f"the data set qa_feedback is not in {benchmark.DATA}; LEARNING_TEST_DATA names its folder")
def test_real_corrections_are_told_from_restyled_answers_and_single_wrong_facts_too(encoder: EncoderClient) -> None:
    """Floors below what 500 answers give (make bench-significance): words alone do not see a single fact among reworded answers."""
    areas = benchmark.separations(benchmark.edits(30), encoder)
    assert areas["corrected or restyled"]["significance"] >= 0.95
    assert areas["one fact or restyled"]["significance"] >= 0.95
    assert areas["one fact or restyled"]["words"] < 0.6
    assert areas["one fact or restyled"]["vectors"] < 0.6
