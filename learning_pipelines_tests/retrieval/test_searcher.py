"""One version asked: the order follows from both legs, the explanation adds up, and what is evaluated is what is served."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import pytest

from learning_pipelines.retrieval.analyzer import analyzer_for
from learning_pipelines.retrieval.artifacts import put_file
from learning_pipelines.retrieval.bm25 import Bm25
from learning_pipelines.retrieval.expansion import Expansion
from learning_pipelines.retrieval.index import Artifact, IndexConfig
from learning_pipelines.retrieval.learning import adapter
from learning_pipelines.retrieval.lexical import refresh_lexical
from learning_pipelines.retrieval.loaded import Loaded
from learning_pipelines.retrieval.ranking import Found, mixed, ordered
from learning_pipelines.retrieval.searcher import Hit, Searcher
from learning_pipelines.settings import Settings
from learning_pipelines.storage import indexes
from learning_pipelines.storage.database import Connection, snapshot
from learning_pipelines.storage.indexes import IndexVersion
from learning_pipelines.storage.tenants import AgentRef
from learning_pipelines_tests.retrieval.fake_encoders import WordEncoder
from learning_pipelines_tests.retrieval.stored import agent, drop_chunks, organization, put_base, put_chunks, put_vectors, texts

TEXTS = {f"c{number:04}": text for number, text in enumerate(texts(200, words=16, vocabulary=400))}
QUERIES = [" ".join(text.split()[2:7]) for text in list(TEXTS.values())[::20]]
ENCODER = WordEncoder(dimensions=24)


@pytest.fixture
def loaded(tmp_path: Any) -> Loaded:
    return Loaded(Settings(home=tmp_path, database_url=None), lambda version: ENCODER)


def filled(connection: Connection, chunks: dict[str, str] = TEXTS, of: str = "default", config: dict[str, Any] | None = None) -> UUID:
    """An organization with these chunks, indexed by both legs, and a base index that serves."""
    tenant = organization(connection, of)
    put_chunks(connection, tenant, chunks)
    refresh_lexical(connection, tenant, "english")
    put_vectors(connection, tenant, put_base(connection, tenant, ENCODER, config), list(chunks), ENCODER.encode(list(chunks.values())))
    return tenant


def base(connection: Connection, tenant: UUID) -> IndexVersion:
    found = indexes.base(connection, tenant)
    assert found is not None
    return found


def learnt(connection: Connection, who: AgentRef, config: IndexConfig) -> IndexVersion:
    number = indexes.add(
        connection, who, encoder_id=base(connection, who.organization_id).encoder.id, kind="index", parent=0, config=config.as_json(), metrics={},
        training_run_id=None,
    )  # fmt: skip
    found = indexes.version(connection, who, number)
    assert found is not None
    return found


def search(
    connection: Connection, loaded: Loaded, tenant: UUID, query: str, k: int = 10, *, agent_id: UUID | None = None, version: IndexVersion | None = None
) -> list[Hit]:  # fmt: skip
    with snapshot(connection):
        return Searcher(connection, tenant, agent_id, version or base(connection, tenant), loaded).search(query, k)


def by_hand(query: str, weight: float, chunks: dict[str, str] = TEXTS, vector: np.ndarray | None = None) -> list[tuple[str, float]]:
    """Every chunk scored in memory."""
    lexical = Bm25.build(chunks.values(), analyzer_for("english"))
    vector = ENCODER.encode([query])[0] if vector is None else vector
    rounded = [values.astype(np.float16).astype(np.float32) for values in (ENCODER.encode(list(chunks.values())), vector)]
    everything = Found(tuple(chunks), tuple(chunks), lexical.scores(query), rounded[0] @ rounded[1], lexical.ideal(query))
    scores = mixed(everything, weight)
    return [(everything.chunk_ids[place], float(scores[place])) for place in ordered(everything.chunk_ids, scores)]


def test_hits_come_in_the_order_of_both_legs_mixed(pipeline: Connection, loaded: Loaded) -> None:
    tenant = filled(pipeline)
    for query in QUERIES:
        hits = search(pipeline, loaded, tenant, query, 20)
        expected = by_hand(query, 0.5)[:20]
        assert [hit.score for hit in hits] == pytest.approx([score for _, score in expected], abs=1e-5)
        assert [hit.chunk_id for hit in hits][:3] == [name for name, _ in expected][:3]


def test_an_explanation_adds_up_to_the_score(pipeline: Connection, loaded: Loaded) -> None:
    tenant = filled(pipeline, config={"lexical_weight": 0.3})
    for hit in search(pipeline, loaded, tenant, QUERIES[0]):
        why = hit.explanation
        assert why.cosine is not None and why.reranked is None and why.relevance is None
        assert hit.score == pytest.approx(why.mixed) == pytest.approx(0.3 * why.bm25_share + 0.7 * why.cosine, abs=1e-5)
        assert hit.text == TEXTS[hit.chunk_id] and hit.document_id == f"d-{hit.chunk_id}"


def test_candidates_in_bulk_are_those_of_a_search(pipeline: Connection, loaded: Loaded) -> None:
    tenant = filled(pipeline)
    with snapshot(pipeline):
        searcher = Searcher(pipeline, tenant, None, base(pipeline, tenant), loaded)
        questions = loaded.questions(base(pipeline, tenant), QUERIES)
        for question, bulk in zip(questions, searcher.candidates(questions, 30), strict=True):
            single, _ = searcher._found(question, 30)
            assert bulk.ideal == single.ideal
            shared = [name for name in bulk.chunk_ids if name in single.chunk_ids]
            assert len(shared) >= 0.9 * len(bulk.chunk_ids)  # where many score alike, which of them come last is open
            for one in shared:
                places = bulk.chunk_ids.index(one), single.chunk_ids.index(one)
                assert bulk.lexical[places[0]] == single.lexical[places[1]]
                assert bulk.cosine[places[0]] == pytest.approx(single.cosine[places[1]], abs=1e-5)
                assert bulk.document_ids[places[0]] == single.document_ids[places[1]]
        assert [found.chunk_ids for found in searcher.candidates(QUERIES[:2])] == [found.chunk_ids for found in searcher.candidates(questions[:2])]


def test_a_learnt_version_answers_by_its_own_weight_and_matrix(pipeline: Connection, loaded: Loaded, tmp_path: Any) -> None:
    tenant, who = filled(pipeline), agent(pipeline, "desk")
    matrix = np.random.default_rng(3).normal(size=(24, 24)).astype(np.float32)
    adapter.save(matrix, tmp_path / "adapter.safetensors")
    stored = put_file(loaded._settings, who, tmp_path / "adapter.safetensors")
    version = learnt(pipeline, who, IndexConfig(lexical_weight=0.1, adapter=stored))
    hits = search(pipeline, loaded, tenant, QUERIES[1], agent_id=who.agent_id, version=version)
    moved = adapter.apply(matrix, ENCODER.encode([QUERIES[1]]))[0]
    assert [hit.score for hit in hits] == pytest.approx([score for _, score in by_hand(QUERIES[1], 0.1, vector=moved)[:10]], abs=1e-5)
    assert [hit.chunk_id for hit in hits] != [hit.chunk_id for hit in search(pipeline, loaded, tenant, QUERIES[1])]


def test_an_agent_finds_its_own_chunks_and_the_shared_ones(pipeline: Connection, loaded: Loaded) -> None:
    desk, shop = agent(pipeline, "desk"), agent(pipeline, "shop")
    tenant = organization(pipeline)
    for owner, name in ((None, "shared"), (desk.agent_id, "desks"), (shop.agent_id, "shops")):
        put_chunks(pipeline, tenant, {name: "how to pay an invoice"}, agent_id=owner)
    refresh_lexical(pipeline, tenant, "english")
    put_vectors(pipeline, tenant, put_base(pipeline, tenant, ENCODER), ["shared", "desks", "shops"], ENCODER.encode(["how to pay an invoice"] * 3))
    assert {hit.chunk_id for hit in search(pipeline, loaded, tenant, "pay invoice", agent_id=desk.agent_id)} == {"shared", "desks"}
    assert {hit.chunk_id for hit in search(pipeline, loaded, tenant, "pay invoice")} == {"shared", "desks", "shops"}


def test_a_chunk_without_a_vector_is_found_by_its_words_and_a_deleted_one_is_not(pipeline: Connection, loaded: Loaded) -> None:
    tenant = filled(pipeline, config={"lexical_weight": 0.9})
    put_chunks(pipeline, tenant, {"new": "unheardof words", "gone": "unheardof words too"})
    refresh_lexical(pipeline, tenant, "english")
    drop_chunks(pipeline, tenant, ["gone"])  # no refresh since
    hits = search(pipeline, loaded, tenant, "unheardof")
    assert hits[0].chunk_id == "new" and hits[0].explanation.cosine is None
    assert "gone" not in [hit.chunk_id for hit in hits]
    with snapshot(pipeline):
        (found,) = Searcher(pipeline, tenant, None, base(pipeline, tenant), loaded).candidates(["unheardof"])
    assert "new" in found.chunk_ids and "gone" not in found.chunk_ids


def test_an_edit_hides_what_it_replaces_for_the_version_that_names_it_only(pipeline: Connection, loaded: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    from learning_pipelines.storage import chunk_edits

    tenant, who, edit = filled(pipeline), agent(pipeline, "desk"), uuid4()
    pipeline.execute("INSERT INTO chunk_edits (organization_id, id, agent_id) VALUES (%s, %s, %s)", [tenant, edit, who.agent_id])
    both = TEXTS["c0000"] + " " + TEXTS["c0001"]
    put_chunks(pipeline, tenant, {"merged": both}, edit_id=edit)
    refresh_lexical(pipeline, tenant, "english")
    put_vectors(pipeline, tenant, base(pipeline, tenant).encoder.id, ["merged"], ENCODER.encode([both]))
    shown = chunk_edits.Edit(("c0000", "c0001"), ("merged",))
    monkeypatch.setattr(chunk_edits, "edit_of", lambda connection, tenant, named: shown if named else chunk_edits.Edit((), ()))
    query, version = " ".join(TEXTS["c0000"].split()[:8]), learnt(pipeline, who, IndexConfig(chunk_edit=str(edit)))
    edited = [hit.chunk_id for hit in search(pipeline, loaded, tenant, query, 200, agent_id=who.agent_id, version=version)]
    assert edited[0] == "merged" and not {"c0000", "c0001"} & set(edited)
    plain = [hit.chunk_id for hit in search(pipeline, loaded, tenant, query, 200)]
    assert plain[0] == "c0000" and "merged" not in plain
    with snapshot(pipeline):
        (bulk,) = Searcher(pipeline, tenant, who.agent_id, version, loaded).candidates([query])
    assert "merged" in bulk.chunk_ids and not {"c0000", "c0001"} & set(bulk.chunk_ids)


def test_a_re_ranker_orders_the_best_and_says_so(pipeline: Connection, loaded: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    class Backwards:
        def order(self, question: Any, found: Found, weight: float, places: Sequence[int], chunks: Sequence[Any]) -> np.ndarray:
            assert len(places) == len(chunks) and all(chunk.terms for chunk in chunks) and question.idf
            scores = mixed(found, weight) / 2
            scores[list(places)] = 1 - scores[list(places)]
            return np.asarray(scores, dtype=np.float32)

    monkeypatch.setattr(loaded, "reranker", lambda artifact: Backwards())
    tenant, who = filled(pipeline), agent(pipeline, "desk")
    version = learnt(pipeline, who, IndexConfig(reranker=Artifact("x", "y")))
    hits, plain = (search(pipeline, loaded, tenant, QUERIES[2], 50, version=one) for one in (version, None))
    assert [hit.chunk_id for hit in hits] == [hit.chunk_id for hit in plain][::-1]
    assert all(hit.explanation.reranked == hit.score != hit.explanation.mixed for hit in hits)


def test_expansion_terms_are_looked_for_and_named(pipeline: Connection, loaded: Loaded, tmp_path: Any) -> None:
    tenant, who = filled(pipeline, TEXTS | {"bill": "invoices"}), agent(pipeline, "desk")
    Expansion(analyzer_for("english"), 1.0, {"faktura": (("invoic", 0.5),)}).write(tmp_path / "expansion.json")
    stored = put_file(loaded._settings, who, tmp_path / "expansion.json")
    version = learnt(pipeline, who, IndexConfig(lexical_weight=1.0, expansion=stored))
    hits = search(pipeline, loaded, tenant, "Faktura", 5, agent_id=who.agent_id, version=version)
    assert hits[0].chunk_id == "bill" and hits[0].explanation.expansion == {"invoic": 0.5} and hits[0].explanation.bm25 > 0


@pytest.mark.parametrize("query", ["the of and", "?!", "zzzz unheard of", "x" * 2_000, "🙂"])
def test_a_question_without_known_words_is_answered_by_its_vector(pipeline: Connection, loaded: Loaded, query: str) -> None:
    tenant = filled(pipeline, dict(list(TEXTS.items())[:30]))
    assert len(search(pipeline, loaded, tenant, query, 50)) == 30


def test_nothing_to_search_gives_nothing(pipeline: Connection, loaded: Loaded) -> None:
    tenant = filled(pipeline, {})
    assert search(pipeline, loaded, tenant, "invoice") == []
    with snapshot(pipeline):
        (found,) = Searcher(pipeline, tenant, None, base(pipeline, tenant), loaded).candidates(["invoice"])
    assert found.chunk_ids == ()
