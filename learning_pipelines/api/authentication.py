"""From the credentials of a request to its principal.

Belongs here: API keys, bearer tokens, execution tokens, session cookies, and how long a look-up is believed. Not here: roles of routes.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from fastapi.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection

from learning_pipelines.api import keys
from learning_pipelines.api.keys import BELIEVED_SECONDS, ROLES
from learning_pipelines.api.principals import Principal
from learning_pipelines.api.problems import Problem, unauthorized
from learning_pipelines.api.tokens import EXECUTION, SESSION, Claims, Tokens
from learning_pipelines.feedback.identity import fingerprint, organization_id, user_id
from learning_pipelines.feedback.kinds import ORGANIZATION_PATTERN
from learning_pipelines.storage import api_keys, ended_sessions
from learning_pipelines.storage.api_keys import service_user
from learning_pipelines.storage.sessions import Acting, Sessions

COOKIE, CSRF_HEADER = "learning_session", "x-csrf-token"
_TOUCH_SECONDS = 60.0
_MOST_REMEMBERED = 20_000
_SAFE = {"GET", "HEAD", "OPTIONS"}


@dataclass
class _Remembered:
    """What was found: believed `until` then; from `aging` on it is worth looking again."""

    until: float
    aging: float
    principal: Principal | None


class Authenticator:
    """Finds the principal of a request; raises 401 for credentials that are not valid, 403 for a cookie without its CSRF token."""

    def __init__(self, sessions: Sessions, tokens: Tokens) -> None:
        self._sessions = sessions
        self._tokens = tokens
        self._remembered: dict[str, _Remembered] = {}
        self._touched: dict[UUID, float] = {}
        self._looking: dict[str, asyncio.Task[Principal]] = {}
        self._lock = threading.Lock()

    async def __call__(self, request: HTTPConnection) -> Principal:
        header = request.headers.get("authorization")
        if header is not None:
            scheme, _, credential = header.partition(" ")
            credential = credential.strip()
            if scheme.lower() != "bearer" or not credential or len(credential) > 8192:
                raise unauthorized()
            return await self.of_credential(credential)
        cookie = request.cookies.get(COOKIE)
        if cookie:
            return await self._of_cookie(request, cookie)
        raise unauthorized()

    async def of_credential(self, credential: str) -> Principal:
        """The principal of an API key or token, wherever it was sent (peers' clients send keys in other headers)."""
        remembered, now = self._remembered.get(credential), time.monotonic()
        if remembered is None or remembered.until <= now:
            return await asyncio.shield(self._look_up(credential))
        if remembered.principal is None:
            raise unauthorized()
        if remembered.aging <= now:
            self._look_up(credential)  # meanwhile it is believed: nobody waits for the look-up of a key that is in use
        return remembered.principal

    def _look_up(self, credential: str) -> asyncio.Task[Principal]:
        """One look-up per credential at a time, however many requests ask for it."""
        task = self._looking.get(credential)
        if task is None:
            find = self._of_key if credential.startswith("lp_") else self._of_token
            task = self._looking[credential] = asyncio.get_running_loop().create_task(run_in_threadpool(self._remember, credential, find))
            task.add_done_callback(lambda done: self._looked_up(credential, done))
        return task

    def _looked_up(self, credential: str, task: asyncio.Task[Principal]) -> None:
        del self._looking[credential]
        if not task.cancelled():
            task.exception()  # whoever waits gets it; a look-up ahead of time that fails is simply tried again

    def _remember(self, credential: str, find: Callable[[str], tuple[Principal, float]]) -> Principal:
        now = time.monotonic()
        try:
            principal, lasts = find(credential)
        except Problem:
            self._keep(credential, _Remembered(now + BELIEVED_SECONDS, now + BELIEVED_SECONDS, None))
            raise
        lasts = min(lasts, BELIEVED_SECONDS)
        self._keep(credential, _Remembered(now + lasts, now + lasts / 2, principal))
        return principal

    def _keep(self, credential: str, entry: _Remembered) -> None:
        with self._lock:
            if len(self._remembered) >= _MOST_REMEMBERED:
                self._remembered.clear()
            self._remembered[credential] = entry

    def _of_key(self, credential: str) -> tuple[Principal, float]:
        parts = keys.parts(credential)
        if parts is None:
            raise unauthorized()
        slug, hashed = parts
        organization = organization_id(slug)
        with self._sessions.acting(Acting(organization)) as connection:
            row = api_keys.in_force(connection, organization, hashed)
            if row is None:
                raise unauthorized()
            if time.monotonic() - self._touched.get(row.id, -_TOUCH_SECONDS) >= _TOUCH_SECONDS:
                self._touched[row.id] = time.monotonic()
                api_keys.touch(connection, organization, row.id)
        person = row.user_id or user_id(organization, service_user(row.id))
        return Principal("key", slug, organization, row.role, f"key:{row.id}", row.user, person, row.id), BELIEVED_SECONDS

    def _of_token(self, credential: str) -> tuple[Principal, float]:
        kind = self._tokens.kind_of(credential)
        if kind == SESSION:
            raise unauthorized()  # a session is a cookie: taken from a header it would escape the CSRF check
        claims = self._tokens.read_own(credential, EXECUTION) if kind == EXECUTION else self._tokens.read_bearer(credential)
        # A token's own end must hold to the second, so it is not believed across it.
        return self._person(claims, "execution" if kind == EXECUTION else "person"), 0.2

    async def _of_cookie(self, request: HTTPConnection, cookie: str) -> Principal:
        if self._tokens.kind_of(cookie) != SESSION:
            raise unauthorized()
        claims = self._tokens.read_own(cookie, SESSION)
        if request.scope["method"] not in _SAFE:
            given = request.headers.get(CSRF_HEADER, "")
            if claims.csrf is None or not secrets.compare_digest(given.encode(), claims.csrf.encode()):
                raise Problem(403, "A request with a session cookie that changes something needs the session's X-CSRF-Token.")
        return await run_in_threadpool(self._person, claims, "person")

    def session(self, request: HTTPConnection) -> Claims | None:
        """What the request's session cookie says, where it carries one. Raises 401 for one that is not valid."""
        cookie = request.cookies.get(COOKIE)
        return None if not cookie else self._tokens.read_own(cookie, SESSION)

    def _person(self, claims: Claims, kind: str) -> Principal:
        if not re.fullmatch(ORGANIZATION_PATTERN, claims.organization) or claims.role not in ROLES:
            raise unauthorized()
        organization = organization_id(claims.organization)
        person = user_id(organization, claims.user) if claims.user is not None else None
        with self._sessions.acting(Acting(organization)) as connection:
            if not api_keys.organization_active(connection, organization):
                raise unauthorized()
            if person is not None and claims.user is not None:
                mark = fingerprint(organization, claims.user)
                if not api_keys.person_stands(connection, organization, person, mark, claims.issued):
                    raise unauthorized()
            if claims.key is not None and not api_keys.is_in_force(connection, organization, UUID(claims.key), claims.role):
                raise unauthorized()  # the session ends with the key that made it
            if claims.session_hash is not None and ended_sessions.is_ended(connection, organization, claims.session_hash):
                raise unauthorized()  # whoever signed out has signed out every copy of the cookie
        actor = f"user:{claims.user}" if claims.user is not None else "anonymous"
        if kind == "execution":
            if claims.execution is None:
                raise unauthorized()
            return Principal("execution", claims.organization, organization, "user", actor, claims.user, person, execution_id=claims.execution)
        return Principal("person", claims.organization, organization, claims.role, actor, claims.user, person)
