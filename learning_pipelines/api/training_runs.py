"""Routes of training runs: what each attempt to learn measured, tried, asked models for and proposed, whether Dagster is there or not.

Belongs here: paths, role, shapes. Not here: SQL (storage/training_history.py), Dagster's runs (runs.py).
"""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Query
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, ConfigDict

from learning_pipelines.api.cursors import read_cursor, write_cursor
from learning_pipelines.api.problems import not_found
from learning_pipelines.api.service import Serving, Trainer
from learning_pipelines.storage import training_history
from learning_pipelines.storage.training_history import Wanted

router = APIRouter(tags=["runs"])
_RUN: dict[str, Any] = {
    "id": "7b110c8f-9a53-4d0e-0f5b-3f0a5f2d8e1c", "run_id": "0c8f3f0a-7b11-4d0e-9a53-5f2d8e1c0f5b", "agent": "desk", "training_type": "prompt_optimization",
    "part": None, "status": "completed", "progress": 1.0, "best_metrics": {"score": 0.83}, "error": None, "requires_review": True, "review_status": "pending",
    "review_notes": None, "created_at": "2026-11-23T02:00:00+00:00", "started_at": "2026-11-23T02:00:00+00:00", "completed_at": "2026-11-23T02:14:00+00:00",
    "requests": 612, "answers": 612, "cache_hits": 88, "input_tokens": 201334, "output_tokens": 8120, "cost_usd": 0.0,
}  # fmt: skip
_CANDIDATE: dict[str, Any] = {
    "name": "few_shot-3f0a5f2d8e1c", "strategy": "few_shot", "parent": "", "note": "4 demonstrations", "items": 40, "score": 0.85, "input_tokens": 412.5,
    "seconds": 0.4, "outcome": "finished", "winner": True, "on_front": True,
}  # fmt: skip
_EVALUATION: dict[str, Any] = {
    "version": 1, "split": "test", "metric": "exact_match", "model": "small", "items": 60, "score": 0.52, "low": 0.39, "high": 0.64, "faults": 0,
    "input_tokens": 9120, "output_tokens": 180, "seconds": 21.4,
}  # fmt: skip
_USAGE: dict[str, Any] = {
    "role": "task", "model": "small", "requests": 600, "answers": 600, "cache_hits": 88, "input_tokens": 190000, "output_tokens": 6000, "cost_usd": 0.0,
}  # fmt: skip


class TrainingRun(BaseModel):
    """An attempt to learn something; `run_id` is that of the Dagster run that took it up last. `part`: what of it, where the job learns several things.
    `cost_usd`: null where a price is not known."""

    id: str
    run_id: str | None = None
    agent: str | None = None
    training_type: str
    part: str | None = None
    status: Literal["pending", "running", "completed", "failed", "cancelled"]
    progress: float
    best_metrics: dict[str, Any]
    error: str | None = None
    requires_review: bool
    review_status: str | None = None
    review_notes: str | None = None
    created_at: dt.datetime
    started_at: dt.datetime | None = None
    completed_at: dt.datetime | None = None
    requests: int
    answers: int
    cache_hits: int
    input_tokens: int
    output_tokens: int
    cost_usd: float | None = None


class TrainingRuns(BaseModel):
    model_config = ConfigDict(json_schema_extra={"example": {"training_runs": [_RUN], "cursor": None}})
    training_runs: list[TrainingRun]
    cursor: str | None = None


class TriedCandidate(BaseModel):
    """A prompt that the search tried: mean `score` 0–1 on so many validation `items`, tokens and median seconds a call, and how it ended."""

    name: str
    strategy: str
    parent: str
    note: str
    items: int
    score: float | None = None
    input_tokens: float | None = None
    seconds: float | None = None
    outcome: str
    winner: bool
    on_front: bool


class RunEvaluation(BaseModel):
    """A prompt on the items of a split; `version` is null for a candidate."""

    version: int | None = None
    split: str
    metric: str
    model: str
    items: int
    score: float
    low: float | None = None
    high: float | None = None
    faults: int
    input_tokens: int
    output_tokens: int
    seconds: float


class RunUsage(BaseModel):
    role: str
    model: str
    requests: int
    answers: int
    cache_hits: int
    input_tokens: int
    output_tokens: int
    cost_usd: float | None = None


class WholeTrainingRun(TrainingRun):
    """`candidates`: the winner first, at most 200; `proposals`: ids of what came of it."""

    model_config = ConfigDict(
        json_schema_extra={"example": {**_RUN, "metrics": {"search": {"evaluations": 480, "compared": 14}}, "candidates": [_CANDIDATE],
                                       "evaluations": [_EVALUATION], "usage": [_USAGE], "proposals": ["5f2d8e1c-0f5b-4d0e-9a53-0c8f3f0a7b11"]}}
    )  # fmt: skip
    metrics: dict[str, Any]
    candidates: list[TriedCandidate]
    evaluations: list[RunEvaluation]
    usage: list[RunUsage]
    proposals: list[str]


@router.get("/training-runs", response_model=TrainingRuns)
async def list_training_runs(
    who: Trainer, service: Serving, agent: Annotated[str | None, Query(max_length=255)] = None,
    run_id: Annotated[list[Annotated[str, Query(pattern="^[0-9a-f-]{36}$")]] | None, Query(max_length=100, description="Only of these Dagster runs.")] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50, cursor: Annotated[str | None, Query(max_length=200)] = None,
) -> dict[str, Any]:  # fmt: skip
    """Attempts to learn something, newest first: progress, result, review, and what models were asked for."""
    position = None if cursor is None else read_cursor(cursor, UUID)

    def read() -> list[dict[str, Any]]:
        with service.acting(who) as connection:
            only = None if agent is None else service.agent(connection, who, agent, "agent").agent_id
            return training_history.page(connection, who.organization_id, Wanted(only, run_id, position), limit)

    rows = await run_in_threadpool(read)
    return {"training_runs": rows, "cursor": write_cursor(rows[-1]["created_at"], str(rows[-1]["id"])) if len(rows) == limit else None}


@router.get("/training-runs/{training_run_id}", response_model=WholeTrainingRun)
async def get_training_run(training_run_id: UUID, who: Trainer, service: Serving) -> dict[str, Any]:
    """One attempt with its candidates and their scores, its evaluations on held-out items, its use of models, and what it proposed."""

    def read() -> dict[str, Any] | None:
        with service.acting(who) as connection:
            return training_history.one(connection, who.organization_id, training_run_id)

    found = await run_in_threadpool(read)
    if found is None:
        raise not_found("training run", "training_run_id")
    return found
