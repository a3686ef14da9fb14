"""What may be done with an experiment, and when: create, start, pause, resume, change weights, abort, conclude.

Belongs here: what each change needs and does, in one transaction, audited. Not here: plans without a database (plans.py), deciding (decision.py), looking
and what follows from it (looking.py, finishing.py), steps of a rollout (canary.py), SQL.

Whoever changes an experiment holds the lock of its agent's row and then of its own, so that two people at once, or one who clicks twice, do it once; an
approval, a clean-up of versions and another experiment of the agent wait meanwhile. Times are the database's: clocks elsewhere may be wrong.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from learning_pipelines.acceptance.reviewing import Reason, Refused, Reviewer
from learning_pipelines.errors import BadInput
from learning_pipelines.experiments import canary, gathering, looking, plans, versions
from learning_pipelines.experiments.assignment import SLICE, TRAFFIC, ranges_of_weights, slice_for
from learning_pipelines.experiments.decision import decide
from learning_pipelines.experiments.plans import Asked, Plan
from learning_pipelines.settings import Settings
from learning_pipelines.storage import audit, experiments
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.experiment_rows import WITHDRAWN, Arm, Decision, Experiment, Ranges, Status
from learning_pipelines.storage.prompts import lock_agent
from learning_pipelines.storage.tenants import AgentRef

ENDED = ("completed", "cancelled")
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Changed:
    """The experiment as it is now. `changed` is False where it was so before."""

    experiment: Experiment
    changed: bool


def create(connection: Connection, agent: AgentRef, plan: Plan, who: Reviewer, settings: Settings) -> Experiment:
    """Stores a draft, which serves nobody before it is started. Raises Refused naming the field: see plans.py, versions.py."""
    plans.check(plan)
    primary, guardrails = plans.metrics_of(plan)
    with connection.transaction():
        _require_enabled(agent, lock_agent(connection, agent))
        arms = plans.arms_of(plan.arms, versions.serving(connection, agent, plan.subject))
        versions.require_servable(connection, agent, plan.subject, arms, settings, Reason.VALUE)
        identity = experiments.add(
            connection, agent, name=plan.name.strip(), subject=plan.subject, unit=plan.unit, arms=arms, exclusion_group=plan.exclusion_group,
            primary_metric=primary, guardrails=guardrails, min_duration_hours=plan.min_duration_hours, min_sample_size=plan.min_sample_size,
            config=plan.options.as_config(), created_by=who.user_id, description=plan.description,
        )  # fmt: skip
        made = experiments.find(connection, agent.organization_id, identity)
        assert made is not None  # it was stored a line above
        _audit(connection, agent, made, who, "created", ["arms", "config"], None, [arm.as_json() for arm in arms])
    return made


def start(connection: Connection, organization_id: UUID, experiment_id: UUID, who: Reviewer, settings: Settings) -> Changed:
    """A draft begins to serve: from now on units are met. Raises Refused: ended, paused, learning disabled, a version that cannot be served, what serves is
    not among the arms, another experiment on the same units."""
    with connection.transaction():
        experiment, agent, enabled = _locked(connection, organization_id, experiment_id)
        if experiment.status == "running":
            return Changed(experiment, False)
        if experiment.status != "draft":
            raise _wrong_state(experiment, "started", "`experiments resume` goes on with it." if experiment.status == "paused" else _ANEW)
        _require_runnable(connection, agent, experiment, enabled, settings)
        if experiment.exclusion_group is not None:
            experiments.set_config(connection, organization_id, experiment.id, {SLICE: _slice(connection, agent, experiment)})
        experiments.begin_epoch(connection, organization_id, experiment.id, ranges_of_weights(experiment.arms))
        return _to(connection, agent, experiment, "running", who, "started")


def pause(connection: Connection, organization_id: UUID, experiment_id: UUID, who: Reviewer) -> Changed:
    """Everybody gets what serves, and nobody is met, until it is resumed; who has a variant gets it back then. Raises Refused unless it runs."""
    with connection.transaction():
        experiment, agent, _ = _locked(connection, organization_id, experiment_id)
        if experiment.status == "paused":
            return Changed(experiment, False)
        if experiment.status != "running":
            raise _wrong_state(experiment, "paused", _ANEW if experiment.status in ENDED else "It serves nobody before `experiments start`.")
        experiments.end_epoch(connection, organization_id, experiment.id)
        return _to(connection, agent, experiment, "paused", who, "paused")


def resume(connection: Connection, organization_id: UUID, experiment_id: UUID, who: Reviewer, settings: Settings) -> Changed:
    """Goes on with a paused experiment or rollout, in a new epoch. Raises Refused as `start` does."""
    with connection.transaction():
        experiment, agent, enabled = _locked(connection, organization_id, experiment_id)
        if experiment.status == "running":
            return Changed(experiment, False)
        if experiment.status != "paused":
            raise _wrong_state(experiment, "resumed", _ANEW if experiment.status in ENDED else "`experiments start` begins it.")
        _require_runnable(connection, agent, experiment, enabled, settings)
        assert experiment.epoch is not None  # it ran before
        experiments.begin_epoch(connection, organization_id, experiment.id, _ranges_again(experiment, experiment.epoch.ranges))
        return _to(connection, agent, experiment, "running", who, "resumed")


def abort(connection: Connection, organization_id: UUID, experiment_id: UUID, who: Reviewer, notes: str | None = None) -> Changed:
    """Ends it without a decision: everybody gets what serves; the proposal of a rollout is open again. Raises Refused where it was concluded."""
    with connection.transaction():
        experiment, agent, _ = _locked(connection, organization_id, experiment_id)
        if experiment.status == "cancelled":
            return Changed(experiment, False)
        if experiment.status == "completed":
            raise _wrong_state(experiment, "aborted", "What it made serve is taken back with `learning-pipelines rollback`.")
        if experiment.kind == "rollout":
            canary.abort(connection, agent, experiment, who, notes or "nobody said why.")
            return Changed(_again(connection, agent, experiment), True)
        experiments.end_epoch(connection, organization_id, experiment.id)
        experiments.note(connection, organization_id, experiment.id, notes)
        return _to(connection, agent, experiment, "cancelled", who, "aborted", notes)


def change_weights(connection: Connection, organization_id: UUID, experiment_id: UUID, weights: Mapping[str, float], who: Reviewer) -> Changed:
    """New shares, for units that were not met yet: who has a variant keeps it. Begins a new epoch where it runs. Raises Refused: ended, a rollout, weights
    that are none or do not sum, an arm that is not named or not there."""
    with connection.transaction():
        experiment, agent, _ = _locked(connection, organization_id, experiment_id)
        if experiment.status in ENDED:
            raise _wrong_state(experiment, "weighted anew", _ANEW)
        if experiment.kind == "rollout":
            raise Refused(Reason.STATE, "A rollout goes by its steps, not by weights.", "`experiments pause` holds it where it is.")
        arms = _reweighted(experiment, weights)
        if arms == experiment.arms:
            return Changed(experiment, False)
        experiments.set_arms(connection, organization_id, experiment.id, arms, experiment.step)
        if experiment.status == "running":
            assert experiment.epoch is not None
            experiments.begin_epoch(connection, organization_id, experiment.id, ranges_of_weights(arms, experiment.epoch.ranges))
        before, after = ([arm.as_json() for arm in each] for each in (experiment.arms, arms))
        _audit(connection, agent, experiment, who, "weighted", ["arms"], before, after)
        return Changed(_again(connection, agent, experiment), True)


def conclude(
    connection: Connection, organization_id: UUID, experiment_id: UUID, decision: Decision | None, who: Reviewer, settings: Settings,
    notes: str | None = None, *, may_adopt: bool = True,
) -> Changed:  # fmt: skip
    """Ends it with a decision, None: the one that its values lead to now. adopt_treatment makes the winner serve everybody, so it needs that verdict and
    somebody who `may_adopt`; every other decision leaves what serves. Raises Refused: not begun, ended otherwise, no such verdict, the role."""
    with connection.transaction():
        experiment, agent, _ = _locked(connection, organization_id, experiment_id)
        if experiment.status == "completed" and decision in (None, experiment.decision):
            return Changed(experiment, False)
        if experiment.status not in ("running", "paused"):
            raise _wrong_state(experiment, "concluded", "`experiments start` begins it." if experiment.status == "draft" else _ANEW)
        if not may_adopt and (decision or decide(gathering.gathered(connection, experiment, agent)).decision) == "adopt_treatment":
            raise Refused(
                Reason.ROLE, "Only an administrator decides what serves everybody.",
                "Ask one to conclude it, or conclude it with keep_control or inconclusive.", "decision",
            )  # fmt: skip
        looking.conclude(connection, agent, experiment.id, decision, who, settings, notes)
        return Changed(_again(connection, agent, experiment), True)


def look(connection: Connection, organization_id: UUID, experiment_id: UUID, who: Reviewer, settings: Settings) -> Changed:
    """Looks at a running experiment now, as the hourly job does, and does what follows. `changed`: it saw something that the last look did not.
    Raises Refused: it does not run, learning disabled."""
    with connection.transaction():
        experiment, agent, enabled = _locked(connection, organization_id, experiment_id)
        if experiment.status != "running":
            raise _wrong_state(experiment, "looked at", "`experiments show` has its numbers.")
        _require_enabled(agent, enabled)
        seen = looking.look(connection, agent, experiment.id, settings, who)
        return Changed(_again(connection, agent, experiment), seen is not None and seen.new)


def require_alone(connection: Connection, agent: AgentRef, experiment: Experiment) -> None:
    """Raises Refused while another experiment on the agent and subject runs that does not share its units by the same exclusion group, or a rollout is
    under way, paused or not. Under the lock of the agent's row."""
    for other in experiments.listed(connection, agent.organization_id, agent_id=agent.agent_id, statuses=("running", "paused")):
        if other.id == experiment.id or other.subject != experiment.subject:
            continue
        if other.kind == "rollout":
            advice = f"Wait for its end, or take it back: `learning-pipelines rollback {agent.agent} --kind {other.subject}`."
            raise Refused(Reason.STATE, f"A rollout of {agent.agent}'s {other.subject} is {_under_way(other)} ({other.id}).", advice)
        apart = experiment.exclusion_group is not None and experiment.exclusion_group == other.exclusion_group
        if other.status == "running" and not apart:
            raise Refused(
                Reason.STATE, f"The experiment {other.name!r} ({other.id}) on {agent.agent}'s {other.subject} runs already: the same units would be in both.",
                "Conclude or pause it first, or make both with the same exclusion group (--group), which shares the units between them.", "exclusion_group",
            )  # fmt: skip


