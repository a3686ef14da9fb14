"""How a client script is told what to do: `script.py name=value … action action …`, one process for all, one JSON line at the end.

Belongs here: the command line. Not here: a peer's library (starting one takes seconds: that is why a process does several things).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

Found = dict[str, Any]
"""What is known so far: values from the command line, then what each action found."""


def act(actions: dict[str, Callable[[Found], Any]]) -> None:
    """Runs the actions in order; the result of action `x` is found under `x` (of a second one under `x2`)."""
    found: Found = {}
    try:
        for argument in sys.argv[1:]:
            name, equals, value = argument.partition("=")
            if equals:
                found[name] = value
            else:
                key = next(key for key in (name, *(f"{name}{number}" for number in range(2, 9))) if key not in found)
                found[key] = actions[name](found)
    finally:
        print(json.dumps(found))
