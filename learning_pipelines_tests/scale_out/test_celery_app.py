"""The task that executes a run in a Celery worker.

Belongs here: what it does with runs that are not to be executed. Not here: workers that really run (test_story.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest

pytest.importorskip("dagster_celery", reason="the extra [scale] is not installed")


@pytest.mark.parametrize("status", [dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.SUCCESS])
def test_a_run_that_has_ended_is_not_touched_when_the_broker_hands_it_out_again(status: dg.DagsterRunStatus, monkeypatch: pytest.MonkeyPatch) -> None:
    from learning_pipelines import celery_app, run_tags

    with dg.DagsterInstance.ephemeral() as instance:
        run = instance.create_run_for_job(_nothing, status=status, tags={run_tags.WORKER: "learning@killed"})

        @contextmanager
        def here(*_: Any) -> Iterator[Any]:
            yield instance

        monkeypatch.setattr(celery_app, "_instance", here)
        monkeypatch.setattr(celery_app, "executing", here)
        monkeypatch.setattr(celery_app, "Store", lambda: SimpleNamespace(database=None))
        executed: list[str] = []
        monkeypatch.setattr(celery_app, "_execute_run_command_body", lambda run_id, *_: executed.append(run_id))
        celery_app.execute(SimpleNamespace(request=SimpleNamespace(id=run.run_id, hostname="learning@other")), None)
        found = instance.get_run_by_id(run.run_id)
    assert executed == []
    assert found is not None and found.tags[run_tags.WORKER] == "learning@killed"


@dg.job
def _nothing() -> None:
    pass
