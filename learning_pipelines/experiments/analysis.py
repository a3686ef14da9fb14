"""What an evidence says: the comparisons of every treatment in every metric, read as gain or harm, and whether the arms have their shares.

Belongs here: which tests are asked at which level, their answers in words. Not here: the tests themselves (exact.py, asymptotic.py, sample_ratio.py),
what follows (decision.py).

**What may be spent.** The primary metric has the two-sided level `alpha` (.05) for the whole life of the experiment, in equal parts for its treatments;
guardrails have `guardrail_alpha` (.05) one-sided for harm, in equal parts for guardrails and treatments. A treatment that changes nothing is therefore
stopped with a chance of at most guardrail_alpha + alpha / 2, however often anybody looks.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from learning_pipelines.experiments import asymptotic, exact, multiplicity, sample_ratio
from learning_pipelines.experiments import evidence as given
from learning_pipelines.experiments.comparison import Comparison
from learning_pipelines.experiments.evidence import Evidence
from learning_pipelines.experiments.exact import ExactState
from learning_pipelines.experiments.longer import Longer, how_much_longer
from learning_pipelines.experiments.metrics import Metric, metric
from learning_pipelines.experiments.options import Options, options_of
from learning_pipelines.experiments.sample_ratio import Counts
from learning_pipelines.experiments.unit_sums import UnitSums
from learning_pipelines.storage.experiment_rows import WITHDRAWN

ANSWERS = "feedback_rate"
"""Who answers is not everybody: compared beside every experiment."""
GROWING = ("latency_ms", "cost_usd")
"""Guardrails of which a share may be tolerated: a better answer may take longer."""
BROKEN_RATIO = sample_ratio.ALPHA
"""Below this p value of the sequential test the arms do not have the shares that they should have."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A comparison read in the metric's better direction. `tolerance`: how much worse is no harm yet; `minimum_effect`: gains below matter to nobody."""

    comparison: Comparison
    direction: int
    tolerance: float = 0.0
    minimum_effect: float = 0.0

    @property
    def gain(self) -> float:
        return self.direction * (self.comparison.difference or 0.0)

    @property
    def bounds(self) -> tuple[float, float]:
        """The gain is between these at every look at once."""
        low, high = self.comparison.low, self.comparison.high
        return (low, high) if self.direction == 1 else (-high, -low)

    @property
    def harmed(self) -> bool:
        return self.comparison.ready and self.bounds[1] < -self.tolerance

    @property
    def better(self) -> bool:
        return self.comparison.ready and self.bounds[0] > 0

    @property
    def too_small(self) -> bool:
        return self.comparison.ready and self.bounds[1] < self.minimum_effect

    @property
    def in_words(self) -> str:
        """Metric, means, difference with its interval, units; never a text of a user."""
        one = self.comparison
        units = f"{one.n_treatment} against {one.n_control} units"
        if not one.ready or one.difference is None:
            return f"{one.metric}: {units} are too few for a statement"
        ends = " to ".join("any" if abs(end) == float("inf") else f"{end:+.4g}" for end in (one.low, one.high))
        tolerated = f"; {self.tolerance:.4g} tolerated" if self.tolerance else ""
        return f"{one.metric} differs by {one.difference:+.4g} ({ends}; {units}{tolerated})"


@dataclass(frozen=True, slots=True)
class Judged:
    """One treatment: its primary metric, its guardrails, its feedback rate. `withdrawn`: it was stopped for harm while the others went on."""

    variant: str
    primary: Reading
    guardrails: tuple[Reading, ...]
    answers: Comparison | None
    withdrawn: bool = False


@dataclass(frozen=True, slots=True)
class Missing:
    """How much longer an open experiment needs. `hours`: until its minimum duration, or until its step may be left; `units`: until its minimum sample, or
    of the step, and `unit_hours` for them at the pace so far (None: none came yet); `forecasts`: treatment → until it is told apart (longer.py)."""

    hours: float
    units: int
    unit_hours: float | None
    forecasts: Mapping[str, Longer]

    def as_json(self) -> dict[str, Any]:
        return {"hours": self.hours, "units": self.units, "unit_hours": self.unit_hours, "forecasts": {of: one.as_json() for of, one in self.forecasts.items()}}


