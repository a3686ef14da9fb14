"""Routes of lineage: back from a prompt version, forward from a user or a feedback.

Belongs here: paths, roles, shapes, whose ids are shown. Not here: SQL (storage/lineage.py), notes (reports/lineage.py).

What is followed crosses tables that persons may not read: answers hold ids, counts and times of their organization, no texts, and of other people's feedback
and examples a person with role user is told the counts alone.
"""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, ConfigDict

from learning_pipelines.api.ingest import PathId
from learning_pipelines.api.problems import Problem, not_found, without_nul
from learning_pipelines.api.service import Admin, Principal, Service, Serving, User
from learning_pipelines.errors import BadInput
from learning_pipelines.prompts.registry import named_version
from learning_pipelines.reports import lineage as answers
from learning_pipelines.storage import lineage as storage
from learning_pipelines.storage import tenants

router = APIRouter(tags=["lineage"])
Limit = Annotated[int, Query(ge=0, le=answers.MOST, description="Entries of each list at most; counts are exact.")]
_RUN = "7b110c8f-9a53-4d0e-8f5b-3f0a5f2d8e1c"
_AT = "2026-11-23T02:14:00+00:00"


def _of(*items: Any, count: int | None = None, **more: Any) -> dict[str, Any]:
    return {"count": len(items) if count is None else count, "items": list(items), "more": count is not None and count > len(items), **more}


_LEARNT: dict[str, Any] = {
    "datasets": _of({"id": "d1", "name": "desk", "version": 3, "status": "ready", "seal": "9f2c", "examples": 1, "splits": {"train": 1}, "created_at": _AT}),
    "training_runs": _of({"id": _RUN, "type": "prompt_optimization", "status": "completed", "dagster_run_id": None, "created_at": _AT, "completed_at": _AT}),
    "prompts": _of({"agent": "desk", "version": 4, "inherited": False, "demonstrates": True, "created_at": _AT}),
    "indexes": _of(), "behavior": _of({"agent": "desk", "kind": "guidance", "version": 2, "created_at": _AT}), "clusters": 1, "pairs": _of(active=0),
    "tests": _of(), "proposals": _of({"id": "p1", "kind": "prompt", "state": "approved", "verdict": "better", "version": 4, "rollout": "immediate",
                                      "created_at": _AT, "reviewed_at": _AT}),
    "experiments": _of(), "notes": [answers.TRAINED, answers.AGGREGATES],
}  # fmt: skip


class Listed(BaseModel):
    """`count` is exact; `items` are the first, `more` says that there are others. Some lists have further counts."""

    model_config = ConfigDict(extra="allow")
    count: int
    items: list[Any]
    more: bool


class Learnt(BaseModel):
    """What learnt from it. `datasets`: versions that hold its examples, how many in which split. `prompts`: `inherited` from an earlier version,
    `demonstrates` one of its examples in its text. `clusters`: of corrections. `pairs`: of retrieval. `tests`: measured on it. `experiments`: serve
    one of these versions. `notes`: what cannot be told."""

    datasets: Listed
    training_runs: Listed
    prompts: Listed
    indexes: Listed
    behavior: Listed
    clusters: int
    pairs: Listed
    tests: Listed
    proposals: Listed
    experiments: Listed
    notes: list[str]


class PromptLineage(BaseModel):
    """`parents`: the versions before it, nearest first; runs, datasets, examples and feedback are those of all of them. `demonstrated`: examples whose text
    stands in it. `experiments`: with the versions of this line by variant."""

    model_config = ConfigDict(json_schema_extra={"example": {
        "agent": "desk", "version": 4, "origin": "learnt", "strategy": "few_shot", "created_at": _AT, "labels": ["production"],
        "parents": [{"version": 1, "origin": "imported", "strategy": None, "training_run_id": None, "created_at": _AT}],
        "training_runs": _LEARNT["training_runs"], "datasets": _LEARNT["datasets"], "examples": _of("e1", "e2", count=412, without_feedback=12),
        "feedback": _of("f1", "f2", count=731, people=203, later=0), "demonstrated": _of("e1"),
        "tests": _of({"id": "t1", "kind": "prompt", "k": 1, "alpha": 0.025, "verdict": "better", "training_run_id": _RUN, "created_at": _AT}),
        "proposals": _LEARNT["proposals"], "experiments": _of(), "notes": [answers.TRAINED],
    }})  # fmt: skip
    agent: str
    version: int
    origin: str
    strategy: str | None
    created_at: dt.datetime
    labels: list[str]
    parents: list[dict[str, Any]]
    training_runs: Listed
    datasets: Listed
    examples: Listed
    feedback: Listed
    demonstrated: Listed
    tests: Listed
    proposals: Listed
    experiments: Listed
    notes: list[str]


class LearntExample(BaseModel):
    example_id: str
    example_type: str
    review_status: str
    is_active: bool
    times_used_in_training: int
    datasets: list[dict[str, Any]]


_EXAMPLE: dict[str, Any] = {
    "example_id": "e1", "example_type": "correction", "review_status": "approved", "is_active": True, "times_used_in_training": 1,
    "datasets": [{"id": "d1", "name": "desk", "version": 3, "split": "train"}],
}  # fmt: skip


