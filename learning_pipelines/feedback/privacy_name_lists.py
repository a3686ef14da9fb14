"""Belongs here: the words that are given names, surnames or ordinary words, from the person and lorem lists of Faker (MIT), loaded at first use.
Not here: where in a text a name may stand (privacy_names.py), the words around it (privacy_name_cues.py)."""

from __future__ import annotations

import importlib
import unicodedata
from collections.abc import Iterator
from functools import cache
from types import ModuleType
from typing import NamedTuple

# Locales whose lists hold names as they are used there. Others mix in words or spell names in ways that hit too much (is_IS, zu_ZA, en_NG).
_PEOPLE = (
    "ar_AA", "ar_SA", "bg_BG", "cs_CZ", "da_DK", "de_AT", "de_CH", "de_DE", "el_GR", "en_GB", "en_IE", "en_IN", "en_KE", "en_US", "es_AR", "es_ES",
    "es_MX", "fi_FI", "fr_FR", "he_IL", "hi_IN", "hr_HR", "hu_HU", "it_IT", "nl_BE", "nl_NL", "no_NO", "pl_PL", "pt_BR", "pt_PT", "ro_RO", "ru_RU",
    "sk_SK", "sv_SE", "tr_TR", "tw_GH", "uk_UA", "vi_VN",
)  # fmt: skip
_WORDS = ("da_DK", "de_DE", "en_US", "es_ES", "fr_FR", "it_IT", "nl_NL", "pl_PL", "ru_RU")
_EAST_ASIAN = ("ja_JP", "ko_KR", "zh_CN", "zh_TW")

# Names that are words as well, in text typed without care for capitals or at the beginning of a sentence; the lists above lack most of them.
_ALSO_WORDS = """
abbey access ace adelaide africa alexa alpha amber america angel april archer art ash asia auckland august austin austria autumn bailey baker banks
barber basil bay bell berg berlin berry best bill bird bishop black blessing block bloom blue bond booth bow bowen branch brand brandy bridge bronx
brook brooklyn brown buck bud burns bush butler candy carbon carolina case cash chad chance charity chase chelsea cheshire china chip christian church
clay clerk coffee cole cologne constant cook cookie cooper coral cotton court crane cross crystal cuba dakota dale dallas darwin data date dawn dean
delta denver der destiny devon diamond dick dollar drake drew duke echo edit england ernst essex excel faith fee field fischer florence flower ford
forest fox france frank freed frost fuchs garnet gay gene genesis georgia german germany gift ginger glass gold good grace grant graves gray green
grey grove guy hall hamilton hand happy hardy harm harmony harper haven hazel hilfe hill holland holly home hong hope horn house houston hunt hunter
ice india ireland iris israel ivy jackson jade jasmine java jay jet jordan joy july june justice kaiser kay kent kenya king klein knight koch kong
kraft krieg kurz lake lance lane lang lay lee lily lincoln line link little london long lourdes love lucky luna lyon madison mai main major margarita
marine mark mason max may melbourne melody mercedes mercy milan miles mill miller mine misty montana moon moss neu noble north olive opal orlando
pacific page paris park pascal patience pearl penny pepper perth pfeiffer piper poole pope porter post potter power powers precious price prince
princess queen rain ray read reason reed rich richter river rob robin rock rod roma roman rosa rose ruby rush saffron sage salt salvador sand sandy
santiago sapphire sauer schneider schwarz server sherry sierra sigma singer sky smith snow sommer south star stark starr stein sterling stone storm
stormy strong sue summer sun sunny sussex swan swift sydney tag tanner temple terra tiger trinity valentine van victoria victory vienna violet
virginia wade walker wall ward waters way weber weiß wellington west white wild will winter wise wolf wood woods word york young
"""
_NEVER = {"an", "am", "do", "so", "in", "la", "le", "de", "da", "mi", "no", "me", "al", "can", "van", "von", "der", "di", "el", "san", "santa"}


class NameLists(NamedTuple):
    """Case-folded words, each also with its accents taken off. `ordinary` words may be names too. The others: surnames and given names as written there."""

    given: frozenset[str]
    surnames: frozenset[str]
    ordinary: frozenset[str]
    east_asian_surnames: frozenset[str]
    east_asian_given: frozenset[str]


@cache
def name_lists() -> NameLists:
    """All lists; half a second once, a few megabytes."""
    given, surnames = set[str](), set[str]()
    for locale in _PEOPLE:
        given.update(_folded(_names(locale, "first_name")))
        surnames.update(_folded(_names(locale, "last_name")))
    ordinary = set(_ALSO_WORDS.split())
    for locale in _WORDS:
        words = set(_folded(_entries(_provider("lorem", locale), "word_list")))
        ordinary |= words if locale in ("en_US", "de_DE") else words - set(_folded(_names(locale, "first_name")))
    east = [{name for locale in _EAST_ASIAN for name in _names(locale, kind)} for kind in ("last_name", "first_name")]
    return NameLists(frozenset(given - _NEVER), frozenset(surnames - _NEVER), frozenset(ordinary), frozenset(east[0]), frozenset(east[1]))


def fold(word: str) -> str:
    """The word in lower case without accents; ü and the like as u."""
    return "".join(character for character in unicodedata.normalize("NFKD", word.casefold()) if not unicodedata.combining(character))


def _folded(words: Iterator[str]) -> Iterator[str]:
    for word in words:
        lower = unicodedata.normalize("NFC", word.casefold())
        if len(lower) > 2 or not lower.isascii():
            yield lower
            yield fold(lower)


def _provider(noun: str, locale: str) -> ModuleType:
    return importlib.import_module(f"faker.providers.{noun}.{locale}")


def _names(locale: str, kind: str) -> Iterator[str]:
    """Single words among the names of one kind; names of several words fall apart, as in "Maria del Mar"."""
    for name in _entries(_provider("person", locale), kind):
        yield from name.split()


def _entries(module: ModuleType, prefix: str) -> Iterator[str]:
    for attribute in dir(module.Provider):
        values = getattr(module.Provider, attribute) if attribute.startswith(prefix) else None
        if isinstance(values, (dict, list, tuple, set, frozenset)):
            for value in values:  # Japanese names come as (in kanji, in kana, in Latin letters)
                yield from ([value] if isinstance(value, str) else [str(part) for part in value])
