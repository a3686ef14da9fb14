"""Preference pairs: which answer to an input is better than which other, from corrections, A/B choices and ratings.

Belongs here: what makes a pair, its strength and weight, which of two contradicting pairs stands. Not here: SQL (storage/preferences.py), files.

Texts come from examples only, so they are scrubbed. A pair of a correction or a choice is one example's; a pair of ratings joins two
examples with near-identical inputs. A pair takes the split of its examples, and only exists where both have the same one.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Source = Literal["correction", "choice", "rating"]

MARGIN = 0.5
"""Ratings make a pair from this difference on (0–1): two stars of five. One star between two people is taste."""

PAIRS_PER_GROUP = 20
"""Of one input's answers so many pairs are taken, those of the largest margins first: ten answers would make 45 that say the same."""

MAJORITY = 2 / 3
"""Share of the weight that decides between a > b and b > a; below it neither is used."""

SIMILARITY = 0.9
"""Inputs from this similarity on (5-gram Jaccard) are compared, if they hold the same numbers: 'VAT of 2023' is not 'VAT of 2024'."""

_NUMBERS = re.compile(r"\d+")
_WORDS = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Side:
    """One example in a pair, and the hash of the content it had."""

    example_id: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Pair:
    """`chosen` is preferred over `rejected`. `strength`: 0–1, how much better (None: not said); `weight`: how far the judgement is trusted."""

    source: Source
    chosen: Side
    rejected: Side
    prompt_hash: bytes
    chosen_hash: bytes
    rejected_hash: bytes
    strength: float | None
    weight: float

    @property
    def id(self) -> str:
        """Equal for the same judgement of the same contents."""
        parts = [self.source, self.chosen.example_id, self.chosen.content.hex(), self.rejected.example_id, self.rejected.content.hex()]
        return "pp-" + hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Rated:
    """An answer that people rated: the mean of its ratings, 0 worst to 1 best, weighted by rater; `weight`: the raters' mean weight, 0–1."""

    side: Side
    split: str
    prompt: str
    answer: str
    score: float
    weight: float


@dataclass(frozen=True, slots=True)
class Contested:
    """A stored pair whose opposite is stored too."""

    id: str
    prompt_hash: bytes
    chosen_hash: bytes
    rejected_hash: bytes
    weight: float


def pairs_of_example(side: Side, content: Mapping[str, Any], weight: float) -> list[Pair]:
    """The pairs one example makes by itself: its correction over its original, and the preferred of its outputs A and B. Often none.

    `content`: as in table example_contents. Outputs that are equal but for white space at their ends make no pair.
    """
    found = []
    for source, strength in _sources(content):
        prompt, chosen, rejected = texts(source, content, content)
        if (pair := _pair(source, side, side, prompt, chosen, rejected, strength, weight)) is not None:
            found.append(pair)
    return found


def pairs_of_ratings(answers: Sequence[Rated]) -> list[Pair]:
    """Pairs among the answers to one input (or near-identical ones) that differ by MARGIN or more; at most PAIRS_PER_GROUP.

    Equal answers are one answer: their ratings are averaged by weight, and the example with the smallest id stands for them. Answers of
    different splits are never compared. strength is the margin, weight the smaller of the two answers' weights.
    """
    merged = _merged(answers)
    candidates = [
        (better.score - worse.score, better, worse)
        for better in merged
        for worse in merged
        if better.split == worse.split and better.score - worse.score >= MARGIN - 1e-9
    ]
    candidates.sort(key=lambda found: (-found[0], found[1].side.example_id, found[2].side.example_id))
    made = (
        _pair("rating", better.side, worse.side, better.prompt, better.answer, worse.answer, round(margin, 4), round(min(better.weight, worse.weight), 2))
        for margin, better, worse in candidates[:PAIRS_PER_GROUP]
    )
    return [pair for pair in made if pair is not None]


def comparable(first: str, second: str) -> bool:
    """Whether two inputs found to be near-duplicates ask the same: they hold the same numbers, in the same order."""
    return _NUMBERS.findall(_plain(first)) == _NUMBERS.findall(_plain(second))


def same_input(text: str) -> str:
    """What is equal for inputs that differ only in case, white space and punctuation."""
    return " ".join(_WORDS.findall(_plain(text)))


def settle(contested: Iterable[Contested]) -> dict[str, str]:
    """The state of every pair whose opposite exists: `active` where its direction has MAJORITY of the weight, the other then `outvoted`;
    `contradicted` for both where neither has it.
    """
    groups: defaultdict[tuple[bytes, bytes, bytes], list[Contested]] = defaultdict(list)
    for one in contested:
        low, high = sorted((one.chosen_hash, one.rejected_hash))
        groups[one.prompt_hash, low, high].append(one)
    states = {}
    for (_, low, _), votes in groups.items():
        total = sum(vote.weight for vote in votes)
        for_low = sum(vote.weight for vote in votes if vote.chosen_hash == low)
        for vote in votes:
            mine = for_low if vote.chosen_hash == low else total - for_low
            share = mine / total if total > 0 else 0.5
            states[vote.id] = "active" if share >= MAJORITY - 1e-9 else "outvoted" if share <= 1 - MAJORITY + 1e-9 else "contradicted"
    return states


def texts(source: Source, chosen: Mapping[str, Any], rejected: Mapping[str, Any]) -> tuple[str, str, str]:
    """Prompt, chosen and rejected text of a pair, from the contents it names."""
    if source == "correction":
        return chosen["input_text"], chosen["expected_output"], chosen["original_output"]
    if source == "choice":
        better, worse = ("output_a", "output_b") if chosen["preferred_output"] == "A" else ("output_b", "output_a")
        return chosen["input_text"], chosen[better], chosen[worse]
    return chosen["input_text"], rated_answer(chosen), rated_answer(rejected)


def rated_answer(content: Mapping[str, Any]) -> str:
    """The answer that was rated: what the agent said."""
    return str(content["original_output"] if content["original_output"] is not None else content["expected_output"])


def _sources(content: Mapping[str, Any]) -> list[tuple[Source, float | None]]:
    found: list[tuple[Source, float | None]] = []
    if content["original_output"] is not None and content["expected_output"] is not None:
        found.append(("correction", None))
    if content["preferred_output"] is not None and content["output_a"] is not None and content["output_b"] is not None:
        strength = content["preference_strength"]
        found.append(("choice", None if strength is None else strength / 5))
    return found


def _pair(source: Source, chosen: Side, rejected: Side, prompt: str, better: str, worse: str, strength: float | None, weight: float) -> Pair | None:
    if not better.strip() or better.strip() == worse.strip():
        return None
    return Pair(source, chosen, rejected, _hash(same_input(prompt)), _hash(better.strip()), _hash(worse.strip()), strength, weight)


def _merged(answers: Sequence[Rated]) -> list[Rated]:
    alike: defaultdict[tuple[str, str], list[Rated]] = defaultdict(list)
    for one in sorted(answers, key=lambda rated: rated.side.example_id):
        alike[one.split, one.answer.strip()].append(one)
    merged = []
    for same in alike.values():
        total = sum(one.weight for one in same)
        score = sum(one.score * one.weight for one in same) / total if total > 0 else sum(one.score for one in same) / len(same)
        first = same[0]
        merged.append(Rated(first.side, first.split, first.prompt, first.answer, score, total / len(same)))
    return merged


def _plain(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
