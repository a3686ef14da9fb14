"""Routes of erasure: asking that a person be erased, seeing how it stands.

Belongs here: paths, roles, shapes, how long an answer is waited for. Not here: what is erased (feedback/erasure/): a process of its own does it, with
the pipeline's login, for the service may not.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import subprocess
import threading
import time
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel

from learning_pipelines.api.openapi import BASE
from learning_pipelines.api.problems import not_found
from learning_pipelines.api.service import Admin, Principal, Service, Serving
from learning_pipelines.errors import LearningError
from learning_pipelines.feedback.erasure import worker
from learning_pipelines.feedback.erasure.requesting import request
from learning_pipelines.storage import erasure_requests
from learning_pipelines.storage.erasure_requests import Erasure

router = APIRouter(tags=["erasure"])
log = logging.getLogger("learning_pipelines.api")
WAIT_SECONDS = 30.0
_LOOK_SECONDS = 0.1


class ErasedFiles(BaseModel):
    """Paths in the artifact store."""

    rewritten: list[str]
    deleted: list[str]


class Successor(BaseModel):
    """A version that held the person, and the one without them; null where nothing was left."""

    agent: str
    old: int | str
    successor: int | str | None = None
    why: str | None = None


class Retrained(BaseModel):
    """A version that saw the person or held them: its part is trained again at the next run of its job. `successor`: what serves instead until then."""

    agent: str
    kind: str
    version: int | str | None = None
    successor: int | str | None = None


class Certificate(BaseModel):
    """What was done, without a word of whom: `person` is SHA-256 of organization id and user, `touched` rows by table, `remaining` what a look for the
    person still found (empty), `checksum` SHA-256 of the canonical JSON of everything else."""

    certificate_id: str
    organization: str
    person: str
    requested_by: str
    requested_at: dt.datetime
    completed_at: dt.datetime
    touched: dict[str, int]
    files: ErasedFiles
    datasets: list[Successor]
    prompts: list[Successor]
    retrain: list[Retrained]
    kept: list[str]
    remaining: list[str]
    checksum: str


class ErasureState(BaseModel):
    """`state`: requested, erasing, done; the certificate when it is done."""

    erasure_id: UUID
    state: str
    requested_at: dt.datetime
    done_at: dt.datetime | None
    status_url: str
    certificate: dict[str, Any] | None


class UnderWay(BaseModel):
    erasure_id: UUID
    state: str
    status_url: str


_UNDER_WAY = {"model": UnderWay, "description": "It is under way and will be done; status_url shows how it stands."}
_ANSWER = {
    "certificate_id": "5f2d8e1c-0f5b-4d0e-9a53-0c8f3f0a7b11", "organization": "default", "person": "9f" * 32, "requested_by": "admin",
    "requested_at": "2026-11-26T16:15:26.000000+00:00", "completed_at": "2026-11-26T16:15:27.000000+00:00",
    "touched": {"agent_executions": 12, "agent_feedback": 7, "users": 1},
    "files": {"rewritten": ["archive/default/agent_feedback/2026-03.parquet"], "deleted": []},
    "datasets": [{"agent": "desk", "old": "feedback 2", "successor": "feedback 3"}], "prompts": [],
    "retrain": [{"agent": "desk", "kind": "reranker", "version": 4}], "kept": ["Sums of days in which others spoke, too, were counted again."],
    "remaining": [], "checksum": "3c" * 32,
}  # fmt: skip


@router.delete(
    "/users/{user_id:path}",
    response_model=None,
    responses={
        200: {"model": Certificate, "description": "Erased: the certificate.", "content": {"application/json": {"example": _ANSWER}}},
        202: _UNDER_WAY,
    },
)
async def delete_user(user_id: str, who: Admin, service: Serving, response: Response) -> dict[str, Any]:
    """Erases a person (named as your application does, or by uuid): everything they said, what agents did for them, and what was learnt of it.

    Their keys, tokens and sessions end at once. The answer is the certificate if it takes less than 30 seconds, else 202 and where to look. Asking
    again while it is under way joins it. Role admin."""

    def ask() -> UUID | None:
        with service.acting(who) as connection:
            return request(connection, who.organization_id, user_id, actor=who.actor, requested_by="admin")

    erasure = await run_in_threadpool(ask)
    if erasure is None:
        raise not_found("user", "user_id")
    found = await _worked(service, who, erasure)
    if found.certificate is not None:
        return found.certificate
    response.status_code = 202
    return {"erasure_id": found.id, "state": found.state, "status_url": _status_url(found.id)}


@router.get("/erasures/{erasure_id}", response_model=ErasureState)
async def get_erasure(erasure_id: UUID, who: Admin, service: Serving) -> dict[str, Any]:
    """How an erasure stands, and its certificate once it is done. Role admin."""
    found = await run_in_threadpool(_read, service, who, erasure_id)
    if found is None:
        raise not_found("erasure", "erasure_id")
    return {
        "erasure_id": found.id, "state": found.state, "requested_at": found.requested_at, "done_at": found.done_at, "status_url": _status_url(found.id),
        "certificate": found.certificate,
    }  # fmt: skip


async def _worked(service: Service, who: Principal, erasure_id: UUID) -> Erasure:
    """Starts the process and looks after it for a while. What it does not end, or what cannot be started, the sensor requested_erasures takes up."""
    process = await run_in_threadpool(_start, service, erasure_id)
    until = time.monotonic() + WAIT_SECONDS
    while process is not None and process.poll() is None and time.monotonic() < until:
        await asyncio.sleep(_LOOK_SECONDS)
    if process is not None and process.returncode is None:
        threading.Thread(target=process.wait, daemon=True).start()  # so that it does not stay as a zombie
    elif process is not None and process.returncode:
        log.error("erasure %s was not ended by its process (exit code %s): see logs/erasure.log", erasure_id, process.returncode)
    found = await run_in_threadpool(_read, service, who, erasure_id)
    assert found is not None  # rows of this table are never deleted
    return found


def _start(service: Service, erasure_id: UUID) -> subprocess.Popen[bytes] | None:
    if service.settings.database_url is None and service.settings.api_database_url is not None:
        return None  # the service has no login but its own: whoever has the pipeline's does it
    try:
        return worker.start(service.settings, service.database(), erasure_id)
    except (OSError, LearningError) as error:
        log.error("no process could be started for erasure %s, the sensor requested_erasures takes it up: %s", erasure_id, error)
        return None


def _read(service: Service, who: Principal, erasure_id: UUID) -> Erasure | None:
    with service.acting(who) as connection:
        return erasure_requests.read(connection, erasure_id, who.organization_id)


def _status_url(erasure_id: UUID) -> str:
    return f"{BASE}/erasures/{erasure_id}"
