"""What whoever approves an example sees of its sources: who said it, when, and how far that person is trusted.

Belongs here: provenance as read by both roles. Not here: how weights come about (feedback/test_trust*.py).
"""

from __future__ import annotations

import datetime as dt

import pytest

from learning_pipelines.examples.refresh import refresh_examples
from learning_pipelines.feedback.identity import organization_id
from learning_pipelines.storage.database import Connection, Database
from learning_pipelines.storage.provenance import Source, provenance
from learning_pipelines_tests.conftest import Load
from learning_pipelines_tests.feedback.rows import AGENT, agent_ref, execution, said, table

SAID = "2026-03-02T08:00:00Z"
SAID_AT = dt.datetime(2026, 3, 2, 8, tzinfo=dt.UTC)


@pytest.fixture(autouse=True)
def _ground(load: Load) -> None:
    for organization in ("default", "other"):
        load("agents", [AGENT], organization)
        load("executions", [execution("e1", user="asker")], organization)


def example_of(load: Load, connection: Connection, *feedback: dict[str, object], organization: str = "default") -> str:
    load("feedback", feedback, organization)
    refresh_examples(connection, agent_ref(connection, organization=organization))
    (row,) = table(connection, "learning_examples", f"organization_id = '{organization_id(organization)}'")
    return str(row["id"])


def weigh(connection: Connection, user: str, weight: float, flags: list[str]) -> None:
    connection.execute(
        """INSERT INTO rater_weights (organization_id, user_id, weight, flags, ratings, rules)
        SELECT organization_id, id, %s, %s, 1, 'test' FROM users WHERE external_id = %s""",
        [weight, flags, user],
    )


def test_it_names_every_source_its_rater_and_weight(load: Load, pipeline: Connection) -> None:
    ada, unknown = (said("f1", "e1", user="ada", created_at=SAID), said("f2", "e1", created_at="2026-03-02T09:00:00Z"))
    example = example_of(load, pipeline, ada, unknown)
    weigh(pipeline, "ada", 0.05, ["lockstep"])
    assert provenance(pipeline, [example], organization_id("default")) == [
        Source(example, "f1", "e1", "ada", 0.05, ("lockstep",), SAID_AT),
        Source(example, "f2", "e1", None, None, (), SAID_AT + dt.timedelta(hours=1)),
    ]


def test_an_example_that_came_in_whole_has_no_sources(load: Load, pipeline: Connection) -> None:
    load("examples", [{"example_id": "x1", "agent": "desk", "input_text": "Which form?", "expected_output": "Form 1."}])
    assert provenance(pipeline, ["x1"]) == []


def test_the_api_reads_its_own_organization_only(load: Load, database: Database, pipeline: Connection) -> None:
    ours = example_of(load, pipeline, said("f1", "e1", user="ada", created_at=SAID))
    theirs = example_of(load, pipeline, said("f1", "e1", user="bob", created_at=SAID), organization="other")
    with database.connect("api", autocommit=False) as api:
        for name, value in (("organization_id", organization_id("default")), ("role", "expert")):
            api.execute("SELECT set_config(%s, %s, true)", [f"app.current_{name}", str(value)])
        assert [source.user for source in provenance(api, [ours, theirs])] == ["ada"]
        api.rollback()
