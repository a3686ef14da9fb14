"""Demonstrations made of letters, for tests of patterns and playbooks: "abc" is three actions.

Belongs here: makers of values. Not here: rows of the database (shown.py), assertions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from learning_pipelines.behavior.task import Action, Shown


def shown(name: str, letters: Sequence[str], **more: Any) -> Shown:
    return Shown(name, more.pop("task", f"Task of {name}"), tuple(Action(letter) for letter in letters), **{"split": "train"} | more)


def many(count: int, letters: str, start: int = 0, **more: Any) -> list[Shown]:
    return [shown(f"{letters}-{start + number:03}", letters, **more) for number in range(count)]
