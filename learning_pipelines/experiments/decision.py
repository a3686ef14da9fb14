"""What follows from what an experiment has seen so far: adopt_treatment, keep_control, inconclusive or rollback, with the reason in words.

Belongs here: the rules, as a pure function of the findings. Not here: the statistics (analysis.py), steps of a rollout (canary.py), carrying a decision
out (finishing.py).

The comparisons hold at every look at once, so that looking every hour is no fault. Harm is never held back: neither by the minimum duration nor by
the minimum sample. Everything else waits for both.

* `rollback`: the primary metric is worse (its interval lies below zero), or a guardrail is worse by more than its tolerance. Of an ordinary experiment
  that has had its minimum duration and sample, a worse primary metric is its regular end instead: `keep_control`. Both end serving the treatment.
* `adopt_treatment`: the interval lies above zero, in the better direction; minimum duration and sample hold; no guardrail is harmed; the arms have the
  shares that they should have. Of several treatments the one with the largest gain.
* `keep_control`: also where all gains that are still possible are below the minimum effect.
* `inconclusive`: everything else, with what is missing.

A rollout was approved already: it needs no further gain, but no harm. Each step waits for its hours and its units; after the last one before everybody
the treatment is adopted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from learning_pipelines.experiments.analysis import BROKEN_RATIO, Findings, Judged, Missing, Step, findings_of
from learning_pipelines.experiments.evidence import Evidence
from learning_pipelines.storage.experiment_rows import Decision

Verdict = Literal["harmed", "worse", "better", "too small", "open"]


@dataclass(frozen=True, slots=True)
class VariantVerdict:
    """`verdict`: harmed (by a guardrail, named in `why`), worse, better, too small (no gain of the minimum effect is possible any more) or open."""

    variant: str
    verdict: Verdict
    why: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """`winner`: the variant to adopt, or the control where it is kept. `held`: why a better treatment is not adopted yet. `said`: what whoever reads the
    verdict should know beside it. `ends`: the experiment is over, without anybody being asked. `next_step`: the step that a rollout goes to
    now, counted from 0. `numbers`: treatment → its primary comparison as JSON, with `guardrails`. `sample_ratio_p`: of all epochs; None: nobody was met."""

    decision: Decision
    reason: str
    winner: str | None
    ends: bool
    verdicts: tuple[VariantVerdict, ...]
    held: tuple[str, ...]
    said: tuple[str, ...]
    longer: Missing | None
    numbers: Mapping[str, Mapping[str, Any]]
    sample_ratio_p: float | None = None
    next_step: int | None = None

    @property
    def mismatch(self) -> bool:
        """Whether the arms do not have their shares."""
        return self.sample_ratio_p is not None and self.sample_ratio_p < BROKEN_RATIO

    @property
    def harmed(self) -> bool:
        """Whether a guardrail or the primary metric showed harm."""
        return any(one.verdict in ("harmed", "worse") for one in self.verdicts)

    def as_json(self) -> dict[str, Any]:
        plain = {name: getattr(self, name) for name in ("decision", "reason", "winner", "ends", "sample_ratio_p", "next_step")}
        lists = {"verdicts": [asdict(one) for one in self.verdicts], "held": list(self.held), "said": list(self.said)}
        return {**plain, **lists, "numbers": dict(self.numbers), "longer": None if self.longer is None else self.longer.as_json()}


def decide(evidence: Evidence) -> Outcome:
    """The decision that an evidence leads to. Pure: from the evidence that is stored with a decision it is made again (`again`). What a person asked for
    (`asked`: decision and reason) is the decision, whatever the values say."""
    if (asked := evidence.get("asked")) is not None:
        return Outcome(asked["decision"], asked["reason"], None, True, (), (), (), None, {})
    return decided(findings_of(evidence))


def again(stored: Mapping[str, Any]) -> Outcome:
    """A stored decision (experiment_decisions.evidence) made again. Raises ValueError where another one comes out: the rules have changed since, or the
    row has."""
    made = decide(stored)
    if (before := stored.get("outcome")) is not None and before["decision"] != made.decision:
        raise ValueError(f"{before['decision']} was stored, {made.decision} follows from the evidence.")
    return made


def decided(findings: Findings) -> Outcome:
    """The decision about an experiment, from what its comparisons say."""
    verdicts = tuple(_verdict(one) for one in findings.treatments)
    held = _held(findings)
    said = tuple(note for one in findings.treatments if (note := _who_answers(one)) is not None)

    def outcome(decision: Decision, reason: str, winner: str | None = None, *, ends: bool = False, longer: Missing | None = None) -> Outcome:
        return Outcome(decision, " ".join((reason, *said)), winner, ends, verdicts, held, said, longer, _numbers(findings), findings.ratio_p)

    harmful = [one for one in verdicts if one.verdict in ("harmed", "worse")]
    best = _best(findings, verdicts)
    if findings.rollout is not None and not harmful:
        return _of_rollout(findings, findings.rollout, verdicts, held, said)
    if best is not None and not held:
        others = [one for one in harmful if one.variant != best.variant]
        return outcome("adopt_treatment", " ".join([_better(best), *(one.why for one in others)]), best.variant)
    if harmful and len(harmful) == len(verdicts):
        reason = " ".join(one.why for one in harmful)
        if findings.rollout is None and not held and all(one.verdict == "worse" for one in harmful):
            return outcome("keep_control", reason, findings.control, ends=True)
        return outcome("rollback", reason, findings.control, ends=True)
    if findings.broken_ratio is None and not findings.waiting and all(one.verdict in ("harmed", "worse", "too small") for one in verdicts):
        return outcome("keep_control", " ".join(one.why for one in verdicts), findings.control, ends=True)
    if findings.overdue is not None:
        return outcome("inconclusive", " ".join([findings.overdue, *(one.why for one in verdicts)]), ends=True)
    return outcome("inconclusive", _open(findings, verdicts, held, best), longer=findings.longer)


def _of_rollout(
    findings: Findings, rollout: Step, verdicts: tuple[VariantVerdict, ...], held: tuple[str, ...], said: tuple[str, ...]
) -> Outcome:  # fmt: skip
    """Of a rollout that harms nothing: wait, take the next step, or adopt."""

    def outcome(decision: Decision, reason: str, winner: str | None = None, *, ends: bool = False, next_step: int | None = None) -> Outcome:
        words = " ".join((reason, *said))
        return Outcome(decision, words, winner, ends, verdicts, held, said, findings.longer, _numbers(findings), findings.ratio_p, next_step)

    if held:
        if findings.overdue is not None:
            return outcome("inconclusive", " ".join([findings.overdue, *held]), ends=True)
        return outcome("inconclusive", f"It waits at {rollout.percent:g} % of the traffic. {' '.join(held)}")
    if rollout.next_percent < 100:
        return outcome("inconclusive", f"No harm is seen at {rollout.percent:g} %: {rollout.next_percent:g} % follows.", next_step=rollout.number + 1)
    reason = f"No harm was seen at {rollout.percent:g} %: everybody gets it. {verdicts[0].why}"
    return outcome("adopt_treatment", reason, verdicts[0].variant, ends=True)


def _verdict(one: Judged) -> VariantVerdict:
    """What is known of one treatment against the control, whatever has to be waited for."""
    if one.withdrawn:
        return VariantVerdict(one.variant, "harmed", f"{_named(one)} was withdrawn for the harm that was seen.")
    harmed = [watched for watched in one.guardrails if watched.harmed]
    if one.primary.harmed:
        return VariantVerdict(one.variant, "worse", f"{_named(one)} is worse: {one.primary.in_words}.")
    if harmed:
        return VariantVerdict(one.variant, "harmed", f"{_named(one)} harms: {'; '.join(watched.in_words for watched in harmed)}.")
    if one.primary.better:
        return VariantVerdict(one.variant, "better", _better(one))
    if one.primary.too_small:
        return VariantVerdict(
            one.variant, "too small", f"{_named(one)} cannot reach the minimum effect of {one.primary.minimum_effect:g}: {one.primary.in_words}."
        )
    return VariantVerdict(one.variant, "open", f"{_named(one)} is open: {one.primary.in_words}.")


def _best(findings: Findings, verdicts: Sequence[VariantVerdict]) -> Judged | None:
    """Of the treatments that are better, the one with the largest gain."""
    better = [one for one, verdict in zip(findings.treatments, verdicts, strict=True) if verdict.verdict == "better"]
    return max(better, key=lambda one: one.primary.gain, default=None)


def _held(findings: Findings) -> tuple[str, ...]:
    """What keeps anything from being adopted now."""
    return findings.waiting if findings.broken_ratio is None else (findings.broken_ratio, *findings.waiting)


def _open(findings: Findings, verdicts: Sequence[VariantVerdict], held: Sequence[str], best: Judged | None) -> str:
    """A sentence for each thing that is missing, the one that nothing else can mend first."""
    if findings.broken_ratio is not None:
        return " ".join([findings.broken_ratio, *(one.why for one in verdicts)])
    parts = []
    for one in verdicts:
        parts.append(one.why)
        if one.verdict == "open" and findings.longer is not None:
            parts.append(findings.longer.forecasts[one.variant].sentence())
    if best is not None:
        parts.append("It is not adopted yet:")
    return " ".join([*parts, *held])


def _who_answers(one: Judged) -> str | None:
    answers = one.answers
    if answers is None or not answers.conclusive or answers.mean_control is None or answers.mean_treatment is None:
        return None
    more = "more" if answers.mean_treatment > answers.mean_control else "less"
    return (
        f"{_named(one)} is answered by feedback {more} often ({answers.mean_treatment:.1%} of executions instead of {answers.mean_control:.1%}): "
        "those who answer are not the same in both arms, and what feedback says of them need not hold for everybody."
    )


def _numbers(findings: Findings) -> dict[str, dict[str, Any]]:
    return {
        one.variant: one.primary.comparison.as_json() | {"guardrails": [watched.comparison.as_json() for watched in one.guardrails]}
        for one in findings.treatments
    }


def _better(one: Judged) -> str:
    return f"{_named(one)} is better: {one.primary.in_words}."


def _named(one: Judged) -> str:
    return one.variant[:1].upper() + one.variant[1:]
