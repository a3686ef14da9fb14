"""Anti-patterns: what failures do more often is found, and where outcomes are chance next to nothing is."""

from __future__ import annotations

import random
from itertools import pairwise

from learning_pipelines.behavior.patterns.anti import LEVEL, anti_patterns
from learning_pipelines.behavior.patterns.transitions import START
from learning_pipelines.behavior.task import END, Shown
from learning_pipelines_tests.behavior.patterns.made import many, shown


def test_what_failures_do_is_found_with_both_counts() -> None:
    found = anti_patterns([*many(20, "abc"), *many(2, "axc")], [*many(14, "axc"), *many(4, "abc", start=50)])
    assert found[0].how == "done" and "x" in found[0].types
    assert (found[0].failed.count, found[0].failed.of, found[0].succeeded.count, found[0].succeeded.of) == (14, 18, 2, 22)
    assert found[0].q <= LEVEL and found[0].lift > 5 and len(found[0].named) == 10


def test_what_failures_leave_out_is_found() -> None:
    found = anti_patterns([*many(10, "abc"), *many(10, "acb")], [*many(8, "ac"), *many(8, "ca")])
    assert ("omitted", ("b",)) in [(one.how, one.types) for one in found if one.q <= LEVEL]


def test_where_a_demonstration_begins_and_ends_counts_too() -> None:
    found = anti_patterns([*many(10, "abc"), *many(10, "bac")], [*many(10, "bca"), *many(10, "cba")])
    assert any(one.types[-1:] == (END,) or one.types[:1] == (START,) for one in found)


def test_a_longer_sequence_says_nothing_beside_its_part() -> None:
    found = anti_patterns(many(20, "abc"), many(20, "axyc"))
    assert not any(_within(one.types, other.types) for one in found for other in found if one is not other)


def test_few_failures_or_few_successes_say_nothing() -> None:
    assert anti_patterns(many(4, "a"), many(30, "b")) == [] == anti_patterns(many(30, "a"), many(4, "b"))


def test_where_outcomes_are_chance_one_run_in_twenty_names_anything() -> None:
    rng, runs = random.Random(5), 120
    named = sum(any(one.q <= LEVEL for one in anti_patterns(*_outcomes(rng, _random(rng, 60)))) for _ in range(runs))
    assert named <= 11  # P(more than 11 of 120 at 5 %) = 0.02


def test_tasks_that_fail_as_a_whole_are_no_anti_pattern_of_what_they_need() -> None:
    """Eight tries of each of fifteen tasks, which fail or succeed together: what a task needs comes with its outcome by chance."""
    rng, runs, named = random.Random(6), 80, 0
    for _ in range(runs):
        everything: list[tuple[Shown, bool]] = []
        for task in range(15):
            letters, failed = "".join(rng.choices("abcdef", k=5)), rng.random() < 0.5
            everything += [(shown(f"{task}-{number}", letters, cluster=str(task)), failed) for number in range(8)]
        found = anti_patterns([one for one, failed in everything if not failed], [one for one, failed in everything if failed])
        named += any(one.q <= LEVEL for one in found)
    assert named <= 12  # Fisher's test alone names something nearly always


def _random(rng: random.Random, count: int) -> list[Shown]:
    return [shown(f"{number}", "".join(rng.choices("abcdef", k=rng.randint(2, 8)))) for number in range(count)]


def _outcomes(rng: random.Random, everything: list[Shown]) -> tuple[list[Shown], list[Shown]]:
    rng.shuffle(everything)
    return everything[:30], everything[30:]


def _within(part: tuple[str, ...], whole: tuple[str, ...]) -> bool:
    return set(pairwise(part)) <= set(pairwise(whole)) and set(part) <= set(whole)
