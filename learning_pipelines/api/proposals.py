"""Routes of proposals: what may be approved, the review, rolling back, switching learning off and on.

Belongs here: paths, roles, shapes. Not here: which refusal is which status (transactions.py), what may be approved (acceptance/approval.py).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal, TypeVar
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from learning_pipelines.acceptance import approval
from learning_pipelines.acceptance.contents import contents
from learning_pipelines.api.principals import Principal
from learning_pipelines.api.problems import not_found
from learning_pipelines.api.service import Admin, PersonName, Service, Serving, Trainer
from learning_pipelines.api.transactions import decided, reviewer
from learning_pipelines.storage import proposals
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.tenants import AgentRef

router = APIRouter(tags=["proposals"])
State = Literal["open", "approved", "rejected"]
_ID = "5f2d8e1c-0f5b-4d0e-9a53-0c8f3f0a7b11"
T = TypeVar("T")


class Proposal(BaseModel):
    """A change with the verdict of its test. `subject` and `incumbent` name what was compared ({version}, of the index with what the version answers
    by, of behaviour with its kind and topic; version 0 is the base index, or nothing learnt); `run_id` is Dagster's."""

    id: str
    kind: str
    agent: str
    verdict: str
    state: State
    run_id: str | None
    subject: dict[str, Any]
    incumbent: dict[str, Any]
    evidence: dict[str, Any]
    training_run_id: str | None
    rollout: str | None
    notes: str | None
    created_at: str
    reviewed_at: str | None


_PROPOSAL: dict[str, Any] = {
    "id": _ID, "kind": "prompt", "agent": "desk", "verdict": "better", "state": "approved", "run_id": "0c8f3f0a-7b11-4d0e-9a53-5f2d8e1c0f5b",
    "subject": {"version": 4}, "incumbent": {"version": 1}, "evidence": {"difference": 0.31, "low": 0.17, "high": 0.45, "n": 60},
    "training_run_id": "7b110c8f-9a53-4d0e-0f5b-3f0a5f2d8e1c", "rollout": "immediate", "notes": "Reads well.",
    "created_at": "2026-11-23T02:14:00+00:00", "reviewed_at": "2026-11-23T08:30:00+00:00",
}  # fmt: skip


class Proposals(BaseModel):
    model_config = ConfigDict(json_schema_extra={"example": {"proposals": [_PROPOSAL]}})
    proposals: list[Proposal]


class Contents(BaseModel):
    """What both sides hold, by the proposal's kind (messages of a prompt, configuration of an index, text of a playbook …); null for nothing learnt.
    `metric`: what the scores of the evidence are."""

    metric: str
    candidate: dict[str, Any] | None = None
    incumbent: dict[str, Any] | None = None


class WholeProposal(Proposal):
    model_config = ConfigDict(json_schema_extra={"example": {**_PROPOSAL, "contents": {
        "metric": "exact_match", "candidate": {"messages": [{"role": "system", "content": "You answer briefly."}]},
        "incumbent": {"messages": [{"role": "system", "content": "You answer."}]},
    }}})  # fmt: skip
    contents: Contents


class Review(BaseModel):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"approve": True, "rollout": "immediate", "notes": "Reads well."}})
    approve: bool
    rollout: Literal["immediate", "canary"] = "immediate"
    notes: Annotated[str | None, Field(max_length=10_000, pattern=r"^[^\x00]*$")] = None
    user: PersonName | None = None


class Rollback(BaseModel):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"kind": "prompt"}})
    kind: Literal["prompt", "index", "policy", "playbook", "rules", "guidance", "fine_tune"] = "prompt"
    topic: Annotated[str | None, Field(max_length=255, pattern=r"^[^\x00]*$", description="Of behaviour: which of several (a task type).")] = None
    user: PersonName | None = None


class OnBehalf(BaseModel):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {}})
    user: PersonName | None = None


class Changed(BaseModel):
    """`changed` is false where the same had been done before. `version` serves now, `before` did until then (0: the base index, or nothing
    learnt). `experiment`: the rollout in steps that was begun, or that the rollback ended."""

    id: str
    state: str
    agent: str
    kind: str
    changed: bool
    version: int | None
    before: int | None
    experiment: str | None = None


class Learning(BaseModel):
    """`agents`: those for which it is new."""

    id: str
    state: Literal["enabled", "disabled"]
    agents: list[str]


