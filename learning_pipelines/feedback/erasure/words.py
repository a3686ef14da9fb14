"""What a person said, to be found again in anything that was made of it: their texts within other texts, their ids in JSON, words of theirs alone.

Belongs here: looking and cutting out. Pure. Not here: where texts and ids come from (gathering.py, storage/), what happens to what holds them.

A text counts from LEAST characters on, whatever its case and spacing: shorter ones are said by everybody. The cost follows what is looked through, not how
much the person said: of each text its beginning is looked up at every place.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

LEAST = 20
TOKEN = re.compile(r"(?<!\w)[^\W\d_]\w{3,}(?!\w)|(?<!\w)\w*\d\w{3,}(?!\w)")
"""Words that may be told to be one person's own."""


class Words:
    """`ids`: what names the person or anything of theirs; found where a whole string of JSON is one."""

    def __init__(self, texts: Iterable[str], ids: Collection[str] = ()) -> None:
        self.ids = frozenset(ids)
        self._texts = {plain for text in texts if len(plain := folded(text)) >= LEAST}
        starting = defaultdict[str, list[str]](list)
        for text in self._texts:
            starting[text[:LEAST]].append(text)
        self._starting = {start: sorted(found, key=len, reverse=True) for start, found in starting.items()}
        self._tokens: frozenset[str] | None = None

    def without_texts(self, shared: Collection[str]) -> Words:
        """The same but for texts that are not the person's alone."""
        said = {folded(text) for text in shared}
        return Words((text for text in self._texts if text not in said), self.ids)

    def found_in(self, text: str) -> set[str]:
        """Which of the texts stand in this one, folded."""
        plain = folded(text)
        return {plain[begin:end] for begin, end in self._places(plain)}

    def cut_from(self, text: str) -> str:
        """The text without them; what stood around them stays."""
        if not self._any(text):
            return text
        plain, where = _in_places(text)
        kept, last = list[str](), 0
        for begin, end in self._places(plain):
            kept.append(text[last : where[begin]])
            last = where[end] if end < len(where) else len(text)
        return "".join([*kept, text[last:]]) if last else text

    def holds(self, value: Any) -> bool:
        """Whether any string of JSON is an id or holds a text; names of fields too."""
        return any(text in self.ids or (len(text) >= LEAST and self._any(text)) for text in strings(value))

    def taken_from(self, value: Any) -> Any:
        """JSON without ids (entries of lists and fields go, alone they become null) and with texts cut out."""
        if isinstance(value, str):
            return None if value in self.ids else self.cut_from(value) if len(value) >= LEAST else value
        if isinstance(value, Mapping):
            return {name: self.taken_from(one) for name, one in value.items() if not self.holds(name)}
        if isinstance(value, list | tuple):
            return [self.taken_from(one) for one in value if not (isinstance(one, str) and one in self.ids)]
        return value

    @property
    def tokens(self) -> frozenset[str]:
        """The words of all texts, folded."""
        if self._tokens is None:
            self._tokens = frozenset(token for text in self._texts for token in tokens(text))
        return self._tokens

    def _any(self, text: str) -> bool:
        return next(self._places(folded(text)), None) is not None

    def _places(self, plain: str) -> Iterator[tuple[int, int]]:
        """From, to: of the texts, the longest at each place, none within another."""
        at = 0
        while at + LEAST <= len(plain):
            for text in self._starting.get(plain[at : at + LEAST], ()):
                if plain.startswith(text, at):
                    yield at, at + len(text)
                    at += len(text) - 1
                    break
            at += 1


def tokens(text: str) -> set[str]:
    """The words of a text, folded."""
    return {token.casefold() for token in TOKEN.findall(text)}


def strings(value: Any) -> Iterator[str]:
    """Every string of JSON, names of fields too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for name, one in value.items():
            yield str(name)
            yield from strings(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from strings(one)


def folded(text: str) -> str:
    """The text in lower case, each run of white space one blank, none at the ends."""
    return " ".join(text.split()).lower().replace("ς", "σ")


def _in_places(text: str) -> tuple[str, list[int]]:
    """The folded text, and where each of its characters stood."""
    kept, where, blank = list[str](), list[int](), False
    for place, character in enumerate(text):
        if character.isspace():
            blank = bool(kept)
            continue
        if blank:
            kept.append(" ")
            where.append(place - 1)
            blank = False
        for one in character.lower():
            kept.append(one.replace("ς", "σ"))
            where.append(place)
    return "".join(kept), where
