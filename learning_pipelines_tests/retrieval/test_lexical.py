"""The stored lexical index: the same scores as in memory, kept in step with the chunks, each tenant and agent apart."""

from __future__ import annotations

from uuid import uuid4

import numpy as np
import pytest

from learning_pipelines.retrieval import lexical
from learning_pipelines.retrieval.analyzer import analyzer_for
from learning_pipelines.retrieval.bm25 import Bm25
from learning_pipelines.retrieval.chunking import indexed
from learning_pipelines.retrieval.lexical import Bodies, StoredLexical, refresh_lexical
from learning_pipelines.storage import lexical as storage
from learning_pipelines.storage.database import Connection, Database, snapshot
from learning_pipelines.storage.lexical import Scope
from learning_pipelines.storage.sessions import Acting, act_as
from learning_pipelines_tests.conftest import MakeDatabase
from learning_pipelines_tests.retrieval.judged import judged
from learning_pipelines_tests.retrieval.stored import agent, drop_chunks, organization, put_chunks, texts

TEXTS = {f"c{number:04}": text for number, text in enumerate(texts(240, words=16, vocabulary=400))}
QUERIES = [" ".join(text.split()[:6]) for text in list(TEXTS.values())[::24]]


@pytest.fixture
def small_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many segments from few chunks, so that merging happens."""
    monkeypatch.setattr(lexical, "PORTION", 12)


def by_chunk(connection: Connection, scope: Scope, query: str, ids: list[str], **more: object) -> np.ndarray:
    """The stored scores of these chunks, in their order."""
    with snapshot(connection):
        stored = StoredLexical(connection, scope, bodies=Bodies(), **more)  # type: ignore[arg-type]
        (scores,) = stored.scores([(query, None)])
        rows = stored.rows_of(ids)
        assert np.count_nonzero(scores) == np.count_nonzero(scores[list(rows.values())])  # nothing else scores
        return scores[[rows[name] for name in ids]]


def same(connection: Connection, scope: Scope, there: dict[str, str], **more: object) -> None:
    """The very numbers that BM25 in memory gives the same chunks."""
    memory = Bm25.build(there.values(), analyzer_for("english"))
    for query in QUERIES:
        assert np.array_equal(by_chunk(connection, scope, query, list(there), **more), memory.scores(query))


def test_stored_scores_are_the_very_numbers_of_bm25_in_memory(pipeline: Connection, small_portions: None) -> None:
    tenant = organization(pipeline)
    put_chunks(pipeline, tenant, TEXTS)
    assert refresh_lexical(pipeline, tenant, "english").added == len(TEXTS)
    assert len(storage.segments(pipeline, tenant, "english-1")) < len(TEXTS) / 12
    same(pipeline, Scope(tenant), TEXTS)


def test_chunks_that_went_changed_or_came_count_from_the_next_refresh_on(pipeline: Connection, small_portions: None) -> None:
    tenant = organization(pipeline)
    put_chunks(pipeline, tenant, TEXTS)
    refresh_lexical(pipeline, tenant, "english")
    gone, changed = list(TEXTS)[::7], list(TEXTS)[1::21]
    drop_chunks(pipeline, tenant, gone)
    now = {name: text for name, text in TEXTS.items() if name not in gone} | dict.fromkeys(changed, TEXTS["c0002"]) | {"new": TEXTS["c0000"]}
    put_chunks(pipeline, tenant, {name: now[name] for name in [*changed, "new"]})
    done = refresh_lexical(pipeline, tenant, "english")
    assert (done.removed, done.added) == (len(gone) + len(changed), len(changed) + 1)
    same(pipeline, Scope(tenant), now)
    pipeline.execute("UPDATE documents SET is_active = false WHERE id = 'd-new'")
    drop_chunks(pipeline, tenant, set(now) - set(list(now)[:30]))  # most of it: segments are written anew
    refresh_lexical(pipeline, tenant, "english")
    same(pipeline, Scope(tenant), {name: now[name] for name in list(now)[:30]})


def test_a_refresh_without_changes_touches_nothing(pipeline: Connection) -> None:
    tenant = organization(pipeline)
    put_chunks(pipeline, tenant, dict(list(TEXTS.items())[:50]))
    refresh_lexical(pipeline, tenant)
    before = storage.segments(pipeline, tenant, "english-1")
    pipeline.execute("UPDATE knowledge_chunks SET position = position + 1, metadata = '{\"seen\": true}'")
    done = refresh_lexical(pipeline, tenant)
    assert (done.added, done.removed, done.merged) == (0, 0, 0)
    assert storage.segments(pipeline, tenant, done.analyzer) == before or done.analyzer != "english-1"


def test_an_agent_searches_its_own_and_the_shared_chunks_and_without_an_agent_all_are_searched(pipeline: Connection) -> None:
    desk, shop = agent(pipeline, "desk"), agent(pipeline, "shop")
    parts = [dict(list(TEXTS.items())[start::3]) for start in range(3)]
    for part, owner in zip(parts, (None, desk.agent_id, shop.agent_id), strict=True):
        put_chunks(pipeline, desk.organization_id, part, agent_id=owner)
    refresh_lexical(pipeline, desk.organization_id, "english")
    same(pipeline, Scope(desk.organization_id, desk.agent_id), parts[0] | parts[1])
    same(pipeline, Scope(desk.organization_id, uuid4()), parts[0])
    same(pipeline, Scope(desk.organization_id), TEXTS)


def test_only_a_version_that_names_an_edit_sees_its_chunks_instead_of_those_it_replaces(pipeline: Connection) -> None:
    tenant, edit = organization(pipeline), uuid4()
    put_chunks(pipeline, tenant, TEXTS)
    pipeline.execute("INSERT INTO documents (organization_id, id, text, content_hash) VALUES (%s, 'whole', '', 'x')", [tenant])
    if pipeline.execute("SELECT to_regclass('learning.chunk_edits')").fetchone() != (None,):
        one = agent(pipeline, "desk")
        pipeline.execute("INSERT INTO chunk_edits (organization_id, id, agent_id) VALUES (%s, %s, %s)", [tenant, edit, one.agent_id])
    whole = TEXTS["c0000"] + " " + TEXTS["c0001"]
    put_chunks(pipeline, tenant, {"merged": whole, "void": whole}, edit_id=edit, document="whole")
    refresh_lexical(pipeline, tenant, "english")
    same(pipeline, Scope(tenant), TEXTS)
    edited = {name: text for name, text in TEXTS.items() if name not in ("c0000", "c0001")} | {"merged": whole}
    same(pipeline, Scope(tenant, edit_id=edit), edited, hidden=("c0000", "c0001"), added=("merged",))


def test_another_language_makes_all_segments_anew_and_the_old_ones_serve_until_then(
    pipeline: Connection, small_portions: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant = organization(pipeline)
    put_chunks(pipeline, tenant, TEXTS)
    refresh_lexical(pipeline, tenant, "english")
    whole = lexical._add
    monkeypatch.setattr(lexical, "_add", lambda *given: whole(*given) if given[-1][0].id < "c0120" else 1 / 0)
    with pytest.raises(ZeroDivisionError):
        refresh_lexical(pipeline, tenant, "german")  # killed half-way
    same(pipeline, Scope(tenant), TEXTS)
    monkeypatch.undo()
    done = refresh_lexical(pipeline, tenant, "german")
    assert 0 < done.added <= 132  # the other half
    memory = Bm25.build(TEXTS.values(), analyzer_for("german"))
    for query in QUERIES:
        assert np.array_equal(by_chunk(pipeline, Scope(tenant), query, list(TEXTS)), memory.scores(query))
    assert storage.segments(pipeline, tenant, "english-1") == []


def test_the_language_is_told_from_the_chunks_and_again_when_they_have_doubled(pipeline: Connection) -> None:
    tenant = organization(pipeline)
    german = "Die Rechnung wird dem Kunden am Ende des Monats geschickt und ist innerhalb von dreißig Tagen zu bezahlen."
    put_chunks(pipeline, tenant, {"e": "The invoice is sent to the customer at the end of the month, and it has to be paid."})
    assert refresh_lexical(pipeline, tenant).analyzer == "english-1"
    put_chunks(pipeline, tenant, {f"g{number}": f"{german} {number}" for number in range(9)})
    assert refresh_lexical(pipeline, tenant).analyzer == "german-1"
    assert by_chunk(pipeline, Scope(tenant), "Rechnungen", [f"g{number}" for number in range(9)]).all()


def test_a_refresh_that_fails_keeps_its_portions_and_loses_nothing(pipeline: Connection, small_portions: None, monkeypatch: pytest.MonkeyPatch) -> None:
    tenant = organization(pipeline)
    put_chunks(pipeline, tenant, TEXTS)
    whole = lexical._add
    monkeypatch.setattr(lexical, "_add", lambda *given: whole(*given) if given[-1][0].id < "c0120" else 1 / 0)
    with pytest.raises(ZeroDivisionError):
        refresh_lexical(pipeline, tenant, "english")
    assert 0 < storage.pending(pipeline, tenant) < len(TEXTS)
    monkeypatch.undo()
    assert 0 < refresh_lexical(pipeline, tenant, "english").added < len(TEXTS)
    same(pipeline, Scope(tenant), TEXTS)


def test_a_search_under_way_is_not_touched_by_a_refresh(database: Database, pipeline: Connection, small_portions: None) -> None:
    tenant = organization(pipeline)
    put_chunks(pipeline, tenant, TEXTS)
    refresh_lexical(pipeline, tenant, "english")
    memory = Bm25.build(TEXTS.values(), analyzer_for("english"))
    with database.connect("pipeline") as searching, snapshot(searching):
        stored = StoredLexical(searching, Scope(tenant), bodies=Bodies())
        drop_chunks(pipeline, tenant, list(TEXTS)[::2])
        refresh_lexical(pipeline, tenant, "english")
        rows = stored.rows_of(list(TEXTS))
        (scores,) = stored.scores([(QUERIES[3], None)])
        assert np.array_equal(scores[[rows[name] for name in TEXTS]], memory.scores(QUERIES[3]))
        assert stored.best(scores, 1) == ["c0072"]


def test_as_the_api_role_a_tenant_searches_its_own_chunks_only(database: Database, pipeline: Connection) -> None:
    ours, theirs = organization(pipeline, "ours"), organization(pipeline, "theirs")
    put_chunks(pipeline, ours, {"mine": "invoice of ours"})
    put_chunks(pipeline, theirs, {"their": "invoice of theirs", "more": "invoice invoice"})
    for tenant in (ours, theirs):
        refresh_lexical(pipeline, tenant, "english")
    with database.connect("api", autocommit=True) as api:
        for acting, scope, expected in ((ours, ours, {"mine"}), (theirs, theirs, {"their", "more"}), (ours, theirs, set())):
            with snapshot(api):
                act_as(api, Acting(acting))
                stored = StoredLexical(api, Scope(scope), bodies=Bodies())
                (scores,) = stored.scores([("invoice", None)])
                assert set(stored.best(scores, 10)) == expected


def test_no_chunks_have_no_scores(pipeline: Connection) -> None:
    tenant = organization(pipeline)
    for refreshed in (False, True):
        if refreshed:
            refresh_lexical(pipeline, tenant)
        stored = StoredLexical(pipeline, Scope(tenant))
        (scores,) = stored.scores([("invoice", None)])
        assert scores.shape == (0,) and stored.best(scores, 5) == []


def test_what_a_worker_keeps_of_segments_stays_within_its_bound(pipeline: Connection, small_portions: None) -> None:
    tenant = organization(pipeline)
    put_chunks(pipeline, tenant, TEXTS)
    refresh_lexical(pipeline, tenant, "english")
    bodies = Bodies(most_bytes=1_000)
    StoredLexical(pipeline, Scope(tenant), bodies=bodies)
    assert bodies._bytes <= 1_000 or len(bodies._kept) == 1


def test_what_is_kept_of_one_database_is_not_taken_for_another(make_database: MakeDatabase) -> None:
    kept = Bodies()
    for text in ("invoice", "invoice of a customer"):
        with make_database() as database, database.connect("pipeline") as connection:
            tenant = organization(connection)
            put_chunks(connection, tenant, {"c": text})
            refresh_lexical(connection, tenant, "english")
            (scores,) = StoredLexical(connection, Scope(tenant), bodies=kept).scores([("invoice", None)])
            assert scores.tolist() == Bm25.build([text], analyzer_for("english")).scores("invoice").tolist()
    lengths = [body.lengths.tolist() for body in kept._kept.values()]
    assert lengths == [[1], [2]]


def test_on_a_real_corpus_the_api_role_gets_the_scores_that_are_compared_with_bm25s(database: Database, pipeline: Connection) -> None:
    data, tenant = judged("feedbackqa_dev/uk", "train"), organization(pipeline)
    there = {name: text for name, text in zip(data.ids, data.texts, strict=True) if "\x00" not in text}
    put_chunks(pipeline, tenant, there)
    assert refresh_lexical(pipeline, tenant).analyzer == "english-1"
    memory = Bm25.build([indexed("", text) for text in there.values()], analyzer_for("english"))
    queries = list(data.queries.values())[:200]
    with database.connect("api") as api, snapshot(api):
        act_as(api, Acting(tenant))
        stored = StoredLexical(api, Scope(tenant), bodies=Bodies())
        rows = stored.rows_of(list(there))
        order = [rows[name] for name in there]
        for query, scores in zip(queries, stored.scores((query, None) for query in queries), strict=True):
            assert np.array_equal(scores[order], memory.scores(query)) and stored.ideal(query) == memory.ideal(query)
