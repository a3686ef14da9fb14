"""How well one index version answers judged queries: one that serves, one that was learnt, or a configuration that is no version yet.

Belongs here: judged queries through the searcher that serves, documents in their order, metrics. Not here: which queries (judged.py, judged_files.py),
metrics themselves (metrics.py), verdicts (gate.py). Nothing of the queries is stored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from uuid import UUID, uuid4

from learning_pipelines.retrieval.index import IndexConfig
from learning_pipelines.retrieval.loaded import Loaded
from learning_pipelines.retrieval.metrics import Measured, measure
from learning_pipelines.retrieval.ranking import by_document
from learning_pipelines.retrieval.searcher import Searcher
from learning_pipelines.retrieval.task import JudgedQuery
from learning_pipelines.storage.database import Connection, snapshot
from learning_pipelines.storage.indexes import EncoderVersion, IndexVersion

UNSERVED = -1
"""Number of a configuration that is not stored as a version."""


def evaluate(
    connection: Connection, organization_id: UUID, agent_id: UUID | None, version: IndexVersion, loaded: Loaded, queries: Mapping[str, str],
    gains: Mapping[str, Mapping[str, float]],
) -> Measured:  # fmt: skip
    """The version over an agent's corpus (None: every document of the organization) on queries (id → text) with judgements (id → document → gain).

    Raises what the encoder and the version's artifacts raise.
    """
    questions = loaded.questions(version, list(queries.values()))  # before the snapshot, which does not wait for the encoder
    with snapshot(connection):
        searcher = Searcher(connection, organization_id, agent_id, version, loaded)
        ranked = {
            query: [document for document, _ in by_document(found, searcher.ranked(question, found))]
            for query, question, found in zip(queries, questions, searcher.candidates(questions), strict=True)
        }
    return measure(ranked, gains)


def evaluate_judged(
    connection: Connection, organization_id: UUID, agent_id: UUID | None, version: IndexVersion, loaded: Loaded, queries: Sequence[JudgedQuery]
) -> Measured:
    """The same for queries of an agent's feedback."""
    texts, gains = {one.id: one.text for one in queries}, {one.id: one.documents for one in queries}
    return evaluate(connection, organization_id, agent_id, version, loaded, texts, gains)


def unserved(serving: IndexVersion, config: IndexConfig, encoder: EncoderVersion | None = None) -> IndexVersion:
    """A configuration as if it were a version; `encoder` where it is not the one that serves. Its artifacts lie in the store."""
    return replace(serving, id=uuid4(), number=UNSERVED, parent=serving.number, config=config.as_json(), encoder=encoder or serving.encoder)
