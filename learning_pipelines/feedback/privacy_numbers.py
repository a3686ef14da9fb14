"""Belongs here: numbers of accounts, persons and companies that a checksum or a structure confirms, scored from 0 (is none) to 1 (is one).
Not here: how they look in a text and which words count beside them (privacy_patterns.py), telephones (privacy_contacts.py)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from functools import cache

from learning_pipelines.feedback.privacy_spans import Finding, compact

# python-stdnum is imported where it is needed: with what it pulls in itself it takes tens of milliseconds, and most texts need none of it.

_IBAN_HEAD = re.compile(r"(?<![A-Za-z0-9])([A-Za-z]{2})\d{2}(?=[ \u00a0.-]?[A-Za-z0-9])")
_WEIGHTS = (2, 1, 2, 5, 7, 1, 2, 1, 2, 1, 2, 1)


def ibans(text: str) -> Iterator[Finding]:
    """International bank account numbers, in one piece or in groups."""
    for head in _IBAN_HEAD.finditer(text):
        length = _iban_length(head[1].upper())
        end = _end_of(text, head.start(), length) if length else None
        if end and _is_iban(value := compact(text[head.start() : end])):
            yield Finding(head.start(), end, "IBAN", value)


def card(value: str) -> float:
    """Luhn's checksum; printed in groups it can hardly be another number."""
    from stdnum import luhn

    return 0.0 if not luhn.is_valid(compact(value)) else 0.8 if value.isdigit() else 1.0


def vat(value: str) -> float:
    """1 where the country's checksum holds, .5 where none is asked for."""
    number = compact(value)
    if number.startswith("DE"):
        from stdnum.de import vat as german

        return float(german.is_valid(number))
    if number.startswith("AT"):
        from stdnum.at import uid

        return float(uid.is_valid(number))
    if number.startswith(("GB", "XI")):
        from stdnum.gb import vat as british

        return float(british.is_valid(number))
    return 0.5


def de_tax_id(value: str) -> float:
    """The checksum, and no digit more than three times; stdnum.de.idnr asks that just one digit repeats, too strict where a miss costs more."""
    from stdnum.iso7064 import mod_11_10

    number = compact(value)
    return float(max(Counter(number[:10]).values()) <= 3 and mod_11_10.is_valid(number))


def de_social_security(value: str) -> float:
    """A day and month of birth (days from 51 on: the same day, once more) and the checksum; stdnum has none of this number."""
    number = compact(value)
    if not 1 <= int(number[4:6]) <= 12 or not 1 <= int(number[2:4]) % 50 <= 31:
        return 0.0
    digits = f"{number[:8]}{ord(number[8]) - ord('A') + 1:02}{number[9:11]}"
    total = sum(sum(divmod(int(digit) * weight, 10)) for digit, weight in zip(digits, _WEIGHTS, strict=True))
    return float(total % 10 == int(number[11]))


def us_ssn(value: str) -> float:
    """.5 in groups, where such a number could have been given out; else .05, for it says little unless a word names it."""
    from stdnum.us import ssn

    number = compact(value)
    given_out = number[0] == "9" or ssn.is_valid(number)  # from 9 on: other numbers of taxpayers, written alike
    sample = number == "123456789" or len(set(number)) == 1
    return 0.5 if given_out and not sample and not value.isdigit() else 0.05


def us_itin(value: str) -> float:
    """The pattern knows the groups in use (stdnum not yet those from 50 to 65); what counts beside them is how it is written."""
    return (0.3, 0.05, 0.5)[sum(not character.isdigit() for character in value)]


@cache
def _iban_length(country: str) -> int:
    """How long the country's IBANs are, 0 where it has none."""
    from stdnum import numdb

    structure = numdb.get("iban").info(country)[0][1].get("bban", "")
    return 4 + sum(int(part) for part in re.findall(r"(\d+)!", structure)) if structure else 0


def _is_iban(value: str) -> bool:
    from stdnum import iban

    return iban.is_valid(value, check_country=False)


def _end_of(text: str, start: int, length: int) -> int | None:
    """The end of `length` letters and digits from `start`, single separators aside; None where a word goes on or breaks off."""
    taken, position = 0, start
    while position < len(text) and taken < length:
        if text[position].isascii() and text[position].isalnum():
            taken += 1
        elif text[position] not in " \u00a0.-" or text[position - 1] in " \u00a0.-":
            return None
        position += 1
    return position if taken == length and not (position < len(text) and text[position].isalnum()) else None
