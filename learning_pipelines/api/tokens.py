"""Signed tokens: bearer JWTs of an identity provider, our own short-lived tokens for one execution, and browser sessions.

Belongs here: making and checking signatures, audiences, expiry, claims. Not here: whether an organization or a key exists.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import logging
import os
import secrets
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import jwt

from learning_pipelines.api.problems import unauthorized
from learning_pipelines.errors import BadInput, Unavailable
from learning_pipelines.outbound import permitted_url
from learning_pipelines.settings import Settings

EXECUTION, SESSION = "execution+jwt", "session+jwt"
_AUDIENCE = {EXECUTION: "learning-execution", SESSION: "learning-session"}
_ASYMMETRIC = ["RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "EdDSA"]
LONGEST_SECONDS = 86_400
log = logging.getLogger("learning_pipelines.api")


@dataclass(frozen=True)
class Claims:
    """What a valid token says. `execution`, `csrf` and `key` only in our own tokens."""

    organization: str
    user: str | None
    role: str
    execution: str | None = None
    csrf: str | None = None
    key: str | None = None
    ends: dt.datetime | None = None
    issued: dt.datetime | None = None

    @property
    def session_hash(self) -> bytes | None:
        """Which session this is: a hash of what is random in it. None for other tokens."""
        return None if self.csrf is None else hashlib.sha256(self.csrf.encode()).digest()


class Tokens:
    """Makes and reads tokens of one installation. Reading raises 401 for anything that is not valid in every respect."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._names = [name.strip() for name in settings.jwt_claims.split(",")]
        if len(self._names) != 3 or not all(self._names):
            raise BadInput("LEARNING_JWT_CLAIMS must name three claims.", "For example sub,organization,role.")

    @cached_property
    def _secret(self) -> str:
        return self._settings.token_secret or _kept_secret(self._settings.home / "token_secret")

    @cached_property
    def _jwks(self) -> jwt.PyJWKClient | None:
        url = self._settings.jwks_url
        return None if url is None else jwt.PyJWKClient(permitted_url(url, "LEARNING_JWKS_URL"), cache_keys=True, lifespan=300, timeout=5)

    def kind_of(self, token: str) -> str:
        """`execution+jwt`, `session+jwt` or anything else (a bearer token from outside), from the unverified header."""
        try:
            return str(jwt.get_unverified_header(token).get("typ", "JWT"))
        except jwt.PyJWTError:
            raise unauthorized() from None

    def for_execution(self, organization: str, execution: str, user: str | None, seconds: int) -> tuple[str, dt.datetime]:
        """A token that permits feedback on one execution, and when it ends."""
        return self._make(EXECUTION, seconds, organization=organization, execution=execution, sub=user)

    def for_session(self, organization: str, user: str, role: str, seconds: int, key: str | None = None) -> tuple[str, str, dt.datetime]:
        """A browser session, the value its unsafe requests must repeat in X-CSRF-Token, and when it ends. `key`: the API key it was made by."""
        csrf = secrets.token_urlsafe(24)
        token, ends = self._make(SESSION, seconds, organization=organization, sub=user, role=role, csrf=csrf, key=key)
        return token, csrf, ends

    def read_own(self, token: str, kind: str) -> Claims:
        """The claims of a token this installation made."""
        claims = self._decode(token, self._secret, ["HS256"], _AUDIENCE[kind], ["exp", "aud", "organization"])
        return Claims(
            claims["organization"], claims.get("sub"), claims.get("role", "user"), claims.get("execution"), claims.get("csrf"), claims.get("key"),
            dt.datetime.fromtimestamp(claims["exp"], dt.UTC), _moment(claims.get("iat")),
        )  # fmt: skip

    def read_bearer(self, token: str) -> Claims:
        """The claims of an identity provider's token: HS256 with LEARNING_JWT_SECRET, or a key of LEARNING_JWKS_URL. Raises Unavailable where that is away."""
        audience = self._settings.jwt_audience
        if self._jwks is not None:
            try:
                key: Any = self._jwks.get_signing_key_from_jwt(token).key
            except jwt.PyJWKClientConnectionError as error:  # the provider's fault and nobody's credentials'
                log.error("the keys of LEARNING_JWKS_URL cannot be fetched: %s", error)
                raise Unavailable("The identity provider's keys cannot be fetched now.", "Try again in a moment.") from error
            except jwt.PyJWTError:
                raise unauthorized() from None
            claims = self._decode(token, key, _ASYMMETRIC, audience, ["exp"])
        elif self._settings.jwt_secret is not None:
            claims = self._decode(token, self._settings.jwt_secret, ["HS256"], audience, ["exp"])
        else:
            raise unauthorized()
        user, organization, role = (claims.get(name) for name in self._names)
        if not isinstance(user, str) or not 1 <= len(user) <= 255 or "\x00" in user or not isinstance(organization, str):
            raise unauthorized()
        return Claims(organization, user, "user" if role is None else str(role), issued=_moment(claims.get("iat")))

    def _make(self, kind: str, seconds: int, **claims: Any) -> tuple[str, dt.datetime]:
        now = dt.datetime.now(dt.UTC).replace(microsecond=0)  # a token knows whole seconds
        ends = now + dt.timedelta(seconds=seconds)
        payload = {**{name: value for name, value in claims.items() if value is not None}, "aud": _AUDIENCE[kind], "iat": now, "exp": ends}
        return jwt.encode(payload, self._secret, algorithm="HS256", headers={"typ": kind}), ends

    @staticmethod
    def _decode(token: str, key: Any, algorithms: list[str], audience: str | None, required: list[str]) -> dict[str, Any]:
        # Without an audience of ours, a token that was made for another audience is refused by PyJWT, too.
        try:
            claims: dict[str, Any] = jwt.decode(token, key, algorithms=algorithms, audience=audience, options={"require": required})
        except (jwt.PyJWTError, ValueError, TypeError):
            raise unauthorized() from None
        return claims


def _moment(seconds: Any) -> dt.datetime | None:
    """A time of a token; PyJWT has checked that `iat` is a number, where there is one."""
    return None if seconds is None else dt.datetime.fromtimestamp(float(seconds), dt.UTC)


def _kept_secret(path: Path) -> str:
    """The installation's own signing secret, made once (readable by its owner only)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    if not path.exists():
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(48))
        try:
            os.link(temporary, path)  # atomic, and whoever comes second takes the first one's
        except FileExistsError:
            pass
        finally:
            temporary.unlink()
    return path.read_text().strip()
