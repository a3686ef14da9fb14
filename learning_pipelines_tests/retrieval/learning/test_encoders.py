"""Fine-tuning and distillation with a tiny model and real processes: what is learnt, what a kill costs, what a refusal says.

Belongs here: the learners from the training's values to the finished folder. Not here: batches (test_triples.py), files (test_checkpoints.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import psutil
import pytest

from learning_pipelines.encoder import EncoderMismatch, UnknownEncoder
from learning_pipelines.encoder_local import LocalEncoder
from learning_pipelines.errors import Unavailable
from learning_pipelines.retrieval.artifacts import hash_of
from learning_pipelines.retrieval.index import Artifact, IndexConfig
from learning_pipelines.retrieval.learning import child, encoder_training, finetune, static
from learning_pipelines.retrieval.learning.child import TrainingKilled
from learning_pipelines.retrieval.learning.contrastive import Recipe
from learning_pipelines.retrieval.learning.finetune import FineTuning
from learning_pipelines.retrieval.learning.static import Distillation
from learning_pipelines.retrieval.task import Training
from learning_pipelines_tests.retrieval.learning.tiny import DIMENSIONS, tiny_model, tiny_training

RECIPE = Recipe(epochs=6, batch=16, rate=5e-3, length=18, evaluate_steps=2, patience=99, mixtures=(0.5,), checkpoint_seconds=0.0)
Say = list[tuple[float, str, Mapping[str, float]]]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("base") / "tiny")


@pytest.fixture
def training(model: Path, tmp_path: Path) -> Training:
    return tiny_training(model, tmp_path / "run")


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """The work in this process, which has torch already: what is tested is what it does, not where."""
    monkeypatch.setattr(encoder_training, "run", work_here)


def work_here(work: str, request: Mapping[str, Any], folder: Path, progress: Any) -> dict[str, Any]:
    folder.mkdir(parents=True, exist_ok=True)
    inside = static.work if "static" in work else finetune.work
    return inside(orjson.loads(orjson.dumps(request)), folder, progress)


def ignored(share: float, line: str, numbers: Mapping[str, float]) -> None:
    pass


def weights(folder: Path) -> dict[str, Any]:
    from safetensors.numpy import load_file

    return load_file(next(path for path in sorted(folder.rglob("*.safetensors"))))


def test_fine_tuning_learns_what_only_feedback_says_and_its_folder_serves(training: Training, model: Path, here: None) -> None:
    said: Say = []
    learnt = FineTuning(str(model), RECIPE).learn(training, IndexConfig(), lambda *one: said.append(one))
    assert learnt is not None and learnt.config.encoder is not None
    assert learnt.numbers["validation_ndcg"] > learnt.numbers["start_ndcg"] + 0.2
    folder = training.folder / learnt.config.encoder.path
    assert hash_of(folder) == learnt.config.encoder.sha256
    assert {path.suffix for path in folder.rglob("*") if path.is_file()} <= {".json", ".safetensors", ".txt"}
    encoder = LocalEncoder(str(folder))
    assert encoder.name.startswith("tiny-finetuned@") and encoder.dimensions == DIMENSIONS
    long, cut = encoder.encode(["the office says bala " * 4 + "corae", "the office says bala " * 4])
    assert np.allclose(long, cut, atol=1e-5)  # it reads as far as it was taught to
    losses = [numbers["loss"] for _, _, numbers in said if "loss" in numbers]
    assert losses[-1] < losses[0] and [share for share, _, _ in said] == sorted(share for share, _, _ in said)


@pytest.mark.slow
def test_a_run_killed_at_any_step_goes_on_and_reaches_the_same_weights_bit_for_bit(training: Training, model: Path, tmp_path: Path) -> None:
    """In processes of their own, all three: this one may count with another number of threads, and sums of another order are other bits."""
    learner = FineTuning(str(model), RECIPE)

    def kill(share: float, line: str, numbers: Mapping[str, float]) -> None:
        if 0.3 < share < 0.9:
            for process in psutil.Process().children():
                with suppress(psutil.NoSuchProcess):  # a zombie is one too: it was killed at the line before
                    if child.__name__ in process.cmdline():
                        process.kill()

    with pytest.raises(TrainingKilled, match="killed by signal 9"):
        learner.learn(training, IndexConfig(), kill)
    kept = list((training.folder / learner.name / "checkpoints").glob("step-*"))
    assert kept and not list(training.folder.rglob("model.safetensors"))

    said: Say = []
    resumed = learner.learn(training, IndexConfig(), lambda *one: said.append(one))
    whole = learner.learn(replace(training, folder=tmp_path / "uninterrupted"), IndexConfig(), ignored)
    assert any(line.startswith("goes on after step") for _, line, _ in said)
    assert resumed is not None and whole is not None and resumed.config == whole.config and resumed.config.encoder is not None
    one, other = weights(training.folder / resumed.config.encoder.path), weights(tmp_path / "uninterrupted" / resumed.config.encoder.path)
    assert one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


def test_a_run_that_had_ended_is_not_done_again_unless_its_model_is_damaged(training: Training, model: Path, here: None) -> None:
    learner = FineTuning(str(model), RECIPE)
    first = learner.learn(training, IndexConfig(), ignored)
    said: Say = []
    assert learner.learn(training, IndexConfig(), lambda *one: said.append(one)) == first and not said
    assert first is not None and first.config.encoder is not None
    next((training.folder / first.config.encoder.path).rglob("*.safetensors")).write_bytes(b"half")
    again = learner.learn(training, IndexConfig(), lambda *one: said.append(one))
    assert said and again is not None and again.config == first.config  # its seconds are others


def test_other_feedback_or_another_seed_is_learnt_from_the_beginning(training: Training, model: Path, here: None) -> None:
    learner = FineTuning(str(model), replace(RECIPE, epochs=2))
    first = learner.learn(training, IndexConfig(), ignored)
    said: Say = []
    second = learner.learn(replace(training, seed=8), IndexConfig(), lambda *one: said.append(one))
    assert said and said[0][1].startswith("starts at") and first != second


def test_distillation_gives_a_static_model_that_serves_in_as_many_dimensions(training: Training, model: Path, here: None) -> None:
    learnt = Distillation(str(model), replace(RECIPE, length=None, rate=2e-2)).learn(training, IndexConfig(), ignored)
    assert learnt is not None and learnt.config.encoder is not None
    encoder = LocalEncoder(str(training.folder / learnt.config.encoder.path))
    assert encoder.name.startswith("tiny-static@") and encoder.dimensions == DIMENSIONS
    assert encoder.batch_chars > LocalEncoder(str(model)).batch_chars  # no network is run: a forward pass takes many texts
    assert learnt.numbers["validation_ndcg"] > learnt.numbers["serving_encoder_ndcg"]


def test_of_a_static_base_nothing_is_distilled_but_it_can_be_tuned(training: Training, model: Path, tmp_path: Path, here: None) -> None:
    learnt = Distillation(str(model), replace(RECIPE, epochs=1, length=None)).learn(training, IndexConfig(), ignored)
    folder = next(training.folder.glob("static/tiny-static"))
    again = replace(tiny_training(folder, tmp_path / "again"), seed=3)
    assert Distillation(str(folder)).learn(again, IndexConfig(), ignored) is None
    tuned = FineTuning(str(folder), replace(RECIPE, rate=2e-2)).learn(again, IndexConfig(), ignored)
    assert tuned is not None and tuned.numbers["validation_ndcg"] > tuned.numbers["start_ndcg"] and (learnt is None or learnt.name == "static")


def test_what_was_learnt_on_the_old_vectors_is_left_out_and_what_reads_words_stays(training: Training, model: Path, here: None) -> None:
    old = Artifact("x/y", "0" * 64)
    learnt = FineTuning(str(model), replace(RECIPE, epochs=2)).learn(training, IndexConfig(adapter=old, reranker=old, expansion=old), ignored)
    assert learnt is not None
    assert (learnt.config.adapter, learnt.config.reranker, learnt.config.expansion) == (None, None, old)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda one: replace(one, train=tuple(replace(query, chunks={}, documents={}) for query in one.train)), "nothing to learn from"),
        (lambda one: replace(one, train=tuple(replace(query, chunks={"gone": 1.0}) for query in one.train)), "nothing to learn from"),
        (lambda one: replace(one, train=one.train[:1]), "only one question"),
        (lambda one: replace(one, validation=()), "nothing could be chosen"),
    ],
)
def test_without_enough_to_learn_from_nothing_is_started_and_the_reason_is_said(training: Training, model: Path, change: Any, reason: str) -> None:
    said: Say = []
    assert FineTuning(str(model), RECIPE).learn(change(training), IndexConfig(), lambda *one: said.append(one)) is None
    assert reason in said[-1][1] and not training.folder.exists()


def test_a_base_model_other_than_the_one_that_serves_is_refused(training: Training, tmp_path: Path) -> None:
    other = tiny_model(tmp_path / "other", 16)
    with pytest.raises(EncoderMismatch, match=r"The base model is other@.* holds vectors of tiny@"):
        FineTuning(str(other), RECIPE).learn(training, IndexConfig(), ignored)


def test_a_base_model_of_another_dimension_is_refused_with_both_numbers(training: Training, tmp_path: Path, here: None) -> None:
    other = tiny_model(tmp_path / "other", 16)
    learnt_serves = replace(training, serving=IndexConfig(encoder=Artifact("x/y", "0" * 64)))
    with pytest.raises(EncoderMismatch, match="16 dimensions, the index holds 32"):
        FineTuning(str(other), RECIPE).learn(learnt_serves, IndexConfig(), ignored)
    assert not list(training.folder.rglob("*.safetensors"))


def test_a_folder_that_holds_no_model_is_refused_with_cause_and_advice(training: Training, tmp_path: Path, here: None) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "config.json").write_text("{}")
    serving = replace(training, serving=IndexConfig(encoder=Artifact("x/y", "0" * 64)))
    with pytest.raises(UnknownEncoder, match=r"cannot be loaded.*LEARNING_EMBEDDING_MODEL"):
        FineTuning(str(empty), RECIPE).learn(serving, IndexConfig(), ignored)


def test_a_disk_that_fills_up_ends_the_run_and_leaves_no_model(
    training: Training, model: Path, here: None, monkeypatch: pytest.MonkeyPatch, small_files: Any
) -> None:
    learner = FineTuning(str(model), RECIPE)
    with small_files(20_000), pytest.raises(Unavailable, match="could not save a checkpoint"):
        learner.learn(training, IndexConfig(), ignored)
    assert not list(training.folder.rglob("*.safetensors")) and not list(training.folder.rglob("*.draft"))
    assert learner.learn(training, IndexConfig(), ignored) is not None
