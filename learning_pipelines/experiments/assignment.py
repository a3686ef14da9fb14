"""Who gets which variant: a unit is hashed to a place, the place lies in the range of a variant or in none.

Belongs here: the hash, ranges of weights and of steps of a rollout, slices of an exclusion group, what an execution says of its experiments. Not here:
SQL (storage/experiment_assignments.py), what is kept at hand while serving (api/experiments_serving.py), when weights change (lifecycle, rollouts).

**The hash is fixed for ever.** place = the first 53 bits of SHA-256 over `salt:unit` in UTF-8, as a fraction. Each experiment has a salt of its own, so
that one experiment's arms are spread evenly over another's.

**Weights change without reshuffling.** New ranges keep as much of the old ones as they can (`ranges_of_weights`, before). A unit whose place had another
variant in an earlier epoch may have been met there and keeps what it got then: only for such a place a row has to be looked up (`Placed.certain`).

**Exclusion groups.** The experiments of one group on one agent share the units by a second hash, salted with agent and group. An experiment takes its
slice of it when it is started, holds it while it runs or is paused, and gives it back when it ends; nobody else's slice ever changes. How much: what
`traffic` says, else half of what is free, so that the next always finds room. An experiment of a group without a slice takes nobody.

**What an execution carries.** `context.experiment`, `context.variant`, `context.unit` are the prompt's experiment. Where other experiments took part
(search, next-action), `context.experiments` lists them: [{experiment, variant, unit}]. Readers take both, each experiment once
(storage/experiment_events.py).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from learning_pipelines.errors import BadInput
from learning_pipelines.storage.experiment_rows import CONTROL, TREATMENT, Arm, Experiment, Ranges

Span = tuple[float, float]
SLICE, TRAFFIC = "slice", "traffic"
"""Keys of an experiment's config: its spans of the group's hash space; the share of the group's units that it wants, above 0 to 1."""
_CONTROL_FROM = 0.5
_ROUNDING = 1e-9


def place(salt: str, unit: str) -> float:
    """Where a unit lies in [0, 1); every 53-bit fraction is as likely as any other."""
    digest = hashlib.sha256(f"{salt}:{unit}".encode("utf-8", "surrogatepass")).digest()
    return (int.from_bytes(digest[:8], "big") >> 11) / (1 << 53)


def variant_at(ranges: Ranges, at: float) -> str | None:
    """The variant whose range holds the place; None: the unit takes no part."""
    return next((variant for variant, spans in ranges.items() if _holds(spans, at)), None)


@dataclass(frozen=True, slots=True)
class Placed:
    """`variant`: what a unit gets that is met for the first time now, None: nothing. `certain`: whoever was met in an earlier epoch got the same, so
    that no row has to be looked up. A row, where there is one, goes before `variant`."""

    variant: str | None
    certain: bool


NOWHERE = Placed(None, True)


def placed(experiment: Experiment, unit: str) -> Placed:
    """Where a unit stands in an experiment that has been started; outside the experiment's slice of its group: nowhere."""
    if experiment.epoch is None or not in_slice(experiment, unit):
        return NOWHERE
    at = place(experiment.salt, unit)
    now = None if experiment.epoch.ended_at is not None else variant_at(experiment.epoch.ranges, at)
    return Placed(now, all(variant_at(epoch.ranges, at) in (None, now) for epoch in experiment.epochs if epoch.ended_at is not None))


def ranges_of_weights(arms: Sequence[Arm], before: Ranges | None = None) -> dict[str, tuple[Span, ...]]:
    """Ranges as wide as the weights. With `before`, an arm gives up the end of its range or is given what others left: no other place changes hands.

    Raises BadInput for weights that are none (check_weights).
    """
    check_weights(arms)
    wide = {arm.variant: arm.weight for arm in arms}
    kept = {variant: _first((before or {}).get(variant, ()), wide[variant]) for variant in wide}
    free = _free(span for spans in kept.values() for span in spans)
    growing = [variant for variant in wide if wide[variant] - _width(kept[variant]) > _ROUNDING]
    for variant in growing:
        # The last takes what is left, so that no sliver of rounding stays without a variant.
        given = free if variant == growing[-1] else _first(free, wide[variant] - _width(kept[variant]))
        free = _without(free, given)
        kept[variant] = _joined([*kept[variant], *given])
    return kept


