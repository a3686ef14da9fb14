"""Conflicts over HTTP: whom they are shown to, page by page, and who may dismiss one.

Belongs here: the two routes. Not here: what contradicts what (examples/test_conflicts.py), verdicts on one example (test_review.py).
"""

from __future__ import annotations

from typing import Any

import pytest

from learning_pipelines.examples.curation import refresh_curation
from learning_pipelines.examples.similarity import DuplicateRule
from learning_pipelines_tests.api.reviewing import count, expert, load, new_agent
from learning_pipelines_tests.api.serving import Api
from learning_pipelines_tests.feedback.rows import agent_ref

ADA, BOB = expert("ada"), expert("bob")


def contradicting(api: Api, agent: str, pairs: int = 1, organization: str = "default", **more: Any) -> list[list[str]]:
    """So many conflicts of an agent; the ids of each, in order."""
    ids = [[f"{agent}-{number}-{side}" for side in "xy"] for number in range(pairs)]
    rows = [
        {"example_id": name, "agent": agent, "input_text": f"Where is {chr(97 + number) * 12}?", "expected_output": name[-1] * 9, **more}
        for number, pair in enumerate(ids)
        for name in pair
    ]
    load(api, "examples", rows, organization)
    with api.database.connect("pipeline") as connection:
        done = refresh_curation(connection, agent_ref(connection, agent, organization), DuplicateRule(cosine=None), None)
    assert done.opened == pairs
    return ids


def listed(api: Api, who: str, **filters: Any) -> list[list[str]]:
    found = api.get("/conflicts", who, params=filters).json()["conflicts"]
    return [[one["first"]["example_id"], one["second"]["example_id"]] for one in found]


def dismiss(api: Api, who: str, ids: list[str], **more: Any) -> Any:
    return api.post("/conflicts/dismiss", {"example_ids": ids, **more}, who)


def test_open_conflicts_are_shown_page_by_page_with_what_both_say(api: Api) -> None:
    agent = new_agent(api)
    ids = contradicting(api, agent, 5)
    found, cursor = [], None
    while True:
        page = api.get("/conflicts", ADA, params={"agent": agent, "limit": 2, **({"cursor": cursor} if cursor else {})}).json()
        assert len(page["conflicts"]) <= 2
        found += page["conflicts"]
        if (cursor := page["cursor"]) is None:
            break
    assert sorted([one["first"]["example_id"], one["second"]["example_id"]] for one in found) == ids
    (one,) = [one for one in found if one["first"]["example_id"] == ids[0][0]]
    assert (one["agent"], one["first"]["input_text"], one["second"]["expected_output"]) == (agent, "Where is aaaaaaaaaaaa?", "yyyyyyyyy")
    assert "user_id" not in str(one)


def test_a_dismissed_conflict_is_settled_by_whoever_dismissed_it(api: Api) -> None:
    agent = new_agent(api)
    (pair,) = contradicting(api, agent)
    answer = dismiss(api, ADA, pair[::-1], notes="Ask eve@example.org.")
    assert (answer.status_code, answer.json()) == (200, {"example_ids": pair[::-1], "status": "dismissed"})
    assert listed(api, BOB, agent=agent) == []
    settled = "settled_by = (SELECT id FROM users WHERE external_id = 'ada') AND notes = 'Ask <EMAIL_1>.'"
    assert count(api, f"example_conflicts WHERE first_id = %s AND status = 'dismissed' AND {settled}", pair[0]) == 1
    assert count(api, "audit_log WHERE subject_kind = 'conflict' AND subject_id = %s AND action = 'dismissed' AND actor = 'user:ada'", pair[1]) == 1
    again = dismiss(api, BOB, pair)
    assert (again.status_code, again.json()["field"]) == (409, "example_ids")


def test_a_conflict_of_ones_own_words_is_neither_shown_nor_dismissed(api: Api) -> None:
    agent = new_agent(api)
    (pair,) = contradicting(api, agent, user="ada")
    assert (listed(api, ADA, agent=agent), listed(api, BOB, agent=agent)) == ([], [pair])
    assert dismiss(api, ADA, pair).status_code == 403
    assert listed(api, BOB, agent=agent) == [pair]


def test_a_conflict_of_another_organization_is_not_there(api: Api) -> None:
    agent = new_agent(api)
    (pair,) = contradicting(api, agent)
    api.key(organization="other")
    stranger = expert("eve", "other")
    assert pair not in listed(api, stranger, limit=200)
    assert dismiss(api, stranger, pair).status_code == 404
    assert listed(api, BOB, agent=agent) == [pair]


@pytest.mark.parametrize("role", ["user", "trainer", "experimenter"])
def test_conflicts_are_for_experts(api: Api, role: str) -> None:
    who = expert("mallory", role=role)
    assert api.get("/conflicts", who).status_code == 403
    assert dismiss(api, who, ["a", "b"]).status_code == 403


@pytest.mark.parametrize(
    ("change", "field"),
    [({"example_ids": ["a"]}, "example_ids"), ({"example_ids": ["a", "b", "c"]}, "example_ids"), ({"notes": "a\x00"}, "notes"), ({"surprise": 1}, "surprise")],
)
def test_a_body_that_cannot_be_is_refused_by_name(api: Api, change: dict[str, Any], field: str) -> None:
    answer = api.post("/conflicts/dismiss", {"example_ids": ["a", "b"], **change}, ADA)
    assert answer.status_code == 422 and answer.json()["field"].startswith(field)


@pytest.mark.parametrize("cursor", ["x", "WyIyMDI2LTAxLTAxVDAwOjAwOjAwWiIsICJ4Il0=", "WyIyMDI2LTAxLTAxVDAwOjAwOjAwWiIsICJbMSwyXSJd"])
def test_a_cursor_that_nobody_gave_is_refused(api: Api, cursor: str) -> None:
    answer = api.get("/conflicts", ADA, params={"cursor": cursor})
    assert (answer.status_code, answer.json()["field"]) == (422, "cursor")
