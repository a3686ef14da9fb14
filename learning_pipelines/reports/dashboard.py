"""The dashboard: what people said of all agents or of one over the last days, against targets and against the days before.

Belongs here: from sums of days to numbers with their counts and intervals, which changed days are counted at once. Not here: SQL (storage/dashboard.py), pages.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from learning_pipelines.feedback.statistics import WORTH_A_QUERY, stretches
from learning_pipelines.reports.headline import FEEDBACK_RATE_TARGET, RATING_TARGET
from learning_pipelines.storage import dashboard as storage
from learning_pipelines.storage import metrics, outbox_days
from learning_pipelines.storage.dashboard import AgentDays, Behind
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.tenants import AgentRef

LIVE_ENTRIES = 5_000
"""New entries, of all agents together, up to which it is looked up which days they change."""
LIVE_ROWS = 20_000
"""Rows of changed days, of all agents together, that are counted anew for one answer: about 0.2 s. What is beyond waits for the job."""
LIVE_AGENTS = 20
STRETCHES = 3
"""Stretches that cover an agent's changed days: one statement each."""
MOST_AGENTS = 200
"""Agents in the table, those with the most executions first."""
_Z95 = 1.959963984540054


@dataclass(frozen=True, slots=True)
class Freshness:
    """Days counted just now, and agents whose changes wait for the job: their numbers hold what was known at `as_of` (None: never computed)."""

    live: list[AgentDays]
    waiting: list[Behind]

    @property
    def as_of(self) -> dt.datetime | None:
        moments = [one.taken_at for one in self.waiting]
        return None if None in moments else min((moment for moment in moments if moment is not None), default=None)


def dashboard(connection: Connection, organization: tuple[UUID, str], agent: AgentRef | None, days: int, zone: ZoneInfo) -> dict[str, Any]:
    """All numbers of the last `days` days, today included; a mean or rate without anything behind it is None.

    average_rating: plain mean of the stars in force, 1–5, with a 95 % `interval`; `weighted`: each by its rater's weight.
    feedback_rate: executions of the period that got any feedback, over executions, `interval` 95 % by Wilson. issues.change: against the period before.
    """
    here = organization[0]
    only = agent.agent_id if agent is not None else None
    now = dt.datetime.now(zone)
    first = now.date() - dt.timedelta(days=days - 1)
    # A record up to a day ahead of our clock counts as today's.
    span = storage.Span(first - dt.timedelta(days=days), first, now.date() + dt.timedelta(days=1))
    fresh = freshness(connection, organization, only, span, str(zone))
    stored = storage.sums(connection, here, only, span, fresh.live)
    live = storage.live(connection, fresh.live, str(zone))
    live_now, live_before = [row for row in live if row["day"] >= first], [row for row in live if row["day"] < first]
    examples = storage.examples(connection, here, only)
    collected, annotated = storage.today(connection, here, only, dt.datetime.combine(now.date(), dt.time(), zone))
    total, before = metrics.added_up([*stored.agents, *live_now]), metrics.added_up([*stored.agents_before, *live_before])
    numbers, earlier = described(total), described(before)
    return {
        "organization": organization[1], "agent": agent.agent if agent is not None else None,
        "period": {"days": days, "first": first, "last": now.date(), "timezone": str(zone)},
        "targets": {"feedback_rate": FEEDBACK_RATE_TARGET, "average_rating": RATING_TARGET},
        "examples": {
            "pending": sum(one.pending for one in examples), "approved": sum(one.approved for one in examples), "collected_today": collected,
            "annotated_today": annotated,
        },
        **numbers,
        "before": {name: earlier[name] for name in ("executions", "feedback", "feedback_rate", "average_rating", "corrections")},
        "trend": _trend([*stored.days, *live_now], first, now.date()),
        "issues": issues(total["issues"], before["issues"]),
        **_agents([*stored.agents, *live_now], examples),
        "freshness": {
            "computed_at": stored.computed_at, "live_agents": len({ref.agent_id for ref, _, _ in fresh.live}), "as_of": fresh.as_of,
            "waiting_agents": len(fresh.waiting), "waiting_entries": sum(one.entries for one in fresh.waiting),
            "waiting_entries_at_least": not all(one.all for one in fresh.waiting),
        },
    }  # fmt: skip


def freshness(connection: Connection, organization: tuple[UUID, str], agent_id: UUID | None, span: storage.Span, zone: str) -> Freshness:
    """Which changed days are cheap enough to be counted now: those of the agents with the fewest rows to count come first."""
    waiting: list[Behind] = []
    changed: list[tuple[int, Behind, list[AgentDays]]] = []
    for one in storage.behind(connection, organization[0], agent_id, LIVE_ENTRIES):
        if not one.all or len(changed) >= LIVE_AGENTS:
            waiting.append(one)
            continue
        agent = AgentRef(*organization, one.agent_id, one.agent)
        days = [day for day in outbox_days.days_behind(connection, agent, zone) if span.earlier <= day <= span.last]
        covering = [(agent, part.first, part.last) for part in stretches(days, STRETCHES, WORTH_A_QUERY)]
        changed.append((one.entries + sum(storage.stored_sizes(connection, organization[0], covering)), one, covering))
    live: list[AgentDays] = []
    room = LIVE_ROWS
    for cost, one, covering in sorted(changed, key=lambda found: found[0]):
        if cost > room:
            waiting.append(one)
            continue
        room -= cost
        live += covering
    return Freshness(live, waiting)


