"""Routes that take in what agents answer from and how experts work: documents, retrieval feedback, demonstrations.

Belongs here: paths, roles, shapes of answers. Not here: what a record must be (feedback/).
"""

from __future__ import annotations

from typing import Annotated

import orjson
from fastapi import APIRouter, Header, Request
from pydantic import BaseModel
from starlette.responses import Response

from learning_pipelines.api import ingest
from learning_pipelines.api.openapi import record_body
from learning_pipelines.api.service import Application, Expert, Serving, json_body
from learning_pipelines.examples.refresh import demonstration_example_id
from learning_pipelines.storage.tenants import AgentRef

router = APIRouter(tags=["knowledge"])
Key = Annotated[str | None, Header(alias="Idempotency-Key", description="Makes a request without an id repeatable.")]


@router.post("/documents", status_code=201, response_model=ingest.Stored, openapi_extra=record_body("documents"))
async def post_document(request: Request, who: Application, service: Serving) -> Response:
    """Stores a document; the same id with other text replaces it."""
    return await _store(request, service, who, "documents", None)


@router.post("/retrieval-feedback", status_code=201, response_model=ingest.Stored, openapi_extra=record_body("retrieval_feedback"))
async def post_retrieval_feedback(request: Request, who: Application, service: Serving, idempotency_key: Key = None) -> Response:
    """Stores which of the retrieved documents or chunks helped."""
    return await _store(request, service, who, "retrieval_feedback", idempotency_key)


class DemonstrationStored(BaseModel):
    demonstration_id: str
    example_id: str
    status: str


@router.post("/demonstrations", status_code=201, response_model=DemonstrationStored, openapi_extra=record_body("demonstrations"))
async def post_demonstration(request: Request, who: Expert, service: Serving, idempotency_key: Key = None) -> Response:
    """Stores how an expert does a task. Its example appears, scrubbed and pending review, with the next refresh.

    `outcome` failure: how not to do it. `replaces`: the demonstration that this is a new version of; that one leaves. `task_id`: demonstrations of
    one task are learnt from or tested on together. Whoever is named as the expert becomes one, unless the operator withdrew that right.
    """
    body = await json_body(request)
    identity, settled = await ingest.store_one(service, who, "demonstrations", body, idempotency_key)
    agents = service.capture.agents(who, body["agent"])
    agent = AgentRef(who.organization_id, who.organization, agents[body["agent"]], body["agent"])
    answer = {"demonstration_id": identity, "example_id": demonstration_example_id(agent, identity), "status": settled.status}
    return Response(orjson.dumps(answer), 201, media_type="application/json")


async def _store(request: Request, service: Serving, who: Application, kind: str, key: str | None) -> Response:
    identity, settled = await ingest.store_one(service, who, kind, await json_body(request), key)
    return Response(orjson.dumps({"id": identity, "status": settled.status}), 201, media_type="application/json")
