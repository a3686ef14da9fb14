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
ROUNDS = 3
"""Writes of one batch: a record with the id of an earlier one that was refused is tried after it, but ten thousand of them are not."""
_HASH = 2
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
    waiting = list(zip(places, prepared, strict=True))
    for _ in range(ROUNDS):
        first = dict(reversed([(one.id, (place, one)) for place, one in waiting]))
        settled = dict(zip(first, await _write(service, who, kind, [one for _, one in first.values()]), strict=True))
        left = []
        for place, one in waiting:
            outcome = _repeated(settled[one.id], one.row[_HASH] == first[one.id][1].row[_HASH]) if first[one.id][0] != place else settled[one.id]
            if outcome is None:
                left.append((place, one))
            else:
                results[place] = _result(kind, place, one.id, outcome)
        waiting = left
    for place, one in waiting:
        results[place] = {"index": place, "id": one.id, "status": "rejected", "error": f"{one.id!r} stands here several times with other content: send one."}
    service.metrics.stored.labels(kind).inc(sum(result["status"] == "stored" for result in results if result is not None))
    return Response(orjson.dumps({"results": results}), media_type="application/json")


def _repeated(before: Settled, same: bool) -> Settled | None:
    """What becomes of a record whose id stood earlier in the batch, given what became of that one; None if only another write can tell."""
    if before.status in ("stored", "unchanged"):
        return Settled("unchanged", before.pending) if same else Settled("conflict")
    return before if same else None


def _prepared(service: Service, who: Principal, kind: str, items: list[Any]) -> tuple[list[dict[str, Any] | None], list[Prepared], list[int]]:
    results: list[dict[str, Any] | None] = [None] * len(items)
    prepared, places, window = [], [], service.capture.window()
    for index, item in enumerate(items):
        try:
            prepared.append(service.capture.prepare(who, kind, item, window=window))
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
