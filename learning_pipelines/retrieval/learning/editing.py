"""An edit of chunks learnt from train: which of the merges and splits found are worth putting to the gate is chosen on validation.

Belongs here: trying edits in memory. Not here: what is found worth editing (chunk_edits.py), storing and serving (storage/chunk_edits.py), the gate.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from learning_pipelines.retrieval.bm25 import Bm25
from learning_pipelines.retrieval.chunk_edits import Known, merges, splits
from learning_pipelines.retrieval.chunking import indexed
from learning_pipelines.retrieval.expansion import Expansion
from learning_pipelines.retrieval.learning.associations import expanded
from learning_pipelines.retrieval.learning.candidates import Scores, candidates, judged
from learning_pipelines.retrieval.learning.folds import beats, gain
from learning_pipelines.retrieval.learning.mixture import mixture_ndcg
from learning_pipelines.retrieval.task import Passages, Progress, Training
from learning_pipelines.storage.chunk_edits import BaseChunk, Operation


@dataclass(frozen=True, slots=True)
class LearntEdit:
    """What goes to the gate: new `operations`, without those that serve already; `name`: merges, splits or both; numbers for metadata."""

    name: str
    operations: tuple[Operation, ...]
    numbers: Mapping[str, float]


class EditLearner:
    """`chunks`: of the agent's documents, without the ones that a serving edit replaces. `expansion`: of the serving version, if it has one."""

    name = "chunk_edit"

    def __init__(self, chunks: Sequence[BaseChunk], expansion: Expansion | None = None) -> None:
        self.chunks, self.expansion = tuple(chunks), expansion

    def learn(self, training: Training, progress: Progress) -> LearntEdit | None:
        """None where nothing is worth editing, or no edit gains on validation; the reason goes to `progress`."""
        started = time.process_time()
        known = _known(self.chunks, training.passages)
        merging = merges(known, training.train)
        splitting = splits(known, training.train, training.train_vectors, training.encoder.encode)
        counts = {"merges": float(len(merging)), "splits": float(len(splitting))}
        if not (merging or splitting):
            progress(1.0, "chunk edits: no chunks are used together or mix topics", counts)
            return None
        progress(0.5, f"chunk edits: {len(merging)} merges and {len(splitting)} splits to be tried", counts)
        taken = {chunk for operation in merging for chunk in operation.replaced}
        apart = [operation for operation in splitting if taken.isdisjoint(operation.replaced)]
        tries = {"merges": merging, "splits": splitting, "both": [*merging, *apart] if merging and apart else []}
        places = judged(training.validation)
        before = self._scores(training, training.passages, places)
        tried = [(name, found, self._scores(training, _edited(training, found), places)) for name, found in tries.items() if found]
        name, best, after = max(tried, key=lambda each: float(each[2].mean()) if len(each[2]) else 0.0)
        asked = [training.validation[place] for place in places]
        gained, error = gain(before, after, asked)
        numbers = {**counts, "operations": float(len(best)), "gain": gained, "error": error, "queries": float(len(asked))}
        if not beats(before, after, asked):
            progress(1.0, f"chunk edits: {gained:+.4f} ± {error:.4f} nDCG@10 on {len(asked)} validation questions is no gain", numbers)
            return None
        progress(1.0, f"chunk edits: {name} gain {gained:+.4f} ± {error:.4f} nDCG@10 on validation", numbers)
        numbers |= {"ndcg_before": float(before.mean()), "ndcg": float(after.mean()), "seconds": time.process_time() - started}
        return LearntEdit(name, tuple(best), numbers)

    def _scores(self, training: Training, passages: Passages, places: Sequence[int]) -> Scores:
        """(n,) nDCG@10 of the mixture over these passages."""
        asked, vectors = [training.validation[place] for place in places], training.validation_vectors[list(places)]
        lexical = training.lexical if passages is training.passages else Bm25.build(passages.texts, training.lexical.analyzer)
        return mixture_ndcg(candidates(passages, expanded(lexical, self.expansion), asked, vectors), training.serving.lexical_weight)


def _known(chunks: Sequence[BaseChunk], passages: Passages) -> Known:
    place = {chunk: number for number, chunk in enumerate(passages.ids)}
    here = tuple(chunk for chunk in chunks if chunk.id in place)
    return Known.of(here, passages.vectors[[place[chunk.id] for chunk in here]])


def _edited(training: Training, operations: Sequence[Operation]) -> Passages:
    """The passages as an index version with these operations would hold them."""
    passages, hidden = training.passages, {chunk for operation in operations for chunk in operation.replaced}
    kept = [number for number, chunk in enumerate(passages.ids) if chunk not in hidden]
    made = [(f"made-{number}", operation.document_id, chunk) for number, operation in enumerate(operations) for chunk in operation.made]
    texts = [indexed(chunk.heading, chunk.text) for _, _, chunk in made]
    return replace(
        passages,
        ids=(*(passages.ids[number] for number in kept), *(f"{name}-{number}" for number, (name, _, _) in enumerate(made))),
        document_ids=(*(passages.document_ids[number] for number in kept), *(document for _, document, _ in made)),
        texts=[*(passages.texts[number] for number in kept), *texts],
        vectors=np.concatenate([passages.vectors[kept], training.encoder.encode(texts)]),
        **({"headings": [*(passages.headings[number] for number in kept), *(chunk.heading or "" for *_, chunk in made)]} if passages.headings else {}),
    )
