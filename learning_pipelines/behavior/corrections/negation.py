"""Whether an edit turns a sentence into its opposite: negations, opposites, prefixes that negate; English and German.

Belongs here: the polarity of two versions of a text. Not here: other facts (facts.py), contradictions between examples (examples/conflicts.py).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

REWORDED = 0.5
"""Sentences that share this part of their words (negations and opposites aside) are versions of each other."""

_NEGATING = """
no not never none nor neither without nobody nothing hardly
nicht kein keine keinen keinem keiner keines nie niemals ohne weder nichts niemand
"""
_NEGATIONS = frozenset(_NEGATING.split())
_PAIRS = """
always immer | never nie niemals
yes ja | no nein
true wahr richtig | false falsch
before vor | after nach
more mehr | less fewer weniger
minimum mindestens | maximum höchstens
allowed permitted erlaubt | forbidden prohibited verboten
increase increases increased increasing steigt | decrease decreases decreased decreasing sinkt
include includes including | exclude excludes excluding
inclusive | exclusive
above over über | below under unter
import imports | export exports
accept accepts accepted | reject rejects rejected
enable enabled enables | disable disabled disables
mandatory required | optional
open geöffnet | closed geschlossen
all alle | none keine
everyone | nobody
with mit | without ohne
credit | debit
buyer | seller
internal | external
gain | loss
first | last
higher | lower
earlier | later
on | off
start starts | end ends
success | failure
"""
_OPPOSITES = {
    word: (number, side)
    for number, line in enumerate(_PAIRS.split("\n"))
    for side, words in enumerate(line.split("|"))
    for word in words.split()
}  # fmt: skip
_PREFIXES = ("un", "in", "im", "ir", "il", "non", "dis", "mis")
_WORD = re.compile(r"\w+")
_ENDS = re.compile(r"(?<=[.!?])\s+|\n+")
_MOST_PAIRS, _MOST_WORDS = 900, 80
_UNLIKE = 0.2
"""Sentences with less in common are no versions of each other, opposites counted or not."""


def flips(one: str, two: str) -> bool:
    """Whether a sentence of `one` came back in `two` as its opposite. Two turns of one sentence cancel each other: "not possible", "impossible"."""
    before, after = _sentences(one), _sentences(two)
    same = Counter(map(tuple, before)) & Counter(map(tuple, after))
    left = [words for words in before if not same[tuple(words)]]
    right = [words for words in after if not same[tuple(words)]]
    if len(left) * len(right) > _MOST_PAIRS:
        return False
    for words in left:
        best = max(right, key=lambda other: _common(words, other), default=None)
        alone = len(left) == len(right) == 1 and best is not None and min(len(words), len(best)) <= 2
        if best is not None and (alone or _common(words, best) >= REWORDED) and _turned(words, best):
            return True
    return False


def opposite(one: str, two: str) -> bool:
    """Whether two words are opposites: listed ones, or one is the other with a prefix that negates."""
    first, second = _OPPOSITES.get(one), _OPPOSITES.get(two)
    if first is not None and second is not None and first[0] == second[0] and first[1] != second[1]:
        return True
    return any(long == prefix + short for short, long in ((one, two), (two, one)) for prefix in _PREFIXES if len(short) > 3)


def negates(word: str) -> bool:
    return word in _NEGATIONS


def _turned(one: Sequence[str], two: Sequence[str]) -> bool:
    """Turns are counted: an odd number of them changes the meaning."""
    gone, new = list((Counter(one) - Counter(two)).elements()), list((Counter(two) - Counter(one)).elements())
    turns = 0
    for word in list(gone):
        partner = next((other for other in new if opposite(word, other)), None)
        if partner is not None:
            gone.remove(word)
            new.remove(partner)
            turns += 1
    return (turns + sum(map(negates, gone)) + sum(map(negates, new))) % 2 == 1


def _sentences(text: str) -> list[list[str]]:
    plain = re.sub(r"\bcannot\b", "can not", re.sub(r"\bcan['’]t\b", "can not", re.sub(r"\bwon['’]t\b", "will not", text.casefold())))
    plain = re.sub(r"n['’]t\b", " not", plain)
    return [words for part in _ENDS.split(plain) if (words := _WORD.findall(part)[:_MOST_WORDS])]


def _common(one: Sequence[str], two: Sequence[str]) -> float:
    """Overlap of the words; turns and negations aside."""
    first = {word for word in one if word not in _NEGATIONS and word not in _OPPOSITES}
    second = {word for word in two if word not in _NEGATIONS and word not in _OPPOSITES}
    either = first | second
    if len(first & second) < _UNLIKE * len(either):
        return 0.0
    turned = sum(any(opposite(word, other) for other in second - first) for word in first - second)
    return (len(first & second) + turned) / max(1, len(either) - turned) if either else 1.0
