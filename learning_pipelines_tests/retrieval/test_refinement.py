"""An expansion, and an edit of chunks, from feedback in the database to what serves, and back: through the searcher, the gate and approval."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from learning_pipelines.retrieval import gate
from learning_pipelines.retrieval.chunking import CAPACITY, tokens
from learning_pipelines.retrieval.index import IndexConfig
from learning_pipelines.retrieval.knowledge import ensure_base
from learning_pipelines.storage import chunk_edits, indexes
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.tenants import AgentRef, known_agent
from learning_pipelines_tests.conftest import Load
from learning_pipelines_tests.retrieval.refining import FILLER, World, asked, foreign_documents, foreign_questions


@pytest.fixture
def foreign(pipeline: Connection, load: Load, tmp_path: Path) -> World:
    return World(pipeline, load, tmp_path, foreign_documents())


def test_an_expansion_that_gains_is_proposed_approved_served_and_rolled_back(foreign: World) -> None:
    foreign.say(foreign_questions())
    before = foreign.search("VAT refund of thing7")
    found = foreign.refine("expansion")
    assert found.reason == "" and found.tested is not None and found.tested.evidence.difference > 0.1
    assert foreign.search("VAT refund of thing7") == before  # nothing learnt serves before it is approved
    again = foreign.refine("expansion", "again")
    assert again.proposal is None and "nothing changed since training run" in again.reason and foreign.tests("expansion") == 1
    foreign.approve(found.proposal)
    after = foreign.search("VAT refund of thing7")
    assert after[0].document_id == "7-vor" and "vorsteu" in str(list(after[0].explanation.expansion))
    more = foreign.refine("expansion", "more")
    assert more.proposal is None and "no gain" in more.reason and foreign.tests("expansion") == 1  # what gains nothing on validation spends nothing
    foreign.rollback()
    assert foreign.search("VAT refund of thing7") == before


def test_shuffled_feedback_proposes_no_expansion_and_says_why(foreign: World) -> None:
    foreign.say(foreign_questions(shuffled=True))
    found = foreign.refine("expansion")
    assert found.proposal is None and ("no association" in found.reason or "no gain" in found.reason or "no evidence" in found.reason)
    assert indexes.listed(foreign.connection, foreign.agent) == []


def test_nothing_of_held_out_questions_is_learnt(foreign: World) -> None:
    """Every question outside train says a word that no text holds, as train's say VAT: none of the associations is of that word."""
    foreign.say(foreign_questions())
    rows = foreign.connection.execute("SELECT DISTINCT split FROM retrieval_queries WHERE organization_id = %s", [foreign.tenant]).fetchall()
    assert {split for (split,) in rows} == {"train", "validation", "test"}
    foreign.connection.execute("UPDATE retrieval_queries SET text = text || ' zzzheld' WHERE organization_id = %s AND split <> 'train'", [foreign.tenant])
    found = foreign.refine("expansion")
    assert found.version is not None
    version = indexes.version(foreign.connection, foreign.agent, found.version)
    assert version is not None
    artifact = IndexConfig.from_json(version.config).expansion
    assert artifact is not None
    learnt = foreign.loaded.expansion(artifact).associations
    assert "vat" in learnt and "zzzheld" not in str(learnt)


def test_too_little_feedback_ends_with_a_reason(foreign: World) -> None:
    foreign.say(foreign_questions()[:30])
    found = foreign.refine("expansion")
    assert found.proposal is None and ("test queries" in found.reason or "no judged query" in found.reason) and foreign.tests("expansion") == 0


@pytest.fixture
def parted(pipeline: Connection, load: Load, tmp_path: Path) -> World:
    """Documents of two long sections that say one thing each of what is asked for together; beside each, shorter documents that say one of both."""
    rng = random.Random(0)

    def section(*words: str, share: float = 0.6) -> str:
        said = list(words)
        while tokens(" ".join(said)) < share * CAPACITY:
            said += rng.choices(FILLER, k=5)
        rng.shuffle(said)
        return " ".join(said)

    documents = {}
    for number in range(60):
        left, right = f"left{number}x", f"right{number}x"
        documents[f"d{number}"] = f"{section(left)}\n\n{section(right)}"
        sides = [(f"{side}{at}", word) for side, word in (("l", left), ("r", right)) for at in range(3)]
        documents |= {f"x{number}{name}": section(word, share=0.3) for name, word in sides}
    return World(pipeline, load, tmp_path, documents)


