"""What data of an experiment that ran elsewhere say: differences from the first variant, intervals, the sample ratio.

Belongs here: events or totals → one document. Not here: reading and refusing lines (outside_files.py), the tests (exact.py, asymptotic.py).

Events are looked at after each of them and the intervals hold at all of these looks at once; totals are looked at once. A unit counts where it was first
seen; one that was in two variants counts nowhere. Binary and bounded values: a unit's first value. Continuous: all of them, clustered by unit.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learning_pipelines.errors import BadInput
from learning_pipelines.experiments import asymptotic, event_looks, exact, multiplicity
from learning_pipelines.experiments.comparison import Comparison
from learning_pipelines.experiments.fixed_horizon import welch
from learning_pipelines.experiments.metrics import Metric
from learning_pipelines.experiments.outside_files import Events, Scale, Totals
from learning_pipelines.experiments.sample_ratio import Counts, chi_square_p, sequential_p
from learning_pipelines.experiments.unit_sums import UnitSums

FINEST = 1_000_000
"""Bounded values are told apart to this many steps from 0 to 1."""
Found = tuple[Comparison, int | None]
Floats = NDArray[np.float64]


def analyzed(found: Events | Sequence[Totals], scale: Scale, weights: Sequence[float] | None, alpha: float = 0.05) -> dict[str, Any]:
    """The document of `experiments analyze`. `weights`: shares of the units that the variants should get, in the order in which they are first named
    (None: equal). Several treatments share α between them. Raises BadInput for weights that do not fit."""
    if isinstance(found, Events):
        return _of_events(found, scale, _shares(found.variants, weights), alpha)
    return _of_totals(found, _shares([row.variant for row in found], weights), scale, alpha)


def _of_events(events: Events, scale: Scale, shares: dict[str, float], alpha: float) -> dict[str, Any]:
    kept, two = _one_variant_each(events)
    units, variants, values = np.array(events.unit, dtype=object), np.array(events.variant), np.array(events.value)
    firsts = _firsts(events.unit)
    taken = kept & firsts if scale != "continuous" else kept
    repeated = int((kept & ~firsts).sum())
    places = np.flatnonzero(taken)
    level = multiplicity.each(alpha, len(events.variants) - 1)
    means = [float(values[taken & (variants == number)].mean()) if (taken & (variants == number)).any() else None for number in range(len(events.variants))]
    each: list[Found] = []
    for number, name in enumerate(events.variants[1:], start=1):
        pair = places[np.isin(variants[places], (0, number))]
        treated, weight = variants[pair] == number, (shares[events.variants[0]], shares[name])
        if scale != "continuous":
            each.append(_exact(treated, values[pair], pair, weight, scale, name, level))
        else:
            each.append(_continuous(treated, values[pair], units[pair], pair, name, level))
    counts = Counter(variants[kept & firsts].tolist())
    of_units = {name: counts[number] for number, name in enumerate(events.variants)}
    n = {name: int((taken & (variants == number)).sum()) if scale == "continuous" else of_units[name] for number, name in enumerate(events.variants)}
    arms = [{"variant": name, "n": n[name], "mean": mean} for name, mean in zip(events.variants, means, strict=True)]
    left_out = {"units_in_two_variants": two, "further_values": repeated if scale != "continuous" else 0}
    return _document(arms, each, sequential_p([Counts(of_units, shares)])) | {"events": len(events.unit), "left_out": left_out}


def _exact(treated: NDArray[np.bool_], values: Floats, places: NDArray[np.int64], weight: tuple[float, float], scale: Scale, name: str, alpha: float) -> Found:
    """`places`: of these values among all events."""
    steps = 1 if scale == "binary" else _steps(values)
    state = exact.ExactState.for_shares(*weight, steps)
    made, capital = state.add(treated, np.rint(values * steps) / steps)
    metric = Metric(scale, "exact", 1, f"A {scale} value of outside data.")
    compared = exact.compare([state], metric, name, alpha)
    if state.control.n and state.treatment.n:  # unrounded
        means = float(values[~treated].mean()), float(values[treated].mean())
        compared = replace(compared, mean_control=means[0], mean_treatment=means[1], difference=means[1] - means[0])
    over = np.flatnonzero(capital.max(axis=1, initial=0.0) > math.log(2 / alpha))
    return compared, int(places[made.last[over[0]]]) + 1 if len(over) else None


def _continuous(treated: NDArray[np.bool_], values: Floats, units: NDArray[np.object_], places: NDArray[np.int64], name: str, alpha: float) -> Found:
    rows: dict[str, tuple[float, float]] = {}
    if len(set(units.tolist())) == len(units):
        first = event_looks.looks(treated, values, alpha=alpha).first_conclusive()
        ended = [UnitSums.of_values(values[treated == arm]) for arm in (False, True)]
    else:
        first, state = None, [[0.0] * 6, [0.0] * 6]
        for place, (arm, value, unit) in enumerate(zip(treated.tolist(), values.tolist(), units.tolist(), strict=True)):
            _take(state[arm], rows.get(unit, (0.0, 0.0)), value)
            x, y = rows.get(unit, (0.0, 0.0))
            rows[unit] = x + value, y + 1
            if first is None and asymptotic.compare({1: _sums(state[0])}, {1: _sums(state[1])}, metric="continuous", variant=name, alpha=alpha).conclusive:
                first = place
        ended = [_sums(one) for one in state]
    compared = asymptotic.compare({1: ended[0]}, {1: ended[1]}, metric="continuous", variant=name, alpha=alpha)
    return compared, None if first is None else int(places[first]) + 1


def _take(sums: list[float], before: tuple[float, float], value: float) -> None:
    """n, x, y, xx, xy, yy of an arm after one more value of a unit that had sum and number `before`."""
    x, y = before
    for place, more in enumerate((float(y == 0), value, 1.0, value * (2 * x + value), (x + value) * (y + 1) - x * y, 2 * y + 1)):
        sums[place] += more


def _sums(sums: Sequence[float]) -> UnitSums:
    return UnitSums(int(sums[0]), sums[1], sums[2], xx=sums[3], xy=sums[4], yy=sums[5])


def _of_totals(rows: Sequence[Totals], shares: dict[str, float], scale: Scale, alpha: float) -> dict[str, Any]:
    sums = [UnitSums.of_totals(row.n, row.total, row.squares) for row in rows]
    level = multiplicity.each(alpha, len(rows) - 1)
    each = [(welch(sums[0], one, metric=scale, variant=row.variant, alpha=level), None) for one, row in zip(sums[1:], rows[1:], strict=True)]
    arms = [{"variant": row.variant, "n": row.n, "mean": row.total / row.n} for row in rows]
    return _document(arms, each, chi_square_p([Counts({row.variant: row.n for row in rows}, shares)]))


def _document(arms: list[dict[str, Any]], each: Sequence[Found], srm_p: float) -> dict[str, Any]:
    comparisons = [
        {
            "variant": one.variant, "difference": one.difference, "interval": [one.as_json()["low"], one.as_json()["high"]], "p": one.p, "alpha": one.alpha,
            "conclusive": one.conclusive, "first_conclusive_event": first,
        }
        for one, first in each
    ]  # fmt: skip
    first = comparisons[0]
    headline = {name: first[name] for name in ("difference", "interval", "conclusive", "first_conclusive_event")}
    return {"arms": arms, **headline, "srm_p": srm_p, "comparisons": comparisons}


def _shares(variants: Sequence[str], weights: Sequence[float] | None) -> dict[str, float]:
    if weights is None:
        return dict.fromkeys(variants, 1 / len(variants))
    if len(weights) != len(variants):
        raise BadInput(f"There are {len(weights)} weights for {len(variants)} variants.", f"Give one for each of {', '.join(variants)}, in this order.")
    if not all(0 < weight < 1 for weight in weights) or abs(math.fsum(weights) - 1) > 1e-6:
        raise BadInput(f"The weights sum to {math.fsum(weights):g}.", "Weights are shares above 0 that sum to 1, for example --weights 0.9,0.1.")
    return dict(zip(variants, weights, strict=True))


def _one_variant_each(events: Events) -> tuple[NDArray[np.bool_], int]:
    """Which events are of units that were in one variant only, and how many units were in more."""
    seen: dict[str, int] = {}
    more = {unit for unit, variant in zip(events.unit, events.variant, strict=True) if seen.setdefault(unit, variant) != variant}
    return np.array([unit not in more for unit in events.unit]), len(more)


def _firsts(units: Sequence[str]) -> NDArray[np.bool_]:
    """Which values are the first of their unit."""
    first: dict[str, int] = {}
    for place, unit in enumerate(units):
        first.setdefault(unit, place)
    found = np.zeros(len(units), dtype=np.bool_)
    found[list(first.values())] = True
    return found


def _steps(values: Floats) -> int:
    """The fewest steps that hold the values: 4 for stars, up to FINEST (to which finer ones are rounded)."""
    return next((steps for steps in (exact.STEPS, 10, 100, 1000) if np.all(np.abs(values * steps - np.rint(values * steps)) < 1e-9)), FINEST)
