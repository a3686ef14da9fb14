"""The loss and the steps of training, against sentence-transformers and by hand.

Belongs here: what one step does. Not here: whole runs (test_encoders.py), batches (test_triples.py).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from learning_pipelines.encoder_local import load_model
from learning_pipelines.retrieval.learning import contrastive
from learning_pipelines.retrieval.learning.contrastive import _loss, _share_of_rate, encode
from learning_pipelines.retrieval.learning.triples import Batch, Triples
from learning_pipelines_tests.retrieval.learning.tiny import NAMES, tiny_model

DATA = Triples([f"the office says {name}" for name in NAMES], [f"what is ask{name}" for name in NAMES], [], [], [])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture(autouse=True)
def full_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contrastive, "cpu_has_bf16", lambda: False)


def batch(masked: np.ndarray | None = None, gains: list[float] | None = None) -> Batch:
    nothing = np.zeros((4, 8), dtype=np.bool_)
    return Batch([0, 1, 2, 3], [0, 1, 2, 3, 4, 5, 6, 7], gains or [1.0] * 4, nothing if masked is None else masked)


def test_without_masks_the_loss_is_that_of_sentence_transformers(folder: Path) -> None:
    import torch
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

    model = load_model(str(folder)).eval()
    columns = [[DATA.questions[n] for n in range(4)], [DATA.texts[n] for n in range(4)], [DATA.texts[n] for n in range(4, 8)]]
    theirs = MultipleNegativesRankingLoss(model)([model.preprocess(column) for column in columns], torch.zeros(4))
    assert float(_loss(model, DATA, batch()).detach()) == pytest.approx(float(theirs.detach()), rel=1e-5)


def test_a_masked_passage_pushes_nothing_away_and_a_row_weighs_what_its_gain_says(folder: Path) -> None:
    model = load_model(str(folder)).eval()
    masked = np.ones((4, 8), dtype=np.bool_)
    masked[np.arange(4), np.arange(4)] = False
    assert float(_loss(model, DATA, batch(masked)).detach()) == pytest.approx(0.0, abs=1e-6)
    rows = [float(_loss(model, DATA, batch(gains=[float(row == chosen) for row in range(4)])).detach()) for chosen in range(4)]
    weighted = float(_loss(model, DATA, batch(gains=[1.0, 0.5, 0.5, 0.25])).detach())
    assert weighted == pytest.approx(np.average(rows, weights=[1.0, 0.5, 0.5, 0.25]), rel=1e-5)


def test_vectors_of_training_are_those_that_serve(folder: Path) -> None:
    from learning_pipelines.encoder_local import LocalEncoder

    texts = ["what is askbala", "the office says corae and much more besides", ""]
    served = LocalEncoder(str(folder), precision="fp32").encode(texts)
    assert np.allclose(encode(load_model(str(folder)), texts), served, atol=1e-5)


def test_the_rate_rises_to_its_height_and_falls_to_nearly_nothing() -> None:
    shares = [_share_of_rate(step, 20, 0.1) for step in range(1, 21)]
    assert shares[:3] == [0.5, 1.0, pytest.approx(18 / 19)] and shares[-1] == pytest.approx(1 / 19) and min(shares) > 0
