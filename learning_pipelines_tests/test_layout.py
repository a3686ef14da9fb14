"""The layout as rules that a machine reads: no module imports itself through others, statements stand in storage/, modules say what belongs in them.

Belongs here: what neither ruff nor lint-imports (pyproject.toml, `make lint`) can say. Not here: what any module does.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import grimp
import pytest

import learning_pipelines

PACKAGE = Path(learning_pipelines.__file__).parent
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if "migrations/versions" not in path.as_posix())
NAMED = [path for path in MODULES if path.name != "__init__.py"]
ELSEWHERE = {"_client/attributes.py", "convert_hf_to_gguf.py", "freshness_evaluator.py", "tracing/constant.py"}
"""Modules of other projects that a docstring names."""
STATEMENTS = {"execute", "executemany", "copy", "stream"}
MOST_LINES = 300
LONGER = {
    "storage/ingest_sql.py": "statements of one merge, which share their fragments",
    "storage/lexical.py": "one index of words: its statements share one notion of a segment",
    "storage/lineage.py": "two statements, each of one piece",
    "storage/retrieval_queries.py": "statements of one table",
}


def name_of(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def imports() -> dict[str, set[str]]:
    graph = grimp.build_graph("learning_pipelines", cache_dir=None)
    return {module: set(graph.find_modules_directly_imported_by(module)) for module in graph.modules}


def statements(source: str) -> Iterator[int]:
    """Lines on which something is sent to a database: a call of one of STATEMENTS whose first argument is a text."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute) or node.func.attr not in STATEMENTS or not node.args:
            continue
        first = node.args[0]
        if isinstance(first, ast.JoinedStr) or (isinstance(first, ast.Constant) and isinstance(first.value, str)):
            yield node.lineno


def test_no_module_imports_itself_through_others() -> None:
    try:
        tuple(TopologicalSorter(imports()).static_order())
    except CycleError as error:
        pytest.fail(f"a cycle: {' <- '.join(error.args[1])}")


def test_a_cycle_would_be_found_also_through_an_import_within_a_function() -> None:
    found = imports()
    assert "learning_pipelines.encoder_server" in found["learning_pipelines.encoder"], "the graph leaves out imports within functions"
    found["learning_pipelines.encoder_protocol"] = {"learning_pipelines.encoder"}
    with pytest.raises(CycleError):
        tuple(TopologicalSorter(found).static_order())


def test_statements_stand_in_storage_alone() -> None:
    elsewhere = [f"{name_of(path)}:{line}" for path in MODULES if not name_of(path).startswith("storage/") for line in statements(path.read_text())]
    assert elsewhere == []


def test_a_statement_is_known_when_it_is_seen() -> None:
    assert list(statements('connection.execute("SELECT 1")\nconnection.execute(f"SELECT {one}")\ncursor.copy("COPY x FROM STDIN")\n')) == [1, 2, 3]
    assert list(statements("run.execute(step)\nshutil.copy(one, two)\n")) == []


def test_a_module_says_what_belongs_in_it_and_what_does_not() -> None:
    said = {name_of(path): ast.get_docstring(ast.parse(path.read_text())) or "" for path in NAMED}
    assert [name for name, text in said.items() if "Belongs here:" not in text or "Not here:" not in text] == []


def test_a_docstring_names_modules_that_are_there() -> None:
    """Beside the module that names them, or from a folder above it on."""
    there = {name_of(path) for path in PACKAGE.rglob("*.py")}
    gone = {
        (name_of(path), named)
        for path in MODULES
        for text in docstrings(ast.parse(path.read_text()))
        for named in re.findall(r"(?<![\w/.])((?:\w+/)*\w+\.py)\b", text)
        if named not in ELSEWHERE and not any((folder / named).as_posix() in there for folder in path.relative_to(PACKAGE).parents)
    }
    assert sorted(gone) == []


def docstrings(tree: ast.Module) -> Iterator[str]:
    """Texts that stand alone: docstrings, and those of constants and fields."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.value.value


def test_a_module_is_short_or_has_a_reason() -> None:
    long = {name_of(path): lines for path in MODULES if (lines := len(path.read_text().splitlines())) > MOST_LINES}
    assert {name: lines for name, lines in long.items() if name not in LONGER} == {}
    assert sorted(LONGER) == sorted(long), "a module that is short again needs no reason"
