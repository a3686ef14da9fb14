"""Playbooks in words: what an expert reads is all there, and no name breaks the layout."""

from __future__ import annotations

from uuid import UUID

from learning_pipelines.behavior.patterns.anti import anti_patterns
from learning_pipelines.behavior.playbooks import learning, render
from learning_pipelines.behavior.task import Action, Shown
from learning_pipelines_tests.behavior.patterns.made import many, shown


def test_the_ways_after_a_step_are_told_with_their_counts_and_intervals() -> None:
    said = render.markdown(learning.make("refund", [*many(34, "ab", approved=True), *many(6, "ac")]))
    assert said.startswith("# Playbook: refund\n")
    assert "From 40 successful demonstrations; usually 2 steps." in said
    assert "`b` (34 of 40 times, 71%–93%); also seen: `c` 6 times." in said
    assert "- After `b`: 34 of 40 demonstrations ended there." in said
    assert "`ab-000`, `ab-001`, `ab-002` and 31 more" in said


def test_where_nothing_is_approved_it_says_why_no_words_are_named() -> None:
    assert "once experts approved the demonstrations' examples" in render.text(learning.make("", many(5, "ab")))
    assert "once experts approved" not in render.text(learning.make("", many(5, "ab", approved=True)))


def test_conditions_read_as_sentences() -> None:
    train = many(12, "ab", task="An urgent matter", approved=True) + many(12, "ac", task="A matter", approved=True)
    said = render.text(learning.make("", train))
    assert "if the task mentions “urgent”: b (12 of 12 times" in said and "otherwise: c (12 of 12 times" in said


def test_what_to_avoid_is_told_with_both_counts() -> None:
    train, failed = many(20, "abc"), many(12, "axc")
    said = render.text(learning.make("", train, (), anti_patterns(train, failed), len(failed)))
    assert "Leaving out" in said or "Doing" in said
    assert "in 12 of 12 failures, in 0 of 20 successes" in said


def test_where_nothing_failed_nothing_is_said_about_failures() -> None:
    assert "No failed demonstration is known" in render.text(learning.make("", many(5, "ab")))
    assert "Nothing was significantly more frequent in the 12 failures" in render.text(learning.make("", many(5, "ab"), (), (), 12))


def test_experts_who_contradict_each_other_are_shown() -> None:
    one = [shown(f"m{number}", "ab", task=f"Task {number}", expert=UUID(int=1)) for number in range(4)]
    other = [shown(f"j{number}", "ac", task=f"Task {number}", expert=UUID(int=2)) for number in range(4)]
    said = render.text(learning.make("", [*one, *other]))
    assert "Experts contradict each other here: in 4 situations they did different things in the same place: b (1 expert), c (1 expert)." in said


def test_names_that_hold_markdown_stay_in_their_code_spans() -> None:
    name = "`x`\n# Heading\n[a](javascript:1)"
    said = render.markdown(learning.make("task\n# two", [Shown(str(number), "t", (Action(name), Action("b"))) for number in range(3)]))
    assert "\n# Heading" not in said and "`´x´ # Heading [a](javascript:1)`" in said
    assert sum(line.startswith("# ") for line in said.splitlines()) == 1


def test_the_text_is_the_same_every_time() -> None:
    train = [*many(9, "abcd"), *many(7, "acbd")]
    assert render.markdown(learning.make("", train)) == render.markdown(learning.make("", train))
