"""Daily feedback metrics: bringing them up to date, and which stretches of days to compute together.

Belongs here: from changed days to computed days. Not here: SQL (storage/metrics.py), reports made of the numbers.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from learning_pipelines.storage import metrics, outbox, outbox_days
from learning_pipelines.storage.database import Connection, database_errors

WORTH_A_RUN = 30
"""Days of a gap from which two runs are cheaper than one over the days between."""
WORTH_A_QUERY = 1
"""The same of queries: a day of a busy agent takes longer than the milliseconds of one more."""
QUERIES = 100
"""Most queries of one catching up."""


@dataclass(frozen=True, slots=True)
class Days:
    """Consecutive days, both ends included."""

    first: dt.date
    last: dt.date


def stretches(days: Iterable[dt.date], most: int, worth: int = WORTH_A_RUN) -> list[Days]:
    """Covers the days with at most `most` stretches, leaving out the longest of the gaps over `worth` days: few runs, and no run over ten empty years."""
    ordered = sorted(set(days))
    if not ordered:
        return []
    gaps = sorted(((later - earlier).days, position) for position, (earlier, later) in enumerate(pairwise(ordered), start=1))
    cuts = sorted(position for gap, position in gaps[len(gaps) - (most - 1) if len(gaps) >= most else 0 :] if gap > worth)
    starts, ends = [0, *cuts], [*cuts, len(ordered)]
    return [Days(ordered[start], ordered[end - 1]) for start, end in zip(starts, ends, strict=True)]


def compute(connection: Connection, days: Days, zone: str) -> int:
    """Computes these days for every agent again; returns the rows written."""
    with database_errors(f"computing the metrics of {days.first} to {days.last}"):
        return metrics.compute_days(connection, days.first, days.last, zone)


def refresh(connection: Connection, days: Days, zone: str, *, changed_only: bool = False) -> int:
    """Computes every changed day of every agent, and of these days again what was not among them, unless only what changed is wanted. Returns the rows
    that these days have.

    What is asked for is thereby taken up even if the run for another day never comes, and the place of the metrics in the outbox says what is not.
    """
    changed = set(catch_up(connection, zone))
    wanted = [] if changed_only else [days.first + dt.timedelta(days=number) for number in range((days.last - days.first).days + 1)]
    for part in stretches((day for day in wanted if day not in changed), len(wanted)):
        compute(connection, part, zone)
    return metrics.rows_of(connection, days.first, days.last)


def catch_up(connection: Connection, zone: str, organization: str | None = None) -> Sequence[dt.date]:
    """Computes every day that changed since the last call, whoever else computed it meanwhile; returns the changed days."""
    with database_errors("bringing the metrics up to date"):
        changed: set[dt.date] = set()
        taken = []
        for agent in outbox.agents_behind(connection, outbox.METRICS_READER, organization):
            days, position = outbox_days.touched_days(connection, agent, zone)
            changed.update(days)
            taken.append((agent, position))
        for part in stretches(changed, QUERIES, WORTH_A_QUERY):
            metrics.compute_days(connection, part.first, part.last, zone)
        # Only now: if the computation fails, the next call does these days again.
        for agent, position in taken:
            outbox.advance(connection, outbox.METRICS_READER, agent, position)
    return sorted(changed)
