"""From a decoded line or body to a checked record with its identity, or to the reason why not.

Belongs here: validation in words, the canonical form, the content hash. Not here: files, HTTP, the database.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from dataclasses import dataclass
from typing import Any

import orjson
from pydantic import ValidationError

from learning_pipelines.feedback.kinds import NESTED_TOO_DEEPLY, Record

_NUL = b"\\u0000"
_ONE_DAY = dt.timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Checked:
    """A valid record: its id (given, or the SHA-256 of its canonical form) and the hash that says whether it is the same."""

    record: Record
    id: str
    content_hash: bytes


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a record is refused; `field` is the key at fault, None where it is the whole."""

    field: str | None
    reason: str


@dataclass(frozen=True)
class Window:
    """The time in which a record may have happened."""

    earliest: dt.datetime
    latest: dt.datetime

    @classmethod
    def around(cls, now: dt.datetime, start: dt.date, zone: dt.tzinfo) -> Window:
        """From the first day that counts to one day ahead of `now` (clocks differ)."""
        return cls(dt.datetime.combine(start, dt.time(), zone), now + _ONE_DAY)

    def refusal(self, moment: dt.datetime) -> Refusal | None:
        if moment < self.earliest:
            return Refusal("created_at", f"{moment.isoformat()} is before {self.earliest.date()}, the first day that counts (LEARNING_START_DATE)")
        if moment > self.latest:
            return Refusal("created_at", f"{moment.isoformat()} is more than a day in the future")
        return None


def check(model: type[Record], value: object, window: Window) -> Checked | Refusal:
    """Validates one decoded JSON value as `model`; returns the record with its identity, or the first reason against it."""
    if not isinstance(value, dict):
        return Refusal(None, f"is {_json_type(value)}, expected an object such as {{{model.kind}: …}}")
    try:
        record = model.model_validate(value)
    except ValidationError as error:
        return _in_words(error)
    moment: dt.datetime | None = record.own("created_at")
    if moment is not None and (late := window.refusal(moment)) is not None:
        return late
    try:
        canonical = canonical_form(value, moment)
    except orjson.JSONEncodeError:
        return Refusal(None, NESTED_TOO_DEEPLY)
    if _NUL in canonical and (path := _nul_path(value)) is not None:
        return Refusal(path, "contains a NUL character (\\u0000), which PostgreSQL cannot store; remove it")
    digest = hashlib.sha256(canonical)
    given = record.own(model.id_key) if model.id_key else None
    return Checked(record, given or digest.hexdigest(), digest.digest())


def canonical_form(value: dict[str, Any], moment: dt.datetime | None) -> bytes:
    """The same bytes for the same content: keys sorted, no empty values, 5.0 as 5, the time in UTC."""
    kept = {
        key: int(item) if isinstance(item, float) and item.is_integer() else item
        for key, item in value.items()
        if item is not None and item != [] and item != {}
    }
    if moment is not None:
        kept["created_at"] = moment.astimezone(dt.UTC)
    return orjson.dumps(kept, option=orjson.OPT_SORT_KEYS | orjson.OPT_UTC_Z)


def _in_words(error: ValidationError) -> Refusal:
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    # Where a key takes one of several types, the type that was tried stands in the path too.
    field = ".".join(str(part) for part in first["loc"] if part != "str" and not str(part).startswith(("function-", "dict["))) or None
    reason = first["msg"].removeprefix("Value error, ")
    if first["type"] == "missing":
        return Refusal(field, "is required")
    if first["type"] == "string_pattern_mismatch" and reason.endswith("'\\S'"):
        return Refusal(field, "must not be blank")
    if first["type"] == "value_error" and ": " in reason:  # raised by a model about one of its fields
        field, reason = reason.split(": ", 1)
    return Refusal(field, reason.removeprefix("Input ")[:1].lower() + reason.removeprefix("Input ")[1:])


def _nul_path(value: object, path: str = "") -> str | None:
    if isinstance(value, str):
        return path if "\x00" in value else None
    if isinstance(value, dict):
        for key, item in value.items():
            if "\x00" in key:
                return f"{path}.{key!r}".lstrip(".")
            if (found := _nul_path(item, f"{path}.{key}".lstrip("."))) is not None:
                return found
    if isinstance(value, list):
        for position, item in enumerate(value):
            if (found := _nul_path(item, f"{path}.{position}")) is not None:
                return found
    return None


def _json_type(value: object) -> str:
    names: dict[type, str] = {list: "an array", str: "a string", bool: "a boolean", int: "a number", float: "a number", type(None): "null"}
    return names.get(type(value), "no object")
