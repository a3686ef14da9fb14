"""How the erasure of a person stands, as the service answers it.

Belongs here: the values. Not here: HTTP (transport.py), what is erased (the service's).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Erasure:
    """True once the person is erased; then `certificate` says what was done, without a word of whom: keep it.

    `id`: under which the service goes on with it and `client.erasure(id)` asks how it stands; None: nothing was begun, and `reason` says why.
    `state`: requested, erasing or done; None where it is not known.
    """

    id: str | None = None
    state: str | None = None
    certificate: Mapping[str, Any] | None = None
    reason: str | None = None

    def __bool__(self) -> bool:
        return self.certificate is not None


def read(data: Mapping[str, Any]) -> Erasure | None:
    """The service's answer: a certificate, or how it stands; None if it is neither."""
    try:
        if "certificate_id" in data:
            return Erasure(str(data["certificate_id"]), "done", dict(data))
        certificate = data.get("certificate")
        return Erasure(str(data["erasure_id"]), str(data["state"]), None if certificate is None else dict(certificate))
    except (KeyError, TypeError, ValueError):
        return None
