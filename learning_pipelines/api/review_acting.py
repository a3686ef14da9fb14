"""One transaction of a route of review: who reviews, and what is refused to them as a problem.

Belongs here: acting as an expert, which refusal is which status. Not here: routes (review.py, conflicts.py), rules (examples/).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from fastapi.concurrency import run_in_threadpool

from learning_pipelines.api.principals import Principal
from learning_pipelines.api.problems import Problem
from learning_pipelines.api.service import Service
from learning_pipelines.examples.experts import Expert, Reason, Refused
from learning_pipelines.storage.database import Connection

T = TypeVar("T")
_STATUS = {Reason.UNKNOWN: 404, Reason.OWN: 403, Reason.STATE: 409, Reason.VALUE: 422}


async def as_expert(service: Service, who: Principal, work: Callable[[Connection, Expert], T], user: str | None = None) -> T:
    """Runs `work` in one transaction as an expert, also for an admin: whoever judges is blind to the opinions of others until they have judged."""
    who = who.speaking_for(user)
    if who.user_id is None:
        raise Problem(403, "A review needs a person.")
    expert = Expert(who.organization_id, who.user_id, who.user or who.actor, who.actor)

    def run() -> T:
        with service.acting(replace(who, role="expert")) as connection:
            return work(connection, expert)

    try:
        return await run_in_threadpool(run)
    except Refused as refused:
        raise Problem(_STATUS[refused.reason], str(refused), field=refused.field) from None
