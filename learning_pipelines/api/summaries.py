"""Routes that show an organization where it stands: counts, datasets.

Belongs here: paths, roles, shapes. Not here: SQL (storage/summaries.py), lineage (lineage.py), weekly reports (reports.py).
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from fastapi import APIRouter
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel

from learning_pipelines.api.service import Serving, Trainer, User
from learning_pipelines.storage import summaries

router = APIRouter(tags=["overview"])


class Overview(BaseModel):
    pending_annotations: int
    approved_examples: int
    rejected_examples: int
    collected_today: int
    annotated_today: int
    dataset_versions: int
    agents: int


@router.get("/stats", response_model=Overview)
async def get_overview(who: User, service: Serving) -> dict[str, int]:
    """Counts of the organization; days begin at midnight of the service's time zone."""
    today = dt.datetime.combine(dt.datetime.now(service.settings.zone).date(), dt.time(), service.settings.zone)

    def read() -> dict[str, int]:
        with service.aggregating(who) as connection:
            return summaries.organization(connection, who.organization_id, today)

    return await run_in_threadpool(read)


class DatasetVersion(BaseModel):
    id: str
    name: str
    version: int
    status: str
    total_examples: int
    avg_quality_score: float | None
    created_at: dt.datetime


class Datasets(BaseModel):
    datasets: list[DatasetVersion]


@router.get("/datasets/{agent_id}", response_model=Datasets)
async def get_datasets(agent_id: str, who: Trainer, service: Serving) -> dict[str, Any]:
    """Every dataset version of an agent, newest first."""

    def read() -> dict[str, Any]:
        with service.acting(who) as connection:
            return {"datasets": summaries.datasets(connection, service.agent(connection, who, agent_id))}

    return await run_in_threadpool(read)
