"""From a proposal to what serves, and back: opening, approving, rejecting, rolling back, switching learning off and on.

Belongs here: what may be approved and what follows, each in one transaction. Not here: verdicts (the gate), SQL (storage/).

Whoever approves, rejects or rolls back holds the lock of the agent's row, so that two people at once, or one who clicks twice, do it once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal
from uuid import UUID

from learning_pipelines.errors import LearningError
from learning_pipelines.storage import audit, demonstrations, prompts, proposals
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.proposals import Proposal
from learning_pipelines.storage.tenants import AgentRef

Verdict = Literal["better", "no evidence", "worse"]
SUPERSEDED = "Superseded by a newer proposal of the same kind."
AUTOMATIC = "Approved as LEARNING_AUTO_APPROVE says."
BETTER = "better"


class Reason(StrEnum):
    """Why something is refused."""

    UNKNOWN = "unknown"
    STATE = "state"
    VALUE = "value"


class Refused(LearningError):
    """A review or rollback that is not done. Nothing was changed."""

    def __init__(self, reason: Reason, cause: str, advice: str) -> None:
        super().__init__(cause, advice)
        self.reason = reason
        self.exit_code = 1 if reason is Reason.STATE else 2


@dataclass(frozen=True, slots=True)
class Reviewer:
    """Who decides. `actor` is what the audit log calls them; `user_id` the person, where it is one."""

    actor: str
    user_id: UUID | None = None


OPERATOR, AUTO = Reviewer("operator"), Reviewer("LEARNING_AUTO_APPROVE")


@dataclass(frozen=True, slots=True)
class Reviewed:
    """What a review led to. `changed` is False where the same had been done before; `version` is the prompt version that serves now, if one was moved."""

    id: UUID
    state: str
    agent: str
    kind: str
    changed: bool
    version: int | None = None
    before: int | None = None

    def as_json(self) -> dict[str, Any]:
        return {
            "id": str(self.id), "state": self.state, "agent": self.agent, "kind": self.kind, "changed": self.changed, "version": self.version,
            "before": self.before,
        }  # fmt: skip


def open_proposal(
    connection: Connection, agent: AgentRef, *, kind: str, verdict: Verdict, subject: Mapping[str, Any], incumbent: Mapping[str, Any],
    evidence: Mapping[str, Any], training_run_id: UUID | None = None, dagster_run_id: str | None = None, auto_approve: Sequence[str] = (),
) -> UUID:  # fmt: skip
    """Stores a proposal and returns its id. An older open one of the same agent and kind is rejected: it was measured against less.

    A prompt's version gets the label candidate. Where `auto_approve` (the setting) names the kind and the verdict is better, it is
    approved at once; if approval is refused, it stays open with the reason in its notes.
    """
    with connection.transaction():
        prompts.lock_agent(connection, agent)
        for older in proposals.open_ones(connection, agent, kind):
            _close(connection, agent, older, "rejected", Reviewer("superseded"), SUPERSEDED)
        identity = proposals.add(connection, agent, kind, verdict, dict(subject), dict(incumbent), dict(evidence), training_run_id, dagster_run_id)
        proposals.await_review(connection, agent.organization_id, training_run_id)
        if kind == "prompt" and verdict == BETTER:
            prompts.move_label(connection, agent, prompts.CANDIDATE, int(subject["version"]), None)
        audit.record(
            connection, agent.organization_id, actor="pipeline", action="proposed", kind="proposal", subject=str(identity),
            fields=["kind", "subject", "verdict"], after=[kind, dict(subject), verdict],
        )  # fmt: skip
    if kind in auto_approve and verdict == BETTER:
        try:
            approve(connection, agent.organization_id, identity, "immediate", AUTO, AUTOMATIC, organization=agent.organization)
        except Refused as refused:
            proposals.note(connection, agent.organization_id, identity, f"Not approved automatically: {refused}")
    return identity


def approve(
    connection: Connection, organization_id: UUID, proposal_id: UUID, rollout: str, who: Reviewer, notes: str | None = None, *, organization: str = ""
) -> Reviewed:
    """Makes the proposed change serve, in one transaction. Approving what is approved already changes nothing and is no error.

    Raises Refused: unknown, rejected, not better, learning disabled, another incumbent than the one it was measured against, demonstrations that
    cannot be looked up, canary.
    """
    if rollout == "canary":
        raise Refused(Reason.VALUE, "A canary rollout needs experiments, which are not there yet.", "Approve with the rollout immediate.")
    if rollout != "immediate":
        raise Refused(Reason.VALUE, f"{rollout!r} is no rollout.", "There are immediate and canary.")
    with connection.transaction():
        proposal, agent, enabled = _locked(connection, organization_id, proposal_id, organization)
        if proposal.state == "approved":
            return Reviewed(proposal.id, "approved", proposal.agent, proposal.kind, False)
        _require_approvable(proposal, enabled)
        version = int(proposal.subject["version"])
        before = _require_incumbent(connection, agent, proposal, version)
        _require_servable(connection, agent, version)
        prompts.move_label(connection, agent, prompts.PRODUCTION, version, who.user_id)
        _close(connection, agent, proposal, "approved", who, notes, rollout)
        _moved(connection, agent, who, before, version)
        return Reviewed(proposal.id, "approved", proposal.agent, proposal.kind, True, version, before)


def reject(connection: Connection, organization_id: UUID, proposal_id: UUID, who: Reviewer, notes: str | None = None) -> Reviewed:
    """Ends a proposal without its change. Rejecting what is rejected already changes nothing. Raises Refused: unknown, approved."""
    with connection.transaction():
        proposal, agent, _ = _locked(connection, organization_id, proposal_id, "")
        if proposal.state == "approved":
            advice = f"`learning-pipelines rollback {proposal.agent} --kind {proposal.kind}` takes back what it made serve."
            raise Refused(Reason.STATE, "The proposal is approved already.", advice)
        if proposal.state == "open":
            _close(connection, agent, proposal, "rejected", who, notes)
        return Reviewed(proposal.id, "rejected", proposal.agent, proposal.kind, proposal.state == "open")


def rollback(connection: Connection, agent: AgentRef, who: Reviewer, kind: str = "prompt") -> Reviewed:
    """Points production back at previous. Done twice it is done once: previous stays where production now is, until production moves on.

    Raises Refused where nothing served before, and for kinds of which nothing is learnt yet.
    """
    if kind != "prompt":
        raise Refused(Reason.STATE, f"There is nothing to roll back yet: no learnt {kind} ever served.", "Only prompts are learnt so far: --kind prompt.")
    with connection.transaction():
        prompts.lock_agent(connection, agent)
        serving, target = (prompts.label_target(connection, agent, label) for label in (prompts.PRODUCTION, prompts.PREVIOUS))
        if target is None:
            there = "It has no prompt" if serving is None else f"Version {serving} is the first that serves"
            raise Refused(Reason.STATE, f"There is nothing to roll back: {there[:1].lower()}{there[1:]}.", "Nothing was changed.")
        if serving != target:
            prompts.point(connection, agent, prompts.PRODUCTION, target, who.user_id)
            _moved(connection, agent, who, serving, target, "rolled back")
        return Reviewed(agent.agent_id, "rolled_back", agent.agent, kind, serving != target, target, serving if serving != target else None)


def set_learning(connection: Connection, organization_id: UUID, agent: AgentRef | None, who: Reviewer, *, enabled: bool) -> list[str]:
    """Lets an agent (None: every agent of the organization) learn, or not. What serves stays. Returns the agents for which that is new."""
    with connection.transaction():
        changed = proposals.set_learning(connection, organization_id, None if agent is None else agent.agent_id, enabled)
        for slug in changed:
            audit.record(
                connection, organization_id, actor=who.actor, action="enabled" if enabled else "disabled", kind="agent", subject=slug,
                fields=["learning_enabled"], before=not enabled, after=enabled,
            )  # fmt: skip
    return changed


def _locked(connection: Connection, organization_id: UUID, proposal_id: UUID, organization: str) -> tuple[Proposal, AgentRef, bool]:
    """The proposal as it stands under the lock of its agent, and whether that agent may learn."""
    seen = proposals.find(connection, organization_id, proposal_id)
    if seen is None:
        raise Refused(Reason.UNKNOWN, "There is no such proposal.", "`learning-pipelines proposals` lists them.")
    agent = AgentRef(organization_id, organization, seen.agent_id, seen.agent)
    enabled = prompts.lock_agent(connection, agent)
    proposal = proposals.find(connection, organization_id, proposal_id, lock=True)
    assert proposal is not None  # proposals are never deleted while their agent is there
    return proposal, agent, enabled


def _require_approvable(proposal: Proposal, enabled: bool) -> None:
    if proposal.state == "rejected":
        why = f" ({proposal.notes})" if proposal.notes else ""
        raise Refused(Reason.STATE, f"The proposal was rejected{why}.", "Run the job again: it measures against what serves now.")
    if proposal.verdict != BETTER:
        reason = proposal.evidence.get("reason")
        said = f": {reason.rstrip('.')}" if isinstance(reason, str) and reason else ""
        raise Refused(Reason.STATE, f"The verdict of its test is {proposal.verdict!r}{said}.", "Only what tested better than what serves can be approved.")
    if proposal.kind != "prompt":
        raise Refused(Reason.STATE, f"A learnt {proposal.kind} cannot be served yet.", "Only prompts can be approved so far.")
    if not enabled:
        advice = f"`learning-pipelines enable --agent {proposal.agent}` switches it on again."
        raise Refused(Reason.STATE, f"Learning is disabled for {proposal.agent}.", advice)


def _require_incumbent(connection: Connection, agent: AgentRef, proposal: Proposal, version: int) -> int | None:
    """The version that serves, if it is the one the candidate was measured against: the same number, or the same content under another one."""
    serving = prompts.labelled(connection, agent)
    measured = int(proposal.incumbent["version"])
    if serving is not None and serving.version in (measured, version):
        return serving.version
    known = prompts.version(connection, agent, measured)
    if serving is not None and known is not None and known.content_hash == serving.content_hash:
        return serving.version
    there = "no version serves now" if serving is None else f"version {serving.version} serves now"
    raise Refused(
        Reason.STATE, f"Version {version} was measured against version {measured}, but {there}.",
        f"Run `learning-pipelines run prompt_optimization --agent {agent.agent}` to measure against what serves, or point production at {measured} again.",
    )  # fmt: skip


def _require_servable(connection: Connection, agent: AgentRef, number: int) -> None:
    """A prompt that picks demonstrations needs the vectors of the examples it picks from, or every request with an input would fail."""
    found = prompts.version(connection, agent, number)
    if found is None:
        raise Refused(Reason.STATE, f"There is no version {number} of {agent.agent}'s prompt.", "Run the job again.")
    retrieval = found.serving.get("retrieval")
    if retrieval is not None and (retrieval.get("dataset_id") is None or not demonstrations.servable(connection, agent, UUID(retrieval["dataset_id"]))):
        again = f"Run `learning-pipelines run prompt_optimization --agent {agent.agent}` again: it encodes them."
        raise Refused(Reason.STATE, f"The examples that version {number} picks demonstrations from have no vectors.", again)


def _close(
    connection: Connection, agent: AgentRef, proposal: Proposal, state: Literal["approved", "rejected"], who: Reviewer, notes: str | None,
    rollout: str | None = None,
) -> None:  # fmt: skip
    proposals.close(connection, agent.organization_id, proposal, state, rollout=rollout, reviewed_by=who.user_id, notes=notes)
    audit.record(
        connection, agent.organization_id, actor=who.actor, action=state, kind="proposal", subject=str(proposal.id),
        fields=["state", "rollout", "notes"], before=proposal.state, after=[state, rollout, notes],
    )  # fmt: skip


def _moved(connection: Connection, agent: AgentRef, who: Reviewer, before: int | None, after: int, action: str = "moved") -> None:
    audit.record(
        connection, agent.organization_id, actor=who.actor, action=action, kind="prompt_label", subject=f"{agent.agent}/{prompts.PRODUCTION}",
        fields=["version"], before=before, after=after,
    )  # fmt: skip
