"""The lexical leg over stored chunks: segments kept in step with the chunks, and the BM25 scores of queries read from them.

Belongs here: the refresh, scores from stored postings, what a worker keeps of segments. Not here: SQL (storage/lexical.py), the formula (bm25.py).

Scores are those of Bm25 in memory over the same chunks: frequencies and the average length are counted over all segments of the scope.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

import numpy as np
import numpy.typing as npt

from learning_pipelines.retrieval import bm25
from learning_pipelines.retrieval.analyzer import DETECTED_FROM, Analyzer, analyzer_for, analyzer_named, detect_language
from learning_pipelines.retrieval.chunking import indexed
from learning_pipelines.retrieval.segments import merged, renumbered, to_merge
from learning_pipelines.storage import lexical as storage
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.lexical import Body, Chunk, Scope, Segment

PORTION = 8_192
"""Chunks that are read, and become segments, at a time: some 10 MB of text."""
_GROWN = 2
_QUERIES_AT_A_TIME = 64
_KEPT_BYTES = 64_000_000


@dataclass(frozen=True, slots=True)
class Refreshed:
    """Chunks that came into the index and went from it, segments that were merged away, and the analyzer that made them."""

    added: int
    removed: int
    merged: int
    analyzer: str


def refresh_lexical(connection: Connection, organization_id: UUID, language: str | None = None) -> Refreshed:
    """Brings the segments in step with the chunks; cost follows what changed. The connection is in autocommit: every portion stays if the next fails.

    `language`: of the chunks (a Snowball language or `none`); else as the organization's settings say; else told by their stopwords, again when
    they have doubled. Another analyzer than before makes all segments anew beside the old ones, which are searched until then.
    """
    state = _state(connection, organization_id, language)
    target = state.building or state.analyzer
    analyzer, added, removed, merged_away = analyzer_named(target), 0, 0, 0
    while True:
        with connection.transaction():
            storage.lock(connection, organization_id)
            changed = storage.take_changes(connection, organization_id, PORTION)
            removed += storage.remove(connection, organization_id, target, changed)
            added += _add(connection, organization_id, analyzer, storage.chunks(connection, organization_id, changed))
        merged_away += _merge(connection, organization_id, target)
        if not changed:
            break
    with connection.transaction():
        storage.lock(connection, organization_id)
        storage.put_state(connection, organization_id, storage.State(target, None, state.told_by))
        storage.drop_others(connection, organization_id, [target])
    return Refreshed(added, removed, merged_away, target)


def _state(connection: Connection, organization_id: UUID, language: str | None) -> storage.State:
    """What is searched, and what is to be built; stored."""
    with connection.transaction():
        storage.lock(connection, organization_id)
        known = storage.state(connection, organization_id)
        wanted, told_by = _wanted(connection, organization_id, language, known)
        if known is None:
            state = storage.State(wanted, None, told_by)
        elif wanted == known.analyzer:
            if known.building is not None:
                storage.all_changed(connection, organization_id)  # what an unfinished change of analyzers took is missing here
                storage.drop_others(connection, organization_id, [known.analyzer])
            state = storage.State(wanted, None, told_by)
        else:
            if known.building != wanted:
                storage.drop_others(connection, organization_id, [known.analyzer])
                storage.all_changed(connection, organization_id)
            state = storage.State(known.analyzer, wanted, told_by)
        storage.put_state(connection, organization_id, state)
    return state


def _wanted(connection: Connection, organization_id: UUID, language: str | None, known: storage.State | None) -> tuple[str, int]:
    """The analyzer that the chunks should have, and how many there were when that was told."""
    named = language or storage.language_of(connection, organization_id)
    if named is not None:
        return analyzer_for(named).name, 0
    chunks = storage.count_chunks(connection, organization_id)
    if known is not None and known.told_by and chunks < _GROWN * known.told_by:
        usual = known.building or known.analyzer
        return analyzer_for(usual.rpartition("-")[0]).name, known.told_by  # by its language: of this software's version
    return analyzer_for(detect_language(storage.sample(connection, organization_id, DETECTED_FROM))).name, chunks


def _add(connection: Connection, organization_id: UUID, analyzer: Analyzer, chunks: Sequence[Chunk]) -> int:
    """A segment for every agent and edit among the chunks."""
    groups: dict[tuple[UUID | None, UUID | None], list[Chunk]] = {}
    for chunk in chunks:
        groups.setdefault((chunk.agent_id, chunk.edit_id), []).append(chunk)
    for (agent_id, edit_id), group in groups.items():
        made = bm25.postings((indexed(chunk.heading, chunk.text) for chunk in group), analyzer)
        terms = ((term, *made.of(term)) for term in made.numbers)
        storage.add_segment(connection, organization_id, analyzer.name, agent_id, edit_id, [chunk.id for chunk in group], made.lengths, terms)
    return len(chunks)


def _merge(connection: Connection, organization_id: UUID, analyzer: str) -> int:
    """Merges until nothing is left to merge; how many segments went."""
    gone = 0
    while groups := to_merge(storage.segments(connection, organization_id, analyzer)):
        for group in groups:
            with connection.transaction():
                storage.lock(connection, organization_id)
                _merge_group(connection, organization_id, analyzer, group)
            gone += len(group)
    return gone


def _merge_group(connection: Connection, organization_id: UUID, analyzer: str, group: Sequence[Segment]) -> None:
    group = sorted(group, key=lambda segment: segment.number)
    numbers = [segment.number for segment in group]
    bodies = storage.bodies(connection, organization_id, numbers)
    lengths: list[npt.NDArray[np.int32]] = []
    ids: list[str] = []
    renumbering: dict[int, npt.NDArray[np.int32]] = {}
    for segment in group:
        renumbering[segment.number], kept = renumbered(segment.chunks, storage.members(connection, organization_id, segment.number), len(ids))
        lengths.append(bodies[segment.number].lengths[renumbering[segment.number] >= 0])
        ids.extend(kept)
    if ids:
        made = merged(storage.postings(connection, organization_id, numbers), renumbering)
        storage.add_segment(connection, organization_id, analyzer, group[0].agent_id, group[0].edit_id, ids, np.concatenate(lengths), made)
    storage.drop_segments(connection, organization_id, numbers)


@dataclass(frozen=True, slots=True)
class _Kept:
    """A segment's lengths and which of its chunks are there (None: all)."""

    lengths: npt.NDArray[np.int32]
    alive: npt.NDArray[np.bool_] | None


