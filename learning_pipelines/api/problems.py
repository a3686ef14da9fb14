"""Refusals as RFC 9457 problem documents, with the field at fault.

Belongs here: the shape of a problem, and which error becomes which status. Not here: deciding that something is refused.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import orjson
import psycopg
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from learning_pipelines.errors import BadInput, LearningError, Unavailable

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER = "1"
log = logging.getLogger("learning_pipelines.api")


class Problem(Exception):
    """A refusal with its status. `detail` says what is wrong and what to do; `field` names the key at fault in body, path or query."""

    def __init__(self, status: int, detail: str, *, field: str | None = None, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.field = field
        self.headers = dict(headers or {})


def response(problem: Problem) -> Response:
    """The answer that carries a problem."""
    body: dict[str, Any] = {
        "type": "about:blank", "title": HTTPStatus(problem.status).phrase, "status": problem.status, "detail": problem.detail, "field": problem.field
    }  # fmt: skip
    return Response(orjson.dumps(body), problem.status, problem.headers, MEDIA_TYPE)


def unauthorized() -> Problem:
    """One answer for every way of not being known: it does not say which part was wrong."""
    advice = "Send a valid API key or token as `Authorization: Bearer …`."
    return Problem(401, f"These credentials are not accepted. {advice}", headers={"WWW-Authenticate": "Bearer"})


def forbidden(needed: str) -> Problem:
    """The role does not suffice, whatever the request names."""
    return Problem(403, f"This needs the role {needed}.")


def not_found(what: str, field: str | None = None) -> Problem:
    return Problem(404, f"There is no such {what} for you.", field=field)


def without_nul(**values: str | None) -> None:
    """Raises 422 naming the first value that no text of the database can be."""
    for name, value in values.items():
        if value is not None and "\x00" in value:
            raise Problem(422, "The value contains a NUL character, which no text has.", field=name)


def install(app: FastAPI) -> None:
    """Makes every error of the application a problem document."""
    app.add_exception_handler(Problem, _of_problem)
    app.add_exception_handler(RequestValidationError, _of_validation)
    app.add_exception_handler(HTTPException, _of_http)
    app.add_exception_handler(LearningError, _of_learning)
    app.add_exception_handler(psycopg.Error, _of_database)
    app.add_exception_handler(Exception, _of_anything)


EXPECTED = (Problem, LearningError, psycopg.Error)
"""What a route may raise on purpose or because of its input; everything else is a bug."""


async def answer(request: Request, error: Exception) -> Response:
    """The problem document of an expected error."""
    if isinstance(error, Problem):
        return response(error)
    return await (_of_learning if isinstance(error, LearningError) else _of_database)(request, error)


async def _of_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return response(error)


async def _of_validation(request: Request, error: Exception) -> Response:
    """FastAPI's own findings about path, query and typed bodies."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    names = [str(part) for part in first["loc"][1:]]
    reason = str(first["msg"]).removeprefix("Value error, ").removeprefix("Input ")
    if first["type"] == "model_attributes_type" and not names and "json" not in request.headers.get("content-type", "json"):
        return response(Problem(422, "The body is read as JSON only: send it with `Content-Type: application/json`."))
    if first["type"] == "json_invalid":
        return response(Problem(400, "The body is not JSON."))
    return response(Problem(422, reason[:1].upper() + reason[1:], field=".".join(names) or None))


async def _of_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    details = {404: "There is no such route.", 405: "This route does not take that method."}
    return response(Problem(error.status_code, details.get(error.status_code, str(error.detail)), headers=error.headers))


async def _of_learning(request: Request, error: Exception) -> Response:
    if isinstance(error, Unavailable):
        return response(Problem(503, str(error), headers={"Retry-After": RETRY_AFTER}))
    if isinstance(error, BadInput):
        return response(Problem(422, str(error)))
    return await _of_anything(request, error)


async def _of_database(request: Request, error: Exception) -> Response:
    """What the database refuses because of the request's own values is the request's fault; privileges say nothing more than 403."""
    if isinstance(error, psycopg.errors.InsufficientPrivilege):
        return response(Problem(403, "This is not permitted for you."))
    if isinstance(error, psycopg.DataError | psycopg.IntegrityError):
        return response(Problem(422, "The database refuses these values: they do not fit its rules."))
    return await _of_anything(request, error)


async def _of_anything(request: Request, error: Exception) -> Response:
    """A bug. The log gets the kind of error and where it happened, not its text: it may quote people's words."""
    frames = traceback.extract_tb(error.__traceback__)[-6:]
    where = " < ".join(f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno} {frame.name}" for frame in reversed(frames))
    path = getattr(request.scope.get("route"), "path", "unmatched")  # not the path itself: it may name a person
    log.error("unexpected %s in %s %s at %s", type(error).__name__, request.method, path, where)
    return response(Problem(500, "Something is broken in the service. It is logged; nothing of this request was stored."))