def feedback_on(world: World, each: int = 4) -> list[tuple[str, list[str]]]:
    rng, parts = random.Random(2), world.chunks()
    return [(asked(rng, f"left{number}x right{number}x"), parts[f"d{number}"]) for number in range(60) for _ in range(each)]


def another_tenant(world: World, load: Load) -> AgentRef:
    """With an agent and a document of the same names, and an index."""
    load("agents", [{"agent": "desk"}], organization="other")
    load("documents", [{"document_id": "d7", "agent": "desk", "text": "left7x right7x elsewhere"}], organization="other")
    other = known_agent(world.connection, "other", "desk")
    ensure_base(world.connection, other.organization_id, world.encoders)
    return other


def test_an_edit_that_gains_is_proposed_approved_served_and_rolled_back(parted: World, load: Load) -> None:
    parts = parted.chunks()
    assert all(len(parts[f"d{number}"]) == 2 for number in range(60))
    parted.say(feedback_on(parted))
    other = another_tenant(parted, load)
    before = parted.search("left7x right7x", 9)
    found = parted.refine("chunk_edit")
    assert found.reason == "" and found.tested is not None and found.tested.evidence.difference > 0.05
    assert parted.search("left7x right7x", 9) == before
    parted.approve(found.proposal)
    after = parted.search("left7x right7x", 9)
    assert after[0].document_id == "d7" and after[0].chunk_id not in parts["d7"] and "left7x" in after[0].text and "right7x" in after[0].text
    assert not {hit.chunk_id for hit in after} & set(parts["d7"])  # what was merged is not shown beside it
    edit = IndexConfig.from_json(indexes.listed(parted.connection, parted.agent)[0].config).chunk_edit
    assert edit is not None and chunk_edits.edit_of(parted.connection, other.organization_id, edit) == chunk_edits.Edit((), ())
    assert indexes.serving(parted.connection, other.organization_id, other.agent_id) == indexes.base(parted.connection, other.organization_id)
    given = parted.training()
    assert all(query.chunks and query.chunks.keys() <= set(given.passages.ids) for query in given.train)  # what was said of merged chunks is not lost
    load("documents", [{"document_id": "d7", "agent": "desk", "text": "left7x right7x in a new text"}])
    ensure_base(parted.connection, parted.tenant, parted.encoders)
    assert [hit.text for hit in parted.search("left7x right7x", 9) if hit.document_id == "d7"] == ["left7x right7x in a new text"]
    again = parted.refine("chunk_edit", "again")
    assert again.numbers["void_operations"] == 1
    parted.rollback()
    assert parted.search("left8x right8x", 9)[0].chunk_id in {chunk for own in parts.values() for chunk in own}


def test_an_edit_that_the_gate_refuses_leaves_no_chunks(parted: World) -> None:
    """What gains on validation gains nothing for questions that another document helps with."""
    parted.say(feedback_on(parted))
    parted.connection.execute("UPDATE retrieval_queries SET documents = '{\"x0l0\": 1.0}', chunks = '{}' WHERE split = 'test'")
    found = parted.refine("chunk_edit")
    assert found.proposal is None and found.tested is not None and parted.tests("chunk_edit") == 1
    assert parted.connection.execute("SELECT count(*) FROM knowledge_chunks WHERE edit_id IS NOT NULL").fetchone() == (0,)
    assert parted.connection.execute("SELECT count(*) FROM chunk_edits").fetchone() == (0,)


def test_a_run_that_was_killed_after_its_test_takes_its_verdict_up(parted: World, monkeypatch: pytest.MonkeyPatch) -> None:
    parted.say(feedback_on(parted))

    def killed(*given: Any, **named: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(gate, "propose", killed)
        with pytest.raises(KeyboardInterrupt):
            parted.refine("chunk_edit")
    found = parted.refine("chunk_edit")
    assert found.proposal is not None and parted.tests("chunk_edit") == 1
