"""Relevance of an agent's chunks, kept up to date with what people said about searches.

Belongs here: reading, fitting, storing in one transaction. Not here: the model (relevance.py), SQL (storage/chunk_relevance.py).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from learning_pipelines.retrieval.relevance import DEEPEST, Exposures, Relevance, fit
from learning_pipelines.storage import chunk_relevance as storage
from learning_pipelines.storage.database import Connection, database_errors
from learning_pipelines.storage.tenants import AgentRef

RULES = "1"


@dataclass(frozen=True, slots=True)
class Fitted:
    """What one refresh did: chunks with a posterior and their showings; nothing where nothing had changed."""

    chunks: int = 0
    shown: float = 0.0
    prior: tuple[float, float] | None = None
    examination: tuple[float, ...] = ()


def refresh_relevance(connection: Connection, agent: AgentRef) -> Fitted:
    """Fits anew if questions of the train split changed (no other is looked at), else does nothing. Reads one row per chunk and rank, whatever the
    number of events."""
    with database_errors(f"fitting the relevance of chunks of {agent.partition}"), connection.transaction():
        storage.lock_relevance(connection, agent)
        if not storage.changed(connection, agent, RULES):
            return Fitted()
        seen = storage.exposures(connection, agent, DEEPEST)
        names = sorted({chunk for chunk, *_ in seen})
        number = {name: place for place, name in enumerate(names)}
        table = Exposures(
            np.asarray([number[chunk] for chunk, *_ in seen], dtype=np.int64), np.asarray([rank for _, rank, _, _ in seen], dtype=np.int64),
            np.asarray([shown for *_, shown, _ in seen], dtype=np.float64), np.asarray([helpful for *_, helpful in seen], dtype=np.float64),
        )  # fmt: skip
        found = fit(table, len(names))
        storage.store(connection, agent, _rows(names, found) if names else [], _curve(table, found) if names else [])
        return Fitted(len(names), float(table.shown.sum()), found.prior, tuple(found.examination.tolist()))


def _rows(names: list[str], found: Relevance) -> list[tuple[object, ...]]:
    low, high = found.interval()
    columns = (found.shown, found.examined, found.helpful, found.alpha, found.beta, found.mean, low, high)
    return list(zip(names, *(column.tolist() for column in columns), strict=True))


def _curve(seen: Exposures, found: Relevance) -> list[tuple[int, float, float, float]]:
    ranks = len(found.examination)
    shown, helpful = (np.bincount(seen.rank - 1, values, ranks) for values in (seen.shown, seen.helpful))
    return [(at + 1, float(found.examination[at]), float(shown[at]), float(helpful[at])) for at in range(ranks)]
