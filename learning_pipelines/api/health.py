"""Routes for whoever operates the service: alive, ready, metrics.

Belongs here: what a load balancer and a scraper ask. Not here: anything about people or organizations.
"""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel
from starlette.responses import Response

from learning_pipelines.api.problems import Problem
from learning_pipelines.api.service import Serving
from learning_pipelines.feedback.identity import organization_id
from learning_pipelines.storage import api_keys
from learning_pipelines.storage.sessions import Acting, Busy

router = APIRouter(tags=["operation"])


class Alive(BaseModel):
    status: str


@router.get("/healthz", response_model=Alive)
async def healthz() -> dict[str, str]:
    """The process answers."""
    return {"status": "ok"}


@router.get("/readyz", response_model=Alive)
async def readyz(service: Serving) -> dict[str, str]:
    """The database answers too."""

    def probe() -> None:
        nobody = organization_id("default")
        with service.sessions.acting(Acting(nobody)) as connection:
            api_keys.organization_active(connection, nobody)

    try:
        await run_in_threadpool(probe)
    except Busy as error:
        raise Problem(503, str(error), headers={"Retry-After": "1"}) from None
    return {"status": "ready"}


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}})
async def metrics(request: Request, service: Serving) -> Response:
    """For Prometheus: counters of this process, and how the whole installation stands; totals only. Answers while the database is away too."""
    await run_in_threadpool(service.operating.refresh)
    return Response(generate_latest(service.metrics.registry), media_type=CONTENT_TYPE_LATEST)