@dataclass(frozen=True, slots=True)
class Ratio:
    """Exposed units of one epoch against the shares of its arms; `p` of the epoch alone holds at every look."""

    epoch: int
    counts: Counts
    p: float

    @property
    def in_words(self) -> str:
        observed, shares = self.counts.observed, self.counts.shares
        units, whole = sum(observed.values()), sum(shares.values())
        seen = ", ".join(f"{observed.get(name, 0)} {name} ({units * share / whole:.0f} expected)" for name, share in shares.items())
        return f"epoch {self.epoch}: {seen}; p = {self.p:.2g}"


@dataclass(frozen=True, slots=True)
class Step:
    """Where a rollout is: its step counted from 0, and percent of the traffic now and next."""

    number: int
    percent: float
    next_percent: float


@dataclass(frozen=True, slots=True)
class Findings:
    """All that a decision looks at. `waiting`: what has to be waited for before anything is adopted, each in a sentence; `overdue`: that it ran as long as
    it was allowed to; `longer`: how much longer it needs, None where nothing has to be waited for."""

    control: str
    treatments: tuple[Judged, ...]
    ratios: tuple[Ratio, ...]
    rollout: Step | None
    waiting: tuple[str, ...]
    overdue: str | None
    longer: Missing | None

    @property
    def ratio_p(self) -> float | None:
        """p value of "the arms have their shares" over all epochs, at any time; None: nobody was met."""
        return sample_ratio.sequential_p([one.counts for one in self.ratios]) if self.ratios else None

    @property
    def broken_ratio(self) -> str | None:
        """That the arms do not have their shares, and where; None: they do."""
        if self.ratio_p is None or self.ratio_p >= BROKEN_RATIO:
            return None
        worst = min(self.ratios, key=lambda one: one.p)
        return (
            f"The arms do not have their shares ({worst.in_words}): units are lost or counted twice in one of them, so that they cannot be compared and "
            "nothing is adopted. Find the cause, then start a new experiment."
        )


def findings_of(evidence: Evidence) -> Findings:
    """Every comparison that the experiment's decision rests on. Pure."""
    experiment = evidence["experiment"]
    options = options_of(experiment["config"])
    control, *treatments = [str(arm["variant"]) for arm in experiment["arms"]]
    judged = tuple(_judged(evidence, options, control, variant, len(treatments)) for variant in treatments)
    if experiment["kind"] == "rollout":
        step = step_of(evidence)
        waiting, longer = _waiting_of_step(evidence, options, step, judged[0].primary.comparison)
        return Findings(control, judged, _ratios(evidence), step, waiting, _overdue(evidence, options), longer)
    waiting, longer = _waiting(evidence, judged)
    return Findings(control, judged, _ratios(evidence), None, waiting, _overdue(evidence, options), longer)


def step_of(evidence: Evidence) -> Step:
    """Where the rollout is that the evidence is about."""
    experiment = evidence["experiment"]
    number, steps = int(experiment["step"]), experiment["steps"]
    return Step(number, float(steps[number]), float(steps[number + 1]) if number + 1 < len(steps) else 100.0)


def units_needed(options: Options, steps: Sequence[float], number: int) -> int:
    """Units with a value that the treatment needs since the beginning to leave a step: all of step_units before everybody gets it, earlier as much of them
    as the step's share of the traffic is of the last one's, so that whoever has traffic for the last step has it for all."""
    last = max((share for share in steps if share < 100), default=100.0)
    return math.ceil(options.step_units * steps[number] / last)


def _waiting_of_step(evidence: Evidence, options: Options, step: Step, primary: Comparison) -> tuple[tuple[str, ...], Missing | None]:
    """What a rollout waits for before its next step."""
    needed = units_needed(options, evidence["experiment"]["steps"], step.number)
    hours, units = max(0.0, options.step_hours - given.hours_of_step(evidence)), max(0, needed - primary.n_treatment)
    waiting = []
    if hours:
        waiting.append(f"It stays at a step for {options.step_hours} hours, {hours:.1f} of them are to come.")
    if units:
        waiting.append(f"{needed} units of the treatment with a value of {primary.metric} are needed here, {primary.n_treatment} are there.")
    if not waiting:
        return (), None
    return tuple(waiting), Missing(hours, units, _at_pace(units, primary.n_treatment, given.hours_run(evidence)), {})


