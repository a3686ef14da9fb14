"""What every route that takes records shares: one record, or many with an answer for each.

Belongs here: preparing, writing, answering. Not here: paths, rules of one kind.
"""

from __future__ import annotations

from typing import Any, Literal

import orjson
from fastapi import Path
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel
from starlette.responses import Response

from learning_pipelines.api.capture import Prepared, refusal
from learning_pipelines.api.principals import Principal
from learning_pipelines.api.problems import Problem
from learning_pipelines.api.service import Service
from learning_pipelines.storage.grouped import Settled, Write

MOST_ITEMS = 10_000
PathId = Path(min_length=1, max_length=255, pattern=r"^[^\x00]*$")


class BatchResult(BaseModel):
    index: int
    id: str | None
    status: Literal["stored", "unchanged", "rejected"]
    error: str | None


class BatchAnswer(BaseModel):
    results: list[BatchResult]


class Stored(BaseModel):
    id: str
    status: Literal["stored", "unchanged"]


async def store_one(service: Service, who: Principal, kind: str, body: object, key: str | None) -> tuple[str, Settled]:
    """Stores one record; returns its id and what became of it. Raises Problem."""
    agent = body.get("agent") if isinstance(body, dict) else None
    if agent is None or service.knows_agent(who, str(agent)):
        prepared = service.capture.prepare(who, kind, body, key)
    else:
        prepared = await run_in_threadpool(service.capture.prepare, who, kind, body, key)
    (settled,) = await service.writer.write(Write(kind, who.acting, who.actor, [prepared.row], [prepared.fields]))
    if (problem := refusal(kind, settled, prepared.id)) is not None:
        raise problem
    service.metrics.stored.labels(kind).inc(settled.status == "stored")
    return prepared.id, settled


async def store_many(service: Service, who: Principal, kind: str, body: object) -> Response:
    """Stores the items of a batch; one answer for each, in order."""
    items = body.get("items") if isinstance(body, dict) else None
    if not isinstance(items, list) or len(items) > MOST_ITEMS:
        raise Problem(422, f"The body must be {{items: […]}} with at most {MOST_ITEMS:,} records.", field="items")
    results, prepared, places = await run_in_threadpool(_prepared, service, who, kind, items)
    again: list[tuple[int, Prepared]] = []
    first: dict[str, int] = {}
    rows: list[Prepared] = []
    for place, one in zip(places, prepared, strict=True):
        if one.id in first:
            again.append((place, one))
        else:
            first[one.id] = place
            rows.append(one)
    settled = await _write(service, who, kind, rows)
    for one, outcome in zip(rows, settled, strict=True):
        results[first[one.id]] = _result(kind, first[one.id], one.id, outcome)
    for place, one in again:  # the same id twice in one batch: judged by what the first one left
        (outcome,) = await _write(service, who, kind, [one])
        results[place] = _result(kind, place, one.id, outcome)
    service.metrics.stored.labels(kind).inc(sum(result["status"] == "stored" for result in results if result is not None))
    return Response(orjson.dumps({"results": results}), media_type="application/json")


def _prepared(service: Service, who: Principal, kind: str, items: list[Any]) -> tuple[list[dict[str, Any] | None], list[Prepared], list[int]]:
    results: list[dict[str, Any] | None] = [None] * len(items)
    prepared, places = [], []
    for index, item in enumerate(items):
        try:
            prepared.append(service.capture.prepare(who, kind, item))
            places.append(index)
        except Problem as problem:
            results[index] = {"index": index, "id": None, "status": "rejected", "error": problem.detail}
    return results, prepared, places


async def _write(service: Service, who: Principal, kind: str, rows: list[Prepared]) -> list[Settled]:
    if not rows:
        return []
    return await service.writer.write(Write(kind, who.acting, who.actor, [one.row for one in rows], [one.fields for one in rows]))


def _result(kind: str, index: int, identity: str, settled: Settled) -> dict[str, Any]:
    problem = refusal(kind, settled, identity)
    return {
        "index": index, "id": identity, "status": settled.status if problem is None else "rejected", "error": None if problem is None else problem.detail
    }  # fmt: skip
