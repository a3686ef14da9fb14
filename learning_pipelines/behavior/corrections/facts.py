"""The facts a text states: numbers with units, dates, times, names and codes; English and German.

Belongs here: reading facts out of one text, and which facts of two texts do not match. Not here: how much that matters (significance.py).

A fact is compared by what it says: 1,000 is 1000, 50 % is 50 percent, 24 hours are 1 day, 2 May 2018 is 2018-05-02 and agrees with 2 May. Where a
number can be read in two ways (1.000; 1,234) both readings count. In German, where every noun has a capital, only words in capitals, codes and
placeholders count as names; a changed German name shows in the vectors alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, TypeVar

from learning_pipelines.behavior.corrections.units import MONTHS, SCALES, UNITS, WORDS
from learning_pipelines.feedback.privacy_placeholders import PLACEHOLDER

Family = Literal["number", "date", "entity"]
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Number:
    """`readings`: what it may mean, in base units of `dimension` ('' without a unit)."""

    text: str
    readings: frozenset[float]
    dimension: str = ""


@dataclass(frozen=True, slots=True)
class Date:
    """Parts that are not given are 0."""

    text: str
    year: int
    month: int
    day: int


@dataclass(frozen=True, slots=True)
class Entity:
    """A name, a code or a placeholder such as <EMAIL_1>."""

    text: str
    key: str


@dataclass(frozen=True, slots=True)
class Facts:
    numbers: tuple[Number, ...] = ()
    dates: tuple[Date, ...] = ()
    entities: tuple[Entity, ...] = ()
    words: frozenset[str] = frozenset()
    """All words and codes, casefolded."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Facts of one family that the other text does not state, as written."""

    gone: tuple[str, ...] = ()
    new: tuple[str, ...] = ()


_MONTH = "|".join(sorted(MONTHS, key=len, reverse=True))
_DATES = (
    re.compile(r"\b(?P<y>[12]\d{3})-(?P<m>\d{1,2})-(?P<d>\d{1,2})\b"),
    re.compile(r"\b(?P<d>\d{1,2})\.\s?(?P<m>\d{1,2})\.\s?(?P<y>(?:[12]\d)?\d{2})\b"),
    re.compile(r"\b(?P<m>\d{1,2})/(?P<d>\d{1,2})/(?P<y>(?:[12]\d)?\d{2})\b"),
    re.compile(rf"\b(?P<d>\d{{1,2}})(?:st|nd|rd|th|\.)?\s+(?:of\s+)?(?P<n>{_MONTH})\b\.?(?:,?\s+(?P<y>[12]\d{{3}})\b)?", re.IGNORECASE),
    re.compile(rf"\b(?P<n>{_MONTH})\.?\s+(?P<d>\d{{1,2}})(?:st|nd|rd|th)?\b(?!\s*%)(?:,?\s+(?P<y>[12]\d{{3}})\b)?", re.IGNORECASE),
    re.compile(rf"\b(?P<n>{_MONTH})\.?\s+(?P<y>[12]\d{{3}})\b", re.IGNORECASE),
)
_CLOCK = re.compile(r"\b(\d{1,2})(?::([0-5]\d))?\s?(a\.?m\b\.?|p\.?m\b\.?|uhr\b|o['’]clock\b)|\b([01]?\d|2[0-3]):([0-5]\d)\b", re.IGNORECASE)
_SIGN = r"[€$£¥]|us\$"
_NUMBER = re.compile(
    rf"(?P<before>{_SIGN}|\b(?:eur|usd|gbp|chf)\b)?\s?(?P<sign>(?<![\w.,)])[-−])?"
    r"(?<![\w.])(?<![^\W\d_]-)(?P<value>\d{1,3}(?:[\u00a0\u202f ]\d{3})+(?![\d])|\d[\d.,'’]*\d|\d)"
    r"(?P<order>(?:st|nd|rd|th)\b)?(?:[\s\u00a0-]?(?P<scale>[a-z]+)\b\.?)?(?:[\s\u00a0-]?(?P<unit>%|°[cf]|[€$£¥]|[a-zäöüß]+\b))?",
    re.IGNORECASE,
)
_SPELT = re.compile(rf"\b(?P<word>{'|'.join(sorted(WORDS, key=len, reverse=True))})(?:[\s-](?P<unit>[a-zäöüß]+))?\b", re.IGNORECASE)
_WORD = re.compile(r"[^\W_]+(?:[-_./'’][^\W_]+)*")
_SENTENCE_START = re.compile(r"(?:^|[.!?:;…\n\"“”„«»(*•-])\s*$")
_GERMAN = frozenset("der die das und ist sind nicht ein eine einen den dem des wird werden auf für mit von zu im bei oder".split())  # noqa: SIM905
_NO_NAMES = frozenset("i i'm i'll i've i'd ok yes no the a an of and dr mr mrs ms".split())  # noqa: SIM905


