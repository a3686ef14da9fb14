"""One transaction of a route that decides something: what is refused, and why, becomes a problem.

Belongs here: the frame of routes of proposals and experiments. Not here: what may be done when (acceptance/, experiments/), reviews of examples (review.py).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from fastapi.concurrency import run_in_threadpool

from learning_pipelines.acceptance.reviewing import Reason, Refused, Reviewer
from learning_pipelines.api.principals import Principal
from learning_pipelines.api.problems import Problem
from learning_pipelines.api.service import Service
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.sessions import Acting

T = TypeVar("T")
_STATUS = {Reason.UNKNOWN: 404, Reason.STATE: 409, Reason.VALUE: 422, Reason.ROLE: 403}


def reviewer(who: Principal) -> Reviewer:
    return Reviewer(who.actor, who.user_id)


async def decided(service: Service, acting: Acting, work: Callable[[Connection], T], named: str, *, changes: bool) -> T:
    """What `work` answers, in one transaction and a thread. `named`: the field by which the path names what is decided about; `changes`: what serves may
    be another afterwards, and this worker looks again. Raises Problem."""

    def run() -> T:
        with service.sessions.acting(acting) as connection:
            return work(connection)

    try:
        done = await run_in_threadpool(run)
    except Refused as refused:
        raise Problem(_STATUS[refused.reason], str(refused), field=named if refused.field == "id" else refused.field) from None
    if changes:
        service.served.forget(acting.organization_id)
    return done
