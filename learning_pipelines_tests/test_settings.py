"""Settings that nobody gave.

Belongs here: defaults that depend on where the code lies. Not here: what settings may be (each where it is used), unknown ones (test_unknown_settings.py).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import learning_pipelines
from learning_pipelines.settings import PROJECT, Settings

HOME = "from learning_pipelines.settings import Settings; print(Settings().home)"


def test_a_checkout_keeps_its_data_in_its_own_folder_wherever_it_is_called(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("LEARNING_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    assert Settings().home == PROJECT / ".learning"


def test_an_installed_package_keeps_its_data_in_the_current_folder_and_not_beside_itself(tmp_path: Path) -> None:
    package, project = tmp_path / "site-packages" / "learning_pipelines", tmp_path / "project"
    package.mkdir(parents=True)
    project.mkdir()
    for name in ("__init__.py", "errors.py", "settings.py"):
        shutil.copy(Path(learning_pipelines.__file__).parent / name, package / name)
    env = {name: value for name, value in os.environ.items() if name != "LEARNING_HOME"} | {"PYTHONPATH": str(package.parent)}
    done = subprocess.run([sys.executable, "-c", HOME], cwd=project, env=env, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(project / ".learning")
