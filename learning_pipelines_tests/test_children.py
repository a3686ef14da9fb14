"""Children of tests import the code under test, not the one that happens to be installed.

Belongs here: the search path of children. Not here: what any of them does.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from learning_pipelines_tests.children import CODE, PROGRAM, with_this_code
from learning_pipelines_tests.cli import command_line
from learning_pipelines_tests.scale_out.surroundings import Surroundings

WHERE = "import learning_pipelines, pathlib; print(pathlib.Path(learning_pipelines.__file__).resolve().parents[1])"


def another(folder: Path) -> Path:
    """A folder with a package of our name in it, as another checkout."""
    package = folder / "learning_pipelines"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    return folder


def test_whatever_a_test_starts_inherits_the_code_under_test(tmp_path: Path) -> None:
    assert os.environ["PYTHONPATH"].split(os.pathsep)[0] == CODE
    assert subprocess.run([sys.executable, "-c", WHERE], cwd=tmp_path, capture_output=True, text=True, check=True).stdout.strip() == CODE


@pytest.mark.parametrize("name", ["verbs", "workers"])
def test_programs_with_settings_of_their_own_run_the_code_under_test_also_where_another_is_found_first(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(another(tmp_path / "other")))
    env = command_line.environment(tmp_path) if name == "verbs" else Surroundings(tmp_path, {}, False, {}).environment(tmp_path)
    assert subprocess.run([sys.executable, "-c", WHERE], cwd="/", env=env, capture_output=True, text=True, check=True).stdout.strip() == CODE
    assert subprocess.run([PROGRAM, "--version"], cwd="/", env=env, capture_output=True, text=True, check=False).returncode == 0


def test_the_search_path_keeps_what_it_held_and_does_not_grow() -> None:
    once = with_this_code({"PYTHONPATH": f"/one{os.pathsep}/two", "HOME": "/home"})
    assert once == {"PYTHONPATH": os.pathsep.join([CODE, "/one", "/two"]), "HOME": "/home"} == with_this_code(once)
    assert with_this_code({})["PYTHONPATH"] == CODE
