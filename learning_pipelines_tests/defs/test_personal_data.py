"""Raw personal data stays where people put it: a whole run with planted values, then a walk over every column of every table.

Belongs here: the walk. Not here: what the rules find (feedback/test_privacy*.py), the checks of the asset (defs/test_examples.py).
"""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest

from learning_pipelines.definitions import defs
from learning_pipelines.settings import Settings
from learning_pipelines.storage.database import Connection, Database
from learning_pipelines.storage.store import Store
from learning_pipelines_tests.conftest import Load
from learning_pipelines_tests.feedback.rows import AGENT, execution, said

SOURCES = {"agent_executions", "agent_feedback", "demonstrations", "documents", "retrieval_events"}
"""Where raw text lives, under row-level security and retention; chunks of documents belong to them."""

PLANTED = {
    "mail": "jo.thornbury@planted.example",
    "phone": "+44 20 7946 0958",
    "iban": "DE89 3704 0044 0532 0130 00",
    "card": "4111 1111 1111 1111",
    "tax": "Steuer-ID 46272661805",
    "social": "SSN 219-09-9998",
    "address": "203.0.113.77",
    "person": "Olivia Thornbury",
}
EVERYTHING = ", ".join(PLANTED.values())
NEEDLES = [value.removeprefix("Steuer-ID ").removeprefix("SSN ") for value in PLANTED.values()] + ["Thornbury"]
DESK = "default/desk"


def rows_of_everything(load: Load) -> None:
    """Every kind that takes free text, with the planted values wherever a person can write."""
    load("agents", [AGENT])
    context = {"note": EVERYTHING, "deep": [{"who": PLANTED["person"]}]}
    load("executions", [execution(f"e{i}", user="ada") | {"input": f"{i}: {EVERYTHING}", "output": EVERYTHING, "tags": [EVERYTHING]} for i in range(4)])
    load(
        "feedback",
        [
            said("f0", "e0", "correction", user="ada", correction_text=f"Dear Ms Thornbury, {EVERYTHING}", feedback_text=EVERYTHING, task_context=context),
            said("f1", "e1", user="ada", feedback_text=EVERYTHING),
            said("f2", "e2", "thumbs_down", user="bob", feedback_text=EVERYTHING),
            said("f3", "e3", "report_issue", user="bob", issue_categories=["incorrect"], feedback_text=EVERYTHING),
        ],
    )
    load("examples", [{
        "example_id": "x1", "agent": "desk", "input_text": EVERYTHING, "expected_output": EVERYTHING, "original_output": "Hm.", "output_a": EVERYTHING,
        "output_b": EVERYTHING, "preferred_output": "A", "input_context": context, "tags": [PLANTED["mail"]], "domain": PLANTED["person"],
        "task_type": PLANTED["phone"], "jurisdictions": [PLANTED["card"]], "review_status": "approved",
    }])  # fmt: skip
    load("demonstrations", [{
        "demonstration_id": "d1", "agent": "desk", "task_description": EVERYTHING, "actions": [{"type": "reply", "arguments": context}],
        "final_output": EVERYTHING, "reasoning": EVERYTHING, "input_state": context, "task_type": PLANTED["mail"],
    }])  # fmt: skip
    load("documents", [{"document_id": "k1", "text": EVERYTHING, "title": EVERYTHING}])
    load("retrieval_feedback", [{"query": EVERYTHING, "agent": "desk", "retrieved": ["k1"], "relevant": ["k1"]}])


def columns(connection: Connection) -> list[tuple[str, str]]:
    """Every column that can hold text, of every table that is no partition."""
    rows = connection.execute(
        """SELECT c.relname, a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        JOIN pg_type t ON t.oid = a.atttypid
        WHERE c.relnamespace = 'learning'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relname <> 'alembic_version'
          AND t.typname IN ('text', 'varchar', 'jsonb', 'json', '_text', 'bytea') ORDER BY 1, 2"""
    ).fetchall()
    return [(str(table), str(column)) for table, column in rows]


def leaks(connection: Connection) -> list[tuple[str, str, str]]:
    """(table, column, planted value) wherever one is found; bytes are read as text."""
    found = []
    for table, column in columns(connection):
        for needle in NEEDLES:
            row = connection.execute(
                f"""SELECT count(*) FROM learning.{table} t WHERE position(lower(%(needle)s) IN lower(t.{column}::text)) > 0
                OR position(encode(convert_to(%(needle)s, 'UTF8'), 'hex') IN t.{column}::text) > 0""",  # type: ignore[arg-type]
                {"needle": needle},
            ).fetchone()
            if row and row[0]:
                found.append((table, column, needle))
    return found


@pytest.fixture
def run(database: Database, load: Load, tmp_path: Path) -> dg.DagsterInstance:
    """The instance in which everything was imported, refreshed and made into a dataset."""
    rows_of_everything(load)
    store = Store(Settings(home=tmp_path / "home", timezone="UTC", duplicate_cosine=None), database)
    instance = dg.DagsterInstance.ephemeral()
    instance.add_dynamic_partitions("agents", [DESK])
    location = defs()
    for job in ("examples_refresh", "dataset_refresh"):
        location.resolve_job_def(job).execute_in_process(instance=instance, partition_key=DESK, resources={"store": store})
        with database.connect("pipeline") as connection:  # what is learnt from goes into the dataset
            connection.execute("UPDATE learning_examples SET review_status = 'approved', reviewed_at = now()")
    return instance


def test_raw_personal_data_is_in_the_sources_and_in_no_other_table_nor_in_what_dagster_keeps(
    run: dg.DagsterInstance, pipeline: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    found = leaks(pipeline)
    assert {table for table, _, _ in found} >= {"agent_executions", "agent_feedback", "demonstrations"}, "the walk sees what is there"
    assert [leak for leak in found if leak[0] not in SOURCES] == []
    kept = [str(entry) for record in run.get_run_records() for entry in run.all_logs(record.dagster_run.run_id)]
    assert len(kept) > 20
    assert [needle for needle in NEEDLES if any(needle in entry for entry in [*kept, caplog.text])] == []
    assert pipeline.execute("SELECT count(*) FROM dataset_examples").fetchone() != (0,)


def test_the_walk_finds_a_value_wherever_it_is_put(load: Load, pipeline: Connection) -> None:
    load("agents", [AGENT])
    pipeline.execute(
        """INSERT INTO learning_examples (organization_id, id, agent_id, example_type, source_type, input_text, tags, content_hash, scrub_rules)
        SELECT organization_id, 'x', id, 'positive', 'imported', '', ARRAY['OLIVIA THORNBURY'], convert_to('4111 1111 1111 1111', 'UTF8'), '2' FROM agents"""
    )
    assert {(table, column) for table, column, _ in leaks(pipeline)} == {("learning_examples", "tags"), ("learning_examples", "content_hash")}
