"""The four tasks of the prompt benchmark: real messages with one label each, split once per seed.

Belongs here: reading the data sets, which labels a task has, the seeded split. Not here: methods, calls, scores.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
import os
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

DATA = Path(os.environ.get("LEARNING_TEST_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")
TRAIN, VALIDATION = 110, 40
"""Labelled examples of a small real agent; every method gets both and may divide them anew."""
LABELS_DRAWN = 77
"""Seed of the draw of the intents: nobody picked them."""
INTENT = "transfer_payment_deposit"

Pair = tuple[str, str]


@dataclass(frozen=True)
class Split:
    """One task under one seed. `test` is asked once, at the end; nothing else may see it. Labels are answer texts."""

    task: str
    seed: int
    instruction: str
    labels: tuple[str, ...]
    train: tuple[Pair, ...]
    validation: tuple[Pair, ...]
    test: tuple[Pair, ...]

    @property
    def known(self) -> tuple[Pair, ...]:
        return self.train + self.validation


def split(task: str, seed: int, test_items: int) -> Split:
    """Shuffled once by the seed: test first, then training and validation. Where there are too few rows all three shrink alike."""
    instruction, rows = TASKS[task]
    pairs = distinct(rows())
    random.Random(f"{task} {seed}").shuffle(pairs)
    labels = tuple(sorted({label for _, label in pairs}))
    share = min(1.0, len(pairs) / (TRAIN + VALIDATION + test_items))
    tested, kept = int(test_items * share), int(VALIDATION * share)
    rest = pairs[tested:][: int(TRAIN * share) + kept]
    return Split(task, seed, instruction, labels, tuple(rest[kept:]), tuple(rest[:kept]), tuple(pairs[:tested]))


def distinct(pairs: Iterator[Pair]) -> list[Pair]:
    """A text is there once, however it is spaced and cased: the same message on both sides would be a leak."""
    seen: dict[str, Pair] = {}
    for text, label in pairs:
        seen.setdefault(" ".join(text.casefold().split()), (text.strip(), label.strip("?").replace("_", " ")))
    return list(seen.values())


def item(text: str) -> str:
    """What an item is called in the results, which hold no texts."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def banking(intents: int) -> Iterator[Pair]:
    rows: list[dict[str, str]] = []
    for name in ("train.csv", "test.csv"):
        with (DATA / "banking77" / name).open(newline="", encoding="utf-8") as file:
            rows += csv.DictReader(file)
    chosen = set(random.Random(LABELS_DRAWN).sample(sorted({row["category"] for row in rows}), intents))
    yield from ((row["text"], row["category"]) for row in rows if row["category"] in chosen)


def facility() -> Iterator[Pair]:
    """The subject line says as much of the urgency as the e-mail (a vote of the nearest: 75 and 72 % right); whole ones take the model 20 times as long."""
    with gzip.open(DATA / "facility_support" / "dataset.jsonl.gz", "rt", encoding="utf-8") as file:
        for row in map(json.loads, file):
            yield row["input"].splitlines()[0].removeprefix("Subject: "), row["answer"]["urgency"]


def nlupp() -> Iterator[Pair]:
    """One intent of many: is the message about a transfer, payment or deposit, or not?"""
    with gzip.open(DATA / "nlupp_banking" / "banking.jsonl.gz", "rt", encoding="utf-8") as file:
        for row in map(json.loads, file):
            yield row["text"], INTENT if INTENT in row.get("intents", ()) else "other"


TASKS: dict[str, tuple[str, Callable[[], Iterator[Pair]]]] = {
    "banking77-5": ("Classify the message.", lambda: banking(5)),
    "banking77-16": ("Classify the message.", lambda: banking(16)),
    "nlupp-transfer": ("Classify the message.", nlupp),
    "facility-urgency": ("Classify the e-mail.", facility),
}
