"""Routes that hand out tokens: for the feedback on one execution, and browser sessions.

Belongs here: who gets which token for how long, the cookie. Not here: signatures (tokens.py).
"""

from __future__ import annotations

import datetime as dt
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, ConfigDict, Field

from learning_pipelines.api.authentication import COOKIE
from learning_pipelines.api.problems import Problem, unauthorized
from learning_pipelines.api.service import Application, Principal, Service, Serving, User
from learning_pipelines.api.tokens import LONGEST_SECONDS, Claims
from learning_pipelines.settings import Settings
from learning_pipelines.storage import api_keys, audit, ended_sessions
from learning_pipelines.storage.api_keys import service_user

router = APIRouter(tags=["tokens"])
SESSION_SECONDS = 8 * 3600
Identity = Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[^\x00]*$")]


class TokenRequest(BaseModel):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"execution_id": "run-1", "user": "ada", "ttl_seconds": 900}})
    execution_id: Identity
    user: Identity | None = None
    ttl_seconds: Annotated[int, Field(ge=1, le=LONGEST_SECONDS)] = 900


class Token(BaseModel):
    token: str
    expires_at: dt.datetime


@router.post("/tokens", status_code=201, response_model=Token)
async def post_token(body: TokenRequest, who: Application, service: Serving) -> dict[str, object]:
    """A short-lived token that permits feedback on one execution, for the page that shows it. The execution may be unknown still."""
    who = who.speaking_for(body.user)
    user = who.user
    token, ends = service.tokens.for_execution(who.organization, body.execution_id, user, body.ttl_seconds)

    def note() -> None:
        with service.acting(who) as connection:
            audit.record(
                connection, who.organization_id, actor=who.actor, action="minted", kind="execution_token", subject=body.execution_id,
                fields=sorted(body.model_fields_set), after=[user, ends.isoformat()],
            )  # fmt: skip

    await run_in_threadpool(note)
    return {"token": token, "expires_at": ends}


class Session(BaseModel):
    """`csrf_token` belongs into the header X-CSRF-Token of every request of this session that changes something."""

    organization: str
    user: str
    role: str
    csrf_token: str
    expires_at: dt.datetime


@router.post("/session", status_code=201, response_model=Session)
async def post_session(who: User, request: Request, service: Serving, response: Response) -> dict[str, object]:
    """Exchanges a personal token or an API key for a browser session: an HttpOnly cookie and a CSRF token. The browser keeps neither token nor key.

    A session made by a key acts for the key's person, or for a service user of the key's own, and ends when the key is revoked. A page of another
    origin cannot make one, not even one that may call the API: nobody is signed in as somebody else behind their back."""
    _refuse_elsewhere(request, service.settings)
    user = who.user if who.key_id is None else who.user or service_user(who.key_id)
    if user is None:
        raise Problem(403, "A session is for a person: sign in with a personal token or an API key.")
    if who.key_id is not None:
        await run_in_threadpool(_require_in_force, service, who)  # what is remembered of a key is a second old
    key = None if who.key_id is None else str(who.key_id)
    token, csrf, ends = service.tokens.for_session(who.organization, user, who.role, SESSION_SECONDS, key)
    response.set_cookie(COOKIE, token, max_age=SESSION_SECONDS, httponly=True, samesite="strict", secure=_secure(service.settings), path="/")
    response.headers["Cache-Control"] = "no-store"
    return {"organization": who.organization, "user": user, "role": who.role, "csrf_token": csrf, "expires_at": ends}


@router.get("/session", response_model=Session)
async def get_session(who: User, request: Request, service: Serving, response: Response) -> dict[str, object]:
    """Whose session this browser has, and its CSRF token, which every page needs anew. 401 without a session."""
    claims = service.authenticate.session(request)
    if claims is None or request.headers.get("authorization") is not None:
        raise unauthorized()
    response.headers["Cache-Control"] = "no-store"
    return {"organization": who.organization, "user": claims.user, "role": who.role, "csrf_token": claims.csrf, "expires_at": claims.ends}


@router.delete("/session", status_code=204)
async def delete_session(who: User, request: Request, service: Serving, response: Response) -> None:
    """Ends the browser session: the cookie goes, and a copy of it is refused from now on."""
    claims = service.authenticate.session(request)
    if claims is not None and claims.organization == who.organization:
        await run_in_threadpool(_end, service, who, claims)
    response.delete_cookie(COOKIE, httponly=True, samesite="strict", secure=_secure(service.settings), path="/")


def _end(service: Service, who: Principal, claims: Claims) -> None:
    if claims.session_hash is not None and claims.ends is not None:
        with service.acting(who) as connection:
            ended_sessions.end(connection, who.organization_id, claims.session_hash, claims.ends)


def _require_in_force(service: Service, who: Principal) -> None:
    with service.acting(who) as connection:
        if who.key_id is None or not api_keys.is_in_force(connection, who.organization_id, who.key_id, who.role):
            raise unauthorized()


def _secure(settings: Settings) -> bool:
    """Whether the cookie goes by https only: where people come by https, and wherever the service is reached over a network."""
    return settings.page_link.startswith("https:") or settings.api_host not in ("127.0.0.1", "localhost", "::1")


def _refuse_elsewhere(request: Request, settings: Settings) -> None:
    """Browsers say whose page asks: by Sec-Fetch-Site where the service counts as secure, else by Origin. Other clients say neither. Raises 403."""
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site is None and origin is not None:
        site = "same-origin" if urlsplit(origin).netloc in (request.headers.get("host"), urlsplit(settings.page_link).netloc) else "cross-site"
    if site not in (None, "same-origin", "none"):
        raise Problem(403, "A session is made by the service's own pages only. Behind a proxy, LEARNING_PUBLIC_URL names their address.")
