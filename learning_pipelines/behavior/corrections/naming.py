"""What a cluster of corrections is called, for people: the labels that were confused, what was said instead of what, the words of the questions.

Belongs here: names and their terms, pure. Not here: which corrections belong together (clusters.py), rules (rules.py).

Names are made of scrubbed texts, and of words that stand in the questions of several corrections. They are user text all the same: pages and the
command line show them, orchestration metadata does not.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from learning_pipelines.feedback.privacy_placeholders import PLACEHOLDER

TERMS = 3
LONGEST_SPAN = 40
SHARED = 2
"""A term stands in the questions of so many corrections, where there are so many."""
_WORD = re.compile(r"(?<!\w)[^\W\d_]{3,}(?!\w)")
_COMMON = """
the and for are but not you your with have has had this that these those from they them their what when where which who whom why how can could should
would will shall may might must was were been being does did doing done its our his her she him out about into over than then too very just there here
any all some such only own same each few more most other please want need get got hello thanks thank
der die das und ist sind nicht ein eine einen einem einer den dem des wird werden auf für mit von zum zur bei oder ich mir mich wir uns sie ihr ihre
mein meine meinen wie was wann warum wo kann können soll sollte bitte auch noch nur schon aber dass hat habe haben sein
"""
_STOPS = frozenset(_COMMON.split())


def words(text: str) -> frozenset[str]:
    """The words of a text that may become terms."""
    return frozenset(_WORD.findall(PLACEHOLDER.sub(" ", text).casefold())) - _STOPS


def frequencies(texts: Iterable[str]) -> Counter[str]:
    """In how many of the texts each word stands."""
    return Counter(word for text in texts for word in words(text))


def characteristic(inputs: Sequence[str], background: Mapping[str, int], total: int, most: int = TERMS) -> list[str]:
    """The words that stand in many of the inputs and in few of the `total` inputs of which `background` counts them; the most telling first."""
    here = frequencies(inputs)
    least = min(SHARED, len(inputs))
    scores = {word: count / len(inputs) * math.log1p(total / max(1, background.get(word, 1))) for word, count in here.items() if count >= least}
    return sorted(scores, key=lambda word: (-scores[word], word))[:most]


def name(confusion: tuple[str, str] | None, changes: Sequence[tuple[str, str]], terms: Sequence[str]) -> str:
    """The name; `changes`: (wrong, right) of the corrections. Never empty."""
    if confusion is not None:
        return f"{confusion[0]} → {confusion[1]}"
    about = ", ".join(terms)
    wrong, right = commonest(changes)
    if (wrong or right) and max(len(wrong), len(right)) <= LONGEST_SPAN:
        change = f"«{wrong or '…'}» → «{right or '…'}»"
        return f"{change} ({about})" if about else change
    return about or "corrections without common words"


def commonest(changes: Sequence[tuple[str, str]]) -> tuple[str, str]:
    """The change (wrong, right) that at least half of the corrections make, ("", "") if there is none."""
    one, count = Counter(changes).most_common(1)[0] if changes else (("", ""), 0)
    return one if 2 * count >= len(changes) > 0 else ("", "")
