"""Judged questions of one split as learners, choice and the gate take them.

Belongs here: which chunk a document stands for. Not here: what travels (task.py), how questions are counted and split (queries.py), SQL.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from learning_pipelines.examples.splits import Split
from learning_pipelines.retrieval.bm25 import Bm25
from learning_pipelines.retrieval.task import JudgedQuery
from learning_pipelines.storage import judged_queries as storage
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.tenants import AgentRef


def judged_queries(connection: Connection, agent: AgentRef, split: Split) -> tuple[JudgedQuery, ...]:
    """The questions of the split that something helped with, oldest first; what was shown and did not help has gain 0.

    A document that was named without a chunk has its best-fitting chunk in `chunks`, with the document's gain: the nearest by the vectors of the
    question's encoder, or by BM25 among them where its chunks have none. A document that is not cut into chunks yet has none. Texts are without
    personal data. Learners take train, choosing takes validation, the gate takes test.
    """
    return _resolved(connection, agent, list(storage.judged(connection, agent, split)))


def questions(connection: Connection, agent: AgentRef, ids: Sequence[str]) -> tuple[JudgedQuery, ...]:
    """The same for single questions, also those that nothing helped with."""
    return _resolved(connection, agent, list(storage.by_id(connection, agent, ids)))


def _resolved(connection: Connection, agent: AgentRef, found: list[storage.Judged]) -> tuple[JudgedQuery, ...]:
    unclear = sorted({document for one in found for document in one.unclear})
    parts = storage.chunks_of(connection, agent, unclear) if unclear else {}
    return tuple(_judged(one, parts) for one in found)


def _judged(one: storage.Judged, parts: dict[str, list[tuple[str, str]]]) -> JudgedQuery:
    best = one.best | {document: best_by_words(one.text, parts[document]) for document in one.unclear if document in parts}
    chunks = {chunk: one.documents[document] for document, chunk in best.items()}
    return JudgedQuery(one.id, one.text, one.documents, one.chunks | chunks, one.cluster)


def best_by_words(question: str, chunks: Sequence[tuple[str, str]]) -> str:
    """The chunk (id, text) that BM25 finds best for the question among these; the first of equals."""
    return chunks[int(np.argmax(Bm25.build([text for _, text in chunks]).scores(question)))][0]
