"""Routes that show an organization where it stands: counts, datasets, weekly reports, lineage.

Belongs here: paths, roles, shapes. Not here: SQL (storage/summaries.py).
"""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any

from fastapi import APIRouter, Path
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel

from learning_pipelines.api.ingest import PathId
from learning_pipelines.api.problems import Problem, not_found
from learning_pipelines.api.service import Admin, Serving, Trainer, User
from learning_pipelines.errors import BadInput
from learning_pipelines.feedback.identity import user_id as user_id_of
from learning_pipelines.reports.week import parse_week
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


@router.get("/reports/{week}", response_model=dict[str, Any])
async def get_report(week: Annotated[str, Path(examples=["2026-W47"])], who: User, service: Serving) -> dict[str, Any]:
    """The numbers of a closed week, as the weekly job stored them."""
    try:
        monday = parse_week(week)
    except BadInput as error:
        raise Problem(422, str(error), field="week") from None

    def read() -> dict[str, Any]:
        with service.acting(who) as connection:
            found = summaries.report(connection, who.organization_id, monday)
        if found is None:
            raise Problem(404, f"There is no report of {week} yet: the job learning_report makes it after the week has ended.", field="week")
        return found

    return await run_in_threadpool(read)


class LearntExample(BaseModel):
    example_id: str
    example_type: str
    review_status: str
    is_active: bool
    times_used_in_training: int
    datasets: list[dict[str, Any]]


class FeedbackLineage(BaseModel):
    """`used`: an approved example of it is in a dataset."""

    feedback_id: str
    execution_id: str
    agent: str
    user: str | None
    feedback_type: str
    pending_execution: bool
    created_at: dt.datetime
    examples: list[LearntExample]
    used: bool


@router.get("/lineage/feedback/{feedback_id}", response_model=FeedbackLineage)
async def get_feedback_lineage(feedback_id: Annotated[str, PathId], who: User, service: Serving) -> dict[str, Any]:
    """Where a feedback led: examples, their review, datasets. A person with role user sees their own feedback only."""

    def read() -> dict[str, Any]:
        with service.acting(who) as connection:
            found = summaries.feedback(connection, who.organization_id, feedback_id)
        if found is None:
            raise not_found("feedback", "feedback_id")
        with service.aggregating(who) as connection:  # ids and states of examples that this feedback supports, no text
            examples = summaries.learnt_from(connection, who.organization_id, feedback_id)
        return {**found, "examples": examples, "used": any(example["datasets"] for example in examples)}

    return await run_in_threadpool(read)


class PersonLineage(BaseModel):
    user: str
    executions: int
    feedback: int
    retrieval_feedback: int
    annotations: int
    demonstrations: int
    feedback_ids: list[str]
    example_ids: list[str]


@router.get("/lineage/user/{user_id}", response_model=PersonLineage)
async def get_person_lineage(user_id: Annotated[str, PathId], who: Admin, service: Serving) -> dict[str, Any]:
    """What came from one user, and which examples hold their words."""

    def read() -> dict[str, Any]:
        with service.acting(who) as connection:
            return {"user": user_id, **summaries.person(connection, who.organization_id, user_id_of(who.organization_id, user_id))}

    return await run_in_threadpool(read)
