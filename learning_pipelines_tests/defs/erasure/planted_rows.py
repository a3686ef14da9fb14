"""What the person and others said and what agents did for them: imported, over HTTP, through peers, in an old month that was archived, as an expert.

Belongs here: rows by every way in. Not here: what is learnt of them (planted_learnt.py).
"""

from __future__ import annotations

import datetime as dt
import time
from dataclasses import dataclass, field
from typing import Any

import httpx
import jwt

from learning_pipelines.feedback.archive.archiving import archive
from learning_pipelines_tests.api.experimenting import an_agent, asked, met, run
from learning_pipelines_tests.api.serving import Api, serving
from learning_pipelines_tests.defs.erasure.planted import ID, NAME, OTHER, WORD, Planted
from learning_pipelines_tests.examples.approved import choice, correction, example
from learning_pipelines_tests.feedback.archive.conftest import MARCH, arrive, up_to_date
from learning_pipelines_tests.feedback.rows import AGENT, execution, said

WORDS = ("anchor", "barley", "copper", "damson", "ember", "falcon", "garnet", "hazel", "indigo", "juniper")
SUBJECTS = tuple(f"{one} of the {other}" for one in WORDS for other in WORDS if one != other)
"""Inputs that have little in common."""
MY_TRACE, HIS_TRACE = "a" * 32, "b" * 32


def mine(number: int, **more: Any) -> dict[str, Any]:
    """An execution for the person."""
    text = {"input": f"{WORD} about the {SUBJECTS[number]}", "output": f"A wrong answer {WORD} {number}"}
    return execution(f"{ID}-e{number}", user=NAME, session_id=f"{ID}-session") | text | more


def his(number: int, **more: Any) -> dict[str, Any]:
    """An execution for bob."""
    text = {"input": f"Bob about the {SUBJECTS[50 + number % 40]} {number}", "output": f"An answer to bob {number}"}
    return execution(f"bob-e{number}", user="bob") | text | more


@dataclass
class Served:
    """Credentials and names that came of talking to the service."""

    key: str = ""
    session: str = ""
    csrf: str = ""
    token: str = ""
    experiment: str = ""
    corrected: list[str] = field(default_factory=list)
    """Examples whose text the person wrote as an expert."""


