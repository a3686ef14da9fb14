"""Which values of peers count as thumbs, stars, dimensions, issues and corrections, and which are left alone.

Belongs here: meanings without a server. Not here: what real clients send (../../interop/).
"""

from __future__ import annotations

from typing import Any

import pytest

from learning_pipelines.feedback.kinds import FeedbackRecord
from learning_pipelines.feedback.peers import langfuse, mlflow, phoenix
from learning_pipelines.feedback.peers.said import Said, Scale, feedback_record
from learning_pipelines.feedback.peers.shape import Malformed
from learning_pipelines.feedback.peers.stored import meaning_hash

NO_SCALES: dict[str, Scale] = {}


def meaning(name: str, value: Any = None, scales: dict[str, Scale] | None = None, **more: Any) -> dict[str, Any]:
    """What the record says beside its ids, its text and the kept payload."""
    record = feedback_record(Said("langfuse", "s-1", name, value, {"value": value}, execution_id="x-1", **more), scales or NO_SCALES)
    FeedbackRecord.model_validate(record)
    return {key: item for key, item in record.items() if key not in ("feedback_id", "execution_id", "user", "peer", "feedback_text")}


@pytest.mark.parametrize(
    ("name", "value", "label", "expected"),
    [
        ("thumbs", True, None, "thumbs_up"), ("Thumbs-Up", 1.0, None, "thumbs_up"), ("thumb", 0.0, None, "thumbs_down"), ("thumb", -1.0, None, "thumbs_down"),
        ("user-feedback", True, None, "thumbs_up"), ("user feedback", 1.0, "thumbs-up", "thumbs_up"), ("feedback", None, "👎", "thumbs_down"),
        ("user-feedback", 1.0, None, "detailed_feedback"),  # one of one, or one star of five?
        ("thumb", 0.5, None, "detailed_feedback"), ("thumb", 5.0, None, "detailed_feedback"), ("thumb", None, "maybe", "detailed_feedback"),
        ("quality", True, None, "detailed_feedback"), ("hallucination", 1.0, None, "detailed_feedback"),
    ],
)  # fmt: skip
def test_a_thumb_is_what_its_name_its_type_or_its_label_says_is_one(name: str, value: Any, label: str | None, expected: str) -> None:
    assert meaning(name, value, label=label) == {"feedback_type": expected}


@pytest.mark.parametrize("value", [0.0, 0.2, 2.5, 6.0, -1.0, True, "five", None])
def test_stars_off_their_scale_are_no_rating(value: Any) -> None:
    assert meaning("stars", value) == {"feedback_type": "detailed_feedback"}


def test_stars_are_a_rating_and_a_name_without_a_scale_is_none() -> None:
    assert meaning("stars", 4.0) == {"feedback_type": "star_rating", "rating": 4}
    for name in ("rating", "accuracy", "helpfulness"):
        assert meaning(name, 4.0) == meaning(name, 1.0) == {"feedback_type": "detailed_feedback"}


def test_a_scale_that_the_operator_declares_or_the_sender_states_counts() -> None:
    declared: dict[str, Scale] = {"rating": "1-5", "accuracy": "1-5", "user_feedback": "thumb"}
    assert meaning("Rating", 1.0, declared) == {"feedback_type": "star_rating", "rating": 1}
    assert meaning("accuracy", 4, declared) == {"feedback_type": "detailed_feedback", "dimensions": {"accuracy": 4}}
    assert meaning("user-feedback", 1.0, declared) == {"feedback_type": "thumbs_up"}
    assert meaning("rating", 2.0, scale="1-5") == {"feedback_type": "star_rating", "rating": 2}
    assert meaning("rating", 2.0, scale="1-10") == {"feedback_type": "detailed_feedback"}


def test_issues_and_corrections() -> None:
    assert meaning("issue", "hallucination") == {"feedback_type": "report_issue", "issue_categories": ["hallucination"]}
    assert meaning("issue", "loud") == {"feedback_type": "detailed_feedback"}
    assert meaning("output", "better", correction="better") == {"feedback_type": "correction", "correction_text": "better"}
    assert meaning("output", " ", correction=" ") == {"feedback_type": "detailed_feedback"}


