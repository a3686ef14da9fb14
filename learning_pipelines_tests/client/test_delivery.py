"""Records arrive, once each, through every kind of trouble of network and service.

Belongs here: one process and its service. Not here: crashes and several processes (test_queue.py), prompts, tracing.
"""

from __future__ import annotations

import json
import logging
import random
import threading
from pathlib import Path
from typing import Any

import pytest

from learning_pipelines.client import Client
from learning_pipelines.client.records import Retrieved
from learning_pipelines_tests.client.conftest import KEY, MakeClient, eventually
from learning_pipelines_tests.client.service import Asked, Fault, Service

DONE = 90.0


def log(client: Client, number: int, **fields: Any) -> str:
    return client.log_execution(agent="router", input=f"question {number}", output="vat", **fields)


def dead_letters(client: Client) -> list[dict[str, Any]]:
    path = Path(client.stats().queue_folder, "dead-letters.jsonl")
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_every_kind_of_record_arrives_with_the_keys_of_the_service(client: Client, service: Service) -> None:
    retrieved: list[Retrieved] = [{"document_id": "a1", "rank": 1, "score": 0.5}]
    name = client.log_execution(
        agent="router", input={"text": "Müller €"}, output=["a"], user="u1", retrieved=retrieved, latency_ms=3.5, model="m", context={"own": 1}
    )
    ids = [
        client.thumbs_up(name, user="u1", feedback_text="good"),
        client.thumbs_down(name),
        client.rate(name, 4, dimensions={"clarity": 5}),
        client.correct(name, "income tax"),
        client.report(name, ["outdated", "tone"]),
        client.feedback(name, feedback_type="detailed_feedback", feedback_text="long", feedback_id="mine"),
    ]
    key = client.retrieval_feedback("deadline", relevant=["a1"], retrieved=["a1", "a2"], helped=True)
    assert client.flush(DONE)
    execution = service.rows["executions"][name]
    assert (execution["input"], execution["output"], execution["user"]) == ({"text": "Müller €"}, ["a"], "u1")
    assert execution["context"] == {"model": "m", "own": 1} and execution["retrieved"] == retrieved and execution["created_at"].endswith("+00:00")
    assert [service.rows["feedback"][one]["feedback_type"] for one in ids] == [
        "thumbs_up", "thumbs_down", "star_rating", "correction", "report_issue", "detailed_feedback",
    ]  # fmt: skip
    assert service.rows["feedback"][ids[2]]["rating"] == 4 and service.rows["feedback"][ids[2]]["dimensions"] == {"clarity": 5}
    assert ids[5] == "mine" and service.rows["feedback"][ids[4]]["issue_categories"] == ["outdated", "tone"]
    assert service.rows["retrieval_feedback"][key]["relevant"] == ["a1"]
    assert {asked.headers["authorization"] for asked in service.asked} == {f"Bearer {KEY}"}
    assert service.order.index(name) == 0
    assert client.stats().stored == 8 and client.stats().queued == 0 and not client.stats().errors


def test_records_travel_in_batches(make_client: MakeClient, service: Service) -> None:
    client = make_client(batch_size=50, max_delay=30.0)
    for number in range(200):
        log(client, number)
    assert client.flush(DONE)
    assert len(service.rows["executions"]) == 200 and client.stats().requests <= 6


def test_a_service_that_is_down_under_load_loses_and_doubles_nothing(make_client: MakeClient, service: Service) -> None:
    client = make_client(batch_size=20)
    expected: list[str] = []
    halt = threading.Event()

    def work(number: int) -> None:
        while not halt.is_set():
            name = log(client, number)
            expected.extend([name, client.thumbs_up(name), client.retrieval_feedback("q", relevant=[])])
            halt.wait(0.002)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(3):
        stored = service.total()
        eventually(lambda stored=stored: service.total() > stored)  # type: ignore[misc]
        service.stop()
        retries = client.stats().retries
        eventually(lambda retries=retries: client.stats().retries > retries + 1)  # type: ignore[misc]
        service.start()
    halt.set()
    for thread in threads:
        thread.join()
    assert client.flush(DONE)
    assert len(expected) > 100 and service.total() == len(expected)
    assert {name for rows in service.rows.values() for name in rows} == set(expected)
    assert client.stats().errors["ServiceUnavailable"] >= 6 and client.stats().rejected == 0


