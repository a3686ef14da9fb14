"""kill -9 in the middle of a training run: what was learnt before is taken up, and nothing that serves was touched.

Belongs here: the run as a process of its own. Not here: checkpoints inside a learner (learning/), runs that fail in words (defs/test_retrieval.py).
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from learning_pipelines.retrieval import training
from learning_pipelines.retrieval.index import IndexConfig
from learning_pipelines.settings import Settings
from learning_pipelines.storage import indexes, training_runs
from learning_pipelines.storage.database import Connection, Database
from learning_pipelines_tests.acceptance.index_proposing import corpus
from learning_pipelines_tests.acceptance.proposing import an_agent
from learning_pipelines_tests.conftest import Load
from learning_pipelines_tests.retrieval import killed_training
from learning_pipelines_tests.retrieval.killed_training import Quick, Slow, prepared, silent, training_of_nothing


def test_after_kill_9_a_run_goes_on_with_what_was_learnt_and_the_index_stays(
    database: Database, pipeline: Connection, load: Load, tmp_path: Path
) -> None:
    agent = an_agent(pipeline, load)
    corpus(pipeline, load, agent)
    environment = {**os.environ, "TEST_ADMIN_URL": database.admin_url}
    process = subprocess.Popen([sys.executable, killed_training.__file__, str(tmp_path), agent.agent], env=environment)
    try:
        deadline = time.monotonic() + 120
        while not (tmp_path / "slow begun").exists():
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    ready = prepared(pipeline, agent)
    run = training_runs.begin(pipeline, agent, "rag_tuning", dataset_id=None, config=ready.config, dagster_run_id=None)
    assert run.resumed
    slow = Slow(tmp_path, 0)
    received = training_of_nothing(tmp_path)
    offers = training.learn(pipeline, agent, Settings(home=tmp_path), ready, run.id, (Quick(tmp_path), slow), lambda: received, silent)
    assert [(offer.name, offer.config) for offer in offers] == [("quick", IndexConfig(lexical_weight=0.7)), ("slow", IndexConfig(lexical_weight=0.8))]
    assert (tmp_path / "quick learnt").read_text() == "once "
    served = indexes.serving(pipeline, agent.organization_id, agent.agent_id)
    assert served is not None and served.number == 0 and indexes.listed(pipeline, agent) == []