_ANEW = "What has ended is not started again: create a new experiment."


def _require_runnable(connection: Connection, agent: AgentRef, experiment: Experiment, enabled: bool, settings: Settings) -> None:
    _require_enabled(agent, enabled)
    versions.require_servable(connection, agent, experiment.subject, experiment.arms, settings, Reason.STATE)
    versions.require_serving(connection, agent, experiment.subject, experiment.arms)
    require_alone(connection, agent, experiment)


def _require_enabled(agent: AgentRef, enabled: bool) -> None:
    if not enabled:
        advice = f"`learning-pipelines enable --agent {agent.agent}` switches it on again."
        raise Refused(Reason.STATE, f"Learning is disabled for {agent.agent}.", advice)


def _slice(connection: Connection, agent: AgentRef, experiment: Experiment) -> list[list[float]]:
    """The experiment's part of its group's units."""
    others = experiments.listed(connection, agent.organization_id, agent_id=agent.agent_id, statuses=("running", "paused"))
    held = [other.config.get(SLICE, ()) for other in others if other.exclusion_group == experiment.exclusion_group and other.id != experiment.id]
    try:
        return [list(span) for span in slice_for(held, experiment.config.get(TRAFFIC))]
    except BadInput as error:
        raise Refused(Reason.STATE, error.cause, error.advice, "exclusion_group") from error