def _waiting(evidence: Evidence, treatments: Sequence[Judged]) -> tuple[tuple[str, ...], Missing]:
    """What an ordinary experiment waits for before anything is adopted, and how much longer it will take."""
    experiment, ran = evidence["experiment"], given.hours_run(evidence)
    smallest, fewest = min((count, variant) for variant, count in given.exposed(evidence).items())
    hours, units = max(0.0, experiment["min_duration_hours"] - ran), max(0, experiment["min_sample_size"] - smallest)
    waiting = []
    if hours:
        waiting.append(f"Its minimum duration is {experiment['min_duration_hours']} hours, {hours:.1f} of them are to come.")
    if units:
        waiting.append(f"Its minimum sample is {experiment['min_sample_size']} units in each arm, {fewest} has {smallest}.")
    return tuple(waiting), Missing(hours, units, _at_pace(units, smallest, ran), {one.variant: _forecast(one, ran) for one in treatments})


def _forecast(one: Judged, ran: float) -> Longer:
    primary = one.primary.comparison
    return how_much_longer(primary, (primary.n_control + primary.n_treatment) / ran if ran else 0.0, one.primary.minimum_effect)


def _at_pace(units: int, so_far: int, ran: float) -> float | None:
    """Hours that so many more units take if they come as they came; None: none came yet."""
    return units * ran / so_far if so_far and ran else None


def _overdue(evidence: Evidence, options: Options) -> str | None:
    if options.max_hours is None or (ran := given.hours_run(evidence)) < options.max_hours:
        return None
    return f"It ran for {ran:.0f} hours, {options.max_hours} were allowed."


def _judged(evidence: Evidence, options: Options, control: str, variant: str, treatments: int) -> Judged:
    experiment = evidence["experiment"]
    guardrails: Sequence[str] = experiment["guardrails"]
    level = multiplicity.each(options.alpha, treatments)
    harm = 2 * multiplicity.each(options.guardrail_alpha, max(1, len(guardrails)) * treatments)  # both sides of an interval, of which one is harm
    smallest = 0.0 if experiment["kind"] == "rollout" else options.minimum_effect
    primary = metric(experiment["primary_metric"])
    return Judged(
        variant,
        Reading(_compared(evidence, primary, control, variant, level, options), primary.better, 0.0, smallest),
        tuple(_watched(_compared(evidence, watched, control, variant, harm, options), watched, options) for watched in map(metric, guardrails)),
        _compared(evidence, metric(ANSWERS), control, variant, level, options),
        variant in experiment["config"].get(WITHDRAWN, ()),
    )  # fmt: skip


def _watched(comparison: Comparison, watched: Metric, options: Options) -> Reading:
    """A guardrail with what is tolerated of it: in its own unit, or as a share of the control's mean, whichever is more."""
    grown = options.growth * (comparison.mean_control or 0.0) if watched.name in GROWING else 0.0
    return Reading(comparison, watched.better, max(options.tolerances.get(watched.name, 0.0), grown))


def _compared(evidence: Evidence, asked: Metric, control: str, variant: str, alpha: float, options: Options) -> Comparison:
    """One treatment against the control in one metric, at a two-sided level. A metric without any value yet is not ready."""
    epochs = evidence["metrics"].get(asked.name, {})
    if asked.family == "exact":
        # The state of a treatment holds both arms: their values are compared in the order in which they came.
        kept = [ExactState.from_json(arms[variant]) for arms in epochs.values() if variant in arms]
        return exact.compare(kept, asked, variant, alpha)
    sums = [{int(epoch): UnitSums.from_json(arms[arm]) for epoch, arms in epochs.items() if arm in arms} for arm in (control, variant)]
    return asymptotic.compare(*sums, metric=asked.name, variant=variant, alpha=alpha, cuped=options.cuped)


def _ratios(evidence: Evidence) -> tuple[Ratio, ...]:
    """The arms' units and shares, epoch by epoch: only units of the same epoch were met by the same shares."""
    found = []
    for epoch in evidence["epochs"]:
        counts = Counts(evidence["exposures"].get(str(epoch["number"]), {}), sample_ratio.shares(epoch["ranges"]))
        if sum(counts.observed.values()):
            found.append(Ratio(int(epoch["number"]), counts, sample_ratio.sequential_p([counts])))
    return tuple(found)
