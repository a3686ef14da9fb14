"""The simulated users: the stated noise holds over many draws, rows are marked and importable, the seed decides everything.
Belongs here: learning_pipelines/demo/simulate.py without a model, file or database. Not here: what was answered (test_desk.py)."""

from __future__ import annotations

import datetime as dt
import statistics
from collections import Counter
from collections.abc import Sequence
from math import sqrt
from typing import Any

import pytest

from learning_pipelines.demo.simulate import ANSWERS, CHANGES_MIND, CORRECTS, MISTAKEN, TEST_SHARE, Answered, feedback_on, is_test_side
from learning_pipelines.feedback.kinds import FeedbackRecord

COMMENTS = {True: ["good", "thanks"], False: ["no", "wrong"]}
AT = dt.datetime(2026, 11, 2, 16, 59, tzinfo=dt.UTC)
PEOPLE = [f"c-person-{number}" for number in range(300)]
LEARNING = [person for person in PEOPLE if not is_test_side(person)]
TEST = [person for person in PEOPLE if is_test_side(person)]
Said = list[list[dict[str, Any]]]


def tolerance(share: float, count: int) -> float:
    """Four standard errors of a share among `count`."""
    return 4 * sqrt(share * (1 - share) / count)


def said(people: Sequence[str], each: int, *, right: bool, gold: str | None = "right answer", seed: int = 7) -> Said:
    """What people say about `each` executions of theirs; one list per execution."""
    answered = [Answered(f"desk-{person}-{number}", person, right, gold, AT) for person in people for number in range(each)]
    return [feedback_on(one, COMMENTS, seed) for one in answered]


def firsts(all_said: Said) -> list[dict[str, Any]]:
    return [rows[0] for rows in all_said if rows]


@pytest.fixture(scope="module")
def on_right() -> Said:
    return said(LEARNING, 50, right=True)


@pytest.fixture(scope="module")
def on_wrong() -> Said:
    return said(LEARNING, 50, right=False)


def test_every_person_answers_as_often_as_stated() -> None:
    low, high = ANSWERS
    for person in LEARNING[:40]:
        share = len(firsts(said([person], 600, right=True))) / 600
        assert low - tolerance(low, 600) <= share <= high + tolerance(high, 600), person


def test_people_differ_in_how_often_they_answer() -> None:
    shares = [len(firsts(said([person], 200, right=True))) / 200 for person in LEARNING[:60]]
    assert min(shares) < 0.45 and max(shares) > 0.65


def test_the_stated_share_of_thumbs_is_mistaken(on_right: Said) -> None:
    thumbs = Counter(row["feedback_type"] for row in firsts(on_right) if row["feedback_type"].startswith("thumbs"))
    share = thumbs["thumbs_down"] / thumbs.total()
    assert abs(share - MISTAKEN) <= tolerance(MISTAKEN, thumbs.total())


def test_the_stated_share_changes_their_mind(on_right: Said) -> None:
    answered = [rows for rows in on_right if rows]
    share = sum(len(rows) == 2 for rows in answered) / len(answered)
    assert abs(share - CHANGES_MIND) <= tolerance(CHANGES_MIND, len(answered)) and max(map(len, answered)) == 2


def test_who_changes_their_mind_says_the_opposite_later(on_right: Said) -> None:
    for rows in on_right:
        if len(rows) == 2:
            assert rows[0]["created_at"] < rows[1]["created_at"] and rows[0]["feedback_id"] != rows[1]["feedback_id"]
            kinds = [row["feedback_type"] for row in rows]
            assert kinds not in (["thumbs_up"] * 2, ["thumbs_down"] * 2)


def test_right_answers_are_never_corrected(on_right: Said) -> None:
    assert not any("correction_text" in row for rows in on_right for row in rows)


def test_half_of_those_who_see_a_mistake_write_the_right_answer(on_wrong: Said) -> None:
    first = firsts(on_wrong)
    share, expected = sum(row["feedback_type"] == "correction" for row in first) / len(first), (1 - MISTAKEN) * CORRECTS
    assert abs(share - expected) <= tolerance(expected, len(first))
    assert {row["correction_text"] for row in first if "correction_text" in row} == {"right answer"}


def test_nobody_corrects_who_may_not_know_better() -> None:
    assert not any("correction_text" in row for rows in said(LEARNING, 10, right=False, gold=None) for row in rows)


def test_the_test_side_never_writes_the_right_answer() -> None:
    rows = [row for rows in said(TEST, 20, right=False) for row in rows]
    assert len(rows) > 200 and "right answer" not in str(rows)


def test_about_the_stated_share_of_people_is_the_test_side() -> None:
    people = [f"u-{number}" for number in range(5000)]
    assert abs(sum(map(is_test_side, people)) / len(people) - TEST_SHARE) <= tolerance(TEST_SHARE, len(people))


def test_stars_follow_the_answer_with_kindness_of_their_own(on_right: Said, on_wrong: Said) -> None:
    good, bad = ([row["rating"] for row in firsts(one) if row["feedback_type"] == "star_rating"] for one in (on_right, on_wrong))
    assert statistics.mean(good) > 4 and statistics.mean(bad) < 2.4
    assert set(good) >= {3, 4, 5} and set(bad) >= {1, 2, 3}


def test_all_six_types_of_feedback_occur(on_right: Said, on_wrong: Said) -> None:
    assert len({row["feedback_type"] for row in firsts(on_right) + firsts(on_wrong)}) == 6


def test_comments_suit_what_the_user_sees(on_wrong: Said) -> None:
    for row in firsts(on_wrong):
        if row["feedback_type"] == "report_issue":
            assert row["feedback_text"] in COMMENTS[False]


def test_every_row_is_marked_and_a_valid_feedback_record(on_right: Said, on_wrong: Said) -> None:
    for row in (row for rows in on_right + on_wrong for row in rows):
        assert row["simulated"] is True
        FeedbackRecord.model_validate(row)


def test_feedback_is_written_after_the_answer_on_the_same_day(on_wrong: Said) -> None:
    for row in (row for rows in on_wrong for row in rows):
        written = dt.datetime.fromisoformat(row["created_at"])
        assert written > AT and written.date() == AT.date()


def test_the_seed_decides_everything() -> None:
    assert said(LEARNING[:20], 10, right=False) == said(LEARNING[:20], 10, right=False)
    assert said(LEARNING[:20], 10, right=False) != said(LEARNING[:20], 10, right=False, seed=8)


def test_what_is_said_about_one_answer_does_not_depend_on_the_others() -> None:
    assert said(LEARNING[:20], 3, right=True) == [rows for person in LEARNING[:20] for rows in said([person], 3, right=True)]
