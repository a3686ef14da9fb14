"""Which opinions make which example: correction, failure, negative, positive, or none.

Belongs here: the rules on values made by hand. Not here: storing and withdrawing (test_refresh.py), what counts as personal data.
"""

from __future__ import annotations

import datetime as dt
from typing import Any
from uuid import UUID, uuid4

import pytest

from learning_pipelines.examples.candidates import Candidate, Demonstrated, Facet, Opinion, curate, demonstrated_example, example_id, imported_example
from learning_pipelines.feedback.kinds import ExampleRecord

ADA, BOB = uuid4(), uuid4()
MONDAY = dt.datetime(2026, 3, 2, tzinfo=dt.UTC)
NO_DIMENSIONS = (None, None, None, None)
THUMB = {"thumbs_up": Facet.THUMB, "thumbs_down": Facet.THUMB}


def opinion(kind: str = "thumbs_up", *, hours: int = 0, **more: Any) -> Opinion:
    """An opinion of Ada on execution e1 that says what its values say."""
    values: dict[str, Any] = {
        "feedback_id": f"f{hours}", "execution_id": "e1", "user_id": ADA, "input_user_id": None, "feedback_type": kind, "rating": None,
        "dimensions": NO_DIMENSIONS, "issue_categories": (), "correction_text": None, "task_context": None, "input": "Which form?",
        "output": "Form 2.", "tags": (), "created_at": MONDAY + dt.timedelta(hours=hours),
    } | more  # fmt: skip
    facets = THUMB.get(kind, Facet(0))
    facets |= Facet.RATING if values["rating"] else Facet(0)
    facets |= Facet.DIMENSIONS if any(values["dimensions"]) else Facet(0)
    facets |= Facet.ISSUES if values["issue_categories"] or kind == "report_issue" else Facet(0)
    facets |= Facet.CORRECTION if values["correction_text"] is not None else Facet(0)
    return Opinion(**({"facets": facets} | values))


def types(*opinions: Opinion) -> list[str]:
    return [candidate.example.example_type for candidate in curate(opinions)]


def only(*opinions: Opinion) -> Candidate:
    (candidate,) = curate(opinions)
    return candidate


@pytest.mark.parametrize(
    ("said", "made"),
    [
        (opinion("thumbs_up"), ["positive"]),
        (opinion("thumbs_down"), ["negative"]),
        (opinion("star_rating", rating=5), ["positive"]),
        (opinion("star_rating", rating=4), ["positive"]),
        (opinion("star_rating", rating=3), []),
        (opinion("star_rating", rating=2), ["negative"]),
        (opinion("star_rating", rating=1), ["negative"]),
        (opinion("detailed_feedback", dimensions=(5, 4, None, 4)), ["positive"]),
        (opinion("detailed_feedback", dimensions=(2, 1, None, None)), ["negative"]),
        (opinion("detailed_feedback", dimensions=(5, 1, 3, 3)), []),
        (opinion("detailed_feedback", rating=5, dimensions=(1, 1, 1, 1)), ["positive"]),
        (opinion("detailed_feedback"), []),
        (opinion("detailed_feedback", issue_categories=["tone"]), []),
        (opinion("report_issue"), ["failure"]),
        (opinion("report_issue", rating=1, issue_categories=["incorrect"]), ["failure"]),
        (opinion("correction", correction_text="Form 1."), ["correction"]),
        (opinion("thumbs_down", correction_text="Form 1."), ["correction"]),
        (opinion("report_issue", correction_text="Form 1."), ["correction"]),
        (opinion("correction", correction_text=" Form 2.\n"), []),
        (opinion("thumbs_up", rating=1), []),
        (opinion("thumbs_down", rating=5), []),
        (opinion("thumbs_up", rating=5, issue_categories=["formatting"]), []),
        (opinion("thumbs_down", issue_categories=["formatting"]), ["negative"]),
        (opinion("thumbs_up", facets=Facet(0)), []),
        (opinion("thumbs_up", rating=1, facets=Facet.THUMB), ["positive"]),
    ],
)
def test_one_opinion_makes(said: Opinion, made: list[str]) -> None:
    assert types(said) == made


def test_no_opinion_makes_none() -> None:
    assert types() == []


def test_a_correction_stands_before_everything_else_of_the_same_person() -> None:
    assert types(opinion("correction", correction_text="Form 1."), opinion("report_issue", hours=1), opinion("thumbs_up", hours=2)) == ["correction"]


def test_a_report_stands_before_a_rating() -> None:
    assert types(opinion("report_issue"), opinion("star_rating", rating=5, hours=1)) == ["failure"]


def test_opinions_of_one_person_that_contradict_each_other_make_none() -> None:
    assert types(opinion("thumbs_up"), opinion("star_rating", rating=1, hours=1)) == []