class Bodies:
    """What a worker keeps of segments, by organization, segment and how many chunks are removed: that never changes. Bounded; threads may share one."""

    def __init__(self, most_bytes: int = _KEPT_BYTES) -> None:
        self._most, self._bytes = most_bytes, 0
        self._kept: OrderedDict[tuple[UUID, Segment], _Kept] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, connection: Connection, organization_id: UUID, segments: Sequence[Segment]) -> dict[int, _Kept]:
        """By segment number; read where they are not kept."""
        found: dict[int, _Kept] = {}
        with self._lock:
            for segment in segments:
                if (kept := self._kept.get(key := (organization_id, segment))) is not None:
                    self._kept.move_to_end(key)
                    found[segment.number] = kept
        missing = [segment for segment in segments if segment.number not in found]
        if missing:
            read = storage.bodies(connection, organization_id, [segment.number for segment in missing])
            found |= {segment.number: self._keep(organization_id, segment, read[segment.number]) for segment in missing}
        return found

    def _keep(self, organization_id: UUID, segment: Segment, body: Body) -> _Kept:
        alive = None
        if len(body.removed):
            alive = np.ones(segment.chunks, dtype=np.bool_)
            alive[body.removed] = False
        kept = _Kept(body.lengths, alive)
        with self._lock:
            self._kept[organization_id, segment] = kept
            self._bytes += _bytes(kept)
            while self._bytes > self._most and len(self._kept) > 1:
                self._bytes -= _bytes(self._kept.popitem(last=False)[1])
        return kept


def _bytes(kept: _Kept) -> int:
    return kept.lengths.nbytes + (0 if kept.alive is None else kept.alive.nbytes)


_BODIES = Bodies()


