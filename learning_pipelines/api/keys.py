"""What an API key looks like, and the roles there are: light enough for the command line.

Belongs here: making a key, reading its parts. Not here: whether it is in force (storage/api_keys.py), what it may do (principals.py).
"""

from __future__ import annotations

import hashlib
import re
import secrets
from typing import Literal

from learning_pipelines.feedback.kinds import ORGANIZATION_PATTERN

Role = Literal["user", "expert", "trainer", "experimenter", "admin"]
ROLES: tuple[Role, ...] = ("user", "expert", "trainer", "experimenter", "admin")
BELIEVED_SECONDS = 1.0
"""How long a service takes a key for what it was: a revoked key works at most this much longer (`keys revoke` waits as long)."""
_KEY = re.compile(rf"lp_({ORGANIZATION_PATTERN[1:-1]})_([A-Za-z0-9_-]{{16,128}})")


def new_key(organization: str) -> tuple[str, bytes]:
    """A new API key and the hash that is stored of it. 256 random bits: no slow hash is needed."""
    secret = secrets.token_urlsafe(32)
    return f"lp_{organization}_{secret}", _hash(secret)


def parts(key: str) -> tuple[str, bytes] | None:
    """The organization's slug and the secret's hash; None if this is no key."""
    match = _KEY.fullmatch(key)
    return None if match is None else (match[1], _hash(match[2]))


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
