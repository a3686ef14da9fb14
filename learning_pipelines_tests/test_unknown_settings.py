"""A variable that looks like a setting and is none is named before a verb does its work; whatever the project itself reads is known.

Belongs here: the list, the warning. Not here: what settings may be (each where it is used).
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from learning_pipelines.cli_output import Output, verb
from learning_pipelines.settings import PROJECT
from learning_pipelines.unknown_settings import PREFIX, READ_ELSEWHERE, known, warnings

VARIABLE = re.compile(rf"\b{PREFIX}[A-Z][A-Z_]*[A-Z]\b")
FOLDERS = (".ci", "benchmarks", "docs", "learning_pipelines", "learning_pipelines_tests", "operations")
TEXTS = {"", ".html", ".js", ".md", ".py", ".toml", ".yaml", ".yml"}
LIST = PROJECT / "learning_pipelines" / "unknown_settings.py"


def texts() -> Iterator[tuple[Path, str]]:
    """Every text of the project where variables may stand; of Python its literals and the names of arguments, which tests give as variables."""
    files = [path for path in PROJECT.iterdir() if path.is_file()] + [path for folder in FOLDERS for path in (PROJECT / folder).rglob("*") if path.is_file()]
    for path in files:
        if path in (LIST, Path(__file__).resolve()) or path.suffix not in TEXTS or "results" in path.parts:
            continue
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".py":
            nodes = list(ast.walk(ast.parse(text)))
            text = "\n".join(str(one.value) for one in nodes if isinstance(one, ast.Constant))
            text += "\n".join(one.arg for one in nodes if isinstance(one, ast.keyword) and one.arg)
        yield path, text


@pytest.fixture(scope="module")
def named() -> dict[str, set[str]]:
    """Variable → files that name it."""
    found: dict[str, set[str]] = {}
    for path, text in texts():
        for variable in VARIABLE.findall(text):
            found.setdefault(variable.removeprefix(PREFIX), set()).add(str(path.relative_to(PROJECT)))
    return found


def test_whatever_the_project_names_is_known(named: dict[str, set[str]]) -> None:
    assert {name: files for name, files in named.items() if name not in known()} == {}


def test_what_others_read_is_read_by_something(named: dict[str, set[str]]) -> None:
    assert [name for names in READ_ELSEWHERE.values() for name in names if name not in named] == []


@pytest.mark.parametrize(("variable", "meant"), [
    ("LEARNING_MIN_EXAMPLE", " Did you mean LEARNING_MIN_EXAMPLES?"), ("LEARNING_DATABSE_URL", " Did you mean LEARNING_DATABASE_URL?"),
    ("LEARNING_HOEM", " Did you mean LEARNING_HOME?"), ("LEARNING_QQQQ", ""),
])  # fmt: skip
def test_a_typing_error_is_named_with_what_was_probably_meant(variable: str, meant: str) -> None:
    assert list(warnings({variable: "1", "LEARNING_HOME": "/home", "LEARNING_TEST_DATA": "/data", "PATH": "/bin"})) == [
        f"Warning: nothing reads {variable}.{meant}"
    ]


def test_an_empty_variable_counts_as_unset() -> None:
    assert list(warnings({"LEARNING_HOEM": ""})) == []


def test_every_verb_says_so_on_stderr_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    @click.command()
    @verb
    def command(output: Output) -> None:
        output.answer({"done": True}, lambda: ["done"])

    monkeypatch.setenv("LEARNING_HOEM", "/home")
    ended = CliRunner().invoke(command, ["--json"])
    assert (ended.exit_code, ended.stdout, ended.stderr) == (0, '{"done": true}\n', "Warning: nothing reads LEARNING_HOEM. Did you mean LEARNING_HOME?\n")
