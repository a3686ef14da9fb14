"""The route that says what serves for an agent now, part by part.

Belongs here: path, role, shape. Not here: what is handed out to applications (served.py), changing it (proposals.py).
"""

from __future__ import annotations

from typing import Any, Literal

from fastapi import APIRouter
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, ConfigDict, Field

from learning_pipelines.acceptance import served_parts
from learning_pipelines.api.service import Serving, Trainer

router = APIRouter(tags=["proposals"])
_PART: dict[str, Any] = {
    "kind": "prompt", "topic": "", "serves": 4, "labelled": 4, "candidate": 4, "previous": 1, "rollback_to": 1, "moved_at": "2026-11-23T08:30:00+00:00",
}  # fmt: skip
_EXPERIMENT: dict[str, Any] = {
    "id": "5f2d8e1c-0f5b-4d0e-9a53-0c8f3f0a7b11", "name": "rollout of index 2 in the place of 0", "kind": "rollout", "subject": "index", "state": "running",
    "percent": 5.0, "arms": [{"variant": "control", "version": 0, "weight": 0.05}, {"variant": "treatment", "version": 2, "weight": 0.05}],
}  # fmt: skip


class ServedPart(BaseModel):
    """`serves`: what is handed out now outside experiments (0: the base index, nothing learnt; null: there is no prompt). `labelled`: what serves while
    learning is on. `rollback_to`: what a rollback makes serve; null: there is nothing to take back."""

    kind: Literal["prompt", "index", "policy", "playbook", "rules", "guidance", "fine_tune"]
    topic: str = Field(description="Of behaviour: which of several (a task type); '' where an agent has one.")
    serves: int | None = None
    labelled: int | None = None
    candidate: int | None = None
    previous: int | None = None
    rollback_to: int | None = None
    moved_at: str | None = None


class ServedArm(BaseModel):
    variant: str
    version: int
    weight: float


class ServedExperiment(BaseModel):
    """One that runs or is paused. `percent`: of a rollout, the share of the traffic that it has reached."""

    id: str
    name: str
    kind: str
    subject: str
    state: str
    percent: float | None = None
    arms: list[ServedArm]


class AgentServing(BaseModel):
    model_config = ConfigDict(
        json_schema_extra={"example": {"agent": "desk", "learning_enabled": True, "model": "small", "parts": [_PART], "experiments": [_EXPERIMENT]}}
    )
    agent: str
    learning_enabled: bool
    model: str | None = Field(default=None, description="The model the agent was imported with; null where none is named.")
    parts: list[ServedPart]
    experiments: list[ServedExperiment]


@router.get("/agents/{agent_id}/serving", response_model=AgentServing)
async def get_serving(agent_id: str, who: Trainer, service: Serving) -> dict[str, Any]:
    """What serves for the agent by kind and topic, what a rollback of each would bring back, and which rollouts and experiments are under way."""

    def read() -> dict[str, Any]:
        with service.sessions.acting(who.acting.for_experiments()) as connection:
            return served_parts.shown(connection, service.agent(connection, who, agent_id))

    return await run_in_threadpool(read)
