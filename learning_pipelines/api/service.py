"""The parts behind the routes of one running application, opened and closed together.

Belongs here: building them from the settings, agents by name, reading bodies. Not here: routes.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any
from uuid import UUID

import orjson
from fastapi import Depends, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import Field

from learning_pipelines.api.authentication import Authenticator
from learning_pipelines.api.capture import Capture
from learning_pipelines.api.dagster import Dagster
from learning_pipelines.api.experiments_serving import ExperimentsServing
from learning_pipelines.api.exposures import Exposures
from learning_pipelines.api.keys import Role
from learning_pipelines.api.limits import Limits
from learning_pipelines.api.middleware import Metrics
from learning_pipelines.api.operating import Operating
from learning_pipelines.api.principals import Principal
from learning_pipelines.api.problems import Problem, not_found, without_nul
from learning_pipelines.api.served import ServedPrompts
from learning_pipelines.api.tokens import Tokens
from learning_pipelines.api.warm import Warm
from learning_pipelines.api.writer import Writer
from learning_pipelines.behavior.loaded import Policies
from learning_pipelines.errors import LearningError
from learning_pipelines.retrieval.loaded import Loaded
from learning_pipelines.settings import Settings
from learning_pipelines.storage import tenants
from learning_pipelines.storage.database import Connection, Database, open_database
from learning_pipelines.storage.migrate import require_head
from learning_pipelines.storage.sessions import Acting, Sessions
from learning_pipelines.storage.tenants import AgentRef

log = logging.getLogger("learning_pipelines.api")


class Service:
    """Everything a route needs. `database_of` gives the database anew; tests pass one of their own."""

    def __init__(self, settings: Settings, database_of: Callable[[], Database] | None = None) -> None:
        self.settings = settings
        self._database_of = database_of or (lambda: open_database(settings))
        self.sessions = Sessions(self._database_of)
        self.tokens = Tokens(settings)
        self.authenticate = Authenticator(self.sessions, self.tokens)
        self.limits = Limits(settings.rate_limits)
        self.writer = Writer(self.sessions.open_writer)
        self.metrics = Metrics()
        self.exposures = Exposures(self.sessions)
        self.operating = Operating(self.sessions, self.exposures)
        self.metrics.registry.register(self.operating)
        self.experiments = ExperimentsServing(self.sessions, self.exposures)
        self.served = ServedPrompts(self.sessions, settings, self.experiments)
        self.loaded = Loaded(settings)
        self.policies = Policies(settings)
        self._warm = Warm(self.loaded, self.policies)
        self.dagster = Dagster(settings)
        self._agents: dict[UUID, dict[str, UUID]] = {}
        self._agents_lock = threading.Lock()
        self.capture = Capture(settings.start_date, settings.zone, self._agents_of)

    async def open(self) -> None:
        """Starts what serves. A database that is away does not stop it: requests are answered 503 until it is there."""
        try:
            await run_in_threadpool(lambda: require_head(self._database_of()))
        except LearningError as error:
            log.error("the database is not ready: %s", error)
        self.sessions.open()
        self.writer.start()
        self.exposures.start()
        self._warm.start()

    async def close(self) -> None:
        await self.writer.stop()
        await run_in_threadpool(self.exposures.stop)
        await run_in_threadpool(self.sessions.close)
        self._warm.stop()
        self.served.close()
        self.loaded.close()
        self.policies.close()
        self.dagster.close()

    def database(self) -> Database:
        """Where the data lies, asked anew: an embedded server may come back elsewhere."""
        return self._database_of()

    @contextmanager
    def acting(self, who: Principal) -> Iterator[Connection]:
        """A transaction that acts for the principal."""
        with self.sessions.acting(who.acting) as connection:
            yield connection

    @contextmanager
    def aggregating(self, who: Principal) -> Iterator[Connection]:
        """A transaction for statements that return counts, sums and means of the principal's organization only."""
        with self.sessions.acting(who.acting.for_aggregates()) as connection:
            yield connection

    def agent(self, connection: Connection, who: Principal, name: str, field: str = "agent_id") -> AgentRef:
        """The agent by slug or uuid. Raises 404, naming the `field` that named it."""
        without_nul(**{field: name})
        found = tenants.agent_by_name(connection, who.organization_id, who.organization, name)
        if found is None:
            raise not_found("agent", field)
        return found

    def knows_agent(self, who: Principal, slug: str) -> bool:
        """Whether the agent is remembered: then preparing a record needs no look into the database."""
        known = self._agents.get(who.organization_id)
        return known is not None and slug in known

    def _agents_of(self, who: Principal, slug: str) -> dict[str, UUID]:
        known = self._agents.get(who.organization_id)
        if known is not None and slug in known:  # agents are never taken away
            return known
        with self._agents_lock:
            with self.sessions.acting(Acting(who.organization_id)) as connection:
                found = tenants.agent_ids(connection, who.organization_id)
            self._agents[who.organization_id] = found
        return found


def service_of(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


async def identified(request: Request) -> Principal:
    """The principal of the request, counted against its limits. Raises 401, 403 or 429."""
    service = service_of(request)
    address = request.client.host if request.client is not None else "unknown"
    try:
        who = await service.authenticate(request)
    except Problem:
        service.limits.address(address)
        raise
    request.state.principal = who
    service.limits.principal(who, address)
    return who


def has_role(role: Role) -> Callable[[Request], Any]:
    """A dependency: the principal, if its role suffices."""

    async def dependency(request: Request) -> Principal:
        who = await identified(request)
        who.require(role)
        return who

    return dependency


async def application(request: Request) -> Principal:
    """A dependency: the principal, if it is an application's API key."""
    who = await identified(request)
    who.require_key()
    return who


async def _sender(request: Request) -> Principal:
    """Whoever may send feedback: every role, and a token for the execution the feedback is about."""
    return await identified(request)


PersonName = Annotated[
    str, Field(min_length=1, max_length=255, pattern=r"^[^\x00]*$", description="For whom an API key without a person of its own speaks.")
]
Serving = Annotated[Service, Depends(service_of)]
User = Annotated[Principal, Depends(has_role("user"))]
Expert = Annotated[Principal, Depends(has_role("expert"))]
Trainer = Annotated[Principal, Depends(has_role("trainer"))]
Experimenter = Annotated[Principal, Depends(has_role("experimenter"))]
Admin = Annotated[Principal, Depends(has_role("admin"))]
Application = Annotated[Principal, Depends(application)]
Sender = Annotated[Principal, Depends(_sender)]


async def json_body(request: Request) -> Any:
    """The body as JSON. Raises 400 (not JSON, not UTF-8)."""
    raw = await request.body()
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise Problem(400, f"The body is not JSON in UTF-8: {error.msg} (column {error.colno}).") from None


__all__ = [
    "Admin",
    "Application",
    "Experimenter",
    "Expert",
    "PersonName",
    "Principal",
    "Sender",
    "Service",
    "Serving",
    "Trainer",
    "User",
    "application",
    "has_role",
    "identified",
    "json_body",
    "service_of",
]  # fmt: skip
