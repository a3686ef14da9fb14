"""What tests of the archive share: a store with a folder of its own, rows that arrived in an old month, everything brought up to date.

Belongs here: fixtures. Not here: assertions.
"""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from learning_pipelines.examples.refresh import refresh_examples
from learning_pipelines.feedback.archive.archiving import Archived, archive
from learning_pipelines.feedback.archive.returning import Returned, bring_back
from learning_pipelines.feedback.statistics import catch_up
from learning_pipelines.feedback.trust_refresh import refresh_weights
from learning_pipelines.settings import Settings
from learning_pipelines.storage import tenants
from learning_pipelines.storage.database import Connection, Database
from learning_pipelines.storage.store import Store
from learning_pipelines_tests.conftest import Load
from learning_pipelines_tests.feedback.rows import AGENT, Row, execution, said, table

MARCH, APRIL = dt.date(2025, 3, 1), dt.date(2025, 4, 1)
NOW = dt.datetime(2025, 11, 10, tzinfo=dt.UTC)
"""March and April of that year lie before the retention's end."""
Arrived = Callable[..., None]


@pytest.fixture
def store(database: Database, tmp_path: Path) -> Store:
    return Store(Settings(home=tmp_path / "home", timezone="Europe/Berlin", duplicate_cosine=None), database)


@pytest.fixture
def arrived(database: Database, pipeline: Connection, load: Load) -> Arrived:
    """`arrived(month, executions=[…], feedback=[…], organization=…)` imports rows as if they had arrived in the middle of that month."""
    return functools.partial(arrive, database, pipeline, load)


def arrive(
    database: Database, connection: Connection, load: Callable[..., Any], month: dt.date,
    executions: Sequence[Row] = (), feedback: Sequence[Row] = (), organization: str = "default",
) -> None:  # fmt: skip
    """Imports rows as if they had arrived in the middle of a month."""
    at = dt.datetime.combine(month, dt.time(12), dt.UTC) + dt.timedelta(days=14)
    with database.connect("owner") as owner:
        for name in ("agent_executions", "agent_feedback"):
            owner.execute("SELECT learning.make_partitions(%s, %s, 1)", [name, month])
    for kind, rows, name in (("executions", executions, "agent_executions"), ("feedback", feedback, "agent_feedback")):
        if not rows:
            continue
        load(kind, [{"created_at": at.isoformat(), **row} for row in rows], organization)
        ids = [row.get("execution_id" if kind == "executions" else "feedback_id") for row in rows]
        own = "organization_id = learning.organization_id(%s)"
        connection.execute(f"UPDATE {name} SET received_at = %s WHERE {own} AND id = ANY(%s)", [at, organization, ids])  # type: ignore[arg-type]
        connection.execute(
            f"UPDATE ingest_keys SET received_at = %s WHERE {own} AND kind = %s AND external_id = ANY(%s)",  # type: ignore[arg-type]
            [at, organization, kind, ids],
        )
        connection.execute(f"UPDATE outbox SET received_at = %s WHERE {own} AND row_id = ANY(%s)", [at, organization, ids])  # type: ignore[arg-type]


@pytest.fixture
def desk(load: Load) -> None:
    load("agents", [AGENT])


@pytest.fixture
def march(desk: None, arrived: Arrived) -> None:
    """Two executions with what ada and bob said about the first, and a change of ada's mind."""
    arrived(
        MARCH, [execution("e1", user="ada", latency_ms=0.1, tags=["vat", "ü"], context={"a": [1, None]}), execution("e2", user="bob", cost_usd=1e-7)],
        [said("f1", "e1", "thumbs_up", user="ada", created_at="2025-03-15T12:01:00Z"),
         said("f2", "e1", "thumbs_down", user="ada", created_at="2025-03-16T12:00:00Z"),
         said("f3", "e1", "correction", user="bob", correction_text="Ünlike “that”", rating=2, issue_categories=["incorrect", "tone"])],
    )  # fmt: skip


def up_to_date(store: Store) -> Returned:
    """What every job does first, as far as executions and feedback are concerned."""
    with store.pipeline() as connection:
        returned = bring_back(store, connection)
        for agent in tenants.agents(connection):
            refresh_examples(connection, agent)
        refresh_weights(connection, store.settings.timezone)
        catch_up(connection, store.settings.timezone)
    return returned


def clean_up(store: Store, **options: Any) -> Archived:
    """Brings up to date and archives what is due at NOW."""
    up_to_date(store)
    return archive(store, now=NOW, **options)


def metrics(connection: Connection) -> list[Row]:
    """The daily metrics but for the moment of their computation."""
    rows = [{name: value for name, value in row.items() if name != "computed_at"} for row in table(connection, "feedback_metrics")]
    return sorted(rows, key=lambda row: (str(row["organization_id"]), row["day"]))


def computed_again(store: Store) -> list[Row]:
    """The daily metrics of that year, every day computed anew."""
    from learning_pipelines.storage.metrics import compute_days

    with store.pipeline() as connection:
        compute_days(connection, dt.date(2025, 1, 1), dt.date(2025, 12, 31), store.settings.timezone)
        return metrics(connection)
