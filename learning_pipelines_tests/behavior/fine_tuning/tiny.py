"""A language model of a few thousand random weights with a vocabulary of made-up words, and lessons it can learn in seconds.

Belongs here: what several tests of fine-tuning learn with. Not here: tests.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from learning_pipelines.behavior.fine_tuning.base_model import Base
from learning_pipelines.behavior.fine_tuning.lessons import Example, Lessons, Method, Pair, Question
from learning_pipelines.behavior.fine_tuning.recipe import Recipe
from learning_pipelines.behavior.fine_tuning.work import Request
from learning_pipelines.retrieval.artifacts import hash_of

LABELS = ("invoice", "payroll", "refund")
SUBJECTS = {"invoice": ("bill", "due"), "payroll": ("wages", "staff"), "refund": ("money", "back")}
WORDS = ("please", "help", "with", "the", "now", "about", "question", "late", "my", "still", "open", "again")
SPECIAL = ("[PAD]", "[UNK]", "<s>", "</s>", "system", "user", "assistant", "sort", "message")
TEMPLATE = (
    "{% for message in messages %}{{ '<s> ' + message['role'] + ' ' + message['content'] + ' </s>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<s> assistant ' }}{% endif %}"
)
QUICK = Recipe(epochs=8, batch=8, rate=1e-2, length=64, looks=1, rank=8, seconds=120)
RECIPES: dict[Method, Recipe] = {"sft": QUICK, "dpo": replace(QUICK, epochs=5, rate=2e-2), "rlhf": replace(QUICK, epochs=4, rate=2e-2)}


def tiny_model(folder: Path) -> Path:
    """A folder of a causal model with random weights, the same each time."""
    import torch
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import WhitespaceSplit
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    words = [*SPECIAL, *LABELS, *(word for pair in SUBJECTS.values() for word in pair), *WORDS]
    tokenizer = Tokenizer(WordLevel({word: number for number, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = WhitespaceSplit()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="[UNK]", pad_token="[PAD]", bos_token="<s>", eos_token="</s>", model_max_length=128
    )
    fast.chat_template = TEMPLATE
    torch.manual_seed(0)
    config = LlamaConfig(initializer_range=0.3,
        vocab_size=len(words), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1,
        max_position_embeddings=128, pad_token_id=0, bos_token_id=2, eos_token_id=3, tie_word_embeddings=True,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    fast.save_pretrained(folder)
    return folder


def prompt(text: str) -> tuple[dict[str, str], ...]:
    return {"role": "system", "content": "sort the message"}, {"role": "user", "content": text}


def messages(count: int, *, start: int = 0) -> list[tuple[str, str]]:
    """(text, label): the subject says the label, the words around it say nothing."""
    found = []
    for number in range(start, start + count):
        label = LABELS[number % 3]
        around = [WORDS[(number * step) % len(WORDS)] for step in (1, 5, 7)]
        found.append((" ".join([around[0], SUBJECTS[label][number // 3 % 2], *around[1:]]), label))
    return found


def lessons(method: Method, rows: int = 48) -> Lessons:
    """Examples of the task, or pairs in which the right label is the better answer."""
    made = [(f"x{number}", text, label, LABELS[(LABELS.index(label) + 1 + number % 2) % 3]) for number, (text, label) in enumerate(messages(rows + 12))]
    if method == "sft":
        examples = tuple(Example(identity, prompt(text), label) for identity, text, label, _ in made)
        return Lessons(method, examples[:rows], examples[rows:])
    pairs = tuple(Pair(identity, prompt(text), label, wrong) for identity, text, label, wrong in made)
    return Lessons(method, pairs[:rows], pairs[rows:])


def request(model: Path, method: Method, *, recipe: Recipe | None = None, rows: int = 48, fingerprint: str = "f") -> Request:
    questions = tuple(Question(f"t{number}", prompt(text)) for number, (text, _) in enumerate(messages(30, start=100)))
    pairs = tuple(
        Pair(f"p{number}", prompt(text), label, LABELS[(LABELS.index(label) + 1) % 3]) for number, (text, label) in enumerate(messages(30, start=100))
    )
    base = Base(model.name, str(model), hash_of(model / "model.safetensors"))
    tested = {"pairs": pairs} if method == "rlhf" else {"questions": questions}
    return Request(base, lessons(method, rows), recipe or RECIPES[method], 7, fingerprint, LABELS, 4, **tested)  # type: ignore[arg-type]


def right(answers: dict[str, str]) -> float:
    """Share of the test's questions that were answered with the subject's label."""
    expected = {f"t{number}": label for number, (_, label) in enumerate(messages(30, start=100))}
    return sum(answers[name] == label for name, label in expected.items()) / len(expected)
