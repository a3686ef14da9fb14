"""What an agent's newest dataset version teaches a model, and what it is tested by: the prompt that serves with each input, and the approved answer.

Belongs here: from stored rows to lessons and test items. Not here: SQL, whether there are enough (preparation.py), the rows' forms (lessons.py).

Rows that still show personal data are held back as in exports: a model may say again what it was trained on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from random import Random
from typing import TypeVar

from learning_pipelines.behavior.fine_tuning.lessons import Example, Lessons, Method, Pair, Question, Turn
from learning_pipelines.behavior.fine_tuning.recipe import MOST_TRAIN, MOST_VALIDATION
from learning_pipelines.examples.export_guard import Guard
from learning_pipelines.examples.exports import RULES, pair_texts
from learning_pipelines.prompts.prompt import Prompt
from learning_pipelines.prompts.task import Item, Nearest
from learning_pipelines.storage import exports, prompt_runs
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.tenants import AgentRef
from learning_pipelines.storage.versions import Version

Row = TypeVar("Row")
NOT_A_LABEL, PERSONAL, TOO_MANY = "not one of the agent's labels", "personal data", "more than a run learns from"
SOURCES = RULES["trl-dpo"].sources


@dataclass(frozen=True, slots=True)
class Material:
    """`lessons` with the rows of train and validation; `items` (their answers known) or `pairs` of the test split."""

    lessons: Lessons
    items: tuple[Item, ...] = ()
    pairs: tuple[Pair, ...] = ()

    def questions(self, prompt: Prompt, nearest: Nearest | None) -> tuple[Question, ...]:
        return tuple(Question(item.id, turns(prompt, nearest, item.input, item.id)) for item in self.items)

    @property
    def test_ids(self) -> list[str]:
        return [*(item.id for item in self.items), *(pair.id for pair in self.pairs)]


def material(
    connection: Connection, agent: AgentRef, dataset: Version, method: Method, prompt: Prompt, nearest: Nearest | None, labels: Sequence[str]
) -> Material:
    """Everything of one method. The same version and prompt give the same material, in the same order."""
    left: Counter[str] = Counter()
    guard = Guard()
    items = _items(connection, agent, dataset, labels, guard, left)
    if method == "sft":
        rows = {split: [Example(one.id, turns(prompt, nearest, one.input, one.id), one.expected) for one in items[split]] for split in items if split != "test"}
        return Material(_lessons(method, dataset, rows["train"], rows["validation"], guard, left), tuple(items["test"]))
    pairs = {split: _pairs(connection, agent, dataset, split, prompt, nearest, guard) for split in ("train", "validation", "test")}
    lessons = _lessons(method, dataset, pairs["train"], pairs["validation"], guard, left)
    return Material(lessons, pairs=tuple(pairs["test"])) if method == "rlhf" else Material(lessons, tuple(items["test"]))


def turns(prompt: Prompt, nearest: Nearest | None, text: str, identity: str) -> tuple[Turn, ...]:
    """What the model is sent for an input, exactly as it is served; an example is never shown to itself."""
    shown = []
    if prompt.retrieval is not None and nearest is not None:
        shown = prompt.retrieval.shown(nearest(text, prompt.retrieval.k, frozenset({identity})))
    return tuple({"role": message.role, "content": message.content} for message in prompt.for_input(text, shown))


def _items(
    connection: Connection, agent: AgentRef, dataset: Version, labels: Sequence[str], guard: Guard, left: Counter[str]
) -> dict[str, list[Item]]:
    found: dict[str, list[Item]] = {"train": [], "validation": [], "test": []}
    for row in prompt_runs.items(connection, agent, dataset.id):
        if labels and row["expected_output"] not in labels:
            left[NOT_A_LABEL] += 1
        elif row["split"] in found and guard.lets_pass((row["input_text"], row["expected_output"])):
            found[row["split"]].append(Item(row["id"], row["input_text"], row["expected_output"], row["input_context"]))
    return found


def _pairs(
    connection: Connection, agent: AgentRef, dataset: Version, split: str, prompt: Prompt, nearest: Nearest | None, guard: Guard
) -> list[Pair]:
    read = list(exports.read_pairs(connection, agent, dataset.id, (split,), SOURCES))  # whole before the next question: it is a cursor
    texts = ((pair.pair_id, *pair_texts(pair)) for pair in read)
    return [
        Pair(identity, turns(prompt, nearest, asked, identity.partition("/")[0]), chosen, rejected)
        for identity, asked, chosen, rejected in texts
        if asked.strip() and chosen.strip() and rejected.strip() and guard.lets_pass((asked, chosen, rejected))
    ]


def _lessons(method: Method, dataset: Version, train: Iterable[Row], validation: Iterable[Row], guard: Guard, left: Counter[str]) -> Lessons:
    rows, seed = {}, int.from_bytes(dataset.content_hash[:4])
    for name, given, most in (("train", list(train), MOST_TRAIN), ("validation", list(validation), MOST_VALIDATION)):
        if len(given) > most:
            if name == "train":
                left[TOO_MANY] += len(given) - most
            given = [given[place] for place in sorted(Random(seed).sample(range(len(given)), most))]
        rows[name] = tuple(given)
    left.update({PERSONAL: sum(guard.held_back.values())} if guard.held_back else {})
    return Lessons(method, rows["train"], rows["validation"], dict(left))  # type: ignore[arg-type]
