"""Every verb as typed: help, one JSON document, exit codes, and the answers of import, report, status and migrate.

Belongs here: the command line on a sound installation. Not here: `run` (test_run.py), `verify` (test_verify.py), broken surroundings (test_bad_input.py).
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from learning_pipelines_tests.cli.command_line import call
from learning_pipelines_tests.cli.conftest import Import, Load
from learning_pipelines_tests.feedback.rows import AGENT, execution, one_of_each, said

VERBS = ("up", "down", "demo", "migrate", "verify", "import", "run", "status", "report", "datasets", "export", "search", "backup", "restore", "celery-worker")
REPORT_KEYS = {"organization", "week", "starts", "ends", "executions", "feedback", "feedback_rate", "avg_rating", "corrections", "change", "issues", "agents"}


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(verb: str, home: Path) -> None:
    ended = call(home, verb, "--help")
    assert ended.code == 0
    assert "--json" in ended.out


def test_the_program_lists_its_verbs(home: Path) -> None:
    ended = call(home, "--help")
    assert ended.code == 0
    assert all(f"\n  {verb} " in ended.out for verb in (*VERBS, "keys", "experts", "evaluate", "experiments"))


@pytest.mark.parametrize("typed", [["fly"], ["import", "agents"], ["import"], ["run"], ["report", "--weak", "1"]])
def test_what_cannot_be_understood_is_bad_usage(typed: list[str], home: Path) -> None:
    ended = call(home, *typed)
    assert (ended.code, ended.out) == (2, "")
    assert "Usage:" in ended.err


def test_every_kind_can_be_imported_and_a_repeated_line_is_unchanged(import_rows: Import) -> None:
    for kind, row in one_of_each().items():
        ended = import_rows(kind, [row, row], "all-kinds")
        assert ended.code == 0, ended.err
        assert {name: ended.document[name] for name in ("kind", "read", "imported", "unchanged", "rejected", "errors")} == {
            "kind": kind, "read": 2, "imported": 1, "unchanged": 1, "rejected": 0, "errors": [],
        }  # fmt: skip


def test_refused_lines_are_named_and_the_good_ones_kept(home: Path, tmp_path: Path, load_rows: Load) -> None:
    load_rows("agents", [AGENT], "refused")
    lines = [json.dumps(execution("e1")), "not json", json.dumps(execution("e2", agent="nobody")), "", json.dumps(execution("e3"))]
    path = tmp_path / "executions.jsonl"
    path.write_text("\n".join(lines))
    ended = call(home, "import", "executions", path, "--organization", "refused", "--json")
    assert ended.code == 1
    assert (ended.document["imported"], ended.document["rejected"]) == (2, 2)
    assert [(error["line"], error["field"]) for error in ended.document["errors"]] == [(2, None), (3, "agent")]
    assert all(error["reason"] for error in ended.document["errors"])


def test_people_read_counts_and_reasons_line_by_line(home: Path, tmp_path: Path, load_rows: Load) -> None:
    load_rows("agents", [AGENT], "people")
    path = tmp_path / "feedback.jsonl"
    path.write_text(json.dumps(said("f1", "e1", "star_rating", agent="desk", rating=6)) + "\n")
    ended = call(home, "import", "feedback", path, "--organization", "people")
    assert ended.code == 1
    first, second = ended.out.splitlines()
    assert first == "feedback: 1 read, 0 imported, 0 unchanged, 1 rejected."
    assert second.startswith("line 1, rating: ")


def test_compressed_files_are_read(home: Path, tmp_path: Path) -> None:
    path = tmp_path / "agents.jsonl.gz"
    path.write_bytes(gzip.compress(json.dumps(AGENT).encode()))
    ended = call(home, "import", "agents", path, "--organization", "compressed", "--json")
    assert (ended.code, ended.document["imported"]) == (0, 1)


def test_a_truncated_file_keeps_what_came_before_and_says_where_it_broke(home: Path, tmp_path: Path) -> None:
    path = tmp_path / "agents.jsonl.gz"
    path.write_bytes(gzip.compress(json.dumps(AGENT).encode() + b"\n" + bytes(range(256)) * 4000)[:-300])
    ended = call(home, "import", "agents", path, "--organization", "truncated", "--json")
    assert ended.code in (1, 2)
    assert (ended.document["imported"], bool(ended.document["broken"])) == (1, True)
    assert ended.err.startswith("Error: ")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["import", "opinions", "/dev/null"], "Known kinds: agents, executions, feedback"),
        (["import", "agents", "/nowhere/agents.jsonl"], "does not exist"),
        (["import", "agents", "/tmp"], "is a folder"),
        (["import", "agents", "/dev/null", "--organization", "Not A Slug"], "Not A Slug"),
        (["report", "--week", "2026-47", "--organization", "kinds"], "Weeks look like 2026-W47"),
        (["report", "--week", "2026-W54", "--organization", "kinds"], "Weeks look like 2026-W47"),
        (["report", "--organization", "nowhere"], "There is no organization 'nowhere'"),
        (["status", "--organization", "nowhere"], "There is no organization 'nowhere'"),
        (["run", "fly_to_the_moon"], "Known jobs: prompt_optimization"),
        (["run", "cleanup", "--organization", "kinds", "--agent", "desk"], "not done agent by agent"),
        (["run", "cleanup", "--organization", "nowhere"], "There is no organization 'nowhere'"),
        (["run", "examples_refresh", "--organization", "kinds", "--agent", "nobody"], "kinds has no agent 'nobody'"),
        (["erase"], "Say whom"),
        (["erase", "--user", "nobody", "--organization", "kinds"], "kinds has no user 'nobody'"),
        (["erase", "--check", "/nowhere/ada.json"], "cannot be read"),
        (["erase", "--user", "ada", "--check", "/nowhere/ada.json"], "--check goes alone"),
    ],
)
def test_bad_input_is_one_paragraph_and_exit_code_2(arguments: list[str], said: str, home: Path, load_rows: Load) -> None:
    load_rows("agents", [AGENT], "kinds")
    ended = call(home, *arguments)
    assert (ended.code, ended.out) == (2, "")
    assert said in ended.err
    assert [line for line in ended.err.splitlines() if line.startswith("Error: ")] == [ended.err.splitlines()[-1]]


def test_with_json_a_failure_is_one_document_too(home: Path) -> None:
    ended = call(home, "import", "opinions", "/dev/null", "--json")
    assert (ended.code, set(ended.document["error"])) == (2, {"cause", "advice"})


def test_migrate_can_be_repeated(home: Path) -> None:
    first, again = call(home, "migrate", "--json"), call(home, "migrate", "--json")
    assert (first.code, again.code) == (0, 0)
    assert again.document["before"] == again.document["after"] == first.document["after"]


def test_the_report_of_a_named_week_counts_what_was_imported(home: Path, load_rows: Load) -> None:
    load_rows("agents", [AGENT], "weekly")
    load_rows("executions", [execution("e1", created_at="2025-03-12T09:00:00Z")], "weekly")
    load_rows("feedback", [said("f1", "e1", "star_rating", rating=4, created_at="2025-03-16T23:00:00Z")], "weekly")
    ended = call(home, "report", "--week", "2025-W11", "--organization", "weekly", "--json")
    assert ended.code == 0
    numbers = ended.document
    assert set(numbers) >= REPORT_KEYS
    assert (numbers["week"], numbers["executions"], numbers["feedback"], numbers["avg_rating"]) == ("2025-W11", 1, 1, 4.0)


def test_the_report_for_people_is_a_page(home: Path, load_rows: Load) -> None:
    load_rows("agents", [AGENT], "page")
    ended = call(home, "report", "--organization", "page")
    assert ended.code == 0
    assert ended.out.startswith("# Week 20")
    assert "no evidence" in ended.out


def test_status_counts_rows_and_names_jobs_sensors_and_problems(home: Path, load_rows: Load) -> None:
    load_rows("agents", [AGENT], "counted")
    load_rows("executions", [execution("e1")], "counted")
    ended = call(home, "status", "--organization", "counted", "--json")
    assert ended.code == 0, ended.err
    status = ended.document
    assert set(status) >= {"counts", "jobs", "sensors", "problems"}
    assert (status["counts"]["agents"], status["counts"]["agent_executions"], status["counts"]["agent_feedback"]) == (1, 1, 0)
    assert all(set(job) >= {"name", "last_run", "last_status", "next_run"} for job in status["jobs"])
    assert {job["name"] for job in status["jobs"] if job["next_run"]} == {
        "prompt_optimization", "rag_training", "ab_test_analysis", "cleanup", "learning_report", "judge_sample", "fine_tuning", "behavior_learning",
    }  # fmt: skip
    lags = {sensor["name"]: sensor["lag_rows"] for sensor in status["sensors"]}
    assert lags["new_feedback"] >= 2
    assert any("Nothing is up" in problem for problem in status["problems"])


def test_down_without_up_stops_the_database_and_the_next_verb_starts_it_again(home: Path, import_rows: Import) -> None:
    import_rows("agents", [AGENT], "restarted")
    stopped, nothing = call(home, "down", "--json"), call(home, "down", "--json")
    assert (stopped.code, stopped.document) == (0, {"stopped": ["embedded database"]})
    assert (nothing.code, nothing.document) == (0, {"stopped": []})
    assert import_rows("agents", [AGENT], "restarted").document["unchanged"] == 1