def described(sums: Mapping[str, Any]) -> dict[str, Any]:
    """Rates and means of added-up sums, each with what is behind it."""
    n, executions, said = sums["rating_count"], sums["executions"], sums["executions_with_feedback"]
    mean, weighted = _ratio(sums["rating_sum"], n), _ratio(sums["rating_weighted_sum"], sums["rating_weight_sum"])
    return {
        "executions": executions, "executions_with_feedback": said, "feedback": sums["feedback"], "simulated_feedback": sums["simulated"],
        "feedback_rate": {"value": _ratio(said, executions), "n": executions, "interval": _wilson(said, executions)},
        "average_rating": {
            "value": mean, "n": n, "interval": _mean_interval(mean, n, sums["rating_sum_squares"]),
            # Sums of fractions differ in their last digits by the order in which the database adds them up: equal numbers shall be equal.
            "weighted": None if weighted is None else round(weighted, 6),
        },
        "thumbs_up": sums["thumbs_up"], "thumbs_down": sums["thumbs_down"], "corrections": sums["corrections"],
        "dimensions": {name: {"mean": _ratio(sums[f"{name}_sum"], sums[f"{name}_count"]), "n": sums[f"{name}_count"]} for name in metrics.DIMENSIONS},
    }  # fmt: skip


def issues(now: Mapping[str, int], before: Mapping[str, int]) -> list[dict[str, Any]]:
    """Issue categories named in the period or before it, most frequent first; `share` of all issues of the period (None: there are none)."""
    total = sum(now.values())
    named = sorted({*now, *before}, key=lambda category: (-now.get(category, 0), category))
    return [
        {"category": name, "count": now.get(name, 0), "share": _ratio(now.get(name, 0), total), "change": now.get(name, 0) - before.get(name, 0)}
        for name in named
    ]


def _trend(rows: Sequence[Mapping[str, Any]], first: dt.date, last: dt.date) -> list[dict[str, Any]]:
    """Every day of the period, also one without rows."""
    of_day: dict[dt.date, list[Mapping[str, Any]]] = {first + dt.timedelta(days=n): [] for n in range((last - first).days + 1)}
    for row in rows:
        of_day[min(row["day"], last)].append(row)
    found = []
    for day, parts in of_day.items():
        numbers = described(metrics.added_up(parts))
        found.append({"day": day, **{name: numbers[name] for name in (
            "executions", "executions_with_feedback", "feedback", "thumbs_up", "thumbs_down", "corrections", "average_rating")}})  # fmt: skip
    return found


def _agents(rows: Sequence[Mapping[str, Any]], examples: Sequence[storage.Examples]) -> dict[str, Any]:
    """A line per agent, also for one that nobody asked anything; `agents_left_out`: how many there are beyond the longest table."""
    of_agent: dict[UUID, list[Mapping[str, Any]]] = {}
    for row in rows:
        of_agent.setdefault(row["agent_id"], []).append(row)
    lines = []
    for one in examples:
        numbers = described(metrics.added_up(of_agent.get(one.agent_id, [])))
        kept = ("executions", "feedback", "simulated_feedback", "feedback_rate", "average_rating", "thumbs_up", "thumbs_down", "corrections")
        lines.append({"agent": one.agent, "pending": one.pending, "approved": one.approved, **{name: numbers[name] for name in kept}})
    lines.sort(key=lambda line: (-line["executions"], -line["feedback"], line["agent"]))
    return {"agents": lines[:MOST_AGENTS], "agents_left_out": max(0, len(lines) - MOST_AGENTS)}


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def _wilson(part: int, whole: int) -> list[float] | None:
    """95 % score interval of a share (Wilson, JASA 22, 1927)."""
    if not whole:
        return None
    share, z2 = part / whole, _Z95**2
    middle = (share + z2 / (2 * whole)) / (1 + z2 / whole)
    half = _Z95 / (1 + z2 / whole) * math.sqrt(share * (1 - share) / whole + z2 / (4 * whole**2))
    return [max(0.0, middle - half), min(1.0, middle + half)]


def _mean_interval(mean: float | None, n: int, squares: float) -> list[float] | None:
    """95 % interval of a mean of stars: Student's t over the ratings with one 1 and one 5 added, as Agresti and Caffo do for shares (The American
    Statistician 54, 2000). Without them two equal ratings would be proof of a mean."""
    if mean is None:
        return None
    count, total = n + 2, n * mean + 6
    middle = total / count
    half = _t95(count - 1) * math.sqrt(max(0.0, (squares + 26 - count * middle * middle) / (count - 1)) / count)
    return [max(1.0, min(mean, middle - half)), min(5.0, max(mean, middle + half))]


def _t95(freedom: int) -> float:
    """97.5 % quantile of Student's t (Abramowitz and Stegun 26.7.5): within 3 % from 2 degrees of freedom on, within 0.1 % from 6 on."""
    z, v = _Z95, freedom
    return (
        z + (z**3 + z) / (4 * v) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * v**2) + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * v**3)
    )
