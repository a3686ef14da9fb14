"""Processes that tests start run the code that the tests run, from whatever folder, and whatever is installed beside it.

Belongs here: the program, and the search path it starts with. Not here: homes and settings of children (cli/command_line.py).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

import learning_pipelines

CODE = str(Path(learning_pipelines.__file__).resolve().parents[1])
PROGRAM = str(Path(sys.executable).parent / "learning-pipelines")
"""The installed program: of an editable installation it would import the checkout that was installed, which need not be this one."""


def with_this_code(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of a child that imports what this process imports."""
    elsewhere = [folder for folder in environment.get("PYTHONPATH", "").split(os.pathsep) if folder not in ("", CODE)]
    return {**environment, "PYTHONPATH": os.pathsep.join([CODE, *elsewhere])}
