"""Which chunks to merge and which to split, by what questions found helpful: pure decisions, and the edit they make.

Belongs here: the rules and their evidence, the chunks an operation makes. Not here: whether it helps (learning/editing.py chooses, the gate decides), SQL.

Merge: two chunks that follow each other and helped with the same questions of train more often than their own shares explain. Split: a chunk far above
the typical length whose questions are about one part or the other, or whose parts are less alike than chunks that follow each other are; always
between blocks of the text (headings, paragraphs, rows, items), as chunking cuts. Every chunk is in one operation at most.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from itertools import pairwise
from statistics import median
from uuid import UUID, uuid5

import numpy as np
import numpy.typing as npt
import orjson

from learning_pipelines.retrieval.blocks import Block, blocks_of, plain
from learning_pipelines.retrieval.chunking import CAPACITY, LEAST, indexed, pieces, tokens
from learning_pipelines.retrieval.learning.associations import HELPFUL, LEAST_RATIO, LEAST_SUPPORT, log_likelihood_ratio
from learning_pipelines.retrieval.task import JudgedQuery
from learning_pipelines.storage.chunk_edits import BaseChunk, MadeChunk, Operation

Floats = npt.NDArray[np.float32]
Encode = Callable[[Sequence[str]], Floats]
"""Texts into (n, d) vectors of length 1."""
TOGETHER = 0.5
"""Share of the questions that either chunk helped with, from which both belong together."""
LONGEST_MERGED = 2 * CAPACITY
LONG = 1.5
"""Times the median length of the agent's chunks from which a chunk is long."""
APART = 0.05
"""By how much more a question has to be like one part than like the other to be about it."""
LEAST_QUESTIONS = 2
"""Questions about each part of a chunk that make it two topics."""
UNLIKE = 0.05
"""Quantile of the cosines of neighbouring chunks below which two parts have nothing in common."""
MOST_LOOKED_AT = 500
"""Long chunks whose parts are encoded, the ones that helped most first: a minute of a core."""


@dataclass(frozen=True, slots=True)
class Known:
    """What an agent's index holds, without edit: `chunks` by document and position, `vectors` (n, d) of the same."""

    chunks: tuple[BaseChunk, ...]
    vectors: Floats


def merges(known: Known, queries: Sequence[JudgedQuery]) -> list[Operation]:
    """Pairs of neighbours to be merged, the best founded first. `queries`: the train split."""
    helped = [frozenset(chunk for chunk, gained in query.chunks.items() if gained >= HELPFUL) for query in queries]
    alone = Counter(chunk for chunks in helped for chunk in chunks)
    total = sum(1 for chunks in helped if chunks)
    found = []
    for first, second in _neighbours(known.chunks):
        if min(alone[first.id], alone[second.id]) < LEAST_SUPPORT or tokens(plain(f"{first.text}\n{second.text}")) > LONGEST_MERGED:
            continue
        both = sum(1 for chunks in helped if first.id in chunks and second.id in chunks)
        either = alone[first.id] + alone[second.id] - both
        ratio = log_likelihood_ratio(both, alone[first.id], alone[second.id], total)
        lift = both * total / (alone[first.id] * alone[second.id])
        if both >= LEAST_SUPPORT and both >= TOGETHER * either and (both == total or (lift > 1 and ratio >= LEAST_RATIO)):
            found.append((-both, first.document_id, first.position, _merge(first, second, {"support": both, "either": either, "lift": round(lift, 3)})))
    return _once([operation for *_, operation in sorted(found, key=lambda each: each[:3])])


def splits(known: Known, queries: Sequence[JudgedQuery], query_vectors: Floats, encode: Encode) -> list[Operation]:
    """Long chunks to be split, those with most questions first. `queries`: the train split, `query_vectors` (len(queries), d) of it.

    Encodes the parts of at most MOST_LOOKED_AT chunks.
    """
    sizes = {chunk.id: tokens(plain(chunk.text)) for chunk in known.chunks}
    if not sizes:
        return []
    about: dict[str, list[int]] = defaultdict(list)
    for number, query in enumerate(queries):
        for name, gained in query.chunks.items():
            if gained >= HELPFUL:
                about[name].append(number)
    long = [chunk for chunk in known.chunks if sizes[chunk.id] >= max(LONG * median(sizes.values()), 2 * LEAST)]
    long.sort(key=lambda chunk: (-len(about[chunk.id]), -sizes[chunk.id], chunk.id))
    unlike = _unlike(known)
    found = []
    for chunk in long[:MOST_LOOKED_AT]:
        cuts = list(_cuts(chunk))
        if cuts:
            operation = _split(chunk, cuts, query_vectors[about[chunk.id]], encode, unlike)
            if operation is not None:
                found.append(operation)
    return found


