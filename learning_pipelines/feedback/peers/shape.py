"""Reading a peer's JSON: the field that is wrong is named in the peer's own words.

Belongs here: types of single fields. Not here: what fields mean.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from learning_pipelines.feedback.kinds import NESTED_TOO_DEEPLY


class Malformed(ValueError):
    """A payload that its own peer would refuse; `field` is the key at fault."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field} {reason}")
        self.field = field
        self.reason = reason


def required(payload: Mapping[str, Any], key: str) -> str:
    text = optional_text(payload, key)
    if text is None:
        raise Malformed(key, "is required")
    return text


def optional_text(payload: Mapping[str, Any], key: str) -> str | None:
    """None for a missing, null or empty value (tables have no null). Raises Malformed for anything but text or a number."""
    value = payload.get(key)
    if value is None or value == "" or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, bool | list | dict):
        raise Malformed(key, "must be text")
    return str(value)


def optional(payload: Mapping[str, Any], key: str, allowed: Sequence[str]) -> str | None:
    text = optional_text(payload, key)
    if text is not None and text not in allowed:
        raise Malformed(key, f"must be one of {', '.join(allowed)}")
    return text


def number(payload: Mapping[str, Any], key: str) -> float:
    value = payload.get(key)
    if isinstance(value, str):  # a table's cell
        value = {"true": 1.0, "false": 0.0}.get(value.lower(), value)
    try:
        given = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        raise Malformed(key, "must be a number") from None
    if not math.isfinite(given):
        raise Malformed(key, "must be a finite number")
    return given


def mapping(payload: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """An object; empty where it is missing or null."""
    value = payload.get(key)
    if value is None or value == "":
        return {}
    if not isinstance(value, Mapping):
        raise Malformed(key, "must be an object")
    return value


def decoded(data: bytes) -> Any:
    """JSON that can be stored again. Raises Malformed for what is no JSON in UTF-8, or nested deeper than it could be written."""
    try:
        document = orjson.loads(data)
        orjson.dumps(document)
    except orjson.JSONDecodeError as error:
        raise Malformed("The body", f"is not JSON in UTF-8: {error.msg} (column {error.colno})") from None
    except orjson.JSONEncodeError:
        raise Malformed("The body", NESTED_TOO_DEEPLY) from None
    return document
