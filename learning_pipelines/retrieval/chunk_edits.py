"""Which chunks to merge and which to split, by what questions found helpful: pure decisions, and the edit they make.

Belongs here: the rules and their evidence, the chunks an operation makes. Not here: whether it helps (learning/editing.py chooses, the gate decides), SQL.

Merge: two chunks that follow each other and helped with the same questions of train more often than their own shares explain. Split: a chunk far above
the typical length whose questions are about one part or the other, or whose parts are less alike than chunks that follow each other are; always
between blocks of the text (headings, paragraphs, rows, items), as chunking cuts. Every chunk is in one operation at most.

Questions of validation and test are about other documents than those of train (splits go by passage), as most documents of a corpus are about nothing
that was asked yet. So what questions say of some chunks is carried over to the others by how alike neighbours, or parts, are: from the least cosine
on from which those that were asked about belonged together at least half of the time. What that is worth is seen on documents nobody learnt from.
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
MOST_OPERATIONS = 1_000
"""Of one edit, with what it took over: every search reads them (a few milliseconds)."""
MOST_MERGED = 500
MOST_LOOKED_AT = 500
"""Long chunks whose parts are encoded, the ones that helped most first: a minute of a core."""


@dataclass(frozen=True, slots=True)
class Known:
    """What an agent's index holds, without edit: `chunks` by document and position, `vectors` (n, d) and `sizes` (tokens) of the same."""

    chunks: tuple[BaseChunk, ...]
    vectors: Floats
    sizes: tuple[int, ...]

    @classmethod
    def of(cls, chunks: Sequence[BaseChunk], vectors: Floats) -> Known:
        return cls(tuple(chunks), vectors, tuple(tokens(plain(chunk.text)) for chunk in chunks))


def merges(known: Known, queries: Sequence[JudgedQuery]) -> list[Operation]:
    """Pairs of neighbours to be merged, the best founded first, MOST_MERGED at most. `queries`: the train split."""
    about = _about(queries)
    total = len({number for numbers in about.values() for number in numbers})
    pairs = [at for at in _neighbours(known.chunks) if known.sizes[at] + known.sizes[at + 1] <= LONGEST_MERGED]
    together = [(known.chunks[at].id, known.chunks[at + 1].id) for at in pairs]
    alone = {one: len(about[one]) for pair in together for one in pair}
    both = [len(about[first] & about[second]) for first, second in together]
    either = [sum(alone[one] for one in pair) - count for pair, count in zip(together, both, strict=True)]
    cosines = [float(known.vectors[at] @ known.vectors[at + 1]) for at in pairs]
    founded = [_founded(count, alone[first], alone[second], total) for (first, second), count in zip(together, both, strict=True)]
    least = _carried(cosines, both, either) if any(founded) else None
    found = []
    for at, count, asked, alike, sure in zip(pairs, both, either, cosines, founded, strict=True):
        if sure or (least is not None and not asked and alike >= least):
            evidence = {"support": count, "either": asked, "cosine": round(alike, 4)}
            found.append((-count, -alike, at, _merge(known.chunks[at], known.chunks[at + 1], evidence)))
    return _once([operation for *_, operation in sorted(found, key=lambda each: each[:3])])[:MOST_MERGED]