@lru_cache(maxsize=4_096)
def facts_of(text: str) -> Facts:
    """Everything the text states. What is read as one kind is not read as another again."""
    rest = text
    placeholders = [Entity(found[0], found[0]) for found in PLACEHOLDER.finditer(rest)]
    rest = PLACEHOLDER.sub(_blank, rest)
    dates: list[Date] = []
    for pattern in _DATES:
        rest = _take(pattern, rest, _date, dates)
    numbers: list[Number] = []
    rest = _take(_CLOCK, rest, _clock, numbers)
    rest = _take(_NUMBER, rest, _number, numbers)
    rest = _take(_SPELT, rest, _spelt, numbers)
    words = list(_WORD.finditer(rest))
    entities = [*placeholders, *_entities(text, words)]
    return Facts(tuple(numbers), tuple(dates), tuple(entities), frozenset(_key(found[0]) for found in _WORD.finditer(text)))


def differences(one: Facts, two: Facts) -> dict[Family, Difference]:
    """Per family what only one of them states; families without a difference are left out."""
    found: dict[Family, Difference] = {
        "number": Difference(_texts(_other_numbers(one, two)), _texts(_other_numbers(two, one))),
        "date": Difference(_texts(_other_dates(one, two)), _texts(_other_dates(two, one))),
        "entity": Difference(tuple(_names(one.entities, two)), tuple(_names(two.entities, one))),
    }
    return {family: difference for family, difference in found.items() if difference.gone or difference.new}


def anchors(one: Facts, two: Facts) -> frozenset[str]:
    """What `two` states and `one` does not, each in one spelling: corrections that bring in other facts are other corrections."""
    found = [f"number:{fact.dimension}:{min(fact.readings):g}" for fact in _other_numbers(two, one)]
    found += [f"date:{fact.year}-{fact.month}-{fact.day}" for fact in _other_dates(two, one)]
    return frozenset([*found, *(f"entity:{_key(name)}" for name in _names(two.entities, one))])


def _names(entities: Iterable[Entity], other: Facts) -> Iterator[str]:
    """Names whose words the other text does not have in any spelling: another capital or place in the sentence changes nothing."""
    held = other.words | {entity.key for entity in other.entities}
    seen: set[str] = set()
    for entity in entities:
        if entity.key not in held and entity.key not in seen:
            seen.add(entity.key)
            yield entity.text


def _other_numbers(one: Facts, two: Facts) -> list[Number]:
    """Numbers of `one` that `two` does not state. Saying the same twice is no other fact; units must agree where both give one."""
    held = {(dimension, _digits(value)) for fact in two.numbers for value in fact.readings for dimension in (fact.dimension, None)}
    bare = {_digits(value) for fact in two.numbers if not fact.dimension for value in fact.readings}

    def stated(fact: Number) -> bool:
        dimension = fact.dimension or None
        return any((dimension, _digits(value)) in held or _digits(value) in bare for value in fact.readings)

    return [fact for fact in one.numbers if not stated(fact)]


def _digits(value: float) -> str:
    return f"{value:.9g}"


def _other_dates(one: Facts, two: Facts) -> list[Date]:
    held = set(two.dates)
    return [fact for fact in one.dates if not any(_same_date(fact, other) for other in held)]


def _texts(facts: Iterable[Number | Date]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(fact.text for fact in facts))


def _same_date(one: Date, two: Date) -> bool:
    return all(a == b or not a or not b for a, b in ((one.year, two.year), (one.month, two.month), (one.day, two.day)))


def _take(pattern: re.Pattern[str], text: str, read: Callable[[re.Match[str]], tuple[_T, int] | None], into: list[_T]) -> str:
    """Reads every match into the list; what was read (up to the end that `read` gives) is blanked out of the text that comes back."""
    pieces, at = [], 0
    while (found := pattern.search(text, at)) is not None:
        taken = read(found)
        if taken is None:
            pieces.append(text[at : found.end()])
            at = found.end()
            continue
        fact, end = taken
        into.append(fact)
        pieces += [text[at : found.start()], " " * (end - found.start())]
        at = end
    return "".join([*pieces, text[at:]])


def _blank(found: re.Match[str]) -> str:
    return " " * len(found[0])


