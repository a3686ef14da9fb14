"""From a proposal to what serves, and back: opening, approving, rejecting, rolling back, switching learning off and on.

Belongs here: what may be approved and what follows, each in one transaction. Not here: verdicts (the gate), SQL (storage/), what a change of one
kind needs and moves (prompt_change.py, index_change.py, behavior_change.py).

Whoever approves, rejects or rolls back holds the lock of the agent's row, so that two people at once, or one who clicks twice, do it once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal
from uuid import UUID

from learning_pipelines.acceptance import behavior_change, index_change, promotion, prompt_change
from learning_pipelines.acceptance.reviewing import AUTO, OPERATOR, Reason, Refused, Reviewed, Reviewer
from learning_pipelines.experiments import canary, versions
from learning_pipelines.retrieval.index import KINDS as INDEX_KINDS
from learning_pipelines.settings import Settings, load_settings
from learning_pipelines.storage import audit, prompts, proposals
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.proposals import Proposal
from learning_pipelines.storage.tenants import AgentRef

__all__ = ["OPERATOR", "Reason", "Refused", "Reviewed", "Reviewer", "approve", "open_proposal", "reject", "rollback", "set_learning"]
Verdict = Literal["better", "no evidence", "worse"]
SERVED_KINDS = ("prompt", *INDEX_KINDS, *behavior_change.SUBJECTS)
"""Kinds of proposals; what behaviour is rolled back by is the kind of the version."""
SUPERSEDED = "Superseded by a newer proposal of the same kind."
AUTOMATIC = "Approved as LEARNING_AUTO_APPROVE says."
BETTER = "better"


def open_proposal(
    connection: Connection, agent: AgentRef, *, kind: str, verdict: Verdict, subject: Mapping[str, Any], incumbent: Mapping[str, Any],
    evidence: Mapping[str, Any], training_run_id: UUID | None = None, dagster_run_id: str | None = None, auto_approve: Sequence[str] = (),
    settings: Settings | None = None,
) -> UUID:  # fmt: skip
    """Stores a proposal and returns its id. An older open one of the same agent, kind and topic is rejected: it was measured against less.

    The version gets the label candidate. Where `auto_approve` (the setting) names the kind and the verdict is better, it is
    approved at once; if approval is refused, it stays open with the reason in its notes. Raises Refused where learning was switched off while the run
    was going: nothing is stored then.
    """
    with connection.transaction():
        if not prompts.lock_agent(connection, agent):
            again = f"After `learning-pipelines enable --agent {agent.agent}` run the job again: it goes on from what it measured."
            raise Refused(Reason.STATE, f"Learning was switched off for {agent.agent} while this was measured: nothing is proposed.", again)
        for older in proposals.open_ones(connection, agent, kind):
            if behavior_change.about(older.subject) != behavior_change.about(subject):
                continue  # of another kind of behaviour, or another topic: both may be approved
            _close(connection, agent, older, "rejected", Reviewer("superseded"), SUPERSEDED)
        identity = proposals.add(connection, agent, kind, verdict, dict(subject), dict(incumbent), dict(evidence), training_run_id, dagster_run_id)
        proposals.await_review(connection, agent.organization_id, training_run_id)
        if verdict == BETTER:
            _offer(connection, agent, kind, subject)
        audit.record(
            connection, agent.organization_id, actor="pipeline", action="proposed", kind="proposal", subject=str(identity),
            fields=["kind", "subject", "verdict"], after=[kind, dict(subject), verdict],
        )  # fmt: skip
    if kind in auto_approve and verdict == BETTER:
        try:
            approve(connection, agent.organization_id, identity, "immediate", AUTO, AUTOMATIC, organization=agent.organization, settings=settings)
        except Refused as refused:
            proposals.note(connection, agent.organization_id, identity, f"Not approved automatically: {refused}")
    return identity


def approve(
    connection: Connection, organization_id: UUID, proposal_id: UUID, rollout: str, who: Reviewer, notes: str | None = None, *, organization: str = "",
    settings: Settings | None = None,
) -> Reviewed:  # fmt: skip
    """Makes the proposed change serve, in one transaction: for everybody (immediate), or for 1 % of the traffic first, where what serves stays until the
    rollout has passed its steps (canary). Approving what is approved already changes nothing and is no error.

    `settings` say where learnt files lie (None: those of this process). Raises Refused: unknown, rejected, not better, learning disabled, another
    incumbent than the one it was measured against, demonstrations, vectors or files without which it cannot be served, a rollout of the same subject, a
    canary of what serves for everybody or nobody.
    """
    if rollout not in ("immediate", "canary"):
        raise Refused(Reason.VALUE, f"{rollout!r} is no rollout.", "There are immediate and canary.")
    with connection.transaction():
        proposal, agent, enabled = _locked(connection, organization_id, proposal_id, organization)
        subject = promotion.subject_of(proposal.kind)
        if proposal.state == "approved":
            if rollout == "immediate" and proposal.rollout == "canary" and subject is not None:
                canary.require_none(connection, agent, subject)
            return Reviewed(proposal.id, "approved", proposal.agent, proposal.kind, False)
        _require_approvable(proposal, enabled)
        _close(connection, agent, proposal, "approved", who, notes, rollout)  # undone with the transaction where it cannot be served
        if rollout == "canary":
            begun = canary.begin(connection, agent, proposal, who, settings or load_settings())
            return Reviewed(proposal.id, "approved", proposal.agent, proposal.kind, True, experiment=begun.id)
        if subject is not None:
            canary.require_none(connection, agent, subject)
        version, before = _serve(connection, agent, proposal, who, settings)
        return Reviewed(proposal.id, "approved", proposal.agent, proposal.kind, True, version, before)


def _serve(connection: Connection, agent: AgentRef, proposal: Proposal, who: Reviewer, settings: Settings | None) -> tuple[int, int | None]:
    if proposal.kind == "prompt":
        return prompt_change.serve(connection, agent, int(proposal.subject["version"]), proposal.incumbent, who)
    known = settings or load_settings()
    if proposal.kind in behavior_change.SUBJECTS:
        return behavior_change.serve(connection, agent, proposal.kind, proposal.subject, proposal.incumbent, who, known)
    return index_change.serve(connection, agent, int(proposal.subject["version"]), proposal.incumbent, who, known)


def reject(connection: Connection, organization_id: UUID, proposal_id: UUID, who: Reviewer, notes: str | None = None) -> Reviewed:
    """Ends a proposal without its change. Rejecting what is rejected already changes nothing. Raises Refused: unknown, approved."""
    with connection.transaction():
        proposal, agent, _ = _locked(connection, organization_id, proposal_id, "")
        if proposal.state == "approved":
            raise Refused(Reason.STATE, "The proposal is approved already.", f"`{_way_back(proposal)}` takes back what it made serve.")
        if proposal.state == "open":
            _close(connection, agent, proposal, "rejected", who, notes)
        return Reviewed(proposal.id, "rejected", proposal.agent, proposal.kind, proposal.state == "open")


def rollback(
    connection: Connection, agent: AgentRef, who: Reviewer, kind: str = "prompt", *, topic: str | None = None, settings: Settings | None = None
) -> Reviewed:
    """Makes what served before serve again: of the prompt (kind prompt), of the whole index (index, or any kind that changes it), or of one kind of
    behaviour, of one topic where it has several.

    While a rollout of the same brings something new, that is what is taken back, at once and for everybody, and no label moves. Experiments of the same end,
    so that it reaches those who take part too. Done twice it is done once: previous stays where it is until something else is approved. Raises Refused
    where nothing served before.
    """
    of_behavior = next((known for known in behavior_change.KINDS if known == kind), None)
    if kind not in SERVED_KINDS and of_behavior is None:
        raise Refused(Reason.VALUE, f"{kind!r} is nothing that is learnt.", f"There are prompt, index, {', '.join(behavior_change.KINDS)}.")
    if topic is not None and of_behavior is None:
        raise Refused(Reason.VALUE, f"An agent has one {kind}, of no topic.", f"Topics are for {', '.join(behavior_change.KINDS)}.")
    with connection.transaction():
        prompts.lock_agent(connection, agent)
        if (ended := _without_rollout(connection, agent, who, kind)) is not None:
            return ended
        subject = promotion.subject_of(kind)
        over = [] if subject is None else canary.end_running(connection, agent, subject, who)
        try:
            version, before = _take_back(connection, agent, who, kind, topic, settings)
        except Refused:
            if subject is None or not over:
                raise
            version, before = versions.serving(connection, agent, subject), None  # with its experiment something was taken back
        ended_last = over[-1].id if over else None
        return Reviewed(agent.agent_id, "rolled_back", agent.agent, kind, before is not None or bool(over), version, before, ended_last)


def _take_back(
    connection: Connection, agent: AgentRef, who: Reviewer, kind: str, topic: str | None, settings: Settings | None
) -> tuple[int | None, int | None]:  # fmt: skip
    if kind == "prompt":
        return prompt_change.take_back(connection, agent, who)
    of_behavior = next((known for known in behavior_change.KINDS if known == kind), None)
    if of_behavior is not None:
        return behavior_change.take_back(connection, agent, who, of_behavior, topic, settings or load_settings())
    return index_change.take_back(connection, agent, who, settings or load_settings())


def _without_rollout(connection: Connection, agent: AgentRef, who: Reviewer, kind: str) -> Reviewed | None:
    """What a rollback comes to where it meets a rollout, or follows one that was rolled back a moment ago; None: neither."""
    subject = promotion.subject_of(kind)
    if subject is None:
        return None
    running = canary.rolling_out(connection, agent, subject)
    if running is not None:
        canary.take_back(connection, agent, running, who)
        treatment = running.treatments[0].version
        return Reviewed(agent.agent_id, "rolled_back", agent.agent, kind, True, running.control.version, treatment, running.id)
    over = canary.just_taken_back(connection, agent, subject)
    if over is None:
        return None
    return Reviewed(agent.agent_id, "rolled_back", agent.agent, kind, False, versions.serving(connection, agent, subject), None, over.id)


def set_learning(connection: Connection, organization_id: UUID, agent: AgentRef | None, who: Reviewer, *, enabled: bool) -> list[str]:
    """Lets an agent (None: every agent of the organization) learn and be served by what was learnt, or not. No label moves: what served before it was
    switched off serves again when it is switched on. Returns the agents for which that is new."""
    with connection.transaction():
        changed = proposals.set_learning(connection, organization_id, None if agent is None else agent.agent_id, enabled)
        for slug in changed:
            audit.record(
                connection, organization_id, actor=who.actor, action="enabled" if enabled else "disabled", kind="agent", subject=slug,
                fields=["learning_enabled"], before=not enabled, after=enabled,
            )  # fmt: skip
    return changed


def _offer(connection: Connection, agent: AgentRef, kind: str, subject: Mapping[str, Any]) -> None:
    if kind in behavior_change.SUBJECTS:
        behavior_change.offer(connection, agent, kind, subject)
    else:
        (prompt_change if kind == "prompt" else index_change).offer(connection, agent, int(subject["version"]))


def _way_back(proposal: Proposal) -> str:
    if proposal.kind in behavior_change.SUBJECTS:
        return behavior_change.rollback_of(proposal.agent, proposal.subject)
    return f"learning-pipelines rollback {proposal.agent} --kind {'index' if proposal.kind in INDEX_KINDS else proposal.kind}"


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
    if not enabled:
        advice = f"`learning-pipelines enable --agent {proposal.agent}` switches it on again."
        raise Refused(Reason.STATE, f"Learning is disabled for {proposal.agent}.", advice)


def _close(
    connection: Connection, agent: AgentRef, proposal: Proposal, state: Literal["approved", "rejected"], who: Reviewer, notes: str | None,
    rollout: str | None = None,
) -> None:  # fmt: skip
    proposals.close(connection, agent.organization_id, proposal, state, rollout=rollout, reviewed_by=who.user_id, notes=notes)
    audit.record(
        connection, agent.organization_id, actor=who.actor, action=state, kind="proposal", subject=str(proposal.id),
        fields=["state", "rollout", "notes"], before=proposal.state, after=[state, rollout, notes],
    )  # fmt: skip
