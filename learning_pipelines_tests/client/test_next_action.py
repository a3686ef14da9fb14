"""Suggestions of a next action: what travels, what comes back, and that a service without an answer costs the host nothing.

Belongs here: `next_action` of both clients. Not here: prompts, delivery.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any
from urllib.parse import quote

import pytest

from learning_pipelines.client import END, AsyncClient, Client, NextAction, Suggestion, SuggestionUnavailable
from learning_pipelines_tests.client.conftest import KEY, MakeClient, quick
from learning_pipelines_tests.client.service import Asked, Fault, Service

ANSWER: dict[str, Any] = {
    "agent_id": "desk", "policy": 2, "abstained": False, "reason": None, "hint": None,
    "suggestions": [
        {"type": "refund", "confidence": 0.8, "arguments": {"order": "#7"}, "evidence": {"demonstrations": ["d1"], "agreeing": 9, "nearest": 32}},
        {"type": END, "confidence": 0.1, "arguments": {}, "evidence": {"demonstrations": [], "agreeing": 0, "nearest": 32}},
    ],
}  # fmt: skip


def asked(service: Service) -> Asked:
    return [one for one in service.asked if one.path.endswith("/next-action")][-1]


def test_a_suggestion_is_asked_for_with_what_was_done_so_far(client: Client, service: Service) -> None:
    service.suggested = ANSWER
    steps: list[Any] = ["look_up", {"type": "ask", "arguments": {"order": "#7"}, "context": "broken", "more": 1}]
    found = client.next_action("desk", "refund order 7", task_type="refund", state={"order": 7}, history=steps, k=2)
    assert found.suggestions == (Suggestion("refund", 0.8, {"order": "#7"}, ("d1",)), Suggestion(END, 0.1))
    assert (found.type, bool(found), found.policy, found.abstained, found.reason) == ("refund", True, 2, False, None)
    query = asked(service).query
    assert asked(service).path == "/api/learning/agents/desk/next-action" and asked(service).headers["authorization"] == f"Bearer {KEY}"
    assert (query["task"], query["task_type"], json.loads(query["state"]), query["k"]) == ("refund order 7", "refund", {"order": 7}, "2")
    assert json.loads(query["history"]) == [{"type": "look_up"}, {"type": "ask", "arguments": {"order": "#7"}, "context": "broken"}]


def test_the_client_for_asyncio_asks_the_same(service: Service, queue_dir: Any) -> None:
    service.suggested = ANSWER

    async def ask() -> NextAction:
        async with AsyncClient(service.url, KEY, queue_dir=queue_dir, options=quick()) as client:
            return await client.next_action("desk", "refund", history=["look_up"])

    assert asyncio.run(ask()).type == "refund"


def test_no_policy_and_an_abstention_say_why(client: Client, service: Service) -> None:
    for more, said in (({"policy": 0, "hint": "Run the job."}, "Run the job."), ({"abstained": True, "reason": "unlike all"}, "unlike all")):
        service.suggested = {**ANSWER, "suggestions": [], **more}
        found = client.next_action("desk", "refund")
        assert (bool(found), found.type, found.reason, found.abstained) == (False, None, said, "abstained" in more)


def test_a_long_history_keeps_its_newest_steps_and_fits_an_address(client: Client, service: Service) -> None:
    service.suggested = ANSWER
    steps = [{"type": f"step{number}", "arguments": {"n": number}, "context": "x" * 5_000 + f"end{number}"} for number in range(60)]
    client.next_action("desk", "task", state="s" * 50_000, history=steps)
    query = asked(service).query
    sent = json.loads(query["history"])
    assert sum(len(quote(value, safe="")) for value in query.values()) <= 6_000
    assert [one["type"] for one in sent] == [f"step{number}" for number in range(60 - len(sent), 60)] and len(sent) == 60
    assert sent[-1]["context"].endswith("end59") and sent[0] == {"type": "step0"}
    client.next_action("desk", "task", history=["a_rather_long_name_of_an_action"] * 5_000)
    assert 50 < len(json.loads(asked(service).query["history"])) < 5_000


def test_of_as_few_steps_as_suffices_only_the_type_is_sent(client: Client, service: Service) -> None:
    service.suggested = ANSWER
    for count in range(8, 24):
        steps = [{"type": f"step{number}", "context": "x" * 380} for number in range(count)]
        client.next_action("desk", "task", history=steps)
        query = asked(service).query
        bare = sum("context" not in one for one in json.loads(query["history"]))
        fuller = [{"type": one["type"]} for one in steps[: bare - 1]] + steps[max(0, bare - 1) :]
        others = sum(len(quote(value, safe="")) for name, value in query.items() if name != "history")
        assert bare == 0 or others + len(quote(json.dumps(fuller, separators=(",", ":")), safe="")) > 6_000


@pytest.mark.parametrize("fault", [Fault(503), Fault(404, body={"field": "agent_id"}), Fault(200, body={"no": "answer"}), Fault(drop="before")])
def test_without_an_answer_the_host_goes_on(make_client: MakeClient, service: Service, fault: Fault) -> None:
    service.fault = lambda one: fault
    client = make_client()
    found = client.next_action("desk", "refund", history=["look_up"])
    assert (bool(found), found.policy) == (False, 0) and "stats()" in str(found.reason)
    assert client.stats().errors["SuggestionUnavailable"] == 1
    with pytest.raises(SuggestionUnavailable):
        make_client(raise_errors=True).next_action("desk", "refund")


def test_a_history_that_cannot_be_sent_is_reported(client: Client, service: Service) -> None:
    assert not client.next_action("desk", "refund", history=[{"kind": "look_up"}])
    assert "InvalidRecord" in client.stats().errors and service.asked == []
