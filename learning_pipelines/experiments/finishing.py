"""The end of an experiment in one transaction: what serves from now on, its own row, its decision with the evidence, proposal, training run, audit.

Belongs here: carrying a decision out. Not here: making it (decision.py), beginning a rollout (canary.py), moving labels (acceptance/promotion.py).

Everything is part of the caller's transaction, under the locks of the agent's and the experiment's rows: whatever fails in the middle leaves everything as
it was. With the end of its experiment nobody is served a variant any more: everybody gets what serves.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from learning_pipelines.acceptance import promotion
from learning_pipelines.acceptance.reviewing import Reason, Refused, Reviewer
from learning_pipelines.experiments.decision import Outcome
from learning_pipelines.settings import Settings
from learning_pipelines.storage import audit, behavior_versions, experiments, indexes, prompts, proposals, training_runs
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.experiment_rows import Arm, Decision, Experiment, Status
from learning_pipelines.storage.proposals import Proposal
from learning_pipelines.storage.tenants import AgentRef


def adopt(
    connection: Connection, agent: AgentRef, experiment: Experiment, variant: str, outcome: Outcome, evidence: Mapping[str, Any], who: Reviewer,
    settings: Settings,
) -> tuple[int, int | None]:  # fmt: skip
    """(version that serves now, version before): the variant's version takes the place of what serves, for everybody.

    Raises Refused: unknown variant, something else serves than the control was, what the version needs is gone.
    """
    arm = arm_of(experiment, variant)
    proposal = _proposal(connection, experiment, agent)
    incumbent = proposal.incumbent if proposal is not None else promotion.as_served(connection, agent, experiment.subject, experiment.control.version)
    served = promotion.serve(connection, agent, experiment.subject, arm.version, incumbent, who, settings)
    if proposal is not None:
        proposals.note(connection, agent.organization_id, proposal.id, " ".join(part for part in (proposal.notes, outcome.reason) if part))
    _end(connection, agent, experiment, "completed", "adopt_treatment", outcome.reason, evidence, outcome, who, winner="treatment", adopted=arm)
    return served


def keep(
    connection: Connection, agent: AgentRef, experiment: Experiment, decision: Decision, reason: str, outcome: Outcome, evidence: Mapping[str, Any],
    who: Reviewer, *, status: Status = "completed",
) -> None:  # fmt: skip
    """Ends it with what serves: `decision` keep_control, rollback or inconclusive. The proposal of a rollout is rejected with the reason where harm was
    seen; without harm it is open again."""
    proposal = _proposal(connection, experiment, agent)
    if proposal is not None:
        _release(connection, agent, proposal, decision, reason, who)
    winner = "control" if decision in ("keep_control", "rollback") else None
    _end(connection, agent, experiment, status, decision, reason, evidence, outcome, who, winner=winner)


def arm_of(experiment: Experiment, variant: str) -> Arm:
    """The treatment of this name. Raises Refused where there is none."""
    found = next((arm for arm in experiment.treatments if arm.variant == variant), None)
    if found is None:
        names = ", ".join(arm.variant for arm in experiment.treatments)
        raise Refused(Reason.VALUE, f"{variant!r} is no treatment of the experiment.", f"There are {names}.")
    return found


def _end(
    connection: Connection, agent: AgentRef, experiment: Experiment, status: Status, decision: Decision, reason: str, evidence: Mapping[str, Any],
    outcome: Outcome, who: Reviewer, *, winner: str | None, adopted: Arm | None = None,
) -> None:  # fmt: skip
    organization = agent.organization_id
    stored = {**evidence, "outcome": outcome.as_json()}
    experiments.end_epoch(connection, organization, experiment.id)
    experiments.set_status(connection, organization, experiment.id, status)
    treatment = adopted or experiment.treatments[0]
    shown = outcome.numbers.get(treatment.variant)
    experiments.conclude(
        connection, organization, experiment.id, decision, winner, reason, _of_arm(shown, "control"),
        _of_arm(shown, "treatment") | {"variant": treatment.variant}, None if shown is None else float(shown["p"]),
    )  # fmt: skip
    experiments.add_decision(connection, organization, experiment.id, decision, final=True, reason=reason, evidence=stored, decided_by=who.actor)
    for arm in experiment.treatments:
        _tell_training_run(connection, agent, experiment, arm, decision if adopted is None or arm is adopted else "keep_control", outcome)
    audit.record(
        connection, organization, actor=who.actor, action="concluded", kind="experiment", subject=f"{agent.agent}/{experiment.id}",
        fields=["status", "decision", "winner"], before=experiment.status, after=[status, decision, None if adopted is None else adopted.variant],
    )  # fmt: skip


def _release(connection: Connection, agent: AgentRef, proposal: Proposal, decision: Decision, reason: str, who: Reviewer) -> None:
    organization = agent.organization_id
    newer = [one for one in proposals.open_ones(connection, agent, proposal.kind) if one.id != proposal.id]
    if decision != "inconclusive" or newer:
        notes = f"Rolled back. {reason}" if decision != "inconclusive" else f"A newer proposal of the same kind is open. {reason}"
        proposals.close(connection, organization, proposal, "rejected", rollout="canary", reviewed_by=who.user_id, notes=notes)
        state = "rejected"
    else:
        proposals.reopen(connection, organization, proposal, f"Its rollout ended without an answer. {reason}")
        state = "open"
    audit.record(
        connection, organization, actor=who.actor, action="rolled back" if decision == "rollback" else "ended", kind="proposal", subject=str(proposal.id),
        fields=["state", "notes"], before=proposal.state, after=[state, reason],
    )  # fmt: skip


def _proposal(connection: Connection, experiment: Experiment, agent: AgentRef) -> Proposal | None:
    return None if experiment.proposal_id is None else proposals.find(connection, agent.organization_id, experiment.proposal_id, lock=True)


def _tell_training_run(connection: Connection, agent: AgentRef, experiment: Experiment, arm: Arm, decision: Decision, outcome: Outcome) -> None:
    """What became of a learnt version on live traffic goes to the run that learnt it."""
    run = (
        getattr(prompts.version(connection, agent, arm.version), "training_run_id", None) if experiment.subject == "prompt"
        else getattr(indexes.version(connection, agent, arm.version), "training_run_id", None) if experiment.subject == "index"
        else getattr(behavior_versions.version(connection, agent, "policy", arm.version), "training_run_id", None)
    )  # fmt: skip
    if run is not None:
        said = {"id": str(experiment.id), "variant": arm.variant, "version": arm.version, "decision": decision, "numbers": outcome.numbers.get(arm.variant)}
        training_runs.told(connection, agent, run, {"experiment": said})


def _of_arm(shown: Mapping[str, Any] | None, arm: str) -> dict[str, Any]:
    return {} if shown is None else {"metric": shown["metric"], "n": shown[f"n_{arm}"], "mean": shown[f"mean_{arm}"]}
