"""Answers of a model in this process, for both sides of a test alike: greedy, one of the agent's labels where it has a closed set.

Belongs here: rendering prompts, generating, rewards of a reward model; it runs in the child process. Not here: scoring answers (prompts/metrics.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from learning_pipelines.behavior.fine_tuning.lessons import Pair, Question, Turn
from learning_pipelines.behavior.fine_tuning.lora import explained

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

BATCH = 8
Told = Callable[[int, int], None]


def answers(
    model: Any, tokenizer: PreTrainedTokenizerBase, questions: Sequence[Question], *, labels: Sequence[str], max_tokens: int, told: Told
) -> dict[str, str]:
    """Answer by the question's id. With `labels` it is exactly one of them. '' where the prompt does not fit into the model's window."""
    import torch
    from transformers import GenerationConfig

    allowed = _Trie(tokenizer, labels) if labels else None
    most = allowed.longest + 1 if allowed else max_tokens
    config = GenerationConfig(  # type: ignore[no-untyped-call]
        do_sample=False, max_new_tokens=most, pad_token_id=tokenizer.pad_token_id, eos_token_id=tokenizer.eos_token_id
    )
    window = int(getattr(model.config, "max_position_embeddings", 1 << 20))
    rendered = [(one.id, token_ids(tokenizer, one.prompt)) for one in questions]
    found = {identity: "" for identity, ids in rendered if len(ids) + most > window}
    waiting = sorted((one for one in rendered if one[0] not in found), key=lambda one: len(one[1]))
    model.eval()
    with explained(), torch.inference_mode():
        for start in range(0, len(waiting), BATCH):
            batch = waiting[start : start + BATCH]
            width = max(len(ids) for _, ids in batch)
            padded = torch.tensor([[tokenizer.pad_token_id] * (width - len(ids)) + ids for _, ids in batch], device=model.device)
            mask = torch.tensor([[0] * (width - len(ids)) + [1] * len(ids) for _, ids in batch], device=model.device)
            chosen = {} if allowed is None else {"prefix_allowed_tokens_fn": allowed.after(width)}
            made = model.generate(input_ids=padded, attention_mask=mask, generation_config=config, **chosen)
            for (identity, _), row in zip(batch, made[:, width:].tolist(), strict=True):
                found[identity] = allowed.label(row) if allowed else str(tokenizer.decode(row, skip_special_tokens=True)).strip()
            told(start + len(batch), len(waiting))
    return found


def rewards(model: Any, tokenizer: PreTrainedTokenizerBase, pairs: Sequence[Pair], told: Told) -> dict[str, tuple[float, float]]:
    """(reward of the chosen answer, of the rejected one) by the pair's id."""
    import torch

    texts = [(pair.id, side, full_ids(tokenizer, pair.prompt, said)) for pair in pairs for side, said in enumerate((pair.chosen, pair.rejected))]
    found: dict[str, list[float]] = {pair.id: [0.0, 0.0] for pair in pairs}
    waiting = sorted(texts, key=lambda one: len(one[2]))
    model.eval()
    with explained(), torch.inference_mode():
        for start in range(0, len(waiting), BATCH):
            batch = waiting[start : start + BATCH]
            width = max(len(ids) for *_, ids in batch)
            padded = torch.tensor([ids + [tokenizer.pad_token_id] * (width - len(ids)) for *_, ids in batch], device=model.device)
            mask = torch.tensor([[1] * len(ids) + [0] * (width - len(ids)) for *_, ids in batch], device=model.device)
            scored = model(input_ids=padded, attention_mask=mask).logits[:, 0].float().tolist()
            for (identity, side, _), value in zip(batch, scored, strict=True):
                found[identity][side] = float(value)
            told(start + len(batch), len(waiting))
    return {identity: (better, worse) for identity, (better, worse) in found.items()}


def token_ids(tokenizer: PreTrainedTokenizerBase, prompt: Sequence[Turn]) -> list[int]:
    """What the model is sent, up to where its answer begins."""
    made: Any = tokenizer.apply_chat_template([dict(turn) for turn in prompt], add_generation_prompt=True, tokenize=True, return_dict=True)
    return [int(one) for one in made["input_ids"]]


def full_ids(tokenizer: PreTrainedTokenizerBase, prompt: Sequence[Turn], answer: str) -> list[int]:
    """Prompt and answer, as the trainers see them."""
    turns = [*(dict(turn) for turn in prompt), {"role": "assistant", "content": answer}]
    made: Any = tokenizer.apply_chat_template(turns, tokenize=True, return_dict=True)
    return [int(one) for one in made["input_ids"]]


class _Trie:
    """The labels as sequences of tokens, each ended by the end of the turn: at every place only what leads to one of them is allowed."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, labels: Sequence[str]) -> None:
        self._end = int(tokenizer.eos_token_id)
        self._pad = int(tokenizer.pad_token_id)
        self._labels: dict[tuple[int, ...], str] = {}
        self._next: dict[tuple[int, ...], set[int]] = {}
        for label in labels:
            path = (*(int(one) for one in tokenizer(label, add_special_tokens=False)["input_ids"]), self._end)
            self._labels[path[:-1]] = label
            for place in range(len(path)):
                self._next.setdefault(path[:place], set()).add(path[place])
        self.longest = max(len(path) for path in self._labels)

    def after(self, width: int) -> Callable[[int, Any], list[int]]:
        """What may follow, for a batch whose prompts are `width` tokens wide."""

        def allowed(_: int, ids: Any) -> list[int]:
            return sorted(self._next.get(tuple(ids[width:].tolist()), {self._pad}))

        return allowed

    def label(self, row: Sequence[int]) -> str:
        path: list[int] = []
        for one in row:
            if one == self._end:
                break
            path.append(one)
        return self._labels[tuple(path)]
