"""What an encoder is trained on: questions with a helpful passage and a hard negative, which ones share a batch, and which are masked.

Belongs here: choosing and ordering, plain numbers in and out, the same in every process with the same seed. Not here: loss and weights (contrastive.py).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from learning_pipelines.retrieval.task import JudgedQuery, Passages

Bools = npt.NDArray[np.bool_]
POSITIVES = 4
"""Passages taught per question: what one question says about a long document must not drown the others."""
NEGATIVES = 16
"""Hard negatives kept per question; one is shown in each round."""


@dataclass(frozen=True)
class Triples:
    """`texts`: passages, every one once. `questions`. Rows: (question, passage, gain > 0). `known`: per question the passages that are no negatives
    for it; `negatives`: per question hard ones, those that people saw and found useless first."""

    texts: list[str]
    questions: list[str]
    rows: list[tuple[int, int, float]]
    known: list[list[int]]
    negatives: list[list[int]]

    def as_json(self) -> dict[str, Any]:
        return {"texts": self.texts, "questions": self.questions, "rows": self.rows, "known": self.known, "negatives": self.negatives}

    @classmethod
    def from_json(cls, sent: Mapping[str, Any]) -> Triples:
        return cls(sent["texts"], sent["questions"], [(int(q), int(p), float(gain)) for q, p, gain in sent["rows"]], sent["known"], sent["negatives"])


@dataclass(frozen=True)
class Batch:
    """`questions` (b,), `passages` (b + h,): the positives in the questions' order, then the hard negatives. `gains` (b,). `masked` (b, b + h): true
    where a passage other than the row's own is no negative for the question."""

    questions: list[int]
    passages: list[int]
    gains: list[float]
    masked: Bools


def triples(queries: Sequence[JudgedQuery], passages: Passages, mined: Mapping[str, tuple[str, ...]], *, most: int, seed: int) -> Triples:
    """The train split as rows; `most` bounds the rows (picked evenly over the questions, by the seed).

    Never a negative: chunks judged helpful, chunks of documents judged helpful (judgements are per document), and passages of the very same text.
    """
    positions = {chunk: position for position, chunk in enumerate(passages.ids)}
    of_document: dict[str, list[int]] = defaultdict(list)
    for position, document in enumerate(passages.document_ids):
        of_document[document].append(position)
    texts = _Numbered()
    questions: list[str] = []
    rows: list[tuple[int, int, float]] = []
    known: list[list[str]] = []
    negatives: list[list[int]] = []
    for query in queries:
        judged = [(gain, chunk) for chunk, gain in query.chunks.items() if gain > 0 and chunk in positions]
        helpful = sorted((one for one in judged if passages.texts[positions[one[1]]].strip()), reverse=True)
        if not helpful or not query.text.strip():
            continue
        related = {position for document, gain in query.documents.items() if gain > 0 for position in of_document.get(document, ())}
        related |= {positions[chunk] for _, chunk in helpful}
        alike = {passages.texts[position] for position in related}
        useless = [chunk for chunk, gain in query.chunks.items() if gain == 0]
        hard = [positions[chunk] for chunk in dict.fromkeys([*useless, *mined.get(query.id, ())]) if chunk in positions]
        hard = [position for position in hard if position not in related and passages.texts[position] not in alike and passages.texts[position].strip()]
        number = len(questions)
        questions.append(query.text)
        rows += [(number, texts.number(passages.texts[positions[chunk]]), gain) for gain, chunk in helpful[:POSITIVES]]
        negatives.append([texts.number(passages.texts[position]) for position in hard[:NEGATIVES]])
        known.append(sorted(alike))
    rows = _bounded(rows, most, seed)
    numbers = texts.numbers
    return Triples(list(numbers), questions, rows, [[numbers[text] for text in one if text in numbers] for one in known], negatives)


def epoch(data: Triples, size: int, seed: int, number: int) -> Iterator[Batch]:
    """The batches of one round through the rows, in an order that the seed and the round's number decide. A rest of one row joins no batch:
    alone, it has nothing to be told apart from."""
    rng = np.random.default_rng([seed, number])
    order = rng.permutation(len(data.rows)).tolist()
    draws = rng.integers(0, NEGATIVES, len(order)).tolist()
    known = [set(one) for one in data.known]
    for start in range(0, len(order), size):
        chosen = [data.rows[row] for row in order[start : start + size]]
        if len(chosen) > 1:
            yield _batch(data, known, chosen, draws[start : start + size])


def batches_per_epoch(rows: int, size: int) -> int:
    return rows // size + (rows % size > 1)


def _batch(data: Triples, known: list[set[int]], chosen: list[tuple[int, int, float]], draws: list[int]) -> Batch:
    questions = [question for question, _, _ in chosen]
    passages = [passage for _, passage, _ in chosen]
    hard = [data.negatives[question][draw % len(data.negatives[question])] for question, draw in zip(questions, draws, strict=True) if data.negatives[question]]
    passages += [passage for passage in dict.fromkeys(hard) if passage not in set(passages)]  # one that is there already is a negative already
    masked = np.array([[passage in known[question] for passage in passages] for question in questions], dtype=np.bool_)
    masked[np.arange(len(chosen)), np.arange(len(chosen))] = False
    return Batch(questions, passages, [gain for _, _, gain in chosen], masked)


def _bounded(rows: list[tuple[int, int, float]], most: int, seed: int) -> list[tuple[int, int, float]]:
    if len(rows) <= most:
        return rows
    chosen = np.random.default_rng(seed).permutation(len(rows))[:most]
    return [rows[row] for row in sorted(chosen.tolist())]


class _Numbered:
    """Numbers for texts, each once."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}

    def number(self, text: str) -> int:
        return self.numbers.setdefault(text, len(self.numbers))
