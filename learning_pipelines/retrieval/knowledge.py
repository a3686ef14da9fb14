"""From documents to a base index that can be searched: chunks, postings, vectors; only what is missing, portion by portion.

Belongs here: what is brought up to date in which order, resuming, two at once. Not here: cutting texts (chunking.py), BM25 (lexical.py), searching, SQL.

Every portion is committed: whoever is killed half-way goes on there, and no text is encoded twice. What serves stays what it is until the vectors of what
replaces it are complete. What is embedded is a chunk's heading and its text without markup (chunking.indexed).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from uuid import UUID

from learning_pipelines.encoder import Encoder, UnknownEncoder, model_source, require_same
from learning_pipelines.errors import LearningError
from learning_pipelines.retrieval import lexical
from learning_pipelines.retrieval.chunking import CHUNKER, Chunked, chunk, indexed
from learning_pipelines.retrieval.encoders import Encoders
from learning_pipelines.retrieval.index import IndexConfig
from learning_pipelines.retrieval.lexical import refresh_lexical
from learning_pipelines.retrieval.stated_headings import stated_headings
from learning_pipelines.retrieval.task import Progress
from learning_pipelines.storage import chunk_vectors, chunks, indexes
from learning_pipelines.storage import lexical as lexical_storage
from learning_pipelines.storage.chunk_vectors import Used
from learning_pipelines.storage.chunks import Cut, Document, Written
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.indexes import EncoderVersion

PORTION_BYTES, PORTION_DOCUMENTS = 1_000_000, 500
PORTION_CHUNKS = 256
"""Texts encoded and stored at once: what a killed run loses, about ten seconds' work."""


def silent(share: float, line: str, numbers: Mapping[str, float]) -> None:
    """The Progress of whoever wants none."""


