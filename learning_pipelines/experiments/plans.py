"""What somebody asks an experiment to be: arms with weights, what they are compared in, options; everything that can be said without a database.

Belongs here: reading and checking a plan. Not here: whether its versions can be served (versions.py), storing it (lifecycle.py).
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, get_args

from learning_pipelines.acceptance.reviewing import Reason, Refused
from learning_pipelines.errors import BadInput
from learning_pipelines.experiments.metrics import GUARDRAILS, metric
from learning_pipelines.experiments.options import Options
from learning_pipelines.storage.experiment_rows import CONTROL, TREATMENT, Arm, Subject, Unit

MOST_ARMS = 10
LARGEST = 2_147_483_647
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
GROUP = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Asked:
    """An arm as it is asked for: `version` None: what serves (the control); `weight` None: an equal part of what the others leave."""

    variant: str | None
    version: int | None
    weight: float | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """`arms`: the control first. `guardrails` None: the usual ones."""

    name: str
    arms: Sequence[Asked]
    subject: Subject = "prompt"
    unit: Unit = "user"
    primary_metric: str = "thumbs"
    guardrails: Sequence[str] | None = None
    exclusion_group: str | None = None
    min_duration_hours: int = 168
    min_sample_size: int = 1000
    options: Options = field(default_factory=Options)
    description: str | None = None


def refused(name: str, cause: str, advice: str) -> Refused:
    """A value that cannot be meant, by the name of what was given."""
    return Refused(Reason.VALUE, cause, advice, name)


def check(plan: Plan) -> None:
    """Raises Refused naming the field and the next step for everything but the versions and what is there already."""
    if not plan.name.strip() or len(plan.name) > 255 or "\x00" in plan.name:
        raise refused("name", "The name is empty, longer than 255 characters or holds a NUL.", "Say what is tried, for example 'shorter answers'.")
    if plan.subject not in get_args(Subject):
        raise refused("subject", f"{plan.subject!r} cannot be compared.", f"There are {', '.join(get_args(Subject))}.")
    if plan.unit not in get_args(Unit):
        raise refused("unit", f"{plan.unit!r} is no unit.", f"There are {', '.join(get_args(Unit))}.")
    if plan.exclusion_group is not None and not GROUP.fullmatch(plan.exclusion_group):
        advice = "Use a-z, 0-9, _ and -, up to 63 characters, a letter or digit first."
        raise refused("exclusion_group", f"{plan.exclusion_group!r} is no name of an exclusion group.", advice)
    if plan.options.traffic is not None and plan.exclusion_group is None:
        raise refused("options.traffic", "A share of the traffic is taken from an exclusion group, and none is named.", "Name a group, or leave traffic out.")
    for name, value in (("min_duration_hours", plan.min_duration_hours), ("min_sample_size", plan.min_sample_size)):
        if not 0 <= value <= LARGEST:
            raise refused(name, f"{name} is {value}.", f"It is 0 to {LARGEST}.")
    metrics_of(plan)


def metrics_of(plan: Plan) -> tuple[str, tuple[str, ...]]:
    """(primary metric, guardrails): each known, each once, none both. Raises Refused."""
    primary = _known("primary_metric", plan.primary_metric)
    watched = tuple(dict.fromkeys(_known("guardrails", name) for name in (GUARDRAILS if plan.guardrails is None else plan.guardrails)))
    if plan.guardrails is None:
        watched = tuple(name for name in watched if name != primary)
    elif primary in watched:
        raise refused("guardrails", f"{primary} is the primary metric already.", "It is watched for harm as it is; leave it out of the guardrails.")
    unwatched = [name for name in plan.options.tolerances if name not in watched]
    if unwatched:
        raise refused("options.tolerances", f"{unwatched[0]} is no guardrail of this experiment.", f"Its guardrails are {', '.join(watched) or 'none'}.")
    return primary, watched


def named(asked: Sequence[Asked]) -> tuple[Asked, ...]:
    """The arms with a name each: control, treatment (treatment-1, treatment-2, … where there are several). Raises Refused."""
    if not 2 <= len(asked) <= MOST_ARMS:
        raise refused("arms", f"An experiment has 2 to {MOST_ARMS} arms, not {len(asked)}.", "Name a control and at least one treatment.")
    usual = [CONTROL, *([TREATMENT] if len(asked) == 2 else [f"{TREATMENT}-{number}" for number in range(1, len(asked))])]
    found = tuple(Asked(one.variant or name, one.version, one.weight) for one, name in zip(asked, usual, strict=True))
    names = [str(one.variant) for one in found]
    for name in names:
        if not NAME.fullmatch(name):
            raise refused("arms", f"{name!r} is no name of an arm.", "Use letters, digits, _, . and -, up to 63 characters, a letter or digit first.")
        if names.count(name) > 1:
            raise refused("arms", f"Two arms are called {name}.", "Give each a name of its own.")
    return found


def weighted(asked: Sequence[Asked], name: str = "weights") -> tuple[float, ...]:
    """The weights as shares that sum to 1: given as shares or as percentages; those that are not given share what is left. Raises Refused,
    calling them `name`."""
    given = [one.weight for one in asked if one.weight is not None]
    for one in asked:
        if one.weight is not None and not (math.isfinite(one.weight) and 0 < one.weight <= 100):
            raise refused(name, f"The weight of {one.variant} is {one.weight:g}.", "Weights are shares above 0 and up to 1, or percentages up to 100.")
    whole = 100.0 if any(weight > 1 for weight in given) else 1.0
    total, missing = math.fsum(given), len(asked) - len(given)
    if missing and total >= whole - _ROUNDING * whole:
        raise refused(name, f"The given weights sum to {total:g}, which leaves nothing for the others.", f"Give weights that sum to less than {whole:g}.")
    if not missing and abs(total - whole) > _ROUNDING * whole:
        raise refused(
            name, f"The weights sum to {total:.12g}.", f"Make them sum to {whole:g}." if whole > 1 else "Make them sum to 1 (or to 100, as percentages)."
        )
    rest = (whole - total) / missing if missing else 0.0
    shares = [rest if one.weight is None else one.weight for one in asked]
    return tuple(share / math.fsum(shares) for share in shares)


def arms_of(asked: Sequence[Asked], serving: int | None) -> tuple[Arm, ...]:
    """The arms, the control first; its version, where none is named, is `serving`. Raises Refused: weights, names, two arms with the same version."""
    given = named(asked)
    arms: list[Arm] = []
    for one, weight in zip(given, weighted(given, "arms"), strict=True):
        version = serving if one.version is None and one is given[0] else one.version
        if version is None:
            raise refused("arms", f"No version is named for {one.variant}, and none serves.", f"Say which version {one.variant} serves.")
        if not 0 <= version <= LARGEST:
            raise refused("arms", f"{version} is no version.", "Versions count from 1; 0 is the base index, or nothing learnt.")
        same = next((arm for arm in arms if arm.version == version), None)
        if same is not None:
            raise refused("arms", f"{same.variant} and {one.variant} both serve version {version}.", "Compare different versions.")
        arms.append(Arm(str(one.variant), version, weight))
    return tuple(arms)


def arm_from_text(text: str) -> Asked:
    """An arm as it is typed: [name=]version[:weight]. Raises BadInput."""
    found = re.fullmatch(r"(?:(?P<name>[^=:]+)=)?(?P<version>\d{1,10}|serving)(?::(?P<weight>[0-9.eE+-]+)(?P<percent>%)?)?", text.strip())
    try:
        weight = None if found is None or found["weight"] is None else float(found["weight"]) / (100 if found["percent"] else 1)
    except ValueError:
        found = None
    if found is None:
        raise BadInput(f"{text!r} is no arm.", "An arm is [name=]version[:weight], for example 4, shorter=4 or shorter=4:0.25.")
    return Asked(found["name"], None if found["version"] == "serving" else int(found["version"]), weight)


def _known(name: str, value: Any) -> str:
    try:
        return metric(value).name
    except BadInput as error:
        raise refused(name, error.cause, error.advice) from None
