"""One version of an index asked: what is found, in which order and why. The API, the command line, the evaluation and the gate all search by this.

Belongs here: from a question to hits or candidates. Not here: SQL (storage/), terms and scores of BM25 (lexical.py), the mixture (ranking.py), which
version answers (storage/indexes.py), loading what a version names (loaded.py).

A searcher is for one version and one snapshot of the database (database.snapshot), so whatever is swapped or refreshed meanwhile, an answer is all of
one version. Each leg brings its best DEPTH chunks; of every one of them both scores are computed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

import numpy as np
import numpy.typing as npt

from learning_pipelines.encoder_protocol import inner_products
from learning_pipelines.retrieval.chunking import indexed
from learning_pipelines.retrieval.index import DEPTH, IndexConfig
from learning_pipelines.retrieval.lexical import StoredLexical
from learning_pipelines.retrieval.loaded import Loaded, Question
from learning_pipelines.retrieval.ranking import Floats, Found, mixed, ordered
from learning_pipelines.storage import chunk_edits, found_chunks, vector_search
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.found_chunks import FoundChunk
from learning_pipelines.storage.indexes import IndexVersion
from learning_pipelines.storage.lexical import Scope


@dataclass(frozen=True, slots=True)
class Explanation:
    """Where a score comes from. `bm25` with its share 0..1 of the query's ideal score; `cosine` None where the chunk has no vector yet; `mixed` by
    `lexical_weight`; `expansion`: terms that were added to the query; `reranked`: what the re-ranker made of `mixed`, None where it did not look;
    `relevance`: how often the chunk helped whoever was shown it (posterior mean 0..1, with its 95 % interval), None where that is not known."""

    bm25: float
    bm25_share: float
    cosine: float | None
    lexical_weight: float
    mixed: float
    expansion: Mapping[str, float] = field(default_factory=dict)
    reranked: float | None = None
    relevance: tuple[float, float, float] | None = None


@dataclass(frozen=True, slots=True)
class Hit:
    """A chunk that was found. `heading`: of the document and the section it stands in, '' where there is none."""

    chunk_id: str
    document_id: str
    score: float
    text: str
    heading: str
    explanation: Explanation


class Searcher:
    """One index version over the chunks of an agent and the shared ones (agent None: of the whole organization). For one thread and snapshot."""

    def __init__(self, connection: Connection, organization_id: UUID, agent_id: UUID | None, version: IndexVersion, loaded: Loaded) -> None:
        self._connection, self._organization_id, self._agent_id, self._version, self._loaded = connection, organization_id, agent_id, version, loaded
        self.config = IndexConfig.from_json(version.config)
        edit = chunk_edits.edit_of(connection, organization_id, self.config.chunk_edit)
        self._hidden, self._added = edit
        self._scope = Scope(organization_id, agent_id, UUID(self.config.chunk_edit) if self.config.chunk_edit else None)
        self._lexical = StoredLexical(connection, self._scope, hidden=edit.hidden, added=edit.added)

    def search(self, query: str | Question, k: int) -> list[Hit]:
        """The k best chunks, best first, ties by id; fewer only where there are fewer candidates. Raises what the encoder raises.

        A Question was made ready before (Loaded.questions), so that no transaction waits for the encoder.
        """
        question = query if isinstance(query, Question) else self._loaded.questions(self._version, [query])[0]
        found, known = self._found(question, max(DEPTH, k))
        if not found.chunk_ids:
            return []
        scores, reranked = self._scored(question, found)
        best = ordered(found.chunk_ids, scores)[:k]
        chunks = found_chunks.texts(self._connection, self._organization_id, [found.chunk_ids[place] for place in best])
        relevance = found_chunks.relevance(self._connection, self._organization_id, self._agent_id, list(chunks))
        mixture = mixed(found, self.config.lexical_weight)
        return [
            _hit(chunks[name], float(scores[place]), Explanation(
                float(found.lexical[place]), _share(found, place), known.get(name), self.config.lexical_weight, float(mixture[place]), question.expansion,
                float(scores[place]) if place in reranked else None, relevance.get(name),
            ))
            for place in best for name in [found.chunk_ids[place]]
        ]  # fmt: skip

    def ranked(self, question: Question, found: Found) -> Floats:
        """(m,) scores of candidates as this version orders them: the mixture, and the re-ranker where the version has one."""
        return self._scored(question, found)[0]

    def candidates(self, queries: Sequence[str | Question], depth: int = DEPTH) -> Iterator[Found]:
        """The candidates of many questions, in their order: vectors are compared one by one, in memory (2 bytes a number). The same scores as `search`."""
        texts = [query for query in queries if isinstance(query, str)]
        made = iter(self._loaded.questions(self._version, texts)) if texts else iter(())
        questions = [query if isinstance(query, Question) else next(made) for query in queries]
        corpus = _Corpus.read(self._connection, self._scope, self._version.encoder.id, self._hidden, self._added)
        documents = found_chunks.documents(self._connection, self._organization_id, self._scope.agent_id)
        rows = self._lexical.rows_of(corpus.ids)
        scored = self._lexical.scores((question.text, question.expansion) for question in questions)
        for question, scores in zip(questions, scored, strict=True):
            cosines = corpus.cosines(question.vector)
            ids = sorted(name for name in {*self._lexical.best(scores, depth), *corpus.best(cosines, depth)} if name in documents)
            known = {name: float(cosines[corpus.place[name]]) for name in ids if name in corpus.place}
            rows |= self._lexical.rows_of([name for name in ids if name not in rows])
            yield self._candidates(question, ids, {name: documents[name] for name in ids}, scores, rows, known)

    def _found(self, question: Question, depth: int) -> tuple[Found, dict[str, float]]:
        """The candidates of one question, and the cosines of those that have a vector."""
        connection, encoder = self._connection, self._version.encoder
        (scores,) = self._lexical.scores([(question.text, question.expansion)])
        exact = vector_search.compares_all(connection, self._lexical.chunks)
        near = vector_search.nearest(
            connection, self._scope, encoder.id, question.vector, depth, exact=exact, hidden=self._hidden, added=self._added
        )  # fmt: skip
        asked = sorted({*self._lexical.best(scores, depth), *near})
        found = found_chunks.scored(connection, self._organization_id, encoder.id, question.vector, asked)
        known = {chunk.id: chunk.cosine for chunk in found if chunk.cosine is not None}
        documents = {chunk.id: chunk.document_id for chunk in found}
        ids = [name for name in asked if name in documents]
        return self._candidates(question, ids, documents, scores, self._lexical.rows_of(ids), known), known

    def _candidates(
        self, question: Question, ids: Sequence[str], documents: Mapping[str, str], scores: Floats, rows: Mapping[str, int], cosines: Mapping[str, float]
    ) -> Found:  # fmt: skip
        lexical = np.asarray([scores[rows[name]] if name in rows else 0.0 for name in ids], dtype=np.float32)
        cosine = np.asarray([cosines.get(name, 0.0) for name in ids], dtype=np.float32)
        return Found(tuple(ids), tuple(documents[name] for name in ids), lexical, cosine, self._lexical.ideal(question.text))

    def _scored(self, question: Question, found: Found) -> tuple[Floats, frozenset[int]]:
        """Scores of all that was found, and the places that the re-ranker has ordered."""
        if self.config.reranker is None:
            return mixed(found, self.config.lexical_weight), frozenset()
        from learning_pipelines.retrieval.learning.features import analyzed, asked, shortlist

        places = shortlist(found, self.config.lexical_weight)
        texts = found_chunks.texts(self._connection, self._organization_id, [found.chunk_ids[place] for place in places])
        analyzer = self._lexical.analyzer
        chunks = [analyzed(indexed(one.heading, one.text), one.heading, analyzer) for one in (texts[found.chunk_ids[place]] for place in places)]
        said = asked(question.text, analyzer, self._lexical.idf)
        scores = self._loaded.reranker(self.config.reranker).order(said, found, self.config.lexical_weight, places, chunks)
        return scores, frozenset(places)


@dataclass(frozen=True, slots=True)
class _Corpus:
    """Every vector of a scope. `vectors` (n, d) as halves."""

    ids: list[str]
    place: dict[str, int]
    vectors: npt.NDArray[np.float16]

    @classmethod
    def read(cls, connection: Connection, scope: Scope, encoder_id: UUID, hidden: Sequence[str], added: Sequence[str]) -> _Corpus:
        ids: list[str] = []
        portions: list[npt.NDArray[np.float16]] = []
        for names, vectors in vector_search.vectors(connection, scope, encoder_id, hidden=hidden, added=added):
            ids.extend(names)
            portions.append(vectors)
        return cls(ids, {name: place for place, name in enumerate(ids)}, np.concatenate(portions) if portions else np.zeros((0, 1), dtype=np.float16))

    def cosines(self, vector: Floats) -> Floats:
        """(n,) inner products, of halves as pgvector computes them."""
        return inner_products(self.vectors, vector.astype(np.float16).astype(np.float32))

    def best(self, cosines: Floats, most: int) -> list[str]:
        places = np.argpartition(-cosines, most - 1)[:most] if len(cosines) > most else np.arange(len(cosines))
        return [self.ids[place] for place in places.tolist()]


def _share(found: Found, place: int) -> float:
    return float(found.lexical[place]) / found.ideal if found.ideal else 0.0


def _hit(chunk: FoundChunk, score: float, explanation: Explanation) -> Hit:
    return Hit(chunk.id, chunk.document_id, score, chunk.text, chunk.heading or "", explanation)
