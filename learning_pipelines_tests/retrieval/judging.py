"""Rows of a small corpus and of what people said about searching it.

Belongs here: helpers of the tests of questions, pairs and relevance. Not here: tests.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from learning_pipelines.examples.similarity import DuplicateRule
from learning_pipelines.retrieval.judged import judged_queries
from learning_pipelines.retrieval.queries import Refreshed, refresh_queries
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.tenants import AgentRef, known_agent
from learning_pipelines_tests.conftest import Load

BY_TEXT = DuplicateRule(cosine=None)
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

    def say(self, *rows: dict[str, Any]) -> None:
        result = self.load("retrieval_feedback", [{"agent": self.agent.agent, **row} for row in rows])
        assert not result.rejected, result.errors

    def refresh(self, **options: Any) -> Refreshed:
        return refresh_queries(self.connection, self.agent, **{"rule": BY_TEXT, "shares": SHARES, **options})

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
