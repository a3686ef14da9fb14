"""A rollout in steps: an approved proposal meets a small share of the traffic first, then more, and is taken back where it harms.

Belongs here: beginning a rollout, its steps, ending it by hand or by a rollback, and what else may not happen meanwhile. Not here: when the next step is
due (decision.py), the hourly look (looking.py), moving labels (acceptance/promotion.py).

A rollout is an experiment of kind rollout. Control is what served when it began, treatment the proposal's version. At a step of p ≤ 50 % the treatment
serves new units of p % of the hash space, the control of as many others; who lies in neither is served what serves anyway. No label moves before the last
step.
"""

from __future__ import annotations

from learning_pipelines.acceptance import promotion
from learning_pipelines.acceptance.reviewing import Reason, Refused, Reviewer
from learning_pipelines.experiments import finishing, gathering, versions
from learning_pipelines.experiments.assignment import ranges_of_step
from learning_pipelines.experiments.decision import decide
from learning_pipelines.experiments.metrics import GUARDRAILS, metric
from learning_pipelines.experiments.options import Options
from learning_pipelines.settings import Settings
from learning_pipelines.storage import audit, experiments
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.experiment_rows import CONTROL, TREATMENT, Arm, Decision, Experiment, Status, Subject
from learning_pipelines.storage.proposals import Proposal
from learning_pipelines.storage.tenants import AgentRef

STEPS = (1.0, 5.0, 25.0, 50.0, 100.0)
"""Percent of the traffic."""
DOUBLE_CLICK_SECONDS = 60
"""A rollback that comes so soon after one that ended a rollout is the same one again."""


def begin(connection: Connection, agent: AgentRef, proposal: Proposal, who: Reviewer, settings: Settings) -> Experiment:
    """Makes and starts the rollout of a proposal, in the caller's transaction and under the lock of the agent's row. What serves stays.

    Raises BadInput for an unknown LEARNING_CANARY_METRIC; Refused: a kind that no two arms can serve, measured against what no longer serves, not
    servable, another experiment about the same.
    """
    subject = promotion.subject_of(proposal.kind)
    if subject is None:
        cause = f"A {proposal.kind.replace('_', ' ')} has no canary rollout: it serves everybody or nobody."
        raise Refused(Reason.VALUE, cause, "Approve it with the rollout immediate.")
    version = int(proposal.subject["version"])
    promotion.require(connection, agent, subject, version, proposal.incumbent, settings)
    require_none(connection, agent, subject)
    control = versions.serving(connection, agent, subject)
    if control is None or control == version:
        there = "no version" if control is None else f"version {version} already"
        raise Refused(Reason.STATE, f"There is nothing to roll out from: {there} serves.", "Approve it with the rollout immediate.")
    arms, primary = _arms(control, version, STEPS[0]), metric(settings.canary_metric).name
    options = Options(step_hours=settings.canary_step_hours, step_units=settings.canary_step_units, growth=settings.canary_growth)
    identity = experiments.add(
        connection, agent, name=f"rollout of {subject} {version} in the place of {control}", kind="rollout", subject=subject, arms=arms,
        primary_metric=primary, guardrails=[name for name in GUARDRAILS if name != primary], min_duration_hours=0, min_sample_size=0,
        config=options.as_config(), steps=STEPS, proposal_id=proposal.id, created_by=who.user_id,
    )  # fmt: skip
    experiments.begin_epoch(connection, agent.organization_id, identity, ranges_of_step(STEPS[0], TREATMENT, CONTROL))
    experiments.set_status(connection, agent.organization_id, identity, "running")
    audit.record(
        connection, agent.organization_id, actor=who.actor, action="started", kind="experiment", subject=f"{agent.agent}/{identity}",
        fields=["kind", "arms", "steps"], after=["rollout", [arm.as_json() for arm in arms], list(STEPS)],
    )  # fmt: skip
    found = experiments.find(connection, agent.organization_id, identity)
    assert found is not None
    return found


def go_to(connection: Connection, agent: AgentRef, experiment: Experiment, step: int, who: Reviewer) -> None:
    """Takes a step before the last: from now on so many new units get the treatment. Those who have a variant keep it."""
    percent = experiment.steps[step]
    arms = _arms(experiment.control.version, experiment.treatments[0].version, percent)
    experiments.begin_epoch(connection, agent.organization_id, experiment.id, ranges_of_step(percent, TREATMENT, CONTROL))
    experiments.set_arms(connection, agent.organization_id, experiment.id, arms, step)
    audit.record(
        connection, agent.organization_id, actor=who.actor, action="stepped", kind="experiment", subject=f"{agent.agent}/{experiment.id}",
        fields=["step"], before=experiment.steps[experiment.step], after=percent,
    )  # fmt: skip


