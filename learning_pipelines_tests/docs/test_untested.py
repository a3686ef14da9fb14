"""What the list of untested statements says of a measurement, and that it speaks of modules that are there.

Belongs here: the page as a table. Not here: measuring, which is `make coverage`.
"""

from __future__ import annotations

import re
from typing import Any

from learning_pipelines_tests.docs import untested
from learning_pipelines_tests.docs.snippets import PROJECT

REPORT: dict[str, Any] = {
    "meta": {"timestamp": "2026-01-05T10:00:00"},
    "totals": {
        "covered_lines": 1994, "num_statements": 2000, "percent_statements_covered": 99.7, "covered_branches": 3, "num_branches": 4,
        "percent_branches_covered": 75.0,
    },
    "files": {
        "learning_pipelines/api/app.py": {
            "missing_lines": [4, 5, 6, 9, 20],
            "summary": {"num_statements": 50},
            "functions": {
                "late": {"missing_lines": [20], "executed_lines": []},
                "App.start": {"missing_lines": [4, 5, 6, 9], "executed_lines": [3]},
                "whole": {"missing_lines": [], "executed_lines": [30]},
            },
        },
        "learning_pipelines/cli.py": {"missing_lines": [7], "summary": {"num_statements": 9}, "functions": {"": {"missing_lines": [7], "executed_lines": []}}},
        "learning_pipelines/errors.py": {"missing_lines": [], "summary": {"num_statements": 3}, "functions": {}},
    },
}  # fmt: skip


def test_stretches_are_named_by_function_in_the_order_of_the_file() -> None:
    text = untested.page(REPORT, "abc1234")
    assert "| `api/app.py` | 5 of 50 | `App.start` 4–6, 9, `late` as a whole |" in text.splitlines()
    assert "| `cli.py` | 1 of 9 | outside functions 7 |" in text.splitlines()
    assert "errors.py" not in text


def test_the_head_says_how_much_and_when() -> None:
    text = " ".join(untested.page(REPORT, "abc1234").split())
    assert "2026-01-05 at commit abc1234, whose lines these are: 1,994 of 2,000 statements run (99.7%), and 3 of the 4 ways" in text


def test_the_list_speaks_of_modules_that_are_there() -> None:
    named = re.findall(r"^\| `([\w/]+\.py)` \|", untested.PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert named and [name for name in named if not (PROJECT / "learning_pipelines" / name).exists()] == []
