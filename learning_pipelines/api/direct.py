"""The short way for the routes that applications call at every turn: from the socket to the route's own function.

Belongs here: which routes take it, and what FastAPI would otherwise do for them (arguments, problems). Not here: what the routes do.

FastAPI resolves the dependencies of a route anew for every request and matches the path against every router: with the nested
contexts around it that took two thirds of the worker's time of a stored feedback. The routes stay declared as they are (the
document describes them, and any path that is not exactly one of these goes there); here their functions are called with the same arguments.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from urllib.parse import unquote_plus

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from learning_pipelines.api import executions, feedback, problems, prompts
from learning_pipelines.api.openapi import BASE
from learning_pipelines.api.service import application, identified, service_of

Handler = Callable[[Request], Awaitable[Response]]


async def _feedback(request: Request) -> Response:
    who = await identified(request)
    return await feedback.post_feedback(request, who, service_of(request), request.headers.get("idempotency-key"))


async def _feedback_batch(request: Request) -> Response:
    return await feedback.post_feedback_batch(request, await application(request), service_of(request))


async def _execution(request: Request) -> Response:
    return await executions.post_execution(request, await application(request), service_of(request))


async def _executions_batch(request: Request) -> Response:
    return await executions.post_executions(request, await application(request), service_of(request))


async def _prompt(request: Request) -> Response:
    who = await identified(request)
    who.require("user")
    name = request.scope["path"].rsplit("/", 1)[1]
    unit = unquote_plus(request.scope["query_string"][len(_UNIT_IS) :].decode("ascii")) or None
    return await prompts.served_prompt(service_of(request), who, name, prompts.Asked(unit=unit), request.headers.get("if-none-match"))


PROMPTS = f"{BASE}/prompts/"
"""A prompt without a query, or with a unit alone; what another query says is for the declared route to check."""
_UNIT_IS = b"unit="
_SHORT_QUERY = re.compile(rb"(unit=[A-Za-z0-9._~%+@:/-]{1,255})?")
"""Written as browsers and clients write it, no unit of it is longer than the declared route takes."""
HANDLERS: dict[str, Handler] = {
    f"{BASE}/feedback": _feedback, f"{BASE}/feedback/batch": _feedback_batch, f"{BASE}/executions": _execution, f"{BASE}/executions/batch": _executions_batch
}  # fmt: skip


class Direct:
    """The innermost layer before FastAPI's own."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._prompt = Route(PROMPTS + "{agent_id}", _prompt, methods=["GET"])
        self._routes = {path: (handler, Route(path, handler, methods=["POST"])) for path, handler in HANDLERS.items()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = self._found(scope) if scope["type"] == "http" else None
        if found is None:
            await self._app(scope, receive, send)
            return
        handler, scope["route"] = found
        request = Request(scope, receive, send)
        try:
            response = await handler(request)
        except problems.EXPECTED as error:
            response = await problems.answer(request, error)
        await response(scope, receive, send)

    def _found(self, scope: Scope) -> tuple[Handler, Route] | None:
        path: str = scope["path"]
        if scope["method"] == "POST":
            return self._routes.get(path)
        if scope["method"] != "GET" or not path.startswith(PROMPTS):
            return None
        name = path[len(PROMPTS) :]
        return (_prompt, self._prompt) if name and "/" not in name and _SHORT_QUERY.fullmatch(scope["query_string"]) else None
