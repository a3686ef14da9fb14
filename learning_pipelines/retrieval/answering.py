"""A search as the API and the command line answer it: which version, what it found and why, or what is missing.

Belongs here: the order of steps, the JSON of hits, hints. Not here: routes and verbs, finding (searcher.py), building the index (knowledge.py).

The version is resolved once. Encoding happens between two transactions, so that none of them waits for the encoder; the second reads one snapshot.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

from learning_pipelines.retrieval.loaded import Loaded
from learning_pipelines.retrieval.searcher import Hit, Searcher
from learning_pipelines.storage import found_chunks, indexes, tenants
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.indexes import IndexVersion

NO_DOCUMENTS = "There are no documents to search: import them (kind documents)."
NOT_BUILT = "The index is not built yet: `learning-pipelines run index_refresh` does it, and the sensor new_documents while `up` runs."
NOTHING_FOUND = "None of the documents could be made into chunks: `learning-pipelines run index_refresh` says why."
MOST_HITS = 100
MOST_CHARS = 2_000
Open = Callable[[], AbstractContextManager[Connection]]


@dataclass(frozen=True, slots=True)
class Answered:
    """`index`: the number of the version that answered, 0 for the base; None where there is none. `hint`: why nothing was found. `disabled`: learning is
    switched off for the agent, so the base answered."""

    hits: list[Hit]
    index: int | None
    hint: str | None
    disabled: bool = False

    def as_json(self) -> dict[str, Any]:
        """{results, index, hint, disabled}; scores are rounded to six digits, which is what they are good for."""
        return {"results": [_as_json(hit) for hit in self.hits], "index": self.index, "hint": self.hint, "disabled": self.disabled}


def answer(
    connect: Open, snapshot: Open, loaded: Loaded, organization_id: UUID, agent_id: UUID | None, query: str, k: int, *, number: int | None = None
) -> Answered:  # fmt: skip
    """`connect` and `snapshot` open transactions of whoever asks; the second sees one state of the database. `number`: by this version of the agent's
    index, 0 the base (None: by what serves). Raises LookupError where there is no such version, and what the encoder raises."""
    with connect() as connection:
        version, off = _version(connection, organization_id, agent_id, number), tenants.switched_off(connection, organization_id, agent_id)
        if version is None:
            return Answered([], None, NOT_BUILT if found_chunks.any_document(connection, organization_id, agent_id) else NO_DOCUMENTS, off)
    (question,) = loaded.questions(version, [query])
    with snapshot() as connection:
        hits = Searcher(connection, organization_id, agent_id, version, loaded).search(question, k)
        hint = None
        if not hits:
            hint = NOTHING_FOUND if found_chunks.any_document(connection, organization_id, agent_id) else NO_DOCUMENTS
    return Answered(hits, version.number, hint, off)


def _version(connection: Connection, organization_id: UUID, agent_id: UUID | None, number: int | None) -> IndexVersion | None:
    if number is None or agent_id is None:
        return indexes.serving(connection, organization_id, agent_id)
    found = indexes.version_of(connection, organization_id, agent_id, number)
    if found is None and number != 0:
        raise LookupError(number)
    return found


def _as_json(hit: Hit) -> dict[str, Any]:
    said = asdict(hit.explanation)
    relevance = said.pop("relevance")
    expansion = {term: round(weight, 6) for term, weight in said.pop("expansion").items()}
    explanation = {name: None if value is None else round(value, 6) for name, value in said.items()} | {"expansion": expansion, "relevance": None}
    if relevance is not None:
        explanation["relevance"] = dict(zip(("mean", "low", "high"), (round(value, 6) for value in relevance), strict=True))
    return {
        "chunk_id": hit.chunk_id, "document_id": hit.document_id, "score": round(hit.score, 6), "text": hit.text, "heading": hit.heading,
        "explanation": explanation,
    }  # fmt: skip
