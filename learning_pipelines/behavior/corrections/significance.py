"""How much an edit matters: from what was said to what should have been said, judged by meaning and facts and not by how many words differ.

Belongs here: the judgement on one edit, what was wrong and what is right in it. Not here: facts (facts.py), polarity (negation.py), the encoder.

Each kind of change has a strength 0 … 1, and the score is 1 - Π (1 - weight · strength): one changed number is enough, and several changes add up.
A fact that came or went without a counterpart counts half: something was added or left out, nothing contradicts. Meaning: cosine of the whole texts,
no change from CLOSE up and a full one below FAR. Where words, marks of format aside, differ by slips of the pen only, vectors are not asked: a slip
moves them as much as another word. Spelling and format alone score SLIGHT and less. Another label of a closed answer set scores 1.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import zip_longest

from learning_pipelines.behavior.corrections.facts import Difference, Family, differences, facts_of
from learning_pipelines.behavior.corrections.negation import flips, negates, opposite
from learning_pipelines.examples.word_diff import word_diff
from learning_pipelines.feedback.privacy_placeholders import PLACEHOLDER


class Kind(StrEnum):
    LABEL = "label"
    NEGATION = "negation"
    NUMBER = "number"
    DATE = "date"
    ENTITY = "entity"
    ADDED = "added"
    REMOVED = "removed"
    MEANING = "meaning"
    WORDING = "wording"
    SPELLING = "spelling"
    FORMAT = "format"


WEIGHTS: Mapping[Kind, float] = {
    Kind.LABEL: 1.0, Kind.NEGATION: 0.95, Kind.NUMBER: 0.9, Kind.DATE: 0.9, Kind.ENTITY: 0.85, Kind.MEANING: 0.9, Kind.ADDED: 0.4, Kind.REMOVED: 0.4,
}  # fmt: skip
ONE_SIDED = 0.5
CLOSE, FAR = 0.90, 0.40
SLIGHT = 0.02
SIGNIFICANT = 0.3
"""From this score on an edit counts as one of substance: a single fact that came or went passes, paraphrases do not."""
MOST_SPAN = 120
MOST_CHARS, MOST_DIFFERING = 20_000, 600
"""Facts and words are looked at in so many characters of each text (vectors see less); stretches of more words that differ are not compared word by word."""
_MARKUP = re.compile(r"[*`#|~]+|^\s*>|(?<!\w)_+|_+(?!\w)|^\s*[-•+]\s+|^\s*\d+[.)]\s+(?=\D)", re.MULTILINE)
_AS_ONE_WORD, _AS_IT_WAS = str.maketrans("<>", "ᐸᐳ"), str.maketrans("ᐸᐳ", "<>")
"""Letters that look like the brackets of a placeholder: with them it is one word of the comparison."""
_WORD = re.compile(r"\w+")
_TOKEN = re.compile(r"\s+|\w+|[^\w\s]")
_CONTRACTED = (
    (re.compile(r"\bcan['’]t\b|\bcannot\b"), "can not"), (re.compile(r"\bwon['’]t\b"), "will not"), (re.compile(r"n['’]t\b"), " not"),
    (re.compile(r"['’]re\b"), " are"), (re.compile(r"['’]ll\b"), " will"), (re.compile(r"['’]ve\b"), " have"),
    (re.compile(r"\b(it|that|he|she|there)['’]s\b"), r"\1 is"), (re.compile(r"['’]m\b"), " am"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Edit:
    """How much it matters (`score`, 0 … 1), what kinds of change it is, and the stretch that was wrong with the one that is right ('' where one side
    has none). Spans are cut at MOST_SPAN characters."""

    score: float
    kinds: frozenset[Kind]
    wrong: str = ""
    right: str = ""


def significance(original: str, corrected: str, cosine: float | None = None, *, labels: Collection[str] = ()) -> Edit:
    """The judgement on one edit. `cosine`: of the vectors of both texts (None: meaning is not judged); `labels`: the agent's closed answer set."""
    same = original == corrected
    original, corrected = original[:MOST_CHARS], corrected[:MOST_CHARS]
    wrong, right = spans(original, corrected)
    if confusion := confused(original, corrected, labels):
        return Edit(1.0, frozenset({Kind.LABEL}), *confusion)
    before, after = _tokens(original), _tokens(corrected)
    changed = differences(facts_of(_plain(original)), facts_of(_plain(corrected)))
    changed = {family: difference for family, difference in changed.items() if not (family == "entity" and _slips(difference))}
    strengths = _fact_strengths(changed)
    if flips(_plain(original), _plain(corrected)):
        strengths[Kind.NEGATION] = 1.0
    if before == after and not strengths:
        return Edit(0.0, frozenset() if same else frozenset({Kind.FORMAT}), wrong, right)
    if not strengths and _only_slips(before, after):
        return Edit(SLIGHT, frozenset({Kind.SPELLING}), wrong, right)
    strengths |= _content_strengths(before, after)
    if cosine is not None and (distance := min(1.0, max(0.0, (CLOSE - cosine) / (CLOSE - FAR)))) > 0:
        strengths[Kind.MEANING] = distance**2
    missed = 1.0
    for kind, strength in strengths.items():
        missed *= 1 - WEIGHTS[kind] * strength
    kinds = {kind for kind, strength in strengths.items() if WEIGHTS[kind] * strength >= SIGNIFICANT / 2} or {Kind.WORDING}
    return Edit(round(max(SLIGHT, 1 - missed), 4), frozenset(kinds), wrong, right)


