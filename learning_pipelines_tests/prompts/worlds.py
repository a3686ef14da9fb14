"""Small worlds with known truth to search in: a model that copies its nearest demonstration, a score that is a coin, the bench's rule task.

Belongs here: tasks, their Evaluate, scripted reflection. Not here: what a search should make of them (test_search.py, benchmarks/rule_task.py).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import numpy as np

from learning_pipelines.encoder import Vectors
from learning_pipelines.llm import Completion, Message
from learning_pipelines.llm_budget import Budget
from learning_pipelines.prompts.nearest import nearest_in
from learning_pipelines.prompts.prompt import Demonstration, Prompt
from learning_pipelines.prompts.task import Item, Nearest, Scored, Task

INTENTS = ("refund", "card", "login", "limit", "fees")
WORDS = {
    "refund": "money back return order cancelled charge",
    "card": "plastic arrived post pin magnetic stripe",
    "login": "password app account locked code screen",
    "limit": "daily maximum raise withdraw ceiling spend",
    "fees": "exchange rate cost percent extra abroad",
}
FILLER = ["please", "could", "you", "tell", "me", "about", "this", "today", "since", "yesterday", "my", "our", "the", "a", "and", "it", "again"]


class Counting:
    """An Evaluate that counts what it is asked, pair by pair: `asked` lists (prompt hash, item id)."""

    def __init__(self, score: Callable[[Prompt, Item], tuple[float, str]]) -> None:
        self._score = score
        self.asked: list[tuple[bytes, str]] = []

    def __call__(self, prompt: Prompt, items: Sequence[Item]) -> list[Scored]:
        found = []
        for item in items:
            self.asked.append((prompt.content_hash, item.id))
            score, output = self._score(prompt, item)
            tokens = sum(len(message.content) for message in prompt.messages) // 4 + (40 * prompt.retrieval.k if prompt.retrieval else 0)
            found.append(Scored(item, output, score, tokens, 2, tokens / 1000))
        return found


def chance(*parts: object) -> float:
    """A number in [0, 1) that depends on nothing but the parts."""
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:6], "big") / 2**48


def message_of(intent: str, rng: Random) -> str:
    return " ".join(rng.sample(FILLER, 5) + rng.sample(WORDS[intent].split(), 2))


def intent_task(rng: Random, *, train: int = 60, validation: int = 40, test: int = 0, instruction: str = "Help the customer.") -> Task:
    def items(kind: str, n: int) -> tuple[Item, ...]:
        chosen = [rng.choice(INTENTS) for _ in range(n)]
        return tuple(Item(f"{kind}{number}", message_of(intent, rng), intent) for number, intent in enumerate(chosen))

    sets = (items("train", train), items("validation", validation), items("test", test))
    return Task("desk", Prompt((Message("system", instruction),)), {"type": "exact_match"}, *sets, INTENTS, (("incorrect", 5), ("formatting", 2)))


def bag(texts: Sequence[str]) -> Vectors:
    """Vectors of which words a text has, of length 1."""
    vocabulary = sorted({word for words in WORDS.values() for word in words.split()})
    rows = np.array([[float(word in text.split()) for word in vocabulary] for text in texts], dtype=np.float32).reshape(len(texts), len(vocabulary))
    return rows / np.maximum(1e-9, np.linalg.norm(rows, axis=1, keepdims=True))


def nearest_train(task: Task) -> Nearest:
    return nearest_in(task.train, bag([item.input for item in task.train]), bag)


def copying(task: Task, nearest: Nearest) -> Counting:
    """A model that answers as the demonstration most like the input does, and always the same without one. Like a small model, it ignores instructions."""

    def score(prompt: Prompt, item: Item) -> tuple[float, str]:
        shown: list[Demonstration] = list(prompt.demonstrations)
        if prompt.retrieval:
            shown += nearest(item.input, prompt.retrieval.k, frozenset([item.id]))[::-1]
        alike = bag([item.input]) @ bag([one.input for one in shown]).T if shown else np.zeros((1, 0))
        output = shown[int(alike[0].argmax())].output if shown and alike.max() > 0 else INTENTS[0]
        return float(output == item.expected), output

    return Counting(score)


def coin(chances: Callable[[Prompt], float], salt: object = 0) -> Counting:
    """Right with the prompt's chance, whatever the item; the same pair always alike."""

    def score(prompt: Prompt, item: Item) -> tuple[float, str]:
        right = chance(salt, prompt.content_hash, item.id) < chances(prompt)
        return float(right), item.expected if right else "wrong"

    return Counting(score)


RULES = 12


def rule_task(rng: Random, *, train: int = 60, validation: int = 30, test: int = 200) -> tuple[Task, dict[str, frozenset[int]]]:
    """The bench's rule task: each item needs one to three of twelve rules, and its score is the share of them that the prompt holds."""
    needs: dict[str, frozenset[int]] = {}

    def items(kind: str, n: int) -> tuple[Item, ...]:
        made = tuple(Item(f"{kind}{number}", f"x {kind} {number}", "y") for number in range(n))
        needs.update({item.id: frozenset(rng.sample(range(RULES), rng.randint(1, 3))) for item in made})
        return made

    sets = (items("train", train), items("validation", validation), items("test", test))
    return Task("rules", Prompt((Message("system", "Rules:"),)), {"type": "exact_match"}, *sets), needs


def by_rules(needs: dict[str, frozenset[int]]) -> Counting:
    def score(prompt: Prompt, item: Item) -> tuple[float, str]:
        have = {int(found) for found in re.findall(r"R(\d+)", prompt.instruction)}
        missing = needs[item.id] - have
        return 1 - len(missing) / len(needs[item.id]), "missing " + " ".join(f"R{rule}" for rule in sorted(missing)) if missing else "y"

    return Counting(score)


class Scripted:
    """A reflection model in script (a ChatModel): `answer` turns what it is sent into what it says. Counts its calls."""

    name = "scripted"

    def __init__(self, answer: Callable[[str], str]) -> None:
        self._answer = answer
        self.budget = Budget()
        self.asked: list[str] = []

    def complete(self, messages: Sequence[Message], **options: Any) -> Completion:
        text = "\n\n".join(message.content for message in messages)
        self.asked.append(text)
        return Completion(self._answer(text), len(text) // 4, 20, 0, 0.0, False, self.name, 0.0)

    def complete_many(self, requests: Any, concurrency: int | None = None) -> Any:
        raise NotImplementedError


def rule_reflection(rng: Random) -> Scripted:
    """The bench's scripted model, word for word: adds one of the missing rules with chance .7, forgets each rule it has with chance .03."""

    def answer(prompt: str) -> str:
        have = re.findall(r"R\d+", prompt.split("```")[1] if "```" in prompt else "")
        missing = [rule for found in re.findall(r"missing ((?:R\d+ ?)+)", prompt) for rule in found.split()]
        added = [rng.choice(missing)] if missing and rng.random() < 0.7 else []
        kept = [rule for rule in have if rng.random() > 0.03]
        return "```\nRules: " + " ".join(sorted(set(kept + added))) + "\n```"

    return Scripted(answer)
