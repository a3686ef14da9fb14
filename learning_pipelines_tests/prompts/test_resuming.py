"""A search that was killed goes on where it was, and nothing is paid twice.

Belongs here: kill -9 in mid-search, budgets that end, endpoints that die; a real process, database and HTTP. Not here: the model's client (test_llm.py).
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from typing import Any
from uuid import UUID

import pytest

from learning_pipelines.llm_budget import Budget
from learning_pipelines.llm_errors import EndpointDown
from learning_pipelines.prompts.results import Entry, SearchResult
from learning_pipelines.storage.database import Connection, Database
from learning_pipelines.storage.llm_cache import DatabaseCache
from learning_pipelines_tests.fake_endpoint import FakeEndpoint, refuses, says, waits_for
from learning_pipelines_tests.prompts.searching import QUESTION, run
from learning_pipelines_tests.prompts.worlds import INTENTS, WORDS

KILLED_AT = 60


def answers(handler: Any, body: dict[str, Any]) -> None:
    """Mostly like the demonstration with most of the customer's words in common; rewrites an instruction into one that depends on the question."""
    *before, last = (message["content"] for message in body["messages"])
    number = int(hashlib.sha256(json.dumps(body["messages"]).encode()).hexdigest(), 16)
    if last.startswith(QUESTION):
        says(f"```\nName the intent, by rule {number % 1000}.\n```")(handler, body)
        return
    known = {word for words in WORDS.values() for word in words.split()}
    shown = [(len(set(text.split()) & set(last.split()) & known), label) for text, label in pairwise(before) if label in INTENTS]
    says(max(shown)[1] if shown and max(shown)[0] and number % 7 else INTENTS[number % len(INTENTS)])(handler, body)


@pytest.fixture
def endpoint() -> Iterator[FakeEndpoint]:
    fake = FakeEndpoint()
    fake.always = answers
    with fake.running():
        yield fake


@pytest.fixture
def here(pipeline: Connection) -> UUID:
    row = pipeline.execute("INSERT INTO organizations (organization_id, slug) VALUES (learning.organization_id('here'), 'here') RETURNING organization_id")
    return UUID(str(row.fetchone()[0]))  # type: ignore[index]


def told(result: SearchResult) -> tuple[str, float, tuple[Entry, ...], int, int, str]:
    """What a search came to, without the time it took and where its answers came from."""
    return result.winner.candidate.name, result.winner.score, result.rounds, result.evaluations, result.reflections, result.stopped


def paid(endpoint: FakeEndpoint) -> Counter[str]:
    return Counter(json.dumps(body, sort_keys=True) for body in endpoint.requests)


def test_killed_in_mid_search_and_run_again_it_comes_to_the_same_and_pays_nothing_twice(
    database: Database, pipeline: Connection, here: UUID, endpoint: FakeEndpoint
) -> None:
    undisturbed = run(endpoint.base_url, None)
    cost, _ = len(endpoint.requests), endpoint.requests.clear()
    assert undisturbed.calls > KILLED_AT and undisturbed.reflections > 0 and len(undisturbed.rounds) >= 8

    never = threading.Event()
    endpoint.replies.extend([answers] * KILLED_AT + [waits_for(never, answers)])
    script = [sys.executable, "-m", "learning_pipelines_tests.prompts.searching", database.role_urls["pipeline"], str(here), endpoint.base_url]
    with subprocess.Popen(script, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}) as process:
        while len(endpoint.requests) <= KILLED_AT:
            assert process.poll() is None
            never.wait(0.02)
        process.send_signal(signal.SIGKILL)
    never.set()
    unanswered = endpoint.requests.pop()

    again = run(endpoint.base_url, DatabaseCache(pipeline, here))
    assert told(again) == told(undisturbed)
    assert max(paid(endpoint).values()) == 1 and json.dumps(unanswered, sort_keys=True) in paid(endpoint)
    assert len(endpoint.requests) == cost
    assert again.cached_evaluations + again.cached_reflections == KILLED_AT


def test_where_the_money_ends_the_best_so_far_is_the_result_and_a_rerun_goes_on(pipeline: Connection, here: UUID, endpoint: FakeEndpoint) -> None:
    cache = DatabaseCache(pipeline, here)
    cut = run(endpoint.base_url, cache, Budget(calls=90))
    assert re.search("budget of this run is used up: 90 of 90 calls", cut.stopped) and len(endpoint.requests) == 90
    whole = run(endpoint.base_url, cache)
    assert whole.cached_evaluations + whole.cached_reflections == 90 and max(paid(endpoint).values()) == 1
    assert cut.winner.score > cut.incumbent.score and whole.evaluations > cut.evaluations


def test_an_endpoint_that_dies_half_way_ends_the_search_with_its_cause(pipeline: Connection, here: UUID, endpoint: FakeEndpoint) -> None:
    cache = DatabaseCache(pipeline, here)
    endpoint.replies.extend([answers] * 40)
    endpoint.always = refuses(503)
    with pytest.raises(EndpointDown):
        run(endpoint.base_url, cache)
    endpoint.always = answers
    assert run(endpoint.base_url, cache).cached_evaluations >= 30
