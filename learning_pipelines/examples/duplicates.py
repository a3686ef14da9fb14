"""Belongs here: which texts are near-duplicates by 5-grams, found exactly and without comparing every pair.
Not here: duplicates by embedding, what is done about them (splits.py), reading or storing texts."""

from __future__ import annotations

import re
import sys
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from learning_pipelines.examples.components import Bools, Ints, UnionFind
from learning_pipelines.examples.jaccard_join import GramSets, gram_sets, join, similarities

Texts = Mapping[str, str] | Sequence[tuple[str, str]]
Link = tuple[str, str, float]

GRAM = 5
"""Characters or words in one gram."""

LISTED_CLUSTER = 300
"""Clusters of up to so many texts are listed pair by pair, smallest first, ..."""

LISTED_PAIRS = 1_000_000
"""... until so many pairs have been compared for it; the rest are families."""


_PAIRS = 20_000
"""Pairs of texts read at a time: about 200 MB."""


@dataclass(frozen=True)
class DuplicateLinks:
    """What `assign_splits` needs: every near-duplicate pair of the small clusters, and the large clusters as families.

    `links`: (id, id, similarity 0-1), ids ascending. `families`: ids (ascending) of clusters too large to be listed.
    """

    links: list[Link]
    families: list[tuple[str, ...]]


def near_duplicates(texts: Texts, *, threshold: float = 0.8, new: Collection[str] | None = None) -> list[Link]:
    """Links (id, id, similarity) whose transitive closure is that of all near-duplicate pairs, ids ascending in each, sorted.

    The links are a spanning forest: a cluster of k texts gives k - 1 links, each of them a true near-duplicate pair, so that thousands
    of identical or templated texts do not give millions of pairs. Take a text out and the rest of its cluster may no longer hang
    together by these links: whoever takes texts out needs `duplicate_links`.

    Two texts are near-duplicates when the Jaccard similarity of their sets of 5-grams is at least `threshold` (0 < threshold <= 1) in
    ANY of four readings, because "5-gram" is ambiguous and a leak by either reading is a leak: characters as written (stripped),
    characters normalised (NFKC, casefolded, white space collapsed, stripped), words of the normalised text (\\w+), and its pieces between
    spaces. Written and normalised characters differ both ways: folding can make texts alike, and can also merge grams that
    they shared. A text of fewer than 5 characters (words, pieces) is one gram. Texts with equal words, or equal but for punctuation,
    are duplicates with similarity 1; similarities are otherwise those of the reading that showed the pair.

    `new` limits the pairs to those with at least one new id. No pair is missed: candidates come from prefix and length filters
    (Bayardo, Ma and Srikant, "Scaling up all pairs similarity search", 2007; Xiao et al., "Efficient similarity joins for near
    duplicate detection", 2008), and every filter is a bound. ValueError: threshold out of range, or an id given twice with different texts.
    """
    ids, readings, fresh = _prepare(texts, threshold, new)
    found = _spanning(readings, threshold, fresh)
    return sorted(_named(ids, first, second, score) for first, second, score in found)


