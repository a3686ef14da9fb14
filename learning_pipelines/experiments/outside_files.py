"""Data of experiments that ran elsewhere, from a file: events in order, or totals per variant, checked line by line.

Belongs here: JSON Lines → events or totals, refusals that name line and field. Not here: what they say (outside.py), bytes (feedback/lines.py).
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NoReturn, get_args

import orjson

from learning_pipelines.errors import BadInput
from learning_pipelines.feedback.lines import open_lines

Scale = Literal["binary", "bounded", "continuous"]
SCALES: tuple[Scale, ...] = get_args(Scale)
_EVENT, _TOTALS = ("unit", "variant", "value"), ("variant", "n", "sum", "sum_squares")
_SHAPES = "A line is an event {unit, variant, value, at} or the totals of a variant {variant, n, sum, sum_squares}."


@dataclass(slots=True)
class Events:
    """In the order of the file. `variants` in the order in which they are first named; `variant` of each event as a position in them."""

    variants: list[str] = field(default_factory=list)
    unit: list[str] = field(default_factory=list)
    variant: list[int] = field(default_factory=list)
    value: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Totals:
    """Of one variant; `line` where it stands."""

    line: int
    variant: str
    n: int
    total: float
    squares: float


def read(path: Path, scale: Scale) -> Events | list[Totals]:
    """The events or totals of a .jsonl or .jsonl.gz file, at least two variants of them. Raises BadInput naming line and field."""
    lines = _objects(path)
    first = next(lines, None)
    if first is None:
        raise BadInput(f"{path} is empty.", _SHAPES)
    number, one = first
    if "unit" in one and "n" in one:
        _refuse(number, "unit", "stands beside n: is this an event or the totals of a variant?", _SHAPES)
    read_all = _events if "unit" in one or "value" in one else _totals
    return read_all(_chained(first, lines), scale)


def _events(lines: Iterator[tuple[int, dict[str, Any]]], scale: Scale) -> Events:
    events, positions = Events(), dict[str, int]()
    before: tuple[dt.datetime, int] | None = None
    for number, one in lines:
        _whole(number, one, _EVENT, "an event", "n")
        unit = one["unit"]
        if isinstance(unit, bool) or not isinstance(unit, str | int) or unit == "":
            _refuse(number, "unit", "must be the name or the number of a unit")
        if (at := _time(number, one.get("at"))) is not None:
            if before is not None and at < before[0]:
                _refuse(number, "at", f"is earlier than in line {before[1]}", "Looks follow the order of the file: sort it by time, by one clock.")
            before = at, number
        events.unit.append(str(unit))
        events.variant.append(positions.setdefault(_variant(number, one), len(positions)))
        events.value.append(_value(number, one["value"], scale))
    events.variants = list(positions)
    _two(events.variants)
    return events


def _totals(lines: Iterator[tuple[int, dict[str, Any]]], scale: Scale) -> list[Totals]:
    found: dict[str, Totals] = {}
    for number, one in lines:
        _whole(number, one, _TOTALS, "the totals of a variant", "unit")
        variant = _variant(number, one)
        if variant in found:
            _refuse(number, "variant", f"{variant!r} has its totals in line {found[variant].line} already", "Give each variant one line.")
        n = one["n"]
        if isinstance(n, bool) or not isinstance(n, int) or n < 2:
            _refuse(number, "n", "must be a whole number, at least 2: one value has no spread")
        row = Totals(number, variant, n, _number(number, "sum", one["sum"]), _number(number, "sum_squares", one["sum_squares"]))
        _possible(row, scale)
        found[variant] = row
    _two(list(found))
    return list(found.values())


def _possible(row: Totals, scale: Scale) -> None:
    """Refuses sums that no n values of the scale have."""
    little = 1e-9 * max(1.0, row.squares)
    if scale != "continuous" and not 0 <= row.total <= row.n:
        _refuse(row.line, "sum", f"must lie between 0 and n ({row.n}) where every value lies between 0 and 1")
    if scale == "binary" and not (float(row.total).is_integer() and row.squares == row.total):
        _refuse(row.line, "sum_squares", "must equal sum, a whole number, where every value is 0 or 1")
    if row.squares * row.n < row.total**2 * (1 - 1e-12):
        _refuse(row.line, "sum_squares", f"is too small: {row.n} values that sum to {row.total:g} have at least {row.total**2 / row.n:g}")
    if scale == "bounded" and row.squares > row.total + little:
        _refuse(row.line, "sum_squares", "is larger than sum, which values between 0 and 1 cannot have")


def _value(number: int, given: Any, scale: Scale) -> float:
    value = float(given) if isinstance(given, bool) else _number(number, "value", given)
    if scale == "binary" and value not in (0.0, 1.0):
        _refuse(number, "value", f"is {value:g}, and a binary value is 0 or 1", "--metric bounded takes values between 0 and 1, continuous any.")
    if scale == "bounded" and not 0 <= value <= 1:
        _refuse(number, "value", f"is {value:g}, and a bounded value lies between 0 and 1", "Scale it: one to five stars as (stars - 1) / 4.")
    return value


def _number(number: int, name: str, given: Any) -> float:
    if isinstance(given, bool) or not isinstance(given, int | float) or not math.isfinite(float(given)):
        _refuse(number, name, "must be a number")
    return float(given)


def _variant(number: int, one: dict[str, Any]) -> str:
    variant = one["variant"]
    if not isinstance(variant, str) or not variant.strip():
        _refuse(number, "variant", "must be the name of a variant")
    return str(variant)


def _time(number: int, given: Any) -> dt.datetime | None:
    """None where none is given. Times without a zone are taken for UTC."""
    if given is None:
        return None
    try:
        if isinstance(given, str):
            at = dt.datetime.fromisoformat(given)
        elif isinstance(given, int | float) and not isinstance(given, bool):
            at = dt.datetime.fromtimestamp(given, dt.UTC)
        else:
            raise ValueError
        return at.replace(tzinfo=at.tzinfo or dt.UTC)
    except (ValueError, OverflowError, OSError):
        _refuse(number, "at", "must be a time like 2026-03-01T09:00:00Z, or seconds since 1970")


def _whole(number: int, one: dict[str, Any], needed: tuple[str, ...], what: str, foreign: str) -> None:
    if foreign in one and ("n" if foreign == "unit" else "unit") not in one:
        _refuse(number, foreign, f"stands in a file whose first line is {what}", "Put events and totals into files of their own.")
    for name in needed:
        if name not in one:
            _refuse(number, name, f"is missing from {what}", _SHAPES)


def _two(variants: list[str]) -> None:
    if len(variants) < 2:
        raise BadInput(f"The file names one variant only: {variants[0]!r}.", "A comparison needs the control, named first, and at least one other.")


def _objects(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    for line in open_lines(path):
        try:
            one = orjson.loads(line.data or b"")
        except orjson.JSONDecodeError as error:
            _refuse(line.number, None, f"is no JSON ({error})" if line.data is not None else "is too long", "NaN and Infinity are no JSON: leave them out.")
        if not isinstance(one, dict):
            _refuse(line.number, None, "is no JSON object", _SHAPES)
        yield line.number, one


def _chained(first: tuple[int, dict[str, Any]], rest: Iterator[tuple[int, dict[str, Any]]]) -> Iterator[tuple[int, dict[str, Any]]]:
    yield first
    yield from rest


def _refuse(number: int, name: str | None, reason: str, advice: str = "Nothing was analysed: put it right, or leave the line out.") -> NoReturn:
    raise BadInput(f"Line {number}{', ' + name + ':' if name else ''} {reason}.", advice)
