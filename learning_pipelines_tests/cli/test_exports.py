"""`import … --from`: exports of other tools from the command line.

Belongs here: the option, its output and exit codes. Not here: what the clients export (../interop/test_exports.py).
"""

from __future__ import annotations

from pathlib import Path

from learning_pipelines_tests.cli.command_line import call, write_rows
from learning_pipelines_tests.cli.conftest import Load

SCORE = {"id": "s-1", "traceId": "t-1", "name": "thumb", "value": 1, "dataType": "BOOLEAN"}


def test_an_export_is_imported_and_refused_lines_are_named(home: Path, tmp_path: Path, load_rows: Load) -> None:
    load_rows("agents", [{"agent": "desk"}], "exports")
    path = write_rows(tmp_path / "scores.jsonl", [SCORE, {**SCORE, "id": "s-2", "value": 3}])
    ended = call(home, "import", "feedback", path, "--from", "langfuse", "--organization", "exports", "--json")
    assert ended.code == 1
    assert {key: ended.document[key] for key in ("kind", "read", "imported", "unchanged", "rejected")} == {
        "kind": "feedback", "read": 2, "imported": 1, "unchanged": 0, "rejected": 1,
    }  # fmt: skip
    assert ended.document["errors"] == [{"line": 2, "field": "value", "reason": "must be 0 or 1 for dataType BOOLEAN"}]


def test_an_agent_without_a_tool_is_bad_usage(home: Path, tmp_path: Path) -> None:
    ended = call(home, "import", "feedback", write_rows(tmp_path / "scores.jsonl", [SCORE]), "--agent", "desk")
    assert ended.code == 2
    assert "--from" in ended.err