def _reweighted(experiment: Experiment, weights: Mapping[str, float]) -> tuple[Arm, ...]:
    """The arms with their new weights. Those that were withdrawn for harm stay at 0."""
    names, withdrawn = [arm.variant for arm in experiment.arms], experiment.config.get(WITHDRAWN, ())
    for name in weights:
        if name not in names:
            raise plans.refused("weights", f"{name!r} is no arm of the experiment.", f"There are {', '.join(names)}.")
        if name in withdrawn and weights[name] != 0:
            raise plans.refused("weights", f"{name} was withdrawn for the harm that was seen.", "Leave it out; make a new experiment to try it again.")
    open_ones = [arm for arm in experiment.arms if arm.variant not in withdrawn]
    missing = [arm.variant for arm in open_ones if arm.variant not in weights]
    if missing:
        raise plans.refused("weights", f"No weight is given for {', '.join(missing)}.", f"Name every arm: {', '.join(arm.variant for arm in open_ones)}.")
    shares = plans.weighted([Asked(arm.variant, arm.version, weights[arm.variant]) for arm in open_ones])
    share_of = {arm.variant: share for arm, share in zip(open_ones, shares, strict=True)}
    return tuple(replace(arm, weight=share_of.get(arm.variant, 0.0)) for arm in experiment.arms)