@dataclass(frozen=True, slots=True)
class Chunking:
    """What chunking did: documents looked at, those without chunks by kind of problem, chunks that came, stayed and went."""

    documents: int = 0
    problems: Mapping[str, int] = field(default_factory=dict)
    written: Written = field(default_factory=Written)

    def __add__(self, other: Chunking) -> Chunking:
        kinds = {*self.problems, *other.problems}
        problems = {kind: self.problems.get(kind, 0) + other.problems.get(kind, 0) for kind in sorted(kinds)}
        one, two = self.written, other.written
        return Chunking(
            self.documents + other.documents, problems, Written(one.added + two.added, one.kept + two.kept, one.removed + two.removed)
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Refreshed:
    """What bringing an index up to date did. `vectors`: stored now, by name of the encoder. `busy`: another process is at it, nothing was done here."""

    chunking: Chunking = field(default_factory=Chunking)
    vectors: Mapping[str, int] = field(default_factory=dict)
    new_base: bool = False
    busy: bool = False
    lexical: lexical.Refreshed | None = None


def ensure_base(
    connection: Connection, organization_id: UUID, encoders: Encoders, *, agent_id: UUID | None = None, wait: bool = True, progress: Progress = silent
) -> Refreshed:
    """Builds what the base index of an organization lacks: chunks, postings, vectors. Nothing new costs a few queries and opens no encoder.

    `agent_id` limits the documents to that agent's and the shared ones, once there is a base. `wait`: for another process that is at it; without, and with
    an index that serves, answers at once with `busy`. Raises what encoder and database raise; the index that served goes on serving.
    """
    served = indexes.base(connection, organization_id)
    with chunks.locked(connection, organization_id, wait=wait or served is None) as mine:
        if not mine:
            return Refreshed(busy=True)
        served = indexes.base(connection, organization_id)
        scope = agent_id if served is not None else None
        chunking, postings = refresh_texts(connection, organization_id, encoders.settings.language, scope, progress)
        if served is not None and served.encoder.name == _name(encoders):
            stored = _complete(connection, organization_id, served.encoder, encoders.base, scope, progress)
            return Refreshed(chunking, stored, lexical=postings)
        return Refreshed(chunking, _new_base(connection, organization_id, encoders, progress), new_base=True, lexical=postings)


def refresh_texts(
    connection: Connection, organization_id: UUID, language: str | None, agent_id: UUID | None = None, progress: Progress = silent
) -> tuple[Chunking, lexical.Refreshed]:
    """Chunks and their postings. Where an index serves, the postings follow every portion: what changed is found by its words again within seconds,
    long before its vectors are there. `language` as of refresh_lexical. Call it with the organization locked (chunks.locked)."""
    added = removed = merged = 0

    def follow() -> str:
        nonlocal added, removed, merged
        now = refresh_lexical(connection, organization_id, language)
        added, removed, merged = added + now.added, removed + now.removed, merged + now.merged
        return now.analyzer

    serves = indexes.base(connection, organization_id) is not None
    done = refresh_chunks(connection, organization_id, agent_id, progress, follow if serves else None)
    analyzer = follow()
    return done, lexical.Refreshed(added, removed, merged, analyzer)


def refresh_chunks(
    connection: Connection, organization_id: UUID, agent_id: UUID | None = None, progress: Progress = silent, follow: Callable[[], object] | None = None
) -> Chunking:
    """Chunks the documents that changed since they were last chunked, or were chunked by other rules; documents that are gone lose their chunks.

    A document that cannot be chunked gets a problem and stops no other. `follow` is called after every portion that was committed.
    """
    gone = chunks.drop_gone(connection, organization_id)
    done = Chunking(written=Written(removed=gone))
    for portion in _portions(connection, organization_id, agent_id):
        cuts = [_cut(document) for document in chunks.documents(connection, organization_id, portion)]
        written = chunks.write(connection, organization_id, CHUNKER, cuts)
        problems: dict[str, int] = {}
        for cut in cuts:
            if cut.problem is not None:
                kind = cut.problem.partition(":")[0]
                problems[kind] = problems.get(kind, 0) + 1
        done += Chunking(len(cuts), problems, written)
        if follow is not None:
            follow()
        progress(0.0, f"{done.documents} documents chunked", {"documents": done.documents, "chunks": done.written.added})
    return done


def embed(
    connection: Connection, organization_id: UUID, version: EncoderVersion, encoder: Encoder, agent_id: UUID | None = None, progress: Progress = silent
) -> int:
    """Vectors of this encoder for every chunk of an agent's corpus (None: of the organization) that has none; returns how many were stored.

    Each portion is committed: called again after kill -9 it goes on where it was. Raises EncoderMismatch if the encoder is not that version.
    """
    require_same(encoder, version.name, version.dimensions)
    total = chunk_vectors.count_unembedded(connection, organization_id, version.id, agent_id)
    stored, seen, after = 0, 0, ""
    while waiting := chunk_vectors.unembedded(connection, organization_id, version.id, agent_id, after, PORTION_CHUNKS):
        vectors = encoder.encode([indexed(one.heading, one.text) for one in waiting])
        stored += chunk_vectors.write(connection, organization_id, version.id, waiting, vectors)
        seen, after = seen + len(waiting), waiting[-1].id
        progress(min(1.0, seen / max(1, total)), f"{seen} of {total} chunks encoded", {"encoded": seen, "chunks": total})
    return stored


def embed_used(connection: Connection, organization_id: UUID, encoders: Encoders, agent_id: UUID | None = None, progress: Progress = silent) -> dict[str, int]:
    """Vectors for every encoder that serves, served before or is a candidate; of one agent (None: of all). Returns how many were stored, by encoder.

    An encoder that cannot be opened stops no other; what it raised is raised when the others are done.
    """
    stored: dict[str, int] = {}
    failed: LearningError | None = None
    for one in chunk_vectors.used(connection, organization_id, agent_id):
        opener = partial(encoders.of, one.encoder)
        try:
            counts = _complete(connection, organization_id, one.encoder, opener, _scope(one, agent_id), progress)
        except LearningError as error:
            failed = failed or error
            continue
        stored = {**stored, **{name: stored.get(name, 0) + count for name, count in counts.items()}}
    if failed is not None:
        raise failed
    return stored


def incomplete(connection: Connection, organization_id: UUID, agent_id: UUID | None = None) -> dict[str, int]:
    """What an index lacks, by what it is: documents not chunked as they are, chunks that the postings or a used encoder lack. Empty where all is there."""
    found = {"documents not chunked": chunks.holdings(connection, organization_id, CHUNKER, agent_id).behind}
    found["chunks without postings"] = lexical_storage.pending(connection, organization_id)
    for one in chunk_vectors.used(connection, organization_id, agent_id):
        found[f"without vectors of {one.encoder.name}"] = chunk_vectors.count_unembedded(connection, organization_id, one.encoder.id, _scope(one, agent_id))
    return {what: count for what, count in found.items() if count}


def _scope(one: Used, agent_id: UUID | None) -> UUID | None:
    return one.agent_id if one.agent_id is not None else agent_id


def _portions(connection: Connection, organization_id: UUID, agent_id: UUID | None) -> Iterator[list[str]]:
    """Ids of documents that are behind, in portions that fit into memory whatever their length."""
    after, size = "", 0
    portion: list[str] = []
    while found := chunks.behind(connection, organization_id, CHUNKER, agent_id, after):
        for name, length in found:
            if portion and (size + length > PORTION_BYTES or len(portion) == PORTION_DOCUMENTS):
                yield portion
                portion, size = [], 0
            portion, size = [*portion, name], size + length
        after = found[-1][0]
    if portion:
        yield portion


def _cut(document: Document) -> Cut:
    try:
        found = chunk(document.id, document.title, document.text, stated_headings(document.metadata))
    except Exception as error:  # noqa: BLE001  whatever a parser makes of a foreign text is that text's problem, and no other document's
        found = Chunked((), f"unreadable: {type(error).__name__}")
    return Cut(document, found.chunks, found.problem)


def _name(encoders: Encoders) -> str | None:
    """The name of the encoder that the settings mean, without starting it; None where only loading it can tell."""
    try:
        return encoders.base_name()
    except UnknownEncoder:
        return None


def _complete(
    connection: Connection, organization_id: UUID, version: EncoderVersion, opener: Callable[[], Encoder], agent_id: UUID | None, progress: Progress
) -> dict[str, int]:
    if not chunk_vectors.count_unembedded(connection, organization_id, version.id, agent_id):
        return {}
    return {version.name: embed(connection, organization_id, version, opener(), agent_id, progress)}


def _new_base(connection: Connection, organization_id: UUID, encoders: Encoders, progress: Progress) -> dict[str, int]:
    """Vectors of the encoder in force beside those that serve, then the base index is made to mean them."""
    encoder = encoders.base()
    before = indexes.base(connection, organization_id)
    if before is not None and before.encoder.name == encoder.name:
        return _complete(connection, organization_id, before.encoder, encoders.base, None, progress)
    model = model_source(encoders.settings.embedding_model)
    identity = indexes.add_encoder(connection, organization_id, name=encoder.name, model=model, dimensions=encoder.dimensions)
    version = EncoderVersion(identity, encoder.name, model, encoder.dimensions, None, None)
    stored = embed(connection, organization_id, version, encoder, None, progress)
    config: dict[str, Any] = before.config if before is not None else IndexConfig().as_json()
    indexes.put_base(connection, organization_id, identity, config)
    return {encoder.name: stored}

