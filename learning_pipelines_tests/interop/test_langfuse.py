"""The public Langfuse client against the service: a trace, scores of every type, changes, reading back.

Belongs here: what comes of the client's calls. Not here: the calls (clients/langfuse_scores.py), meanings without a server (../feedback/peers/).
"""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from learning_pipelines_tests.api.serving import make_agents
from learning_pipelines_tests.interop.conftest import Office

FEEDBACK = """SELECT id, feedback_type, rating, feedback_text, correction_text, context -> 'peer' -> 'payload' ->> 'value'
    FROM agent_feedback WHERE organization_id = learning.organization_id('default') AND execution_id = %s ORDER BY arrival"""


@pytest.fixture(scope="module")
def story(office: Office) -> dict[str, Any]:
    """A trace, its scores, the same scores again, a changed one; read before and after."""
    ran = office.run("langfuse_scores", "trace", "scores", "read", "scores", "again", "read")
    assert ran.err == ""
    found: dict[str, Any] = ran.json
    return found


def test_a_langfuse_trace_is_an_execution(office: Office, story: dict[str, Any]) -> None:
    found = office.rows(
        "SELECT session_id, input, output, input_tokens, output_tokens, cost_usd, tags, environment, retrieved FROM agent_executions WHERE id = %s",
        story["trace"],
    )
    retrieved = [{"document_id": "doc-1", "rank": 1, "score": 0.9}]
    assert found == [("session-7", '{"question": "When does the office open?"}', "At nine.", 31, 4, 0.0002, ["office"], "staging", retrieved)]
    assert office.one("SELECT context -> 'metadata' FROM agent_executions WHERE id = %s", story["trace"]) == {"channel": "chat"}


def test_scores_become_what_they_clearly_say_and_a_change_is_a_new_version(office: Office, story: dict[str, Any]) -> None:
    assert office.rows(FEEDBACK, story["trace"]) == [
        ("langfuse:score-thumb", "thumbs_up", None, "quick and right", None, "1.0"),
        ("langfuse:score-stars", "detailed_feedback", None, None, None, "4.0"),  # of five, of ten? the name does not say
        ("langfuse:score-accuracy", "detailed_feedback", None, None, None, "0.92"),
        ("langfuse:score-tone", "detailed_feedback", None, None, None, "positive"),
        ("langfuse:score-note", "detailed_feedback", None, "Please add the holidays.", None, "Please add the holidays."),
        ("langfuse:score-correction", "correction", None, None, "At nine, on Fridays at ten.", "At nine, on Fridays at ten."),
        ("langfuse:score-thumb:v2", "thumbs_down", None, "not after all", None, "0.0"),
    ]
    assert office.one("SELECT count(*) FROM agent_feedback WHERE pending_execution") == 0


def test_a_changed_score_supersedes_itself(office: Office, story: dict[str, Any]) -> None:
    thumbs = "SELECT feedback_type, facets_in_force FROM feedback_in_force WHERE execution_id = %s AND facets = 1 ORDER BY arrival"
    assert office.rows(thumbs, story["trace"]) == [("thumbs_up", 0), ("thumbs_down", 1)]
    (thumb,) = [score for score in story["read2"] if score["id"] == "score-thumb"]
    assert (thumb["value"], thumb["comment"]) == (False, "not after all")


def test_a_score_of_a_session_is_kept_beside(office: Office, story: dict[str, Any]) -> None:
    assert office.rows("SELECT id, session_id, payload ->> 'value' FROM peer_records WHERE state = 'beside'") == [("score-session", "session-7", "5.0")]


def test_every_field_that_was_sent_is_read_back_by_the_client(story: dict[str, Any]) -> None:
    scores = {score["id"]: score for score in story["read"]}
    assert len(scores) == 6
    thumb = scores["score-thumb"]
    assert {key: thumb[key] for key in ("name", "value", "dataType", "comment", "metadata", "environment")} == {
        "name": "user-thumb", "value": True, "dataType": "BOOLEAN", "comment": "quick and right", "metadata": {"page": "/help"}, "environment": "staging",
    }  # fmt: skip
    assert thumb["timestamp"].startswith("2026-11-20T09:30:00")
    assert thumb["subject"] == {"kind": "trace", "id": story["trace"]}
    assert scores["score-correction"]["value"] == "At nine, on Fridays at ten."


def test_scores_that_come_before_their_trace_wait_for_it_and_no_other_organization_reaches_them(office: Office, story: dict[str, Any]) -> None:
    early = {"LANGFUSE_PUBLIC_KEY": "early"}
    key = office.api.key(organization="early")
    make_agents(office.api, "early", "desk", "helper")  # two: without a trace nothing says whose the scores are
    ran = office.run("langfuse_scores", f"trace={story['trace']}", "read", "scores", key=key, env=early)
    assert ran.json["read"] == []
    held = "SELECT count(*) FROM peer_records WHERE state = 'held' AND organization_id = learning.organization_id('early')"
    assert office.one(held) == 6
    office.run("langfuse_scores", f"early={story['trace']}", "trace", key=key, env=early)
    assert office.one(held) == 0
    assert office.one("SELECT count(*) FROM agent_feedback WHERE organization_id = learning.organization_id('early') AND NOT pending_execution") == 6
    assert len(office.rows(FEEDBACK, story["trace"])) == 7  # ours, as before


def test_a_wrong_key_or_the_key_of_one_with_the_name_of_another_is_the_clients_own_error(office: Office, story: dict[str, Any]) -> None:
    for key, organization in (("lp_default_wrongwrongwrongwrongwrong", "default"), (office.key, "other")):
        ran = office.run("langfuse_scores", f"trace={story['trace']}", "again", key=key, env={"LANGFUSE_PUBLIC_KEY": organization})
        assert "401" in ran.err or "nauthorized" in ran.err
    assert len(office.rows(FEEDBACK, story["trace"])) == 7


def test_a_version_that_a_crash_left_without_its_entry_is_skipped(office: Office, story: dict[str, Any]) -> None:
    ours = "FROM agent_feedback WHERE organization_id = learning.organization_id('default') AND id LIKE 'langfuse:score-accuracy%%' AND execution_id = %s"
    payload = office.one(f"SELECT context -> 'peer' -> 'payload' {ours}", story["trace"])
    with office.api.database.connect("pipeline") as connection:
        connection.execute("DELETE FROM peer_records WHERE id = 'score-accuracy'")
    answer = httpx.post(f"{office.api.url}/api/public/scores", json=[{**payload, "value": 0.5}], auth=("default", office.key))
    assert (answer.status_code, answer.json()) == (202, {"message": "Accepted"})
    assert office.rows(f"SELECT id {ours} ORDER BY arrival", story["trace"]) == [("langfuse:score-accuracy",), ("langfuse:score-accuracy:v2",)]
