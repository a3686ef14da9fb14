"""Retrieval training as a job: what is better is proposed and serves once approved, luck is not, and what cannot be done ends skipped or failed.

Belongs here: the three assets over a small corpus and an encoder that knows nothing. Not here: learners, gate, approval (their own folders).

The encoder gives every text a random direction, so the vector leg is noise: the words of a question find its passage, and mixing both halves hides it.
Learning to trust the words is a gain that is really there.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Sequence
from hashlib import blake2b
from types import TracebackType
from typing import Any

import dagster as dg
import numpy as np
import pytest

from learning_pipelines.acceptance.approval import OPERATOR, approve, rollback
from learning_pipelines.defs import expansion as refining
from learning_pipelines.defs import retrieval as defs
from learning_pipelines.encoder import BATCH_TEXTS, Vectors
from learning_pipelines.errors import LearningError
from learning_pipelines.retrieval import training
from learning_pipelines.retrieval.artifacts import local
from learning_pipelines.retrieval.index import IndexConfig
from learning_pipelines.retrieval.learning.fusion import Fusion
from learning_pipelines.retrieval.refinement import Refined
from learning_pipelines.retrieval.task import Learnt, Progress, Training
from learning_pipelines.settings import Settings
from learning_pipelines.storage import chunk_vectors, indexes
from learning_pipelines.storage.database import Connection, Database
from learning_pipelines.storage.store import Store
from learning_pipelines_tests.conftest import Load
from learning_pipelines_tests.defs.conftest import Materialize, checks_of, metadata_of
from learning_pipelines_tests.feedback.rows import agent_ref, table
from learning_pipelines_tests.retrieval.fake_encoders import FakeEncoders, WordEncoder

DESK = "default/desk"
PASSAGES = 240
WORDS = [f"{first}{second}{third}" for first in "bdfgk" for second in "aeiou" for third in ("lmon", "rtis", "ndov", "skel", "pram", "tuz")]


class Noise(WordEncoder):
    """Equal texts get equal vectors, all others have nothing in common."""

    def encode(self, texts: Sequence[str], *, batch_size: int = BATCH_TEXTS) -> Vectors:
        self.texts += texts
        rows = [np.random.default_rng(int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")).normal(size=self.dimensions) for text in texts]
        vectors = np.array(rows, dtype=np.float32).reshape(len(texts), self.dimensions)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


class NoiseEncoders(FakeEncoders):
    def __init__(self, settings: Settings) -> None:
        super().__init__(Noise("noise@1"))
        self.settings = settings

    def __enter__(self) -> NoiseEncoders:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None: ...

    def close(self) -> None: ...


@pytest.fixture
def store(database: Database, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setattr(defs, "Encoders", NoiseEncoders)
    monkeypatch.setattr(refining, "Encoders", NoiseEncoders)
    monkeypatch.setattr(refining, "refine", lambda run, kind: Refined("left out here"))  # test_expansion.py
    monkeypatch.setattr(training, "cheap_learners", lambda: (Fusion(),))
    monkeypatch.setattr(training, "encoder_learners", lambda settings: ())
    return Store(Settings(home=tmp_path / "home", timezone="UTC", duplicate_cosine=None, rag_min_pairs=20), database)


def passages() -> list[dict[str, Any]]:
    drawn = random.Random(1)
    return [{"document_id": f"d{number:03}", "text": " ".join([*drawn.choices(WORDS, k=25), f"term{number:03}"])} for number in range(PASSAGES)]


def searches(helped: Callable[[int], int] = lambda number: number, count: int = PASSAGES) -> list[dict[str, Any]]:
    """One question per passage and person; its one word that is rare is in the passage."""
    drawn = random.Random(2)
    return [
        {"query": f"term{number:03} {' '.join(drawn.choices(['unsaid', 'absent', 'missing', 'nowhere', 'lacking', 'gone'], k=4))} q{number}", "agent": "desk",
         "retrieved": [f"d{helped(number):03}", f"d{(number + 7) % PASSAGES:03}"], "relevant": [f"d{helped(number):03}"], "user": f"u{number}"}
        for number in range(count)
    ]  # fmt: skip


@pytest.fixture
def desk(load: Load) -> None:
    load("agents", [{"agent": "desk"}])
    assert load("documents", passages()).rejected == 0
    assert load("retrieval_feedback", searches()).rejected == 0


def reason_of(result: dg.ExecuteInProcessResult, instance: dg.DagsterInstance) -> str:
    run = instance.get_run_by_id(result.run_id)
    assert run is not None
    return run.tags.get("learning/reason", "")


def serving(connection: Connection) -> int:
    agent = agent_ref(connection)
    found = indexes.serving(connection, agent.organization_id, agent.agent_id)
    assert found is not None
    return found.number


def test_a_better_index_is_proposed_with_its_numbers_serves_once_approved_and_can_be_taken_back(
    desk: None, run_job: Materialize, pipeline: Connection, store: Store
) -> None:
    result = run_job("rag_training", DESK)
    assert checks_of(result) == {"beats_serving_index": True, "refinement_beats_serving_index": True}
    (proposal,) = table(pipeline, "proposals")
    assert (proposal["kind"], proposal["verdict"], proposal["state"], proposal["dagster_run_id"]) == ("index", "better", "open", result.run_id)
    assert (proposal["subject"], proposal["incumbent"]["version"]) == ({"version": 1}, 0)
    found = metadata_of(result, "retrieval_evaluation")
    assert found["difference"] > 0.1 and found["low"] > 0 and found["p_value"] <= found["alpha"]
    assert found["ndcg_candidate"] > found["ndcg_serving"] and found["wins"] > found["losses"]
    texts = [repr(value) for asset in ("reranker", "retrained_embeddings", "retrieval_evaluation") for value in metadata_of(result, asset).values()]
    assert not any(word in one for one in texts for word in ("unsaid", "term0"))  # numbers and ids, no text of anybody
    agent = agent_ref(pipeline)
    version = indexes.version(pipeline, agent, 1)
    assert version is not None and version.config["lexical_weight"] > 0.5
    assert set(version.metrics["candidate"]["intervals"]) == {"ndcg@10", "mrr@10", "recall@10", "recall@100"}
    assert serving(pipeline) == 0  # nothing learnt serves before somebody approves it
    approve(pipeline, agent.organization_id, proposal["id"], "immediate", OPERATOR, settings=store.settings)
    assert serving(pipeline) == 1
    rollback(pipeline, agent, OPERATOR, "index", settings=store.settings)
    assert serving(pipeline) == 0
    assert (table(pipeline, "training_runs")[0]["status"], table(pipeline, "training_runs")[0]["review_status"]) == ("completed", "approved")
    assert not training.folder_of(store.settings, table(pipeline, "training_runs")[0]["id"]).exists()


def test_what_was_learnt_from_shuffled_feedback_is_not_proposed(load: Load, run_job: Materialize, pipeline: Connection, instance: dg.DagsterInstance) -> None:
    order = list(range(PASSAGES))
    random.Random(3).shuffle(order)
    load("agents", [{"agent": "desk"}])
    load("documents", passages())
    load("retrieval_feedback", searches(lambda number: order[number]))
    result = run_job("rag_training", DESK)
    assert result.success and table(pipeline, "proposals") == []
    assert serving(pipeline) == 0
    assert reason_of(result, instance).startswith(("no evidence", "worse", "nothing "))
    assert table(pipeline, "training_runs")[0]["status"] == "completed"


def test_with_nothing_new_a_second_run_is_skipped_and_spends_nothing(
    desk: None, run_job: Materialize, pipeline: Connection, instance: dg.DagsterInstance
) -> None:
    run_job("rag_training", DESK)
    again = run_job("rag_training", DESK)
    assert "nothing changed since training run" in reason_of(again, instance)
    assert (len(table(pipeline, "training_runs")), len(table(pipeline, "acceptance_tests"))) == (1, 1)


def test_below_the_threshold_of_new_pairs_the_run_ends_skipped_saying_how_many_there_are(
    load: Load, run_job: Materialize, pipeline: Connection, instance: dg.DagsterInstance
) -> None:
    load("agents", [{"agent": "desk"}])
    load("documents", passages())
    load("retrieval_feedback", searches(count=8))
    result = run_job("rag_training", DESK)
    assert result.success
    assert " new training pairs in the last 7 days, 20 are needed" in reason_of(result, instance)
    assert table(pipeline, "training_runs") == []
    assert serving(pipeline) == 0  # the base index was brought up to date all the same
    assert table(pipeline, "chunk_relevance") != []  # and so was what people said of chunks


def test_too_few_test_queries_for_the_gate_end_the_run_skipped_saying_how_many_are_missing(
    load: Load, run_job: Materialize, instance: dg.DagsterInstance
) -> None:
    load("agents", [{"agent": "desk"}])
    load("documents", passages())
    load("retrieval_feedback", searches(count=80))
    said = reason_of(run_job("rag_training", DESK), instance)
    assert "test queries, 54 are needed to see a gain of 0.3 with 80 % power: about" in said


def test_a_disabled_agent_and_one_without_documents_end_skipped(
    desk: None, load: Load, run_job: Materialize, pipeline: Connection, instance: dg.DagsterInstance
) -> None:
    pipeline.execute("UPDATE agents SET learning_enabled = false WHERE slug = 'desk'")
    assert "learning is disabled" in reason_of(run_job("rag_training", DESK), instance)
    load("agents", [{"agent": "idle"}], "empty")
    assert "there are no documents to search" in reason_of(run_job("rag_training", "empty/idle"), instance)


class Counting:
    """A learner that offers another weight and counts how often it learnt; `fails` so many times first."""

    def __init__(self, name: str, weight: float, fails: int = 0) -> None:
        self.name, self.weight, self.fails, self.learnt = name, weight, fails, 0

    def learn(self, received: Training, base: IndexConfig, progress: Progress) -> Learnt | None:
        self.learnt += 1
        if self.learnt <= self.fails:
            raise LearningError("The disk is full.", "Free some space.")
        return Learnt(self.name, IndexConfig(lexical_weight=self.weight), {"ndcg": 0.5})


def test_what_fails_a_learner_is_said_the_index_stays_and_the_next_run_learns_nothing_twice(
    desk: None, run_job: Materialize, pipeline: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = Counting("first", 0.9), Counting("second", 0.95, fails=1)
    monkeypatch.setattr(training, "cheap_learners", lambda: (first, second))
    assert not run_job("rag_training", DESK, raise_on_error=False).success
    (run,) = table(pipeline, "training_runs")
    assert (run["status"], "The disk is full." in run["error"], serving(pipeline), table(pipeline, "proposals")) == ("failed", True, 0, [])
    result = run_job("rag_training", DESK)
    assert metadata_of(result, "reranker")["resumed"] is True
    assert (first.learnt, second.learnt, len(table(pipeline, "training_runs"))) == (1, 2, 1)
    assert table(pipeline, "proposals")[0]["verdict"] == "better"


def test_a_failed_run_is_not_gone_on_with_once_there_is_more_feedback(
    desk: None, load: Load, run_job: Materialize, pipeline: Connection, monkeypatch: pytest.MonkeyPatch, store: Store
) -> None:
    first, second = Counting("first", 0.9), Counting("second", 0.95, fails=1)
    monkeypatch.setattr(training, "cheap_learners", lambda: (first, second))
    run_job("rag_training", DESK, raise_on_error=False)
    load("retrieval_feedback", [searches()[0] | {"query": "another question about term000", "user": "late"}])
    assert run_job("rag_training", DESK).success
    assert sorted(run["status"] for run in table(pipeline, "training_runs")) == ["cancelled", "completed"]
    assert (first.learnt, list(store.settings.home.glob("training/*"))) == (2, [])


def test_a_learner_that_always_fails_is_left_out_in_the_end_and_the_others_are_tested(
    desk: None, run_job: Materialize, pipeline: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, bad = Counting("good", 0.9), Counting("bad", 0.95, fails=9)
    monkeypatch.setattr(training, "cheap_learners", lambda: (good,))
    monkeypatch.setattr(training, "encoder_learners", lambda settings: (bad,))
    assert [run_job("rag_training", DESK, raise_on_error=False).success for _ in range(3)] == [False, False, True]
    assert (good.learnt, bad.learnt) == (1, 2)
    assert table(pipeline, "proposals")[0]["verdict"] == "better"


def test_when_the_time_is_over_the_rest_is_left_out_and_what_was_learnt_is_tested(
    desk: None, run_job: Materialize, pipeline: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow, never = Endless(), Counting("never", 0.95)
    monkeypatch.setattr(training, "cheap_learners", lambda: (Counting("good", 0.9),))
    monkeypatch.setattr(training, "encoder_learners", lambda settings: (slow, never))
    monkeypatch.setattr(training.learn, "__defaults__", (itertools.count(0.0, 500.0).__next__,))
    result = run_job("rag_training", DESK)
    assert never.learnt == 0
    said = metadata_of(result, "retrained_embeddings")
    assert "did not finish within 1800 seconds" in said["endless"] and "were over" in said["never"]
    assert table(pipeline, "proposals")[0]["verdict"] == "better"


def test_a_run_in_which_nothing_was_learnt_says_of_each_learner_why(
    desk: None, run_job: Materialize, pipeline: Connection, monkeypatch: pytest.MonkeyPatch, instance: dg.DagsterInstance
) -> None:
    monkeypatch.setattr(training, "cheap_learners", lambda: (Endless(),))
    monkeypatch.setattr(training.learn, "__defaults__", (itertools.count(0.0, 1000.0).__next__,))
    said = reason_of(run_job("rag_training", DESK), instance)
    assert said == "nothing was learnt (endless: left out: it did not finish within 1800 seconds)"
    assert table(pipeline, "acceptance_tests") == [] and table(pipeline, "training_runs")[0]["status"] == "completed"


class Endless:
    """A learner that reports and never ends."""

    name = "endless"

    def learn(self, received: Training, base: IndexConfig, progress: Progress) -> Learnt | None:
        while True:
            progress(0.5, "still learning", {"loss": 1.0})


class Words:
    """A learner that offers an encoder which knows words."""

    name = "words"

    def learn(self, received: Training, base: IndexConfig, progress: Progress) -> Learnt | None:
        folder = received.folder / "words"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text("{}")
        return Learnt(self.name, IndexConfig(lexical_weight=0.9, encoder=local(received.folder, folder)), {"ndcg": 0.9})


def test_a_learnt_encoder_gets_its_vectors_beside_those_that_serve_and_is_searched_once_approved(
    desk: None, run_job: Materialize, pipeline: Connection, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "cheap_learners", lambda: ())
    monkeypatch.setattr(training, "encoder_learners", lambda settings: (Words(),))
    monkeypatch.setattr(NoiseEncoders, "of", lambda self, version: self.encoder if version.name == "noise@1" else WordEncoder(version.name))
    result = run_job("rag_training", DESK)
    found = metadata_of(result, "retrieval_evaluation")
    assert (found["winner"], found["kind"], found["verdict"]) == ("words", "index", "better")
    assert "general questions" in found["guards"]
    agent = agent_ref(pipeline)
    counts = chunk_vectors.counts(pipeline, agent.organization_id)
    assert set(counts.values()) == {PASSAGES} and len(counts) == 2
    (proposal,) = table(pipeline, "proposals")
    assert approve(pipeline, agent.organization_id, proposal["id"], "immediate", OPERATOR, settings=store.settings).version == 1
    version = indexes.serving(pipeline, agent.organization_id, agent.agent_id)
    assert version is not None and version.encoder.name.startswith("words@")


def test_the_encoder_of_an_offer_that_lost_goes_with_its_vectors(
    desk: None, run_job: Materialize, pipeline: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "encoder_learners", lambda settings: (Words(),))
    monkeypatch.setattr(NoiseEncoders, "of", lambda self, version: self.encoder if version.name == "noise@1" else Noise(version.name))
    assert metadata_of(run_job("rag_training", DESK), "retrieval_evaluation")["winner"] == "fusion"
    assert len(chunk_vectors.counts(pipeline, agent_ref(pipeline).organization_id)) == 1
