"""What the routes of all peers share: their ways to send a key, their ways to read a refusal.

Belongs here: credentials, error shapes, bodies. Not here: paths (peers_*.py), what is done with a statement (peers_intake.py).
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import orjson
from fastapi import Depends, Request
from fastapi.routing import APIRoute
from starlette.responses import Response

from learning_pipelines.api import problems
from learning_pipelines.api.principals import Principal
from learning_pipelines.api.problems import Problem, unauthorized
from learning_pipelines.api.service import service_of
from learning_pipelines.errors import Unavailable
from learning_pipelines.feedback.peers.otlp import unpacked
from learning_pipelines.feedback.peers.shape import Malformed, decoded

AGENT_HEADER = "x-learning-agent"


async def keyed(request: Request) -> Principal:
    """The application that a peer's client speaks for. Takes our API key as a bearer token, as the password of Basic (the user is the
    organization or the key's id: Langfuse's public key), or in Phoenix' header `api_key`. Raises 401, 403 or 429."""
    service = service_of(request)
    address = request.client.host if request.client is not None else "unknown"
    try:
        name, credential = _credential(request.headers)
        who = await service.authenticate.of_credential(credential)
        if name is not None and name not in (who.organization, str(who.key_id)):
            raise unauthorized()
        who.require_key()
    except Problem:
        service.limits.address(address)
        raise
    request.state.principal = who
    service.limits.principal(who, address)
    return who


Keyed = Annotated[Principal, Depends(keyed)]


def _credential(headers: Mapping[str, str]) -> tuple[str | None, str]:
    scheme, _, rest = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and rest.strip():
        return None, rest.strip()
    if scheme.lower() == "basic":
        try:
            name, colon, password = base64.b64decode(rest.strip(), validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            raise unauthorized() from None
        if colon and password:
            return name, password
    if not scheme and headers.get("api_key"):
        return None, headers["api_key"]
    raise unauthorized()


def refused(shape: Callable[[Request, Problem], Response]) -> type[APIRoute]:
    """A route class whose refusals have the shape that the peer's client reads."""

    class Refusing(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Any]:
            handle = super().get_route_handler()

            async def answer(request: Request) -> Response:
                try:
                    response: Response = await handle(request)
                    return response
                except Problem as problem:
                    return shape(request, problem)
                except Malformed as error:
                    return shape(request, Problem(422, f"{error}.", field=error.field))
                except Unavailable as error:
                    return shape(request, Problem(503, str(error), headers={"Retry-After": problems.RETRY_AFTER}))

            return answer

    return Refusing


def as_json(problem: Problem, **members: Any) -> Response:
    """A problem document with a peer's own members beside."""
    response = problems.response(problem)
    body = {**orjson.loads(bytes(response.body)), **members}
    return Response(orjson.dumps(body), problem.status, problem.headers, "application/json")


async def body_of(request: Request) -> bytes:
    """The body without its Content-Encoding."""
    return unpacked(await request.body(), request.headers.get("content-encoding"))


async def json_of(request: Request) -> Any:
    """The body as JSON. Raises Malformed."""
    return decoded(await body_of(request))


def objects(items: object, field: str, most: int = 10_000) -> list[dict[str, Any]]:
    """A list of objects. Raises 422."""
    if not isinstance(items, list) or len(items) > most or not all(isinstance(item, dict) for item in items):
        raise Problem(422, f"{field} must be a list of at most {most:,} objects.", field=field)
    return items
