"""Near-duplicate inputs of an agent, kept up to date: newcomers are compared with everything earlier by what is stored of it.

Belongs here: the loop from new examples to links and clusters, one transaction per portion. Not here: the definition (similarity.py), candidates
(sketches.py), SQL (storage/).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256

import numpy as np

from learning_pipelines.encoder import Encoder
from learning_pipelines.examples import sketches
from learning_pipelines.examples.components import Ints, UnionFind
from learning_pipelines.examples.duplicates import text_similarities
from learning_pipelines.examples.similarity import DuplicateRule, Vectors, listed, unit
from learning_pipelines.storage import duplicates as storage
from learning_pipelines.storage.database import Connection, database_errors
from learning_pipelines.storage.tenants import AgentRef

OpenEncoder = Callable[[], Encoder]

PORTION = 50_000
"""Examples per transaction: bounds memory, and what a crash loses."""

LISTED = 100
"""Clusters of up to so many inputs have all their pairs stored; one that ever was larger is looked at as a whole where it matters (datasets.py)."""


_BLOCK = 2_000
"""Vectors multiplied with a block of others in one go: 80 MB."""


@dataclass
class Clustered:
    """What one refresh did: inputs taken up, of them encoded, pairs stored, clusters that grew together, inputs searched again under another rule."""

    inputs: int = 0
    encoded: int = 0
    links: int = 0
    merged: int = 0
    again: int = 0


@dataclass
class _Search:
    """One portion: stored inputs first (by number), then the new ones; positions count through both."""

    known: storage.Known
    names: list[str]
    texts: list[str]
    joined: UnionFind
    nearest: Vectors | None = None
    """Cosine to the nearest other input, one per position; None without an encoder."""

    @property
    def size(self) -> int:
        return len(self.known.numbers) + len(self.names)

    @property
    def numbers(self) -> Ints:
        begin = int(self.known.numbers[-1]) + 1 if len(self.known.numbers) else 0
        return np.concatenate([self.known.numbers, np.arange(begin, begin + len(self.names))])


def refresh_clusters(
    connection: Connection, agent: AgentRef, rule: DuplicateRule, open_encoder: OpenEncoder | None = None, *, portion: int = PORTION
) -> Clustered:
    """Takes up every active example that was not searched yet. Running it again changes nothing; cost follows the new ones.

    The encoder is opened only if there is something new. A rule that has changed (a threshold, the model) means that all are searched again.
    Beside the new inputs' own cost each portion reads what is stored of the others once: 250 bytes, and a vector of 768 where the rule has a cosine.
    ValueError: the rule has a cosine and there is no encoder.
    """
    if rule.cosine is not None and open_encoder is None:
        raise ValueError("A rule with a cosine needs an encoder.")
    done = Clustered()
    encoder: Encoder | None = None
    with database_errors(f"looking for near-duplicates of {agent.partition}"):
        while True:
            with connection.transaction():
                storage.lock_duplicates(connection, agent)
                done.again += storage.forget_outdated(connection, agent, rule.name)
                new = storage.unsketched(connection, agent, portion)
                if not new:
                    return done
                if rule.cosine is not None and open_encoder is not None:
                    encoder = encoder or open_encoder()
                    if storage.encoder_used(connection, agent) not in (None, encoder.name):
                        done.again += storage.forget_all(connection, agent)
                        new = storage.unsketched(connection, agent, portion)
                _take_up(connection, agent, rule, encoder, new, done)


def _take_up(connection: Connection, agent: AgentRef, rule: DuplicateRule, encoder: Encoder | None, new: Sequence[tuple[str, str]], done: Clustered) -> None:
    known = storage.known(connection, agent, 4 * sketches.WIDTH)
    labels = np.concatenate([known.clusters, -1 - np.arange(len(new))])
    search = _Search(known, [name for name, _ in new], [text for _, text in new], UnionFind(len(labels), labels))
    fresh = np.arange(search.size) >= len(known.numbers)
    rows = np.concatenate([known.sketches.view(np.uint32), sketches.sketches(search.texts)])
    for _ in sketches.spanning_links(rows, fresh, search.joined, _comparing(connection, agent, search), rule.jaccard):
        pass
    if encoder is not None and rule.cosine is not None:
        vectors, encoded = _vectors(connection, agent, encoder, search)
        done.encoded += encoded
        _join_by_vectors(connection, agent, encoder.name, search, vectors, rule.cosine)
    done.merged += _store(connection, agent, rule, encoder, search, rows)
    done.links += _store_links(connection, agent, rule, encoder, search)
    done.inputs += len(new)


def _comparing(connection: Connection, agent: AgentRef, search: _Search) -> sketches.Compare:
    """The true similarity of candidates; of the stored inputs only those are read that a newcomer may be like."""
    begin = len(search.known.numbers)

    def compare(first: Ints, second: Ints) -> sketches.Scores:
        needed, places = np.unique(np.concatenate([first, second]), return_inverse=True)
        numbers = search.known.numbers[needed[needed < begin]].tolist()
        stored = storage.examples_numbered(connection, agent, numbers) if numbers else {}
        texts = [stored[number][1] for number in numbers] + [search.texts[place - begin] for place in needed[needed >= begin].tolist()]
        return text_similarities(texts, places[: len(first)], places[len(first) :])

    return compare


def _vectors(connection: Connection, agent: AgentRef, encoder: Encoder, search: _Search) -> tuple[Vectors, int]:
    """Vectors of the new inputs, of length 1 as stored: those of this encoder that are there already, the others encoded, equal texts once."""
    had = storage.vectors_of(connection, agent, encoder.name, search.names)
    missing = list(dict.fromkeys(text for name, text in zip(search.names, search.texts, strict=True) if name not in had))
    made = dict(zip(missing, encoder.encode(missing), strict=True)) if missing else {}
    vectors = [had[name] if name in had else made[text] for name, text in zip(search.names, search.texts, strict=True)]
    storage.store_vectors(
        connection, agent, encoder.name, [(name, vector) for name, vector in zip(search.names, vectors, strict=True) if name not in had]
    )
    return unit(np.stack(vectors)), len(missing)


def _join_by_vectors(connection: Connection, agent: AgentRef, encoder: str, search: _Search, vectors: Vectors, cosine: float) -> None:
    """Joins new inputs with everything whose vector is close, exactly, block by block; notes how near the nearest other input is."""
    begin = len(search.known.numbers)
    places = np.arange(begin, search.size)
    search.nearest = np.concatenate([search.known.nearest, np.full(len(vectors), -1, dtype=np.float32)])
    for numbers, block in storage.vector_blocks(connection, agent, encoder):
        _join(search, places, vectors, np.searchsorted(search.known.numbers, numbers), unit(block), cosine)
    for part in range(0, len(vectors), _BLOCK):
        _join(search, places, vectors, places[part : part + _BLOCK], vectors[part : part + _BLOCK], cosine)


def _join(search: _Search, left: Ints, vectors: Vectors, right: Ints, block: Vectors, cosine: float) -> None:
    """Joins the positions `left` with `right`, whose vectors these are, where they are close."""
    assert search.nearest is not None
    for begin in range(0, len(left), _BLOCK):
        own = left[begin : begin + _BLOCK]
        product = vectors[begin : begin + _BLOCK] @ block.T
        product[own[:, None] == right] = -1
        search.nearest[own] = np.maximum(search.nearest[own], product.max(axis=1))
        search.nearest[right] = np.maximum(search.nearest[right], product.max(axis=0))
        labels = search.joined.labels()
        first, second = np.nonzero(product >= cosine)
        apart = labels[own[first]] != labels[right[second]]
        for one, two in np.unique(np.stack([own[first[apart]], labels[right[second[apart]]]], axis=1), axis=0).tolist():
            search.joined.union(one, two)


def _store(connection: Connection, agent: AgentRef, rule: DuplicateRule, encoder: Encoder | None, search: _Search, rows: sketches.Sketches) -> int:
    """Stores sketches and clusters of the new inputs and joins stored clusters; returns how many were merged into another."""
    begin, numbers, labels = len(search.known.numbers), search.numbers, search.joined.labels()
    own = np.concatenate([search.known.clusters, numbers[begin:]])
    cluster = own[labels]
    changed = np.flatnonzero(cluster[:begin] != search.known.clusters)
    merged = np.unique(np.stack([search.known.clusters[changed], cluster[changed]], axis=1), axis=0)
    storage.merge_clusters(connection, agent, [(int(old), int(into)) for old, into in merged.tolist()])
    nearest = [None] * len(search.names) if search.nearest is None else search.nearest[begin:].tolist()
    listed_too = (np.bincount(labels, minlength=search.size)[labels[begin:]] <= LISTED).tolist()
    storage.store_sketches(
        connection, agent, rule.name, None if encoder is None else encoder.name,
        [
            (
                search.names[place], int(numbers[begin + place]), int(cluster[begin + place]), listed_too[place],
                sha256(search.texts[place].encode()).digest(), rows[begin + place].tobytes(), nearest[place],
            )
            for place in range(len(search.names))
        ],
    )  # fmt: skip
    if search.nearest is not None:
        nearer = np.flatnonzero(search.nearest[:begin] > search.known.nearest)
        storage.raise_nearest(connection, agent, list(zip(numbers[nearer].tolist(), search.nearest[nearer].tolist(), strict=True)))
    return len(merged)


def _store_links(connection: Connection, agent: AgentRef, rule: DuplicateRule, encoder: Encoder | None, search: _Search) -> int:
    """Stores every pair with a new input in it, of clusters that are small enough to be listed."""
    begin, labels = len(search.known.numbers), search.joined.labels()
    counts = np.bincount(labels, minlength=search.size)
    touched = np.zeros(search.size, dtype=np.bool_)
    touched[labels[begin:]] = True
    members = np.flatnonzero(touched[labels] & (counts[labels] > 1) & (counts[labels] <= LISTED))
    if not len(members):
        return 0
    old = search.known.numbers[members[members < begin]].tolist()
    stored = storage.examples_numbered(connection, agent, old)
    examples = [stored[number] for number in old]
    examples += [(search.names[place - begin], search.texts[place - begin]) for place in members[members >= begin].tolist()]
    groups: defaultdict[int, list[int]] = defaultdict(list)
    for place, label in enumerate(labels[members].tolist()):
        groups[label].append(place)
    vectors = None
    if encoder is not None:
        found = storage.vectors_of(connection, agent, encoder.name, [name for name, _ in examples])
        vectors = unit(np.stack([found[name] for name, _ in examples]))
    pairs = listed([text for _, text in examples], vectors, list(groups.values()), members >= begin, rule)
    links = [(*sorted((examples[one][0], examples[two][0])), score, leg) for one, two, score, leg in pairs]
    storage.store_links(connection, agent, links)  # type: ignore[arg-type]
    return len(links)
