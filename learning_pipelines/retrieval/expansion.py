"""Query expansion that was learnt from feedback: terms that helpful chunks hold in place of a question's own ones.

Belongs here: what is served of it, its file. Not here: how associations are learnt (learning/associations.py), scoring (bm25.py).

The file holds analyzed terms and numbers, no text of a question. A term that is added scores in BM25 like a term of the question, with its weight.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from pathlib import Path

import orjson

from learning_pipelines.errors import LearningError
from learning_pipelines.retrieval.analyzer import Analyzer, analyzer_named

FORMAT = 1
MOST_TERMS = 10
"""Terms that are added to one query at most: each is a list of postings to be read."""
Associations = Mapping[str, tuple[tuple[str, float], ...]]
"""Term of a question → terms of chunks with their weights, above 0, the strongest first."""


@dataclass(frozen=True, slots=True)
class Expansion:
    """`strength`: 0..1 of what a term of the question is worth itself, for the best-founded association. Threads may share one."""

    analyzer: Analyzer
    strength: float
    associations: Associations

    def expand(self, query: str) -> dict[str, float]:
        """Terms to be added with their weights, the strongest first, MOST_TERMS at most; none that the query says itself. A term that several of the
        question's terms bring has the highest of its weights: they say the same thing."""
        said = set(self.analyzer.terms(query))
        found: dict[str, float] = {}
        for term in said & self.associations.keys():
            for other, weight in self.associations[term]:
                if other not in said:
                    found[other] = max(found.get(other, 0.0), self.strength * weight)
        return dict(sorted(found.items(), key=lambda item: (-item[1], item[0]))[:MOST_TERMS])

    def write(self, path: Path) -> None:
        """The same expansion is the same bytes."""
        stored = {"format": FORMAT, "analyzer": self.analyzer.name, "strength": self.strength, "associations": dict(self.associations)}
        path.write_bytes(orjson.dumps(stored, option=orjson.OPT_SORT_KEYS))

    @classmethod
    def load(cls, path: Path) -> Expansion:
        """Raises LearningError for a file of another version, and for one that holds something else."""
        try:
            stored = orjson.loads(path.read_bytes())
            if stored["format"] != FORMAT:
                raise LearningError("A learnt query expansion was written by another version of this software.", "Update, or roll back the index.")
            pairs = {term: tuple((str(other), float(weight)) for other, weight in found) for term, found in stored["associations"].items()}
            strength, analyzer = float(stored["strength"]), str(stored["analyzer"])
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
            raise LearningError("A learnt query expansion cannot be read.", "Restore the artifact store, or roll back the index.") from error
        if not all(isfinite(weight) and weight > 0 for found in pairs.values() for _, weight in found) or not 0 <= strength <= 1:
            raise LearningError("A learnt query expansion holds weights that are none.", "Restore the artifact store, or roll back the index.")
        return cls(analyzer_named(analyzer), strength, pairs)
