"""Sketches find what the definition calls near-duplicates: measured against all pairs and against what was planted.

Belongs here: candidates in memory. Not here: what is stored of them (test_clusters.py), the definition itself (test_duplicates.py).
"""

from __future__ import annotations

import random
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest

from learning_pipelines.examples.components import Ints, UnionFind
from learning_pipelines.examples.duplicates import near_duplicates, text_similarities
from learning_pipelines.examples.sketches import CHARACTER_BYTES, WIDTH, WORD_BYTES, miss_probability, sketches, spanning_links
from learning_pipelines_tests.examples.planted import planted


def labels_found(texts: list[str], threshold: float = 0.8, new_from: int = 0) -> Ints:
    joined = UnionFind(len(texts))
    fresh = np.arange(len(texts)) >= new_from
    links = list(spanning_links(sketches(texts), fresh, joined, lambda one, two: text_similarities(texts, one, two), threshold))
    one, two = (np.asarray([link[side] for link in links], dtype=np.int64) for side in (0, 1))
    assert (text_similarities(texts, one, two) >= threshold).all()
    return joined.labels()


def pairs_of(labels: Ints) -> int:
    return sum(count * (count - 1) // 2 for count in Counter(labels.tolist()).values())


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_what_comparing_all_pairs_joins_is_joined(seed: int) -> None:
    texts = planted(4_000, seed).texts
    exact = near_duplicates({f"{number:05}": text for number, text in enumerate(texts)})
    labels = labels_found(texts)
    together = [labels[int(one)] == labels[int(two)] for one, two, _ in exact]
    assert len(together) > 500 and np.mean(together) >= 0.999


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_planted_duplicates_are_found_and_hard_negatives_are_not(seed: int) -> None:
    made = planted(4_000, seed)
    labels, groups = labels_found(made.texts), np.asarray(made.groups)
    both = pairs_of(np.unique(np.stack([labels, groups]), axis=1, return_inverse=True)[1])
    assert both / pairs_of(groups) >= 0.95
    assert both / pairs_of(labels) >= 0.95


def test_thousands_that_share_a_band_are_joined_without_comparing_all() -> None:
    chance = random.Random(4)
    templates = ["".join(chance.choice("abcdefgh ") for _ in range(200)) for _ in range(4)]
    texts = [f"{templates[number % 4]} order {chance.randrange(10**6):06}" for number in range(3000)]
    compared = 0

    def compare(one: Ints, two: Ints) -> np.ndarray:
        nonlocal compared
        compared += len(one)
        return text_similarities(texts, one, two)

    joined = UnionFind(len(texts))
    list(spanning_links(sketches(texts), np.ones(3000, dtype=np.bool_), joined, compare, 0.8))
    assert len(set(joined.labels().tolist())) == 4
    assert compared < 3000 * 20


def test_old_texts_are_joined_by_newcomers_only() -> None:
    texts = [f"How do I reset the password of my {name} for the new laptop?" for name in ("account", "accounts", "accountss")]
    assert len(set(labels_found(texts, new_from=3).tolist())) == 3
    assert len(set(labels_found(texts, new_from=2).tolist())) == 1


def test_a_text_is_found_through_the_one_of_equal_words_whose_punctuation_it_shares() -> None:
    marks = "Daroti, solbaca; stock: dahumfi! belmar? neip... with - we; Raba, that: in! system? raz -- return; "
    plain = " ".join(marks.translate(str.maketrans("", "", ",;:!?.-")).split())
    texts = [plain, marks, marks.replace("system", "sytsem")]
    first, second = text_similarities(texts, np.array([0, 1]), np.array([2, 2]))
    assert first < 0.8 <= second
    assert len(set(labels_found(texts).tolist())) == 1


def test_texts_with_equal_words_are_duplicates_whatever_their_grams_say() -> None:
    assert len(set(labels_found(["re send it", "Re-send: it!!!", "a???????????????????b", "A B"]).tolist())) == 2


@pytest.mark.parametrize("similarity", [0.3, 0.8])
def test_the_share_of_equal_bytes_estimates_the_similarity(similarity: float) -> None:
    chance = random.Random(7)
    shares = []
    for _ in range(60):
        words = [f"w{chance.randrange(10**9)}" for _ in range(200)]
        changed = words[: round(200 * 2 * similarity / (1 + similarity))]
        changed += [f"w{chance.randrange(10**9)}" for _ in range(200 - len(changed))]
        texts = [" ".join(words), " ".join(changed)]
        same = sketches(texts).view(np.uint8)[:, -(CHARACTER_BYTES + WORD_BYTES) :]
        true = text_similarities(texts, np.array([0]), np.array([1]))[0]
        shares.append((same[0] == same[1])[:CHARACTER_BYTES].mean() - true)
    # Four standard errors of the mean of 60 · 64 draws, and what a byte collides by chance (1 / 256); the best of four readings is a little above characters.
    assert abs(np.mean(shares)) < 4 * (0.25 / (60 * CHARACTER_BYTES)) ** 0.5 + 0.015


def test_few_pairs_at_the_threshold_share_no_band() -> None:
    assert miss_probability(0.8) < 1e-4 < miss_probability(0.75) < 1e-2


def test_a_sketch_is_the_same_in_every_process() -> None:
    program = "import sys; from learning_pipelines.examples.sketches import sketches; sys.stdout.write(sketches(['Wo ist mein Päckchen?', '']).tobytes().hex())"
    other = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert other.stdout == sketches(["Wo ist mein Päckchen?", ""]).tobytes().hex()
    assert len(other.stdout) == 2 * 2 * 4 * WIDTH


@pytest.mark.parametrize("texts", [[], ["one"], ["", "", " "], ["👍", "👎"], ["\ud800 half", "x" * 300_000]], ids=["none", "one", "empty", "emoji", "odd"])
def test_odd_texts_are_taken(texts: list[str]) -> None:
    labels = labels_found(texts)
    assert len(set(labels.tolist())) == len({text.strip() for text in texts})
