"""Broken surroundings: homes that cannot be written, servers that are away, ports in use, settings that make no sense.

Belongs here: the words and exit codes of refusals, and that nothing is left behind. Not here: bad files (feedback/), bad arguments (test_verbs.py).
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from learning_pipelines_tests.cli.command_line import call, write_rows
from learning_pipelines_tests.cli.running import free_port
from learning_pipelines_tests.feedback.rows import AGENT

WORKING = (["migrate"], ["import", "agents", "AGENTS"], ["run", "cleanup"], ["status"], ["report"], ["demo", "--no-serve"])
every_working_verb = pytest.mark.parametrize("typed", WORKING, ids=lambda typed: typed[0])


@pytest.fixture
def nowhere(tmp_path: Path) -> Path:
    """A home that nothing has been done to."""
    return tmp_path / "untouched"


@pytest.fixture
def agents(tmp_path: Path) -> Path:
    return write_rows(tmp_path / "agents.jsonl", [AGENT])


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


def filled_in(typed: list[str], agents: Path) -> list[str]:
    return [str(agents) if word == "AGENTS" else word for word in typed]


def unwritable(tmp_path: Path) -> Path:
    """A home that not even root can make: its parent is a file."""
    (tmp_path / "file").write_text("")
    return tmp_path / "file" / "home"


@every_working_verb
def test_a_home_that_cannot_be_written_is_named_with_the_way_out(typed: list[str], tmp_path: Path, agents: Path) -> None:
    ended = call(unwritable(tmp_path), *filled_in(typed, agents))
    assert (ended.code, ended.out) == (1, "")
    assert str(tmp_path / "file") in ended.err
    assert "LEARNING_HOME" in ended.err


def test_up_and_verify_say_so_too(tmp_path: Path) -> None:
    up, verify = call(unwritable(tmp_path), "up"), call(unwritable(tmp_path), "verify", "--json")
    assert (up.code, verify.code, verify.document["ok"]) == (1, 1, False)
    assert "LEARNING_HOME" in up.err
    assert [(one["name"], one["ok"]) for one in verify.document["checks"]] == [("LEARNING_HOME writable", False)]


def test_a_read_only_file_system_is_named(agents: Path) -> None:
    ended = call(Path("/proc/learning"), "import", "agents", agents)
    assert (ended.code, ended.out) == (1, "")
    assert "LEARNING_HOME" in ended.err


@every_working_verb
def test_a_server_that_does_not_answer_is_named_without_its_password(typed: list[str], nowhere: Path, agents: Path) -> None:
    ended = call(nowhere, *filled_in(typed, agents), LEARNING_DATABASE_URL="postgresql://me:sesame@127.0.0.1:1/learning")
    assert (ended.code, ended.out) == (1, "")
    assert "127.0.0.1:1/learning" in ended.err
    assert "LEARNING_DATABASE_URL" in ended.err
    assert "sesame" not in ended.err


def test_verify_reports_a_server_that_does_not_answer_as_a_failed_check(nowhere: Path) -> None:
    ended = call(nowhere, "verify", "--json", LEARNING_DATABASE_URL="postgresql://me:sesame@127.0.0.1:1/learning")
    assert ended.code == 1
    assert [(one["name"], one["ok"]) for one in ended.document["checks"]][-1] == ("database reachable", False)


@pytest.mark.parametrize("url", ["postgresql://me@127.0.0.1:notaport/learning", "postgresql://127.0.0.1:5432", "mysql://127.0.0.1/learning", "sesame"])
def test_a_connection_string_that_makes_no_sense_is_bad_input(url: str, nowhere: Path, agents: Path) -> None:
    ended = call(nowhere, "import", "agents", agents, LEARNING_DATABASE_URL=url)
    assert (ended.code, ended.out) == (2, "")
    assert "LEARNING_DATABASE_URL" in ended.err
    assert "postgresql://user:password@host:5432/name" in ended.err
    assert not nowhere.exists()


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("LEARNING_TIMEZONE", "Mars/Olympus", "is not a time zone"),
        ("LEARNING_TIMEZONE", "../etc/passwd", "is not a time zone"),
        ("LEARNING_START_DATE", "yesterday", "LEARNING_START_DATE"),
        ("LEARNING_START_DATE", "2025-01-01", "weeks start on Monday"),
        ("LEARNING_DAGSTER_PORT", "99999", "LEARNING_DAGSTER_PORT"),
        ("LEARNING_SPLIT_SHARES", "0.5,0.5", "three positive shares"),
        ("LEARNING_SPLIT_SHARES", "a,b,c", "three positive shares"),
        ("LEARNING_AUTO_APPROVE", "prompt,everything", "unknown kind everything"),
    ],
)
def test_a_setting_that_makes_no_sense_is_named(name: str, value: str, said: str, nowhere: Path) -> None:
    ended = call(nowhere, "status", **{name: value})
    assert (ended.code, ended.out) == (2, "")
    assert name in ended.err
    assert said in ended.err
    assert not nowhere.exists()


@pytest.mark.parametrize("verb", ["up", "demo"])
@pytest.mark.parametrize("setting", ["LEARNING_DAGSTER_PORT", "LEARNING_API_PORT"])
def test_a_port_in_use_is_named_before_anything_is_started(verb: str, setting: str, nowhere: Path, taken_port: int) -> None:
    ports = {"LEARNING_DAGSTER_PORT": str(free_port()), "LEARNING_API_PORT": str(free_port()), setting: str(taken_port)}
    ended = call(nowhere, verb, **ports)
    assert (ended.code, ended.out) == (1, "")
    assert f"Port {taken_port}" in ended.err
    assert setting in ended.err
    assert not (nowhere / "postgres").exists()


def test_down_where_nothing_was_ever_up_makes_nothing(nowhere: Path) -> None:
    ended = call(nowhere, "down")
    assert (ended.code, ended.out) == (0, "Nothing was running.\n")
    assert not nowhere.exists()
