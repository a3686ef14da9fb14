"""Feedback that comes before the execution it is about: kept, joined, left out until then, also when the two arrive at the same moment.

Belongs here: pending and joined. Not here: feedback whose execution is known (test_identity.py, test_supersession.py).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import pytest

from learning_pipelines.examples.refresh import refresh_examples
from learning_pipelines.feedback.identity import organization_id
from learning_pipelines.feedback.importing import window_now
from learning_pipelines.feedback.kinds import KINDS
from learning_pipelines.feedback.records import Checked, check
from learning_pipelines.feedback.staging import Stager
from learning_pipelines.feedback.statistics import catch_up
from learning_pipelines.storage import ingest, tenants
from learning_pipelines.storage.database import Connection, Database
from learning_pipelines_tests.conftest import START, Load
from learning_pipelines_tests.feedback.rows import AGENT, Row, agent_ref, execution, said, table

OTHER = {"agent": "other"}


@pytest.fixture(autouse=True)
def _agents(load: Load) -> None:
    load("agents", [AGENT, OTHER])


def pending(connection: Connection) -> dict[str, bool]:
    return {row["id"]: row["pending_execution"] for row in table(connection, "agent_feedback")}


def agent_of(connection: Connection, feedback: str) -> UUID:
    (row,) = table(connection, "agent_feedback", f"id = '{feedback}'")
    return UUID(str(row["agent_id"]))


@contextmanager
def open_write(database: Database, kind: str, row: Row) -> Iterator[Connection]:
    """A connection that has stored the row and not yet committed."""
    with database.connect("pipeline", autocommit=False) as connection:
        tenant = organization_id("default")
        checked = check(KINDS[kind], row, window_now(START, dt.UTC))
        assert isinstance(checked, Checked)
        assert ingest.store_batch(connection, tenant, kind, [Stager(tenant, tenants.agent_ids(connection, tenant)).row(1, checked)]) == []
        yield connection


def test_feedback_on_an_unknown_execution_is_kept_when_it_names_its_agent(load: Load, pipeline: Connection) -> None:
    assert load("feedback", [said("f1", "later", agent="desk")]).imported == 1
    assert pending(pipeline) == {"f1": True}


def test_feedback_on_an_unknown_execution_is_refused_without_an_agent(load: Load) -> None:
    result = load("feedback", [said("f1", "later")])
    assert result.errors[0]["field"] == "execution_id"
    assert "'later'" in result.errors[0]["reason"]


def test_refused_feedback_leaves_no_key_so_it_can_come_again(load: Load) -> None:
    load("feedback", [said("f1", "later")])
    load("executions", [execution("later")])
    assert load("feedback", [said("f1", "later")]).imported == 1


def test_feedback_that_names_another_agent_than_its_execution_is_refused(load: Load) -> None:
    load("executions", [execution("e1")])
    error = load("feedback", [said("f1", "e1", agent="other")]).errors[0]
    assert (error["field"], "another agent" in error["reason"]) == ("agent", True)


def test_pending_feedback_is_not_in_force(load: Load, pipeline: Connection) -> None:
    load("feedback", [said("f1", "later", agent="desk")])
    assert table(pipeline, "feedback_in_force") == []


def test_pending_feedback_is_left_out_of_the_metrics(load: Load, pipeline: Connection) -> None:
    load("feedback", [said("f1", "later", agent="desk")])
    catch_up(pipeline, "UTC")
    assert table(pipeline, "feedback_metrics") == []


def test_pending_feedback_makes_no_example(load: Load, pipeline: Connection) -> None:
    load("feedback", [said("f1", "later", agent="desk")])
    assert refresh_examples(pipeline, agent_ref(pipeline)).created == 0


def test_it_joins_when_the_execution_arrives(load: Load, pipeline: Connection) -> None:
    load("feedback", [said("f1", "later", agent="desk"), said("f2", "never", agent="desk")])
    load("executions", [execution("later")])
    assert pending(pipeline) == {"f1": False, "f2": True}


def test_it_makes_its_example_when_the_execution_arrives(load: Load, pipeline: Connection) -> None:
    load("feedback", [said("f1", "later", agent="desk")])
    refresh_examples(pipeline, agent_ref(pipeline))
    load("executions", [execution("later")])
    assert refresh_examples(pipeline, agent_ref(pipeline)).created == 1


def test_its_own_day_is_counted_when_the_execution_arrives_on_another(load: Load, pipeline: Connection) -> None:
    load("feedback", [said("f1", "later", agent="desk", created_at="2026-03-05T08:00:00Z")])
    catch_up(pipeline, "UTC")
    load("executions", [execution("later", created_at="2026-03-02T08:00:00Z")])
    catch_up(pipeline, "UTC")
    counts = {str(row["day"]): (row["executions"], row["feedback"]) for row in table(pipeline, "feedback_metrics")}
    assert counts == {"2026-03-02": (1, 0), "2026-03-05": (0, 1)}


def test_it_takes_the_agent_of_its_execution(load: Load, pipeline: Connection) -> None:
    load("feedback", [said("f1", "later", agent="other")])
    load("executions", [execution("later")])
    assert agent_of(pipeline, "f1") == agent_ref(pipeline).agent_id


@pytest.mark.parametrize("order", [("desk", "other"), ("other", "desk")])
def test_feedback_that_named_the_wrong_agent_makes_one_example_of_the_right_one(load: Load, pipeline: Connection, order: tuple[str, str]) -> None:
    load("feedback", [said("f1", "later", agent="other")])
    load("executions", [execution("later")])
    for agent in order:
        refresh_examples(pipeline, agent_ref(pipeline, agent))
    (example,) = table(pipeline, "learning_examples", "is_active")
    assert example["agent_id"] == agent_ref(pipeline).agent_id
    assert len(table(pipeline, "example_sources")) == 1


def test_pending_feedback_of_one_person_is_superseded_like_any_other(load: Load, pipeline: Connection) -> None:
    load("feedback", [said("f1", "later", agent="desk", user="ada", created_at="2026-03-05T08:00:00Z")])
    load("executions", [execution("later")])
    load("feedback", [said("f2", "later", "thumbs_down", user="ada", created_at="2026-03-06T08:00:00Z")])
    assert {row["id"]: row["facets_in_force"] for row in table(pipeline, "feedback_in_force")} == {"f1": 0, "f2": 1}


def overlapping(database: Database, feedback: Row, first_to_commit: str) -> None:
    """Stores an execution `e1` and a feedback in two transactions that do not see each other."""
    with open_write(database, "executions", execution("e1")) as run, open_write(database, "feedback", feedback) as opinion:
        for connection in (run, opinion) if first_to_commit == "execution" else (opinion, run):
            connection.commit()


@pytest.mark.parametrize("first", ["execution", "feedback"])
def test_an_overlap_of_the_two_is_joined_by_the_refresh(database: Database, pipeline: Connection, first: str) -> None:
    overlapping(database, said("f1", "e1", agent="desk"), first)
    assert pending(pipeline) == {"f1": True}
    assert refresh_examples(pipeline, agent_ref(pipeline)).created == 1
    assert pending(pipeline) == {"f1": False}


def test_an_overlap_is_joined_also_where_the_execution_was_taken_up_before(database: Database, pipeline: Connection) -> None:
    with open_write(database, "executions", execution("e1")) as run, open_write(database, "feedback", said("f1", "e1", agent="desk")) as opinion:
        run.commit()
        refresh_examples(pipeline, agent_ref(pipeline))
        opinion.commit()
    assert refresh_examples(pipeline, agent_ref(pipeline)).created == 1


def test_an_overlap_that_named_the_wrong_agent_reaches_the_right_one(database: Database, pipeline: Connection) -> None:
    overlapping(database, said("f1", "e1", agent="other"), "execution")
    refreshed: dict[str, Any] = {agent: refresh_examples(pipeline, agent_ref(pipeline, agent)).created for agent in ("desk", "other", "desk")}
    assert sum(refreshed.values()) <= 1
    (example,) = table(pipeline, "learning_examples")
    assert example["agent_id"] == agent_ref(pipeline).agent_id


def test_the_day_of_an_overlap_is_counted_again_after_the_join(database: Database, pipeline: Connection) -> None:
    overlapping(database, said("f1", "e1", agent="desk"), "execution")
    catch_up(pipeline, "UTC")
    refresh_examples(pipeline, agent_ref(pipeline))
    catch_up(pipeline, "UTC")
    assert [row["feedback"] for row in table(pipeline, "feedback_metrics")] == [1]
