"""The story of several workers at its smallest: twelve agents, two workers, one of them killed.

Belongs here: what has to come out. Not here: the full size (`make scale-out`), the story itself (story.py).
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from learning_pipelines_tests.scale_out.surroundings import lacking


@pytest.mark.slow
@pytest.mark.parametrize("job", ["agents_refresh", "dataset_refresh"])
def test_workers_share_the_work_and_a_killed_one_costs_nothing(job: str, tmp_path: Path) -> None:
    if reason := lacking():
        pytest.skip(reason)
    numbers = tmp_path / "numbers.json"
    command = [sys.executable, "-m", "learning_pipelines_tests.scale_out.story", "--agents", "12", "--no-encoder", "--job", job, "--json", str(numbers)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=1_500, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    found = json.loads(numbers.read_text(encoding="utf-8"))
    assert found["killed"]["runs_at_work"]
    assert [one["name"] for one in found["checks"] if not one["ok"]] == []
    assert len([one for one in found["throughput"] if one["agents"]]) >= 2
