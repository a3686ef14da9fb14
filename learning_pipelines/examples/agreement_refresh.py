"""Bringing agreement up to date: who is reliable, what goes to adjudication, how far users, judge and experts agree, by week.

Belongs here: the loop from stored verdicts to stored numbers. Not here: the measures (agreement.py, reliability.py), SQL (storage/).
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import numpy as np

from learning_pipelines.examples.adjudication import Adjudicated, adjudicate
from learning_pipelines.examples.agreement import NO_PAIRS, RESAMPLES, Agreement, Level, alpha_of_counts, kappa
from learning_pipelines.examples.reliability import estimate, unknown_reliability
from learning_pipelines.storage import agreement as storage
from learning_pipelines.storage import quality
from learning_pipelines.storage.database import Connection, database_errors
from learning_pipelines.storage.tenants import AgentRef

EXPERTS, USERS = "experts", "users"
PAIRS = ("users/experts", "users/judge", "experts/judge")
NO_JUDGE = "no judge verdicts yet"
ALL = "all"
MOVED = 0.01
"""Change of an expert's reliability from which the examples they reviewed are scored again."""
OVERLAP = dt.timedelta(days=1)
"""How far before its last look a look begins: rows count from when their transaction began, and transactions take time."""
Counts = list[list[int]]


@dataclass(frozen=True, slots=True)
class AgreementRefreshed:
    """What one refresh found: verdicts of the organization's experts, the adjudications, agreement by pair and period as stored."""

    experts: int
    adjudicated: Adjudicated
    rows: list[dict[str, Any]]


def refresh_agreement(connection: Connection, agent: AgentRef, zone: str) -> AgreementRefreshed:
    """Computes what changed since the last time; running it again changes nothing. `zone` says where weeks begin."""
    with database_errors(f"comparing the raters of {agent.partition}"):
        experts = refresh_reliability(connection, agent.organization_id)
        adjudicated = adjudicate(connection, agent)
        _refresh_reviewed(connection, agent, zone)
        _refresh_users(connection, agent, zone)
        return AgreementRefreshed(experts, adjudicated, storage.agreement(connection, agent))


def refresh_reliability(connection: Connection, organization_id: UUID) -> int:
    """Estimates the reliability of an organization's experts if any annotation changed; returns how many experts there are."""
    with connection.transaction():
        quality.lock_quality(connection, organization_id, "reliability")
        before = storage.reliabilities(connection, organization_id)
        fingerprint = storage.annotations_fingerprint(connection, organization_id)
        last = storage.remembered(connection, organization_id, "reliability")
        if last is not None and last[0] == fingerprint:
            return len(before)
        rows = storage.verdicts(connection, organization_id)
        examples, people = (np.unique([str(row[place]) for row in rows], return_inverse=True) for place in (0, 1))
        found = estimate(examples[1].astype(np.int64), people[1].astype(np.int64), np.array([row[2] for row in rows], dtype=np.int64))
        experts = [UUID(name) for name in people[0]]
        numbers = found.reliability.tolist()
        storage.store_reliabilities(
            connection, organization_id,
            [(expert, int(found.reviews[place]), int(found.shared[place]), numbers[place], found.confusion[place].round(4).tolist())
             for place, expert in enumerate(experts)],
        )  # fmt: skip
        after = dict(zip(experts, numbers, strict=True))
        unknown = unknown_reliability()
        moved = [one for one in {*before, *after} if abs(before.get(one, unknown) - after.get(one, unknown)) > MOVED]
        quality.mark_stale(connection, organization_id, moved)
        storage.remember(connection, organization_id, "reliability", fingerprint)
        return len(experts)