def confused(original: str, corrected: str, labels: Collection[str]) -> tuple[str, str] | None:
    """(wrong label, right label) as the answer set spells them where both are labels and differ, else None."""
    spelt = {_label(label): label for label in labels}
    wrong, right = spelt.get(_label(original)), spelt.get(_label(corrected))
    return None if wrong is None or right is None or wrong == right else (wrong, right)


def spans(original: str, corrected: str) -> tuple[str, str]:
    """The stretch of each text from its first changed word to its last, if it is short; else the first changed stretches. Short texts come whole."""
    if max(len(_WORD.findall(original)), len(_WORD.findall(corrected))) <= 6:
        return _cut(original), _cut(corrected)
    _, gone, new, after = _middles(*(PLACEHOLDER.sub(lambda found: found[0].translate(_AS_ONE_WORD), text) for text in (original, corrected)))
    if not gone and not new:
        return "", ""
    if max(len("".join(gone)), len("".join(new))) <= MOST_SPAN / 2:
        wrong, right = "".join(gone), "".join(new)
        if re.fullmatch(r"[\s\d.,]+", wrong + right):  # a number goes with what is counted
            following = re.match(r"\s*(?:\w+|%|€)", "".join(after[:3]))
            wrong, right = (text + (following[0] if following else "") for text in (wrong, right))
        return _cut(wrong), _cut(right)
    if max(len(gone), len(new)) > MOST_DIFFERING:
        return _cut("".join(gone[:MOST_SPAN])), _cut("".join(new[:MOST_SPAN]))
    pieces = word_diff("".join(gone), "".join(new))
    return _cut("".join(piece.text for piece in pieces if piece.op == "delete")), _cut("".join(piece.text for piece in pieces if piece.op == "insert"))


def _middles(one: str, two: str) -> tuple[list[str], list[str], list[str], list[str]]:
    """(what both begin with, the rest of each up to what both end with, that end) as tokens."""
    first, second = _TOKEN.findall(one), _TOKEN.findall(two)
    begin = 0
    while begin < min(len(first), len(second)) and first[begin] == second[begin]:
        begin += 1
    end = 0
    while end < min(len(first), len(second)) - begin and first[-1 - end] == second[-1 - end]:
        end += 1
    return first[:begin], first[begin : len(first) - end], second[begin : len(second) - end], first[len(first) - end :]


def _fact_strengths(changed: Mapping[Family, Difference]) -> dict[Kind, float]:
    """A fact with a counterpart that differs is full strength."""
    return {Kind(family): 1.0 if difference.gone and difference.new else ONE_SIDED for family, difference in changed.items()}


def _content_strengths(before: list[str], after: list[str]) -> dict[Kind, float]:
    """Shares of one text's words that the other does not have at all, beyond what a paraphrase exchanges."""
    first, second = set(before), set(after)
    grown, shrunk = len(second) - len(first), len(first) - len(second)
    found = {}
    if grown > 0 and (share := grown / max(1, len(second))) > 0.15:
        found[Kind.ADDED] = min(1.0, share * 1.5)
    if shrunk > 0 and (share := shrunk / max(1, len(first))) > 0.15:
        found[Kind.REMOVED] = min(1.0, share * 1.5)
    return found


def _only_slips(before: list[str], after: list[str]) -> bool:
    """Whether the words are the same in the same order but for slips: one letter more, less, other or swapped (two in long words), or a space."""
    if "".join(before) == "".join(after):
        return True
    if len(before) != len(after):
        return False
    return all(one == two or _slip(one, two) for one, two in zip(before, after, strict=True))


def _slips(difference: Difference) -> bool:
    return bool(difference.gone) and all(
        one is not None and two is not None and _slip(one.casefold(), two.casefold()) for one, two in zip_longest(difference.gone, difference.new)
    )


def _slip(one: str, two: str) -> bool:
    if any(letter.isdigit() for letter in one + two) or one[:1] == "<" or opposite(one, two) or negates(one) or negates(two):
        return False
    least = min(len(one), len(two))
    return least >= 4 and _distance(one, two, 2 if least >= 8 else 1)


def _distance(one: str, two: str, most: int) -> bool:
    """Whether `most` edits suffice (optimal string alignment: a swap of neighbours is one)."""
    if abs(len(one) - len(two)) > most:
        return False
    earlier: list[int] = []
    last = list(range(len(two) + 1))
    for i, a in enumerate(one, 1):
        row = [i]
        for j, b in enumerate(two, 1):
            cost = min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (a != b))
            if i > 1 and j > 1 and a == two[j - 2] and one[i - 2] == b:
                cost = min(cost, earlier[j - 2] + 1)
            row.append(cost)
        earlier, last = last, row
    return last[-1] <= most


def _plain(text: str) -> str:
    """Without marks of format."""
    return _MARKUP.sub(" ", unicodedata.normalize("NFC", text))


def _tokens(text: str) -> list[str]:
    plain = _plain(text).casefold()
    for pattern, by in _CONTRACTED:
        plain = pattern.sub(by, plain)
    return _WORD.findall(plain)


def _label(text: str) -> str:
    return " ".join(text.casefold().split()).strip(" .!\"'")


def _cut(text: str) -> str:
    plain = " ".join(text.translate(_AS_IT_WAS).split())
    return plain if len(plain) <= MOST_SPAN else plain[: MOST_SPAN - 1].rstrip() + "…"
