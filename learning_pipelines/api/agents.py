"""The route that lists agents: what every filter of the pages offers.

Belongs here: path, role, shape. Not here: SQL (storage/summaries.py), what one agent is served (prompts.py, search.py, behavior.py).
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from fastapi import APIRouter
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel

from learning_pipelines.api.service import Serving, User
from learning_pipelines.storage import summaries

router = APIRouter(tags=["overview"])


class Agent(BaseModel):
    """`serving_prompt_version`: what GET /prompts hands out now outside experiments; None if there is no prompt."""

    agent_id: str
    agent: str
    name: str | None
    domain: str | None
    learning_enabled: bool
    serving_prompt_version: int | None
    created_at: dt.datetime


class Agents(BaseModel):
    agents: list[Agent]


@router.get("/agents", response_model=Agents)
async def get_agents(who: User, service: Serving) -> dict[str, Any]:
    """Every agent of the organization, in the order of their names."""

    def read() -> dict[str, Any]:
        with service.acting(who) as connection:
            return {"agents": summaries.agents(connection, who.organization_id)}

    return await run_in_threadpool(read)
