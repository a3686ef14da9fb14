"""The public MLflow client against the service: agents as experiments, traces, assessments, changes, reading back.

Belongs here: what comes of the client's calls. Not here: the calls (clients/mlflow_assessments.py), meanings without a server.
"""

from __future__ import annotations

from typing import Any

import pytest

from learning_pipelines_tests.interop.conftest import Office

FEEDBACK = """SELECT f.feedback_type, u.external_id, f.feedback_text, f.correction_text, f.context -> 'peer' -> 'payload' ->> 'assessment_name'
    FROM agent_feedback f LEFT JOIN users u ON u.organization_id = f.organization_id AND u.id = f.user_id ORDER BY f.arrival"""
BESIDE = "SELECT name, payload -> 'source' ->> 'source_type' FROM peer_records WHERE state = 'beside' ORDER BY arrival"
SAID = [
    ("thumbs_up", "maria", "quick and right", None, "thumb"),
    ("detailed_feedback", "maria", None, None, "rating"),  # 4 of five, or of ten? the name does not say
    ("correction", "maria", None, "At nine, on Fridays at ten.", "expected_response"),
    ("thumbs_down", "maria", "looked again", None, "thumb"),
    ("thumbs_up", "maria", "right on Mondays", None, "thumb"),
]


@pytest.fixture(scope="module")
def story(office: Office) -> dict[str, Any]:
    """A trace into the experiment desk, assessments of every kind, a changed one, an overridden one, reading in every way."""
    ran = office.run("mlflow_assessments", "agent=desk", "trace", "assess", "read", "update", "assessment", "override", "read", "search")
    assert "ERROR" not in ran.err
    found: dict[str, Any] = ran.json
    return found


def test_an_mlflow_trace_is_an_execution_of_the_agent_that_its_experiment_names(office: Office, story: dict[str, Any]) -> None:
    found = office.rows(
        """SELECT 'tr-' || x.id, a.slug, x.session_id, x.input, x.output, x.input_tokens, x.output_tokens, x.retrieved, u.external_id
        FROM agent_executions x JOIN agents a ON a.id = x.agent_id LEFT JOIN users u ON u.id = x.user_id"""
    )
    question = '{"question":"When does the office open?"}'
    assert found == [(story["trace"], "desk", "session-7", question, "At nine.", 31, 4, [{"document_id": "doc-1", "rank": 1}], "maria")]
    info = office.one("SELECT context -> 'trace_info' FROM agent_executions")
    assert info["tags"]["channel"] == "chat" and info["trace_metadata"]["mlflow.trace.user"] == "maria"


def test_people_count_as_feedback_and_judges_and_failures_stay_beside(office: Office, story: dict[str, Any]) -> None:
    assert len(set(story["assess"])) == 5 and all(one.startswith("a-") for one in story["assess"])
    assert office.rows(FEEDBACK) == SAID
    assert office.rows(BESIDE) == [("correctness", "LLM_JUDGE"), ("relevance", "LLM_JUDGE")]


def test_every_field_that_was_sent_is_read_back_by_the_client(story: dict[str, Any]) -> None:
    trace = story["read"]
    said = {one["assessment_name"]: one for one in trace["info"]["assessments"]}
    assert set(said) == {"thumb", "rating", "correctness", "relevance", "expected_response"}
    assert said["thumb"]["feedback"] == {"value": True} and said["thumb"]["metadata"] == {"page": "/help"}
    assert said["thumb"]["source"] == {"source_type": "HUMAN", "source_id": "maria"} and said["thumb"]["rationale"] == "quick and right"
    assert said["relevance"]["feedback"]["error"]["error_message"] == "no answer"
    assert said["expected_response"]["expectation"] == {"value": "At nine, on Fridays at ten."}
    assert sorted(span["name"] for span in trace["data"]["spans"]) == ["answer", "find", "write"]
    assert trace["info"]["trace_metadata"]["mlflow.trace.session"] == "session-7"


def test_a_changed_assessment_supersedes_itself_and_an_override_makes_the_old_one_invalid(office: Office, story: dict[str, Any]) -> None:
    thumb, again = story["assess"][0], story["override"]
    assert story["update"] == thumb and story["assessment"]["feedback"] == {"value": False}
    thumbs = "SELECT feedback_type, facets_in_force FROM feedback_in_force WHERE facets = 1 ORDER BY arrival"
    assert office.rows(thumbs) == [("thumbs_up", 0), ("thumbs_down", 0), ("thumbs_up", 1)]
    said = {one["assessment_id"]: one for one in story["read2"]["info"]["assessments"]}
    assert (said[thumb]["valid"], said[again]["valid"], said[again]["overrides"]) == (False, True, thumb)
    assert said[thumb]["metadata"] == {"page": "/help"}  # what the change did not name


def test_traces_are_found_by_their_experiment(story: dict[str, Any]) -> None:
    (found,) = story["search"]
    assert found["info"]["trace_id"] == story["trace"] and len(found["data"]["spans"]) == 3


def test_an_experiment_that_is_no_agent_is_refused_in_the_clients_own_error(office: Office, story: dict[str, Any]) -> None:
    ran = office.run("mlflow_assessments", "agent=reception", "trace")
    assert ran.code != 0
    assert "'reception' is not an agent of this organization" in ran.err and "learning-pipelines import agents" in ran.err
    assert office.one("SELECT count(*) FROM agent_executions") == 1


def test_a_wrong_key_and_another_organizations_key_reach_nothing(office: Office, story: dict[str, Any]) -> None:
    assert "UNAUTHENTICATED" in office.run("mlflow_assessments", f"trace={story['trace']}", "assess", key="lp_default_wrongwrongwrongwrongwrong").err
    ran = office.run("mlflow_assessments", f"trace={story['trace']}", "read", key=office.api.key(organization="other"))
    assert ran.code != 0 and "At nine." not in ran.out + ran.err
    assert office.rows(FEEDBACK) == SAID
