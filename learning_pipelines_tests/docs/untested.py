"""docs/untested.md, made of what `make coverage` measured: `python -m learning_pipelines_tests.docs.untested` writes it.

Belongs here: which statements no test runs, as a table. Not here: measuring (Makefile; [tool.coverage] in pyproject.toml).
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

import orjson

from learning_pipelines_tests.docs.snippets import PROJECT

PAGE = PROJECT / "docs" / "untested.md"
MEASURED = PROJECT / "test-artifacts" / "coverage" / "report.json"
PACKAGE = "learning_pipelines/"
HEAD = """# What is untested

Every statement of the package that no test of `make test` runs, for developers who look for what to test next. Made by `make coverage`, which also leaves
pages with the source in `test-artifacts/coverage/html`; do not edit.

Measured on {day} at commit {commit}, whose lines these are: {covered:,} of {statements:,} statements run ({share:.1%}), and {branches:,} of the
{of_branches:,} ways out of conditions and loops ({branch_share:.1%}), counted in processes that tests start too. Of a process that a test kills with
SIGKILL nothing is counted, nor what `make test-slow` and `make test-browser` run. A statement that is run is not a claim that is checked.
"""


def page(report: dict[str, Any], commit: str) -> str:
    """The page of coverage's JSON: a table per folder, a row per module, and in it the functions with their lines."""
    total = report["totals"]
    head = HEAD.format(
        day=report["meta"]["timestamp"][:10], commit=commit, covered=total["covered_lines"], statements=total["num_statements"],
        share=total["percent_statements_covered"] / 100, branches=total["covered_branches"], of_branches=total["num_branches"],
        branch_share=total["percent_branches_covered"] / 100,
    )  # fmt: skip
    folders: dict[str, list[str]] = {}
    for path, found in sorted(report["files"].items()):
        if found["missing_lines"]:
            name = path.removeprefix(PACKAGE)
            row = f"| `{name}` | {len(found['missing_lines'])} of {found['summary']['num_statements']} | {_where(found)} |"
            folders.setdefault(name.split("/")[0] + "/" if "/" in name else "package", []).append(row)
    parts = [f"\n## {folder}\n\n| module | untested | where |\n|---|---|---|\n" + "\n".join(rows) + "\n" for folder, rows in sorted(folders.items())]
    return head + "".join(parts)


def _where(found: dict[str, Any]) -> str:
    """The functions with untested lines, in the order of the file; one that no test calls is named so."""
    parts = [(function["missing_lines"], name, function) for name, function in found["functions"].items() if function["missing_lines"]]
    return ", ".join(
        f"{f'`{name}`' if name else 'outside functions'} {spans(lines) if function['executed_lines'] or not name else 'as a whole'}"
        for lines, name, function in sorted(parts, key=lambda part: part[0])
    )


def spans(lines: Iterable[int]) -> str:
    """Numbers as stretches: 3–5, 9."""
    ordered = sorted(lines)
    starts = [ordered[0], *(after for before, after in pairwise(ordered) if after > before + 1)]
    ends = [*(before for before, after in pairwise(ordered) if after > before + 1), ordered[-1]]
    return ", ".join(str(start) if start == end else f"{start}–{end}" for start, end in zip(starts, ends, strict=True))


def main(measured: Path = MEASURED) -> None:
    commit = subprocess.run(["git", "-C", str(PROJECT), "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    PAGE.write_text(page(orjson.loads(measured.read_bytes()), commit), encoding="utf-8")


if __name__ == "__main__":
    main()