def abort(connection: Connection, agent: AgentRef, experiment: Experiment, who: Reviewer, why: str) -> None:
    """Ends a rollout without a verdict: everybody gets what serves, its proposal is open again. In the caller's transaction, under both locks."""
    _stop(connection, agent, experiment, "inconclusive", f"It was aborted at {experiment.steps[experiment.step]:g} %: {why}", who)


def take_back(connection: Connection, agent: AgentRef, experiment: Experiment, who: Reviewer) -> None:
    """Ends a rollout by a rollback: everybody gets what serves, and nothing else is taken back. Whatever state it is in, also of an agent that may not
    learn, without a look at its values: a rollback must always work, at once. In the caller's transaction, under both locks."""
    _stop(connection, agent, experiment, "rollback", f"{who.actor} rolled it back at {experiment.steps[experiment.step]:g} % of the traffic.", who)


def just_taken_back(connection: Connection, agent: AgentRef, subject: Subject) -> Experiment | None:
    """The rollout that was rolled back a moment ago, by a person or for harm, if nothing else serves since."""
    found = experiments.ended_by_rollback(connection, agent, subject, DOUBLE_CLICK_SECONDS)
    return found if found is not None and versions.serving(connection, agent, subject) == found.control.version else None


def rolling_out(connection: Connection, agent: AgentRef, subject: Subject) -> Experiment | None:
    """The rollout about the subject that runs or is paused, its row locked."""
    found = next((one for one in experiments.unfinished(connection, agent, subject) if one.kind == "rollout"), None)
    return None if found is None else experiments.find(connection, agent.organization_id, found.id, lock=True)


def require_none(connection: Connection, agent: AgentRef, subject: Subject) -> None:
    """Raises Refused while a rollout is under way or an experiment about the subject runs: units who take part would not be served what a label that is
    moved points at, and would go on being compared with what no longer serves."""
    found = rolling_out(connection, agent, subject)
    if found is not None:
        percent, version = found.steps[found.step], found.treatments[0].version
        raise Refused(
            Reason.STATE, f"The experiment {found.id} rolls out version {version} of the {subject}; it is at {percent:g} % of the traffic.",
            f"Wait for its end, or take it back: `learning-pipelines rollback {agent.agent} --kind {subject}`.",
        )  # fmt: skip
    for other in experiments.unfinished(connection, agent, subject):
        if other.status == "running":
            raise Refused(
                Reason.STATE, f"The experiment {other.id} compares versions of the {subject} now.",
                f"`learning-pipelines experiments conclude {other.id}` ends it, `experiments pause` holds it.",
            )  # fmt: skip


def end_running(connection: Connection, agent: AgentRef, subject: Subject, who: Reviewer) -> list[Experiment]:
    """Ends the ordinary experiments about the subject that run, without a verdict: a rollback has to reach those who take part too. In the caller's
    transaction, under the agent's lock."""
    ended = []
    for other in experiments.unfinished(connection, agent, subject):
        found = experiments.find(connection, agent.organization_id, other.id, lock=True)
        if found is not None and found.status == "running" and found.kind == "experiment":
            _stop(connection, agent, found, "inconclusive", f"{who.actor} rolled back what serves.", who)
            ended.append(found)
    return ended


def end_those_of(connection: Connection, agent: AgentRef, subject: Subject, version: int, who: Reviewer, why: str) -> None:
    """Ends every experiment and rollout that serves a version which may serve nobody any more. In the caller's transaction, under the agent's lock."""
    for other in experiments.unfinished(connection, agent, subject):
        found = experiments.find(connection, agent.organization_id, other.id, lock=True)
        if found is not None and version in {arm.version for arm in found.arms}:
            _stop(connection, agent, found, "inconclusive", why, who)


def _stop(connection: Connection, agent: AgentRef, experiment: Experiment, decision: Decision, reason: str, who: Reviewer) -> None:
    # Without a look at the values: an analysis that crashes must not keep anybody from ending the rollout.
    evidence = {**gathering.gathered(connection, experiment, agent, counting=False), "asked": {"decision": decision, "reason": reason}}
    status: Status = "completed" if decision == "rollback" else "cancelled"
    finishing.keep(connection, agent, experiment, decision, reason, decide(evidence), evidence, who, status=status)


def _arms(control: int, treatment: int, percent: float) -> tuple[Arm, Arm]:
    return Arm(CONTROL, control, percent / 100), Arm(TREATMENT, treatment, percent / 100)
