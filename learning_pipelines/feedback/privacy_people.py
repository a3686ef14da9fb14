"""Belongs here: which names in one example mean the same person, and which words stand for them where the example repeats them.
Not here: finding names (privacy_names.py), replacing them (privacy.py)."""

from __future__ import annotations

import re

from learning_pipelines.feedback.privacy_name_cues import PARTICLES, STOP
from learning_pipelines.feedback.privacy_name_lists import name_lists

_WORD = re.compile(r"[^\W\d_]+(?:['’\u2010-][^\W\d_]+)*")
_SHORTEST = 3


class People:
    """The persons named so far: "Anna Schmidt", then "Frau Schmidt" or "Anna" is one of them.

    Who is first named by one word ("Frau Schmidt") is whoever is named in full next ("Anna Schmidt"). Where two persons share a word,
    the word alone means the one named first: nothing in a text says better.
    """

    def __init__(self) -> None:
        self._by_part: dict[str, str] = {}
        self._by_one_word: dict[str, str] = {}
        self._by_words: dict[frozenset[str], str] = {}  # "Weber, Ute" is "Ute Weber"

    def known(self, value: str) -> str | None:
        """The placeholder of the person whose name, in normal form, this is; None for somebody new."""
        parts = _parts(value)
        if len(parts) == 1:
            return self._by_part.get(parts[0])
        same = self._by_words.get(frozenset(parts))
        return same or next((self._by_one_word[part] for part in (*parts[-1:], *parts[:1]) if part in self._by_one_word), None)

    def remember(self, value: str, placeholder: str) -> None:
        """The name, in normal form, means the person with this placeholder."""
        parts = _parts(value)
        self._by_words.setdefault(frozenset(parts), placeholder)
        for part in parts:
            if len(parts) > 1 and self._by_one_word.get(part) == placeholder:
                del self._by_one_word[part]
            elif len(parts) == 1 and part not in self._by_part:
                self._by_one_word[part] = placeholder
            self._by_part.setdefault(part, placeholder)


def repeats(raw: str) -> list[str]:
    """How a name as written may be repeated: whole, its words alone, and those with the s of a genitive; words of everyday language only in the whole."""
    lists = name_lists()
    alone = [
        word
        for word in _WORD.findall(raw)
        if len(word) >= _SHORTEST and (folded := word.casefold()) not in lists.ordinary and folded not in PARTICLES and folded not in STOP
    ]
    return list(dict.fromkeys([raw, *alone, *(f"{word}s" for word in alone)]))


def _parts(value: str) -> list[str]:
    """The words of a name without initials and particles."""
    words = [word.casefold() for word in _WORD.findall(value)]
    return [word for word in words if len(word) > 1 and word not in PARTICLES] or words
