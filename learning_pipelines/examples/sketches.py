"""What a text looks like to the search for near-duplicates: 232 bytes that are stored, so that newcomers meet all earlier texts in arrays.

Belongs here: MinHash bands and keys of texts, which of them fall together. Not here: comparing what fell together (duplicates.py), storing.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from hashlib import blake2b

import numpy as np
import numpy.typing as npt

from learning_pipelines.examples.components import Bools, Ints, UnionFind
from learning_pipelines.examples.duplicates import GRAM, normalised, without_punctuation

Sketches = npt.NDArray[np.uint32]
"""Shape (texts, WIDTH): two keys of 64 bits, the bands, then one byte of each of several minima."""

Scores = npt.NDArray[np.float64]
Compare = Callable[[Ints, Ints], Scores]

VERSION = "1"
"""Part of the stored rule: sketches of another version are made again."""

CHARACTER_BANDS, CHARACTER_ROWS = 24, 5
WORD_BANDS, WORD_ROWS = 8, 3
CHARACTER_BYTES, WORD_BYTES = 64, WORD_BANDS * WORD_ROWS
_KEYS = 4
_BYTES = _KEYS + CHARACTER_BANDS + WORD_BANDS
WIDTH = _BYTES + (CHARACTER_BYTES + WORD_BYTES) // 4

_ROUNDS = ((1, 1), (2, 4), (5, 32))
"""Texts that share a band are compared with so many neighbours on either side (first to last of each round), in the order of the next band.
What one round has joined needs no comparing in the next."""

_CHUNK = 2_000
_WORD = re.compile(r"\w+")
_RANDOM = np.random.default_rng(20_230_605).integers(0, 2**32, (2, CHARACTER_BANDS * CHARACTER_ROWS + WORD_BANDS * WORD_ROWS), dtype=np.uint32)
_FACTORS, _OFFSETS = _RANDOM[0] | np.uint32(1), _RANDOM[1]


def miss_probability(similarity: float) -> float:
    """How likely two texts whose character 5-grams have this Jaccard similarity share no band: 7e-5 at 0.8, 8e-7 at 0.85, 2e-10 at 0.9."""
    return float((1 - similarity**CHARACTER_ROWS) ** CHARACTER_BANDS)


def sketches(texts: Sequence[str]) -> Sketches:
    """One row per text; the same text has the same row in every process and on every machine.

    MinHash (Broder, "On the resemblance and containment of documents", 1997) of the normalised text's 5-grams of characters and of words,
    cut into bands (Leskovec, Rajaraman and Ullman, "Mining of massive datasets", section 3.4): texts are candidates if one band is equal.
    Grams as written and of pieces between spaces have no bands of their own: texts alike in these are alike enough in the other two.
    The bytes estimate the similarity of candidates (Li and König, "b-bit minwise hashing", 2010), so that few texts need to be read.
    """
    rows = np.zeros((len(texts), WIDTH), dtype=np.uint32)
    marks: dict[int, int | None] = {}
    for begin in range(0, len(texts), _CHUNK):
        plain = [normalised(text) for text in texts[begin : begin + _CHUNK]]
        words = [_WORD.findall(text) for text in plain]
        end = begin + len(plain)
        rows[begin:end, :2] = _keys([" ".join(found) or text for found, text in zip(words, plain, strict=True)])
        rows[begin:end, 2:_KEYS] = _keys([without_punctuation(text, marks) for text in plain])
        letters = [np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4") for text in plain]
        tokens = [np.asarray([zlib.crc32(word.encode("utf-8", "surrogatepass")) for word in found], dtype=np.uint32) for found in words]
        letter_bands, letter_bytes = _bands(*_grams(letters), 0, CHARACTER_BANDS, CHARACTER_ROWS)
        word_bands, word_bytes = _bands(*_grams(tokens), CHARACTER_BANDS * CHARACTER_ROWS, WORD_BANDS, WORD_ROWS)
        rows[begin:end, _KEYS:_BYTES] = np.concatenate([letter_bands, word_bands], axis=1)
        rows[begin:end, _BYTES:] = np.concatenate([letter_bytes[:, :CHARACTER_BYTES], word_bytes], axis=1).view(np.uint32)
    return rows


def _keys(texts: Sequence[str]) -> Sketches:
    digests = b"".join(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest() for text in texts)
    return np.frombuffer(digests, dtype="<u4").reshape(-1, 2)


def _grams(texts: Sequence[npt.NDArray[np.uint32]]) -> tuple[npt.NDArray[np.uint32], Ints]:
    """A hash of each window of GRAM symbols, text after text, and where each text begins. A shorter text is one window."""
    padded = [text if len(text) >= GRAM else np.concatenate([text, np.zeros(GRAM - len(text), dtype=np.uint32)]) for text in texts]
    lengths = np.asarray([len(text) for text in padded], dtype=np.int64)
    flat = np.concatenate(padded).astype(np.uint64)
    codes = np.zeros(len(flat) - GRAM + 1, dtype=np.uint64)
    for step in range(GRAM):
        codes = codes * np.uint64(0x9E3779B97F4A7C15) + flat[step : step + len(codes)]
    codes = (codes ^ (codes >> np.uint64(31))) * np.uint64(0xBF58476D1CE4E5B9)
    inside = np.ones(len(flat), dtype=np.bool_)
    ends = np.cumsum(lengths)
    for step in range(1, GRAM):
        inside[ends - step] = False
    windows = lengths - GRAM + 1
    return (codes >> np.uint64(32)).astype(np.uint32)[inside[: len(codes)]], np.cumsum(windows) - windows


def _bands(grams: npt.NDArray[np.uint32], starts: Ints, first: int, bands: int, rows: int) -> tuple[Sketches, npt.NDArray[np.uint8]]:
    """The bands (texts, bands), and the lowest byte of every minimum (texts, bands * rows)."""
    found = np.empty((len(starts), bands), dtype=np.uint32)
    lowest = np.empty((len(starts), bands * rows), dtype=np.uint8)
    shuffled = np.empty_like(grams)
    for band in range(bands):
        key = np.zeros(len(starts), dtype=np.uint32)
        for row in range(band * rows, (band + 1) * rows):
            np.multiply(grams, _FACTORS[first + row], out=shuffled)
            np.add(shuffled, _OFFSETS[first + row], out=shuffled)
            minima = np.minimum.reduceat(shuffled, starts)
            # Minima are small numbers: only their low bits tell them apart.
            lowest[:, row] = minima & np.uint32(0xFF)
            key = (key ^ minima) * np.uint32(0x9E3779B1)
            key ^= key >> np.uint32(15)
        found[:, band] = key
    return found, lowest


def _plausible(rows: Sketches, first: Ints, second: Ints, threshold: float) -> Bools:
    """Whether the bytes leave it open that pairs are alike: not where both estimates lie four standard errors below the threshold."""
    kept = np.zeros(len(first), dtype=np.bool_)
    spread = 4 * np.sqrt(threshold * (1 - threshold))
    for begin in range(0, len(first), 200_000):
        one, two = (np.ascontiguousarray(rows[side[begin : begin + 200_000], _BYTES:]).view(np.uint8) for side in (first, second))
        same = one == two
        letters, words = same[:, :CHARACTER_BYTES].mean(axis=1), same[:, CHARACTER_BYTES:].mean(axis=1)
        kept[begin : begin + 200_000] = (letters >= threshold - spread / CHARACTER_BYTES**0.5) | (words >= threshold - spread / WORD_BYTES**0.5)
    return kept


def spanning_links(rows: Sketches, fresh: Bools, joined: UnionFind, compare: Compare, threshold: float) -> Iterator[tuple[int, int, float]]:
    """Near-duplicate pairs (position, position, similarity) with a fresh text in them, added to `joined` as they are found.

    `joined` may hold what is known of the others already. `compare` tells the true similarity of candidates: nothing is linked by a sketch alone,
    but for texts with equal words, or equal but for punctuation, which are duplicates by definition.
    """
    keys = np.ascontiguousarray(rows[:, :_KEYS]).view(np.uint64)
    for column in range(keys.shape[1]):
        for one, two in zip(*_equal(keys[:, column], fresh), strict=True):
            if joined.union(one, two):
                yield one, two, 1.0
    alone = _representatives(rows)
    settled = np.zeros(0, dtype=np.int64)
    for column in range(_KEYS, _BYTES):
        following = column + 1 if column + 1 < _BYTES else _KEYS
        for first, second in _neighbours(rows[alone, column], rows[alone, following], fresh[alone]):
            first, second = alone[first], alone[second]
            labels = joined.labels()
            apart = labels[first] != labels[second]
            codes = np.unique(np.minimum(first, second)[apart] * len(rows) + np.maximum(first, second)[apart])
            codes = np.setdiff1d(codes, settled, assume_unique=True)
            codes = codes[_plausible(rows, codes // len(rows), codes % len(rows), threshold)]
            if not len(codes):
                continue
            first, second = codes // len(rows), codes % len(rows)
            scores = compare(first, second)
            settled = np.union1d(settled, codes[scores < threshold])
            for place in np.flatnonzero(scores >= threshold).tolist():
                if joined.union(int(first[place]), int(second[place])):
                    yield int(first[place]), int(second[place]), float(scores[place])


def _equal(keys: npt.NDArray[np.uint64], fresh: Bools) -> tuple[list[int], list[int]]:
    """Every fresh text with the first text that has the same key."""
    order = np.argsort(keys, kind="stable")
    begins = np.concatenate([[True], keys[order][1:] != keys[order][:-1]]) if len(keys) else np.zeros(0, dtype=np.bool_)
    head = order[np.maximum.accumulate(np.where(begins, np.arange(len(order)), 0))]
    other = (head != order) & fresh[order]
    return head[other].tolist(), order[other].tolist()


def _representatives(rows: Sketches) -> Ints:
    """One text, the earliest, of those with equal words and equal grams: what is alike to it is alike to the others.

    Equal words alone are not enough: other punctuation makes other grams of characters, and those may be what a third text is alike in.
    """
    grams = np.zeros(len(rows), dtype=np.uint64)
    for column in range(_BYTES):
        grams = (grams ^ rows[:, column]) * np.uint64(0x9E3779B97F4A7C15)
        grams ^= grams >> np.uint64(29)
    return np.sort(np.unique(grams, return_index=True)[1])


def _neighbours(band: npt.NDArray[np.uint32], following: npt.NDArray[np.uint32], fresh: Bools) -> Iterator[tuple[Ints, Ints]]:
    """Pairs with an equal band and a fresh text in them, round by round: all of them where few share it, else each with its neighbours."""
    met = np.sort(band[fresh])
    if not len(met):
        return
    places = np.flatnonzero(met[np.minimum(np.searchsorted(met, band), len(met) - 1)] == band)
    # Texts that agree in the next band too stand beside each other: where thousands share a band, likely partners come first.
    order = places[np.argsort((band[places].astype(np.uint64) << np.uint64(32)) | following[places], kind="stable")]
    ordered = band[order]
    place = np.arange(len(order))
    for begin, end in _ROUNDS:
        firsts, seconds = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
        for step in range(begin, end + 1):
            place = place[place + step < len(order)]
            place = place[ordered[place] == ordered[place + step]]
            one, two = order[place], order[place + step]
            useful = fresh[one] | fresh[two]
            firsts.append(one[useful])
            seconds.append(two[useful])
            if not len(place):
                break
        yield np.concatenate(firsts), np.concatenate(seconds)