@pytest.mark.parametrize(
    ("read", "payload", "machine"),
    [
        (langfuse.score, {"name": "a", "value": 1, "traceId": "t"}, False),
        (langfuse.score, {"name": "a", "value": 1, "traceId": "t", "source": "ANNOTATION"}, False),
        (langfuse.score, {"name": "a", "value": 1, "traceId": "t", "source": "EVAL"}, True),
        (langfuse.score, {"name": "a", "value": 1, "traceId": "t", "metadata": {"annotator_kind": "code"}}, True),
        (phoenix.annotation, {"name": "a", "span_id": "s", "annotator_kind": "HUMAN", "result": {"score": 1}}, False),
        (phoenix.annotation, {"name": "a", "span_id": "s", "annotator_kind": "LLM", "result": {"score": 1}}, True),
        (phoenix.annotation, {"name": "a", "span_id": "s", "annotator_kind": "CODE", "result": {"score": 1}}, True),
        (mlflow.assessment, {"source": {"source_type": "HUMAN"}}, False),
        (mlflow.assessment, {"source": {"source_type": "LLM_JUDGE"}}, True),
        (mlflow.assessment, {"source": {"source_type": "CODE"}}, True),
        (mlflow.assessment, {}, True),  # nobody says that it was a person
    ],
)
def test_only_what_a_person_said_is_feedback(read: Any, payload: dict[str, Any], machine: bool) -> None:
    base = {"assessment_id": "a-1", "assessment_name": "a", "trace_id": "tr-1", "feedback": {"value": True}} if read is mlflow.assessment else {}
    assert read({**base, **payload}).machine is machine


def test_the_whole_payload_is_kept_in_the_record() -> None:
    payload = {"id": "s-1", "name": "stars", "value": 4, "traceId": "t", "queueId": "q", "configId": "c", "unheard": {"of": [1, None]}}
    assert feedback_record(langfuse.score(payload), NO_SCALES)["peer"] == {"name": "langfuse", "id": "s-1", "payload": payload}


def test_whoever_is_not_named_gets_a_person_of_the_statements_own_so_that_its_changes_supersede_only_itself() -> None:
    said = langfuse.score({"id": "s-1", "name": "thumb", "value": 1, "traceId": "t"})
    first, second = feedback_record(said, NO_SCALES), feedback_record(said, NO_SCALES, version=2)
    assert (first["feedback_id"], second["feedback_id"]) == ("langfuse:s-1", "langfuse:s-1:v2")
    assert first["user"] == second["user"] == "langfuse:s-1"
    named = langfuse.score({"id": "s-1", "name": "thumb", "value": 1, "traceId": "t", "metadata": {"user_id": "maria"}})
    assert feedback_record(named, NO_SCALES)["user"] == "maria"


def test_more_fields_are_no_change_and_another_value_text_or_metadata_is() -> None:
    posted = {"id": "s-1", "name": "stars", "value": 4, "traceId": "t", "metadata": {"a": 1}}
    same = meaning_hash(langfuse.score(posted))
    assert meaning_hash(langfuse.score({**posted, "projectId": "p", "updatedAt": "2026-01-01T00:00:00Z", "timestamp": "2026-01-01T00:00:00Z"})) == same
    for change in ({"value": 5}, {"comment": "hm"}, {"metadata": {"a": 2}}, {"source": "EVAL"}, {"traceId": "u"}, {"name": "star"}):
        assert meaning_hash(langfuse.score({**posted, **change})) != same


@pytest.mark.parametrize(
    ("read", "payload", "field"),
    [
        (langfuse.score, {"value": 1, "traceId": "t"}, "name"), (langfuse.score, {"name": "a", "value": 1}, "traceId"),
        (langfuse.score, {"name": "a", "value": "x", "dataType": "NUMERIC", "traceId": "t"}, "value"),
        (langfuse.score, {"name": "a", "value": 2, "dataType": "BOOLEAN", "traceId": "t"}, "value"),
        (langfuse.score, {"name": "a", "value": 2, "dataType": "OTHER", "traceId": "t"}, "dataType"),
        (phoenix.annotation, {"name": "a", "span_id": "s", "result": {}}, "result"), (phoenix.annotation, {"name": "a", "result": {"score": 1}}, "span_id"),
        (phoenix.annotation, {"name": "a", "span_id": "s", "annotator_kind": "DOG", "result": {"score": 1}}, "annotator_kind"),
        (mlflow.assessment, {"assessment_id": "a", "assessment_name": "n", "trace_id": "t", "source": {"source_type": "HUMAN"}}, "feedback"),
    ],
)  # fmt: skip
def test_what_the_peer_itself_would_refuse_is_refused_naming_its_field(read: Any, payload: dict[str, Any], field: str) -> None:
    with pytest.raises(Malformed) as refused:
        read(payload)
    assert refused.value.field == field
