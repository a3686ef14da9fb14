"""What lists say to people, without --json: one line per thing, and what to do where there is none.

Belongs here: the words of verbs whose documents are tested beside them. Not here: those documents.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from learning_pipelines import cli_keys, cli_store
from learning_pipelines.cli import main
from learning_pipelines.settings import Settings
from learning_pipelines_tests.behavior.shown import demonstration
from learning_pipelines_tests.cli.command_line import call
from learning_pipelines_tests.cli.conftest import Load
from learning_pipelines_tests.feedback.rows import AGENT, execution


@pytest.fixture
def said(home: Path, monkeypatch: pytest.MonkeyPatch, load_rows: Load) -> str:
    """An organization with an agent without a prompt, an execution and a demonstration; verbs of this process work in the tests' home."""
    for module in (cli_keys, cli_store):
        monkeypatch.setattr(module, "load_settings", lambda: Settings(home=home, database_url=None))
    load_rows("agents", [AGENT, {"agent": "mute"}], "words")
    load_rows("executions", [execution("e1", user="ada")], "words")
    load_rows("demonstrations", [demonstration("d1", expert="eve")], "words")
    return "words"


def lines(*typed: str) -> list[str]:
    done = CliRunner().invoke(main, typed)
    assert done.exit_code == 0, done.output
    return done.stdout.splitlines()


def test_keys_say_their_role_their_user_and_whether_they_are_in_force(said: str) -> None:
    assert lines("keys", "list", "--organization", said) == ["words has no key: `learning-pipelines keys create --role user` makes one."]
    first, key = lines("keys", "create", "--role", "expert", "--user", "eve", "--organization", said)
    identity = first.split()[1]
    assert key.startswith("lp_words_")
    assert lines("keys", "list", "--organization", said)[0].split() == [identity, "expert", "eve", "never", "used"]
    lines("keys", "revoke", identity, "--organization", said)
    assert lines("keys", "list", "--organization", said)[0].split()[:4] == [identity, "expert", "eve", "revoked"]


def test_experts_say_what_they_showed_and_that_their_right_is_withdrawn(said: str) -> None:
    assert lines("experts", "list", "--organization", said)[0].split() == ["eve", "expert", "1", "demonstrations"]
    lines("experts", "withdraw", "eve", "--organization", said)
    assert "1 demonstrations  withdrawn 20" in lines("experts", "list", "--organization", said)[0]


def test_prompts_are_a_table_of_versions_or_say_where_one_comes_from(said: str) -> None:
    head, row = lines("prompts", str(AGENT["agent"]), "--organization", said)
    assert head.split() == ["version", "labels", "strategy", "score", "verdict", "made"]
    assert row.split()[:2] == ["1", "production"]
    assert lines("prompts", "mute", "--organization", said) == [
        "mute has no prompt yet: import one (kind agents, system_prompt), or write one (POST /prompts/mute)."
    ]


def test_status_says_rows_what_waits_and_what_is_wrong(home: Path, said: str) -> None:
    out = call(home, "status", "--organization", said).out.splitlines()
    assert [line for line in out if not line.startswith(" ")] == ["Rows", "Jobs", "Sensors", "Waiting", "Freshness", "Problems"]
    waiting = out[out.index("Waiting") : out.index("Freshness")]
    assert waiting[1].split() == ["runs", "0", "queued,", "0", "running"]
    assert "the oldest for 0.0 h" in waiting[3]
