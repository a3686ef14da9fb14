"""Training pairs of an agent, kept up to date: what helped, what was shown and did not, and what only looks as if it could.

Belongs here: what makes a pair, the portions of a refresh. Not here: mining (mining.py), SQL (storage/training_pairs.py), training.

Only questions of the split train make pairs, and their texts are without personal data. One row per question and chunk: a passage that some
found helpful and others did not is what the mean of their words says, a pair only where that is clear.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from learning_pipelines.retrieval.chunking import indexed
from learning_pipelines.retrieval.judged import questions
from learning_pipelines.retrieval.loaded import Loaded
from learning_pipelines.retrieval.mining import HELPFUL, Mined, Serving, helpful, mined
from learning_pipelines.retrieval.task import JudgedQuery
from learning_pipelines.storage import indexes
from learning_pipelines.storage import training_pairs as storage
from learning_pipelines.storage.database import Connection, database_errors
from learning_pipelines.storage.tenants import AgentRef
from learning_pipelines.storage.training_pairs import Due, mined_negatives, new_pairs

__all__ = ["Paired", "mined_negatives", "new_pairs", "refresh_pairs"]

Row = tuple[object, ...]
Texts = dict[str, tuple[str, str | None, str]]

RULES = "1"
"""Part of what pairs are made from: bumped when the rules change, so that all are made again."""

MINED = 5
"""Hard negatives per question: 10 or fewer are recommended (NV-Retriever)."""

PORTION = 10_000
"""Questions per transaction: 15 MB of vectors, and as much again for their positives. The corpus is read once per portion."""


@dataclass
class Paired:
    """What one refresh did: questions looked at, pairs that are new and withdrawn, questions without a positive, and without vectors to mine by."""

    questions: int = 0
    new: int = 0
    withdrawn: int = 0
    without_positive: int = 0
    without_vectors: int = 0


def refresh_pairs(connection: Connection, agent: AgentRef, *, loaded: Loaded | None = None, portion: int = PORTION) -> Paired:
    """Makes the pairs of every train question that lacks them or whose judgements changed. Running it again changes nothing.

    With `loaded`, hard negatives are mined from the index that serves the agent, and all anew once another one serves; without it, or before there
    is an index, by stored vectors. Each portion of questions is committed. Raises what the encoder of the serving index raises.
    """
    done = Paired()
    with database_errors(f"making the training pairs of {agent.partition}"):
        version = None if loaded is None else indexes.serving(connection, agent.organization_id, agent.agent_id)
        serving = None if loaded is None or version is None else Serving(version, loaded)
        rules = f"{RULES}/{'' if version is None else f'index {version.number}'}"
        while True:
            with connection.transaction():
                storage.lock_pairs(connection, agent)
                done.withdrawn += storage.withdraw(connection, agent)
                wanted = storage.due(connection, agent, rules, portion)
            if not wanted:
                return done
            rows = _rows(connection, agent, wanted, serving, done)
            with connection.transaction():
                storage.lock_pairs(connection, agent)
                new, withdrawn = storage.store(connection, agent, wanted, rows, rules)
            done.questions, done.new, done.withdrawn = done.questions + len(wanted), done.new + new, done.withdrawn + withdrawn


def _rows(connection: Connection, agent: AgentRef, wanted: Sequence[Due], serving: Serving | None, done: Paired) -> list[Row]:
    due = {one.id: one for one in wanted}
    judged = questions(connection, agent, list(due))
    taught = [one for one in judged if helpful(one)]
    done.without_positive += len(judged) - len(taught)
    found = mined(connection, agent, taught, due, serving)
    done.without_vectors += len(taught) - len(found)
    needed = sorted({chunk for one in judged for chunk in one.chunks} | {chunk for each in found.values() for chunk, _ in each.candidates})
    texts = storage.texts(connection, agent, needed)
    rows: list[Row] = []
    for one in judged:
        rows += _pairs(one, due[one.id], found.get(one.id, Mined((), frozenset())), texts)
    return rows


def _pairs(one: JudgedQuery, why: Due, near: Mined, texts: Texts) -> list[Row]:
    """The pairs of one question: no text twice, a negative never says what a positive says, nor is it of a document that helped."""
    rows, said = list[Row](), set[str]()

    def add(chunk: str, label: str, weight: float, similarity: float | None) -> bool:
        if chunk not in texts or (label != "positive" and (texts[chunk][0] in why.relevant or chunk in near.same)):
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
    for chunk, similarity in near.candidates:
        left -= left > 0 and add(chunk, "hard_negative", 1.0, similarity)
    return rows
