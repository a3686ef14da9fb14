"""Edits of chunks in the database: what a version with one hides and adds, and when that ends.

Belongs here: real rows. Not here: what is worth editing (retrieval/test_chunk_edits.py).
"""

from __future__ import annotations

from hashlib import sha256
from uuid import UUID, uuid4

import pytest

from learning_pipelines.feedback.identity import organization_id
from learning_pipelines.storage import chunk_edits
from learning_pipelines.storage.chunk_edits import Edit, MadeChunk, Operation
from learning_pipelines.storage.database import Connection, Database
from learning_pipelines.storage.tenants import AgentRef
from learning_pipelines_tests.conftest import Load

OURS, THEIRS = organization_id("default"), organization_id("other")
EDIT = UUID(int=7)


@pytest.fixture
def pipeline(pipeline: Connection, load: Load) -> Connection:
    """Two documents of an agent with three chunks each."""
    load("agents", [{"agent": "desk"}])
    load("documents", [{"document_id": name, "agent": "desk", "text": f"All of {name}."} for name in ("a", "b")])
    for document in ("a", "b"):
        for position in range(3):
            chunk(pipeline, f"{document}{position}", document, position)
    return pipeline


def chunk(connection: Connection, name: str, document: str, position: int) -> None:
    connection.execute(
        """INSERT INTO knowledge_chunks (organization_id, id, document_id, agent_id, position, text, content_hash)
        SELECT organization_id, %s, id, agent_id, %s, %s, %s FROM documents WHERE organization_id = %s AND id = %s""",
        [name, position, f"Text {name}", sha256(name.encode()).digest(), OURS, document],
    )


def desk(connection: Connection) -> AgentRef:
    row = connection.execute("SELECT id FROM agents WHERE organization_id = %s AND slug = 'desk'", [OURS]).fetchone()
    assert row is not None
    return AgentRef(OURS, "default", row[0], "desk")


def merge(connection: Connection, document: str, made: str | None = None) -> Operation:
    row = connection.execute("SELECT content_hash FROM documents WHERE organization_id = %s AND id = %s", [OURS, document]).fetchone()
    assert row is not None
    new = MadeChunk(made or f"{document}0+1", 0, None, f"Text {document}0 and 1", b"h" * 32)
    return Operation("merge", document, row[0], (f"{document}0", f"{document}1"), (new,), {"support": 4})


def edited(connection: Connection, edit: UUID = EDIT) -> Edit:
    return chunk_edits.edit_of(connection, OURS, edit)


def test_an_edit_hides_what_it_replaces_and_adds_what_it_made(pipeline: Connection) -> None:
    assert chunk_edits.add_edit(pipeline, desk(pipeline), EDIT, [merge(pipeline, "a"), merge(pipeline, "b")], None)
    assert edited(pipeline) == Edit(("a0", "a1", "b0", "b1"), ("a0+1", "b0+1"))
    stored = pipeline.execute(
        "SELECT document_id, position, text, agent_id = %s FROM knowledge_chunks WHERE edit_id = %s ORDER BY id", [desk(pipeline).agent_id, EDIT]
    )
    assert stored.fetchall() == [("a", 0, "Text a0 and 1", True), ("b", 0, "Text b0 and 1", True)]


def test_no_edit_and_an_unknown_one_change_nothing(pipeline: Connection) -> None:
    assert chunk_edits.edit_of(pipeline, OURS, None) == edited(pipeline, uuid4()) == Edit((), ())


def test_storing_an_edit_again_changes_nothing(pipeline: Connection) -> None:
    chunk_edits.add_edit(pipeline, desk(pipeline), EDIT, [merge(pipeline, "a")], None)
    assert not chunk_edits.add_edit(pipeline, desk(pipeline), EDIT, [merge(pipeline, "b")], None)
    assert edited(pipeline).added == ("a0+1",)


def test_a_changed_document_takes_its_operations_out_of_effect_and_leaves_the_others(pipeline: Connection, load: Load) -> None:
    chunk_edits.add_edit(pipeline, desk(pipeline), EDIT, [merge(pipeline, "a"), merge(pipeline, "b")], None)
    load("documents", [{"document_id": "a", "agent": "desk", "text": "Something else."}])
    assert edited(pipeline) == Edit(("b0", "b1"), ("b0+1",))
    assert [each.holds for each in chunk_edits.operations_of(pipeline, OURS, EDIT)] == [False, True]


