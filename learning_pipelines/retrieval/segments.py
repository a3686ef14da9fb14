"""Which segments of the lexical index are merged, and how several become one. Pure.

Belongs here: the rule, the merged postings. Not here: reading and writing segments (storage/lexical.py), when it is done (lexical.py).

As log-structured indexes do: segments of about one size are merged once there are FACTOR of them, so a chunk is rewritten about
log(chunks) / log(FACTOR) times and a search reads few segments. A segment of which a quarter is gone is written anew.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from learning_pipelines.retrieval.bm25 import Integers
from learning_pipelines.storage.lexical import MOST_CHUNKS, Posting, Segment

FACTOR = 8
_GONE = 4


def to_merge(segments: Sequence[Segment]) -> list[list[Segment]]:
    """Groups of segments, each to become one; those of one agent and edit only."""
    scopes: dict[tuple[object, object], list[Segment]] = {}
    for segment in segments:
        scopes.setdefault((segment.agent_id, segment.edit_id), []).append(segment)
    return [group for scope in scopes.values() for group in _groups(scope)]


def _groups(scope: Sequence[Segment]) -> Iterator[list[Segment]]:
    tiers: dict[int, list[Segment]] = {}
    for segment in sorted(scope, key=lambda one: (_live(one), one.number)):
        tiers.setdefault(int(math.log(max(1, _live(segment)), FACTOR)), []).append(segment)
    for tier in tiers.values():
        while len(tier) >= FACTOR and (group := _fitting(tier)):
            yield group
            tier[: len(group)] = []
        yield from ([segment] for segment in tier if segment.removed * _GONE > segment.chunks)


def _fitting(tier: Sequence[Segment]) -> list[Segment]:
    """The smallest ones, as many as one segment can hold; nothing if that is not even two."""
    total, group = 0, []
    for segment in tier:
        total += _live(segment)
        if total > MOST_CHUNKS:
            break
        group.append(segment)
    return group if len(group) > 1 else []


def _live(segment: Segment) -> int:
    return segment.chunks - segment.removed


def renumbered(chunks: int, members: Mapping[int, str], start: int) -> tuple[Integers, list[str]]:
    """Of a segment: the new ordinal of each old one (-1: gone), from `start` on; and the chunk ids that stay, in this order."""
    kept = sorted(members)
    new = np.full(chunks, -1, dtype=np.int32)
    new[kept] = np.arange(start, start + len(kept), dtype=np.int32)
    return new, [members[ordinal] for ordinal in kept]


def merged(postings: Sequence[Posting], renumbering: Mapping[int, Integers]) -> Iterator[tuple[str, Integers, Integers]]:
    """The postings of several segments as those of one: (term, ordinals ascending, counts). `renumbering`: by segment, as `renumbered` gives it,
    ascending with the segments' numbers."""
    by_term: dict[str, list[Posting]] = {}
    for posting in postings:
        by_term.setdefault(posting.term, []).append(posting)
    for term in sorted(by_term):
        parts = sorted(by_term[term], key=lambda one: one.segment)
        ordinals = np.concatenate([renumbering[one.segment][one.ordinals] for one in parts])
        counts = np.concatenate([one.counts for one in parts])
        if (ordinals < 0).any():
            counts, ordinals = counts[ordinals >= 0], ordinals[ordinals >= 0]
        if len(ordinals):
            yield term, ordinals, counts