def _ranges_again(experiment: Experiment, before: Ranges) -> Ranges:
    """The ranges after a pause: those before it (of a step, or without what was withdrawn for harm) unless the weights were changed meanwhile."""
    wide = {variant: math.fsum(high - low for low, high in spans) for variant, spans in before.items()}
    same = all(abs(wide[arm.variant] - arm.weight) < _ROUNDING for arm in experiment.arms if arm.variant in wide)
    return before if same or experiment.kind == "rollout" else ranges_of_weights(experiment.arms, before)


def _locked(connection: Connection, organization_id: UUID, experiment_id: UUID) -> tuple[Experiment, AgentRef, bool]:
    """The experiment as it stands under the locks of its agent and of its own, and whether that agent may learn."""
    seen = experiments.find(connection, organization_id, experiment_id)
    if seen is None:
        raise Refused(Reason.UNKNOWN, "There is no such experiment.", "`learning-pipelines experiments list` lists them.", "id")
    agent = AgentRef(organization_id, "", seen.agent_id, seen.agent)
    enabled = lock_agent(connection, agent)
    experiment = experiments.find(connection, organization_id, experiment_id, lock=True)
    assert experiment is not None  # experiments are never deleted
    return experiment, agent, enabled


def _to(
    connection: Connection, agent: AgentRef, experiment: Experiment, status: Status, who: Reviewer, action: str, notes: str | None = None
) -> Changed:  # fmt: skip
    experiments.set_status(connection, agent.organization_id, experiment.id, status)
    fields, after = (["status"], status) if notes is None else (["status", "notes"], [status, notes])
    _audit(connection, agent, experiment, who, action, fields, experiment.status, after)
    return Changed(_again(connection, agent, experiment), True)


def _again(connection: Connection, agent: AgentRef, experiment: Experiment) -> Experiment:
    found = experiments.find(connection, agent.organization_id, experiment.id)
    assert found is not None  # experiments are never deleted
    return found


def _audit(
    connection: Connection, agent: AgentRef, experiment: Experiment, who: Reviewer, action: str, fields: Sequence[str], before: Any, after: Any
) -> None:  # fmt: skip
    audit.record(
        connection, agent.organization_id, actor=who.actor, action=action, kind="experiment", subject=f"{agent.agent}/{experiment.id}", fields=fields,
        before=before, after=after,
    )  # fmt: skip


def _wrong_state(experiment: Experiment, wanted: str, advice: str) -> Refused:
    state = "has not been started" if experiment.status == "draft" else f"is {experiment.status}"
    return Refused(Reason.STATE, f"The experiment {experiment.name!r} {state} and cannot be {wanted}.", advice)


def _under_way(rollout: Experiment) -> str:
    return f"{'paused' if rollout.status == 'paused' else 'under way'} at {rollout.steps[rollout.step]:g} %" if rollout.steps else rollout.status