def imported(planted: Planted) -> None:
    """Rows of every kind by import, in the default organization and in another one that has a person of the same name."""
    planted.load("agents", [AGENT])
    months_ago(planted)
    context = {"note": WORD, "deep": [{"said": f"… {WORD} …"}]}
    planted.load("executions", [
        *(mine(number, tags=[WORD], context=context, messages=[{"role": "user", "content": WORD}], latency_ms=10, cost_usd=0.01) for number in range(8)),
        *(his(number, latency_ms=20) for number in range(12)), execution("nobody-e1"),
    ])  # fmt: skip
    planted.load("feedback", [
        said(f"{ID}-f0", f"{ID}-e0", "correction", user=NAME, correction_text=f"The right answer {WORD} 0", feedback_text=WORD, task_context=context),
        said(f"{ID}-f1", "bob-e1", "correction", user=NAME, correction_text=f"Rather {WORD}, bob", issue_categories=["incorrect"]),
        said(f"{ID}-f2", "bob-e2", "detailed_feedback", user=NAME, rating=2, dimensions={"accuracy": 2}, feedback_text=f"Hm, {WORD}."),
        said(f"{ID}-f3", "bob-e3", user=NAME), said("bob-f3", "bob-e3", user="bob"), said("eve-f3", "bob-e3", user="eve"),
        said(f"{ID}-f4", "not-there-yet", "thumbs_down", user=NAME, agent="desk"), said(f"{ID}-f5", "bob-e3", "thumbs_down", user=NAME),
        said("bob-f4", "bob-e4", "correction", user="eve", correction_text="Form 7 for bob."), said("bob-f5", "bob-e5", "star_rating", user="bob", rating=5),
        said(f"{ID}-bob-f6", f"{ID}-e6", "thumbs_up", user="bob"),
        said(f"{ID}-bob-f7", f"{ID}-e7", "correction", user="bob", correction_text=f"As for the {WORD}: form 8."),
        said(f"{ID}-unnamed-f8", f"{ID}-e5", "thumbs_down"),
    ])  # fmt: skip
    planted.load("examples", [
        *(example(number, user=f"u{number % 30}") for number in range(30)), *(correction(number, user=f"u{number}") for number in range(30, 60)),
        *(choice(number, user=f"u{number}") for number in range(60, 72)),
        *(my_example(number) for number in range(100, 110)), *(my_example(number, original_output=f"Not {WORD} {number}") for number in range(110, 116)),
        my_example(116, example_type="preference", output_a=f"First {WORD}", output_b=f"Second {WORD}", preferred_output="A", preference_strength=4),
        *(example(number, review_status="pending") for number in range(200, 206)),
    ])  # fmt: skip
    planted.load("demonstrations", [{
        "demonstration_id": f"{who}-d1", "agent": "desk", "task_description": f"How {word} is closed", "actions": [{"type": "open", "arguments": {"a": word}}],
        "final_output": f"Closed {word}.", "reasoning": f"Because of {word}.", "input_state": {"s": word}, "expert": name, "task_type": "closing",
    } for who, name, word in ((ID, NAME, WORD), ("bob", "bob", "the quarter"))])  # fmt: skip
    planted.load("documents", [{"document_id": f"k{number}", "agent": "desk", "text": f"About the {SUBJECTS[number]}: form {number}."} for number in range(6)])
    planted.load("retrieval_feedback", [
        {"query": f"{WORD} form of the {SUBJECTS[1]}", "agent": "desk", "retrieved": ["k1", "k2"], "relevant": ["k1"], "user": NAME, "helped": True},
        {"query": "which form does bob need", "agent": "desk", "retrieved": ["k2", "k3"], "relevant": ["k2"], "user": "bob"},
        {"query": "which form does bob need", "agent": "desk", "retrieved": ["k2", "k3"], "relevant": ["k3"], "user": NAME},
    ])  # fmt: skip
    elsewhere(planted)


def my_example(number: int, **more: Any) -> dict[str, Any]:
    """An approved example that the person sent in."""
    text = {"example_id": f"{ID}-x{number}", "input_text": f"{WORD} and the {SUBJECTS[number - 90]} {number}", "expected_output": f"So {WORD} {number}"}
    return example(number) | text | {"user": NAME, "tags": [WORD], "domain": WORD} | more


def months_ago(planted: Planted) -> None:
    """March of last year, archived, with the person and others in it; feedback that came later brought two executions back."""
    with planted.connection() as connection:
        executions = [mine(10, latency_ms=5), mine(11), his(20), his(21), his(22, latency_ms=7)]
        feedback = [
            said(f"{ID}-f10", f"{ID}-e10", "correction", user=NAME, correction_text=f"In March: {WORD}"), said(f"{ID}-f11", "bob-e20", user=NAME),
            said("eve-f12", "bob-e20", user="eve"), said("bob-f20", "bob-e21", "star_rating", user="bob", rating=3),
            said(f"{ID}-bob-f21", f"{ID}-e11", "thumbs_up", user="bob", feedback_text=f"{WORD} was right"),
        ]  # fmt: skip
        arrive(planted.database, connection, planted.load, MARCH, executions, feedback)
        arrive(planted.database, connection, planted.load, dt.date(2025, 4, 1), [his(30)], [said("bob-f30", "bob-e30", user="bob")])
    up_to_date(planted.store)
    assert archive(planted.store).months == ["2025-03", "2025-04"]
    planted.load("feedback", [said(f"{ID}-bob-f22", f"{ID}-e11", "correction", user="bob", correction_text="Later."), said(f"{ID}-f13", "bob-e21", user=NAME)])
    up_to_date(planted.store)


