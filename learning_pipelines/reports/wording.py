"""Single numbers of a report as people read them; what has nothing behind it reads "no evidence", never 0.

Belongs here: values in, words out, the same for Markdown, HTML and mail. Not here: layout.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

NONE = "no evidence"


def count(value: float | None) -> str:
    return NONE if value is None else f"{value:,.0f}"


def value(number: float | None, unit: str, digits: int | None = None) -> str:
    """`unit`: share (shown in percent), stars, score, usd or count."""
    if number is None:
        return NONE
    if unit == "share":
        return f"{100 * number:.{1 if digits is None else digits}f} %"
    if unit == "usd":
        return f"${number:,.2f}" if abs(number) >= 1 else f"${number:.4f}"
    if unit == "count":
        return f"{number:,.0f}"
    return f"{number:.{2 if digits is None else digits}f}"


def interval(bounds: Sequence[float | None] | None, unit: str) -> str:
    """Both ends; an end that is not bounded is said to be open."""
    if bounds is None:
        return ""
    low, high = ("open" if end is None else f"{100 * end:.1f}" if unit == "share" else f"{end:.2f}" for end in bounds)
    return f"{low} to {high}{' %' if unit == 'share' else ''}"


def change(number: float | None, unit: str) -> str:
    """With its sign; shares in points."""
    if number is None:
        return NONE
    shown = f"{100 * abs(number):.1f}" if unit == "share" else f"{abs(number):.2f}"
    sign = "±" if float(shown) == 0 else "+" if number > 0 else "−"
    return f"{sign}{shown}{' points' if unit == 'share' else ''}"


def changes(row: Mapping[str, Any]) -> str:
    """A change with its interval, and whether that is evidence of any."""
    if row["change"] is None:
        return NONE
    bounds, unit = row["change_interval"], row["unit"]
    if bounds is None:
        return change(row["change"], unit)
    low, high = (change(end, unit).removesuffix(" points") for end in bounds)
    said = {"up": "up", "down": "down"}.get(row["change_verdict"], "can be chance")
    return f"{change(row['change'], unit)} ({low} to {high}): {said}"


def failures(named: Mapping[str, Any]) -> str:
    """How often a check or job failed, and how many of these checks still do."""
    return f"{count(named['count'])}{', ' + count(named['still_failing']) + ' still failing' if named['still_failing'] else ''}"


def seconds(number: float) -> str:
    """In the largest unit that leaves a number above 1."""
    for size, name in ((3600, "h"), (60, "min")):
        if number >= size:
            return f"{number / size:.1f} {name}"
    return f"{number:.0f} s"


def day(moment: str) -> str:
    """The date of an ISO moment."""
    return moment[:10]