class FeedbackLineage(Learnt):
    """`kind`: feedback (on an answer) or retrieval_feedback. `used`: an example of it is in a dataset. `counted_in`: experiments whose metrics it counts in.
    `archived`: the row itself is gone."""

    model_config = ConfigDict(json_schema_extra={"example": {
        "feedback_id": "f1", "kind": "feedback", "execution_id": "run-1", "agent": "desk", "user": "ada", "feedback_type": "correction",
        "pending_execution": False, "created_at": _AT, "archived": False, "examples": [_EXAMPLE], "used": True, "counted_in": _of(), **_LEARNT,
    }})  # fmt: skip
    feedback_id: str
    kind: str
    execution_id: str | None
    agent: str | None
    user: str | None
    feedback_type: str | None
    pending_execution: bool
    created_at: dt.datetime | None
    archived: bool
    examples: list[LearntExample]
    used: bool
    counted_in: Listed


class PersonLineage(Learnt):
    """`examples`: that hold their words or their review, in all; `examples_by`: by why. `feedback_ids`, `example_ids`: the first. `assigned`: experiments
    they take part in."""

    model_config = ConfigDict(json_schema_extra={"example": {
        "user": "ada", "first_seen": _AT, "executions": 40, "feedback": 2, "retrieval_feedback": 0, "annotations": 0, "demonstrations": 0,
        "feedback_ids": ["f1", "f2"], "example_ids": ["e1"], "examples": 1, "examples_by": {"feedback": 1, "input": 1, "own": 0, "review": 0},
        "assigned": _of(), **_LEARNT,
    }})  # fmt: skip
    user: str
    first_seen: dt.datetime | None
    executions: int
    feedback: int
    retrieval_feedback: int
    annotations: int
    demonstrations: int
    feedback_ids: list[str]
    example_ids: list[str]
    examples: int
    examples_by: dict[str, int]
    assigned: Listed


@router.get("/lineage/prompt/{version}", response_model=PromptLineage)
async def get_prompt_lineage(
    version: Annotated[str, Path(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$", description="A number, serving, or a label.")], who: User, service: Serving,
    agent: Annotated[str | None, Query(max_length=255, description="Slug or uuid; may be left out where the organization has one agent.")] = None,
    limit: Limit = answers.SHOWN,
) -> dict[str, Any]:  # fmt: skip
    """What a prompt version was learnt from: parents, runs, datasets with their seals, examples, feedback, tests, proposals, experiments."""
    without_nul(agent=agent)

    def read() -> dict[str, Any]:
        own = who.user_id if who.kind != "key" and who.role == "user" else None
        with service.aggregating(who) as connection:
            if agent is not None:
                known = tenants.agent_by_name(connection, who.organization_id, who.organization, agent)
            else:
                known = next(iter(there), None) if len(there := tenants.agents(connection, who.organization)) == 1 else None
                if known is None:
                    raise Problem(422, "Whose prompt is meant is not clear: name the agent.", field="agent")
            if known is None:
                raise not_found("agent", "agent")
            try:
                number = named_version(connection, known, version).version
            except BadInput as error:
                raise Problem(404, str(error), field="version") from None
            found = answers.of_prompt(connection, known, number, limit=limit, own=own)
        if found is None:
            raise not_found("version", "version")
        return found

    return await run_in_threadpool(read)


@router.get("/lineage/feedback/{feedback_id}", response_model=FeedbackLineage)
async def get_feedback_lineage(feedback_id: Annotated[str, PathId], who: User, service: Serving, limit: Limit = answers.SHOWN) -> dict[str, Any]:
    """What learnt from a feedback: examples, datasets, runs, versions, proposals, experiments. A person with role user sees that of their own only."""
    return await run_in_threadpool(_of_feedback, service, who, feedback_id, limit)


def _of_feedback(service: Service, who: Principal, feedback_id: str, limit: int) -> dict[str, Any]:
    with service.acting(who) as connection:
        if not storage.sees_feedback(connection, who.organization_id, feedback_id):
            raise not_found("feedback", "feedback_id")
    with service.aggregating(who) as connection:
        found = answers.of_feedback(connection, who.organization_id, feedback_id, limit=limit)
    if found is None:
        raise not_found("feedback", "feedback_id")
    return found


@router.get("/lineage/user/{user_id}", response_model=PersonLineage)
async def get_person_lineage(user_id: Annotated[str, PathId], who: Admin, service: Serving, limit: Limit = answers.SHOWN) -> dict[str, Any]:
    """What came from one user, which examples hold their words or their review, and what learnt from it. Nothing, where nobody of the name was seen."""

    def read() -> dict[str, Any]:
        with service.acting(who) as connection:
            return answers.of_user(connection, who.organization_id, user_id, limit=limit) or _nobody(user_id)

    return await run_in_threadpool(read)


def _nobody(user: str) -> dict[str, Any]:
    counts = dict.fromkeys(("executions", "feedback", "retrieval_feedback", "annotations", "demonstrations", "examples", "clusters"), 0)
    lists = {name: _of() for name in ("datasets", "training_runs", "prompts", "indexes", "behavior", "tests", "proposals", "experiments", "assigned")}
    return {
        "user": user, "first_seen": None, "feedback_ids": [], "example_ids": [], "examples_by": {}, "pairs": _of(active=0),
        "notes": ["Nobody of this name was ever seen."], **counts, **lists,
    }  # fmt: skip