def ranges_of_step(percent: float, treatment: str = TREATMENT, control: str = CONTROL) -> dict[str, tuple[Span, ...]]:
    """Ranges of a rollout at `percent` of the traffic, above 0 to 100: the treatment grows from 0, the control from the middle, and who lies in neither is
    served production and takes no part. Up to 50 nobody changes hands; above, new units of the lower control places are treated.

    Both grow alike. A step opens places whose regular units have not been met yet: were they only the treatment's, regulars would be compared with
    newcomers. Raises BadInput for another percentage.
    """
    if not 0 < percent <= 100:
        raise BadInput(f"A step of {percent} % of the traffic cannot be taken.", "Steps are above 0 and at most 100.")
    share = percent / 100
    start, end = max(share, _CONTROL_FROM), min(1.0, _CONTROL_FROM + share)
    return {control: ((start, end),) if start < end else (), treatment: ((0.0, share),)}


def check_weights(arms: Sequence[Arm]) -> None:
    """Raises BadInput unless there are two arms or more with names of their own, weights are 0 to 1, the control's is above 0 and they sum to 1."""
    names = [arm.variant for arm in arms]
    if len(arms) < 2 or len(set(names)) < len(names):
        raise BadInput(f"The arms {', '.join(names) or 'none'} cannot be compared.", "Name at least two arms, each differently, the control first.")
    for arm in arms:
        if not (math.isfinite(arm.weight) and 0 <= arm.weight <= 1):
            raise BadInput(f"The weight of {arm.variant} is {arm.weight}.", "Weights are shares, 0 to 1.")
    if arms[0].weight == 0:
        raise BadInput("The control has the weight 0: nothing could be compared with it.", "Give the control a share, or conclude the experiment.")
    total = math.fsum(arm.weight for arm in arms)
    if abs(total - 1) > _ROUNDING:
        raise BadInput(f"The weights sum to {total:g}.", "Make them sum to 1.")


def in_slice(experiment: Experiment, unit: str) -> bool:
    """Whether the experiment's exclusion group leaves it this unit; without a group always."""
    if experiment.exclusion_group is None:
        return True
    return _holds(experiment.config.get(SLICE, ()), place(group_salt(experiment.agent_id, experiment.exclusion_group), unit))


def group_salt(agent_id: UUID, group: str) -> str:
    """Salt of the hash by which the experiments of a group on one agent share the units."""
    return f"{agent_id}/{group}"


def slice_for(held: Iterable[Sequence[Span]], share: float | None = None) -> tuple[Span, ...]:
    """A slice of what `held`, the slices of the group's other experiments that run or are paused, leave free.

    `share` of all units, above 0 to 1; None: half of what is free. Raises BadInput where so much is not free.
    """
    free = _free(span for spans in held for span in spans)
    room = _width(free)
    if share is not None and not 0 < share <= 1:
        raise BadInput(f"{share} of the traffic cannot be taken.", "traffic is above 0 and at most 1.")
    if room <= _ROUNDING or (share is not None and share > room + _ROUNDING):
        wanted = "any" if share is None else f"{share:g}"
        raise BadInput(
            f"The experiments of the exclusion group that run or are paused leave {room:.3g} of the units, {wanted} would be needed.",
            "Ask for less traffic, or conclude one of them.",
        )
    return _first(free, room / 2 if share is None else share)


def _holds(spans: Iterable[Sequence[float]], at: float) -> bool:
    return any(low <= at < high for low, high in spans)


def _width(spans: Iterable[Span]) -> float:
    return math.fsum(high - low for low, high in spans)


def _first(spans: Iterable[Sequence[float]], width: float) -> tuple[Span, ...]:
    """As much of the spans, from the lowest on, as is `width` wide; the last is cut."""
    taken: list[Span] = []
    for low, high in sorted((float(low), float(high)) for low, high in spans):
        if width <= _ROUNDING:
            break
        end = high if high - low <= width + _ROUNDING else low + width
        taken.append((low, end))
        width -= end - low
    return tuple(taken)


def _joined(spans: Iterable[Span]) -> tuple[Span, ...]:
    """In order; neighbours become one."""
    whole: list[Span] = []
    for low, high in sorted(spans):
        if whole and low <= whole[-1][1]:
            whole[-1] = (whole[-1][0], max(high, whole[-1][1]))
        else:
            whole.append((low, high))
    return tuple(whole)


def _free(taken: Iterable[Sequence[float]]) -> tuple[Span, ...]:
    """What is left of [0, 1)."""
    return _without(((0.0, 1.0),), [(float(low), float(high)) for low, high in taken])


def _without(spans: Iterable[Span], taken: Iterable[Span]) -> tuple[Span, ...]:
    left = list(spans)
    for low, high in taken:
        left = [part for start, end in left for part in ((start, min(end, low)), (max(start, high), end)) if part[0] < part[1]]
    return tuple(left)
