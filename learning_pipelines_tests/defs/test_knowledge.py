"""Documents in Dagster: the assets of chunks and vectors with real rows, their checks, the job, and the sensor that asks for it.

Belongs here: defs/knowledge.py, the sensor new_documents. Not here: what chunks and vectors are (retrieval/).
"""

from __future__ import annotations

import dagster as dg
import pytest

from learning_pipelines.defs.sensors import new_documents
from learning_pipelines.retrieval import encoders, lexical
from learning_pipelines.storage import indexes, overview, tenants
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.store import Store
from learning_pipelines_tests.conftest import Load
from learning_pipelines_tests.defs.conftest import Materialize, checks_of, metadata_of
from learning_pipelines_tests.feedback.rows import AGENT
from learning_pipelines_tests.retrieval.fake_encoders import FakeEncoders

TAX = {"document_id": "tax", "title": "Taxes", "text": "Taxes are due in May, says nobody.", "agent": "desk"}
SHARED = {"document_id": "vat", "title": "VAT", "text": "VAT is due in June."}


@pytest.fixture(autouse=True)
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeEncoders:
    """The encoder of the settings, without its process."""
    made = FakeEncoders()
    monkeypatch.setattr(encoders.Encoders, "base", lambda self: made.base())
    monkeypatch.setattr(encoders.Encoders, "base_name", lambda self: made.base_name())
    return made


def tick(instance: dg.DagsterInstance, store: Store, cursor: str | None = None) -> dg.SensorResult | dg.SkipReason:
    result = new_documents(dg.build_sensor_context(instance=instance, cursor=cursor, resources={"store": store}))
    assert isinstance(result, dg.SensorResult | dg.SkipReason)
    return result


def test_the_job_builds_the_index_and_says_so_in_numbers(desk: None, load: Load, run_job: Materialize, pipeline: Connection) -> None:
    load("documents", [TAX, SHARED, {"document_id": "rules", "text": "---\n***"}])
    result = run_job("index_refresh", "default/desk")
    assert checks_of(result) == {"every_document_chunked": True, "no_orphan_embeddings": True, "index_complete": True}
    cut, embedded = metadata_of(result, "knowledge_chunks"), metadata_of(result, "chunk_embeddings")
    assert {name: cut[name] for name in ("dagster/row_count", "documents", "documents_chunked_now", "added", "problems", "problem: no words")} == {
        "dagster/row_count": 2, "documents": 3, "documents_chunked_now": 3, "added": 2, "problems": 1, "problem: no words": 1,
    }  # fmt: skip
    assert cut["without chunks"].split("\n")[2:] == ["| rules | no words: nothing in it could be searched for |"]
    assert overview.documents_without_chunks(pipeline) == {"no words": 1}
    assert (embedded["vectors of words@1"], embedded["encoded_now"], cut["postings_added"]) == (2, 2, 2)


def test_no_user_text_reaches_dagster(desk: None, load: Load, run_job: Materialize, instance: dg.DagsterInstance) -> None:
    load("documents", [TAX])
    result = run_job("index_refresh", "default/desk")
    assert not [event for event in instance.all_logs(result.run_id) if "nobody" in str(event)]


def test_running_it_again_does_nothing_again(desk: None, load: Load, run_job: Materialize, fake: FakeEncoders) -> None:
    load("documents", [TAX, SHARED])
    run_job("index_refresh", "default/desk")
    opened = fake.opened
    result = run_job("index_refresh", "default/desk")
    assert (metadata_of(result, "knowledge_chunks")["documents_chunked_now"], metadata_of(result, "chunk_embeddings")["encoded_now"]) == (0, 0)
    assert fake.opened == opened


def test_a_vector_of_an_inactive_document_is_an_orphan_and_a_chunk_without_one_makes_the_index_incomplete(
    desk: None, load: Load, run_job: Materialize, pipeline: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    from learning_pipelines.defs import knowledge

    load("documents", [TAX, SHARED])
    run_job("index_refresh", "default/desk")
    pipeline.execute("DELETE FROM chunk_embeddings WHERE chunk_id = (SELECT id FROM knowledge_chunks WHERE document_id = 'tax')")
    pipeline.execute("UPDATE documents SET is_active = false WHERE id = 'vat'")
    monkeypatch.setattr(knowledge, "refresh_texts", lambda *_: (knowledge.Chunking(), lexical.Refreshed(0, 0, 0, "none")))  # which would mend the one
    monkeypatch.setattr(knowledge, "_index_up_to_date", lambda *_: {})  # and this the other
    assert checks_of(run_job("index_refresh", "default/desk")) == {
        "every_document_chunked": True, "no_orphan_embeddings": False, "index_complete": False
    }  # fmt: skip


def test_documents_ask_for_the_index_of_their_agent_and_shared_ones_for_the_first_of_the_organization(
    desk: None, load: Load, instance: dg.DagsterInstance, store: Store
) -> None:
    load("agents", [{**AGENT, "agent": "assistant"}])
    load("documents", [TAX])
    first = tick(instance, store)
    assert isinstance(first, dg.SensorResult) and [one.partition_key for one in first.run_requests or ()] == ["default/desk"]
    load("documents", [SHARED])
    second = tick(instance, store, first.cursor)
    assert isinstance(second, dg.SensorResult) and [one.partition_key for one in second.run_requests or ()] == ["default/assistant"]
    assert isinstance(tick(instance, store, second.cursor), dg.SkipReason)


def test_an_agent_that_dagster_does_not_know_yet_is_made_known(desk: None, load: Load, instance: dg.DagsterInstance, store: Store) -> None:
    load("documents", [TAX])
    result = tick(instance, store)
    assert isinstance(result, dg.SensorResult)
    assert [key for request in result.dynamic_partitions_requests or () for key in request.partition_keys] == ["default/desk"]


def test_what_is_no_document_asks_for_nothing_and_moves_the_cursor(desk: None, load: Load, instance: dg.DagsterInstance, store: Store) -> None:
    result = tick(instance, store)
    assert isinstance(result, dg.SensorResult) and not result.run_requests
    assert isinstance(tick(instance, store, result.cursor), dg.SkipReason)


def test_documents_of_an_organization_without_agents_ask_for_nothing(load: Load, instance: dg.DagsterInstance, store: Store) -> None:
    load("documents", [SHARED], "lonely")
    result = tick(instance, store)
    assert isinstance(result, dg.SensorResult) and not result.run_requests and result.skip_reason is not None


def test_the_clean_up_takes_old_index_versions_away(
    desk: None, load: Load, run_job: Materialize, pipeline: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    load("documents", [TAX])
    run_job("index_refresh", "default/desk")
    agent = tenants.agents(pipeline)[0]
    base = indexes.base(pipeline, agent.organization_id)
    assert base is not None
    for _ in range(7):
        indexes.add(pipeline, agent, encoder_id=base.encoder.id, kind="index", parent=0, config={}, metrics={}, training_run_id=None)
    pipeline.execute("UPDATE index_versions SET created_at = now() - interval '8 days'")
    run_job("cleanup")
    assert [version.number for version in indexes.listed(pipeline, agent)] == [7, 6, 5, 4, 3]