@router.get("/proposals", response_model=Proposals)
async def list_proposals(
    who: Trainer, service: Serving, state: Annotated[State | None, Query()] = None, agent: Annotated[str | None, Query(max_length=255)] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 1000,
) -> dict[str, Any]:  # fmt: skip
    """What may be approved and what was decided, newest first."""

    def read(connection: Connection) -> dict[str, Any]:
        only = None if agent is None else service.agent(connection, who, agent, "agent").agent_id
        return {"proposals": [one.as_json() for one in proposals.listed(connection, who.organization_id, agent_id=only, state=state, limit=limit)]}

    return await _decided(service, who, read, changes=False)


@router.get("/proposals/{proposal_id}", response_model=WholeProposal)
async def get_proposal(proposal_id: UUID, who: Trainer, service: Serving) -> dict[str, Any]:
    """One proposal with what the candidate and what it was measured against hold."""

    def read(connection: Connection) -> dict[str, Any]:
        found = proposals.find(connection, who.organization_id, proposal_id)
        if found is None:
            raise not_found("proposal", "proposal_id")
        agent = AgentRef(who.organization_id, who.organization, found.agent_id, found.agent)
        return {**found.as_json(), "contents": contents(connection, agent, found)}

    return await _decided(service, who, read, changes=False)


@router.post("/proposals/{proposal_id}/review", response_model=Changed)
async def review_proposal(proposal_id: UUID, body: Review, who: Admin, service: Serving) -> dict[str, Any]:
    """Approves or rejects. Immediate: what it proposes serves everybody at once. Canary (prompts, indexes, policies): an experiment brings it to 1, 5, 25,
    50 and 100 % of the traffic, with a look at harm every hour; harm takes it back.

    Repeating a decision changes nothing; deciding otherwise afterwards is a conflict."""
    who = who.speaking_for(body.user)

    def work(connection: Connection) -> dict[str, Any]:
        if body.approve:
            return approval.approve(
                connection, who.organization_id, proposal_id, body.rollout, reviewer(who), body.notes, settings=service.settings
            ).as_json()
        return approval.reject(connection, who.organization_id, proposal_id, reviewer(who), body.notes).as_json()

    return await _decided(service, who, work)


@router.post("/agents/{agent_id}/rollback", response_model=Changed)
async def roll_back(agent_id: str, who: Admin, service: Serving, body: Rollback | None = None) -> dict[str, Any]:
    """What served before serves again, for every client within a second; where a canary rollout brings something new, that is what is taken back.

    Doing it twice is doing it once. `id` is the agent's."""
    asked = body or Rollback()
    who = who.speaking_for(asked.user)

    def work(connection: Connection) -> dict[str, Any]:
        agent = service.agent(connection, who, agent_id)
        return approval.rollback(connection, agent, reviewer(who), asked.kind, topic=asked.topic, settings=service.settings).as_json()

    return await _decided(service, who, work, "agent_id")


@router.post("/agents/{agent_id}/disable", response_model=Learning)
async def disable(agent_id: str, who: Admin, service: Serving, body: OnBehalf | None = None) -> dict[str, Any]:
    """Switches learning off, seen by every client within a second: the base prompt and the base index serve, nothing learnt, no experiments; runs of its
    jobs end skipped and nothing is proposed or approved. No label moves, so `enable` brings everything back as it was."""
    return await _switched(agent_id, who, service, body, enabled=False)


@router.post("/agents/{agent_id}/enable", response_model=Learning)
async def enable(agent_id: str, who: Admin, service: Serving, body: OnBehalf | None = None) -> dict[str, Any]:
    """The agent learns again, and what served before `disable` serves again."""
    return await _switched(agent_id, who, service, body, enabled=True)


async def _switched(agent_id: str, who: Principal, service: Service, body: OnBehalf | None, *, enabled: bool) -> dict[str, Any]:
    who = who.speaking_for(None if body is None else body.user)

    def work(connection: Connection) -> dict[str, Any]:
        agent = service.agent(connection, who, agent_id)
        changed = approval.set_learning(connection, who.organization_id, agent, reviewer(who), enabled=enabled)
        return {"id": str(agent.agent_id), "state": "enabled" if enabled else "disabled", "agents": changed}

    return await _decided(service, who, work, "agent_id")


async def _decided(service: Service, who: Principal, work: Callable[[Connection], T], named: str = "proposal_id", *, changes: bool = True) -> T:
    return await decided(service, who.acting, work, named, changes=changes)
