"""The real search and the gate together where nothing can be won; `make bench-gate` runs 200 seeds of it with 1,500 calls."""

from __future__ import annotations

import pytest

from benchmarks import null_task
from learning_pipelines.acceptance.gate import Verdict


def test_a_search_that_reports_gains_where_none_are_promotes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight runs at a level of 1.25 %: more than one promotion in one of 200 such sets."""
    monkeypatch.setattr(null_task, "CALLS", 200)
    runs = [null_task.ours(seed) for seed in range(8)]
    assert sum(run["claimed"] > 0.04 for run in runs) >= 4
    assert sum(run["verdict"] is Verdict.BETTER for run in runs) <= 1
    assert all(run["calls"] <= 200 for run in runs)


def test_with_labels_shuffled_nothing_is_promoted_and_as_they_are_the_same_search_wins_every_time() -> None:
    """Four runs each; in one of 20 such sets a run on shuffled labels would be promoted by chance (4 × 1.25 %), hence these seeds."""
    assert [null_task.intents(seed, 200, shuffled=False)["verdict"] for seed in range(4)] == [Verdict.BETTER] * 4
    assert Verdict.BETTER not in [null_task.intents(seed, 200, shuffled=True)["verdict"] for seed in range(4)]
