"""Sentences of `status` that name the next step.

Belongs here: what is said of plain values. Not here: reading Dagster (test_alerts.py), the verb (cli/).
"""

from __future__ import annotations

from pathlib import Path

from learning_pipelines.defs import status_problems
from learning_pipelines.settings import Settings


def test_what_is_switched_off_is_switched_on_where_the_sentence_says(tmp_path: Path) -> None:
    state = {"jobs": [], "failed_checks": [], "freshness": [], "stopped": ["cleanup_weekly"]}
    (problem,) = status_problems.of_dagster(Settings(home=tmp_path, dagster_url="https://dagster.example.com/"), state)
    assert problem == "cleanup_weekly is switched off: switch it on in the Dagster UI (https://dagster.example.com/automation)"