def test_an_operation_ends_with_a_replaced_chunk(pipeline: Connection) -> None:
    """Another chunker may cut the same document elsewhere: the edit would show a passage twice."""
    chunk_edits.add_edit(pipeline, desk(pipeline), EDIT, [merge(pipeline, "a")], None)
    pipeline.execute("DELETE FROM knowledge_chunks WHERE organization_id = %s AND id = 'a1'", [OURS])
    assert edited(pipeline) == Edit((), ())
    chunk(pipeline, "a1", "a", 1)
    assert edited(pipeline) == Edit((), ())  # what came back is the document's own


def test_an_operation_ends_with_a_chunk_it_made(pipeline: Connection) -> None:
    """Whoever writes a document's chunks anew deletes them; a document that is changed back would else show neither old nor new."""
    chunk_edits.add_edit(pipeline, desk(pipeline), EDIT, [merge(pipeline, "a")], None)
    pipeline.execute("DELETE FROM knowledge_chunks WHERE organization_id = %s AND id = 'a0+1'", [OURS])
    assert edited(pipeline) == Edit((), ())


def test_other_chunks_of_the_document_may_go(pipeline: Connection) -> None:
    chunk_edits.add_edit(pipeline, desk(pipeline), EDIT, [merge(pipeline, "a"), merge(pipeline, "b")], None)
    pipeline.execute("DELETE FROM knowledge_chunks WHERE organization_id = %s AND id IN ('a2', 'b0')", [OURS])
    assert edited(pipeline).added == ("a0+1",)


def test_void_operations_are_dropped_with_their_chunks(pipeline: Connection, load: Load) -> None:
    chunk_edits.add_edit(pipeline, desk(pipeline), EDIT, [merge(pipeline, "a"), merge(pipeline, "b")], None)
    load("documents", [{"document_id": "a", "agent": "desk", "text": "Something else."}])
    assert chunk_edits.drop_void(pipeline, OURS) == 1 and chunk_edits.drop_void(pipeline, OURS) == 0
    assert pipeline.execute("SELECT id FROM knowledge_chunks WHERE edit_id IS NOT NULL").fetchall() == [("b0+1",)]
    assert [each.document_id for each in chunk_edits.operations_of(pipeline, OURS, EDIT)] == ["b"]


def test_a_deleted_document_takes_its_operations_along(pipeline: Connection) -> None:
    chunk_edits.add_edit(pipeline, desk(pipeline), EDIT, [merge(pipeline, "a"), merge(pipeline, "b")], None)
    pipeline.execute("DELETE FROM documents WHERE organization_id = %s AND id = 'a'", [OURS])
    assert edited(pipeline) == Edit(("b0", "b1"), ("b0+1",))


def test_edits_that_no_version_names_go_after_a_while_and_named_ones_stay(pipeline: Connection) -> None:
    agent, named = desk(pipeline), UUID(int=8)
    chunk_edits.add_edit(pipeline, agent, EDIT, [merge(pipeline, "a")], None)
    chunk_edits.add_edit(pipeline, agent, named, [merge(pipeline, "a", "other")], None)
    pipeline.execute("INSERT INTO encoder_versions (organization_id, id, model, dimensions) VALUES (%s, %s, 'm', 3)", [OURS, EDIT])
    pipeline.execute(
        """INSERT INTO index_versions (organization_id, agent_id, number, kind, encoder_id, config)
        VALUES (%s, %s, 1, 'chunk_edit', %s, jsonb_build_object('chunk_edit', %s::text))""",
        [OURS, agent.agent_id, EDIT, named],
    )
    assert chunk_edits.drop_unnamed(pipeline, OURS, 1) == 0
    pipeline.execute("UPDATE chunk_edits SET created_at = now() - interval '2 days'")
    assert chunk_edits.drop_unnamed(pipeline, OURS, 1) == 1
    assert edited(pipeline) == Edit((), ()) and edited(pipeline, named).added == ("other",)
    assert pipeline.execute("SELECT id FROM knowledge_chunks WHERE edit_id IS NOT NULL").fetchall() == [("other",)]


def test_the_service_reads_the_edits_of_its_own_organization_only(pipeline: Connection, database: Database) -> None:
    chunk_edits.add_edit(pipeline, desk(pipeline), EDIT, [merge(pipeline, "a")], None)
    for organization, expected in ((OURS, ("a0+1",)), (THEIRS, ())):
        with database.connect("api") as connection, connection.transaction():
            for name, value in (("organization_id", str(organization)), ("role", "user")):
                connection.execute("SELECT set_config(%s, %s, true)", [f"app.current_{name}", value])
            assert edited(connection).added == expected and chunk_edits.edit_of(connection, THEIRS, EDIT) == Edit((), ())
