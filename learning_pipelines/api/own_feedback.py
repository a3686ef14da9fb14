"""GET /feedback/mine: what the sender said about one execution and is in force, and what was learnt from it.

Belongs here: whose feedback it is, the answer's shape. Not here: what is in force (feedback/own.py), SQL (storage/).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, ConfigDict, Field

from learning_pipelines.api.problems import Problem, without_nul
from learning_pipelines.api.service import Principal, Sender, Service, Serving
from learning_pipelines.feedback import own
from learning_pipelines.reports import lineage
from learning_pipelines.storage import own_feedback, prompts, tenants
from learning_pipelines.storage.database import Connection

router = APIRouter(tags=["feedback"])


class FeedbackUse(BaseModel):
    """An approved example rests on this feedback. `dataset_version`: the newest dataset that holds it. `prompt_version`: the version that answers now, if
    it was learnt from such a dataset."""

    feedback_id: str
    facets: list[Literal["thumb", "rating", "dimensions", "issues", "correction"]]
    dataset_version: int | None
    prompt_version: int | None


class OwnFeedback(BaseModel):
    """What is in force; null or empty where nothing is. `anonymous`: the sender is nobody in particular, so nothing can be told and nothing superseded."""

    model_config = ConfigDict(json_schema_extra={"example": {
        "execution_id": "run-1", "anonymous": False, "thumb": "down", "rating": 2, "dimensions": {"accuracy": 1}, "issue_categories": ["incorrect"],
        "correction_text": "On the 12th.", "comments": 1,
        "used": [{"feedback_id": "fb-1", "facets": ["correction"], "dataset_version": 3, "prompt_version": 4}],
    }})  # fmt: skip
    execution_id: str
    anonymous: bool
    thumb: Literal["up", "down"] | None
    rating: int | None
    dimensions: dict[str, int]
    issue_categories: list[str]
    correction_text: str | None
    comments: int = Field(description="How many comments the sender wrote; their texts are not repeated.")
    used: list[FeedbackUse]


@router.get("/feedback/mine", response_model=OwnFeedback)
async def get_own_feedback(
    who: Sender, service: Serving,
    execution_id: Annotated[str | None, Query(min_length=1, max_length=255, description="May be left out with a token for one execution.")] = None,
) -> dict[str, Any]:  # fmt: skip
    """What the sender said about an execution and is in force, and what became of it. Nobody else's feedback is in it."""
    without_nul(execution_id=execution_id)
    if who.execution_id is not None and execution_id not in (None, who.execution_id):
        raise Problem(403, "This token is for another execution.", field="execution_id")
    about = execution_id or who.execution_id
    if about is None:
        raise Problem(422, "Which execution is meant must be said.", field="execution_id")
    return await run_in_threadpool(_own, service, who, about)


def _own(service: Service, who: Principal, execution_id: str) -> dict[str, Any]:
    if who.user_id is None:
        return {"execution_id": execution_id, "anonymous": True, **own.NOTHING}
    with service.acting(who) as connection:
        rows = own_feedback.newest(connection, who.organization_id, who.user_id, execution_id)
        found = own.opinion(rows, own_feedback.comments(connection, who.organization_id, who.user_id, execution_id))
    if (of := own.facets(rows)):
        with service.aggregating(who) as connection:
            found["used"] = _uses(connection, who, of)
    return {"execution_id": execution_id, "anonymous": False, **found}


def _uses(connection: Connection, who: Principal, of: dict[str, list[str]]) -> list[dict[str, Any]]:
    uses = []
    for feedback_id in sorted(own_feedback.with_examples(connection, who.organization_id, list(of))):
        led_to = lineage.of_feedback(connection, who.organization_id, feedback_id)
        if led_to is None:
            continue
        agent = None if led_to["agent"] is None else tenants.agent_by_name(connection, who.organization_id, who.organization, led_to["agent"])
        served = None if agent is None else prompts.served(connection, agent)
        uses.append(own.use(feedback_id, of[feedback_id], led_to, None if served is None else served.version))
    return [one for one in uses if one is not None]
