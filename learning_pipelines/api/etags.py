"""Whether what a browser or a client keeps is still the answer.

Belongs here: reading If-None-Match. Not here: what an ETag is made of (the routes that give one).
"""

from __future__ import annotations


def is_current(etag: str, if_none_match: str | None) -> bool:
    """Whether one of the ETags that the header names is this one; weak or strong, which is no difference to a GET."""
    return if_none_match is not None and etag in (part.strip().removeprefix("W/") for part in if_none_match.split(","))
