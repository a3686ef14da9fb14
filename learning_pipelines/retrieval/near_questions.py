"""Which judged questions are nearly the same: newcomers are compared with all earlier ones by what is stored of these.

Belongs here: the loop from new questions to groups. Not here: when two are alike (examples/similarity.py, as for examples), SQL (storage/).

What is alike is joined transitively, and a group stays together as a whole: a question in the middle may be left out without its neighbours
coming apart. That leaves out a little more than links between pairs would, and can't leak.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from learning_pipelines.encoder import Encoder
from learning_pipelines.examples import sketches
from learning_pipelines.examples.components import Ints, UnionFind
from learning_pipelines.examples.duplicates import text_similarities
from learning_pipelines.examples.similarity import DuplicateRule, Vectors, close_pairs, unit
from learning_pipelines.storage import question_vectors as storage
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.tenants import AgentRef

OpenEncoder = Callable[[], Encoder]

PORTION = 20_000
"""Questions taken up at a time: bounds the texts and vectors in memory (31 MB of vectors)."""


@dataclass
class Searched:
    """Questions searched now, of them again (the rule or the encoder changed), and groups that grew together."""

    questions: int = 0
    again: int = 0
    merged: int = 0


def refresh_near(connection: Connection, agent: AgentRef, rule: DuplicateRule, open_encoder: OpenEncoder | None) -> Searched:
    """Takes up every question that was not compared yet. Part of the caller's transaction, under its lock.

    The encoder is opened only if there is something new. ValueError: the rule has a cosine and there is no encoder.
    """
    if rule.cosine is not None and open_encoder is None:
        raise ValueError("A rule with a cosine needs an encoder.")
    done = Searched(again=storage.forget_outdated(connection, agent, rule.name, None))
    encoder: Encoder | None = None
    while new := storage.unsearched(connection, agent, PORTION):
        if rule.cosine is not None and open_encoder is not None and encoder is None:
            encoder = open_encoder()
            if forgotten := storage.forget_outdated(connection, agent, rule.name, encoder.name):
                done.again += forgotten
                continue
        _take_up(connection, agent, rule, encoder, [place for place, _ in new], [text for _, text in new], done)
    return done


def _take_up(
    connection: Connection, agent: AgentRef, rule: DuplicateRule, encoder: Encoder | None, places: list[int], texts: list[str], done: Searched
) -> None:
    known = storage.known(connection, agent, 4 * sketches.WIDTH)
    begin = len(known.places)
    everywhere = np.concatenate([known.places, np.asarray(places, dtype=np.int64)])
    joined = UnionFind(len(everywhere), np.concatenate([known.near, everywhere[begin:]]))
    rows = np.concatenate([known.sketches.view(np.uint32).reshape(begin, sketches.WIDTH), sketches.sketches(texts)])
    fresh = np.arange(len(rows)) >= begin
    for _ in sketches.spanning_links(rows, fresh, joined, _comparing(connection, agent, known.places, texts), rule.jaccard):
        pass
    vectors = None if encoder is None else unit(encoder.encode(texts))
    if vectors is not None and encoder is not None and rule.cosine is not None:
        _join_by_vectors(connection, agent, encoder.name, joined, known.places, vectors, rule.cosine)
    labels = joined.labels()
    # The lowest place of a group names it: groups that are stored are named so already, and a newcomer stands behind them all.
    near = np.full(len(everywhere), np.iinfo(np.int64).max, dtype=np.int64)
    np.minimum.at(near, labels, np.concatenate([known.near, everywhere[begin:]]))
    near = near[labels]
    changed = np.flatnonzero(near[:begin] != known.near)
    merged = sorted({(int(known.near[place]), int(near[place])) for place in changed.tolist()})
    storage.merge(connection, agent, merged)
    storage.store(
        connection, agent, rule.name, None if encoder is None else encoder.name,
        ((places[at], int(near[begin + at]), rows[begin + at].tobytes(), None if vectors is None else vectors[at]) for at in range(len(places))),
    )  # fmt: skip
    done.questions += len(places)
    done.merged += len(merged)


def _comparing(connection: Connection, agent: AgentRef, known: Ints, texts: list[str]) -> sketches.Compare:
    """The true similarity of candidates; of the stored questions only those are read that a newcomer may be like."""
    begin = len(known)

    def compare(first: Ints, second: Ints) -> npt.NDArray[np.float64]:
        needed, places = np.unique(np.concatenate([first, second]), return_inverse=True)
        old = known[needed[needed < begin]].tolist()
        stored = storage.texts_at(connection, agent, old) if old else {}
        read = [stored[place] for place in old] + [texts[at - begin] for at in needed[needed >= begin].tolist()]
        return text_similarities(read, places[: len(first)], places[len(first) :])

    return compare


def _join_by_vectors(
    connection: Connection, agent: AgentRef, encoder: str, joined: UnionFind, known: Ints, vectors: Vectors, cosine: float
) -> None:
    """Joins newcomers with everything whose vector is close, exactly, block by block."""
    own = np.arange(len(known), len(known) + len(vectors))

    def join(where: Ints, block: Vectors) -> None:
        labels = joined.labels()
        one, two = close_pairs(vectors, block, cosine, labels[own], labels[where])
        for first, second in zip(own[one].tolist(), where[two].tolist(), strict=True):
            joined.union(first, second)

    for places, block in storage.blocks(connection, agent, encoder):
        join(np.searchsorted(known, places), unit(block))
    join(own, vectors)
