"""A span for every request of the service: the route's template, the status, the organization's id; never a query, a body or who asked.

Belongs here: the layer around the application. Not here: how spans are made and sent (tracing.py).
"""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from learning_pipelines import tracing
from learning_pipelines.api.openapi import BASE

QUIET = frozenset({"/healthz", "/readyz", "/metrics"})
"""Probes come every few seconds and would bury the rest."""
_CONTEXT = (b"traceparent", b"tracestate")


class Traced:
    """The outermost layer, only where traces are wanted."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in QUIET or not tracing.active():
            await self._app(scope, receive, send)
            return
        status, request_id = 500, None

        async def answer(message: Message) -> None:
            nonlocal status, request_id
            if message["type"] == "http.response.start":
                status = message["status"]
                request_id = next((value.decode() for name, value in message["headers"] if name == b"x-request-id"), None)
            await send(message)

        method = scope["method"]
        caller = tracing.incoming({name.decode(): value.decode("latin-1") for name, value in scope["headers"] if name in _CONTEXT})
        with tracing.span(method, {"http.request.method": method}, kind="server", parent=caller) as span:
            try:
                await self._app(scope, receive, answer)
            finally:
                if span is not None:
                    route = _template(scope)
                    who = scope.get("state", {}).get("principal")
                    span.update_name(f"{method} {route}" if route else method)
                    organization = str(who.organization_id) if who is not None else None
                    tracing.note(span, {
                        "http.route": route, "http.response.status_code": status, "learning.organization_id": organization, "learning.request_id": request_id,
                    })  # fmt: skip
                    if status >= 500:
                        tracing.failed(span, str(status))


def _template(scope: Scope) -> str | None:
    """The whole path of the route: one of an included router knows only its own part."""
    path: str | None = getattr(scope.get("route"), "path", None)
    return BASE + path if path is not None and scope["path"].startswith(BASE) and not path.startswith(BASE) else path
