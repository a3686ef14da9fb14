"""A look at one experiment: its evidence now, the decision, and what follows at once; and the end that a person asks for.

Belongs here: one experiment in one transaction. Not here: the rules (decision.py), all experiments of an hour (defs/experiments.py), bringing the values
up to date (collecting.py).

What follows without being asked: harm ends an experiment or withdraws the harmful variant; a rollout takes its steps; a winner is adopted where the
experiment says so (`auto_adopt`). A look that saw nothing new writes no row.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from uuid import UUID

from learning_pipelines.acceptance import promotion
from learning_pipelines.acceptance.reviewing import Reason, Refused, Reviewer
from learning_pipelines.experiments import canary, finishing, gathering, versions
from learning_pipelines.experiments.assignment import ranges_of_weights
from learning_pipelines.experiments.decision import Outcome, decide
from learning_pipelines.experiments.evidence import Evidence, is_new
from learning_pipelines.experiments.options import options_of
from learning_pipelines.settings import Settings
from learning_pipelines.storage import audit, experiment_decisions, experiments, prompts
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.experiment_rows import WITHDRAWN, Decision, Experiment, Status
from learning_pipelines.storage.tenants import AgentRef

PIPELINE = Reviewer("pipeline")


@dataclass(frozen=True, slots=True)
class Look:
    """`new`: whether it saw anything that the last look did not. `status`: of the experiment after it. `served`: (version now, version before) where
    something else serves everybody since."""

    agent: AgentRef
    experiment: Experiment
    outcome: Outcome
    new: bool
    status: Status
    served: tuple[int, int | None] | None = None


def look(connection: Connection, agent: AgentRef, experiment_id: UUID, settings: Settings, who: Reviewer = PIPELINE) -> Look | None:
    """Looks at an experiment and does what follows, in one transaction. None where it does not run, or its agent may not learn: then nothing moves."""
    with connection.transaction():
        enabled = prompts.lock_agent(connection, agent)
        experiment = experiments.find(connection, agent.organization_id, experiment_id, lock=True)
        if experiment is None or experiment.status != "running" or not enabled:
            return None
        evidence = gathering.gathered(connection, experiment, agent)
        outcome = decide(evidence)
        if not (outcome.ends and outcome.harmed) and (gone := _outdated(connection, agent, experiment, settings)) is not None:
            return _ended(connection, agent, experiment, gone, evidence, who)
        return _follow(connection, agent, experiment, outcome, evidence, who, settings)


def conclude(
    connection: Connection, agent: AgentRef, experiment_id: UUID, decision: Decision | None, who: Reviewer, settings: Settings, notes: str | None = None
) -> Look:  # fmt: skip
    """Ends an experiment because somebody asks for it. `decision` None: whatever the evidence says now. In one transaction.

    adopt_treatment moves what serves to the winner, so it needs that verdict; every other decision leaves what serves. Raises Refused: unknown, ended or
    never started, no such verdict, learning disabled, something else serves than the control was.
    """
    with connection.transaction():
        enabled = prompts.lock_agent(connection, agent)
        experiment = experiments.find(connection, agent.organization_id, experiment_id, lock=True)
        if experiment is None or experiment.agent_id != agent.agent_id:
            raise Refused(Reason.UNKNOWN, "There is no such experiment.", "`learning-pipelines experiments list` lists them.")
        if experiment.status not in ("running", "paused"):
            raise Refused(Reason.STATE, f"The experiment is {experiment.status}.", "Only one that runs or is paused can be concluded.")
        evidence = gathering.gathered(connection, experiment, agent)
        if decision not in (None, "adopt_treatment"):
            return _asked(connection, agent, experiment, decision, notes, evidence, who)
        outcome = decide(evidence)
        if outcome.decision != "adopt_treatment" or outcome.winner is None:
            if decision is None:
                return _asked(connection, agent, experiment, outcome.decision, notes or outcome.reason, evidence, who, outcome)
            raise Refused(Reason.STATE, f"The verdict is {outcome.decision}: {outcome.reason}", "Only a treatment that is better can be adopted.")
        if not enabled:
            advice = f"`learning-pipelines enable --agent {agent.agent}` switches it on again."
            raise Refused(Reason.STATE, f"Learning is disabled for {agent.agent}.", advice)
        served = finishing.adopt(connection, agent, experiment, outcome.winner, outcome, evidence, who, settings)
        return Look(agent, experiment, outcome, True, "completed", served)


def _follow(
    connection: Connection, agent: AgentRef, experiment: Experiment, outcome: Outcome, evidence: Evidence, who: Reviewer, settings: Settings
) -> Look:  # fmt: skip
    automatic = experiment.kind == "rollout" or options_of(experiment.config).auto_adopt
    if outcome.decision == "adopt_treatment" and outcome.winner is not None and automatic:
        try:
            with connection.transaction():
                served = finishing.adopt(connection, agent, experiment, outcome.winner, outcome, evidence, who, settings)
                return Look(agent, experiment, outcome, True, "completed", served)
        except Refused as refused:
            if experiment.kind == "rollout":
                return _ended(connection, agent, experiment, str(refused), evidence, who)
            outcome = replace(outcome, reason=f"{outcome.reason} It could not be adopted. {refused}")
    if outcome.ends:
        finishing.keep(connection, agent, experiment, outcome.decision, outcome.reason, outcome, evidence, who)
        return Look(agent, experiment, outcome, True, "completed")
    last = experiment_decisions.last(connection, agent.organization_id, experiment.id)
    new = last is None or is_new(last.evidence, evidence) or last.decision != outcome.decision
    if outcome.next_step is not None:
        canary.go_to(connection, agent, experiment, outcome.next_step, who)
    if new or outcome.next_step is not None:
        stored = {**evidence, "outcome": outcome.as_json()}
        experiments.add_decision(
            connection, agent.organization_id, experiment.id, outcome.decision, final=False, reason=outcome.reason, evidence=stored, decided_by=who.actor
        )
    _withdraw(connection, agent, experiment, outcome, who)
    return Look(agent, experiment, outcome, new, experiment.status)


def _withdraw(connection: Connection, agent: AgentRef, experiment: Experiment, outcome: Outcome, who: Reviewer) -> None:
    """Stops the treatments that harm while others go on: from now on nobody is served them, those who were get what serves."""
    before = list(experiment.config.get(WITHDRAWN, ()))
    harmful = [one.variant for one in outcome.verdicts if one.verdict in ("harmed", "worse") and one.variant not in before]
    if not harmful or experiment.epoch is None:
        return
    rest = sum(arm.weight for arm in experiment.arms if arm.variant not in (*before, *harmful))
    arms = [replace(arm, weight=0.0 if arm.variant in (*before, *harmful) else arm.weight / rest) for arm in experiment.arms]
    experiments.set_arms(connection, agent.organization_id, experiment.id, arms, experiment.step)
    experiments.begin_epoch(connection, agent.organization_id, experiment.id, ranges_of_weights(arms, experiment.epoch.ranges))
    experiments.set_config(connection, agent.organization_id, experiment.id, {WITHDRAWN: [*before, *harmful]})
    audit.record(
        connection, agent.organization_id, actor=who.actor, action="withdrawn", kind="experiment", subject=f"{agent.agent}/{experiment.id}",
        fields=["arms"], before=before, after=harmful,
    )  # fmt: skip


def _outdated(connection: Connection, agent: AgentRef, experiment: Experiment, settings: Settings) -> str | None:
    """Why an experiment has lost its subject: something else serves than the control of a rollout, or than any arm, by whoever imported a prompt."""
    if experiment.kind == "experiment":
        try:
            versions.require_serving(connection, agent, experiment.subject, experiment.arms)
        except Refused as refused:
            return str(refused)
        return None
    serving = versions.serving(connection, agent, experiment.subject)
    if serving == experiment.control.version:
        return None
    incumbent = promotion.as_served(connection, agent, experiment.subject, experiment.control.version)
    try:
        promotion.require(connection, agent, experiment.subject, experiment.treatments[0].version, incumbent, settings)
    except Refused as refused:
        return str(refused)
    return None  # the same content under another number


def _ended(connection: Connection, agent: AgentRef, experiment: Experiment, why: str, evidence: Evidence, who: Reviewer) -> Look:
    """One that cannot go on, without a verdict."""
    return _asked(connection, agent, experiment, "inconclusive", why, evidence, who, status="cancelled")


def _asked(
    connection: Connection, agent: AgentRef, experiment: Experiment, decision: Decision, notes: str | None, evidence: Evidence, who: Reviewer,
    outcome: Outcome | None = None, status: Status = "completed",
) -> Look:  # fmt: skip
    """Ends it with what serves, by a decision that is not the values' own (`outcome` None) or is."""
    reason = notes or f"{who.actor} concluded it."
    if outcome is None:
        evidence = {**evidence, "asked": {"decision": decision, "reason": reason}}
        outcome = decide(evidence)
    finishing.keep(connection, agent, experiment, decision, reason, outcome, evidence, who, status=status)
    return Look(agent, experiment, outcome, True, status)