def duplicate_links(texts: Texts, *, threshold: float = 0.8, new: Collection[str] | None = None) -> DuplicateLinks:
    """Near-duplicates (as in `near_duplicates`) in a form that stays true when texts are taken out.

    In a cluster of up to LISTED_CLUSTER texts every near-duplicate pair is listed; a larger one (or one beyond LISTED_PAIRS) is a family,
    whose members are to be kept together whatever is taken out. Links and families of successive calls with `new` add up. Give no
    texts of examples that have been left out: they join nothing any more, but would make one family of what only they joined.
    """
    ids, readings, fresh = _prepare(texts, threshold, new)
    joined = UnionFind(len(ids))
    for first, second, _ in _spanning(readings, threshold, fresh):
        joined.union(first, second)
    clusters: dict[int, list[int]] = defaultdict(list)
    for number, label in enumerate(joined.labels().tolist()):
        clusters[label].append(number)
    members = sorted((found for found in clusters.values() if len(found) > 1), key=lambda found: (len(found), found))
    load = np.cumsum([len(found) * (len(found) - 1) // 2 for found in members])
    count = sum(len(found) <= LISTED_CLUSTER and total <= LISTED_PAIRS for found, total in zip(members, load.tolist(), strict=True))
    families = sorted(tuple(ids[number] for number in found) for found in members[count:])
    pairs = np.asarray([pair for found in members[:count] for pair in combinations(found, 2)], dtype=np.int64).reshape(-1, 2)
    pairs = pairs[fresh[pairs[:, 0]] | fresh[pairs[:, 1]]]
    best = _best_scores(readings, pairs[:, 0], pairs[:, 1])
    near = best >= threshold
    rows = zip(pairs[near].tolist(), best[near].tolist(), strict=True)
    return DuplicateLinks(sorted(_named(ids, first, second, score) for (first, second), score in rows), families)


def text_similarities(texts: Sequence[str], first: Ints, second: Ints) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """The similarity of each pair of texts (positions), the highest over the four readings; shape (len(first),)."""
    best = np.zeros(len(first), dtype=np.float64)
    for begin in range(0, len(first), _PAIRS):
        part = slice(begin, begin + _PAIRS)
        needed, places = np.unique(np.concatenate([first[part], second[part]]), return_inverse=True)
        readings = _read([texts[number] for number in needed.tolist()])
        best[part] = _best_scores(readings, places[: len(places) // 2], places[len(places) // 2 :])
    return best


@dataclass(frozen=True)
class _Readings:
    """The texts read in each way: `sets` (one row per text) and `keys`, equal for texts that are equal in that reading (0: never)."""

    sets: list[GramSets]
    keys: list[Ints]


def _prepare(texts: Texts, threshold: float, new: Collection[str] | None) -> tuple[list[str], _Readings, Bools]:
    if not 0 < threshold <= 1:
        raise ValueError(f"The threshold must be above 0 and at most 1, not {threshold}.")
    table: dict[str, str] = {}
    for name, text in texts.items() if isinstance(texts, Mapping) else texts:
        if table.setdefault(name, text) != text:
            raise ValueError(f"The id {name!r} was given twice, with different texts.")
    ids = sorted(table)
    wanted = None if new is None else set(new)
    fresh = np.asarray([wanted is None or name in wanted for name in ids], dtype=np.bool_)
    return ids, _read([table[name] for name in ids]), fresh


_WORD = re.compile(r"\w+")


def normalised(text: str) -> str:
    """NFKC, casefolded, white space collapsed to single spaces, stripped (NFKC again: folding can undo it)."""
    return " ".join(unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold()).split())


def without_punctuation(text: str, marks: dict[int, int | None]) -> str:
    """`text` less its punctuation; the text itself if nothing else is in it ("?!" and "..." are not alike). `marks` remembers what was looked up."""
    for point in set(map(ord, text)) - marks.keys():
        marks[point] = None if unicodedata.category(chr(point)).startswith("P") else point
    return " ".join(text.translate(marks).split()) or text


def _read(texts: list[str]) -> _Readings:
    plain = [normalised(text) for text in texts]
    readings = _Readings([], [])
    for reading in _tokens, _pieces, _same, _written:
        # One reading at a time: the words of 100,000 texts as Python strings are several hundred megabytes.
        read = reading(plain, texts)
        readings.sets.append(gram_sets(read, GRAM))
        # A text without a single word ("?", an emoji) would otherwise equal every other such text.
        readings.keys.append(_numbered(part or text for part, text in zip(read, plain, strict=True)))
    marks: dict[int, int | None] = {}
    readings.keys.append(_numbered(without_punctuation(text, marks) for text in plain))
    return readings


def _tokens(plain: list[str], _: list[str]) -> Sequence[Sequence[str]]:
    return [tuple(map(sys.intern, _WORD.findall(text))) for text in plain]


def _pieces(plain: list[str], _: list[str]) -> Sequence[Sequence[str]]:
    return [tuple(map(sys.intern, text.split())) for text in plain]


def _same(plain: list[str], _: list[str]) -> Sequence[Sequence[str]]:
    return plain


def _written(_: list[str], texts: list[str]) -> Sequence[Sequence[str]]:
    return [text.strip() for text in texts]


def _numbered(values: Iterable[object]) -> Ints:
    numbers: dict[object, int] = {}
    return np.asarray([numbers.setdefault(value, len(numbers)) for value in values], dtype=np.int64)


def _spanning(readings: _Readings, threshold: float, fresh: Bools) -> Iterator[tuple[int, int, float]]:
    """A spanning forest of the near-duplicate pairs with a new text in them."""
    joined = UnionFind(len(fresh))
    for keys in readings.keys:
        centres = _centres(keys, fresh)
        for number in np.flatnonzero(centres != np.arange(len(keys))).tolist():
            if joined.union(int(centres[number]), number):
                yield int(centres[number]), number, 1.0
    for keys, sets in zip(readings.keys, readings.sets, strict=False):
        # Equal texts are linked already: one of them stands for all. Only where one is new, for old texts are not linked to each other.
        distinct = _centres(keys, fresh) == np.arange(len(keys))
        yield from join(sets, np.flatnonzero(distinct), threshold, fresh, joined)


def _centres(keys: Ints, fresh: Bools) -> Ints:
    """For each text the one that stands for all texts with its key: the first new one, or the text itself where none is new."""
    size = len(keys)
    first = np.full(size + 1, size, dtype=np.int64)
    newcomers = np.flatnonzero(fresh)
    np.minimum.at(first, keys[newcomers], newcomers)
    return np.where(first[keys] < size, first[keys], np.arange(size))


def _best_scores(readings: _Readings, first: Ints, second: Ints) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """The highest similarity of each pair over all readings."""
    best = np.zeros(len(first), dtype=np.float64)
    for sets in readings.sets:
        best = np.maximum(best, similarities(sets, first, second))
    for keys in readings.keys:
        best[keys[first] == keys[second]] = 1.0
    return best


def _named(ids: list[str], first: int, second: int, score: float) -> Link:
    low, high = sorted((ids[first], ids[second]))
    return low, high, score
