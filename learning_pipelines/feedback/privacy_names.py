"""Belongs here: finding names of persons, by lists of names and by the words around them.
Not here: the lists (privacy_name_lists.py), the words around (privacy_name_cues.py), which name means whom (privacy_people.py)."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

from learning_pipelines.feedback.privacy_name_cues import CUES, INNER_PARTICLES, NOUN, PARTICLES, STOP, THING_AFTER, THING_BEFORE, THING_WORD, Cue
from learning_pipelines.feedback.privacy_name_lists import NameLists, name_lists
from learning_pipelines.feedback.privacy_spans import Finding

# A name costs its place in the text when it is taken for one wrongly, and somebody's privacy when it is missed. So a name stands where a given name is
# followed by what may be a surname, where lists know both words, or where a word before it announces one. Names of companies and streets are passed
# over by the word that follows. Whether a person is a public figure is not asked: a list of them would never be whole, and a customer may share the name.

_WORD = re.compile(r"[^\W\d_]+(?:['’\u2010-][^\W\d_]+)*")
_GAP = re.compile(r"[ \u00a0]{1,2}|(?<=\.)")
_ABBREVIATED = re.compile(r"[a-zäöüß]\.[ \u00a0]?$")
_LONGEST = 6
_EAST = re.compile(r"[\u3400-\u9fff\uac00-\ud7a3]")
_HONORIFIC = re.compile(r"([\u3400-\u9fff]{1,4}[\u3041-\u30ff]{0,4}|[\uac00-\ud7a3]{2,4}) ?(?:さん|様|さま|氏|先生|女士|小姐|君|くん|ちゃん|씨|님)")
_LISTED = re.compile(r"[ \u00a0]*(?:,|and|or|und|oder|et|ou|y|o|e)\b|,", re.IGNORECASE)
_END = re.compile(r"[ \u00a0]*(?:[,!.:;–—-]|\n|$|\x00|<)")


class Word(NamedTuple):
    """One word as a name would be read: `given`, `surname`, `ordinary` by the lists; `capital` as written; `initial` as in "J."."""

    start: int
    end: int
    key: str
    given: bool
    surname: bool
    ordinary: bool
    capital: bool
    upper: bool
    initial: bool

    @property
    def caseless(self) -> bool:
        """In a script without capitals: only the lists can tell."""
        return unicodedata.category(self.key[0]) == "Lo"

    @property
    def particle(self) -> bool:
        return self.key in PARTICLES

    @property
    def known(self) -> bool:
        return self.given or self.surname

    @property
    def unlikely(self) -> bool:
        """No name, as far as the word itself says."""
        return self.key in STOP or (self.ordinary and not self.known) or (not self.known and bool(NOUN.search(self.key) or THING_WORD.fullmatch(self.key)))


def names(text: str) -> Iterator[Finding]:
    """Every name of a person, in order."""
    words = list(_words(text))
    if not words:
        return
    spans = [*_announced(text, words), *_pairs(text, words), *_surname_first(text, words)]
    if _EAST.search(text):
        spans += _east_asian(text)
    end = 0
    for start, stop in sorted(spans, key=lambda span: (span[0], -span[1])):
        if start >= end:
            yield Finding(start, stop, "PERSON", name_value(text[start:stop]))
            end = stop


def name_value(name: str) -> str:
    """The name in normal form: lower case, single spaces."""
    return " ".join(unicodedata.normalize("NFC", name).casefold().split())


def _words(text: str) -> Iterator[Word]:
    for match in _WORD.finditer(text):
        start, end = match.span()
        if end - start > 40:
            continue
        word = match[0]
        if word[-2:] in ("'s", "’s", "'S"):
            word, end = word[:-2], end - 2
        traits = _traits(word)
        if traits[-1] and text[end : end + 1] == ".":
            end += 1
        yield Word(start, end, *traits)


@lru_cache(maxsize=30_000)
def _traits(word: str) -> tuple[str, bool, bool, bool, bool, bool, bool]:
    """What Word holds after its place."""
    key = unicodedata.normalize("NFC", word.casefold())
    capital = unicodedata.category(word[0]) in ("Lu", "Lt") or (len(word) > 2 and word[1] in "'’" and word[2].isupper())
    return key, *_listed(key, name_lists()), capital, len(word) > 1 and word.isupper(), len(word) == 1 and word.isupper()


def _listed(key: str, lists: NameLists) -> tuple[bool, bool, bool]:
    """Given name, surname, ordinary word; of hyphenated words every part must be a name."""
    parts = re.split("[\u2010-]", key) if "-" in key or "\u2010" in key else [key]
    given = key in lists.given or (len(parts) > 1 and all(part in lists.given for part in parts))
    surname = key in lists.surnames or (len(parts) > 1 and all(part in lists.surnames for part in parts))
    return given, surname, key in lists.ordinary


def _run(text: str, words: Sequence[Word], first: int) -> list[Word]:
    """The words from `first` on with nothing but a space between them."""
    run = [words[first]]
    for word in words[first + 1 : first + _LONGEST]:
        if not _GAP.fullmatch(text, run[-1].end, word.start):
            break
        run.append(word)
    return run


def _pairs(text: str, words: Sequence[Word]) -> Iterator[tuple[int, int]]:
    """A given name and what follows it like a surname; initials and a surname."""
    done = 0
    for first, word in enumerate(words):
        if word.start < done or not (word.known or word.initial):
            continue
        run = _run(text, words, first)
        length = _initials(text, run) if word.initial else _full_name(run) if word.given else _turned(run)
        if not length:
            continue
        start, done = word.start, run[length - 1].end
        if not THING_AFTER.match(text, done) and not THING_BEFORE.search(text, max(0, start - 24), start):
            yield start, done


def _turned(run: Sequence[Word]) -> int:
    """Surname before given name without a comma, as in Hungarian, Vietnamese and registers: both known and nothing else."""
    if not run[0].capital or run[0].upper or run[0].given or run[0].ordinary:
        return 0
    for length in (2, 3):
        if len(run) >= length and run[length - 1].given and run[length - 1].capital and not run[length - 1].ordinary and run[1].capital and not run[1].unlikely:
            return length
    return 0


def _full_name(run: Sequence[Word]) -> int:
    """How many words from a given name on are a full name; 0 where there is none."""
    first, length = run[0], 1
    if first.caseless:
        return 2 if len(run) > 1 and run[1].caseless and (run[1].surname or run[1].key.startswith("ال")) and not first.ordinary else 0
    if not first.capital or first.upper:
        pair = len(run) > 1 and run[1].surname and run[1].upper == first.upper and len(run[1].key) > 3 and not (first.ordinary or run[1].ordinary)
        return 2 if pair and len(first.key) > 2 else 0
    while length < len(run) and (run[length].initial or (run[length].given and run[length].capital and not run[length].surname)):
        length += 1
    last = _surname(run, length)
    if not last:
        complete = length > 1 and not run[length - 1].initial and not first.ordinary and not run[length - 1].ordinary
        return length if complete else 0
    surname = run[last - 1]
    if first.ordinary and (surname.ordinary or not surname.surname):
        return 0  # "Mark Invoice", "May Sales", "Grant Date Fair Value"
    return last + 1 if last < len(run) and run[last].surname and run[last].capital and not run[last].ordinary else last


def _surname(run: Sequence[Word], start: int) -> int:
    """Where a surname that begins at `start`, maybe with particles, ends; 0 where none begins."""
    end = start
    while end < len(run) and run[end].particle and end < start + 3 and not (end == start and run[end].key in INNER_PARTICLES and start == 0):
        end += 1
    if end < len(run) and run[end].capital and not run[end].upper and not run[end].initial and not run[end].unlikely:
        return end + 1
    return 0


def _initials(text: str, run: Sequence[Word]) -> int:
    """How many words "R. D. Whitcombe" has; 0 where the letters are an abbreviation or a number of a list."""
    length = next((place for place, word in enumerate(run) if not word.initial), len(run))
    if text[run[0].end - 1] != "." or _ABBREVIATED.search(text, max(0, run[0].start - 3), run[0].start):
        return 0
    last = _surname(run, length)
    if not last or (run[last - 1].ordinary and not run[last - 1].surname):
        return 0
    if length > 1 and run[0].end == run[1].start and not run[last - 1].surname:
        return 0  # "U.S. Treasury"
    before = text[: run[0].start].rstrip(" \u00a0")
    in_sentence = before[-1:].isalpha() and before[-1:].islower()
    return last if (run[last - 1].surname and not run[last - 1].ordinary) or length > 1 or in_sentence else 0


def _announced(text: str, words: Sequence[Word]) -> Iterator[tuple[int, int]]:
    """Names right after a title, a salutation, an introduction or a label."""
    for place in range(1, len(words)):
        before, word = words[place - 1], words[place]
        for cue in CUES.get(before.key, ()):
            if not cue.gap.fullmatch(text, before.end, word.start) or not cue.before.search(text, max(0, before.start - 40), before.start):
                continue
            run = _run(text, words, place)
            length = _called(run, cue)
            end = run[length - 1].end
            if not length or (cue.ends and not _END.match(text, end) and not (word.given and not word.ordinary)):
                continue
            if not THING_AFTER.match(text, end):
                yield word.start, end


def _called(run: Sequence[Word], cue: Cue) -> int:
    """How many words after a cue are the name."""
    first, trusted = run[0], cue.trusted
    full = _full_name(run) if first.given else 0
    if full:
        return full
    if first.initial:
        last = _surname(run, next((place for place, word in enumerate(run) if not word.initial), len(run)))
        return last if last else 0
    if not first.capital:
        if first.particle and trusted and (last := _surname(run, 0)):
            return last
        sure = first.known and not first.ordinary and first.key not in STOP and len(first.key) > 2
        return (2 if len(run) > 1 and run[1].surname and not run[1].ordinary else 1) if sure and (trusted or first.given) and not cue.role else 0
    if first.particle and (last := _surname(run, 0)) > 1:
        return last
    if first.unlikely or not (trusted or first.known) or (first.ordinary and not (trusted or (cue.role and first.given))):
        return 0
    following = run[1] if len(run) > 1 else None
    shouted = first.upper and first.given
    if following and following.upper == first.upper and following.capital and (following.surname or shouted) and not following.unlikely:
        return 2
    if trusted and following and following.capital and not following.unlikely and not first.known and not following.ordinary and len(run) == 2:
        return 2  # "My name is Ottoline Frisk": nothing known of either
    return 1


def _surname_first(text: str, words: Sequence[Word]) -> Iterator[tuple[int, int]]:
    """Lists and registers: "Hargreaves, Colin"."""
    for word, after in pairwise(words):
        if not (word.capital and after.capital and after.given) or text[word.end : after.start] not in (", ", ",", ",\u00a0"):
            continue
        if _LISTED.match(text, after.end):
            continue  # "Paris, Florence and Victoria"
        begins = not text[: word.start].rstrip(" \u00a0")[-1:].isalpha()
        certain = word.surname and not word.ordinary and not after.ordinary
        if begins and not word.unlikely and (certain or (not word.given and word.surname)) and not (word.given and not word.surname):
            yield word.start, after.end


def _east_asian(text: str) -> Iterator[tuple[int, int]]:
    """Surname and given name in Chinese, Japanese or Korean letters: both known, or before an honorific."""
    lists = name_lists()
    for match in _HONORIFIC.finditer(text):
        for shift in range(len(match[1])):
            name = match[1][shift:]
            if any(name[:size] in lists.east_asian_surnames for size in (3, 2, 1)) and (len(name) > 1 or shift == 0):
                yield match.start() + shift, match.end(1)
                break
    for match in re.finditer(r"[\u3400-\u9fff\uac00-\ud7a3]{3,}", text):
        for start in range(match.start(), match.end() - 2):
            for size in (3, 2):
                given = next((n for n in (2, 3, 1) if text[start + size : start + size + n] in lists.east_asian_given), 0)
                if text[start : start + size] in lists.east_asian_surnames and given and start + size + given <= match.end():
                    yield start, start + size + given
                    break
