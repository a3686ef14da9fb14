"""Bringing quality scores up to date: fit the organization's calibration when it is due, score the examples whose evidence changed.

Belongs here: the loop from opinions to stored scores, one transaction per portion. Not here: the formula (quality.py), SQL (storage/).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import numpy as np

from learning_pipelines.examples.calibration import Calibration, fit
from learning_pipelines.examples.quality import Array, Opinions, held_out, score
from learning_pipelines.examples.reliability import unknown_reliability
from learning_pipelines.storage import quality as storage
from learning_pipelines.storage.database import Connection, database_errors
from learning_pipelines.storage.quality import OpinionRow
from learning_pipelines.storage.tenants import AgentRef

PORTION = 10_000
"""Examples per transaction: bounds memory and the work that a crash loses."""
GROWTH, LEAST_NEW = 1.1, 10
"""A calibration is fitted again when annotations grew by a tenth, and by ten: every fit scores all examples anew, so the cost of all fits
together stays proportional to the last one's."""
FITTED_TO = 50_000
"""Latest reviewed examples that a calibration is fitted to."""


@dataclass(frozen=True, slots=True)
class Scored:
    """What one refresh did: examples scored, whose score in learning_examples changed; and the calibration used (version 0: none stored)."""

    scored: int
    changed: int
    version: int
    calibration: Calibration


def refresh_quality(connection: Connection, agent: AgentRef, *, portion: int = PORTION) -> Scored:
    """Scores every example of the agent whose evidence, or calibration, changed. Running it again, or twice at once, changes nothing more."""
    with database_errors(f"scoring examples of {agent.partition}"):
        version, calibration = calibrate(connection, agent.organization_id)
        scored = changed = 0
        while True:
            with connection.transaction():
                storage.lock_quality(connection, agent.organization_id, agent.agent)
                examples = storage.take_stale(connection, agent, version, portion)
                if not examples:
                    return Scored(scored, changed, version, calibration)
                rows = storage.opinions(connection, agent.organization_id, examples, unknown_reliability())
                changed += storage.store_scores(connection, agent, version, _score_rows(rows, calibration))
                scored += len(rows)


def calibrate(connection: Connection, organization_id: UUID) -> tuple[int, Calibration]:
    """The calibration in force and its version, fitted again if it is due. A fit that comes to the same map keeps the version."""
    with connection.transaction():
        storage.lock_quality(connection, organization_id, "calibration")
        stored = storage.latest_calibration(connection, organization_id)
        version = int(stored["version"]) if stored else 0
        current = _calibration(stored) if stored else Calibration()
        annotations = storage.count_annotations(connection, organization_id)
        seen = int(current.numbers.get("annotations", 0))
        if abs(annotations - seen) < max(LEAST_NEW, (GROWTH - 1) * seen):
            return version, current
        examples = storage.reviewed_examples(connection, organization_id, FITTED_TO)
        opinions = as_opinions(storage.opinions(connection, organization_id, examples, unknown_reliability()))
        evidence = held_out(opinions)
        known = ~np.isnan(evidence)
        fitted = fit(evidence[known], opinions.approved[known], opinions.example[known])
        fitted = replace(fitted, numbers={**fitted.numbers, "annotations": annotations})
        if version == 0 or fitted.knots != current.knots:
            version += 1
        storage.store_calibration(connection, organization_id, version, fitted.method, fitted.knots, fitted.verdicts, fitted.numbers)
        return version, fitted


def as_opinions(rows: Sequence[OpinionRow]) -> Opinions:
    """Rows as arrays, in their order."""
    sizes = [len(row.scores) for row in rows]
    return Opinions(
        np.array([math.nan if row.imported is None else row.imported for row in rows], dtype=np.float64),
        np.array([row.supporting for row in rows], dtype=np.float64),
        np.array([row.contradicting for row in rows], dtype=np.float64),
        np.array([row.raters for row in rows], dtype=np.int64),
        np.repeat(np.arange(len(rows)), sizes),
        np.array([one for row in rows for one in row.scores], dtype=np.float64),
        np.array([one for row in rows for one in row.reliabilities], dtype=np.float64),
        np.array([one for row in rows for one in row.approved], dtype=np.bool_),
    )


def _score_rows(rows: Sequence[OpinionRow], calibration: Calibration) -> list[tuple[Any, ...]]:
    found = score(as_opinions(rows), calibration)
    numbers = zip(found.experts, *map(_optional, (found.expert_score, found.agreement, found.evidence, found.score)), strict=True)
    return [
        (row.example_id, row.imported, int(experts), expert_score, row.supporting, row.contradicting, agreement, evidence, value)
        for row, (experts, expert_score, agreement, evidence, value) in zip(rows, numbers, strict=True)
    ]


def _optional(numbers: Array) -> list[float | None]:
    return [None if math.isnan(number) else min(max(number, 0.0), 1.0) for number in numbers.tolist()]


def _calibration(stored: dict[str, Any]) -> Calibration:
    knots = tuple((float(x), float(y)) for x, y in stored["knots"])
    return Calibration(stored["method"], knots, int(stored["verdicts"]), dict(stored["numbers"]))
