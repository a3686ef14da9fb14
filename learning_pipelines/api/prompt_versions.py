"""Routes that show the versions of an agent's prompt: all of them with their scores, one with its messages.

Belongs here: paths, role, shapes. Not here: what serves, writing versions, labels (prompts.py).
"""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, ConfigDict, Field

from learning_pipelines.api.problems import Problem, not_found
from learning_pipelines.api.service import Serving, Trainer
from learning_pipelines.prompts.prompt import from_stored
from learning_pipelines.storage import prompts

router = APIRouter(tags=["prompts"])
_SCORES = {"score": 0.83, "test": {"n": 60, "score": 0.83, "incumbent": 0.52, "difference": 0.31, "low": 0.17, "high": 0.45, "verdict": "better"}}
_VERSION: dict[str, Any] = {
    "version": 4, "labels": ["production"], "strategy": "few_shot", "score": 0.83, "verdict": "better", "origin": "learnt", "parent": 1, "model": None,
    "dataset_version": 3, "training_run_id": "7b110c8f-9a53-4d0e-0f5b-3f0a5f2d8e1c", "scores": _SCORES, "created_at": "2026-11-23T02:14:00+00:00",
}  # fmt: skip
Number = Annotated[int, Path(ge=1, le=2_147_483_647)]


class ListedVersion(BaseModel):
    """`labels` point at it now; `score` 0–1 on held-out items and `verdict` of its newest test, null where it was put to none; `parent`: the version it
    came from."""

    version: int
    labels: list[str]
    strategy: str | None = None
    score: float | None = None
    verdict: str | None = None
    origin: Literal["imported", "written", "learnt", "erasure"]
    parent: int | None = None
    model: str | None = None
    dataset_version: int | None = None
    training_run_id: str | None = None
    scores: dict[str, Any]
    created_at: dt.datetime


class ListedVersions(BaseModel):
    model_config = ConfigDict(json_schema_extra={"example": {"versions": [_VERSION]}})
    versions: list[ListedVersion]


class ShownMessage(BaseModel):
    role: str
    content: str


class ShownDemonstration(BaseModel):
    input: str
    output: str


class ShownRetrieval(BaseModel):
    """`k` approved examples nearest to the input, of the dataset version with this id, are shown with each input."""

    k: int
    dataset_id: str | None = None
    agreeing: bool


_WHOLE: dict[str, Any] = {
    **{name: value for name, value in _VERSION.items() if name not in ("score", "verdict", "dataset_version")},
    "messages": [{"role": "system", "content": "You answer clients of {{firm}}."}, {"role": "user", "content": "Where is my order?"},
                 {"role": "assistant", "content": "It left on Monday."}],
    "demonstrations": [{"input": "Where is my order?", "output": "It left on Monday."}], "retrieval": None, "dataset_id": None,
}  # fmt: skip


class WholeVersion(BaseModel):
    """`messages` as they are stored, demonstrations among them (turns of user and assistant that follow each other), which `demonstrations` repeats.
    `retrieval`: demonstrations picked for each input, null where none are."""

    model_config = ConfigDict(json_schema_extra={"example": _WHOLE})
    version: int
    labels: list[str]
    strategy: str | None = None
    origin: Literal["imported", "written", "learnt", "erasure"]
    parent: int | None = None
    model: str | None = None
    messages: list[ShownMessage]
    demonstrations: list[ShownDemonstration]
    retrieval: ShownRetrieval | None = None
    dataset_id: str | None = Field(default=None, description="Of the dataset version it was learnt from.")
    training_run_id: str | None = None
    scores: dict[str, Any]
    created_at: dt.datetime


@router.get("/prompts/{agent_id}/versions", response_model=ListedVersions)
async def list_prompt_versions(agent_id: str, who: Trainer, service: Serving) -> dict[str, Any]:
    """Every version of the agent's prompt, newest first: where it comes from, what points at it, what was measured of it."""

    def read() -> dict[str, Any]:
        with service.acting(who) as connection:
            return {"versions": [_plain(row) for row in prompts.list_versions(connection, service.agent(connection, who, agent_id))]}

    return await run_in_threadpool(read)


@router.get("/prompts/{agent_id}/versions/{version}", response_model=WholeVersion)
async def get_prompt_version(agent_id: str, version: Number, who: Trainer, service: Serving) -> dict[str, Any]:
    """One version with its messages and demonstrations, whether anything points at it or not."""

    def read() -> dict[str, Any]:
        with service.acting(who) as connection:
            agent = service.agent(connection, who, agent_id)
            found = prompts.version(connection, agent, version)
            if found is None and prompts.was_deleted(connection, agent, version):
                raise Problem(404, "This version was deleted: it was old, nothing had used it and no other version came from it.", field="version")
        if found is None:
            raise not_found("prompt version", "version")
        return _whole(found)

    return await run_in_threadpool(read)


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "training_run_id": _text(row["training_run_id"])}


def _whole(found: prompts.Version) -> dict[str, Any]:
    prompt = from_stored(found.messages, found.serving)
    retrieval = prompt.retrieval
    return {
        "version": found.version, "labels": found.labels, "strategy": found.strategy, "origin": found.origin, "parent": found.parent, "model": found.model,
        "messages": [{"role": message.role, "content": message.content} for message in prompt.messages],
        "demonstrations": [{"input": one.input, "output": one.output} for one in prompt.demonstrations],
        "retrieval": None if retrieval is None else {"k": retrieval.k, "dataset_id": retrieval.dataset_id, "agreeing": retrieval.agreeing},
        "dataset_id": _text(found.dataset_id), "training_run_id": _text(found.training_run_id), "scores": found.scores, "created_at": found.created_at,
    }  # fmt: skip


def _text(identity: Any) -> str | None:
    return None if identity is None else str(identity)
