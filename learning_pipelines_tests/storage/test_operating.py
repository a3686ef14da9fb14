"""The numbers of the whole installation: what waits, rates without evidence, and the row they are kept in; one scheduler for one database.

Belongs here: storage/operating.py, storage/scheduler_lock.py. Not here: Dagster's numbers (defs/test_operating.py), /metrics (api/test_operating.py).
"""

from __future__ import annotations

import datetime as dt

import psycopg
import pytest

from learning_pipelines.errors import Unavailable
from learning_pipelines.feedback import statistics
from learning_pipelines.storage import operating
from learning_pipelines.storage.database import Connection, Database
from learning_pipelines.storage.operating import Sample
from learning_pipelines.storage.scheduler_lock import only_scheduler
from learning_pipelines.storage.sessions import Acting, act_as
from learning_pipelines_tests.conftest import Load
from learning_pipelines_tests.feedback.rows import AGENT, execution, said

TODAY = dt.datetime.now(dt.UTC).date()


def values(connection: Connection) -> dict[tuple[str, str], float]:
    return {(one.name, one.labels.get("days", "")): one.value for one in operating.samples(connection, TODAY)}


def test_an_empty_installation_has_counts_of_nought_and_no_rate(pipeline: Connection) -> None:
    found = values(pipeline)
    assert (found["annotation_queue", ""], found["outbox_entries", ""], found["executions", "7"], found["llm_cost_usd", "1"]) == (0, 0, 0, 0)
    assert not {name for name, _ in found} & {"feedback_rate", "satisfaction", "rating_mean", "correction_rate"}


def test_rates_are_those_of_all_organizations_together(pipeline: Connection, load: Load) -> None:
    for organization, thumb in (("ours", "thumbs_up"), ("theirs", "thumbs_down")):
        load("agents", [AGENT], organization)
        load("executions", [execution("e1"), execution("e2")], organization)
        load("feedback", [said("f1", "e1", thumb)], organization)
    statistics.catch_up(pipeline, "UTC", None)
    found = values(pipeline)
    assert (found["executions", "1"], found["feedback", "1"], found["feedback_rate", "7"], found["satisfaction", "7"]) == (4, 2, 0.5, 0.5)


def test_what_waits_is_counted_for_one_organization_too(pipeline: Connection, load: Load) -> None:
    for organization, count in (("ours", 1), ("theirs", 3)):
        load("agents", [AGENT], organization)
        load("executions", [execution(f"e{number}") for number in range(count)], organization)
        load("examples", [{"example_id": "x", "agent": AGENT["agent"], "input_text": "VAT?", "expected_output": "Form 7."}], organization)
    assert (operating.waiting(pipeline, "ours").outbox, operating.waiting(pipeline).outbox) == (1, 4)
    everything = operating.waiting(pipeline)
    assert (operating.waiting(pipeline, "ours").annotations, everything.annotations) == (1, 2)
    assert everything.outbox_oldest >= 0 and everything.annotations_oldest >= 0


def test_the_newest_numbers_replace_those_before(pipeline: Connection) -> None:
    assert operating.read(pipeline) is None
    for value in (1.0, 2.0):
        operating.write(pipeline, [Sample("runs_failed", value, {"job": "cleanup"})])
    found = operating.read(pipeline)
    assert found is not None and found[0] == [Sample("runs_failed", 2.0, {"job": "cleanup"})] and 0 <= found[1] < 60


def test_no_organization_sees_the_row_of_all(database: Database, pipeline: Connection, load: Load) -> None:
    load("agents", [AGENT], "ours")
    operating.write(pipeline, [])
    with database.connect("api") as connection, connection.transaction():
        row = pipeline.execute("SELECT organization_id FROM organizations").fetchone()
        assert row is not None
        act_as(connection, Acting(row[0], role="admin", application=True))
        assert connection.execute("SELECT count(*) FROM operating_numbers").fetchone() == (0,)
    with database.connect("api") as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("SELECT * FROM operating_numbers")


def test_of_one_database_there_is_one_scheduler_whichever_machine_starts_it(database: Database) -> None:
    with only_scheduler(database), pytest.raises(Unavailable, match="there may be one only"), only_scheduler(database):
        pass
    with only_scheduler(database):
        pass