def test_answers_that_get_lost_double_nothing(client: Client, service: Service) -> None:
    dice = random.Random(7)
    faults = [Fault(drop="after"), Fault(drop="before"), Fault(status=503), Fault(status=500), Fault(status=200, body=b"<html>log in</html>"), None, None, None]
    service.fault = lambda asked: dice.choice(faults)
    expected = set()
    for number in range(60):
        name = log(client, number)
        expected |= {name, client.thumbs_down(name), client.retrieval_feedback("q", relevant=["d"])}
    eventually(lambda: client.stats().retries > 5)
    service.fault = lambda asked: None
    assert client.flush(DONE)
    assert {name for rows in service.rows.values() for name in rows} == expected
    assert max(service.arrivals.values()) > 1  # sent again, stored once


def test_a_timeout_is_sent_again_under_the_same_id(make_client: MakeClient, service: Service) -> None:
    client = make_client(request_timeout=0.1)
    slow = iter([Fault(delay=0.4)])
    service.fault = lambda asked: next(slow, None)
    key = client.retrieval_feedback("q", relevant=["d"])
    assert client.flush(DONE)
    eventually(lambda: service.arrivals[key] == 2)
    assert list(service.rows["retrieval_feedback"]) == [key]


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_honoured_even_by_a_flush(make_client: MakeClient, service: Service, status: int) -> None:
    client = make_client()
    limits = iter([Fault(status=status, headers={"Retry-After": "1"})])
    service.fault = lambda asked: next(limits, None)
    log(client, 1)
    eventually(lambda: client.stats().retries)
    assert client.flush(DONE)
    first, second = (asked.at for asked in service.asked)
    assert second - first >= 1.0


@pytest.mark.parametrize("value", ["soon", "-5", "nan", "Wed, 21 Oct 2015 07:28:00 GMT"])
def test_a_senseless_retry_after_is_answered_with_the_usual_backoff(client: Client, service: Service, value: str) -> None:
    limits = iter([Fault(status=429, headers={"Retry-After": value})])
    service.fault = lambda asked: next(limits, None)
    log(client, 1)
    assert client.flush(DONE)


def test_refused_records_go_to_the_dead_letters_once(client: Client, service: Service, caplog: pytest.LogCaptureFixture) -> None:
    service.refuse = lambda body: "unknown agent" if body.get("agent") == "nobody" or body.get("query") == "bad" else None
    bad = client.log_execution(agent="nobody", input="secret of a client", output="o")
    good = log(client, 1)
    worse = client.retrieval_feedback("bad", relevant=[])
    assert client.flush(DONE)
    assert {letter["id"]: letter["kind"] for letter in dead_letters(client)} == {bad: "executions", worse: "retrieval_feedback"}
    assert dead_letters(client)[0]["reason"] == "unknown agent" and dead_letters(client)[0]["body"]["input"] == "secret of a client"
    assert service.arrivals[bad] == 1 and list(service.rows["executions"]) == [good]
    assert client.stats().rejected == 2 and client.stats().errors["RecordRejected"] == 2
    assert "secret of a client" not in caplog.text and KEY not in caplog.text


@pytest.mark.parametrize("status", [400, 413, 422])
def test_one_record_that_spoils_a_batch_is_found(make_client: MakeClient, service: Service, status: int) -> None:
    client = make_client(max_delay=30.0)
    service.fault = lambda asked: Fault(status=status, body={"detail": "no"}) if "spoiled" in json.dumps(asked.body) else None
    bad = [log(client, number, tags=["spoiled"]) if number % 9 == 0 else log(client, number) for number in range(30)][::9]
    assert client.flush(DONE)
    assert {letter["id"] for letter in dead_letters(client)} == set(bad) and len(service.rows["executions"]) == 26


