"""The public Phoenix client against the service: annotations by people, judges and code, their overwriting, notes, reading back.

Belongs here: what comes of the client's calls. Not here: the calls (clients/phoenix_annotations.py), meanings without a server.
"""

from __future__ import annotations

from typing import Any

import pytest

from learning_pipelines_tests.interop.conftest import Office

FEEDBACK = """SELECT f.feedback_type, coalesce(f.feedback_text, ''), f.context -> 'peer' -> 'payload' ->> 'name', u.external_id
    FROM agent_feedback f JOIN users u USING (organization_id) WHERE u.id = f.user_id ORDER BY f.arrival"""
BESIDE = "SELECT name, payload ->> 'annotator_kind', execution_id IS NOT NULL FROM peer_records WHERE state = 'beside' ORDER BY 1"


@pytest.fixture(scope="module")
def span_id(office: Office, model_url: str) -> str:
    """The span of an agent's answer, sent by OpenInference as Phoenix' users do."""
    return str(office.run("otlp_traces", f"model={model_url}", "openinference").json["openinference"][1])


@pytest.fixture(scope="module")
def story(office: Office, span_id: str) -> dict[str, Any]:
    """Annotations of every kind, the same again, a data frame, one overwritten; read before and after."""
    found: dict[str, Any] = office.run("phoenix_annotations", f"span={span_id}", "annotate", "read", "annotate", "frame", "upsert", "read").json
    return found


def test_people_count_as_feedback_on_the_spans_execution(office: Office, story: dict[str, Any]) -> None:
    *found, (kind, text, _, writer) = sorted(office.rows(FEEDBACK), key=lambda row: row[1].startswith("Asked"))
    assert found == [
        ("thumbs_up", "quick and right", "user feedback", "maria"),
        ("detailed_feedback", "", "rating", "peter"),  # 5 of five, or of ten? the name does not say
        ("thumbs_down", "", "user feedback", "maria"),
    ]
    assert (kind, text) == ("detailed_feedback", "Asked about opening hours again.") and writer.startswith("phoenix:")
    assert office.one("SELECT count(*) FROM agent_feedback f JOIN agent_executions x USING (organization_id) WHERE f.execution_id = x.id") == 4


def test_judges_code_and_documents_stay_beside(office: Office, story: dict[str, Any]) -> None:
    assert office.rows(BESIDE) == [("correctness", "LLM", True), ("json_valid", "CODE", True), ("relevance", "HUMAN", True), ("toxicity", "LLM", True)]


def test_the_same_annotation_again_is_the_same_and_has_the_same_id(story: dict[str, Any]) -> None:
    assert len(set(story["annotate"])) == 5
    assert story["annotate2"] == story["annotate"]


def test_every_field_that_was_sent_is_read_back_by_the_client(story: dict[str, Any], span_id: str) -> None:
    found = {one["name"]: one for one in story["read"]}
    assert set(found) == {"user feedback", "correctness", "json_valid", "note"}
    kept = {key: found["user feedback"][key] for key in ("annotator_kind", "identifier", "metadata", "result", "span_id")}
    result = {"label": "thumbs-up", "score": 1, "explanation": "quick and right"}
    assert kept == {"annotator_kind": "HUMAN", "identifier": "maria", "metadata": {"page": "/help"}, "result": result, "span_id": span_id}
    assert found["json_valid"]["result"] == {"label": None, "score": 1.0, "explanation": None}
    assert found["note"]["result"]["explanation"] == "Asked about opening hours again."


def test_the_same_identifier_overwrites_and_the_history_stays(office: Office, story: dict[str, Any]) -> None:
    assert story["upsert"] == story["annotate"][0]
    thumbs = "SELECT feedback_type, facets_in_force FROM feedback_in_force WHERE facets = 1 ORDER BY arrival"
    assert office.rows(thumbs) == [("thumbs_up", 0), ("thumbs_down", 1)]
    assert {one["name"]: one for one in story["read2"]}["user feedback"]["result"]["label"] == "thumbs-down"


def test_an_unknown_span_waits_when_asynchronous_and_is_refused_when_synchronous(office: Office) -> None:
    ran = office.run("phoenix_annotations", "span=0123456789abcdef", "unseen", "upsert")
    assert "404" in ran.err
    assert office.rows("SELECT state, payload -> 'result' ->> 'label' FROM peer_records WHERE span_id = '0123456789abcdef'") == [("held", "thumbs-up")]


def test_a_wrong_key_and_another_organizations_key_reach_nothing(office: Office, story: dict[str, Any], span_id: str) -> None:
    before = office.rows(FEEDBACK)
    assert "401" in office.run("phoenix_annotations", f"span={span_id}", "upsert", key="lp_default_wrongwrongwrongwrongwrong").err
    other = office.api.key(organization="other")
    ran = office.run("phoenix_annotations", f"span={span_id}", "read", "upsert", key=other)
    assert '"read": []' in ran.out and "404" in ran.err  # as for a span that does not exist
    assert office.rows(FEEDBACK) == before
