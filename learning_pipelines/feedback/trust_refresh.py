"""Bringing rater weights up to date with new feedback and new reviews.

Belongs here: the loop from outbox to weights, rows to arrays and back. Not here: the rules (trust.py), SQL (storage/trust*.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import numpy as np
import orjson

from learning_pipelines.feedback.trust import FULL_WEIGHT, RULES, Known, Trust, Votes, weigh
from learning_pipelines.storage import outbox, trust_weights
from learning_pipelines.storage import trust as storage
from learning_pipelines.storage.database import Connection, database_errors
from learning_pipelines.storage.trust_weights import Written


@dataclass
class Reweighed:
    """What one refresh did, over all organizations it touched."""

    executions: int = 0
    votes: int = 0
    raters: int = 0
    moved: int = 0
    stale_days: int = 0
    examples: int = 0


def refresh_weights(connection: Connection, zone: str, organization: str | None = None) -> Reweighed:
    """Judges every rater that new feedback or reviews concern. Running it again, or twice at once, changes nothing more."""
    done = Reweighed()
    with database_errors("weighing raters"):
        outbox.adopt_foreign_entries(connection)
        for organization_id, slug in storage.organizations_behind(connection, organization):
            _reviews(connection, organization_id, zone, done)
            while _portion(connection, organization_id, slug, zone, done):
                pass
    return done


def _reviews(connection: Connection, organization: UUID, zone: str, done: Reweighed) -> None:
    with connection.transaction():
        trust_weights.lock_weights(connection, organization)
        storage.begin(connection)
        if taken := storage.take_reviewed(connection, organization):
            _judge(connection, organization, zone, taken, done)


def _portion(connection: Connection, organization: UUID, slug: str, zone: str, done: Reweighed) -> bool:
    """New entries of all agents: weights, what follows from them and the positions change together or not at all. True if there are more."""
    with connection.transaction():
        trust_weights.lock_weights(connection, organization)
        storage.begin(connection)
        taken = [(agent, storage.take(connection, agent)) for agent in storage.behind(connection, slug)]
        if executions := sum(one.executions for _, one in taken):
            _judge(connection, organization, zone, executions, done)
        for agent, one in taken:
            outbox.advance(connection, storage.READER, agent, one.position)
    return any(one.more for _, one in taken)


def _judge(connection: Connection, organization: UUID, zone: str, executions: int, done: Reweighed) -> None:
    found = storage.evidence(connection, organization)
    if not any(rater.judged for rater in found.raters):
        return
    votes, known = arrays(found)
    trust = weigh(votes, known)
    written = trust_weights.store_weights(connection, organization, _rows(found, trust), RULES, zone)
    _add(done, written)
    done.executions += executions
    done.votes += len(found.votes)


def arrays(found: storage.Evidence) -> tuple[Votes, Known]:
    """Rows as the arrays that weigh() takes. Context raters keep the weight in use, as if right equally often on both sides."""
    rater, item, value, seconds, own = zip(*found.votes, strict=True) if found.votes else ((), (), (), (), ())
    votes = Votes(
        np.array(rater, dtype=np.int64), np.array(item, dtype=np.int64), np.array(value, dtype=float) > 0.5,
        np.array(seconds, dtype=float), np.array(own, dtype=bool),
    )  # fmt: skip
    gold = np.full(found.items, np.nan)
    for number, verdict in found.gold:
        gold[number] = verdict
    fixed = np.array([np.nan if one.judged else right_of_weight(trust_weights.NEWCOMER if one.weight is None else one.weight) for one in found.raters])
    texts = np.array(found.texts, dtype=np.int64).reshape(-1, 2)
    known = Known(
        gold=gold, expert=np.array([one.expert for one in found.raters], dtype=bool), fixed=np.repeat(fixed[:, None], 2, axis=1),
        upheld=np.array([one.upheld for one in found.raters], dtype=float), refuted=np.array([one.refuted for one in found.raters], dtype=float),
        history=np.array([one.ratings for one in found.raters], dtype=float), copied=np.array([one.copied for one in found.raters], dtype=float),
        texts=(texts[:, 0], texts[:, 1]),
    )  # fmt: skip
    return votes, known


def right_of_weight(weight: float) -> float:
    """The share of right votes that has this weight: the inverse of what trust.py computes for equal sensitivity and specificity."""
    return float(1 / (1 + np.exp(-weight * FULL_WEIGHT)))


def _rows(found: storage.Evidence, trust: Trust) -> list[tuple[Any, ...]]:
    """Rows of WEIGHT_COLUMNS for the judged raters."""
    rows = []
    for number, rater in enumerate(found.raters):
        if not rater.judged:
            continue
        signals: dict[str, float | None] = {
            "sensitivity": float(trust.right[number, 0]), "specificity": float(trust.right[number, 1]), "evidence": float(trust.evidence[number]),
            "agreement": None if np.isnan(trust.agreement[number]) else float(trust.agreement[number]), "linked": float(trust.linked[number]),
            "burst": float(trust.behaviour.burst[number]), "self_votes": float(trust.behaviour.self_votes[number]), "copied": rater.copied,
            "upheld": float(rater.upheld), "refuted": float(rater.refuted),
        }  # fmt: skip
        flags = [name for name, raised in trust.flags.items() if raised[number]]
        rounded = {name: None if value is None else round(value, 4) for name, value in signals.items()}
        rows.append((rater.user_id, float(trust.weight[number]), flags, orjson.dumps(rounded).decode(), rater.ratings))
    return rows


def _add(done: Reweighed, written: Written) -> None:
    done.raters += written.raters
    done.moved += written.moved
    done.stale_days += written.days
    done.examples += written.examples
