"""The route of suggestions: what an agent would best do next, as its experts showed.

Belongs here: path, role, parameters, shapes of answers. Not here: reading a state (behavior_query.py), suggesting (behavior/).
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, Field

from learning_pipelines.api.behavior_query import read_state
from learning_pipelines.api.experiments_serving import EXPOSURE, LONGEST_UNIT, PROBLEM, UNIT, checked
from learning_pipelines.api.service import Principal, Service, Serving, User
from learning_pipelines.behavior import suggesting
from learning_pipelines.behavior.suggesting import MOST
from learning_pipelines.behavior.task import State
from learning_pipelines.errors import LearningError, Unavailable
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.tenants import AgentRef

router = APIRouter(tags=["behavior"])
_TEXT = 16_000


class Evidence(BaseModel):
    """`agreeing` of the `nearest` demonstrated steps did this; `demonstrations`: ids of the nearest that did."""

    demonstrations: list[str] = Field(json_schema_extra={"example": ["demo-1", "demo-7"]})
    agreeing: int = Field(json_schema_extra={"example": 29})
    nearest: int = Field(json_schema_extra={"example": 32})


class SuggestedAction(BaseModel):
    """`type` `<end>`: nothing is left to do. `confidence`: how often suggestions that are as sure turn out right. `arguments`: values taken from
    where experts took theirs, in the history, the state or the task; those without such a source are left out."""

    type: str = Field(json_schema_extra={"example": "refund_order"})
    confidence: float
    arguments: dict[str, Any] = Field(json_schema_extra={"example": {"order_id": "#W1234567", "reason": "no longer needed"}})
    evidence: Evidence


class NextAction(BaseModel):
    """Likeliest first. `abstained`: the policy suggests nothing, for this `reason`. `policy`: number of the version that serves; 0: none does yet,
    and `hint` says how to get one. `disabled`: learning is switched off for the agent, nothing learnt serves it. `experiment`, `variant`: what the unit
    takes part in; null: in none."""

    agent_id: str
    suggestions: list[SuggestedAction]
    abstained: bool = Field(json_schema_extra={"example": False})
    reason: str | None = Field(json_schema_extra={"example": None})
    policy: int
    hint: str | None = Field(json_schema_extra={"example": None})
    disabled: bool = Field(False, json_schema_extra={"example": False})
    experiment: str | None = Field(json_schema_extra={"example": "5f2d8e1c-0f5b-4d0e-9a53-0c8f3f0a7b11"})
    variant: str | None = Field(json_schema_extra={"example": "treatment"})
    experiment_problem: str | None = Field(description=PROBLEM, json_schema_extra={"example": None})


@router.get("/agents/{agent_id}/next-action", response_model=NextAction)
async def get_next_action(
    agent_id: str, who: User, service: Serving,
    task: Annotated[str, Query(min_length=1, max_length=_TEXT, description="What the agent is to do, in words.")],
    task_type: Annotated[str, Query(max_length=255, description="The kind of task, as demonstrations name it.")] = "",
    state: Annotated[str | None, Query(max_length=_TEXT, description="What the agent was given: text, or a JSON object or array.")] = None,
    history: Annotated[
        str | None, Query(max_length=100_000, description='What it did so far, as JSON: [{"type": …, "arguments": …, "context": …}], oldest first.')
    ] = None,
    action: Annotated[list[str] | None, Query(max_length=1_000, description="What it did so far, by types alone; instead of history.")] = None,
    k: Annotated[int, Query(ge=1, le=MOST, description="How many suggestions at most.")] = 3,
    unit: Annotated[str | None, Query(max_length=LONGEST_UNIT, description=UNIT)] = None,
    exposure: Annotated[bool, Query(description=EXPOSURE)] = True,
) -> dict[str, Any]:  # fmt: skip
    """What the agent would best do next, by the policy that serves: learnt from its experts' demonstrations, tested and approved.

    With `unit`, while an experiment on policies runs, by the policy of the unit's variant.
    It abstains where no demonstration was in a situation like this, or where it would be wrong more often than right. No policy yet is no error.
    """
    asked = read_state(task, task_type, state, history, action or [])
    return await run_in_threadpool(_suggest, service, who, agent_id, asked, k, checked(unit), exposure)


def _suggest(service: Service, who: Principal, name: str, state: State, k: int, unit: str | None, exposure: bool) -> dict[str, Any]:
    agent = None
    if unit is not None:
        with service.acting(who) as connection:
            agent = service.agent(connection, who, name)

    def find(connection: Connection) -> AgentRef:
        return agent or service.agent(connection, who, name)

    def by(number: int | None) -> dict[str, Any]:
        return suggesting.answer(lambda: service.acting(who), find, service.policies, state, k, number=number).as_json()

    try:
        return service.experiments.served(agent, "policy", unit, exposure, by)
    except Unavailable:
        raise
    except LearningError as error:  # whatever is wrong with what serves, it is not the request
        raise Unavailable(error.cause, error.advice) from error
