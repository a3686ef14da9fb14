"""What learning an encoder has in common, whichever kind: from the training's values to the child process, and from its answer to what is offered.

Belongs here: reasons not to begin, the request, the finished model's folder. Not here: the loop (contrastive.py), how a kind is made (finetune.py, static.py).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from learning_pipelines.encoder import PACKAGED, EncoderMismatch, model_source
from learning_pipelines.encoder_local import name_of
from learning_pipelines.retrieval.artifacts import hash_of, local
from learning_pipelines.retrieval.index import IndexConfig
from learning_pipelines.retrieval.learning.checkpoints import Checkpoints, write_file, write_folder
from learning_pipelines.retrieval.learning.child import run
from learning_pipelines.retrieval.learning.contrastive import Outcome, Recipe
from learning_pipelines.retrieval.learning.pool import Pool, validation_pool
from learning_pipelines.retrieval.learning.triples import Triples, triples
from learning_pipelines.retrieval.task import Learnt, Progress, Training

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

MOST_ROWS = 16_384
MIN_QUESTIONS = 2
_DONE = "done.json"


@dataclass(frozen=True)
class Kind:
    """One kind of encoder: `name` of the learner and its folder, `suffix` of the model's name, `work` as child.run takes it."""

    name: str
    suffix: str
    work: str
    recipe: Recipe
    model: str | None = None
    most_rows: int = MOST_ROWS


def learn(kind: Kind, training: Training, base: IndexConfig, progress: Progress) -> Learnt | None:
    """Trains in a child process; `kind.model` is what it begins at, always the model that nothing was learnt on: the train split holds everything
    learnt so far, and nothing is forgotten twice.

    The vectors are of another space afterwards: an adapter or re-ranker of `base`, learnt on the old ones, is left out. Raises EncoderMismatch,
    UnknownEncoder, and what child.run raises; nothing but checkpoints is left then, and the next call goes on.
    """
    source = model_source(kind.model)
    started = name_of(source)
    if training.serving.encoder is None and started != training.encoder.name:
        raise EncoderMismatch(
            f"The base model is {started}, the index that serves holds vectors of {training.encoder.name}.",
            "Set LEARNING_EMBEDDING_MODEL back, or build the index anew with the present model.",
        )
    data = triples(training.train, training.passages, training.negatives, most=kind.most_rows, seed=training.seed)
    pool, serving = validation_pool(training)
    if reason := _reason_not_to(data, pool):
        progress(1.0, reason, {})
        return None
    request: dict[str, Any] = {
        "kind": kind.name, "suffix": kind.suffix, "source": source, "started": started, "dimensions": int(training.passages.vectors.shape[1]),
        "seed": training.seed, "recipe": kind.recipe.as_json(), "triples": data.as_json(), "pool": pool.as_json(),
    }  # fmt: skip
    request["fingerprint"] = hashlib.sha256(orjson.dumps(request)).hexdigest()
    result = run(kind.work, request, training.folder / kind.name, progress)
    numbers = {**result["numbers"], "serving_encoder_ndcg": serving.ndcg}
    if not result["folder"] or numbers["validation_ndcg"] <= serving.ndcg:
        progress(1.0, f"nothing better than the encoder that serves was found on validation (nDCG@10 {serving.ndcg:.4f})", numbers)
        return None
    encoder = local(training.folder, training.folder / kind.name / result["folder"])
    changed = replace(base, encoder=encoder, adapter=None, reranker=None, lexical_weight=result["weight"])
    return Learnt(kind.name, changed, numbers)


def _reason_not_to(data: Triples, pool: Pool) -> str | None:
    if not data.rows:
        return "no question of the train split has a helpful passage: there is nothing to learn from"
    if len({question for question, _, _ in data.rows}) < MIN_QUESTIONS:
        return "only one question has a helpful passage: there is nothing to tell it apart from"
    if not pool.questions:
        return "no question of the validation split has a helpful passage: nothing could be chosen"
    return None


@dataclass(frozen=True)
class Request:
    """The same in the child process. `folder`: where it may write."""

    source: str
    dimensions: int
    seed: int
    fingerprint: str
    recipe: Recipe
    data: Triples
    pool: Pool
    folder: Path
    suffix: str

    @classmethod
    def of(cls, sent: Mapping[str, Any], folder: Path) -> Request:
        return cls(
            sent["source"], sent["dimensions"], sent["seed"], sent["fingerprint"], Recipe.from_json(sent["recipe"]), Triples.from_json(sent["triples"]),
            Pool.from_json(sent["pool"]), folder, sent["suffix"],
        )  # fmt: skip

    @property
    def name(self) -> str:
        """Of the learnt model's folder, which becomes part of its encoder's name."""
        return f"{PACKAGED if self.source == PACKAGED else Path(self.source).name}-{self.suffix}"

    def checkpoints(self, what: str = "checkpoints") -> Checkpoints:
        return Checkpoints(self.folder / what, self.fingerprint)


def require_dimensions(model: SentenceTransformer, request: Request) -> None:
    """Raises EncoderMismatch for a base model whose vectors would not fit beside the stored ones."""
    if (found := model.get_embedding_dimension()) != request.dimensions:
        raise EncoderMismatch(
            f"The base model {request.source} gives {found} dimensions, the index holds {request.dimensions}.",
            "Set LEARNING_EMBEDDING_MODEL to the model that the index was built with, or build the index anew with this one.",
        )


def already_done(request: Request) -> dict[str, Any] | None:
    """The result of a run of this very request that ended; None if there is none, or its model is not as it was written."""
    try:
        done: dict[str, Any] = orjson.loads((request.folder / _DONE).read_bytes())
        whole = not done["result"]["folder"] or done["sha256"] == hash_of(request.folder / done["result"]["folder"])
    except (OSError, orjson.JSONDecodeError, KeyError, TypeError):
        return None
    return dict(done["result"]) if whole and done["fingerprint"] == request.fingerprint else None


def finish(model: SentenceTransformer, outcome: Outcome, request: Request, *, unchanged_too: bool = False) -> dict[str, Any]:
    """Writes the model's folder (safetensors and JSON, no code), unless it is the model it began at (`unchanged_too`: also then), and says what was
    reached. Raises Unavailable if the disk does not take it."""
    state = outcome.state
    numbers = {
        "validation_ndcg": outcome.score.ndcg, "start_ndcg": outcome.start.ndcg, "steps": state.step, "best_step": state.best_step, "loss": state.loss,
        "new_weights": outcome.mixture, "triples": len(request.data.rows), "cpu_seconds": round(state.cpu_seconds, 1),
    }  # fmt: skip
    kept = bool(outcome.mixture) or unchanged_too
    result = {"folder": request.name if kept else "", "weight": outcome.score.weight, "numbers": numbers}
    sha256 = ""
    if kept:
        place = request.folder / request.name
        write_folder(place, lambda draft: model.save_pretrained(str(draft), create_model_card=False, safe_serialization=True), "the learnt model")
        sha256 = hash_of(place)
    done = orjson.dumps({"fingerprint": request.fingerprint, "sha256": sha256, "result": result})
    write_file(request.folder / _DONE, done, "its result")
    request.checkpoints().clear()
    return result
