"""The pages of docs/ by themselves: each says what it is for, its links lead somewhere, what it names exists, and generated pages are current.

Belongs here: what reading the pages can tell. Not here: running what they show (test_snippets.py, test_shell.py), the deployment's files.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import click
import pytest
import yaml

from learning_pipelines.cli import main
from learning_pipelines.defs.runner import JOBS
from learning_pipelines.storage.database import Database
from learning_pipelines.unknown_settings import PREFIX, known
from learning_pipelines_tests.docs import diagram, reference
from learning_pipelines_tests.docs.snippets import PAGES, PROJECT, Snippet, snippets

PACKAGE = PROJECT / "learning_pipelines"
NOT_RUN = 6
_LINK = re.compile(r"(?<!!)\[[^\]]+\]\(([^)#\s]+)(#[^)\s]+)?\)")
_VARIABLE = re.compile(r"\bLEARNING_[A-Z_]+\b")


def ids(page: Path) -> str:
    return page.name


@pytest.fixture(scope="module")
def source() -> str:
    """The package's code, with strings that go on over lines joined."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in sorted(PACKAGE.rglob("*.py")))
    return re.sub(r"\"\s*\n\s*f?\"", "", text)


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_a_page_begins_with_its_name_and_whom_it_is_for(page: Path) -> None:
    lines = page.read_text(encoding="utf-8").split("\n")
    assert lines[0].startswith("# ") and lines[1] == "" and " for " in lines[2], lines[:3]


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_links_lead_to_files_that_exist(page: Path) -> None:
    targets = [found[0] for found in _LINK.findall(page.read_text(encoding="utf-8")) if not found[0].startswith("http")]
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_every_page_is_listed_in_the_table_of_contents() -> None:
    listed = {found[0] for found in _LINK.findall((PROJECT / "docs" / "README.md").read_text(encoding="utf-8"))}
    assert {page.name for page in PAGES} - listed == {"README.md"}


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_variables_that_a_page_names_are_read_by_something(page: Path) -> None:
    named = {name.removeprefix(PREFIX) for name in _VARIABLE.findall(page.read_text(encoding="utf-8"))}
    assert {name for name in named - known() if not name.endswith("_")} == set()


def test_what_is_not_run_says_why_and_is_little() -> None:
    without = [one for one in snippets() if one.reason is not None]
    assert [one.place for one in without if len(one.reason or "") < 20] == []
    assert len(without) == NOT_RUN, [one.place for one in without]
    assert len(snippets()) > 3 * NOT_RUN


def test_markup_is_shown_only_with_a_reason() -> None:
    assert [one.place for one in snippets("html", "jsx") if one.reason is None] == []


@pytest.mark.parametrize("snippet", snippets("bash"), ids=lambda one: one.place)
def test_every_command_on_a_page_exists_with_its_options(snippet: Snippet) -> None:
    for words in snippet.commands():
        match words:
            case ["learning-pipelines", *rest]:
                _parsed(main, rest)
            case ["make", *rest]:
                targets = [word for word in rest if "=" not in word]
                assert all(re.search(rf"^{target}:", (PROJECT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE) for target in targets), words
            case ["python", "-m", module, *_]:
                assert (PROJECT / (module.replace(".", "/") + ".py")).exists(), words
            case ["python", script]:
                assert f"cat > {script} <<" in snippet.text, snippet.place
            case ["docker", "compose", *_] | ["docker", "build", *_] | ["kubectl", *_] | ["duckdb", *_] | ["pip", *_]:
                assert snippet.reason is not None, snippet.place
            case _:
                raise AssertionError(f"{snippet.place}: {words} is no command that the test knows")


def _parsed(command: click.Command, words: list[str], parent: click.Context | None = None) -> None:
    """Parses a command line as the program does, without doing anything."""
    context = command.make_context(command.name, list(words), parent=parent, help_option_names=["-h", "--help"])
    if isinstance(command, click.Group):
        name, found, rest = command.resolve_command(context, [*context._protected_args, *context.args])
        assert found is not None, name
        _parsed(found, rest, context)


def test_configuration_that_a_page_shows_can_be_read() -> None:
    shown = snippets("yaml")
    assert shown and all(isinstance(yaml.safe_load(one.text), dict) for one in shown)


def test_the_jobs_that_pages_run_are_jobs() -> None:
    named = {words[2] for one in snippets("bash") for words in one.commands() if words[:2] == ["learning-pipelines", "run"]}
    assert named and named <= set(JOBS)


def test_error_texts_of_the_tables_stand_in_the_code(source: str) -> None:
    rows = re.findall(r"^\| `([^`|]+)` \|", (PROJECT / "docs" / "operating.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert len(rows) > 20
    assert [part for row in rows for part in parts(row) if part not in source] == []


def test_reasons_of_skipped_runs_stand_in_the_code(source: str) -> None:
    table = (PROJECT / "docs" / "jobs.md").read_text(encoding="utf-8").partition("| reason | what to do |")[2]
    rows = [line.split("|")[1].strip().removeprefix("sensor: ") for line in table.split("\n")[2:] if line.startswith("|")]
    assert len(rows) > 6
    assert [part for row in rows for part in parts(row) if part not in source] == []


def parts(text: str) -> list[str]:
    """What stands between the parts of a message that vary."""
    return [part.strip() for part in text.split("…") if len(part.strip()) > 3]


def test_every_job_schedule_and_sensor_is_on_the_page_of_jobs() -> None:
    page = (PROJECT / "docs" / "jobs.md").read_text(encoding="utf-8")
    source = "".join((PACKAGE / "defs" / f"{name}.py").read_text(encoding="utf-8") for name in ("schedules", "sensors"))
    names = set(re.findall(r'@dg\.(?:sensor|schedule)\(\s*name="(\w+)"', source)) | set(re.findall(r'ScheduleDefinition\(name="(\w+)"', source)) | set(JOBS)
    assert len(names) > 20
    assert {name for name in names if f"`{name}`" not in page} == set()


def test_the_api_reference_is_current() -> None:
    assert reference.PAGE.read_text(encoding="utf-8") == reference.current(), "Write it anew: python -m learning_pipelines_tests.docs.reference"


def test_the_diagram_is_current(make_database: Callable[..., object]) -> None:
    with make_database() as one:  # type: ignore[attr-defined]
        assert isinstance(one, Database)
        with one.connect("owner") as connection:
            assert diagram.PAGE.read_text(encoding="utf-8") == diagram.page(connection), "Write it anew: python -m learning_pipelines_tests.docs.diagram"
