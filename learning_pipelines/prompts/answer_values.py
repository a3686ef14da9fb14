"""Numbers and JSON as models write them: among words, in code fences, with thousands separators.

Belongs here: reading a value out of a text. Not here: whether it is right (metrics.py).
"""

from __future__ import annotations

import json
import re
from decimal import Decimal, DecimalException
from typing import Any

from learning_pipelines.prompts.metric_options import Tolerance

NO_JSON = object()
MOST_STARTS = 100
"""A text full of brackets is looked at from this many of them."""
_SPACES = "'’\u00a0\u202f\u2009"
_CURRENCY = "$€£¥₹"
_NUMBER = re.compile(rf"(?<![\w.])[+\-\u2212]?[{_CURRENCY}]?(?:\d+(?:[.,]\d+|[{_SPACES}]\d{{3}}(?!\d))*|\.\d+)(?:[eE][+-]?\d{{1,4}}(?!\w))?")
_GROUPED = re.compile(r"\d{1,3}(?:,\d{3})+|\d{1,3}(?:\.\d{3}){2,}")


def number_in(text: str, *, last: bool = False) -> Decimal | None:
    """The first (or last) number of a text, None if there is none. A number inside a word (Q3, v2) does not count.

    Commas, apostrophes and narrow spaces that separate thousands are read as such. Where both , and . occur the latter of them is the
    decimal mark; a single comma is one unless three digits follow ("3,5" is 3.5, "1,234" is 1234); a single full stop always is. Other commas
    part numbers (1,2,3).
    """
    found = [number for match in _NUMBER.finditer(text) for number in _numbers(match.group())]
    return None if not found else found[-1 if last else 0]


def as_number(value: Any) -> Decimal | None:
    """A JSON number, or a text that is nothing but a number."""
    if isinstance(value, Decimal):
        return value
    if isinstance(value, str) and (match := _NUMBER.fullmatch(value.strip())):
        return _read(match.group())
    return None


def within(given: Decimal, wanted: Decimal, tolerance: Tolerance) -> bool:
    """Whether a number is close enough to the expected one."""
    if given == wanted:
        return True
    try:
        off = abs(given - wanted)
        return off <= Decimal(repr(tolerance.absolute)) or off <= Decimal(repr(tolerance.relative)) * abs(wanted)
    except DecimalException:  # numbers beyond all measure are not close to each other
        return False


def json_in(text: str) -> Any:
    """The first JSON object or array of a text, be it all of it, in a fence or among words; else the text's own JSON value; else NO_JSON.

    Numbers are Decimal, so that 0.1 is 0.1.
    """
    decoder = json.JSONDecoder(parse_float=Decimal, parse_int=Decimal, parse_constant=_no_number)
    try:
        return decoder.decode(text.strip())
    except (ValueError, RecursionError):
        pass
    for start in [match.start() for match in re.finditer(r"[\[{]", text)][:MOST_STARTS]:
        try:
            return decoder.raw_decode(text, start)[0]
        except (ValueError, RecursionError):
            continue
    return NO_JSON


def _numbers(written: str) -> list[Decimal]:
    number = _read(written)
    if number is not None:
        return [number]
    return [number for part in written.split(",") if "," in written and (number := _read(part)) is not None]


def _read(written: str) -> Decimal | None:
    mantissa, _, exponent = written.replace("\u2212", "-").lower().partition("e")
    sign = mantissa[:1] if mantissa[:1] in ("+", "-") else ""
    digits = re.sub(rf"[{_SPACES}{_CURRENCY}]", "", mantissa.removeprefix(sign))
    if _GROUPED.fullmatch(digits):
        digits = digits.replace(",", "").replace(".", "")
    elif "," in digits and "." in digits:
        decimal, other = (",", ".") if digits.rfind(",") > digits.rfind(".") else (".", ",")
        digits = digits.replace(other, "").replace(decimal, ".")
    else:
        digits = digits.replace(",", ".")
    try:
        return Decimal(f"{sign}{digits}{'e' + exponent if exponent else ''}")
    except DecimalException:  # 1.2.3 is a version, not a number
        return None


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")
