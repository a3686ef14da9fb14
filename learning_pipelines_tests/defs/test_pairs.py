"""Retrieval feedback through Dagster: pairs, relevance, their checks, and the sensor that asks for them and for training.

Belongs here: the job pairs_refresh and the sensor on a real database. Not here: what becomes a pair (retrieval/test_pairs.py).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dagster as dg
import pytest

from learning_pipelines.defs import sensors
from learning_pipelines.feedback.privacy import EMAIL_PATTERN
from learning_pipelines.settings import Settings
from learning_pipelines.storage import pair_checks
from learning_pipelines.storage.database import Connection, Database
from learning_pipelines.storage.store import Store
from learning_pipelines.storage.tenants import keep_settings
from learning_pipelines_tests.conftest import Load
from learning_pipelines_tests.defs.conftest import Materialize, checks_of, metadata_of
from learning_pipelines_tests.retrieval.judging import World, world

Tick = Callable[..., Any]
TOPICS = 10


@pytest.fixture
def desk(pipeline: Connection, load: Load) -> World:
    made = world(pipeline, load)
    made.documents({f"d{number}": f"All about topic number {number}." for number in range(TOPICS)})
    return made


def say(desk: World, word: str = "tell me about") -> None:
    desk.say(*({"query": f"{word} {n * 7919} and {n * 104729}", "retrieved": [f"d{(n + 1) % TOPICS}", f"d{n}"], "relevant": [f"d{n}"]} for n in range(TOPICS)))


@pytest.fixture
def tick(database: Database, instance: dg.DagsterInstance, store: Store) -> Tick:
    def evaluate(cursor: str | None = None, least: int = 1_000) -> Any:
        one = Store(Settings(home=store.settings.home, rag_min_pairs=least, duplicate_cosine=None), database)
        return sensors.training_pairs_ready(dg.build_sensor_context(instance=instance, cursor=cursor, resources={"store": one}))

    return evaluate


def asked(result: Any) -> list[tuple[str, str]]:
    return [] if isinstance(result, dg.SkipReason) else [(one.job_name, str(one.partition_key)) for one in result.run_requests]


def test_pairs_and_relevance_are_made_and_their_checks_hold(desk: World, run_job: Materialize) -> None:
    say(desk)
    result = run_job("pairs_refresh", "default/help")
    assert result.success and set(checks_of(result).values()) == {True} and len(checks_of(result)) == 5
    shown = metadata_of(result, "embedding_training_pairs")
    assert (shown["pairs_positive"], shown["pairs_negative"], shown["new_in_7_days"]) == (5, 5, 2 * TOPICS)
    assert (shown["train"], shown["validation"], shown["test"], shown["questions_without_vectors"]) == (5, 2, 3, 5)
    assert metadata_of(result, "chunk_relevance")["fitted"] is True


@pytest.mark.parametrize(
    ("change", "broken"),
    [
        ("UPDATE retrieval_queries SET split = 'test' WHERE id = (SELECT min(query_id) FROM embedding_training_pairs)", "only_train_teaches"),
        ("UPDATE retrieval_queries SET people = '{x}'", "questions_disjoint"),
        ("UPDATE embedding_training_pairs SET label = 'negative' WHERE label = 'positive'", "no_false_negatives"),
        ("UPDATE embedding_training_pairs SET query = 'ask jane.roe@example.com'", "no_raw_email_in_pairs"),
    ],
)
def test_whatever_breaks_the_promise_shows(desk: World, run_job: Materialize, change: str, broken: str) -> None:
    say(desk)
    run_job("pairs_refresh", "default/help")
    desk.connection.execute(change)  # type: ignore[call-overload]
    found = pair_checks.faults(desk.connection, desk.agent, EMAIL_PATTERN)
    counts = {
        "questions_disjoint": found.straddling, "only_train_teaches": found.untaught + found.held_out, "no_false_negatives": found.false_negatives,
        "no_raw_email_in_pairs": found.raw_emails,
    }  # fmt: skip
    assert counts[broken] > 0 and {name for name, count in counts.items() if count} == {broken}


def test_retrieval_feedback_asks_for_the_pairs_of_its_agent_once(desk: World, tick: Tick) -> None:
    assert asked(tick()) == []
    say(desk)
    first = tick()
    assert asked(first) == [("pairs_refresh", "default/help")]
    assert asked(tick(first.cursor)) == []


def test_feedback_of_no_agent_asks_for_every_agent_of_its_organization(desk: World, tick: Tick, load: Load) -> None:
    load("agents", [{"agent": "other"}])
    load("retrieval_feedback", [{"query": "anything?", "relevant": ["d1"]}])
    assert asked(tick()) == [("pairs_refresh", "default/help"), ("pairs_refresh", "default/other")]


def test_enough_new_pairs_ask_for_training_until_a_training_began_with_them(desk: World, tick: Tick, run_job: Materialize) -> None:
    say(desk)
    run_job("pairs_refresh", "default/help")
    cursor = tick().cursor
    assert asked(tick(cursor, least=2 * TOPICS + 1)) == []
    assert asked(tick(cursor, least=2 * TOPICS)) == [("rag_training", "default/help")]
    keep_settings(desk.connection, "default", {"rag_min_pairs": 3})
    assert asked(tick(cursor)) == [("rag_training", "default/help")]
    desk.connection.execute(
        "INSERT INTO training_runs (organization_id, agent_id, training_type) VALUES (%s, %s, 'rag_tuning')", [desk.agent.organization_id, desk.agent.agent_id]
    )
    assert asked(tick(cursor, least=2 * TOPICS)) == []


def test_an_agent_that_may_not_learn_asks_for_nothing(desk: World, tick: Tick, run_job: Materialize) -> None:
    say(desk)
    run_job("pairs_refresh", "default/help")
    desk.connection.execute("UPDATE agents SET learning_enabled = false")
    assert asked(tick(tick().cursor, least=1)) == []