def elsewhere(planted: Planted) -> None:
    """Another organization with a person of the same external id, who said the same."""
    planted.load("agents", [AGENT], OTHER)
    planted.load("executions", [mine(number) for number in range(3)], OTHER)
    planted.load("feedback", [said(f"{ID}-f1", f"{ID}-e1", "correction", user=NAME, correction_text=f"Rather {WORD}")], OTHER)
    planted.load("examples", [my_example(100)], OTHER)


def over_http(planted: Planted) -> Served:
    """What applications, browsers, peers and experts send."""
    with serving(planted.database, planted.settings) as api:
        served = Served(key=api.key("admin", user=NAME))
        application = api.key("admin")
        _asked_and_said(api, application)
        _signed_in(api, served)
        _peers(api, application)
        _expert(api, planted, served)
        _operator(api, served)
        _experiment(api, served)
    return served


def _good(answer: httpx.Response) -> Any:
    assert answer.is_success, answer.text
    return answer.json() if answer.content else None


def _asked_and_said(api: Api, key: str) -> None:
    _good(api.post("/executions", mine(20), key))
    _good(api.post("/feedback", said(f"{ID}-f20", f"{ID}-e20", "report_issue", user=NAME, issue_categories=["tone"], feedback_text=WORD), key))
    searched = {"query": f"where is the {WORD}", "agent": "desk", "retrieved": ["k1"], "relevant": ["k1"], "user": NAME}
    _good(api.post("/retrieval-feedback", searched, key, headers={"Idempotency-Key": f"{ID}-q1"}))
    shown = {"demonstration_id": f"{ID}-d2", "task_description": f"Open {WORD}", "actions": [{"type": "open"}], "final_output": WORD}
    _good(api.post("/demonstrations", {**shown, "agent": "desk", "expert": NAME}, key))


def _signed_in(api: Api, served: Served) -> None:
    session = api.post("/session", {}, served.key)
    served.csrf, served.session = _good(session)["csrf_token"], session.cookies["learning_session"]
    served.token = _good(api.post("/tokens", {"execution_id": f"{ID}-e20", "user": NAME}, api.key("trainer")))["token"]
    _good(api.post("/feedback", {"execution_id": f"{ID}-e20", "feedback_type": "thumbs_up", "feedback_id": f"{ID}-f21"}, served.token))


def attribute(key: str, value: str) -> dict[str, Any]:
    return {"key": key, "value": {"stringValue": value}}


def _peers(api: Api, key: str) -> None:
    """A trace of the person's, one of bob's that the person scores in peers' ways, statements that wait for a trace, a span that came late."""
    for trace, user, text in ((MY_TRACE, NAME, WORD), (HIS_TRACE, "bob", "Bob's")):
        said_there = (attribute("input.value", f"{text} question?"), attribute("output.value", f"{text} answer."))
        _span(api, key, trace, "1" * 16, "", *said_there, attribute("user.id", user))
    _span(api, key, MY_TRACE, "2" * 16, "1" * 16, attribute("input.value", f"late {WORD}"))
    for trace in (MY_TRACE, HIS_TRACE, "c" * 32):
        score = {"id": f"{ID}-score", "traceId": trace, "name": "user-thumb", "value": 1, "dataType": "BOOLEAN", "comment": f"fine, {WORD}"}
        if trace != MY_TRACE:  # a score of Langfuse names nobody: on another trace it would be nobody's
            score |= {"id": f"score-{trace[0]}", "comment": "fine"}
        _good(api.ask("POST", "/api/public/scores", raw=True, auth=None, json=score, headers={"Authorization": f"Bearer {key}", "X-Learning-Agent": "desk"}))
        source = {"source_type": "HUMAN", "source_id": NAME}
        assessment = {"assessment": {"assessment_name": "thumb", "feedback": {"value": True}, "rationale": f"fine, {WORD}", "source": source}}
        _good(api.ask("POST", f"/api/3.0/mlflow/traces/{trace}/assessments", key, raw=True, json=assessment, headers={"X-Learning-Agent": "desk"}))


