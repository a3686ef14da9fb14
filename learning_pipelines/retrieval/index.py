"""What an index version is: how the legs are mixed and what was learnt on top. The whole of what makes one version answer unlike another.

Belongs here: the configuration that travels between learning, storage and search. Not here: searching (searcher.py), learning (learning/), SQL.

Version 0 is the organization's base index (BM25 and the packaged encoder, nothing learnt). A learnt version belongs to an agent and counts from 1; it
replaces the base for that agent's searches. Vectors are kept per encoder: a version without an encoder of its own costs none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from learning_pipelines.errors import LearningError

BASE = 0
KINDS = ("index", "reranker", "expansion", "chunk_edit")
DEPTH = 100
"""Chunks each leg brings to the mixture; a re-ranker orders no more than these."""


@dataclass(frozen=True, slots=True)
class Artifact:
    """A learnt file or folder below the artifact store: `path` relative to it, `sha256` of its bytes (of a folder: of its sorted names and hashes)."""

    path: str
    sha256: str


@dataclass(frozen=True, slots=True)
class IndexConfig:
    """`lexical_weight`: share 0..1 of BM25 in the mixture, the rest is the vector leg's (retrieval/ranking.py says how scores are made comparable).

    `adapter`: a matrix applied to query vectors. `reranker`: LightGBM's text format. `expansion`: learnt associations of terms.
    `chunk_edit`: id of the edit whose chunks replace the original ones. `encoder`: the learnt model's folder; None is the packaged one.
    """

    lexical_weight: float = 0.5
    encoder: Artifact | None = None
    adapter: Artifact | None = None
    reranker: Artifact | None = None
    expansion: Artifact | None = None
    chunk_edit: str | None = None
    notes: Mapping[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> IndexConfig:
        """Raises LearningError for what another version of this software stored."""
        known = {one.name for one in fields(cls)}
        if unknown := set(stored) - known:
            raise LearningError(f"An index version holds what this version cannot serve: {', '.join(sorted(unknown))}.", "Update, or roll back the index.")
        artifacts = {name: Artifact(**stored[name]) for name in ("encoder", "adapter", "reranker", "expansion") if stored.get(name)}
        return cls(**{**stored, **artifacts})
