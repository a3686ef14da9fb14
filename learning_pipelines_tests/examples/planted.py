"""Questions with planted near-duplicates and hard negatives, from a seed: the truth that tests and the benchmark measure against.

Belongs here: making texts. Not here: what the definition says about them (test_clusters.py, benchmarks/duplicates.py).
"""

from __future__ import annotations

import random
from bisect import bisect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate

COMMON: list[str] = (  # noqa: SIM905
    "the a to my is of and in for I can not how what when which do does we you it on with from at by this that have has was will "
    "invoice order account payment refund customer password report delivery contract form tax return card bank transfer amount date number "
    "address e-mail user login error page button file document system printer laptop phone network server ticket request approval manager "
    "department vacation salary expense receipt travel booking hotel flight insurance claim policy renewal subscription plan price discount "
    "product item stock warehouse supplier shipment tracking customs warranty repair replacement damaged missing late wrong duplicate open "
    "close change update cancel create delete export import print scan sign upload download install configure reset unlock block transfer "
    "monthly annual quarterly weekly daily new old first last next previous current final draft urgent important optional mandatory"
).split()
SYLLABLES = "ba ro ti len mar ku sol ven da pri ost ne gal fi hum tor xe lin ca du war zem ip ra bel".split()  # noqa: SIM905
POLITE = ("Please", "Hello,", "Hi there,", "Thanks,", "Quick one:")
BOILERPLATE = (
    "Dear support team, I hope this message finds you well. ",
    " Sent from my phone, please excuse typos. Confidential: for the addressee only.",
    "[Form: general enquiry] [Channel: web] [Language: en] ",
    " Kind regards, your customer. Please quote the ticket in every reply.",
)


@dataclass(frozen=True)
class Planted:
    """`texts[i]` belongs to the planted group `groups[i]`; texts of one group are near-duplicates by intent, of two groups are not."""

    texts: list[str]
    groups: list[int]


def planted(count: int, seed: int, *, share: float = 0.3, names: int = 5_000) -> Planted:
    """`count` texts, of which about `share` are light edits of an earlier one; a tenth carries boilerplate that others carry too."""
    chance = random.Random(seed)
    words = COMMON + sorted({"".join(chance.choices(SYLLABLES, k=chance.randint(2, 4))) for _ in range(names)})
    weights = list(accumulate(1 / (rank + 3) ** 0.8 for rank in range(len(words))))
    texts: list[str] = []
    groups: list[int] = []
    while len(texts) < count:
        if texts and chance.random() < share:
            place = chance.randrange(len(texts))
            texts.append(chance.choice(EDITS)(texts[place], chance))
            groups.append(groups[place])
        else:
            texts.append(question(chance, words, weights))
            groups.append(len(texts) - 1)
    return Planted(texts, groups)


def question(chance: random.Random, words: Sequence[str], weights: Sequence[float]) -> str:
    """Two sentences of 6 to 14 words each, now and then with a number; one in ten within boilerplate."""

    def sentence(end: str) -> str:
        chosen = [words[bisect(weights, chance.random() * weights[-1])] for _ in range(chance.randint(6, 14))]
        if chance.random() < 0.3:
            chosen[-1] = str(chance.randrange(10_000, 10_000_000))
        return " ".join(chosen).capitalize() + end

    text = f"{sentence('.')} {sentence('?')}"
    if chance.random() < 0.1:
        around = chance.choice(BOILERPLATE)
        text = around + text if around.endswith(" ") else text + around
    return text


def typo(text: str, chance: random.Random) -> str:
    """One slip per 120 characters: a letter dropped, doubled or swapped with the next."""
    for _ in range(max(1, len(text) // 120)):
        place = chance.randrange(1, len(text) - 1)
        text = chance.choice(
            [text[:place] + text[place + 1 :], text[:place] + text[place] + text[place:], text[: place - 1] + text[place] + text[place - 1] + text[place + 1 :]]
        )
    return text


def casing(text: str, chance: random.Random) -> str:
    return chance.choice([str.upper, str.lower, str.title])(text)


def punctuation(text: str, chance: random.Random) -> str:
    return chance.choice([text.replace(".", "!").replace("?", " ?"), text.rstrip("?."), "  ".join(text.split()), text.replace(" ", "\n", 3)])


def reorder(text: str, _: random.Random) -> str:
    """The last sentence first."""
    head, _, tail = text.rpartition(". ")
    return f"{tail} {head}." if head else text


def politeness(text: str, chance: random.Random) -> str:
    """A light paraphrase: a word in front, or one short word gone."""
    words = text.split(" ")
    short = [place for place, word in enumerate(words) if len(word) <= 3]
    if short and chance.random() < 0.5:
        del words[chance.choice(short)]
        return " ".join(words)
    return f"{chance.choice(POLITE)} {text}"


EDITS: tuple[Callable[[str, random.Random], str], ...] = (typo, casing, punctuation, reorder, politeness)
