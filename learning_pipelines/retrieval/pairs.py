"""Training pairs of an agent, kept up to date: what helped, what was shown and did not, and what only looks as if it could.

Belongs here: what makes a pair, the portions of a refresh. Not here: mining (negatives.py), SQL (storage/training_pairs.py), training.

Only questions of the split train make pairs, and their texts are without personal data. One row per question and chunk: a passage that some
found helpful and others did not is what the mean of their words says, a pair only where that is clear.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from learning_pipelines.retrieval.chunking import indexed
from learning_pipelines.retrieval.judged import questions
from learning_pipelines.retrieval.negatives import Alike, Nearest, allowed, mine
from learning_pipelines.retrieval.task import JudgedQuery
from learning_pipelines.storage import training_pairs as storage
from learning_pipelines.storage.database import Connection, database_errors
from learning_pipelines.storage.tenants import AgentRef
from learning_pipelines.storage.training_pairs import Due, mined_negatives, new_pairs

__all__ = ["Paired", "mined_negatives", "new_pairs", "refresh_pairs"]

Floats = npt.NDArray[np.float32]
Row = tuple[object, ...]
Texts = dict[str, tuple[str, str | None, str]]

RULES = "1"
"""Part of what pairs are made from: bumped when the rules change, so that all are made again."""

HELPFUL = 0.35
"""Gain from which a passage is a positive: a praised answer's source (four stars: .375) and two of five stars are, one star is not, and neither is
what most people found unhelpful. Between this and 0 a passage is neither positive nor negative."""

MINED = 5
"""Hard negatives per question: 10 or fewer are recommended (NV-Retriever)."""

PORTION = 10_000
"""Questions per transaction: 15 MB of vectors, and as much again for their positives. The corpus is read once per portion."""


@dataclass(frozen=True, slots=True)
class Mined:
    """Of one question: (chunk id, similarity) of candidates, hardest first; chunks that say the same as one of its positives."""

    candidates: Sequence[tuple[str, float]]
    same: frozenset[str]


@dataclass
class Paired:
    """What one refresh did: questions looked at, pairs that are new and withdrawn, questions without a positive, and without vectors to mine by."""

    questions: int = 0
    new: int = 0
    withdrawn: int = 0
    without_positive: int = 0
    without_vectors: int = 0


def refresh_pairs(
    connection: Connection, agent: AgentRef, *, adapt: Callable[[Floats], Floats] | None = None, mined_by: str = "", portion: int = PORTION
) -> Paired:
    """Makes the pairs of every train question that lacks them or whose judgements changed. Running it again changes nothing.

    Hard negatives are the nearest chunks by the question's stored vector and the chunks' vectors of the same encoder, all of them, exactly.
    `adapt`: what the serving index does to question vectors (q, d) first, `mined_by`: its name; where it changes, all are mined again.
    """
    done = Paired()
    rules = f"{RULES}/{mined_by}"
    with database_errors(f"making the training pairs of {agent.partition}"):
        while True:
            with connection.transaction():
                storage.lock_pairs(connection, agent)
                done.withdrawn += storage.withdraw(connection, agent)
                wanted = storage.due(connection, agent, rules, portion)
                if not wanted:
                    return done
                rows = _rows(connection, agent, wanted, adapt, done)
                new, withdrawn = storage.store(connection, agent, wanted, rows, rules)
                done.questions, done.new, done.withdrawn = done.questions + len(wanted), done.new + new, done.withdrawn + withdrawn


def _rows(connection: Connection, agent: AgentRef, wanted: Sequence[Due], adapt: Callable[[Floats], Floats] | None, done: Paired) -> list[Row]:
    by_id = {one.id: one for one in wanted}
    judged = questions(connection, agent, list(by_id))
    taught = [one for one in judged if any(gain >= HELPFUL for gain in one.chunks.values())]
    done.without_positive += len(judged) - len(taught)
    mined = _mined(connection, agent, taught, by_id, adapt)
    done.without_vectors += len(taught) - len(mined)
    needed = sorted({chunk for one in judged for chunk in one.chunks} | {chunk for found in mined.values() for chunk, _ in found.candidates})
    texts = storage.texts(connection, agent, needed)
    rows: list[Row] = []
    for one in judged:
        rows += _pairs(one, by_id[one.id], mined.get(one.id, Mined((), frozenset())), texts)
    return rows


def _pairs(one: JudgedQuery, why: Due, mined: Mined, texts: Texts) -> list[Row]:
    """The pairs of one question: no text twice, a negative never says what a positive says, nor is it of a document that helped."""
    rows, said = list[Row](), set[str]()

    def add(chunk: str, label: str, weight: float, similarity: float | None) -> bool:
        if chunk not in texts or (label != "positive" and (texts[chunk][0] in why.relevant or chunk in mined.same)):
            return False
        text = indexed(texts[chunk][1], texts[chunk][2])
        if text in said:
            return False
        said.add(text)
        origin = "mined" if label == "hard_negative" else why.origin
        rows.append((one.id, chunk, texts[chunk][0], one.text, text, label, weight, origin, similarity))
        return True

    for chunk, gain in sorted(one.chunks.items(), key=lambda item: (-item[1], item[0])):
        if gain >= HELPFUL:
            add(chunk, "positive", gain, None)
        elif gain == 0 and why.origin == "feedback":
            add(chunk, "negative", 1.0, None)
    left = MINED
    for chunk, similarity in mined.candidates:
        left -= left > 0 and add(chunk, "hard_negative", 1.0, similarity)
    return rows


def _mined(
    connection: Connection, agent: AgentRef, taught: Sequence[JudgedQuery], by_id: dict[str, Due], adapt: Callable[[Floats], Floats] | None
) -> dict[str, Mined]:
    """What was mined per question; without the questions that have no vector, or whose corpus has none."""
    found: dict[str, Mined] = {}
    for encoder in sorted({name for one in taught if (name := by_id[one.id].encoder) is not None}):
        identity = storage.encoder_id(connection, agent, encoder)
        if identity is None:
            continue
        vectors = storage.vectors_of_questions(connection, agent, [one.id for one in taught], encoder)
        helpful = {chunk for one in taught if one.id in vectors for chunk, gain in one.chunks.items() if gain >= HELPFUL}
        positives = storage.vectors_of_chunks(connection, agent, identity, sorted(helpful))
        mineable = [one for one in taught if one.id in vectors and any(chunk in positives for chunk in one.chunks)]
        if not mineable:
            continue
        asked = np.stack([vectors[one.id] for one in mineable])
        asked = asked if adapt is None else adapt(asked)
        order, names = list(positives), list[tuple[str, str]]()
        nearest, alike = mine(asked, np.stack([positives[chunk] for chunk in order]), storage.blocks(connection, agent, identity, names))
        found |= _chosen(mineable, asked, positives, order, names, nearest, alike, by_id)
    return found


def _chosen(
    mineable: Sequence[JudgedQuery], asked: Floats, positives: dict[str, Floats], order: list[str], names: list[tuple[str, str]], nearest: Nearest,
    alike: Alike, by_id: dict[str, Due],
) -> dict[str, Mined]:  # fmt: skip
    same: dict[str, set[str]] = {}
    for given, place in alike.pairs:
        same.setdefault(order[given], set()).add(names[place][0])
    chosen = {}
    for at, one in enumerate(mineable):
        own = [chunk for chunk, gain in one.chunks.items() if gain >= HELPFUL and chunk in positives]
        best = max((float(asked[at] @ positives[chunk]) for chunk in own), default=0.0)
        scores = [float(score) for score, place in zip(nearest.scores[at], nearest.places[at], strict=True) if place >= 0]
        places = [int(place) for place in nearest.places[at] if place >= 0]
        says_it = frozenset().union(*(same.get(chunk, set()) for chunk in own))
        kept = allowed(
            scores, [names[place][0] for place in places], [names[place][1] for place in places], positive=best, relevant=by_id[one.id].relevant,
            alike=says_it | set(one.chunks),
        )  # fmt: skip
        chosen[one.id] = Mined([(names[places[entry]][0], scores[entry]) for entry in kept[: 3 * MINED]], says_it)
    return chosen
