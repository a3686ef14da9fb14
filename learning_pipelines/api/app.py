"""The application: `uvicorn learning_pipelines.api.app:app`.

Belongs here: putting the parts together. Not here: what any part does.
"""

from __future__ import annotations

import gc
import logging
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

from learning_pipelines import __version__, tracing
from learning_pipelines.api import (
    agent_serving,
    agents,
    behavior,
    conflicts,
    dashboard,
    documentation,
    erasures,
    executions,
    experiments,
    feedback,
    health,
    knowledge,
    lineage,
    openapi,
    own_feedback,
    pages,
    playbooks,
    problems,
    prompt_versions,
    prompts,
    proposals,
    reports,
    review,
    runs,
    search,
    sessions,
    summaries,
    training_runs,
)
from learning_pipelines.api.direct import Direct
from learning_pipelines.api.middleware import Metrics, Shell
from learning_pipelines.api.peers_routes import PEERS
from learning_pipelines.api.service import Service
from learning_pipelines.api.traced import Traced
from learning_pipelines.settings import Settings, load_settings
from learning_pipelines.storage.database import Database

ROUTERS = (
    agents, behavior, conflicts, dashboard, erasures, executions, experiments, feedback, knowledge, lineage, own_feedback, playbooks, prompts, proposals,
    review, runs, search, sessions, summaries, reports,
    agent_serving, prompt_versions, training_runs,
)  # fmt: skip


def create_app(settings: Settings | None = None, database_of: Callable[[], Database] | None = None) -> FastAPI:
    """The application over the given settings (default: the environment's). Connects when it starts, not here."""
    chosen = settings or load_settings()
    service = Service(chosen, database_of)

    @asynccontextmanager
    async def running(app: FastAPI) -> AsyncIterator[None]:
        _log_to_stderr()
        tracing.start(chosen, "learning-pipelines-api")
        await service.open()
        gc.freeze()  # what start-up made stays: collections that look at it again cost a batch a third of its time
        try:
            yield
        finally:
            await service.close()
            await run_in_threadpool(tracing.stop)

    layers = _middleware(chosen, service.metrics)
    app = FastAPI(title="learning_pipelines", version=__version__, lifespan=running, docs_url=None, redoc_url=None, middleware=layers)
    app.state.service = service
    for module in ROUTERS:
        app.include_router(module.router, prefix=openapi.BASE)
    for peer in PEERS:
        app.include_router(peer.router)
    app.include_router(health.router)
    problems.install(app)
    openapi.install(app)
    documentation.install(app)
    pages.install(app)
    return app


def _middleware(settings: Settings, metrics: Metrics) -> list[Middleware]:
    layers = [Middleware(Traced)] if tracing.wanted(settings) else []
    layers.append(Middleware(Shell, metrics=metrics))
    origins = [origin.strip() for origin in settings.cors_origins.split(",") if origin.strip()]
    if origins:
        layers.append(
            Middleware(
                CORSMiddleware, allow_origins=origins, allow_methods=["GET", "POST", "PUT", "DELETE"], allow_credentials="*" not in origins,
                allow_headers=["Authorization", "Content-Type", "Idempotency-Key", "If-None-Match", "X-CSRF-Token"], max_age=600,
                expose_headers=["ETag", "Retry-After", "X-Request-ID"],
            )
        )  # fmt: skip
    return [*layers, Middleware(Direct)]


def _log_to_stderr() -> None:
    """One line per request and error, unless whoever runs the process configured logging. Uvicorn's own line would hold query strings."""
    logging.getLogger("uvicorn.access").disabled = True
    logger = logging.getLogger("learning_pipelines")
    if not logger.handlers and not logging.getLogger().handlers:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(message)s"))
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        logger.propagate = False


app = create_app()
