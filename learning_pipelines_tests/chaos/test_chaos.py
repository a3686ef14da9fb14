"""A short run of chaos: eight blows at a real system under load, and every invariant holds. `make chaos` deals two hundred.

Belongs here: the harness as a whole. Not here: its parts (test_invariants.py).
"""

from __future__ import annotations

from pathlib import Path

import pytest

from learning_pipelines_tests.chaos.harness import Options, run


@pytest.mark.slow
def test_eight_blows_break_no_invariant(tmp_path: Path) -> None:
    said: list[str] = []
    report = run(Options(seed=11, events=8, model="fake", megabytes=3000, kinds={"api": 2, "postgres": 2, "daemon": 1, "run": 2, "disk": 1}), said.append)
    assert report.holds, "\n".join([report.as_markdown(), *said])
    assert len(report.events) == 8
    assert all(report.acknowledged[kind] > 0 for kind in ("executions", "feedback"))
    assert report.write(tmp_path).exists()