def test_a_record_that_breaks_the_service_does_not_hold_up_the_others(make_client: MakeClient, service: Service) -> None:
    client = make_client(backoff_most=0.03, batch_size=10)
    service.fault = lambda asked: Fault(status=500) if "poison" in json.dumps(asked.body) else None
    bad = {log(client, number, tags=["poison"]) for number in range(4)}  # more than the tries that a round spends on a broken service
    for number in range(10):
        log(client, number)
    eventually(lambda: len(service.rows["executions"]) == 10)
    halt = threading.Event()

    def go_on() -> None:
        while not halt.wait(0.01):
            log(client, 99)

    thread = threading.Thread(target=go_on)
    thread.start()
    eventually(lambda: {letter["id"] for letter in dead_letters(client)} == bad)
    halt.set()
    thread.join()


@pytest.mark.parametrize("status", [302, 401, 403, 404, 500])
def test_a_wrong_key_or_address_costs_no_record(client: Client, service: Service, status: int, caplog: pytest.LogCaptureFixture) -> None:
    service.fault = lambda asked: Fault(status=status, headers={"Location": "http://127.0.0.1:9/"})
    names = {log(client, number) for number in range(10)}
    eventually(lambda: client.stats().retries > 5)
    assert client.stats().queued == 10 and client.stats().rejected == 0 and client.stats().errors["ServiceRefused"] > 5
    assert f"ServiceRefused: HTTP {status}" in caplog.text and caplog.text.count("ServiceRefused") == 1
    service.fault = lambda asked: None
    assert client.flush(DONE) and set(service.rows["executions"]) == names


def test_only_what_the_service_names_as_stored_counts_as_stored(client: Client, service: Service) -> None:
    def forgetful(asked: Asked) -> Fault | None:
        return Fault(status=200, body={"results": [{"index": 0, "status": "stored"}, {"index": 99, "status": "stored"}, None]}) if next(once, False) else None

    once = iter([True])
    service.fault = forgetful
    with client._core.worker._wake:  # so that all three travel together
        names = [log(client, number, created_at="2026-11-22T09:15:00Z") for number in range(3)]
    assert client.flush(DONE)
    assert set(service.rows["executions"]) == set(names[1:])


@pytest.mark.parametrize("url", ["localhost:8000", "http://", "ftp://x", "http://127.0.0.1:1", "http://\x00"])
def test_an_address_that_cannot_work_never_reaches_the_host(make_client: MakeClient, url: str, caplog: pytest.LogCaptureFixture) -> None:
    client = make_client(url=url)
    log(client, 1)
    eventually(lambda: client.stats().errors)
    assert client.stats().queued == 1 and not client.flush(0.01)
    assert any(record.levelno == logging.WARNING for record in caplog.records)


def test_bad_calls_are_refused_by_name_and_raised_only_on_request(make_client: MakeClient, service: Service) -> None:
    client = make_client()
    assert client.rate("e1", 9) and client.correct("e1", "  ") and client.thumbs_up("")
    assert client.feedback("e1", feedback_type="star_rating")
    assert client.feedback("e1", feedback_type="applause")  # type: ignore[arg-type]
    assert client.stats().errors == {"InvalidRecord": 5} and client.stats().refused == 5 and client.stats().queued == 0
    strict = make_client(raise_errors=True)
    with pytest.raises(Exception, match="stars go from 1 to 5") as caught:
        strict.rate("e1", 9)
    assert type(caught.value).__name__ == "InvalidRecord"


def test_odd_values_do_not_cost_the_record(client: Client, service: Service) -> None:
    circle: dict[Any, Any] = {"number": float("nan"), (1, 2): {3, 1}, "bytes": b"\xff", "object": object()}
    circle["again"] = circle
    name = log(client, 1, context=circle)
    other = client.log_execution(agent="router", input=3, output=None)
    assert client.flush(DONE)
    context = service.rows["executions"][name]["context"]
    assert context["number"] is None and context["(1, 2)"] == [1, 3] and context["again"] == "…"
    assert (service.rows["executions"][other]["input"], service.rows["executions"][other]["output"]) == ("3", "")