def _date(found: re.Match[str]) -> tuple[Date, int] | None:
    groups = found.groupdict()
    year, day = int(groups["y"] or 0), int(groups.get("d") or 0)
    month = int(groups["m"]) if groups.get("m") else MONTHS[groups["n"].lower()]
    if month > 12 and "/" in found[0]:
        month, day = day, month
    if not 1 <= month <= 12 or day > 31:
        return None
    if 0 < year < 100:
        year += 2_000 if year < 70 else 1_900
    return Date(found[0].strip(), year, month, day), found.end()


def _clock(found: re.Match[str]) -> tuple[Number, int] | None:
    hour, minute = int(found[1] or found[4]), int(found[2] or found[5] or 0)
    half = (found[3] or "").lower().replace(".", "")
    if hour > 24:
        return None
    if half in ("am", "pm"):
        hour = hour % 12 + (12 if half == "pm" else 0)
    return Number(found[0], frozenset({float(hour * 60 + minute)}), "clock"), found.end()


def _number(found: re.Match[str]) -> tuple[Number, int] | None:
    readings = _readings(found["value"])
    end, scale, unit = found.end("value"), 1.0, (found["before"] or "").lower()
    if found["order"]:
        end = found.end("order")
    first, second = (found["scale"] or "").lower(), (found["unit"] or "").lower()
    if first in SCALES:
        scale, end = SCALES[first], found.end("scale")
        if second in UNITS and not unit:
            unit, end = second, found.end("unit")
    elif first in UNITS and not unit:
        unit, end = first, found.end("scale")
    elif not first and second in UNITS and not unit:
        unit, end = second, found.end("unit")
    if end < len(found.string) and (found.string[end].isalpha() or found.string[end] == "_"):
        return None  # part of a code such as 4XZ-1
    dimension, factor = UNITS.get(unit, ("", 1.0))
    sign = -1.0 if found["sign"] else 1.0
    return Number(found.string[found.start() : end].strip(), frozenset(sign * value * scale * factor for value in readings), dimension), end


def _readings(written: str) -> set[float]:
    """A mark before exactly three digits may stand for thousands; the last of two kinds of mark is the decimal one."""
    plain = re.sub(r"['’\s]", "", written).rstrip(".,")
    marks = [mark for mark in plain if mark in ".,"]
    if not marks:
        return {float(plain)}
    grouped = re.fullmatch(r"\d{1,3}(?:([.,])\d{3})(?:\1\d{3})*", plain) is not None
    whole = float(re.sub(r"[.,]", "", plain))
    if len(set(marks)) == 1 and len(marks) == 1:
        decimal = float(plain.replace(",", "."))
        return {whole, decimal} if grouped and not plain.startswith("0") else {decimal}
    if len(set(marks)) == 1:
        return {whole}
    last = max(plain.rfind("."), plain.rfind(","))
    return {float(re.sub(r"[.,]", "", plain[:last]) + "." + re.sub(r"[.,]", "", plain[last + 1 :]))}


def _spelt(found: re.Match[str]) -> tuple[Number, int] | None:
    unit, end = (found["unit"] or "").lower(), found.end("word")
    if unit in UNITS:
        end = found.end("unit")
    dimension, factor = UNITS.get(unit, ("", 1.0))
    scale = SCALES.get(unit, 1.0)
    return Number(found.string[found.start() : end], frozenset({WORDS[found["word"].lower()] * scale * factor}), dimension), end


def _entities(text: str, words: Sequence[re.Match[str]]) -> Iterator[Entity]:
    """Names and codes. The first word of a sentence counts only if it is one by itself (a code, capitals, a capital inside)."""
    german = sum(word[0].lower() in _GERMAN for word in words) >= max(1, len(words) // 12) and not re.search(r"\b(?:the|is|are|of|and)\b", text)
    shouted = sum(word[0].isupper() and len(word[0]) > 1 for word in words) > len(words) / 2 > 1
    for found in words:
        word = found[0]
        coded = any(letter.isdigit() for letter in word) and any(letter.isalpha() for letter in word)
        capitals = len(word) > 1 and word.isupper() and not shouted
        inside = any(letter.isupper() for letter in word[1:]) and not word.isupper()
        named = word[0].isupper() and not german and not shouted and not _SENTENCE_START.search(text[max(0, found.start() - 3) : found.start()])
        if (coded or capitals or inside or named) and _key(word) not in _NO_NAMES:
            yield Entity(word, _key(word))


def _key(word: str) -> str:
    return re.sub(r"['’]s?$", "", word.casefold())
