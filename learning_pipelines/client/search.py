"""What an agent's index finds for a question, as the service answers it.

Belongs here: the values. Not here: HTTP (transport.py), which index searches (the service's).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from learning_pipelines.client.experiments import Part, part_of
from learning_pipelines.client.records import Retrieved


@dataclass(frozen=True)
class Hit:
    chunk_id: str
    document_id: str
    score: float
    text: str
    heading: str = ""


@dataclass(frozen=True)
class Found:
    """Best first; false without any. `index`: number of the version that searched, None: none did. `reason`: why there is nothing. `part`: the experiment
    that the unit takes part in."""

    hits: tuple[Hit, ...] = ()
    index: int | None = None
    reason: str | None = None
    part: Part | None = None

    def __bool__(self) -> bool:
        return bool(self.hits)

    @property
    def retrieved(self) -> list[Retrieved]:
        """As `log_execution(retrieved=…)` takes it."""
        return [Retrieved(chunk_id=hit.chunk_id, document_id=hit.document_id, rank=rank, score=hit.score) for rank, hit in enumerate(self.hits, 1)]


def parameters(query: str, agent: str | None, unit: str | None, k: int) -> dict[str, str]:
    given = {"q": query, "k": str(k), "agent": agent, "unit": unit}
    return {name: value for name, value in given.items() if value}


def read(data: Mapping[str, Any], unit: str | None) -> Found | None:
    """The service's answer; None if it is none."""
    try:
        hits = tuple(
            Hit(str(one["chunk_id"]), str(one["document_id"]), float(one["score"]), str(one["text"]), str(one.get("heading") or ""))
            for one in data["results"]
        )
        return Found(hits, data["index"], data["hint"], part_of(dict(data), unit))
    except (KeyError, TypeError, ValueError):
        return None
