"""`lineage prompt`, `lineage user`, `lineage feedback` as typed: one JSON document, lines for people, what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from learning_pipelines_tests.cli.command_line import call
from learning_pipelines_tests.cli.conftest import Load
from learning_pipelines_tests.feedback.rows import execution, said


@pytest.fixture
def traced(home: Path, load_rows: Load) -> str:
    load_rows("agents", [{"agent": "desk", "system_prompt": "You help."}], "traced")
    load_rows("executions", [execution("e1", user="asker")], "traced")
    load_rows("feedback", [said("f1", "e1", "correction", correction_text="Right.", user="ada")], "traced")
    return "traced"


def test_each_question_is_answered_as_one_document_and_in_lines(home: Path, traced: str) -> None:
    prompt = call(home, "lineage", "prompt", "serving", "--organization", traced, "--json")
    assert prompt.code == 0, prompt.err
    assert (prompt.document["agent"], prompt.document["version"], prompt.document["feedback"]["count"]) == ("desk", 1, 0)
    feedback = call(home, "lineage", "feedback", "f1", "--organization", traced, "--json").document
    assert (feedback["user"], feedback["execution_id"], feedback["used"]) == ("ada", "e1", False)
    user = call(home, "lineage", "user", "ada", "--organization", traced)
    assert user.code == 0 and "feedback: 1" in user.out and "Note: " in user.out and "Right." not in user.out


def test_what_is_not_there_is_named(home: Path, traced: str) -> None:
    for typed, said_then in (
        (["prompt", "9", "--agent", "desk"], "desk has no prompt version 9"), (["user", "nobody"], "Nobody called 'nobody' was ever seen in traced"),
        (["feedback", "f9"], "There is no feedback 'f9'"),
    ):  # fmt: skip
        ended = call(home, "lineage", *typed, "--organization", traced)
        assert ended.code == 2 and said_then in ended.err
