"""What learners are given: an agent's passages with their vectors, its judged queries of train and validation, mined negatives.

Belongs here: from the database to a Training in memory. Not here: learning (learning/), which version serves. Test queries are not read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import numpy as np

from learning_pipelines.encoder import Encoder
from learning_pipelines.retrieval.bm25 import Bm25
from learning_pipelines.retrieval.chunking import indexed
from learning_pipelines.retrieval.encoders import Encoders
from learning_pipelines.retrieval.index import IndexConfig
from learning_pipelines.retrieval.judged import judged_queries
from learning_pipelines.retrieval.lexical import StoredLexical
from learning_pipelines.retrieval.pairs import mined_negatives
from learning_pipelines.retrieval.task import Floats, JudgedQuery, Passages, Training
from learning_pipelines.storage import chunk_edits, found_chunks, vector_search
from learning_pipelines.storage.database import Connection, snapshot
from learning_pipelines.storage.indexes import IndexVersion
from learning_pipelines.storage.lexical import Scope
from learning_pipelines.storage.tenants import AgentRef


def training_of(connection: Connection, agent: AgentRef, serving: IndexVersion, encoders: Encoders, folder: Path, seed: int) -> Training:
    """Everything in memory: 2 kB per chunk for vectors of 384 numbers, and its text. Raises what the encoder raises."""
    config = IndexConfig.from_json(serving.config)
    encoder = encoders.of(serving.encoder)
    with snapshot(connection):
        scope = Scope(agent.organization_id, agent.agent_id, UUID(config.chunk_edit) if config.chunk_edit else None)
        edit = chunk_edits.edit_of(connection, agent.organization_id, config.chunk_edit)
        analyzer = StoredLexical(connection, scope, hidden=edit.hidden, added=edit.added).analyzer
        passages = _passages(connection, scope, serving, edit)
        train, validation = (judged_queries(connection, agent, split) for split in ("train", "validation"))
        negatives = mined_negatives(connection, agent)
        made = chunk_edits.replacements(connection, agent.organization_id, config.chunk_edit)
    train_vectors, validation_vectors = (_encoded(encoder, queries, serving) for queries in (train, validation))
    return Training(
        passages=passages, lexical=Bm25.build(passages.texts, analyzer), train=_as_served(train, train_vectors, made, passages),
        validation=_as_served(validation, validation_vectors, made, passages), train_vectors=train_vectors, validation_vectors=validation_vectors,
        negatives=negatives, encoder=encoder, serving=config, folder=folder, seed=seed,
    )  # fmt: skip


def _as_served(
    queries: tuple[JudgedQuery, ...], vectors: Floats, made: Mapping[str, tuple[str, ...]], passages: Passages
) -> tuple[JudgedQuery, ...]:  # fmt: skip
    """What was said of chunks that a serving edit replaced, said of those it made of them; of several of the one nearest to the question."""
    if not made:
        return queries
    place = {chunk: number for number, chunk in enumerate(passages.ids)}
    found = []
    for query, vector in zip(queries, vectors, strict=True):
        chunks: dict[str, float] = {}
        for chunk, gained in query.chunks.items():
            parts = [part for part in made.get(chunk, ()) if part in place]
            name = max(parts, key=lambda part: float(passages.vectors[place[part]] @ vector)) if parts else chunk
            chunks[name] = max(gained, chunks.get(name, gained))
        found.append(replace(query, chunks=chunks))
    return tuple(found)


def _passages(connection: Connection, scope: Scope, serving: IndexVersion, edit: chunk_edits.Edit) -> Passages:
    """The chunks in the order of their ids; one without a vector cannot be learnt from, and there is none once the index is complete."""
    ids: list[str] = []
    portions: list[Floats] = []
    documents: list[str] = []
    texts: list[str] = []
    headings: list[str] = []
    for names, vectors in vector_search.vectors(connection, scope, serving.encoder.id, hidden=edit.hidden, added=edit.added):
        found = found_chunks.texts(connection, scope.organization_id, names)
        ids += names
        portions.append(_unit(np.asarray(vectors, dtype=np.float32)))
        for chunk in (found[name] for name in names):
            documents.append(chunk.document_id)
            headings.append(chunk.heading or "")
            texts.append(indexed(chunk.heading, chunk.text))
    together = np.concatenate(portions) if portions else np.zeros((0, serving.encoder.dimensions), dtype=np.float32)
    return Passages(tuple(ids), tuple(documents), tuple(texts), together, tuple(headings))


def _encoded(encoder: Encoder, queries: tuple[JudgedQuery, ...], serving: IndexVersion) -> Floats:
    if not queries:
        return np.zeros((0, serving.encoder.dimensions), dtype=np.float32)
    return encoder.encode([query.text for query in queries])


def _unit(vectors: Floats) -> Floats:
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12), dtype=np.float32)
