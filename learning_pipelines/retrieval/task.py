"""What travels between feedback, learners, evaluation and the gate of retrieval.

Belongs here: plain values and protocols. Not here: how any of it is read (storage/), learnt (learning/) or searched (searcher.py).

Rules that everybody keeps: learners see queries of the split train only, choosing among what they learnt sees validation, the gate alone sees test.
Relevance is judged per document (a document's score is its best chunk's); training positives are chunks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from learning_pipelines.encoder import Encoder
from learning_pipelines.retrieval.analyzer import Analyzer
from learning_pipelines.retrieval.index import IndexConfig

Floats = npt.NDArray[np.float32]
Progress = Callable[[float, str, Mapping[str, float]], None]
"""Called with the share done 0..1, one line without user text, and numbers worth a plot (loss, ndcg)."""


@dataclass(frozen=True, slots=True)
class JudgedQuery:
    """A question with what was found helpful. `documents`: id -> gain 0..1 (0: shown, not helpful). `chunks`: the same for chunks; a document that
    was named without a chunk has here the chunk of it that fits best. `cluster`: queries of one cluster share passages, wording
    or people; people who would join more than a tenth of all queries join none (retrieval/query_splits.py)."""

    id: str
    text: str
    documents: Mapping[str, float]
    chunks: Mapping[str, float]
    cluster: str


@dataclass(frozen=True, slots=True)
class Passages:
    """Every chunk that an agent's index holds: ids, documents and texts (as indexed, each with its heading) in one order; `vectors` (n, d), rows of
    length 1, by the serving encoder. `headings`: the heading that each text begins with, '' for none; empty: unknown."""

    ids: tuple[str, ...]
    document_ids: tuple[str, ...]
    texts: Sequence[str]
    vectors: Floats
    headings: Sequence[str] = ()


class Lexical(Protocol):
    """BM25 over the same chunks in the same order (retrieval/bm25.py)."""

    @property
    def analyzer(self) -> Analyzer: ...

    def idf(self, term: str) -> float:
        """What an analyzed term weighs, above 0; the highest for one that no chunk holds."""

    def ideal(self, query: str) -> float:
        """What a text that is full of the query's words would score."""

    def scores(self, query: str, weights: Mapping[str, float] | None = None) -> Floats:
        """(n,) scores, 0 where no term matches. `weights`: further analyzed terms with their weights (query expansion)."""


@dataclass(frozen=True, slots=True)
class Training:
    """What a learner may use. `query_vectors`: by the serving encoder, (len(train), d) and (len(validation), d).
    `negatives`: query id -> chunk ids mined as hard negatives. `serving`: the version to be beaten. `folder`: where to put artifacts and
    checkpoints; what is there from a killed run of the same fingerprint is taken up."""

    passages: Passages
    lexical: Lexical
    train: tuple[JudgedQuery, ...]
    validation: tuple[JudgedQuery, ...]
    train_vectors: Floats
    validation_vectors: Floats
    negatives: Mapping[str, tuple[str, ...]]
    encoder: Encoder
    serving: IndexConfig
    folder: Path
    seed: int


@dataclass(frozen=True, slots=True)
class Learnt:
    """What a learner offers: a configuration whose artifacts lie below `Training.folder` (paths relative to it), with numbers for metadata
    (validation nDCG@10, seconds of processor time, steps)."""

    name: str
    config: IndexConfig
    numbers: Mapping[str, float]


class Learner(Protocol):
    """One way to learn from the train split, in one file; seedable; resumes from its checkpoints after kill -9."""

    @property
    def name(self) -> str: ...

    def learn(self, training: Training, base: IndexConfig, progress: Progress) -> Learnt | None:
        """A changed `base`, chosen on validation; None where there is nothing to learn from (the reason goes to progress)."""
