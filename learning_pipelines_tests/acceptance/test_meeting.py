"""A test from plan to verdict in a real database: α is spent before a look, once per comparison, and verdicts follow from what is kept."""

from __future__ import annotations

import threading
from typing import Any
from uuid import UUID, uuid4

import pytest

from learning_pipelines.acceptance.alpha import TOTAL
from learning_pipelines.acceptance.gate import Rules, Verdict
from learning_pipelines.acceptance.meeting import audit, conclude, concluded, guards, next_plan, reserve
from learning_pipelines.errors import BadInput, LearningError
from learning_pipelines.storage import acceptance as storage
from learning_pipelines.storage.acceptance import Reservation
from learning_pipelines.storage.database import Connection, Database
from learning_pipelines.storage.tenants import AgentRef, agents
from learning_pipelines_tests.conftest import Load

ITEMS = [f"e{number}" for number in range(60)]
OLD, NEW = {"version": 1}, {"content_hash": "ab12"}


@pytest.fixture
def agent(pipeline: Connection, load: Load) -> AgentRef:
    load("agents", [{"agent": "desk"}, {"agent": "other"}])
    return next(each for each in agents(pipeline) if each.agent == "desk")


def run_of(connection: Connection, agent: AgentRef) -> UUID:
    run = uuid4()
    connection.execute(
        "INSERT INTO training_runs (organization_id, id, agent_id, training_type) VALUES (%s, %s, %s, 'prompt_optimization')",
        [agent.organization_id, run, agent.agent_id],
    )
    return run


def meet(connection: Connection, agent: AgentRef, items: list[str] = ITEMS, kind: str = "prompt", **named: Any) -> Reservation:
    return reserve(connection, agent, kind, items, **({"candidate": NEW, "incumbent": OLD} | named))


def clear_gain(items: list[str] = ITEMS) -> dict[str, tuple[float, float]]:
    return {item: (0.0, 1.0) if number % 2 else (1.0, 1.0) for number, item in enumerate(items)}


def test_a_level_is_spent_by_reserving_and_the_verdict_is_kept_with_its_items(pipeline: Connection, agent: AgentRef) -> None:
    test = meet(pipeline, agent)
    assert (test.k, test.alpha, test.verdict, concluded(test)) == (1, TOTAL / 2, None, None)
    evidence = conclude(pipeline, agent, test, clear_gain(), Rules())
    assert evidence.verdict is Verdict.BETTER
    (kept,) = storage.tests(pipeline, agent)
    assert (kept.verdict, concluded(kept)) == ("better", evidence)
    assert [each.candidate for each in storage.item_scores(pipeline, agent, test.id)] == [1.0] * 60


def test_each_further_test_on_linked_items_has_less_and_fresh_items_start_again(pipeline: Connection, agent: AgentRef) -> None:
    assert [meet(pipeline, agent).k, meet(pipeline, agent, ["e0", "new"]).k, meet(pipeline, agent, ["new"]).k] == [1, 2, 3]
    assert [meet(pipeline, agent, ["fresh"]).k, meet(pipeline, agent, ["fresh", "e59"]).k] == [1, 5]
    assert meet(pipeline, agent, kind="policy").k == 1
    other = next(each for each in agents(pipeline) if each.agent == "other")
    assert meet(pipeline, other).k == 1


def test_a_run_that_died_after_looking_has_spent_its_level(pipeline: Connection, agent: AgentRef) -> None:
    assert meet(pipeline, agent, training_run_id=run_of(pipeline, agent)).k == 1
    assert meet(pipeline, agent, training_run_id=run_of(pipeline, agent)).k == 2


def test_a_run_that_resumes_gets_its_own_test_back_with_its_verdict(pipeline: Connection, agent: AgentRef) -> None:
    run = run_of(pipeline, agent)
    first = meet(pipeline, agent, training_run_id=run)
    assert meet(pipeline, agent, list(reversed(ITEMS)), training_run_id=run) == first
    evidence = conclude(pipeline, agent, first, clear_gain(), Rules())
    again = meet(pipeline, agent, training_run_id=run)
    assert (again.id, concluded(again)) == (first.id, evidence)


@pytest.mark.parametrize("changed", [{"candidate": {"content_hash": "cd34"}}, {"incumbent": {"version": 2}}, {"items": ITEMS[:-1]}])
def test_a_run_that_compares_something_else_has_a_new_test(pipeline: Connection, agent: AgentRef, changed: dict[str, Any]) -> None:
    run = run_of(pipeline, agent)
    meet(pipeline, agent, training_run_id=run)
    assert meet(pipeline, agent, training_run_id=run, **changed).k == 2


