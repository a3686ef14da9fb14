"""The whole job rag_training leaves no text of a test question anywhere but where questions are kept.

Belongs here: the job end to end. Not here: single steps (retrieval/test_no_leak.py), whether what it learns is better (test_retrieval.py).
"""

from __future__ import annotations

from typing import Any

import pytest

from learning_pipelines.acceptance.approval import OPERATOR, approve
from learning_pipelines.defs import expansion as refining
from learning_pipelines.defs import retrieval as defs
from learning_pipelines.examples.duplicates import normalised
from learning_pipelines.retrieval import training
from learning_pipelines.settings import Settings
from learning_pipelines.storage.database import Connection, Database
from learning_pipelines.storage.store import Store
from learning_pipelines_tests.conftest import Load
from learning_pipelines_tests.defs.conftest import Materialize
from learning_pipelines_tests.defs.test_retrieval import DESK, NoiseEncoders, passages, searches
from learning_pipelines_tests.feedback.rows import agent_ref, table
from learning_pipelines_tests.retrieval.leaks import in_files, in_tables


@pytest.fixture
def store(database: Database, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Store:
    """Every cheap learner; those that train an encoder see the same queries through the same function and take minutes."""
    monkeypatch.setattr(defs, "Encoders", NoiseEncoders)
    monkeypatch.setattr(refining, "Encoders", NoiseEncoders)
    monkeypatch.setattr(training, "encoder_learners", lambda settings: ())
    return Store(Settings(home=tmp_path / "home", timezone="UTC", duplicate_cosine=None, rag_min_pairs=20), database)


def test_no_text_of_a_test_question_is_in_a_table_or_an_artifact_after_the_job_and_its_approval(
    load: Load, run_job: Materialize, pipeline: Connection, store: Store
) -> None:
    load("agents", [{"agent": "desk"}])
    load("documents", passages())
    load("retrieval_feedback", [{**row, "query": f"{row['query']} own{number}y"} for number, row in enumerate(searches())])
    assert run_job("rag_training", DESK).success
    (proposal,) = table(pipeline, "proposals")
    approve(pipeline, agent_ref(pipeline).organization_id, proposal["id"], "immediate", OPERATOR, settings=store.settings)
    said: dict[str, set[str]] = {}
    for text, split in pipeline.execute("SELECT text, split FROM retrieval_queries").fetchall():
        said.setdefault(split, set()).update({normalised(text), text.split()[-1]})
    assert len(said["test"]) == 2 * 72 and len(table(pipeline, "chunk_relevance")) > 0 and len(table(pipeline, "acceptance_test_items")) == 72
    assert (in_tables(pipeline, said["test"]), in_files(store.settings.home, said["test"])) == (set(), set())
    assert "embedding_training_pairs.query" in in_tables(pipeline, said["train"])
