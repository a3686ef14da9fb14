"""A static model by distillation: one vector per token, taken from the base encoder, weighted, then tuned on what people found helpful.

Belongs here: the learner, the token vectors, their weights. Not here: the loop and its loss (contrastive.py), the process it runs in (child.py).

A text's vector is the mean of its tokens' vectors: no network is run, so texts are encoded hundreds of times faster than by the base encoder, and
millions of chunks can be made anew in minutes. Token vectors as in model2vec (Tulkens & van Dongen 2024): each token through the base encoder alone,
principal components, and rare tokens weighted up (a / (a + p), Arora et al. 2017); p is counted in the agent's passages, with Zipf's law over the
vocabulary where they say too little. Weights are in the vectors; tuning moves both.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from learning_pipelines.encoder import prepared
from learning_pipelines.encoder_local import is_static, load_model
from learning_pipelines.retrieval.index import IndexConfig
from learning_pipelines.retrieval.learning.contrastive import Recipe, autocast, train
from learning_pipelines.retrieval.learning.encoder_training import MOST_ROWS, Kind, Request, already_done, finish, learn, require_dimensions
from learning_pipelines.retrieval.task import Floats, Learnt, Progress, Training

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

RECIPE = Recipe(epochs=20, batch=128, rate=5e-3, evaluate_steps=20, patience=6)
SMOOTHING = 1e-3
ZIPF_COUNTS = 20_000
"""As many tokens as these are imagined, spread by Zipf's law, beside those that were counted."""
TOKENS_PER_BATCH = 512


@dataclass(frozen=True)
class Distillation:
    """A Learner. `model`: the base encoder (a name, a folder; None is the packaged one)."""

    model: str | None = None
    recipe: Recipe = RECIPE
    most_rows: int = MOST_ROWS
    name: str = "static"

    def learn(self, training: Training, base: IndexConfig, progress: Progress) -> Learnt | None:
        kind = Kind(self.name, "static", f"{__name__}:work", self.recipe, self.model, self.most_rows)
        return learn(kind, training, base, progress)


def work(sent: Mapping[str, Any], folder: Path, progress: Progress) -> dict[str, Any]:
    """Inside the child process. Raises UnknownEncoder, EncoderMismatch, Unavailable."""
    request = Request.of(sent, folder)
    if done := already_done(request):
        return done
    model = static_model(request, progress)
    if model is None:
        progress(1.0, "the base model has no network to distil from", {})
        return {"folder": "", "weight": 0.5, "numbers": {}}
    outcome = train(model, request.data, request.pool, request.recipe, request.checkpoints(), request.seed, progress)
    return finish(model, outcome, request, unchanged_too=True)


def static_model(request: Request, progress: Progress) -> SentenceTransformer | None:
    """The distilled model before tuning; None if the base is a static one itself. Its token vectors are kept once they are made."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding

    base = load_model(request.source)
    require_dimensions(base, request)
    if is_static(base):
        return None
    tokenizer = base.tokenizer.backend_tokenizer
    kept = request.checkpoints("distilled")
    if (found := kept.newest()) is not None:
        vectors = found.tensors["tokens"].numpy()
    else:
        progress(0.0, f"token vectors of {tokenizer.get_vocab_size():,} tokens", {})
        vectors = principal(token_vectors(base, tokenizer.get_vocab_size()))
        kept.save(0, {"tokens": torch.from_numpy(vectors)}, {})
    tokenizer = type(tokenizer).from_str(tokenizer.to_str())  # its own: the base model's cuts and pads
    tokenizer.no_truncation()
    tokenizer.no_padding()
    texts = prepared([*request.pool.texts, *request.data.texts])
    counts = Counter(token for one in tokenizer.encode_batch(texts, add_special_tokens=False) for token in one.ids)
    weighted = vectors * weights(counts, len(vectors))[:, None]
    return SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_weights=weighted.astype(np.float32))], device=base.device.type)


def token_vectors(base: SentenceTransformer, vocabulary: int) -> Floats:
    """(vocabulary, d): what the base encoder makes of each token alone, between its special tokens."""
    import torch

    start, end = (base.tokenizer.cls_token_id, base.tokenizer.sep_token_id)
    frame = [[one] if one is not None else [] for one in (start, end)]
    rows = []
    base.eval()
    with torch.inference_mode(), autocast(base):
        for first in range(0, vocabulary, TOKENS_PER_BATCH):
            ids = torch.tensor([[*frame[0], token, *frame[1]] for token in range(first, min(vocabulary, first + TOKENS_PER_BATCH))], device=base.device)
            vectors = base({"input_ids": ids, "attention_mask": torch.ones_like(ids)})["sentence_embedding"]
            rows.append(vectors.float().cpu().numpy())
    return np.concatenate(rows).astype(np.float32)


def principal(vectors: Floats) -> Floats:
    """Centred and turned to their principal components, all of them: as many dimensions as before, so that the index keeps its form."""
    centred = vectors - vectors.mean(axis=0)
    _, axes = np.linalg.eigh(centred.T @ centred)
    return np.ascontiguousarray(centred @ axes[:, ::-1], dtype=np.float32)


def weights(counts: Mapping[int, int], vocabulary: int) -> npt.NDArray[np.float64]:
    """(vocabulary,) 0..1, high for rare tokens. Vocabularies are roughly in order of frequency, which is all that Zipf's law needs."""
    zipf = 1 / np.arange(2, vocabulary + 2)
    imagined = ZIPF_COUNTS * zipf / zipf.sum()
    counted = np.zeros(vocabulary)
    for token, times in counts.items():
        counted[token] = times
    share = (counted + imagined) / (counted.sum() + ZIPF_COUNTS)
    return np.asarray(SMOOTHING / (SMOOTHING + share))