def splits(known: Known, queries: Sequence[JudgedQuery], query_vectors: Floats, encode: Encode) -> list[Operation]:
    """Long chunks to be split, those with most questions first. `queries`: the train split, `query_vectors` (len(queries), d) of it.

    Encodes the parts of at most MOST_LOOKED_AT chunks.
    """
    if not known.chunks:
        return []
    about, least = _about(queries), max(LONG * median(known.sizes), 2 * LEAST)
    long = sorted((-len(about[chunk.id]), -size, at) for at, (chunk, size) in enumerate(zip(known.chunks, known.sizes, strict=True)) if size >= least)
    chunks = [known.chunks[at] for *_, at in long[:MOST_LOOKED_AT]]
    looked = [_halves(chunk, cuts, query_vectors[sorted(about[chunk.id])], encode) for chunk in chunks if (cuts := list(_cuts(chunk)))]
    asked = [each for each in looked if each.questions >= 2 * LEAST_QUESTIONS]
    carried = _carried([-each.alike for each in asked], [int(each.fewer >= LEAST_QUESTIONS) for each in asked], [1] * len(asked))
    unlike = max(_unlike(known), -1.0 if carried is None else -carried)
    return [
        Operation("split", each.chunk.document_id, each.chunk.document_hash, (each.chunk.id,), each.parts, {
            "questions": each.questions, "fewer_on_one_side": each.fewer, "cosine": round(each.alike, 4),
        })
        for each in looked
        if each.fewer >= LEAST_QUESTIONS or (each.alike <= unlike and each.questions < 2 * LEAST_QUESTIONS)
    ]  # fmt: skip


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


def _about(queries: Sequence[JudgedQuery]) -> defaultdict[str, set[int]]:
    """Chunk → the places of the questions that it helped with."""
    about: defaultdict[str, set[int]] = defaultdict(set)
    for number, query in enumerate(queries):
        for name, gained in query.chunks.items():
            if gained >= HELPFUL:
                about[name].add(number)
    return about


def _neighbours(chunks: Sequence[BaseChunk]) -> Iterator[int]:
    """Places of chunks that the next one follows in the same document."""
    for at, (one, other) in enumerate(pairwise(chunks)):
        if one.document_id == other.document_id and other.position == one.position + 1:
            yield at


def _founded(both: int, first: int, second: int, total: int) -> bool:
    """Whether two chunks that helped with so many questions of `total` belong together."""
    if both < LEAST_SUPPORT or both < TOGETHER * (first + second - both):
        return False
    return both == total or (both * total > first * second and log_likelihood_ratio(both, first, second, total) >= LEAST_RATIO)


def _carried(alike: Sequence[float], together: Sequence[int], asked: Sequence[int]) -> float | None:
    """The lowest value from which on, of the questions asked about what is at least as alike, TOGETHER found both useful; None where too few were."""
    least, both, either, places = None, 0, 0, 0
    for value, count, total in sorted(zip(alike, together, asked, strict=True), reverse=True):
        both, either, places = both + count, either + total, places + (count > 0)
        if total and places >= LEAST_SUPPORT and both >= TOGETHER * either:
            least = value
    return least


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


@dataclass(frozen=True, slots=True)
class _Halves:
    """The best cut of a long chunk: of its `questions` at least `fewer` are about each part; `alike`: the cosine of the parts."""

    chunk: BaseChunk
    parts: tuple[MadeChunk, MadeChunk]
    questions: int
    fewer: int
    alike: float


def _halves(chunk: BaseChunk, cuts: Sequence[tuple[MadeChunk, MadeChunk]], asked: Floats, encode: Encode) -> _Halves:
    vectors = encode([indexed(side.heading, side.text) for cut in cuts for side in cut]).reshape(len(cuts), 2, -1)
    alike = np.einsum("cd,cd->c", vectors[:, 0], vectors[:, 1])
    towards = asked @ vectors[:, 0].T - asked @ vectors[:, 1].T if len(asked) else np.zeros((0, len(cuts)), dtype=np.float32)
    fewer = np.minimum((towards > APART).sum(axis=0), (towards < -APART).sum(axis=0))
    best = min(range(len(cuts)), key=lambda at: (-int(fewer[at]), float(alike[at]), at))
    return _Halves(chunk, cuts[best], len(asked), int(fewer[best]), float(alike[best]))


def _unlike(known: Known) -> float:
    """The cosine below which only few neighbouring chunks of a document are; none (-1) where there are too few to tell."""
    pairs = list(_neighbours(known.chunks))
    if len(pairs) < 1 / UNLIKE:
        return -1.0
    return float(np.quantile(np.einsum("nd,nd->n", known.vectors[pairs], known.vectors[[at + 1 for at in pairs]]), UNLIKE))
