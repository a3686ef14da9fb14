"""The training loop of both kinds of encoder: loss, steps, early stopping, checkpoints, and how far to go from the old weights to the new.

Belongs here: everything that needs torch, imported inside functions; it runs in the child process (child.py). Not here: what is learnt from (triples.py),
scoring (pool.py), files (checkpoints.py), which model is trained how (finetune.py, static.py).

Loss: MultipleNegativesRankingLoss (Henderson et al. 2017, as in sentence-transformers): each question is told apart from the passages of its batch and
one hard negative per question, cosines times 20, with every known helpful passage masked and rows weighted by how helpful the passage was.
Afterwards old and new weights are mixed (Wortsman et al. 2022, "Robust fine-tuning of zero-shot models"; for retrieval Xiao et al. 2023,
"LM-Cocktail"): what was learnt from few passages is kept while much that the model knew of others comes back; validation says how much.

Randomness and order are functions of (seed, step), so a run that goes on from a checkpoint reaches the weights of one that was never interrupted:
bit for bit on a CPU with as many threads, on a GPU up to the order of its sums.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from learning_pipelines.encoder import prepared
from learning_pipelines.encoder_local import cpu_has_bf16
from learning_pipelines.retrieval.learning.checkpoints import Checkpoints
from learning_pipelines.retrieval.learning.pool import Pool, Score, score
from learning_pipelines.retrieval.learning.triples import Batch, Triples, batches_per_epoch, epoch
from learning_pipelines.retrieval.task import Floats, Progress

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from torch import Tensor
    from torch.optim import Optimizer

SCALE = 20.0
CHARS_PER_TOKEN = 12
"""No text needs more characters than this for one token; what lies behind the window only costs time in the tokenizer."""


@dataclass(frozen=True)
class Recipe:
    """`length` in tokens, which the learnt model keeps when it serves (None: its own); `rate` is reached after the share `warmup` of the steps and falls
    to 0 in a line. Validation is looked at after each round, in long ones every `evaluate_steps`; `patience` looks without a gain end it. `mixtures`:
    shares of the new weights that are tried beside all of them."""

    epochs: int
    batch: int
    rate: float
    length: int | None = None
    warmup: float = 0.1
    clip: float = 1.0
    evaluate_steps: int = 64
    patience: int = 2
    mixtures: tuple[float, ...] = (0.5,)
    checkpoint_seconds: float = 60.0

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, sent: Mapping[str, Any]) -> Recipe:
        return cls(**{**sent, "mixtures": tuple(sent["mixtures"])})


@dataclass
class State:
    """Where the loop stands; goes into a checkpoint as it is. `best_step` 0: nothing better than the start yet."""

    seed: int
    step: int = 0
    start: float = 0.0
    start_weight: float = 0.5
    best: float = 0.0
    best_weight: float = 0.5
    best_step: int = 0
    without_gain: int = 0
    loss: float = 0.0
    cpu_seconds: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)


@dataclass(frozen=True)
class Outcome:
    """`mixture`: share of the new weights (0: nothing better than the start was found, the model is as it was). `score`: as it serves; `start`: before."""

    score: Score
    start: Score
    mixture: float
    state: State


def train(model: SentenceTransformer, data: Triples, pool: Pool, recipe: Recipe, checkpoints: Checkpoints, seed: int, progress: Progress) -> Outcome:
    """Trains `model` in place and leaves in it the weights that validation likes best."""
    loop = _Loop(model, data, pool, recipe, checkpoints, seed, progress)
    loop.resume()
    loop.run()
    return loop.mix()


class _Loop:
    def __init__(
        self, model: SentenceTransformer, data: Triples, pool: Pool, recipe: Recipe, checkpoints: Checkpoints, seed: int, progress: Progress
    ) -> None:
        self.model, self.data, self.pool, self.recipe, self.checkpoints, self.progress = model, data, pool, recipe, checkpoints, progress
        self.optimizer = _optimizer(model, recipe)
        self.origin = _weights(model)
        self.best = self.origin
        self.per_epoch = batches_per_epoch(len(data.rows), recipe.batch)
        self.steps = recipe.epochs * self.per_epoch
        self.state = State(seed)
        if recipe.length is not None:
            model.max_seq_length = recipe.length
        self._saved = time.monotonic()
        self._clock = time.process_time()

    def resume(self) -> None:
        """Goes on from the newest checkpoint; without one, measures where it starts."""
        if (found := self.checkpoints.newest()) is None:
            found_there = self.evaluate()
            self.state.start = self.state.best = found_there.ndcg
            self.state.start_weight = found_there.weight
            self._say(f"starts at nDCG@10 {self.state.start:.4f} on {len(self.pool.questions)} validation questions")
            return
        self.state = State(**found.state)
        _load(self.model, self.optimizer, found.tensors)
        if self.state.best_step:
            self.best = {name: found.tensors[f"best/{name}"].to(tensor.device) for name, tensor in self.origin.items()}
        self._say(f"goes on after step {self.state.step} of {self.steps}")

    def run(self) -> None:
        for number, batch in self._batches():
            self._step(number, batch)
            last = self.state.step == self.steps
            if last or self.state.step % self.per_epoch == 0 or (self.state.step % self.per_epoch) % self.recipe.evaluate_steps == 0:
                self._look()
            if last or self._ended or time.monotonic() - self._saved >= self.recipe.checkpoint_seconds:
                self._save()

    def mix(self) -> Outcome:
        """Tries mixtures of the start and the best weights. What it finds is in the model."""
        start = Score(self.state.start, self.state.start_weight)
        tried = {0.0: start}
        if self.state.best_step:
            tried |= {1.0: Score(self.state.best, self.state.best_weight), **{share: self._mixed(share) for share in self.recipe.mixtures}}
        share = max(tried, key=lambda one: (tried[one].ndcg, -one))  # of equal ones the nearest to the start
        self._put(share)
        self.state.cpu_seconds += self._elapsed()
        return Outcome(tried[share], start, share, self.state)

    def evaluate(self) -> Score:
        return score(self.pool, encode(self.model, self.pool.questions), encode(self.model, self.pool.texts))

    @property
    def _ended(self) -> bool:
        return self.state.without_gain >= self.recipe.patience

    def _batches(self) -> Iterator[tuple[int, Batch]]:
        """(step, batch) from where the state stands to the end, or until early stopping."""
        for number in range(self.state.step // max(1, self.per_epoch), self.recipe.epochs):
            for offset, batch in enumerate(epoch(self.data, self.recipe.batch, self.state.seed, number)):
                step = number * self.per_epoch + offset + 1
                if step <= self.state.step:
                    continue
                if self._ended:
                    return
                yield step, batch

    def _step(self, number: int, batch: Batch) -> None:
        import torch

        torch.manual_seed(int(np.random.default_rng([self.state.seed, number, 1]).integers(2**62)))  # dropout, the same after a restart
        self.model.train()
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.rate * _share_of_rate(number, self.steps, self.recipe.warmup)
        self.optimizer.zero_grad(set_to_none=True)
        loss = _loss(self.model, self.data, batch)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.clip)
        self.optimizer.step()
        value = float(loss.detach())
        self.state.loss = value if self.state.step == 0 else 0.9 * self.state.loss + 0.1 * value
        self.state.step = number
        if number % 10 == 0 or number == 1:
            self._say(f"step {number} of {self.steps}", loss=self.state.loss)

    def _look(self) -> None:
        found = self.evaluate()
        self.state.history.append({"step": self.state.step, "loss": self.state.loss, "ndcg": found.ndcg})
        if found.ndcg > self.state.best:
            self.state.best, self.state.best_weight, self.state.best_step, self.state.without_gain = found.ndcg, found.weight, self.state.step, 0
            self.best = _weights(self.model)
        else:
            self.state.without_gain += 1
        self._say(f"step {self.state.step} of {self.steps}: nDCG@10 {found.ndcg:.4f}, best {self.state.best:.4f}", loss=self.state.loss, ndcg=found.ndcg)

    def _save(self) -> None:
        self.state.cpu_seconds += self._elapsed()
        best = {f"best/{name}": tensor for name, tensor in self.best.items()} if self.state.best_step else {}
        self.checkpoints.save(self.state.step, {**_tensors(self.model, self.optimizer), **best}, asdict(self.state))
        self._saved = time.monotonic()

    def _mixed(self, share: float) -> Score:
        self._put(share)
        found = self.evaluate()
        self._say(f"{share:.0%} of the new weights: nDCG@10 {found.ndcg:.4f}", ndcg=found.ndcg)
        return found

    def _put(self, share: float) -> None:
        mixed = {name: old.lerp(self.best[name], share) if old.is_floating_point() else old for name, old in self.origin.items()}
        self.model.load_state_dict(mixed)

    def _elapsed(self) -> float:
        now = time.process_time()
        since, self._clock = now - self._clock, now
        return since

    def _say(self, line: str, **numbers: float) -> None:
        self.progress(self.state.step / max(1, self.steps), line, numbers)


def encode(model: SentenceTransformer, texts: list[str]) -> Floats:
    """(n, d) rows of length 1, in evaluation mode, in bf16 where the CPU has it."""
    import torch

    model.eval()
    with torch.inference_mode(), autocast(model):
        raw = model.encode(_trimmed(model, texts), batch_size=32, show_progress_bar=False, convert_to_numpy=True)
    vectors = np.asarray(raw, dtype=np.float32).reshape(len(texts), -1)
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12), dtype=np.float32)


def _loss(model: SentenceTransformer, data: Triples, batch: Batch) -> Tensor:
    import torch

    with autocast(model):
        questions = _forward(model, [data.questions[one] for one in batch.questions])
        passages = _forward(model, [data.texts[one] for one in batch.passages])
    cosines = torch.nn.functional.normalize(questions.float(), dim=1) @ torch.nn.functional.normalize(passages.float(), dim=1).T
    scores = (SCALE * cosines).masked_fill(torch.from_numpy(batch.masked).to(cosines.device), -torch.inf)
    losses = torch.nn.functional.cross_entropy(scores, torch.arange(len(batch.questions), device=scores.device), reduction="none")
    gains = torch.tensor(batch.gains, device=losses.device)
    return (losses * gains).sum() / gains.sum()


def _forward(model: SentenceTransformer, texts: list[str]) -> Tensor:
    import torch

    features = {name: value.to(model.device) if isinstance(value, torch.Tensor) else value for name, value in model.preprocess(_trimmed(model, texts)).items()}
    vectors: Tensor = model(features)["sentence_embedding"]
    return vectors


def _trimmed(model: SentenceTransformer, texts: list[str]) -> list[str]:
    length = model.max_seq_length
    return prepared(texts if length is None or math.isinf(length) else [text[: int(length) * CHARS_PER_TOKEN] for text in texts])


def autocast(model: SentenceTransformer) -> AbstractContextManager[Any]:
    import torch

    device = model.device.type
    fast = cpu_has_bf16() if device == "cpu" else device == "cuda" and torch.cuda.is_bf16_supported()
    return torch.autocast(device, dtype=torch.bfloat16) if fast else nullcontext()


def _share_of_rate(step: int, steps: int, warmup: float) -> float:
    rising = max(1, round(steps * warmup))
    return step / rising if step <= rising else max(0.0, (steps - step + 1) / max(1, steps - rising + 1))


def _optimizer(model: SentenceTransformer, recipe: Recipe) -> Optimizer:
    import torch

    return torch.optim.AdamW(model.parameters(), lr=recipe.rate, weight_decay=0.0)


def _weights(model: SentenceTransformer) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def _tensors(model: SentenceTransformer, optimizer: Optimizer) -> dict[str, Tensor]:
    """Weights and the optimizer's averages by name; a weight that no step has touched yet has none."""
    kept: dict[str, Tensor] = {f"weight/{name}": tensor for name, tensor in model.state_dict().items()}
    for name, parameter in model.named_parameters():
        for part, value in optimizer.state.get(parameter, {}).items():
            kept[f"optimizer/{part}/{name}"] = value.clone()  # own memory: safetensors takes no shared one
    return kept


def _load(model: SentenceTransformer, optimizer: Optimizer, tensors: Mapping[str, Tensor]) -> None:
    model.load_state_dict({name: tensors[f"weight/{name}"] for name in model.state_dict()})
    for name, parameter in model.named_parameters():
        parts = {part: tensors.get(f"optimizer/{part}/{name}") for part in ("step", "exp_avg", "exp_avg_sq")}
        if parts["step"] is not None:
            optimizer.state[parameter] = {part: value if part == "step" else value.to(parameter.device) for part, value in parts.items() if value is not None}
