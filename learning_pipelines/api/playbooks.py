"""The route of playbooks: how an agent's tasks are done, in plain language and as a flow, with the evidence behind each step.

Belongs here: path, roles, shapes of answers. Not here: playbooks themselves (behavior/playbooks/).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, ConfigDict

from learning_pipelines.api.service import Serving, User
from learning_pipelines.behavior.playbooks.registry import playbooks, told
from learning_pipelines.storage import tenants

router = APIRouter(tags=["behavior"])
_SHARE = {"count": 34, "of": 40, "low": 0.71, "high": 0.93}
_WAY = {"next": "refund_order", **_SHARE, "demonstrations": 34, "experts": 2, "evidence": ["demo-1", "demo-2"]}
_STEP = {
    "type": "look_up_order", "support": {"count": 40, "of": 40, "low": 0.91, "high": 1.0}, "experts": 3, "evidence": ["demo-1", "demo-2"],
    "branches": [{"when": ["task says", "refund"], "ways": [_WAY]}, {"when": None, "ways": [{**_WAY, "next": "<end>", "count": 6, "of": 6}]}],
    "arguments": [{"key": "order_id", "given": _SHARE, "constant": False, "values": [], "source": "task"}], "contested": None,
}  # fmt: skip
_PLAYBOOK: dict[str, Any] = {
    "task_type": "refund", "version": 3, "against": 0, "created_at": "2026-11-23T04:10:00+00:00",
    "accuracy": {"playbook": 0.81, "before": 0.34, "held_out": 60}, "demonstrations": 120, "experts": 3, "lengths": [2, 3, 4], "failures": 12,
    "steps": [_STEP],
    "avoid": [{"how": "omitted", "types": ["check_policy"], "failed": {**_SHARE, "of": 40}, "succeeded": {**_SHARE, "count": 2}, "q": 0.003, "sure": True,
               "evidence": ["demo-9"]}],
    "seldom": [["escalate", 1]], "text": "Playbook: refund …", "markdown": "# Playbook: refund …",
    "mermaid": 'flowchart TD\n    n0(["begin"])\n    n1["look_up_order"]\n    n0 -->|"40 of 40"| n1\n',
}  # fmt: skip


class Accuracy(BaseModel):
    """Of the steps of held-out demonstrations what was advised rightly, 0–1: by the playbook, and by what served before."""

    playbook: float | None
    before: float | None
    held_out: int | None


class Playbook(BaseModel):
    """`against`: the version it was measured against, 0 for always the most frequent action. `steps`: the beginning (type "<start>") first; each branch
    says when it holds and what came next, so many times of so many. `lengths`: quartiles of the number of steps. `mermaid`: source of a flowchart."""

    task_type: str
    version: int
    against: int
    created_at: str
    accuracy: Accuracy
    demonstrations: int
    experts: int
    lengths: list[int]
    failures: int
    steps: list[dict[str, Any]]
    avoid: list[dict[str, Any]]
    seldom: list[list[Any]]
    text: str
    markdown: str
    mermaid: str


class Playbooks(BaseModel):
    """In the order of task types; [] where none serves. `disabled`: learning is switched off for the agent, so none does."""

    model_config = ConfigDict(json_schema_extra={"example": {"playbooks": [_PLAYBOOK], "disabled": False}})
    playbooks: list[Playbook]
    disabled: bool = False


@router.get("/agents/{agent_id}/playbooks", response_model=Playbooks)
async def get_playbooks(
    agent_id: str, who: User, service: Serving,
    version: Annotated[Literal["serving", "candidate"], Query(description="Those that serve, or (role trainer) those that were proposed last.")] = "serving",
    task_type: Annotated[str | None, Query(max_length=255, description="Only of this task type; '' of tasks without one.")] = None,
) -> dict[str, Any]:  # fmt: skip
    """The agent's playbooks in plain language, with counts, intervals and the demonstrations behind each step, and a flowchart of each."""
    if version == "candidate":
        who.require("trainer")

    def read() -> dict[str, Any]:
        with service.acting(who) as connection:
            agent = service.agent(connection, who, agent_id)
            found = [told(one) for one in playbooks(connection, agent, version, task_type)]
            return {"playbooks": found, "disabled": tenants.switched_off(connection, agent.organization_id, agent.agent_id)}

    return await run_in_threadpool(read)
