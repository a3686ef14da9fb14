"""Documents become a base index, and only what changed is done again.

Belongs here: chunks, vectors and the base index in the database, with an encoder that needs no model. Not here: how texts are cut (test_chunking.py).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal
from uuid import UUID

import psycopg
import pytest

from learning_pipelines.errors import LearningError, Unavailable
from learning_pipelines.feedback.identity import agent_id, organization_id
from learning_pipelines.retrieval import knowledge
from learning_pipelines.retrieval.knowledge import embed, embed_used, ensure_base, incomplete, refresh_chunks, refresh_texts
from learning_pipelines.retrieval.loaded import Loaded
from learning_pipelines.retrieval.searcher import Searcher
from learning_pipelines.settings import Settings
from learning_pipelines.storage import chunk_vectors, chunks, experiments, indexes
from learning_pipelines.storage.database import Connection, Database
from learning_pipelines.storage.experiment_rows import Arm
from learning_pipelines.storage.lexical import pending
from learning_pipelines.storage.store import Store
from learning_pipelines.storage.tenants import AgentRef
from learning_pipelines_tests.conftest import Load
from learning_pipelines_tests.feedback.rows import AGENT
from learning_pipelines_tests.retrieval.fake_encoders import WordEncoder, fake_encoders

OURS = organization_id("default")
DESK = agent_id(OURS, "desk")
AGENT_REF = AgentRef(OURS, "default", DESK, "desk")
LABELS: tuple[Literal["candidate", "serving"], ...] = ("candidate", "serving")
SECTIONS = [f"## Section {number}\n\n" + " ".join(f"word{number}x{word}" for word in range(40)) for number in range(8)]


def document(name: str, text: str, **more: Any) -> dict[str, Any]:
    return {"document_id": name, "text": text, "title": f"About {name}", **more}


def stored(connection: Connection, organization: UUID = OURS) -> list[tuple[Any, ...]]:
    return connection.execute(
        "SELECT id, document_id, agent_id, heading, text FROM knowledge_chunks WHERE organization_id = %s ORDER BY document_id, position", [organization]
    ).fetchall()


def vectors(connection: Connection, organization: UUID = OURS) -> int:
    return sum(chunk_vectors.counts(connection, organization).values())


@pytest.fixture
def desk(load: Load) -> None:
    load("agents", [AGENT])


def test_the_first_build_chunks_encodes_and_makes_the_base_index(load: Load, pipeline: Connection) -> None:
    load("documents", [document("vat", "\n\n".join(SECTIONS)), document("tax", "Taxes are due in May.")])
    fake, encoders = fake_encoders()
    done = ensure_base(pipeline, OURS, encoders)
    assert (done.chunking.documents, done.new_base) == (2, True)
    assert done.vectors == {"words@1": done.chunking.written.added} == {"words@1": vectors(pipeline)}
    base = indexes.base(pipeline, OURS)
    assert base is not None and (base.number, base.status, base.encoder.name, base.encoder.dimensions) == (0, "serving", "words@1", 16)
    assert incomplete(pipeline, OURS) == {} and chunk_vectors.orphans(pipeline, OURS) == 0
    assert any(text.startswith("About tax\nTaxes are due") for text in fake.encoder.texts)


def test_nothing_new_encodes_nothing_and_opens_no_encoder(load: Load, pipeline: Connection) -> None:
    load("documents", [document("tax", "Taxes are due in May.")])
    _, encoders = fake_encoders()
    ensure_base(pipeline, OURS, encoders)
    fake, encoders = fake_encoders()
    done = ensure_base(pipeline, OURS, encoders)
    assert (done.chunking.documents, done.vectors, done.new_base, fake.opened) == (0, {}, False, 0)


def test_an_edit_of_one_section_encodes_that_section_alone(load: Load, pipeline: Connection) -> None:
    load("documents", [document("vat", "\n\n".join(SECTIONS))])
    ensure_base(pipeline, OURS, fake_encoders()[1])
    before = {row[0] for row in stored(pipeline)}
    edited = [*SECTIONS[:3], SECTIONS[3] + " and now something else", *SECTIONS[4:]]
    load("documents", [document("vat", "\n\n".join(edited))])
    fake, encoders = fake_encoders()
    done = ensure_base(pipeline, OURS, encoders)
    after = {row[0] for row in stored(pipeline)}
    assert len(before - after) == len(after - before) == len(fake.encoder.texts) == done.chunking.written.added == done.chunking.written.removed == 1
    assert done.chunking.written.kept == len(before) - 1
    assert vectors(pipeline) == len(after)


def test_a_new_title_encodes_a_documents_chunks_again_under_the_same_ids(load: Load, pipeline: Connection) -> None:
    load("documents", [document("tax", "Taxes are due in May.")])
    ensure_base(pipeline, OURS, fake_encoders()[1])
    before = stored(pipeline)
    load("documents", [document("tax", "Taxes are due in May.") | {"title": "Deadlines"}])
    fake, encoders = fake_encoders()
    ensure_base(pipeline, OURS, encoders)
    after = stored(pipeline)
    assert [row[0] for row in after] == [row[0] for row in before]
    assert ([row[3] for row in after], fake.encoder.texts) == (["Deadlines"], ["Deadlines\nTaxes are due in May."])


def test_documents_that_are_gone_take_their_chunks_and_vectors_along(load: Load, pipeline: Connection) -> None:
    load("documents", [document("tax", "Taxes are due in May."), document("vat", "VAT is due in June.")])
    ensure_base(pipeline, OURS, fake_encoders()[1])
    pipeline.execute("UPDATE documents SET is_active = false WHERE id = 'tax'")
    done = ensure_base(pipeline, OURS, fake_encoders()[1])
    assert ({row[1] for row in stored(pipeline)}, vectors(pipeline), done.chunking.written.removed) == ({"vat"}, 1, 1)
    pipeline.execute("UPDATE documents SET is_active = true WHERE id = 'tax'")
    ensure_base(pipeline, OURS, fake_encoders()[1])
    assert ({row[1] for row in stored(pipeline)}, vectors(pipeline)) == ({"tax", "vat"}, 2)


def test_a_search_between_a_change_and_its_postings_and_vectors_shows_no_chunk_that_is_gone(load: Load, pipeline: Connection, tmp_path: Path) -> None:
    load("documents", [document("tax", "Taxes are due in May."), document("vat", "VAT is due in June.")])
    fake, encoders = fake_encoders()
    ensure_base(pipeline, OURS, encoders)
    base = indexes.base(pipeline, OURS)
    assert base is not None

    def found(query: str) -> list[str]:
        loaded = Loaded(Settings(home=tmp_path), lambda _: fake.encoder)
        return [hit.text for hit in Searcher(pipeline, OURS, None, base, loaded).search(query, 10)]

    assert found("taxes due")[0] == "Taxes are due in May."
    load("documents", [document("tax", "Taxes are due in July.")])
    refresh_chunks(pipeline, OURS)
    assert "Taxes are due in May." not in found("taxes due")
    refresh_texts(pipeline, OURS, None)
    assert "Taxes are due in July." in found("taxes due in July")  # by its words: it has no vector yet
    pipeline.execute("UPDATE documents SET is_active = false WHERE id = 'vat'")
    refresh_chunks(pipeline, OURS)
    assert "VAT is due in June." not in found("VAT due in June")


def test_postings_follow_every_portion_where_an_index_serves(load: Load, pipeline: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    load("documents", [document(f"d{number}", "Taxes are due in May.") for number in range(4)])
    ensure_base(pipeline, OURS, fake_encoders()[1])
    monkeypatch.setattr(knowledge, "PORTION_DOCUMENTS", 1)
    load("documents", [document(f"d{number}", "Taxes are due in July.") for number in range(4)])
    behind: list[int] = []
    original = knowledge.refresh_lexical

    def counted(*given: Any) -> Any:
        behind.append(pending(pipeline, OURS))
        return original(*given)

    monkeypatch.setattr(knowledge, "refresh_lexical", counted)
    _, postings = refresh_texts(pipeline, OURS, None)
    assert (max(behind), len(behind), postings.added, postings.removed) == (2, 5, 4, 4)


def test_edited_chunks_go_with_the_chunks_they_were_made_of_and_stay_otherwise(desk: None, load: Load, pipeline: Connection) -> None:
    load("documents", [document(name, "Taxes are due in May.", agent="desk") for name in ("first", "second")])
    ensure_base(pipeline, OURS, fake_encoders()[1])
    edit = pipeline.execute("INSERT INTO chunk_edits (organization_id, id, agent_id) VALUES (%s, gen_random_uuid(), %s) RETURNING id", [OURS, DESK]).fetchone()
    assert edit is not None
    for name in ("first", "second"):
        pipeline.execute(
            """INSERT INTO knowledge_chunks (organization_id, id, document_id, agent_id, position, text, content_hash, edit_id)
            VALUES (%s, %s, %s, %s, 0, 'Edited.', '\\x00', %s)""",
            [OURS, f"edited {name}", name, DESK, edit[0]],
        )
    load("documents", [document("first", "Taxes are due in July.", agent="desk"), document("second", "Taxes are due in May.", agent="desk", metadata={"a": 1})])
    ensure_base(pipeline, OURS, fake_encoders()[1])
    assert [row[0] for row in stored(pipeline) if row[4] == "Edited."] == ["edited second"]


def test_a_document_that_changes_hands_keeps_its_vectors(desk: None, load: Load, pipeline: Connection) -> None:
    load("documents", [document("tax", "Taxes are due in May.")])
    ensure_base(pipeline, OURS, fake_encoders()[1])
    load("documents", [document("tax", "Taxes are due in May.", agent="desk")])
    fake, encoders = fake_encoders()
    ensure_base(pipeline, OURS, encoders)
    assert ([row[2] for row in stored(pipeline)], fake.encoder.texts) == ([DESK], [])


def test_another_chunker_cuts_everything_again_and_equal_chunks_keep_their_vectors(load: Load, pipeline: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    load("documents", [document("tax", "Taxes are due in May.")])
    ensure_base(pipeline, OURS, fake_encoders()[1])
    monkeypatch.setattr(knowledge, "CHUNKER", "next")
    assert incomplete(pipeline, OURS) == {"documents not chunked": 1}
    monkeypatch.undo()
    pipeline.execute("DELETE FROM chunk_embeddings")
    assert incomplete(pipeline, OURS) == {"without vectors of words@1": 1}
    ensure_base(pipeline, OURS, fake_encoders()[1])
    monkeypatch.setattr(knowledge, "CHUNKER", "next")
    fake, encoders = fake_encoders()
    done = ensure_base(pipeline, OURS, encoders)
    assert (done.chunking.documents, done.chunking.written.kept, fake.encoder.texts) == (1, 1, [])


def test_what_cannot_be_chunked_has_a_problem_and_stops_nothing_else(load: Load, pipeline: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    binary = "".join(chr(code) for code in [*range(1, 32), *range(127, 160)]) * 20
    load("documents", [document("binary", binary), document("rules", "| --- |\n| :-: |\n\n***"), document("tax", "Taxes are due in May.")])
    original = knowledge.chunk
    monkeypatch.setattr(knowledge, "chunk", lambda *given: 1 / 0 if given[0] == "breaks" else original(*given))
    load("documents", [document("breaks", "Text that breaks a parser.")])
    done = ensure_base(pipeline, OURS, fake_encoders()[1])
    assert {row[1] for row in stored(pipeline)} == {"tax"}
    assert done.chunking.problems == {"binary": 1, "no words": 1, "unreadable": 1}
    assert [name for name, _ in chunks.problems(pipeline, OURS)] == ["binary", "breaks", "rules"]
    assert incomplete(pipeline, OURS) == {}
    assert ensure_base(pipeline, OURS, fake_encoders()[1]).chunking.documents == 0


def test_another_encoder_replaces_the_base_when_all_its_vectors_are_there(load: Load, pipeline: Connection) -> None:
    load("documents", [document("tax", "Taxes are due in May."), document("vat", "VAT is due in June.")])
    ensure_base(pipeline, OURS, fake_encoders()[1])
    broken, encoders = fake_encoders(WordEncoder("other@2", 24))

    def down(texts: Any, **_: Any) -> Any:
        raise RuntimeError("away")

    monkey = pytest.MonkeyPatch()
    monkey.setattr(broken.encoder, "encode", down)
    with pytest.raises(RuntimeError):
        ensure_base(pipeline, OURS, encoders)
    monkey.undo()
    base = indexes.base(pipeline, OURS)
    assert base is not None and base.encoder.name == "words@1"
    ensure_base(pipeline, OURS, fake_encoders(WordEncoder("other@2", 24))[1])
    base = indexes.base(pipeline, OURS)
    assert base is not None and (base.encoder.name, base.encoder.dimensions) == ("other@2", 24)
    assert chunk_vectors.counts(pipeline, OURS) == {"other@2": 2, "words@1": 2}


def test_a_full_disk_leaves_what_serves_and_says_so(
    load: Load, pipeline: Connection, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load("documents", [document("tax", "Taxes are due in May.")])
    ensure_base(pipeline, OURS, fake_encoders()[1])
    load("documents", [document("vat", "VAT is due in June.")])

    def full(*_: Any) -> int:
        raise psycopg.errors.DiskFull("could not extend file: No space left on device")

    with monkeypatch.context() as patched, pytest.raises(Unavailable, match="disk of the database is full"):
        patched.setattr(chunk_vectors, "write", full)
        with Store(Settings(home=tmp_path), database).pipeline() as connection:
            ensure_base(connection, OURS, fake_encoders()[1])
    base = indexes.base(pipeline, OURS)
    assert base is not None and (base.status, base.encoder.name, vectors(pipeline)) == ("serving", "words@1", 1)
    ensure_base(pipeline, OURS, fake_encoders()[1])
    assert vectors(pipeline) == 2


def test_an_encoder_whose_model_is_gone_stops_no_other(desk: None, load: Load, pipeline: Connection) -> None:
    load("documents", [document("tax", "Taxes are due in May.")])
    gone, there = WordEncoder("a gone@1"), WordEncoder("b there@1")
    ensure_base(pipeline, OURS, fake_encoders(WordEncoder(), there)[1])
    for label, encoder in zip(LABELS, (gone, there), strict=True):
        identity = indexes.add_encoder(pipeline, OURS, name=encoder.name, model="m", dimensions=16, artifact_path="p", sha256="s", agent_id=DESK)
        number = indexes.add(pipeline, AGENT_REF, encoder_id=identity, kind="index", parent=0, config={}, metrics={}, training_run_id=None)
        indexes.point(pipeline, AGENT_REF, label, number, None)
    _, encoders = fake_encoders(WordEncoder(), there)
    with pytest.raises(LearningError, match="a gone@1 is gone"):
        embed_used(pipeline, OURS, encoders)
    assert chunk_vectors.counts(pipeline, OURS) == {"words@1": 1, "b there@1": 1}


def test_learnt_encoders_that_serve_get_vectors_of_later_documents_and_others_do_not(desk: None, load: Load, pipeline: Connection) -> None:
    load("documents", [document("tax", "Taxes are due in May.", agent="desk"), document("vat", "VAT is due in June.")])
    serving, forgotten = WordEncoder("learnt@1"), WordEncoder("learnt@2")
    _, encoders = fake_encoders(WordEncoder(), serving, forgotten)
    ensure_base(pipeline, OURS, encoders)
    versions = {}
    for encoder in (serving, forgotten):
        identity = indexes.add_encoder(pipeline, OURS, name=encoder.name, model="m", dimensions=16, artifact_path="p", sha256="s", agent_id=DESK)
        versions[encoder.name] = indexes.EncoderVersion(identity, encoder.name, "m", 16, "p", "s")
        embed(pipeline, OURS, versions[encoder.name], encoder, DESK)
        number = indexes.add(pipeline, AGENT_REF, encoder_id=identity, kind="index", parent=0, config={}, metrics={}, training_run_id=None)
        if encoder is serving:
            indexes.move_serving(pipeline, AGENT_REF, number, None)
    load("agents", [{**AGENT, "agent": "other"}])
    load("documents", [document("new", "A new article."), document("theirs", "Of the other agent.", agent="other")])
    ensure_base(pipeline, OURS, encoders)
    assert incomplete(pipeline, OURS) == {"without vectors of learnt@1": 1}
    assert embed_used(pipeline, OURS, encoders) == {"learnt@1": 1}
    assert incomplete(pipeline, OURS) == {}
    assert chunk_vectors.counts(pipeline, OURS) == {"words@1": 4, "learnt@1": 3, "learnt@2": 2}


def test_the_arms_of_an_experiment_get_vectors_of_later_documents_until_it_ends(desk: None, load: Load, pipeline: Connection) -> None:
    """A variant that cannot find what came since its start would lose for that alone."""
    load("documents", [document("tax", "Taxes are due in May.", agent="desk")])
    learnt = WordEncoder("learnt@1")
    _, encoders = fake_encoders(WordEncoder(), learnt)
    ensure_base(pipeline, OURS, encoders)
    identity = indexes.add_encoder(pipeline, OURS, name=learnt.name, model="m", dimensions=16, artifact_path="p", sha256="s", agent_id=DESK)
    number = indexes.add(pipeline, AGENT_REF, encoder_id=identity, kind="index", parent=0, config={}, metrics={}, training_run_id=None)
    arms = (Arm("control", 0, 0.5), Arm("treatment", number, 0.5))
    trial = experiments.add(pipeline, AGENT_REF, name="trial", subject="index", arms=arms)
    made = []
    for status in ("draft", "running", "paused", "completed"):
        experiments.set_status(pipeline, OURS, trial, status)  # type: ignore[arg-type]
        load("documents", [document(f"new-{status}", "A new article.", agent="desk")])
        ensure_base(pipeline, OURS, encoders)
        made.append(embed_used(pipeline, OURS, encoders).get("learnt@1", 0))
    assert made == [0, 3, 1, 0]


def test_an_agents_refresh_takes_up_its_own_and_the_shared_documents(desk: None, load: Load, pipeline: Connection) -> None:
    load("agents", [{**AGENT, "agent": "other"}])
    load("documents", [document("first", "The first.")])
    ensure_base(pipeline, OURS, fake_encoders()[1])
    load("documents", [document("shared", "For all."), document("mine", "Mine.", agent="desk"), document("theirs", "Theirs.", agent="other")])
    ensure_base(pipeline, OURS, fake_encoders()[1], agent_id=DESK)
    assert {row[1] for row in stored(pipeline)} == {"first", "shared", "mine"}


def test_tenants_with_the_same_documents_have_an_index_each(load: Load, pipeline: Connection) -> None:
    load("documents", [document("tax", "Taxes are due in May.")])
    load("documents", [document("tax", "Taxes are due in May.")], "other")
    ensure_base(pipeline, OURS, fake_encoders()[1])
    assert (vectors(pipeline), vectors(pipeline, organization_id("other"))) == (1, 0)
    ensure_base(pipeline, organization_id("other"), fake_encoders()[1])
    load("documents", [document("tax", "Now in June.")], "other")
    ensure_base(pipeline, organization_id("other"), fake_encoders()[1])
    assert stored(pipeline)[0][4] == "Taxes are due in May."
    assert stored(pipeline, organization_id("other"))[0][4] == "Now in June."


def test_an_organization_without_documents_has_an_empty_index(load: Load, pipeline: Connection) -> None:
    load("agents", [AGENT])
    ensure_base(pipeline, OURS, fake_encoders()[1])
    assert indexes.base(pipeline, OURS) is not None and vectors(pipeline) == 0


def test_while_another_process_builds_whoever_need_not_wait_goes_on_with_what_serves(load: Load, pipeline: Connection, database: Database) -> None:
    load("documents", [document("tax", "Taxes are due in May.")])
    ensure_base(pipeline, OURS, fake_encoders()[1])
    with database.connect("pipeline") as other, chunks.locked(other, OURS):
        assert ensure_base(pipeline, OURS, fake_encoders()[1], wait=False).busy
    assert not ensure_base(pipeline, OURS, fake_encoders()[1], wait=False).busy


def test_the_service_can_read_chunks_and_how_documents_were_chunked_of_its_tenant_only(load: Load, pipeline: Connection, database: Database) -> None:
    load("documents", [document("tax", "Taxes are due in May.")])
    ensure_base(pipeline, OURS, fake_encoders()[1])
    with database.connect("api") as api:
        for organization, count in ((OURS, 1), (organization_id("other"), 0)):
            with api.transaction():
                api.execute("SELECT set_config('app.current_organization_id', %s, true), set_config('app.current_role', 'user', true)", [str(organization)])
                assert api.execute("SELECT (SELECT count(*) FROM knowledge_chunks) + (SELECT count(*) FROM document_chunkings)").fetchone() == (2 * count,)
                with pytest.raises(psycopg.errors.InsufficientPrivilege), api.transaction():
                    api.execute("UPDATE document_chunkings SET chunker = 'x'")
