"""What the clean-up takes away of learnt indexes, and what it never does.

Belongs here: retrieval/retention.py with real rows and files. Not here: the job that calls it (defs/test_jobs.py).
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from learning_pipelines.feedback.identity import agent_id, organization_id
from learning_pipelines.retrieval import artifacts, retention
from learning_pipelines.retrieval.index import IndexConfig
from learning_pipelines.retrieval.knowledge import embed, ensure_base
from learning_pipelines.settings import Settings
from learning_pipelines.storage import chunk_vectors, indexes, proposals
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.indexes import EncoderVersion
from learning_pipelines.storage.tenants import AgentRef
from learning_pipelines_tests.conftest import Load
from learning_pipelines_tests.feedback.rows import AGENT
from learning_pipelines_tests.retrieval.fake_encoders import WordEncoder, fake_encoders

OURS = organization_id("default")
DESK = AgentRef(OURS, "default", agent_id(OURS, "desk"), "desk")
AT_ONCE = dt.timedelta(0)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home", index_versions_kept=2)


@pytest.fixture
def eight(load: Load, pipeline: Connection, settings: Settings, tmp_path: Path) -> list[IndexConfig]:
    """Versions 1 to 8 of an agent, each with an adapter; the odd ones also with an encoder and its vectors."""
    load("agents", [AGENT])
    load("documents", [{"document_id": "tax", "text": "Taxes are due in May."}])
    ensure_base(pipeline, OURS, fake_encoders()[1])
    base = indexes.base(pipeline, OURS)
    assert base is not None
    made = []
    for number in range(1, 9):
        file = tmp_path / f"adapter{number}.safetensors"
        file.write_text(f"numbers {number}")
        config, encoder_id = IndexConfig(adapter=artifacts.put_file(settings, DESK, file)), base.encoder.id
        if number % 2:
            learnt = WordEncoder(f"learnt@{number}")
            encoder_id = indexes.add_encoder(pipeline, OURS, name=learnt.name, model="m", dimensions=16, agent_id=DESK.agent_id)
            embed(pipeline, OURS, EncoderVersion(encoder_id, learnt.name, "m", 16, None, None), learnt, DESK.agent_id)
        indexes.add(pipeline, DESK, encoder_id=encoder_id, kind="index", parent=0, config=config.as_json(), metrics={}, training_run_id=None)
        made.append(config)
    return made


def numbers(connection: Connection) -> list[int]:
    return sorted(version.number for version in indexes.listed(connection, DESK))


def test_the_newest_stay_and_what_serves_served_before_or_awaits_a_verdict(
    eight: list[IndexConfig], pipeline: Connection, settings: Settings
) -> None:
    indexes.move_serving(pipeline, DESK, 2, None)
    indexes.move_serving(pipeline, DESK, 3, None)
    indexes.point(pipeline, DESK, "candidate", 4, None)
    proposals.add(pipeline, DESK, "reranker", "better", {"version": 5}, {"version": 6}, {}, None, None)
    done = retention.prune(pipeline, settings, AT_ONCE)
    assert numbers(pipeline) == [2, 3, 4, 5, 6, 7, 8]
    assert (done.pruned.versions, done.pruned.encoders, done.artifacts) == (1, 1, 1)
    assert chunk_vectors.counts(pipeline, OURS) == {"words@1": 1, "learnt@3": 1, "learnt@5": 1, "learnt@7": 1}
    base = indexes.base(pipeline, OURS)
    assert base is not None and base.status == "serving"


def test_files_of_versions_that_are_gone_go_and_the_others_can_be_fetched(eight: list[IndexConfig], pipeline: Connection, settings: Settings) -> None:
    indexes.move_serving(pipeline, DESK, 1, None)
    copies = [artifacts.fetch(settings, config.adapter) for config in eight if config.adapter is not None]
    assert retention.prune(pipeline, settings, AT_ONCE).artifacts == 5
    kept = [config.adapter for number, config in enumerate(eight, start=1) if number in (1, 7, 8)]
    assert {path for path, _ in artifacts.stored(settings, DESK)} == {one.path for one in kept if one is not None}
    assert all(one is not None and artifacts.fetch(settings, one).is_file() for one in kept)
    assert [number for number, copy in enumerate(copies, start=1) if copy.exists()] == [1, 7, 8]
    assert retention.prune(pipeline, settings, AT_ONCE) == retention.CleanedUp()


def test_what_is_young_stays_for_a_training_that_may_yet_name_it(eight: list[IndexConfig], pipeline: Connection, settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "new.txt").write_text("just put")
    artifacts.put_file(settings, DESK, tmp_path / "new.txt")
    indexes.add_encoder(pipeline, OURS, name="in training", model="m", dimensions=16, agent_id=DESK.agent_id)
    assert retention.prune(pipeline, settings) == retention.CleanedUp()


def test_a_decided_proposal_holds_no_version(eight: list[IndexConfig], pipeline: Connection, settings: Settings) -> None:
    proposals.add(pipeline, DESK, "index", "better", {"version": 5}, {"version": 0}, {}, None, None)
    pipeline.execute("UPDATE proposals SET state = 'rejected'")
    retention.prune(pipeline, settings, AT_ONCE)
    assert numbers(pipeline) == [7, 8]
