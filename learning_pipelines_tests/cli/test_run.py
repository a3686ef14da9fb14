"""`learning-pipelines run`: jobs through Dagster without `up`, their outcome, and what a later `status` says of them.

Belongs here: the verb as a process. Not here: what the jobs do (defs/test_jobs.py).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from learning_pipelines.examples.refresh import refresh_examples
from learning_pipelines.storage.database import Connection
from learning_pipelines_tests.cli.command_line import Ended, call, database_of
from learning_pipelines_tests.cli.conftest import Load
from learning_pipelines_tests.defs.conftest import asked
from learning_pipelines_tests.feedback.rows import AGENT, agent_ref, said

KEYS = {"run_id", "runs", "job", "status", "reason", "seconds", "proposals"}


def run(home: Path, job: str, organization: str, *more: str) -> Ended:
    return call(home, "run", job, "--organization", organization, "--json", *more)


def count(home: Path, table: str, organization: str) -> int:
    def counted(connection: Connection) -> Any:
        return connection.execute(f"SELECT count(*) FROM {table} WHERE organization_id = learning.organization_id(%s)", [organization]).fetchone()  # type: ignore[arg-type]

    with database_of(home).connect("pipeline") as connection:
        return int(counted(connection)[0])


@pytest.fixture
def two_agents(load_rows: Load, request: pytest.FixtureRequest) -> str:
    """An organization of the test's own: two agents, one rated execution each."""
    organization = request.node.name.replace("_", "-")[:60].strip("-")
    load_rows("agents", [AGENT, {**AGENT, "agent": "other"}], organization)
    load_rows("executions", [asked("e1", "How do I file VAT?"), asked("o1", "Where is my refund?", agent="other")], organization)
    load_rows("feedback", [said("f1", "e1", "thumbs_up"), said("f2", "o1", "thumbs_down")], organization)
    return organization


def test_import_then_run_makes_examples_of_every_agent_without_up(home: Path, two_agents: str) -> None:
    ended = run(home, "examples_refresh", two_agents)
    assert ended.code == 0, ended.err
    document = ended.document
    assert set(document) >= KEYS
    assert (document["job"], document["status"], document["reason"], document["proposals"]) == ("examples_refresh", "success", None, [])
    assert [(one["agent"], one["status"]) for one in document["runs"]] == [("desk", "success"), ("other", "success")]
    assert document["run_id"] == document["runs"][0]["run_id"]
    assert count(home, "learning_examples", two_agents) == 2


def test_with_an_agent_only_that_one_runs_and_its_dataset_is_made(home: Path, two_agents: str, load_rows: Load) -> None:
    row = {"example_id": "x1", "agent": "desk", "input_text": "Which form?", "expected_output": "Form 1.", "review_status": "approved"}
    load_rows("examples", [row], two_agents)
    ended = run(home, "dataset_refresh", two_agents, "--agent", "desk")
    assert (ended.code, [one["agent"] for one in ended.document["runs"]]) == (0, ["desk"])
    assert (count(home, "training_datasets", two_agents), count(home, "learning_examples", two_agents)) == (1, 2)


def test_the_report_runs_for_the_latest_closed_week_and_status_remembers(home: Path, two_agents: str) -> None:
    ended = run(home, "learning_report", two_agents)
    assert (ended.code, ended.document["status"], len(ended.document["runs"])) == (0, "success", 1)
    assert (count(home, "learning_reports", two_agents), count(home, "feedback_metrics", two_agents)) == (1, 2)
    (job,) = [job for job in call(home, "status", "--json").document["jobs"] if job["name"] == "learning_report"]
    assert (job["last_status"], bool(job["last_run"])) == ("success", True)


def test_a_job_that_has_nothing_to_learn_from_is_skipped_which_is_no_failure(home: Path, two_agents: str) -> None:
    ended = run(home, "rag_training", two_agents)
    assert (ended.code, ended.document["status"]) == (0, "skipped")
    assert "there are no documents to search" in ended.document["reason"]
    assert {one["status"] for one in ended.document["runs"]} == {"skipped"}
    assert count(home, "learning_examples", two_agents) == 2


def test_an_organization_without_agents_launches_nothing(home: Path, load_rows: Load) -> None:
    load_rows("documents", [{"document_id": "d1", "text": "Form 1."}], "no-agents")
    ended = run(home, "dataset_refresh", "no-agents")
    assert (ended.code, ended.document["run_id"], ended.document["runs"], ended.document["status"]) == (0, None, [], "skipped")
    assert "no agent yet" in ended.document["reason"]


def test_a_run_that_fails_is_exit_code_1_and_names_the_check(home: Path, two_agents: str) -> None:
    with database_of(home).connect("pipeline") as connection:
        refresh_examples(connection, agent_ref(connection, "desk", two_agents))
        connection.execute(
            "UPDATE learning_examples SET input_text = 'jo@example.org' WHERE organization_id = learning.organization_id(%s) AND source_id = 'f1'", [two_agents]
        )
    ended = run(home, "dataset_refresh", two_agents)
    assert (ended.code, ended.document["status"]) == (1, "failure")
    assert [(one["agent"], one["status"]) for one in ended.document["runs"]] == [("desk", "failure"), ("other", "success")]
    assert "no_raw_email" in ended.document["reason"]


def test_people_read_one_line_and_progress_goes_to_stderr(home: Path, two_agents: str) -> None:
    ended = call(home, "run", "examples_refresh", "--agent", "desk", "--organization", two_agents)
    assert ended.code == 0
    assert ended.out.startswith("examples_refresh: success (1 runs, ")
    assert len(ended.out.splitlines()) == 1
    assert "Running examples_refresh" in ended.err