def edit(agent_id: UUID, operations: Sequence[Operation]) -> tuple[UUID, tuple[Operation, ...]]:
    """The id of an edit with these operations, and they with ids of the chunks they make. The same operations of an agent are the same edit.

    Ids of made chunks follow from edit, document, text and occurrence: they are never those of a document's own chunks, nor of another edit.
    """
    said = [
        [each.operation, each.document_id, each.document_hash.hex(), each.replaced, [(chunk.heading, chunk.text) for chunk in each.made]] for each in operations
    ]
    identity = uuid5(agent_id, orjson.dumps(said).decode())
    seen: Counter[tuple[str, str]] = Counter()

    def named(chunk: MadeChunk, document: str) -> MadeChunk:
        name = f"{identity}\0{document}\0{chunk.text}\0{seen[document, chunk.text]}".encode("utf-8", "replace")
        seen[document, chunk.text] += 1
        return replace(chunk, id=sha256(name).hexdigest()[:32])

    return identity, tuple(replace(each, made=tuple(named(chunk, each.document_id) for chunk in each.made)) for each in operations)


def made_chunk(position: int, heading: str | None, text: str) -> MadeChunk:
    """A chunk without id yet (`edit` gives it)."""
    return MadeChunk("", position, heading, text, sha256(f"{heading or ''}\0{text}".encode("utf-8", "replace")).digest())


def _neighbours(chunks: Sequence[BaseChunk]) -> Iterator[tuple[BaseChunk, BaseChunk]]:
    return ((one, other) for one, other in pairwise(chunks) if one.document_id == other.document_id and other.position == one.position + 1)


def _once(operations: Sequence[Operation]) -> list[Operation]:
    """Those whose chunks no earlier one replaces."""
    taken: set[str] = set()
    kept = []
    for each in operations:
        if taken.isdisjoint(each.replaced):
            taken.update(each.replaced)
            kept.append(each)
    return kept


def _merge(first: BaseChunk, second: BaseChunk, evidence: Mapping[str, float]) -> Operation:
    """The second's own headings, those the first is not under, stay in the text."""
    above, below = ((chunk.heading or "").split(" > ") for chunk in (first, second))
    common = next((at for at, (one, other) in enumerate(zip(above, below, strict=False)) if one != other), min(len(above), len(below)))
    heading = " > ".join(above[:common]) or None
    texts = [" > ".join(own[common:]) + "\n\n" + chunk.text if own[common:] else chunk.text for own, chunk in ((above, first), (below, second))]
    made = made_chunk(first.position, heading, "\n\n".join(texts))
    return Operation("merge", first.document_id, first.document_hash, (first.id, second.id), (made,), dict(evidence))


def _cuts(chunk: BaseChunk) -> Iterator[tuple[MadeChunk, MadeChunk]]:
    """The two chunks on the sides of every joint that leaves LEAST tokens on both."""
    blocks = blocks_of(chunk.text)
    for at in range(1, len(blocks)):
        sides = [_side(chunk, part) for part in (blocks[:at], blocks[at:])]
        left, right = sides
        if blocks[at - 1].level == 0 and left is not None and right is not None:
            yield left, right


def _side(chunk: BaseChunk, blocks: Sequence[Block]) -> MadeChunk | None:
    found = pieces(blocks, capacity=1_000_000)
    if len(found) != 1 or tokens(plain(found[0][1])) < LEAST:
        return None
    path, text = found[0]
    return made_chunk(chunk.position, " > ".join([*([chunk.heading] if chunk.heading else []), *path]) or None, text)


def _split(chunk: BaseChunk, cuts: Sequence[tuple[MadeChunk, MadeChunk]], asked: Floats, encode: Encode, unlike: float) -> Operation | None:
    vectors = encode([indexed(side.heading, side.text) for cut in cuts for side in cut]).reshape(len(cuts), 2, -1)
    alike = np.einsum("cd,cd->c", vectors[:, 0], vectors[:, 1])
    towards = asked @ vectors[:, 0].T - asked @ vectors[:, 1].T if len(asked) else np.zeros((0, len(cuts)), dtype=np.float32)
    fewest = np.minimum((towards > APART).sum(axis=0), (towards < -APART).sum(axis=0))
    best = min(range(len(cuts)), key=lambda at: (-int(fewest[at]), float(alike[at]), at))
    by_questions, by_cohesion = bool(fewest[best] >= LEAST_QUESTIONS), bool(alike[best] < unlike)
    if not (by_questions or by_cohesion):
        return None
    evidence = {"questions": len(asked), "fewer_on_one_side": int(fewest[best]), "cosine_of_parts": round(float(alike[best]), 4)}
    return Operation("split", chunk.document_id, chunk.document_hash, (chunk.id,), cuts[best], evidence)


def _unlike(known: Known) -> float:
    """The cosine below which only few neighbouring chunks of a document are; none (-1) where there are too few to tell."""
    pairs = [(at, at + 1) for at in range(len(known.chunks) - 1) if known.chunks[at].document_id == known.chunks[at + 1].document_id]
    if len(pairs) < 1 / UNLIKE:
        return -1.0
    left, right = (known.vectors[[pair[side] for pair in pairs]] for side in (0, 1))
    return float(np.quantile(np.einsum("nd,nd->n", left, right), UNLIKE))
