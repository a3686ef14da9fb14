"""Cursors of lists: the place after the last row, as text that only this service reads.

Belongs here: writing and reading one. Not here: what a list is ordered by (storage/).
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
from collections.abc import Callable
from typing import TypeVar

import orjson

from learning_pipelines.api.problems import Problem

T = TypeVar("T")


def write_cursor(at: dt.datetime | str, identity: str) -> str:
    """The place of a row: when it is of, and its id."""
    return base64.urlsafe_b64encode(orjson.dumps([at, identity])).decode()


def read_cursor(text: str, identity_of: Callable[[str], T]) -> tuple[dt.datetime, T]:
    """The place that a cursor names. Raises Problem 422 for one that was not given by this service."""
    try:
        moment, identity = orjson.loads(base64.urlsafe_b64decode(text.encode("ascii")))
        at = dt.datetime.fromisoformat(moment)
        if at.tzinfo is None or not isinstance(identity, str) or "\x00" in identity:
            raise ValueError(text)
        return at, identity_of(identity)
    except (binascii.Error, ValueError, TypeError, UnicodeError):
        raise Problem(422, "The cursor is not one that this route gave.", field="cursor") from None
