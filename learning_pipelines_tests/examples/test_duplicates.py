"""Near-duplicates are found exactly: every result is compared with all pairs computed the plain way.
Not here: how long it takes."""

from __future__ import annotations

import random
import re
import unicodedata
from collections.abc import Callable, Collection, Sequence
from itertools import combinations

import numpy as np
import pytest

from learning_pipelines.examples.components import UnionFind
from learning_pipelines.examples.duplicates import LISTED_CLUSTER, duplicate_links, near_duplicates, normalised
from learning_pipelines.examples.jaccard_join import gram_sets, similarities

WORDS = ["a", "Bb", "ccc", "d-e", "naïve", "\ufb01ve", "order", "x!", "?", "Straße", "…", "refund", "invoice", "Password", "1,000", "日本語"]


def grams(symbols: Sequence[str]) -> set[tuple[str, ...]]:
    return {tuple(symbols[place : place + 5]) for place in range(max(1, len(symbols) - 4))} if symbols else set()


def bare(text: str) -> str:
    return " ".join("".join(mark for mark in text if not unicodedata.category(mark).startswith("P")).split()) or text


READINGS: list[Callable[[str], Sequence[str]]] = [
    str.strip,
    normalised,
    lambda text: re.findall(r"\w+", normalised(text)),
    lambda text: normalised(text).split(),
]


def alike(first: str, second: str, threshold: float) -> bool:
    for reading in READINGS:
        one, two = grams(reading(first)), grams(reading(second))
        if one | two and len(one & two) / len(one | two) >= threshold:
            return True
    return bare(normalised(first)) == bare(normalised(second))


def perturbed_texts(chance: random.Random) -> list[str]:
    words = WORDS + [f"w{number}" for number in range(chance.choice([3, 60]))]
    texts: list[str] = []
    for _ in range(chance.randint(2, 40)):
        pieces = [chance.choice(words) for _ in range(chance.randint(0, 30))]
        if texts and chance.random() < 0.7:
            pieces = chance.choice(texts).split(" ")
            for _ in range(chance.randint(0, 3)):
                place = chance.randrange(len(pieces))
                pieces[place] = chance.choice([pieces[place].upper(), pieces[place] + "!", "", chance.choice(words), pieces[place] + "  x"])
        texts.append(" ".join(pieces))
    return texts


def true_pairs(texts: list[str], threshold: float, new: Collection[int]) -> set[tuple[int, int]]:
    pairs = combinations(range(len(texts)), 2)
    return {(one, two) for one, two in pairs if (one in new or two in new) and alike(texts[one], texts[two], threshold)}


def closure(size: int, pairs: Collection[tuple[int, int]]) -> list[int]:
    joined = UnionFind(size)
    for first, second in pairs:
        joined.union(first, second)
    return [int(label) for label in joined.labels()]


@pytest.mark.parametrize("seed", range(60))
def test_links_join_exactly_what_comparing_all_pairs_joins(seed: int) -> None:
    chance = random.Random(seed)
    texts, threshold = perturbed_texts(chance), chance.choice([0.8, 0.8, 0.5, 0.65, 0.95, 1.0])
    new = set(range(len(texts))) if seed % 2 else set(chance.sample(range(len(texts)), len(texts) // 3))
    truth = true_pairs(texts, threshold, new)
    items = [(f"{number:03}", text) for number, text in enumerate(texts)]
    chance.shuffle(items)
    names = None if seed % 2 else [f"{number:03}" for number in new]
    links = [(int(first), int(second)) for first, second, _ in near_duplicates(items, threshold=threshold, new=names)]
    assert set(links) <= truth
    assert closure(len(texts), links) == closure(len(texts), truth)
    assert len(links) == len(texts) - len(set(closure(len(texts), truth)))
    every = duplicate_links(items, threshold=threshold, new=names)
    assert {(int(first), int(second)) for first, second, _ in every.links} == truth
    assert every.families == []


def test_links_of_many_templated_texts_are_a_spanning_set() -> None:
    chance = random.Random(3)
    templates = ["".join(chance.choice("abcdefgh ") for _ in range(200)) for _ in range(4)]
    texts = {f"t{number}": f"{templates[number % 4]} order {chance.randrange(10**6):06}" for number in range(2000)}
    links = near_duplicates(texts)
    assert len(links) == 2000 - 4
    assert all(int(first[1:]) % 4 == int(second[1:]) % 4 for first, second, _ in links)


def test_incremental_links_add_up_to_those_found_at_once() -> None:
    chance = random.Random(5)
    texts = {f"{number:03}": text for number, text in enumerate(perturbed_texts(chance) + perturbed_texts(chance) + perturbed_texts(chance))}
    ids = sorted(texts)
    added: list[tuple[int, int]] = []
    for begin, end in ((0, 3), (3, 4), (4, 20), (20, len(ids))):
        known = {name: texts[name] for name in ids[:end]}
        added += [(int(first), int(second)) for first, second, _ in near_duplicates(known, new=ids[begin:end])]
    once = [(int(first), int(second)) for first, second, _ in near_duplicates(texts)]
    assert closure(len(ids), added) == closure(len(ids), once)


def test_a_cluster_too_large_to_list_becomes_a_family() -> None:
    texts = {f"{number:03}": "Where is my parcel?" for number in range(LISTED_CLUSTER + 1)} | {"x": "Cancel my order", "y": "cancel my order!"}
    found = duplicate_links(texts)
    assert found.families == [tuple(f"{number:03}" for number in range(LISTED_CLUSTER + 1))]
    assert found.links == [("x", "y", 1.0)]


@pytest.mark.parametrize(
    ("first", "second"),
    [("Hello   World", " hello world "), ("don't", "dont"), ("Re-send it!", "re send it"), ("\uff26ull width", "full width"), ("a b", "A, B."), ("", "  ")],
)
def test_texts_that_differ_in_case_spaces_or_punctuation_are_duplicates(first: str, second: str) -> None:
    assert near_duplicates({"a": first, "b": second}) == [("a", "b", 1.0)]


@pytest.mark.parametrize(("first", "second"), [("?!", "..."), ("👍", "👎"), ("yes", "no"), ("", "a"), ("What is 5?", "What is 6?")])
def test_short_texts_that_say_different_things_are_not_duplicates(first: str, second: str) -> None:
    assert near_duplicates({"a": first, "b": second}) == []


def test_grams_stay_exact_with_more_symbols_than_fit_a_number() -> None:
    chance = random.Random(1)
    texts = [[f"word{chance.randrange(40_000)}" for _ in range(200)] for _ in range(300)]
    texts[7] = texts[3][:150] + texts[7][150:]
    sets = gram_sets(texts, 5)
    one, two = grams(texts[3]), grams(texts[7])
    assert similarities(sets, np.array([3]), np.array([7]))[0] == len(one & two) / len(one | two)
    assert sets.sizes.tolist() == [len(grams(text)) for text in texts]


def test_a_threshold_out_of_range_and_an_id_with_two_texts_are_refused() -> None:
    with pytest.raises(ValueError, match="threshold"):
        near_duplicates({}, threshold=0)
    with pytest.raises(ValueError, match="given twice"):
        near_duplicates([("a", "x"), ("a", "y")])
    assert near_duplicates({}) == [] and near_duplicates([("a", "x")]) == []