class StoredLexical:
    """BM25 over the stored chunks of a scope as they are in the connection's snapshot (storage/database.py). Rows are chunks of segments, dead ones too.

    `hidden` and `added`: what a learnt edit leaves out, and the chunks of scope.edit_id that are in effect (None: all of them).
    """

    def __init__(
        self, connection: Connection, scope: Scope, *, hidden: Sequence[str] = (), added: Sequence[str] | None = None, bodies: Bodies = _BODIES
    ) -> None:
        self._connection, self._organization_id = connection, scope.organization_id
        state = storage.state(connection, scope.organization_id)
        self.analyzer = analyzer_named(state.analyzer) if state else analyzer_for("english")
        segments = storage.in_scope(connection, scope, state.analyzer) if state else []
        kept = bodies.of(connection, scope.organization_id, segments)
        self._numbers = [segment.number for segment in segments]
        self._starts = dict(zip(self._numbers, np.cumsum([0, *(segment.chunks for segment in segments)]).tolist(), strict=False))
        self._rows = sum(segment.chunks for segment in segments)
        self._lengths = np.concatenate([kept[number].lengths for number in self._numbers]) if segments else np.zeros(0, dtype=np.int32)
        self._alive = self._mask(segments, kept, hidden, added)
        self.chunks = self._rows if self._alive is None else int(self._alive.sum())
        total = self._lengths.sum(dtype=np.int64) if self._alive is None else self._lengths[self._alive].sum(dtype=np.int64)
        self._average = float(total) / self.chunks if self.chunks else 0.0
        self._frequencies: dict[str, int] = {}

    def scores(self, queries: Iterable[tuple[str, Mapping[str, float] | None]]) -> Iterator[npt.NDArray[np.float32]]:
        """(rows,) scores for each query (with weights of further analyzed terms), 0 where no term matches."""
        waiting: list[dict[str, float]] = []
        for query, weights in queries:
            waiting.append(bm25.query_terms(self.analyzer, query, weights))
            if len(waiting) == _QUERIES_AT_A_TIME:
                yield from self._score(waiting)
                waiting = []
        yield from self._score(waiting)

    def ideal(self, query: str) -> float:
        """What a chunk full of the query's words alone would score; as Bm25.ideal."""
        return bm25.ideal(bm25.query_terms(self.analyzer, query), self.idf)

    def idf(self, term: str) -> float:
        """What an analyzed term weighs; the highest for one that no chunk holds."""
        if term not in self._frequencies:
            self._impacts([term])
        return bm25.idf(self.chunks, self._frequencies[term])

    def best(self, scores: npt.NDArray[np.float32], most: int) -> list[str]:
        """The chunks of the `most` highest scores above 0, best first; ties go by where they are stored."""
        rows = np.flatnonzero(scores > 0)
        if len(rows) > most:
            rows = rows[np.argpartition(-scores[rows], most - 1)[:most]]
        rows = rows[np.argsort(-scores[rows], kind="stable")]
        return storage.chunk_ids(self._connection, self._organization_id, [self._place(int(row)) for row in rows])

    def rows_of(self, chunk_ids: Sequence[str]) -> dict[str, int]:
        """Where the scores of these chunks are; one that no refresh has seen is missing."""
        places = storage.ordinals_of(self._connection, self._organization_id, self._numbers, chunk_ids)
        return {chunk: self._starts[segment] + ordinal for chunk, (segment, ordinal) in places.items()}

    def _place(self, row: int) -> tuple[int, int]:
        at = int(np.searchsorted(np.fromiter(self._starts.values(), dtype=np.int64), row, side="right")) - 1
        return self._numbers[at], row - self._starts[self._numbers[at]]

    def _mask(self, segments: Sequence[Segment], kept: Mapping[int, _Kept], hidden: Sequence[str], added: Sequence[str] | None) -> npt.NDArray[np.bool_] | None:
        """Which rows count; None: all."""
        edited = [segment for segment in segments if segment.edit_id is not None] if added is not None else []
        if not hidden and not edited and all(body.alive is None for body in kept.values()):
            return None
        alive = np.ones(self._rows, dtype=np.bool_)
        for segment in segments:
            if (mask := kept[segment.number].alive) is not None:
                alive[self._starts[segment.number] :][: segment.chunks] = mask
        for segment in edited:
            alive[self._starts[segment.number] :][: segment.chunks] = False
        alive[list(self.rows_of(added or ()).values())] = True
        alive[list(self.rows_of(hidden).values())] = False
        return alive

    def _score(self, queries: Sequence[Mapping[str, float]]) -> Iterator[npt.NDArray[np.float32]]:
        terms = sorted({term for query in queries for term in query})
        found = self._impacts(terms) if terms else {}
        for query in queries:
            total = np.zeros(self._rows, dtype=np.float32)
            for term, weight in query.items():
                if term in found:
                    rows, impacts = found[term]
                    total[rows] += np.float32(weight * bm25.idf(self.chunks, len(rows))) * impacts
            yield total

    def _impacts(self, terms: Sequence[str]) -> dict[str, tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]]:
        """Term -> the living rows that hold it and what each occurrence is worth there."""
        parts: dict[str, list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]]] = {}
        for posting in sorted(storage.postings(self._connection, self._organization_id, self._numbers, terms), key=lambda one: one.segment):
            parts.setdefault(posting.term, []).append((posting.ordinals.astype(np.int64) + self._starts[posting.segment], posting.counts))
        found = {}
        self._frequencies |= dict.fromkeys(terms, 0)
        for term, pieces in parts.items():
            rows, counts = np.concatenate([rows for rows, _ in pieces]), np.concatenate([counts for _, counts in pieces])
            if self._alive is not None:
                living = self._alive[rows]
                rows, counts = rows[living], counts[living]
            self._frequencies[term] = len(rows)
            if len(rows):
                found[term] = (rows, bm25.impacts(counts, self._lengths[rows], self._average))
        return found
