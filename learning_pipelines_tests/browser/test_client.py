"""The JavaScript client at work in a browser: what is repeated and what is not, waiting as told, ending in time, refusals.

Belongs here: client/transport.js and learning.js. Not here: which routes there are (web/test_client.py), hooks (test_hooks.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from learning_pipelines_tests.api.reviewing import load
from learning_pipelines_tests.api.serving import Api

_SCRIPTED = """async ([answers, call]) => {
    const { LearningClient } = await import("/api/learning/web/client/learning.js");
    const sent = [];
    const fetch = async (url, options) => {
        sent.push({ url: new URL(url).pathname + new URL(url).search, key: options.headers["Idempotency-Key"] ?? null });
        const answer = answers[Math.min(sent.length, answers.length) - 1];
        if (answer === "away") throw new TypeError("Failed to fetch");
        if (answer === "silent") return new Promise((_, reject) => options.signal.addEventListener("abort", () => reject(options.signal.reason)));
        return new Response(JSON.stringify(answer.body ?? {}), { status: answer.status, headers: answer.headers ?? {} });
    };
    const client = new LearningClient({ fetch, token: "t", timeout: 300 });
    const begun = performance.now();
    const stop = new AbortController();
    const calls = {
        get: () => client.feedbackStatistics("desk/1", { days: 7 }),
        feedback: () => client.submitFeedback({ execution_id: "r", feedback_type: "thumbs_up" }),
        withId: () => client.submitFeedback({ execution_id: "r", feedback_type: "thumbs_up", feedback_id: "f" }),
        batch: () => client.submitFeedbackBatch([{ execution_id: "r", feedback_type: "thumbs_up" }]),
        annotation: () => client.submitAnnotation({ example_id: "x", approved: true }),
        stopped: () => { setTimeout(() => stop.abort(), 50); return client.statistics({ signal: stop.signal }); },
    };
    const refused = (error) => ({ name: error.name, status: error.status, title: error.title, field: error.field });
    const said = await calls[call]().then((data) => ({ data }), refused);
    return { sent, seconds: (performance.now() - begun) / 1000, ...said };
}"""
Call = Callable[[list[Any], str], dict[str, Any]]


@pytest.fixture
def page(chromium: Browser, site: Api) -> Iterator[Page]:
    page = chromium.new_page()
    page.goto(f"{site.url}/reports")
    yield page
    page.close()


@pytest.fixture
def call(page: Page) -> Call:
    """Calls one method of a client whose answers are given one by one, the last again and again."""
    return lambda answers, name: dict(page.evaluate(_SCRIPTED, [answers, name]))


def test_what_is_asked_is_asked_again_until_it_is_answered(call: Call) -> None:
    found = call(["away", {"status": 503}, {"status": 200, "body": {"total_feedback": 3}}], "get")
    assert found["data"] == {"total_feedback": 3}
    assert [one["url"] for one in found["sent"]] == ["/api/learning/feedback/stats/desk%2F1?days=7"] * 3


def test_feedback_is_repeated_with_the_same_key_or_its_id_so_that_it_is_stored_once(call: Call) -> None:
    found = call(["away", {"status": 201}], "feedback")
    assert len(found["sent"]) == 2 and len({one["key"] for one in found["sent"]}) == 1 and len(found["sent"][0]["key"]) == 32
    assert [one["key"] for one in call(["away", {"status": 201}], "withId")["sent"]] == [None, None]


@pytest.mark.parametrize("name", ["annotation", "batch"])
def test_what_would_be_done_twice_is_sent_once(call: Call, name: str) -> None:
    found = call(["away"], name)
    assert len(found["sent"]) == 1 and (found["status"], found["title"]) == (0, "Not reached")


def test_retry_after_is_waited_for_unless_it_is_long(call: Call) -> None:
    found = call([{"status": 429, "headers": {"Retry-After": "1"}}, {"status": 200}], "get")
    assert len(found["sent"]) == 2 and found["seconds"] >= 1
    found = call([{"status": 429, "headers": {"Retry-After": "3600"}}], "get")
    assert len(found["sent"]) == 1 and found["status"] == 429


def test_a_refusal_is_not_repeated_and_names_its_field(call: Call) -> None:
    found = call([{"status": 422, "body": {"title": "Unprocessable Content", "detail": "No.", "field": "rating"}}], "feedback")
    assert (len(found["sent"]), found["name"], found["field"]) == (1, "ApiError", "rating")


def test_a_silent_service_is_given_up_in_time_and_at_once_when_asked_to(call: Call) -> None:
    assert call(["silent"], "annotation")["title"] == "No answer in time"
    found = call(["silent"], "stopped")
    assert (found["name"], len(found["sent"])) == ("AbortError", 1)


def test_it_speaks_to_the_real_service(page: Page, site: Api) -> None:
    load(site, "executions", [{"execution_id": "real", "agent": "desk", "input": "When?", "output": "On the 10th."}])
    found = page.evaluate(
        """async (token) => {
            const { LearningClient } = await import("/api/learning/web/client/learning.js");
            const client = new LearningClient({ token });
            const body = { execution_id: "real", feedback_type: "star_rating", rating: 4 };
            const options = { headers: { "Idempotency-Key": "one" } };
            const first = await client.submitFeedback(body, options);
            const second = await client.submitFeedback(body, options);
            const wrong = await client.submitFeedback({ ...body, rating: 9 }).catch((error) => [error.status, error.field]);
            const prompt = await client.servedPrompt("desk");
            const unchanged = await client.servedPrompt("desk", { etag: prompt.etag });
            return [first.status, second.status, wrong, prompt.messages[0].content, unchanged, (await client.listAgents()).agents.length];
        }""",
        site.key("user", user="uma"),
    )
    assert found == ["stored", "unchanged", [422, "rating"], "You are desk.", None, 2]