def _span(api: Api, key: str, trace: str, span: str, parent: str, *attributes: dict[str, Any]) -> None:
    one = {
        "traceId": trace, "spanId": span, "parentSpanId": parent, "name": "answer", "startTimeUnixNano": "1795638814038051901",
        "endTimeUnixNano": "1795638814938051901", "attributes": [attribute("openinference.span.kind", "AGENT"), *attributes],
    }  # fmt: skip
    body = {"resourceSpans": [{"resource": {"attributes": [attribute("service.name", "desk")]}, "scopeSpans": [{"spans": [one]}]}]}
    _good(api.ask("POST", "/v1/traces", key, raw=True, json=body))


def personal(name: str, role: str) -> str:
    """A bearer token of an identity provider."""
    claims = {"sub": name, "organization": "default", "role": role, "aud": "learning", "exp": 4_000_000_000}
    return jwt.encode(claims, "jwt secret of the tests, at least forty-eight bytes long", "HS256")


def _expert(api: Api, planted: Planted, served: Served) -> None:
    """The person judges other people's examples: one they rewrite, one they only approve, one they skip; bob judges another one."""
    me, bob = personal(NAME, "expert"), personal("bob", "expert")
    rewritten = {"example_id": "x00200", "approved": True, "corrected_output": f"Rather say {WORD}", "notes": WORD, "improvement_suggestions": WORD}
    _good(api.post("/annotations", rewritten, me))
    _good(api.post("/annotations", {"example_id": "x00201", "approved": True, "notes": f"good, {WORD}"}, me))
    _good(api.post("/annotations", {"example_id": "x00202", "approved": False, "notes": f"bad, {WORD}"}, me))
    undone = _good(api.post("/annotations/bulk", {"example_ids": ["x00203"], "approved": True}, me))
    if "undo_id" in undone:
        _good(api.post(f"/annotations/undo/{undone['undo_id']}", {}, me))
    _good(api.post("/annotations/queue/x00204/lease", {}, me))
    _good(api.post("/annotations", {"example_id": "x00205", "approved": True, "notes": "fine"}, bob))
    served.corrected = ["x00200"]


def _operator(api: Api, served: Served) -> None:
    """The person writes prompts and moves labels: one prompt by heart, one that quotes what they said as a user."""
    for text in ("You answer in one sentence.", f"You answer. Somebody wrote: The right answer {WORD} 0"):
        _good(api.post("/prompts/desk", {"messages": [{"role": "system", "content": text}]}, served.key))
    _good(api.ask("PUT", "/prompts/desk/labels/production", served.key, json={"version": 2}))
    _good(api.ask("PUT", "/prompts/desk/labels/staging", served.key, json={"version": 3}))


def _experiment(api: Api, served: Served) -> None:
    """An experiment that runs: the person and eleven others are met, their executions count."""
    agent = an_agent(api, "tried")
    experiment = run(api, agent, unit="user")
    units = [NAME, *(f"unit-{number}" for number in range(11))]
    variants = {unit: asked(api, agent, unit)["variant"] for unit in units}
    assert len(met(api, experiment, len(units))) == len(units)
    key = api.key("trainer")
    for number, unit in enumerate(units):
        name = f"{ID}-t{number}" if unit == NAME else f"t{number}"
        context = {"experiment": str(experiment), "variant": variants[unit], "unit": unit}
        text = {"input": f"{WORD}?" if unit == NAME else "How?", "output": "So."}
        _good(api.post("/executions", execution(name, "tried", user=unit, context=context, latency_ms=100 + number) | text, key))
        _good(api.post("/feedback", said(f"{name}-f", name, user=unit), key))
    served.experiment = str(experiment)
    time.sleep(0.2)
