"""Alerts to a real HTTP server: what is said, and what becomes of one that cannot be sent.

Belongs here: reports/alerts.py. Not here: noticing incidents (defs/test_alerts.py), the rest of delivery (test_delivery.py).
"""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from learning_pipelines.reports.alerts import failed_check, failed_run, send
from learning_pipelines.settings import Settings
from learning_pipelines_tests.reports.test_delivery import Hook

LINK = "http://dagster.example.org"
RUN = failed_run("rag_training", "r1", "default/desk", {"reranker": "Unavailable"}, LINK)


@pytest.fixture
def hook():  # type: ignore[no-untyped-def]
    one = Hook()
    with one.running() as url:
        yield one, url


def test_webhook_and_slack_get_names_and_a_link(hook: tuple[Hook, str], tmp_path: Path) -> None:
    assert send(Settings(home=tmp_path, webhook_url=hook[1], slack_webhook=hook[1]), RUN) == {"slack": "sent", "webhook": "sent"}
    (_, slack), (headers, body) = hook[0].asked
    assert slack == {"text": f"rag_training of default/desk failed in reranker (Unavailable).\n{LINK}/runs/r1"}
    assert (body["event"], body["job"], body["partition"], body["link"]) == ("run_failed", "rag_training", "default/desk", f"{LINK}/runs/r1")
    assert len(headers["Idempotency-Key"]) == 32


def test_without_a_channel_the_log_has_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR, logger="learning_pipelines.alerts"):
        assert send(Settings(home=tmp_path), failed_check("serving_scores", "no_drift", None, "warn", "r2", LINK)) == {}
    assert caplog.messages == [f"Check no_drift of serving_scores failed (warn). {LINK}/runs/r2"]


def test_a_channel_that_is_down_is_tried_again_and_holds_nothing_up(hook: tuple[Hook, str], tmp_path: Path) -> None:
    hook[0].answers = [503, 200, 400]
    assert send(Settings(home=tmp_path, webhook_url=hook[1], slack_webhook=hook[1]), RUN, wait=0.0) == {"slack": "sent", "webhook": "failed"}
    assert len(hook[0].asked) == 3
