"""No question of the split test reaches anything that is learnt: pairs, priors, re-ranker, expansion, edits, caches.

Belongs here: the one walk over every table and every file that learning leaves. Not here: how splits are decided (test_query_splits.py).

Every question has a word of its own that is nowhere else. After everything was learnt, the words and texts of test questions are looked for in every
column of every table, but for retrieval_events and retrieval_queries, which hold the questions themselves, and in every file. That the words of
train questions are found shows that the search can find.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from learning_pipelines.examples.duplicates import normalised
from learning_pipelines.retrieval.bm25 import Bm25
from learning_pipelines.retrieval.chunking import indexed
from learning_pipelines.retrieval.index import IndexConfig
from learning_pipelines.retrieval.judged import judged_queries
from learning_pipelines.retrieval.learning.adapter import Adapter
from learning_pipelines.retrieval.learning.associations import ExpansionLearner
from learning_pipelines.retrieval.learning.fusion import Fusion
from learning_pipelines.retrieval.learning.reranker import RerankerLearner
from learning_pipelines.retrieval.learning.triples import triples
from learning_pipelines.retrieval.pairs import mined_negatives, refresh_pairs
from learning_pipelines.retrieval.relevance_refresh import refresh_relevance
from learning_pipelines.retrieval.task import Passages, Training
from learning_pipelines.storage import chunk_relevance, indexes
from learning_pipelines.storage.database import Connection
from learning_pipelines_tests.conftest import Load
from learning_pipelines_tests.retrieval.judging import BY_BOTH, WordEncoder, World, world
from learning_pipelines_tests.retrieval.leaks import in_files, in_tables

TOPICS, ASKED = 60, 4


@dataclass(frozen=True)
class Learnt:
    """Everything learnt from one agent's feedback. `said`: split to the own words and the normalized texts of its questions."""

    world: World
    folder: Path
    said: dict[str, set[str]]
    kept: list[str]


def silent(share: float, line: str, numbers: object) -> None:
    """No progress."""


@pytest.fixture
def learnt(pipeline: Connection, load: Load, tmp_path: Path) -> Learnt:
    desk = world(pipeline, load)
    rng = np.random.default_rng(5)
    words = [f"term{number}" for number in range(200)]
    # Each topic is called otherwise by those who ask than by those who write, so that there is something to learn for everybody.
    desk.documents({f"d{topic}": f"official{topic} notes say: {' '.join(rng.choice(words, 12))} and formal{topic % 12} rules" for topic in range(TOPICS)})
    desk.embed()
    own = {}
    rows = []
    for topic in range(TOPICS):
        for number in range(ASKED):
            own[(topic, number)] = f"own{topic}x{number}y"
            shown = list(dict.fromkeys(f"d{other}" for other in [*rng.integers(0, TOPICS, 3).tolist(), topic]))
            text = f"Please, lay{topic % 12} {rng.choice(words)} of official{topic}: {own[(topic, number)]}?"
            rows.append({"query": text, "retrieved": shown, "relevant": [f"d{topic}"], "user": f"person-{topic}-{number}"})
    desk.say(*rows)
    desk.refresh(rule=BY_BOTH)
    refresh_pairs(desk.connection, desk.agent)
    refresh_relevance(desk.connection, desk.agent)
    kept = learn(desk, tmp_path)
    said: dict[str, set[str]] = {}
    for text, one in desk.stored().items():
        said.setdefault(one["split"], set()).update({normalised(text), next(word for word in own.values() if word in text)})
    return Learnt(desk, tmp_path, said, kept)


def learn(desk: World, folder: Path) -> list[str]:
    """Every cheap learner on what the database holds, whether it gains or not; versions are stored. Returns whose files are there."""
    rows = desk.connection.execute("SELECT id, document_id, heading, text FROM knowledge_chunks ORDER BY id").fetchall()
    encoder = WordEncoder()
    texts = [indexed(heading, text) for *_, heading, text in rows]
    passages = Passages(tuple(row[0] for row in rows), tuple(row[1] for row in rows), texts, encoder.encode(texts))
    train, validation = judged_queries(desk.connection, desk.agent, "train"), judged_queries(desk.connection, desk.agent, "validation")
    vectors = [encoder.encode([one.text for one in part]) for part in (train, validation)]
    negatives = mined_negatives(desk.connection, desk.agent)
    identity = indexes.add_encoder(desk.connection, desk.agent.organization_id, name=encoder.name, model="words", dimensions=encoder.dimensions)
    kept = []
    for learner in (Fusion(), Adapter(), RerankerLearner(), ExpansionLearner()):
        own = folder / learner.name
        own.mkdir()
        training = Training(passages, Bm25.build(texts), train, validation, vectors[0], vectors[1], negatives, encoder, IndexConfig(), own, 1)
        found = learner.learn(training, IndexConfig(), silent)
        if found is not None:
            kept.append(learner.name)
            config = replace(found.config, notes=dict(found.numbers)).as_json()
            indexes.add(
                desk.connection, desk.agent, encoder_id=identity, kind="index", parent=0, config=config, metrics=dict(found.numbers), training_run_id=None
            )  # fmt: skip
    made = triples(train, passages, negatives, most=10_000, seed=1)
    np.savez_compressed(folder / "triples.npz", texts=np.asarray([str(value) for value in vars_of(made)]))
    return kept


def vars_of(made: object) -> Iterator[object]:
    """Every field of what trains an encoder, as text."""
    for name in getattr(type(made), "__slots__", None) or vars(made):
        yield getattr(made, name)


def test_no_test_question_is_in_any_table_or_file_that_learning_leaves(learnt: Learnt) -> None:
    assert {split: len(said) // 2 for split, said in learnt.said.items()} == {"train": 120, "validation": 48, "test": 72}
    own = {path for path in in_files(learnt.folder, learnt.said["test"]) if not path.startswith("retrieval_feedback")}  # what `load` imported
    assert (in_tables(learnt.world.connection, learnt.said["test"]), own) == (set(), set())
    # The walk finds what is there: train questions are in the pairs and in what an encoder is trained on.
    assert "embedding_training_pairs.query" in in_tables(learnt.world.connection, learnt.said["train"])
    assert "triples.npz" in in_files(learnt.folder, learnt.said["train"])
    assert learnt.kept, "nothing was learnt, so nothing was looked at"


def test_priors_of_chunks_are_what_they_would_be_without_test_questions(learnt: Learnt) -> None:
    """Priors hold no text: that no word of a test question is in them shows in that they stay the same to the last digit without these."""
    desk = learnt.world
    before = chunk_relevance.relevance(desk.connection, desk.agent)
    desk.connection.execute(
        "DELETE FROM retrieval_events WHERE question_id IN (SELECT id FROM retrieval_queries WHERE split IN ('test', 'validation') OR split IS NULL)"
    )
    desk.connection.execute("UPDATE retrieval_feedback_state SET relevance_of = ''")
    assert refresh_relevance(desk.connection, desk.agent).chunks == len(before) > 0
    assert chunk_relevance.relevance(desk.connection, desk.agent) == before
