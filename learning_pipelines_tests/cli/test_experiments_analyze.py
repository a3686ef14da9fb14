"""`learning-pipelines experiments analyze` on a file of outside data.

Belongs here: what is typed and printed. Not here: what is left out, refusals line by line (experiments/test_outside.py).
"""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from learning_pipelines.cli import main
from learning_pipelines_tests.cli.command_line import call, write_rows
from learning_pipelines_tests.experiments.test_outside import drawn

KEYS = {"arms", "difference", "interval", "conclusive", "first_conclusive_event", "srm_p"}


def analyze(file: Path, *typed: str) -> Result:
    """In this process: the verb needs no home, and what it prints is the same."""
    return CliRunner().invoke(main, ["experiments", "analyze", str(file), *typed])


def test_events_are_analyzed_without_a_database(tmp_path: Path) -> None:
    home = tmp_path / "untouched"
    events = write_rows(tmp_path / "events.jsonl", drawn(1500, {"old": 0.5, "new": 0.7}))
    found = call(home, "experiments", "analyze", events, "--metric", "binary", "--json")
    assert found.code == 0, found.err
    assert set(found.document) >= KEYS
    assert found.document["conclusive"]
    assert not home.exists()


def test_people_read_what_was_told_and_whether_to_trust_it(tmp_path: Path) -> None:
    events = write_rows(tmp_path / "events.jsonl", drawn(1500, {"old": 0.5, "new": 0.7}))
    said = analyze(events, "--metric", "binary", "--weights", "0.9,0.1").stdout
    assert "at any time), conclusive since event" in said
    assert "trust no comparison" in said
    totals = write_rows(tmp_path / "totals.jsonl", [{"variant": name, "n": 50, "sum": 20.5, "sum_squares": 11} for name in ("old", "new")])
    said = analyze(totals, "--metric", "bounded").stdout
    assert "new: +0 [" in said
    assert "for one look), not conclusive." in said


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ([], "Missing option '--metric'"),
        (["--metric", "binary", "--weights", "half"], "'half' are no weights"),
        (["--metric", "binary", "--weights", "0.5,0.6"], "sum to 1.1"),
        (["--metric", "binary"], "Line 3, value: is 7, and a binary value is 0 or 1"),
    ],
)
def test_what_makes_no_sense_is_bad_usage(typed: list[str], words: str, tmp_path: Path) -> None:
    rows = drawn(20, {"old": 0.5, "new": 0.7})
    file = write_rows(tmp_path / "events.jsonl", rows if "--weights" in typed else [*rows[:2], {**rows[2], "value": 7}])
    ended = analyze(file, *typed)
    assert (ended.exit_code, ended.stdout) == (2, "")
    assert words in ended.stderr
