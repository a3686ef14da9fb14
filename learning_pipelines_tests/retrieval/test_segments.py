"""When segments are merged, and what becomes of their postings."""

from __future__ import annotations

import datetime as dt
from uuid import uuid4

import numpy as np

from learning_pipelines.retrieval.segments import FACTOR, merged, renumbered, to_merge
from learning_pipelines.storage.lexical import MOST_CHUNKS, Posting, Segment

MADE_AT = dt.datetime(2026, 11, 26, tzinfo=dt.UTC)


def segment(number: int, chunks: int, removed: int = 0, agent_id: object = None) -> Segment:
    return Segment(number, agent_id, None, chunks, removed, MADE_AT)  # type: ignore[arg-type]


def numbers(groups: list[list[Segment]]) -> list[list[int]]:
    return [[one.number for one in group] for group in groups]


def test_segments_of_one_size_are_merged_once_there_are_enough_of_them() -> None:
    few = [segment(number, 10) for number in range(FACTOR - 1)]
    assert to_merge(few) == []
    assert numbers(to_merge([*few, segment(99, 12)])) == [[*range(FACTOR - 1), 99]]
    assert to_merge([*few, segment(99, 60_000)]) == []


def test_no_segment_grows_beyond_what_its_ordinals_can_say() -> None:
    groups = to_merge([segment(number, 20_000) for number in range(9)])
    assert groups and all(sum(one.chunks for one in group) <= MOST_CHUNKS for group in groups)
    assert to_merge([segment(number, MOST_CHUNKS) for number in range(20)]) == []


def test_segments_of_different_agents_stay_apart() -> None:
    mine, yours = uuid4(), uuid4()
    assert to_merge([segment(number, 10, agent_id=(mine, yours)[number % 2]) for number in range(2 * FACTOR - 2)]) == []


def test_a_segment_of_which_a_quarter_is_gone_is_written_anew() -> None:
    assert to_merge([segment(1, 100, 25)]) == []
    assert numbers(to_merge([segment(1, 100, 26)])) == [[1]]


def test_ten_thousand_single_chunks_end_in_few_segments_and_are_not_rewritten_often() -> None:
    there: list[Segment] = []
    written = 0
    for number in range(10_000):
        there.append(segment(number, 1))
        while groups := to_merge(there):
            for group in groups:
                there = [one for one in there if one not in group]
                there.append(segment(20_000 + written, sum(one.chunks for one in group)))
                written += sum(one.chunks for one in group)
    assert len(there) <= 6 * FACTOR
    assert written <= 7 * 10_000


def test_merged_postings_are_numbered_anew_without_the_chunks_that_are_gone() -> None:
    first, kept = renumbered(3, {0: "a", 2: "c"}, 0)
    second, also = renumbered(2, {1: "e"}, 2)
    assert (first.tolist(), second.tolist(), kept + also) == ([0, -1, 1], [-1, 2], ["a", "c", "e"])
    postings = [
        Posting(1, "x", np.asarray([0, 1, 2], np.int32), np.asarray([1, 2, 3], np.int32)),
        Posting(2, "x", np.asarray([1], np.int32), np.asarray([4], np.int32)),
        Posting(2, "gone", np.asarray([0], np.int32), np.asarray([9], np.int32)),
    ]
    assert [(term, ordinals.tolist(), counts.tolist()) for term, ordinals, counts in merged(postings, {1: first, 2: second})] == [("x", [0, 1, 2], [1, 3, 4])]
