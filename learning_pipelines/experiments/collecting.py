"""Keeps values of units and states of metrics up with new executions and feedback.

Belongs here: the loop over portions of the outbox, units that no assignment knows, first values into exact states. Not here: SQL (storage/experiment_events.py,
storage/experiment_totals.py), what states say (analysis.py), when this runs (defs/).

Everything of a portion and the reader's position change in one transaction: what crashes half-way has counted nothing, and what is read twice counts once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from learning_pipelines.experiments.assignment import in_slice, place, variant_at
from learning_pipelines.experiments.exact import ExactState
from learning_pipelines.experiments.metrics import METRICS, Metric
from learning_pipelines.experiments.refusals import PATTERN
from learning_pipelines.storage import experiment_assignments, experiment_events, experiment_totals, experiments, outbox
from learning_pipelines.storage.database import Connection, database_errors
from learning_pipelines.storage.experiment_assignments import Exposure
from learning_pipelines.storage.experiment_events import SKEW, Unmet
from learning_pipelines.storage.experiment_rows import Experiment, Ranges
from learning_pipelines.storage.experiment_totals import FirstValues, State

PORTION = 200_000
"""Outbox entries per transaction: bounds memory and the work that a crash loses."""
RATIOS = [(metric.name, metric.numerator, metric.denominator) for metric in METRICS.values() if metric.family == "ratio"]
EXACT = {metric.value: metric for metric in METRICS.values() if metric.family == "exact"}
"""By the facet that they take their values from."""


@dataclass
class Collected:
    """What one run did: outbox entries read, executions counted for the first time, claims left out by reason, units that moved, first values, states
    that changed, and assignments made again that a server had lost."""

    entries: int = 0
    executions: int = 0
    units: int = 0
    first_values: int = 0
    states: int = 0
    assigned: int = 0
    refused: Counter[str] = field(default_factory=Counter)


def collect(connection: Connection, *, portion: int = PORTION) -> Collected:
    """Takes up every safely committed event of every experiment. Running it again, or twice at once, changes nothing more."""
    done = Collected()
    with database_errors("collecting values of experiments"):
        outbox.adopt_foreign_entries(connection)  # before the first transaction: what is adopted within one is safe to read after it
        while _take_up(connection, portion, done):
            pass
    return done


def _take_up(connection: Connection, limit: int, done: Collected) -> bool:
    """One portion. True if there is more."""
    with connection.transaction():
        new = experiment_events.take_up(connection, limit)
        if new.entries:
            claims = experiment_events.claim(connection, PATTERN)
            if claims:
                done.assigned += _assign_again(connection, experiment_events.unmet(connection))
                done.refused.update(experiment_events.judge(connection))
            executions, out_of_time = experiment_events.weigh_feedback(connection)
            done.units += experiment_totals.move_units(connection, PATTERN)
            done.states += experiment_totals.move_ratios(connection, RATIOS)
            first = experiment_totals.new_first_values(connection)
            done.states += _add_first_values(connection, first)
            done.executions += executions
            done.refused.update({"feedback_out_of_time": out_of_time} if out_of_time else {})
            done.first_values += sum(len(one.values) for one in first)
        experiment_events.advance(connection, new)
    done.entries += new.entries
    return new.more


def _assign_again(connection: Connection, units: Iterable[Unmet]) -> int:
    """Assignments that were served and then lost with the server that was to write them: where the hash gives a unit what its executions say."""
    known: dict[tuple[UUID, UUID], Experiment | None] = {}
    lost: dict[UUID, list[Exposure]] = {}
    for unit in units:
        key = (unit.organization_id, unit.experiment_id)
        if key not in known:
            known[key] = experiments.find(connection, *key)
        experiment = known[key]
        exposure = None if experiment is None else served(experiment, unit)
        if exposure is not None:
            lost.setdefault(unit.organization_id, []).append(exposure)
    return sum(experiment_assignments.add(connection, organization, exposures) for organization, exposures in lost.items())


def served(experiment: Experiment, unit: Unmet) -> Exposure | None:
    """The exposure behind a unit's earliest execution whose variant the experiment gave such a unit, in the newest epoch that had begun by then and gave
    it; None: it never gave what they say."""
    if not in_slice(experiment, unit.unit):
        return None
    at = place(experiment.salt, unit.unit)
    for variant, moment in unit.claims:
        for epoch in reversed(experiment.epochs):
            if epoch.started_at - SKEW <= moment and variant_at(epoch.ranges, at) == variant:
                return Exposure(experiment.id, unit.unit, variant, epoch.number, max(moment, epoch.started_at))
    return None


def _add_first_values(connection: Connection, found: list[FirstValues]) -> int:
    """Adds first values to the exact states of every treatment they concern. Returns how many states changed."""
    if not found:
        return 0
    stored = experiment_totals.states_of_firsts(connection, [metric.name for metric in EXACT.values()])
    states = {(row.organization_id, row.experiment_id, row.metric, row.epoch, row.variant): row.state for row in stored}
    changed = []
    for first in found:
        metric = EXACT[first.facet]
        variants = np.array(first.variants)
        for treatment in first.ranges:
            concerned = (variants == treatment) | (variants == first.control)
            if treatment == first.control or not concerned.any() or not _comparable(first.ranges, first.control, treatment):
                continue
            kept = states.get((first.organization_id, first.experiment_id, metric.name, first.epoch, treatment))
            state = ExactState.for_shares(_width(first.ranges, first.control), _width(first.ranges, treatment)) if kept is None else ExactState.from_json(kept)
            state.add(variants[concerned] == treatment, scaled(metric, np.array(first.values, dtype=np.float64)[concerned]))
            changed.append(State(first.organization_id, first.experiment_id, metric.name, first.epoch, treatment, state.as_json()))
    experiment_totals.store_states(connection, changed)
    return len(changed)


def scaled(metric: Metric, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values of a bounded metric on [0, 1]."""
    return (values - metric.low) / (metric.high - metric.low)


def _comparable(ranges: Ranges, control: str, treatment: str) -> bool:
    """Whether an epoch gives new units to both arms."""
    return _width(ranges, control) > 0 and _width(ranges, treatment) > 0


def _width(ranges: Ranges, variant: str) -> float:
    return sum(high - low for low, high in ranges.get(variant, ()))
