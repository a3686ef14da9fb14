"""Approving and rolling back an index: what moves, what is refused because it could not answer, and that it happens once.

Belongs here: acceptance/index_change.py through approval.py on a real database. Not here: prompts (test_approval.py), searching while it happens.
"""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest

from learning_pipelines.acceptance import approval
from learning_pipelines.acceptance.approval import Refused, Reviewed, Reviewer
from learning_pipelines.errors import Unavailable
from learning_pipelines.retrieval.artifacts import put_file
from learning_pipelines.retrieval.index import IndexConfig
from learning_pipelines.retrieval.learning import adapter, reranker
from learning_pipelines.settings import Settings
from learning_pipelines.storage import indexes, proposals
from learning_pipelines.storage.database import Connection, Database
from learning_pipelines.storage.tenants import AgentRef
from learning_pipelines_tests.acceptance.index_proposing import corpus, labels, learnt, proposed
from learning_pipelines_tests.acceptance.proposing import a_run, an_agent
from learning_pipelines_tests.conftest import Load

ADA = Reviewer("user:ada")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home")


@pytest.fixture
def desk(pipeline: Connection, load: Load) -> AgentRef:
    """An agent whose organization has a base index of two documents."""
    agent = an_agent(pipeline, load)
    corpus(pipeline, load, agent)
    return agent


def audited(connection: Connection) -> list[tuple[str, str]]:
    rows = connection.execute("SELECT actor, action FROM audit_log WHERE subject_kind = 'index_label' ORDER BY id").fetchall()
    return [(str(actor), str(action)) for actor, action in rows]


@pytest.fixture
def approve(settings: Settings) -> Any:
    def run(connection: Connection, agent: AgentRef, identity: UUID) -> Reviewed:
        return approval.approve(connection, agent.organization_id, identity, "immediate", ADA, settings=settings)

    return run


def test_nothing_learnt_serves_before_it_is_approved_and_then_it_does(pipeline: Connection, desk: AgentRef, approve: Any) -> None:
    run = a_run(pipeline, desk)
    identity = proposed(pipeline, desk, learnt(pipeline, desk), training_run_id=run)
    assert labels(pipeline, desk) == (None, 1, None)
    served = indexes.serving(pipeline, desk.organization_id, desk.agent_id)
    assert served is not None and served.number == 0
    reviewed = approve(pipeline, desk, identity)
    assert (reviewed.state, reviewed.kind, reviewed.version, reviewed.before, reviewed.changed) == ("approved", "index", 1, 0, True)
    assert labels(pipeline, desk) == (1, 1, 0)
    assert audited(pipeline) == [("user:ada", "moved")]
    assert approve(pipeline, desk, identity).changed is False
    assert pipeline.execute("SELECT review_status FROM training_runs WHERE id = %s", [run]).fetchone() == ("approved",)


@pytest.mark.parametrize("kind", ["index", "reranker", "expansion", "chunk_edit"])
def test_every_kind_of_change_of_the_index_moves_the_one_label(pipeline: Connection, desk: AgentRef, approve: Any, kind: str) -> None:
    identity = proposed(pipeline, desk, learnt(pipeline, desk, kind=kind), kind=kind)
    assert approve(pipeline, desk, identity).version == 1
    assert labels(pipeline, desk) == (1, 1, 0)
    with pytest.raises(Refused, match=r"`learning-pipelines rollback desk --kind index`"):
        approval.reject(pipeline, desk.organization_id, identity, ADA)


def test_a_proposal_measured_against_what_no_longer_serves_is_refused(pipeline: Connection, desk: AgentRef, approve: Any) -> None:
    first, second = learnt(pipeline, desk), learnt(pipeline, desk, kind="reranker")
    approve(pipeline, desk, proposed(pipeline, desk, first))
    late = proposed(pipeline, desk, second, kind="reranker")
    with pytest.raises(Refused, match=r"Version 2 was measured against the base index, but version 1 serves now\. Run `learning-pipelines run rag_training"):
        approve(pipeline, desk, late)
    assert labels(pipeline, desk)[0] == 1


def test_a_base_index_that_was_built_anew_since_is_another_one(pipeline: Connection, desk: AgentRef, approve: Any) -> None:
    identity = proposed(pipeline, desk, learnt(pipeline, desk))
    base = indexes.base(pipeline, desk.organization_id)
    assert base is not None
    indexes.put_base(pipeline, desk.organization_id, base.encoder.id, IndexConfig(lexical_weight=0.9).as_json())
    with pytest.raises(Refused, match="measured against the base index, which was changed since"):
        approve(pipeline, desk, identity)
    assert labels(pipeline, desk)[0] is None


def test_a_version_without_the_vectors_of_its_encoder_is_refused_and_what_serves_stays(pipeline: Connection, desk: AgentRef, approve: Any) -> None:
    encoder = indexes.add_encoder(pipeline, desk.organization_id, name="learnt@1", model="learnt", dimensions=16, agent_id=desk.agent_id)
    identity = proposed(pipeline, desk, learnt(pipeline, desk, encoder_id=encoder))
    with pytest.raises(Refused, match=r"Version 1 is not complete: 2 chunks have no vector of its encoder\. `learning-pipelines run index_refresh"):
        approve(pipeline, desk, identity)
    assert labels(pipeline, desk)[0] is None and audited(pipeline) == []


