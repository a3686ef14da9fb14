"""Full fine-tuning: every weight of the base encoder, on what people found helpful. The costly one of the learners.

Belongs here: the learner and its recipe. Not here: the loop and its loss (contrastive.py), the process it runs in (child.py).

Two minutes of one core per 1,000 rows and round, with all vectors to be made anew if it wins; so it stands last among the candidates.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from learning_pipelines.encoder_local import is_static, load_model
from learning_pipelines.retrieval.index import IndexConfig
from learning_pipelines.retrieval.learning.contrastive import Recipe, train
from learning_pipelines.retrieval.learning.encoder_training import MOST_ROWS, Kind, Request, already_done, finish, learn, require_dimensions
from learning_pipelines.retrieval.task import Learnt, Progress, Training

RECIPE = Recipe(epochs=3, batch=32, rate=2e-5, length=128)


@dataclass(frozen=True)
class FineTuning:
    """A Learner. `model`: the base encoder (a name, a folder; None is the packaged one)."""

    model: str | None = None
    recipe: Recipe = RECIPE
    most_rows: int = MOST_ROWS
    name: str = "fine_tuning"

    def learn(self, training: Training, base: IndexConfig, progress: Progress) -> Learnt | None:
        kind = Kind(self.name, "finetuned", f"{__name__}:work", self.recipe, self.model, self.most_rows)
        return learn(kind, training, base, progress)


def work(sent: Mapping[str, Any], folder: Path, progress: Progress) -> dict[str, Any]:
    """Inside the child process. Raises UnknownEncoder, EncoderMismatch, Unavailable."""
    request = Request.of(sent, folder)
    if done := already_done(request):
        return done
    model = load_model(request.source)
    require_dimensions(model, request)
    recipe = replace(request.recipe, length=None) if is_static(model) else request.recipe  # a static one reads everything anyway
    outcome = train(model, request.data, request.pool, recipe, request.checkpoints(), request.seed, progress)
    return finish(model, outcome, request)
