"""Frequent sequences: planted ones come back with their figures, gaps and closedness are as stated, the work is bounded."""

from __future__ import annotations

import random

import pytest

from learning_pipelines.behavior.patterns.sequences import Limits, Mined, holds, mine


def types(mined: Mined) -> list[str]:
    return ["".join(one.types) for one in mined.patterns]


def test_a_planted_sequence_is_found_with_its_support_confidence_and_lift() -> None:
    sequences = ["abcx"] * 12 + ["aby"] * 4 + ["cxy"] * 4
    found = {"".join(one.types): one for one in mine(sequences, Limits(count=3, gap=0)).patterns}
    planted = found["abcx"]
    assert (planted.support.count, planted.support.of) == (12, 20)
    assert planted.support.low == pytest.approx(0.387, abs=0.001) and planted.support.high == pytest.approx(0.781, abs=0.001)  # Wilson
    assert (found["aby"].confidence.count, found["aby"].confidence.of) == (4, 16)
    assert found["aby"].lift == pytest.approx((4 / 16) / (8 / 20))
    assert planted.named == tuple(range(10))


def test_only_closed_patterns_are_told() -> None:
    assert types(mine(["abc"] * 5, Limits(gap=1))) == ["abc"]
    assert types(mine(["abc"] * 5 + ["ab"] * 3, Limits(gap=1))) == ["ab", "abc"]


def test_what_a_gap_rule_keeps_apart_is_no_part_of_a_longer_pattern() -> None:
    # a c stands in 3 demonstrations next to each other, in 3 others within a b c: neither support says anything about the other.
    found = {"".join(one.types): one.support.count for one in mine(["abc"] * 3 + ["ac"] * 3, Limits(gap=0)).patterns}
    assert found["abc"] == 3 and found["ac"] == 3


@pytest.mark.parametrize(("gap", "found"), [(0, False), (1, False), (2, True)])
def test_actions_may_stand_between_up_to_the_gap(gap: int, found: bool) -> None:
    sequences = [f"a{''.join(between)}z" for between in ("pq", "rs", "tu", "vw")]
    assert ("az" in types(mine(sequences, Limits(gap=gap)))) is found


def test_every_place_of_a_prefix_counts_and_not_the_first_alone() -> None:
    assert "ab" in types(mine(["axxxab"] * 3, Limits(gap=0, length=2)))
    assert holds("axxxab", "ab", 0) and not holds("axxxb", "ab", 2) and holds("axxxb", "ab", 3)


def test_support_is_asked_as_a_share_and_as_a_count() -> None:
    assert types(mine(["ab"] * 2 + ["c"] * 4, Limits(count=3, share=0.1))) == ["c"]
    assert types(mine(["ab"] * 3 + ["c"] * 97, Limits(count=3, share=0.1))) == ["c"]


def test_random_sequences_agree_with_counting_every_candidate() -> None:
    rng = random.Random(7)
    sequences = ["".join(rng.choices("abcd", k=rng.randint(0, 9))) for _ in range(60)]
    limits = Limits(share=0.0, count=6, length=3, gap=1)
    found = {one.types: one.support.count for one in mine(sequences, limits).patterns}
    candidates = [tuple(letters) for size in (1, 2, 3) for letters in _words("abcd", size)]
    counted = {one: sum(holds(sequence, one, 1) for sequence in sequences) for one in candidates}
    closed = {
        one: count for one, count in counted.items()
        if count >= 6 and not any(count == more and len(longer) > len(one) and holds(longer, one, 1) for longer, more in counted.items())
    }  # fmt: skip
    assert found == closed


def test_a_hundred_thousand_steps_end_within_the_work_that_is_allowed_and_say_so() -> None:
    rng = random.Random(3)
    sequences = [[f"type {rng.randrange(12)}" for _ in range(1_000)] for _ in range(100)]
    found = mine(sequences, Limits(visits=300_000, patterns=500))
    assert found.cut and found.complete_above >= 10 and found.patterns
    assert all(one.support.count >= 10 for one in found.patterns)


def test_one_action_a_thousand_times_is_one_pattern_per_length() -> None:
    found = mine([["again"] * 1_000 for _ in range(20)])
    assert not found.cut and [len(one.types) for one in found.patterns] == [6]


def test_nothing_comes_of_nothing() -> None:
    assert mine([]).patterns == () and mine(["", ""]).patterns == ()


def _words(letters: str, size: int) -> list[str]:
    return [""] if not size else [word + letter for word in _words(letters, size - 1) for letter in letters]
