"""The runner of mutants on a module of its own: what is made, what is left out, what is found and what makes `make mutants` fail.

Belongs here: making, choosing, judging. Not here: the real modules (`make mutants`).
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from learning_pipelines_tests.mutants import __main__ as command
from learning_pipelines_tests.mutants.__main__ import EXPLAINED, judged
from learning_pipelines_tests.mutants.forking import done, within
from learning_pipelines_tests.mutants.making import mutants
from learning_pipelines_tests.mutants.targets import GROUPS, PACKAGE, TESTS, chosen

SOURCE = '''
from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

@lru_cache
def older(age: int, than: int = 18) -> bool:
    """Whether somebody is."""
    assert than > 0, "nobody is"
    if age < 0:
        raise ValueError("An age of less than 0 years.")
    return age > than

@dataclass(frozen=True, slots=True)
class Half:
    of: float

    @property
    def value(self) -> float:
        return sum(one * two for one, two in zip(list((self.of,), dtype=float), [0.5], strict=True))
'''


@pytest.fixture
def module(tmp_path: Path) -> Iterator[ModuleType]:
    (tmp_path / "mutated.py").write_text(SOURCE)
    spec = importlib.util.spec_from_file_location("mutated", tmp_path / "mutated.py")
    assert spec is not None and spec.loader is not None
    made = sys.modules["mutated"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    yield made
    del sys.modules["mutated"]


def test_functions_and_properties_are_mutated_beneath_their_decorators_and_words_are_not(module: ModuleType) -> None:
    names = [one.name for one in mutants(module)]
    assert any("than: int = [18 → 19]) -> bool" in name for name in names)
    assert any("[> → >=] than" in name for name in names) and any("[< → <=] 0" in name for name in names)
    assert any(name.startswith("Half.value: ") and "[* → /]" in name for name in names)
    assert not any("nobody is" in name.partition("[")[2] or "XX" in name or "[strict=" in name or "[dtype=" in name for name in names)
    assert len(set(names)) == len(names)


def test_a_mutant_stands_in_for_the_function_wherever_it_is_held(module: ModuleType) -> None:
    held = module.older
    assert held(18) is False
    with next(one for one in mutants(module) if "[> → >=] than" in one.name).put_in():
        held.cache_clear()
        assert held(18) is True
    held.cache_clear()
    assert held(18) is False


def test_jobs_share_a_process_until_one_breaks_it_or_leaves_it_changed() -> None:
    """c fails because of what b left behind and is done again alone; d changes its process, e ends its, f takes too long."""
    left: list[str] = []

    def work(job: str) -> tuple[list[str], bool]:
        if job == "e":
            os._exit(3)
        with within(60 if job != "f" else 0.05):
            while job == "f":
                pass
        left.append(job)
        return list(left), job not in "d" and (job, left[0]) != ("c", "a")

    assert list(done("abcdefg", work)) == [
        ("a", ["a"], "done"), ("b", ["a", "b"], "done"), ("c", ["c"], "done"), ("d", ["d"], "done"),
        ("e", None, "broke (768)"), ("f", None, "time"), ("g", ["g"], "done"),
    ]  # fmt: skip
    assert left == []


def test_groups_are_chosen_by_name_or_by_a_part_of_a_path() -> None:
    assert list(chosen([])) == list(GROUPS)
    assert chosen(["splits"]) == {"splits": GROUPS["splits"]}
    assert chosen(["acceptance/gate", "acceptance/alpha"])["acceptance"].modules == ("acceptance/gate", "acceptance/alpha")
    with pytest.raises(ValueError, match="Nothing that is mutated is called nowhere"):
        chosen(["nowhere"])


def test_all_that_is_listed_is_there() -> None:
    root = Path(__file__).parents[2]
    for group in GROUPS.values():
        for path in (*(f"{PACKAGE}/{name}.py" for name in group.modules), *(f"{TESTS}/{name}.py" for name in group.tests)):
            assert (root / path).is_file(), path
    assert set(tomllib.loads(EXPLAINED.read_text())) <= {name for group in GROUPS.values() for name in group.modules}


def test_a_survivor_that_nobody_explained_and_an_explanation_of_nothing_are_named() -> None:
    results = [
        {"module": f"{PACKAGE}.acceptance.gate", "mutant": mutant, "outcome": outcome}
        for mutant, outcome in (("decide: a", "killed"), ("decide: b", "survived"), ("decide: c", "survived"), ("as_json: d", "untested"))
    ]
    explained = {"acceptance/gate": {"decide: b": "the same", "decide: a": "old", "functions": {"as_json": "stored elsewhere"}}, "acceptance/alpha": {"x": "y"}}
    rows, open_ones, stale = judged(results, explained)
    assert rows == [("acceptance/gate", "4", "1", "0", "2", "1", "2")]
    assert open_ones == ["acceptance/gate decide: c (survived)"]
    assert stale == ["acceptance/gate decide: a"]


@pytest.mark.parametrize(("outcome", "code"), [("killed", 0), ("survived", 1)])
def test_the_command_shows_a_table_and_fails_on_a_survivor(
    outcome: str, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "explained.toml").write_text("")
    lines = [json.dumps({"module": f"{PACKAGE}.acceptance.alpha", "mutant": "spent: a", "outcome": outcome}), "3 tests of pytest"]
    monkeypatch.setattr(command, "EXPLAINED", tmp_path / "explained.toml")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], 0, "\n".join(lines)))
    assert command.main(["acceptance/alpha"]) == code
    said = capsys.readouterr().out
    assert said.startswith("module ") and "acceptance/alpha        1" in said
    assert ("nobody explained: acceptance/alpha spent: a (survived)" in said) is (code == 1)
    assert command.main(["nowhere"]) == 2
