"""Rows of a small corpus and of what people said about searching it.

Belongs here: helpers of the tests of questions, pairs and relevance. Not here: tests.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from zlib import crc32

import numpy as np
import numpy.typing as npt

from learning_pipelines.examples.similarity import DuplicateRule
from learning_pipelines.retrieval.judged import judged_queries
from learning_pipelines.retrieval.queries import Refreshed, refresh_queries
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.indexes import add_encoder
from learning_pipelines.storage.tenants import AgentRef, known_agent
from learning_pipelines.storage.vectors import register_vectors, to_half
from learning_pipelines_tests.conftest import Load


class WordEncoder:
    """Texts as counts of their words, hashed: equal words, near vectors. For tests that need no understanding."""

    name, dimensions = "words@1", 128

    def encode(self, texts: Sequence[str], *, batch_size: int = 0) -> npt.NDArray[np.float32]:
        rows = np.full((len(texts), self.dimensions), 1e-3, dtype=np.float32)
        for row, text in zip(rows, texts, strict=True):
            for word in re.findall(r"\w+", text.lower()):
                row[crc32(word.encode()) % self.dimensions] += 1
        return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


BY_TEXT = DuplicateRule(cosine=None)
BY_BOTH = DuplicateRule()
SHARES = (0.5, 0.2, 0.3)


@dataclass(frozen=True)
class World:
    """One agent and its corpus; `say` imports retrieval feedback (rows as in the file), `refresh` takes it up."""

    connection: Connection
    load: Load
    agent: AgentRef

    def documents(self, texts: Mapping[str, str | Sequence[str]], agent: str | None = None) -> None:
        """Documents, and their chunks named `<document>#0`, `#1`, …"""
        parts = {name: [text] if isinstance(text, str) else list(text) for name, text in texts.items()}
        owner = {"agent": agent} if agent else {}
        assert not self.load("documents", [{"document_id": name, "text": "\n\n".join(own), **owner} for name, own in parts.items()]).rejected
        with self.connection.cursor() as cursor:
            cursor.executemany(
                """INSERT INTO knowledge_chunks (organization_id, id, document_id, agent_id, position, text, content_hash)
                SELECT organization_id, %s, id, agent_id, %s, %s, sha256(%s) FROM documents WHERE organization_id = %s AND id = %s""",
                [(f"{name}#{at}", at, text, text.encode(), self.agent.organization_id, name) for name, own in parts.items() for at, text in enumerate(own)],
            )

    def embed(self) -> None:
        """Vectors of every chunk by WordEncoder."""
        encoder, organization = WordEncoder(), self.agent.organization_id
        identity = add_encoder(self.connection, organization, name=encoder.name, model="words", dimensions=encoder.dimensions)
        rows = self.connection.execute("SELECT id, text FROM knowledge_chunks WHERE organization_id = %s", [organization]).fetchall()
        register_vectors(self.connection)
        with self.connection.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO chunk_embeddings (organization_id, encoder_id, chunk_id, embedding) VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING",
                [(organization, identity, name, to_half(vector)) for (name, _), vector in zip(rows, encoder.encode([text for _, text in rows]), strict=True)],
            )

    def say(self, *rows: dict[str, Any]) -> None:
        result = self.load("retrieval_feedback", [{"agent": self.agent.agent, **row} for row in rows])
        assert not result.rejected, result.errors

    def refresh(self, **options: Any) -> Refreshed:
        """With WordEncoder's vectors of questions if `rule` has a cosine."""
        return refresh_queries(self.connection, self.agent, **{"rule": BY_TEXT, "shares": SHARES, "open_encoder": WordEncoder, **options})

    def pairs(self) -> set[tuple[str, str, str]]:
        """(question text, chunk id, label)"""
        return {
            (row[0], row[1], row[2])
            for row in self.connection.execute("SELECT query, chunk_id, label FROM embedding_training_pairs WHERE agent_id = %s", [self.agent.agent_id])
        }

    def stored(self) -> dict[str, dict[str, Any]]:
        """Question text to its stored columns."""
        rows = self.connection.execute(
            """SELECT text, id, split, left_out, cluster, documents, chunks, unknown, people, events, answers, contradictions
            FROM retrieval_queries WHERE organization_id = %s AND agent_id = %s ORDER BY place""",
            [self.agent.organization_id, self.agent.agent_id],
        ).fetchall()
        names = ("id", "split", "left_out", "cluster", "documents", "chunks", "unknown", "people", "events", "answers", "contradictions")
        return {row[0]: dict(zip(names, row[1:], strict=True)) for row in rows}

    def judged(self) -> dict[str, list[str]]:
        """Split to the texts of its judged questions."""
        return {split: [one.text for one in judged_queries(self.connection, self.agent, split)] for split in ("train", "validation", "test")}  # type: ignore[arg-type]


def world(connection: Connection, load: Load, agent: str = "help") -> World:
    """An organization with one agent and no documents."""
    load("agents", [{"agent": agent}])
    return World(connection, load, known_agent(connection, "default", agent))
