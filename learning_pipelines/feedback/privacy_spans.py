"""Belongs here: what every finder of personal data shares: findings, rules with their scores, the words around a number, blanking.
Not here: any particular kind of personal data (privacy_numbers.py, privacy_contacts.py), placeholders (privacy.py)."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass

BLANK = "\x00"  # Stands for text that is already dealt with: no digit, no letter, no part of an address.
NEVER = 2.0  # A score no finding reaches.

# Words that say a number is something else. They count right before it, or with one short word between ("invoice number is ...").
_JUST_BEFORE = r"\W{0,3}(?:[^\W\d]{1,9}\W{1,3})?$"
_OTHER_NUMBER = (
    r"(?:rechnung|beleg|bestell|auftrag|artikel|aktenzeichen|kundennummer|kunden-?nr"
    r"|konto|konten|vertrag|buchung|sendung|seriennummer|mandant|lieferschein|angebot"
    r"|gutschrift|betrag|summe|menge|preis|zeile|vorgang|charge|material|projekt|hinweis|zählerstand|personalnummer)\w*"
    r"|\b(?:invoices?|inv|order|article|item|sku|parts?|ticket|case|ref(?:erence)?|customer"
    r"|account|accounts|contract|serial|tracking|batch|amounts?|total|price|quantity"
    r"|isbn|ean|gtin|sap|po|document|receipt|line|id|eur|usd|chf|gbp|timestamp|build)\b|€|\$|£"
)
EDGE = r"(?<!\w)(?<!\d[-./,:])"
END = r"(?!\w)(?![-./:,]\d)"
GAP = r"[ \u00a0.-]?"


def words(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


def just_before(pattern: str) -> re.Pattern[str]:
    return re.compile(f"({pattern}){_JUST_BEFORE}", re.IGNORECASE)


OTHER = just_before(_OTHER_NUMBER)
NOTHING = re.compile(r"(?!)")


@dataclass(frozen=True, slots=True)
class Finding:
    """One span of personal data: where, what, and its value in normal form (equal values look equal)."""

    start: int
    end: int
    entity: str
    value: str


@dataclass(frozen=True, slots=True)
class Rule:
    """A pattern, how to score what it finds, and the score needed: with a word naming the entity nearby, with none, with a word against it."""

    entity: str
    pattern: re.Pattern[str]
    score: Callable[[str], float]
    floors: tuple[float, float, float]
    context: re.Pattern[str]
    against: re.Pattern[str] = OTHER


def certain(value: str) -> float:
    """The score of a pattern that says all there is to say."""
    return 1.0


def compact(value: str) -> str:
    """Letters and digits only, upper case, digits of any script as 0-9: the normal form of most numbers."""
    letters = "".join(character for character in value if character.isalnum()).upper()
    return letters if letters.isascii() else "".join(str(unicodedata.decimal(letter, letter)) for letter in letters)


_LINK = re.compile(r"^[\s(,:=-]*(?:(?:is|ist)\s(?:my|the|our|meine|unsere|die)\s)?(?:steuerliche\s)?")


def stance(text: str, start: int, end: int, context: re.Pattern[str], against: re.Pattern[str]) -> int:
    """0 where a word near the span names the entity, 2 where a nearer one speaks against it, 1 where neither does."""
    before = text[max(0, start - 60) : start]
    named = max((match.end() for match in context.finditer(before)), default=-1)
    word = against.search(before, max(0, len(before) - 40))
    opposed = word.end(1) if word else -1
    if named >= 0 and named >= opposed:
        return 0
    if opposed >= 0:
        return 2
    return 0 if context.match(_LINK.sub("", text[end : end + 40], count=1)) else 1


def apply(rule: Rule, text: str) -> Iterator[Finding]:
    for match in rule.pattern.finditer(text):
        start, end = match.span()
        floor = rule.floors[stance(text, start, end, rule.context, rule.against)]
        if floor <= 1 and rule.score(match[0]) >= floor:
            yield Finding(start, end, rule.entity, compact(match[0]) if rule.entity != "IP_ADDRESS" else match[0].lower())


def blank(text: str, spans: list[tuple[int, int]]) -> str:
    """The text with the spans (in order) turned into as many BLANKs."""
    pieces, position = [], 0
    for start, end in spans:
        pieces += [text[position:start], BLANK * (end - start)]
        position = end
    return "".join([*pieces, text[position:]]) if spans else text
