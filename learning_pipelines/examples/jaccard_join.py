"""Belongs here: sets of 5-grams as arrays, and the exact join of those that are alike (Jaccard similarity at or above a threshold).
Not here: how a text is normalised and when two texts count as duplicates (duplicates.py)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from learning_pipelines.examples.components import Bools, Ints, UnionFind

_SLACK = 1e-9
"""Keeps a bound on the safe side of rounding."""

_BATCH = 2_000_000
"""Candidates looked at in one go: about 100 MB."""

_LARGE = 64
"""A component of more sets than this is skipped as a whole when its own members look for partners."""


@dataclass(frozen=True)
class GramSets:
    """Set i is grams[starts[i] : starts[i + 1]]: numbers 0..kinds-1, ascending, rarest gram first."""

    starts: Ints
    grams: npt.NDArray[np.int32]
    kinds: int

    @property
    def sizes(self) -> Ints:
        """Grams in each set, shape (sets,)."""
        return np.diff(self.starts)


def gram_sets(texts: Sequence[Sequence[str]], length: int) -> GramSets:
    """The set of `length`-grams of each text (a string, or a sequence of words); a shorter text is one gram, an empty one none.

    Grams are numbered without hashing, so that two different grams never count as one.
    """
    symbols, lengths = _symbols(texts)
    padded = np.where(lengths > 0, np.maximum(lengths, length), 0)
    if len(symbols) < padded.sum():
        # 0 stands for nothing: only texts shorter than a gram have it.
        places, _ = _spans(np.cumsum(padded) - padded, lengths)
        flat = np.zeros(int(padded.sum()), dtype=np.int64)
        flat[places] = symbols
        symbols = flat
    windows = np.maximum(padded - length + 1, 0)
    places, owner = _spans(np.cumsum(padded) - padded, windows)
    codes = _codes(symbols, length)[places] if len(places) else symbols[:0]
    texts_of = owner.astype(np.int32)
    del places, symbols, owner
    return _rarest_first(codes, texts_of, len(texts))


def _symbols(texts: Sequence[Sequence[str]]) -> tuple[Ints, Ints]:
    """All symbols one after another, numbered from 1 without gaps, and the number of symbols of each text."""
    lengths = np.asarray([len(text) for text in texts], dtype=np.int64)
    if all(isinstance(text, str) for text in texts):
        points = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), dtype="<u4")  # type: ignore[arg-type]
        present = np.zeros(int(points.max(initial=0)) + 1, dtype=np.int64)
        present[points] = 1
        return np.cumsum(present)[points], lengths
    numbers: dict[str, int] = {}
    flat = [numbers.setdefault(word, len(numbers) + 1) for text in texts for word in text]
    return np.asarray(flat, dtype=np.int64), lengths


def _codes(symbols: Ints, length: int) -> Ints:
    """A number for each window of `length` symbols, equal for equal windows only; shape (len(symbols) - length + 1,)."""
    codes, windows = symbols, len(symbols) - length + 1
    base = int(symbols.max(initial=0)) + 1
    for step in range(1, length):
        if (int(codes.max(initial=0)) + 1) * base >= 2**62:
            codes = np.unique(codes, return_inverse=True)[1]
        codes = codes[: len(symbols) - step] * base + symbols[step:]
    return codes[:windows]


def _rarest_first(codes: Ints, owner: npt.NDArray[np.int32], texts: int) -> GramSets:
    order = np.argsort(codes)
    kind = _changes(codes[order]).cumsum(dtype=np.int32) - np.int32(1)
    counts = np.bincount(kind)
    rank = np.empty(len(counts), dtype=np.int32)
    rank[np.argsort(counts, kind="stable")] = np.arange(len(counts), dtype=np.int32)
    kinds = max(1, len(counts))
    keys = owner[order].astype(np.int64)
    del order
    keys *= kinds
    keys += rank[kind]
    del kind
    keys.sort()
    keys = keys[_changes(keys)]
    starts = np.searchsorted(keys, np.arange(texts + 1) * kinds)
    return GramSets(starts, (keys % kinds).astype(np.int32), kinds)


def _changes(values: Ints) -> Bools:
    """Whether each of some sorted values is the first of its kind."""
    first = np.ones(len(values), dtype=np.bool_)
    np.not_equal(values[1:], values[:-1], out=first[1:])
    return first


def _spans(starts: Ints, lengths: Ints) -> tuple[Ints, Ints]:
    """The positions of many ranges one after another, and for each position the number of its range."""
    which = np.repeat(np.arange(len(lengths)), lengths)
    shift = starts - (np.cumsum(lengths) - lengths)
    return np.arange(len(which)) + shift[which], which


def similarities(sets: GramSets, first: Ints, second: Ints) -> npt.NDArray[np.float64]:
    """The Jaccard similarity of each pair of sets, shape (len(first),); 0 where one of them is empty."""
    sizes, scores = sets.sizes, np.zeros(len(first), dtype=np.float64)
    load = np.cumsum(sizes[first] + sizes[second])
    for begin, end in _batches(load):
        one, two = first[begin:end], second[begin:end]
        rows, pairs = np.concatenate([one, two]), len(one)
        places, which = _spans(sets.starts[rows], sizes[rows])
        keys = (which % pairs) * sets.kinds + sets.grams[places]
        keys.sort()
        shared = np.bincount(keys[1:][keys[1:] == keys[:-1]] // sets.kinds, minlength=pairs)
        scores[begin:end] = shared / np.maximum(sizes[one] + sizes[two] - shared, 1)
    return scores


def _batches(load: Ints) -> Iterator[tuple[int, int]]:
    """Consecutive ranges of roughly _BATCH each, given the running total of the load; every range holds at least one."""
    begin = 0
    while begin < len(load):
        done = int(load[begin - 1]) if begin else 0
        end = max(begin + 1, int(np.searchsorted(load, done + _BATCH, side="right")))
        yield begin, end
        begin = end


def join(sets: GramSets, rows: Ints, threshold: float, fresh: Bools, joined: UnionFind) -> Iterator[tuple[int, int, float]]:
    """Pairs (set, set, similarity) among `rows` that together join what is alike, added to `joined` as they are found.

    Afterwards every pair of `rows` with similarity >= threshold, one of it `fresh` (shape (sets,)), is in one component of `joined`.
    """
    sizes = sets.sizes
    rows = rows[sizes[rows] > 0]
    if len(rows) < 2:
        return
    work = _Join(sets, rows[np.argsort(sizes[rows], kind="stable")], threshold, fresh, joined)
    for shuffle in (False, True):
        yield from work.neighbours(shuffle)
    yield from work.everything()


class _Join:
    """One join. Positions 0..n-1 are the rows in ascending order of size, so a partner of the same size or smaller stands before."""

    def __init__(self, sets: GramSets, rows: Ints, threshold: float, fresh: Bools, joined: UnionFind) -> None:
        self.sets, self.rows, self.threshold, self.joined = sets, rows, threshold, joined
        self.fresh, self.sizes = fresh[rows], sets.sizes[rows]
        self.first = np.searchsorted(self.sizes, np.ceil(threshold * self.sizes - _SLACK))
        self.signs = self._signatures()
        # Of two alike sets, the prefix of the larger and the (shorter) prefix of the smaller share a gram.
        share = 2 * threshold / (1 + threshold)
        self.probes = self._prefixes(self.sizes - np.ceil(threshold * self.sizes - _SLACK).astype(np.int64) + 1)
        self.index = self._prefixes(self.sizes - np.ceil(share * self.sizes - _SLACK).astype(np.int64) + 1)

    def _prefixes(self, lengths: Ints) -> tuple[Ints, Ints]:
        """(position, gram) of the rarest grams of every set."""
        places, which = _spans(self.sets.starts[self.rows], np.minimum(lengths, self.sizes))
        return which, self.sets.grams[places].astype(np.int64)

    def _signatures(self) -> npt.NDArray[np.uint64]:
        """256 bits per set, each the parity of the grams that fall on it: two sets differ in at least as many grams as bits."""
        signs = np.empty((len(self.rows), 4), dtype=np.uint64)
        for begin in range(0, len(self.rows), 4096):
            rows = self.rows[begin : begin + 4096]
            places, which = _spans(self.sets.starts[rows], self.sets.sizes[rows])
            bits = (self.sets.grams[places].astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) >> np.uint64(56)).astype(np.int64)
            parity = (np.bincount(which * 256 + bits, minlength=256 * len(rows)) & 1).astype(np.uint8)
            signs[begin : begin + 4096] = np.packbits(parity.reshape(-1, 256), axis=1).view(np.uint64)
        return signs

    def _plausible(self, one: Ints, two: Ints) -> Bools:
        """Whether the signatures leave it open that a pair is alike."""
        total = self.sizes[one] + self.sizes[two]
        apart = np.zeros(len(one), dtype=np.int64)
        for word in range(4):
            column = self.signs[:, word]
            apart += np.bitwise_count(column[one] ^ column[two])
        limit: Bools = apart <= total * ((1 - self.threshold) / (1 + self.threshold)) + _SLACK
        return limit

    def _settle(self, one: Ints, two: Ints) -> Iterator[tuple[int, int, float]]:
        """Compare candidates, few per pair of components at a time: one that is alike makes the others of its components needless."""
        few = 1
        while len(one):
            labels = self.joined.labels()[self.rows]
            low, high = np.sort(np.stack([labels[one], labels[two]]), axis=0)
            order = np.lexsort((high, low))
            order = order[low[order] != high[order]]
            low, high, one, two = low[order], high[order], one[order], two[order]
            heads = np.flatnonzero(np.concatenate([[True], (low[1:] != low[:-1]) | (high[1:] != high[:-1])])) if len(one) else order
            turn = np.arange(len(one)) - np.repeat(heads, np.diff(np.append(heads, len(one)))) < few
            names = self.rows[one[turn]], self.rows[two[turn]]
            scores = similarities(self.sets, *names)
            for place in np.flatnonzero(scores >= self.threshold).tolist():
                if self.joined.union(int(names[0][place]), int(names[1][place])):
                    yield int(names[0][place]), int(names[1][place]), float(scores[place])
            one, two, few = one[~turn], two[~turn], few * 4

    def neighbours(self, shuffle: bool) -> Iterator[tuple[int, int, float]]:
        """Compare sets that stand next to each other among those that share a gram: links most of what is alike at once.

        Missing a pair is no harm here. By size, and in a random order: families of one template fall into one component either way.
        """
        place, gram = self.probes
        second = (place * np.int64(2654435761) ^ gram * np.int64(40503)) % np.int64(1000003) if shuffle else place
        order = np.lexsort((second, gram))
        place, gram = place[order], gram[order]
        same = gram[1:] == gram[:-1]
        one, two = np.minimum(place[1:], place[:-1])[same], np.maximum(place[1:], place[:-1])[same]
        for begin in range(0, len(one), _BATCH):
            yield from self._consider(one[begin : begin + _BATCH], two[begin : begin + _BATCH])

    def _consider(self, one: Ints, two: Ints) -> Iterator[tuple[int, int, float]]:
        labels = self.joined.labels()[self.rows]
        keep = (labels[one] != labels[two]) & (one >= self.first[two]) & (self.fresh[one] | self.fresh[two])
        one, two = one[keep], two[keep]
        keep = self._plausible(one, two)
        pairs = np.unique(two[keep] * len(self.rows) + one[keep])
        yield from self._settle(pairs % len(self.rows), pairs // len(self.rows))

    def everything(self) -> Iterator[tuple[int, int, float]]:
        """Consider every pair that shares a prefix gram, except inside one large component and between two old sets."""
        group = self._groups()
        groups, size = int(group.max()) + 1, len(self.rows)
        place, gram = self.index
        keys = np.sort((gram * groups + group[place]) * size + place)
        segments = np.unique(keys // size)
        place, gram = self.probes
        lowest = np.searchsorted(segments, gram * groups)
        which, entry = _spans(lowest, np.searchsorted(segments, (gram + 1) * groups) - lowest)
        place, segment = place[entry], segments[which]
        other = segment % groups
        useful = ((other // 2 != group[place] // 2) | (other < 2)) & ((other % 2 == 1) | self.fresh[place])
        place, segment = place[useful], segment[useful]
        begins = np.searchsorted(keys, segment * size + self.first[place])
        counts = np.searchsorted(keys, segment * size + place) - begins
        for begin, end in _batches(np.cumsum(counts)):
            found, which = _spans(begins[begin:end], counts[begin:end])
            yield from self._consider(keys[found] % size, place[begin:end][which])

    def _groups(self) -> Ints:
        """Per position 2 * (number of its large component, 0 if it is in none) + (1 if new)."""
        _, label, counts = np.unique(self.joined.labels()[self.rows], return_inverse=True, return_counts=True)
        large = counts > _LARGE
        number = np.where(large, np.cumsum(large), 0)
        return 2 * number[label] + self.fresh