def test_runs_at_the_same_time_never_share_a_level(database: Database, pipeline: Connection, agent: AgentRef) -> None:
    found: list[int] = []
    start = threading.Barrier(6)

    def reserve_one() -> None:
        with database.connect("pipeline") as connection:
            start.wait()
            found.append(meet(connection, agent).k)

    threads = [threading.Thread(target=reserve_one) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [1, 2, 3, 4, 5, 6]


def test_a_level_cannot_be_spent_in_a_transaction_that_may_be_rolled_back(pipeline: Connection, agent: AgentRef) -> None:
    with pytest.raises(LearningError, match="inside a transaction"), pipeline.transaction():
        meet(pipeline, agent)
    assert storage.tests(pipeline, agent) == []


@pytest.mark.parametrize("items", [[], ["e0", "e0"]])
def test_a_test_without_items_or_with_one_twice_is_refused(pipeline: Connection, agent: AgentRef, items: list[str]) -> None:
    with pytest.raises(BadInput, match="each once"):
        meet(pipeline, agent, items)


def test_a_test_is_finished_once_and_with_exactly_its_items(pipeline: Connection, agent: AgentRef) -> None:
    test = meet(pipeline, agent)
    for scores in (clear_gain(ITEMS[:-1]), clear_gain([*ITEMS, "more"])):
        with pytest.raises(BadInput, match="1 of the scored items"):
            conclude(pipeline, agent, test, scores, Rules())
    with pytest.raises(BadInput, match="from 0 to 1"):
        conclude(pipeline, agent, test, clear_gain() | {"e0": (0.0, float("nan"))}, Rules())
    assert storage.tests(pipeline, agent)[0].verdict is None
    conclude(pipeline, agent, test, clear_gain(), Rules())
    with pytest.raises(LearningError, match="already has its verdict: better"):
        conclude(pipeline, agent, test, dict.fromkeys(ITEMS, (1.0, 0.0)), Rules())
    with pytest.raises(LearningError, match="no reserved test"):
        storage.finish_test(pipeline, agent, uuid4(), {}, verdict="better", evidence={})


def test_a_stored_verdict_follows_from_its_stored_items_or_the_audit_says_what_does_not(pipeline: Connection, agent: AgentRef) -> None:
    test = meet(pipeline, agent)
    with pytest.raises(LearningError, match="no verdict yet"):
        audit(pipeline, agent, test)
    conclude(pipeline, agent, test, {item: (0.3 + 0.001 * number, 0.9) for number, item in enumerate(ITEMS)}, Rules())
    assert audit(pipeline, agent, storage.tests(pipeline, agent)[0]) == []
    pipeline.execute("UPDATE acceptance_test_items SET candidate_score = 0 WHERE example_id = 'e7'")
    assert {"losses", "difference", "low"} <= set(audit(pipeline, agent, storage.tests(pipeline, agent)[0]))
    pipeline.execute("UPDATE acceptance_test_items SET candidate_score = 0.9 WHERE example_id = 'e7'")
    pipeline.execute("UPDATE acceptance_tests SET verdict = 'worse', alpha = 0.02")
    assert audit(pipeline, agent, storage.tests(pipeline, agent)[0]) == ["verdict", "alpha"]


def test_the_plan_of_the_next_test_reckons_with_the_level_it_would_have(pipeline: Connection, agent: AgentRef) -> None:
    assert next_plan(pipeline, agent, "prompt", ITEMS, Rules()).enough
    meet(pipeline, agent)
    later = next_plan(pipeline, agent, "prompt", ITEMS, Rules())
    assert (later.k, later.needed, later.missing_items, later.missing_examples) == (2, 67, 7, 24)
    assert next_plan(pipeline, agent, "prompt", [], Rules()).missing_examples == 180


def test_guards_are_kept_with_the_evidence_and_computed_again_from_the_items(pipeline: Connection, agent: AgentRef) -> None:
    test = meet(pipeline, agent, kind="index")
    scores = {item: (0.5, 0.45 if number < 25 else 1.0) for number, item in enumerate(ITEMS)}
    slices = {"new": set(ITEMS[:25]), "old": set(ITEMS[25:])}
    evidence = conclude(pipeline, agent, test, scores, Rules(), slices=slices, outside={"general": [(0.4, 0.4 + number % 2 / 10) for number in range(30)]})
    assert evidence.verdict is Verdict.NO_EVIDENCE and "But it harms: new (25 items) by 0.050" in evidence.reason
    (kept,) = storage.tests(pipeline, agent)
    assert concluded(kept) == evidence
    assert [(one.name, one.n, one.state) for one in guards(kept)] == [("general", 30, "clear"), ("new", 25, "fired"), ("old", 35, "clear")]
    assert [each.slices for each in storage.item_scores(pipeline, agent, test.id)[:1]] == [("new",)]
    assert audit(pipeline, agent, kept) == []
    pipeline.execute("UPDATE acceptance_test_items SET slices = '{old}' WHERE example_id = 'e0'")
    assert audit(pipeline, agent, kept) == ["reason", "guard new", "guard old"]
    pipeline.execute("UPDATE acceptance_test_items SET candidate_score = 1, slices = '{new}' WHERE 'new' = ANY (slices) OR example_id = 'e0'")
    assert {"verdict", "guard new"} <= set(audit(pipeline, agent, kept))


def test_a_part_that_is_harmed_is_refused_and_one_that_is_not_lets_pass(pipeline: Connection, agent: AgentRef) -> None:
    passing = conclude(pipeline, agent, meet(pipeline, agent), clear_gain(), Rules(), slices={"all": set(ITEMS)})
    assert passing.verdict is Verdict.BETTER