def test_opinions_of_one_person_that_agree_make_one() -> None:
    assert only(opinion("thumbs_up"), opinion("star_rating", rating=5, hours=1)).source.feedback_id == "f1"


def test_a_complaint_spoils_an_earlier_praise_of_the_same_person() -> None:
    assert types(opinion("thumbs_up"), opinion("detailed_feedback", issue_categories=["outdated"], hours=1)) == []


def test_two_people_are_heard_apart() -> None:
    assert sorted(types(opinion("thumbs_up"), opinion("thumbs_down", user_id=BOB, hours=1))) == ["negative", "positive"]


def test_unknown_people_are_heard_apart() -> None:
    assert types(opinion("thumbs_up", user_id=None), opinion("thumbs_down", user_id=None, hours=1)) == ["positive", "negative"]


def test_one_person_on_two_executions_is_heard_twice() -> None:
    assert types(opinion("thumbs_up"), opinion("thumbs_down", execution_id="e2", hours=1)) == ["positive", "negative"]


@pytest.mark.parametrize(
    ("said", "original", "expected"),
    [
        (opinion("correction", correction_text="Form 1."), "Form 2.", "Form 1."),
        (opinion("thumbs_up"), "Form 2.", "Form 2."),
        (opinion("thumbs_down"), "Form 2.", None),
        (opinion("report_issue"), "Form 2.", None),
    ],
)
def test_what_should_have_been_said_stands_beside_what_was(said: Opinion, original: str, expected: str | None) -> None:
    example = only(said).example
    assert (example.input_text, example.original_output, example.expected_output) == ("Which form?", original, expected)


def test_tags_and_issues_become_tags_each_once() -> None:
    assert only(opinion("report_issue", tags=["vat", "tone"], issue_categories=["tone", "incorrect"])).example.tags == ("vat", "tone", "incorrect")


def test_the_task_context_comes_along() -> None:
    assert only(opinion(task_context={"year": 2026})).example.input_context == {"task_context": {"year": 2026}}


def test_personal_data_is_replaced_in_every_text_by_the_same_placeholder() -> None:
    mail = "jo@example.com"
    example = only(opinion(input=f"Write to {mail}", output=f"To {mail}", correction_text=f"Dear {mail}", task_context={"to": [mail]}, tags=[mail])).example
    assert mail not in repr(example)
    assert (example.input_text, example.expected_output, example.scrubbed_entities) == ("Write to <EMAIL_1>", "Dear <EMAIL_1>", {"EMAIL": 1})


def test_a_good_answer_is_the_same_example_whatever_the_execution() -> None:
    hashes = {only(opinion(execution_id=name, hours=hours)).example.content_hash for hours, name in enumerate(("e1", "e2"))}
    assert len(hashes) == 1


def test_a_correction_is_the_same_example_whatever_was_said_wrongly() -> None:
    hashes = {only(opinion("correction", output=wrong, correction_text="Form 1.")).example.content_hash for wrong in ("Form 2.", "Form 3.")}
    assert len(hashes) == 1


def test_a_bad_answer_is_another_example_when_the_answer_is_another() -> None:
    hashes = {only(opinion("thumbs_down", output=wrong)).example.content_hash for wrong in ("Form 2.", "Form 3.")}
    assert len(hashes) == 2


def test_the_same_content_of_two_agents_has_two_ids() -> None:
    content = only(opinion()).example.content_hash
    assert example_id(UUID(int=1), content) != example_id(UUID(int=2), content)


@pytest.mark.parametrize(
    ("given", "made"),
    [
        ({}, "positive"),
        ({"original_output": "Form 2."}, "correction"),
        ({"original_output": "Form 1."}, "positive"),
        ({"example_type": "edge_case"}, "edge_case"),
    ],
)
def test_an_imported_example_without_a_type_is_a_correction_if_it_replaces_something(given: dict[str, str], made: str) -> None:
    record = ExampleRecord.model_validate({"agent": "desk", "input_text": "Which form?", "expected_output": "Form 1."} | given)
    assert imported_example(record).example_type == made


def test_a_demonstration_keeps_its_steps_and_loses_its_personal_data() -> None:
    steps = [{"type": "mail", "arguments": {"to": "jo@example.com"}}]
    example = demonstrated_example(Demonstrated("d1", ADA, "closing", "Tell jo@example.com", None, steps, None, "Told.", MONDAY))
    assert (example.example_type, example.input_text, example.expected_output) == ("demonstration", "Tell <EMAIL_1>", "Told.")
    assert example.input_context == {"actions": [{"type": "mail", "arguments": {"to": "<EMAIL_1>"}}]}
