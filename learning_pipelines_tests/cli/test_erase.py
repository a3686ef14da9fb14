"""`learning-pipelines erase` on a real installation.

Belongs here: what the verb prints, writes and refuses. Not here: what is erased (feedback/erasure/).
"""

from __future__ import annotations

import json
from pathlib import Path

from learning_pipelines_tests.cli.command_line import call, database_of
from learning_pipelines_tests.cli.conftest import Load
from learning_pipelines_tests.feedback.rows import AGENT, execution


def test_a_person_is_erased_and_the_certificate_can_be_checked(home: Path, load_rows: Load, tmp_path: Path) -> None:
    load_rows("agents", [AGENT], "erased")
    load_rows("executions", [execution("e1", user="ada"), execution("e2", user="bob")], "erased")
    there = tmp_path / "there.json"
    there.write_text("mine")
    kept = call(home, "erase", "--user", "ada", "--organization", "erased", "--certificate", there)
    assert (kept.code, there.read_text()) == (2, "mine") and "exists already" in kept.err
    file = tmp_path / "ada.json"
    done = call(home, "erase", "--user", "ada", "--organization", "erased", "--certificate", file, "--json")
    assert done.code == 0, (done.out, done.err)
    assert done.document["touched"]["users"] == 1 and done.document["remaining"] == [] and json.loads(file.read_text()) == done.document
    with database_of(home).connect("pipeline") as connection:
        names = [name for (name,) in connection.execute("SELECT external_id FROM users WHERE organization_id = learning.organization_id('erased')").fetchall()]
    assert "ada" not in names and "bob" in names
    good = call(home, "erase", "--check", file)
    assert good.code == 0 and "is as it was issued" in good.out
    file.write_text(file.read_text().replace('"erased"', '"other"'))
    bad = call(home, "erase", "--check", file, "--json")
    assert bad.code == 2 and "not as it was issued" in bad.document["error"]["cause"]
    again = call(home, "erase", "--user", "ada", "--organization", "erased")
    assert again.code == 2 and "erased has no user 'ada'" in again.err
