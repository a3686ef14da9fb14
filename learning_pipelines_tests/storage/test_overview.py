"""How much there is of what people write, as the sensor that looks every minute sees it.

Belongs here: counting, estimating, the newest arrival. Not here: who looks and how often (defs/test_sensor.py).
"""

from __future__ import annotations

import datetime as dt

import psycopg
import pytest

from learning_pipelines.storage import overview
from learning_pipelines.storage.database import Connection, Database
from learning_pipelines_tests.conftest import Load
from learning_pipelines_tests.feedback.rows import AGENT, execution


def seen(connection: Connection) -> dict[str, tuple[int, dt.datetime | None]]:
    return {one.name: (one.rows, one.last) for one in overview.written(connection)}


@pytest.mark.parametrize("moved", ["0 days", "40 days"])
def test_many_rows_are_estimated_and_the_newest_is_found_in_whatever_month_it_is(
    moved: str, load: Load, database: Database, pipeline: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    load("agents", [AGENT])
    load("executions", [execution(f"e{number}") for number in range(30)])
    with psycopg.connect(database.admin_url, autocommit=True) as owner:
        owner.execute("UPDATE learning.agent_executions SET received_at = received_at - %s::interval", [moved])
        exact = seen(pipeline)
        owner.execute("DELETE FROM learning.agent_executions WHERE id = 'e1'")
        owner.execute("ANALYZE")  # every table: autovacuum may know of rows that an earlier test had
        owner.execute("DELETE FROM learning.agent_executions WHERE id = 'e2'")
        monkeypatch.setattr(overview, "EXACT_UP_TO", 10)
        estimated = seen(pipeline)
        assert exact["agent_executions"][0] == 30 and estimated["agent_executions"] == (29, exact["agent_executions"][1])
        assert {name: found for name, found in estimated.items() if name != "agent_executions"} == {
            name: found for name, found in exact.items() if name != "agent_executions"
        }
        monkeypatch.setattr(overview, "EXACT_UP_TO", 1_000_000)
        assert seen(pipeline)["agent_executions"][0] == 28


def test_in_an_empty_table_nothing_is_the_newest(pipeline: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overview, "EXACT_UP_TO", -1)
    assert {last for _, last in seen(pipeline).values()} == {None}