def _refresh_reviewed(connection: Connection, agent: AgentRef, zone: str) -> None:
    """Among experts, and between users, judge and experts: all of it again, what experts and judges look at is little."""
    experts: defaultdict[str, Counts] = defaultdict(list)
    for week, *counts in storage.expert_counts(connection, agent, zone):
        experts[week].append(counts)
    rows = storage.compared(connection, agent, zone, unknown_reliability())
    judged = any(row.judge is not None for row in rows)
    tables: dict[str, defaultdict[str, Counts]] = {pair: defaultdict(lambda: [[0, 0], [0, 0]]) for pair in PAIRS}
    for row in rows:
        for pair in PAIRS:
            first, second = (getattr(row, side) for side in pair.split("/"))
            if first is not None and second is not None:
                tables[pair][row.week][first > 0][second > 0] += row.examples
    with connection.transaction():
        if storage.stored_counts(connection, agent, EXPERTS) != {**experts, ALL: []}:
            storage.store_agreement(connection, agent, EXPERTS, _periods(experts, Level.ORDINAL))
        for pair, weeks in tables.items():
            missing = "" if judged or "judge" not in pair else NO_JUDGE
            if storage.stored_counts(connection, agent, pair) != {**weeks, ALL: [missing] if missing else []}:
                storage.store_agreement(connection, agent, pair, _two_sided(weeks, missing))


def _refresh_users(connection: Connection, agent: AgentRef, zone: str) -> None:
    """Among users: the weeks whose executions got feedback since the last time; the whole from all weeks' distinct rows."""
    with connection.transaction():
        last = storage.remembered(connection, agent.organization_id, "thumbs", agent.agent_id)
        mondays = storage.user_weeks(connection, agent, last[1] - OVERLAP if last and last[0] == zone else None, zone)
        kept = storage.stored_counts(connection, agent, USERS) if last and last[0] == zone else {}
        again = {ALL, *(_week(monday) for monday in mondays)}
        weeks = defaultdict(list, {week: counts for week, counts in kept.items() if week not in again})
        for week, *counts in storage.user_counts(connection, agent, mondays, zone):
            weeks[week].append(counts)
        if mondays or last is None:
            storage.store_agreement(connection, agent, USERS, _periods(weeks, Level.NOMINAL))
        storage.remember(connection, agent.organization_id, "thumbs", zone, agent.agent_id)


def _week(monday: dt.date) -> str:
    return f"{monday.isocalendar().year}-W{monday.isocalendar().week:02}"


def _periods(weeks: Mapping[str, Counts], level: Level) -> list[dict[str, Any]]:
    """Alpha per week and of all weeks together; a row of counts ends with how many units have it."""
    rows = []
    for period, counts in [*sorted(weeks.items()), (ALL, [counts for week in weeks.values() for counts in week])]:
        found = _alpha(counts, level)
        rows.append(_row(period, found, None, found.reason, [] if period == ALL else counts))
    return rows


def _alpha(counts: Counts, level: Level) -> Agreement:
    if not counts:
        return Agreement(None, None, None, 0, 0, NO_PAIRS)
    table = np.array(counts)
    return alpha_of_counts(table[:, :-1], level, repeats=table[:, -1], resamples=RESAMPLES)


def _two_sided(weeks: Mapping[str, Counts], missing: str) -> list[dict[str, Any]]:
    """Alpha and kappa of two sides per week and of all weeks together, from tables [[neither, …], …] of units."""
    together = np.sum([np.array(table) for table in weeks.values()], axis=0) if weeks else np.zeros((2, 2), dtype=np.int64)
    rows = []
    for period, table in [*sorted(weeks.items()), (ALL, together.tolist())]:
        patterns, repeats = [[2, 0], [1, 1], [0, 2]], [table[0][0], table[0][1] + table[1][0], table[1][1]]
        found = alpha_of_counts(patterns, Level.NOMINAL, repeats=repeats, resamples=RESAMPLES)
        kept = ([missing] if missing else []) if period == ALL else table
        rows.append(_row(period, found, kappa(table, resamples=RESAMPLES), missing or found.reason, kept))
    return rows


def _row(period: str, found: Agreement, second: Agreement | None, undefined: str, counts: Sequence[Any]) -> dict[str, Any]:
    return {
        "period": period, "units": found.units, "alpha": found.value, "alpha_low": found.low, "alpha_high": found.high,
        "kappa": second and second.value, "kappa_low": second and second.low, "kappa_high": second and second.high,
        "undefined": undefined if found.value is None else "", "counts": counts,
    }  # fmt: skip