def test_a_version_whose_file_is_gone_or_damaged_is_refused(
    pipeline: Connection, desk: AgentRef, approve: Any, settings: Settings, tmp_path: Path
) -> None:
    adapter.save(np.eye(16, dtype=np.float32), tmp_path / "adapter.safetensors")
    kept = put_file(settings, desk, tmp_path / "adapter.safetensors")
    good = learnt(pipeline, desk, IndexConfig(adapter=kept))
    for number in (
        learnt(pipeline, desk, IndexConfig(adapter=replace(kept, sha256="0" * 64))),
        learnt(pipeline, desk, IndexConfig(adapter=replace(kept, path=kept.path.replace(kept.sha256[:24], "f" * 24), sha256="f" * 64))),
    ):
        with pytest.raises(Refused, match=rf"Version {number} cannot be served: The artifact .* (is not what was stored|is gone from the store)"):
            approve(pipeline, desk, proposed(pipeline, desk, number))
    assert labels(pipeline, desk)[0] is None
    assert approve(pipeline, desk, proposed(pipeline, desk, good)).version == good


def test_a_version_whose_files_cannot_be_used_here_is_refused(
    pipeline: Connection, desk: AgentRef, approve: Any, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter.save(np.eye(8, dtype=np.float32), tmp_path / "adapter.safetensors")
    wrong = learnt(pipeline, desk, IndexConfig(adapter=put_file(settings, desk, tmp_path / "adapter.safetensors")))
    with pytest.raises(Refused, match="cannot be served: The adapter is for vectors of 8 dimensions, the encoder has 16"):
        approve(pipeline, desk, proposed(pipeline, desk, wrong))
    (tmp_path / "reranker.txt").write_text("trees")
    unusable = learnt(pipeline, desk, IndexConfig(reranker=put_file(settings, desk, tmp_path / "reranker.txt")), kind="reranker")

    def without() -> Any:
        raise Unavailable("LightGBM cannot be loaded.", "Install libgomp.")

    monkeypatch.setattr(reranker, "_lightgbm", without)
    with pytest.raises(Refused, match=r"cannot be served: LightGBM cannot be loaded\. Install libgomp"):
        approve(pipeline, desk, proposed(pipeline, desk, unusable, kind="reranker"))
    assert labels(pipeline, desk)[0] is None


def test_rolling_back_points_at_what_served_before_and_twice_is_once(pipeline: Connection, desk: AgentRef, approve: Any, settings: Settings) -> None:
    with pytest.raises(Refused, match="no learnt index ever served, the base index does"):
        approval.rollback(pipeline, desk, ADA, "index", settings=settings)
    approve(pipeline, desk, proposed(pipeline, desk, learnt(pipeline, desk)))
    approve(pipeline, desk, proposed(pipeline, desk, learnt(pipeline, desk), against=1))
    first, second = (approval.rollback(pipeline, desk, ADA, "index", settings=settings) for _ in range(2))
    assert [(one.state, one.version, one.before, one.changed) for one in (first, second)] == [("rolled_back", 1, 2, True), ("rolled_back", 1, None, False)]
    assert labels(pipeline, desk) == (1, 2, 1)
    assert audited(pipeline)[-1] == ("user:ada", "rolled back")


def test_from_the_first_learnt_index_the_way_back_leads_to_the_base(pipeline: Connection, desk: AgentRef, approve: Any, settings: Settings) -> None:
    approve(pipeline, desk, proposed(pipeline, desk, learnt(pipeline, desk)))
    done = approval.rollback(pipeline, desk, ADA, "index", settings=settings)
    assert (done.version, done.before) == (0, 1)
    served = indexes.serving(pipeline, desk.organization_id, desk.agent_id)
    assert served is not None and served.number == 0
    again = proposed(pipeline, desk, learnt(pipeline, desk))
    assert approve(pipeline, desk, again).before == 0  # what serves now is the base, and against the base it was measured


def test_the_setting_approves_the_kind_it_names_and_a_refusal_leaves_its_reason(pipeline: Connection, desk: AgentRef, settings: Settings) -> None:
    proposed(pipeline, desk, learnt(pipeline, desk, kind="reranker"), kind="reranker", auto_approve=("reranker",), settings=settings)
    assert labels(pipeline, desk)[0] == 1
    proposed(pipeline, desk, learnt(pipeline, desk), auto_approve=("reranker",), against=1, settings=settings)
    assert labels(pipeline, desk)[0] == 1
    proposed(pipeline, desk, learnt(pipeline, desk), auto_approve=("index",), settings=settings)
    newest = proposals.listed(pipeline, desk.organization_id)[0]
    assert newest.state == "open" and "Not approved automatically: Version 3 was measured against the base index" in str(newest.notes)


def test_approvers_at_once_approve_once(database: Database, pipeline: Connection, desk: AgentRef, approve: Any) -> None:
    identity = proposed(pipeline, desk, learnt(pipeline, desk))
    ready, found = threading.Barrier(6), list[Reviewed]()

    def one() -> None:
        with database.connect("pipeline") as connection:
            ready.wait(30)
            found.append(approve(connection, desk, identity))

    threads = [threading.Thread(target=one) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(each.changed for each in found) == [False] * 5 + [True]
    assert (labels(pipeline, desk), audited(pipeline)) == ((1, 1, 0), [("user:ada", "moved")])
