"""LambdaMART over the best chunks of the mixture: learnt from judged questions, stored as LightGBM's text, applied by the API's worker without torch.

Belongs here: the model's file, serving it, learning and judging it out of fold. Not here: its features (features.py), the mixture (ranking.py).

Burges, "From RankNet to LambdaRank to LambdaMART" (2010), by LightGBM. Small trees, large leaves: a few thousand judged questions carry no more. Each
question is scored by a model that saw none of its cluster, with the cosines of an adapter that saw none either.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from learning_pipelines.errors import LearningError, Unavailable
from learning_pipelines.retrieval.artifacts import local
from learning_pipelines.retrieval.index import IndexConfig
from learning_pipelines.retrieval.learning import adapter
from learning_pipelines.retrieval.learning.candidates import Judged, Scores, candidates
from learning_pipelines.retrieval.learning.features import NAMES, Analyzed, Asked, analyzed, asked, features, shortlist
from learning_pipelines.retrieval.learning.folds import beats, folds, gain
from learning_pipelines.retrieval.learning.mixture import mixture_ndcg
from learning_pipelines.retrieval.ranking import Floats, Found, mixed
from learning_pipelines.retrieval.task import Learnt, Progress, Training

if TYPE_CHECKING:
    from lightgbm import Booster

LEAST = 50
"""Judged questions below which nothing is learnt."""
ROUNDS = (50, 100, 150, 200)
GRADES = 4
_FILE = "reranker.txt"
_PARAMETERS: Mapping[str, Any] = {
    "objective": "lambdarank",
    "num_leaves": 8,
    "learning_rate": 0.05,
    "min_data_in_leaf": 100,
    "lambda_l2": 5.0,
    "feature_fraction": 0.6,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "lambdarank_truncation_level": 15,
    "label_gain": [grade / GRADES for grade in range(GRADES + 1)],  # gains are linear in nDCG as it is measured
    "num_threads": 1,
    "deterministic": True,
    "force_row_wise": True,
    "verbose": -1,
}


class Reranker:
    """A learnt order of a shortlist. Threads may share one."""

    def __init__(self, booster: Booster) -> None:
        self._booster = booster

    @classmethod
    def load(cls, path: Path) -> Reranker:
        """Raises Unavailable where LightGBM cannot be loaded, LearningError for a damaged file or one that other features were learnt on."""
        lightgbm = _lightgbm()
        try:
            booster = lightgbm.Booster(model_str=path.read_text("utf-8"))
        except (lightgbm.basic.LightGBMError, UnicodeDecodeError) as error:
            raise LearningError(f"The re-ranker {path.name} cannot be read.", "Roll the index back; the next training makes another.") from error
        if tuple(booster.feature_name()) != NAMES:
            raise LearningError("The re-ranker was learnt on features that this version does not make.", "Roll the index back, or train again.")
        return cls(booster)

    def order(self, question: Asked, found: Found, lexical_weight: float, positions: Sequence[int], chunks: Sequence[Analyzed]) -> Floats:
        """(m,) scores 0..1 of all that was found: the shortlist (`positions`, whose texts are `chunks`) in the learnt order and above .5, the rest as mixed."""
        mixture = mixed(found, lexical_weight)
        scores = np.asarray(mixture / (2 * max(1.0, float(mixture.max(initial=0.0)))), dtype=np.float32)  # above 1 where an expansion adds to BM25
        if positions:
            scores[list(positions)] = _shortlisted(self.raw(features(question, found, lexical_weight, positions, chunks)))
        return scores

    def raw(self, rows: Floats) -> Scores:
        """(n,) what the trees say of feature rows; comparable within one question only."""
        return np.asarray(self._booster.predict(rows, num_threads=1), dtype=np.float64)


class RerankerLearner:
    """Changes `reranker` alone: a model for this mixture, this encoder and this adapter."""

    name = "reranker"

    def learn(self, training: Training, base: IndexConfig, progress: Progress) -> Learnt | None:
        """None too where it does not beat `base` by more than a standard error on questions about unseen passages."""
        started = time.process_time()
        if reason := _missing(training, base):
            progress(1.0, f"reranker: not learnt, {reason}", {})
            return None
        material = _Material.of(training, base)
        if len(material.train) < LEAST or len({one.query.cluster for one in material.train}) < 2:
            progress(1.0, f"reranker: {len(material.train)} judged questions, at least {LEAST} of two clusters are needed", {})
            return None
        progress(0.3, "reranker: features made", {"questions": len(material.found)})
        if not material.scored:
            progress(1.0, "reranker: its encoder has learnt from every judged question, none is left to judge by", {})
            return None
        whole, scored = material.cross_validated(training, progress)
        rounds = max(ROUNDS, key=lambda count: float(scored[count][material.scored].mean()))
        before, after = mixture_ndcg(material.found, base.lexical_weight), scored[rounds]
        before, after = before[material.scored], after[material.scored]
        queries = [material.found[place].query for place in material.scored]
        gained, error = gain(before, after, queries)
        numbers = {"ndcg": float(after.mean()), "ndcg_before": float(before.mean()), "gain": gained, "error": error, "rounds": rounds, "queries": len(queries)}
        if not beats(before, after, queries):
            progress(1.0, f"reranker: not taken, it gains {gained:+.4f} ± {error:.4f}", numbers)
            return None
        path = training.folder / _FILE
        _write(path, whole.model_to_string(num_iteration=rounds))
        progress(1.0, f"reranker: gains {gained:+.4f} ± {error:.4f}", numbers)
        config = replace(base, reranker=local(training.folder, path))
        return Learnt(self.name, config, {**numbers, "seconds": time.process_time() - started})


class _Material:
    """Questions with their candidates and the features of their shortlists: train first, then validation."""

    def __init__(self, found: list[Judged], train: int, scored: list[int], rows: list[Floats], labels: list[Floats], shortlists: list[list[int]]) -> None:
        self.found, self._train, self.scored = found, train, scored
        self._rows, self._labels, self._shortlists = rows, labels, shortlists

    @property
    def train(self) -> list[Judged]:
        return self.found[: self._train]

    @classmethod
    def of(cls, training: Training, base: IndexConfig) -> _Material:
        split, passages = adapter.Split.of(training, base), training.passages
        found = candidates(passages, training.lexical, split.queries, split.vectors(training, base))
        texts: dict[int, Analyzed] = {}
        rows, labels, shortlists = [], [], []
        analyzer, idf = training.lexical.analyzer, training.lexical.idf
        for one in found:
            positions = shortlist(one.found, base.lexical_weight)
            chunks = [_text(training, texts, int(one.positions[position])) for position in positions]
            rows.append(features(asked(one.query.text, analyzer, idf), one.found, base.lexical_weight, positions, chunks))
            labels.append(_labels(one, positions))
            shortlists.append(positions)
        return cls(found, len(split.train), split.scored, rows, labels, shortlists)

    def cross_validated(self, training: Training, progress: Progress) -> tuple[Booster, dict[int, Scores]]:
        """The model of all train questions, and nDCG@10 of every question after each number of rounds by a model that did not see its cluster."""
        scored = {rounds: np.zeros(len(self.found)) for rounds in ROUNDS}
        plans = [*self._folds(training.seed), (list(range(self._train)), list(range(self._train, len(self.found))))]
        seen: list[int] = []
        for done, (kept, fresh) in enumerate(plans, 1):
            model = self._fit(training, kept)
            for place in fresh:
                for rounds in ROUNDS:
                    scored[rounds][place] = self._ndcg(place, model, rounds)
            seen += fresh
            ndcg = float(scored[ROUNDS[-1]][seen].mean()) if seen else 0.0
            progress(0.3 + 0.65 * done / len(plans), f"reranker: model {done} of {len(plans)}", {"ndcg": ndcg})
        return model, scored

    def _folds(self, seed: int) -> list[tuple[list[int], list[int]]]:
        """Train questions to learn from, and those to score; none where train questions say nothing (Split.scored)."""
        if self.scored[0] > 0:
            return []
        fold = folds([one.query for one in self.train], seed)
        return [(np.flatnonzero(fold != number).tolist(), np.flatnonzero(fold == number).tolist()) for number in range(int(fold.max()) + 1)]

    def _fit(self, training: Training, places: Sequence[int]) -> Booster:
        """Taken up from a killed run where it left the same model: a fold takes up to a minute."""
        lightgbm = _lightgbm()
        kept = [np.flatnonzero(self._labels[place] >= 0) for place in places]
        rows = np.concatenate([self._rows[place][used] for place, used in zip(places, kept, strict=True)])
        labels = np.concatenate([self._labels[place][used] for place, used in zip(places, kept, strict=True)])
        groups = [len(used) for used in kept]
        parameters = {**_PARAMETERS, "seed": training.seed}
        print_ = hashlib.sha256(repr((sorted(parameters.items()), NAMES, ROUNDS, groups)).encode() + rows.tobytes() + labels.tobytes()).hexdigest()
        path = training.folder / "checkpoints" / f"reranker-{print_[:24]}.txt"
        if path.is_file():
            kept_model: Booster = lightgbm.Booster(model_str=path.read_text("utf-8"))
            return kept_model
        data = lightgbm.Dataset(rows, labels, group=groups, feature_name=list(NAMES))
        model: Booster = lightgbm.train(parameters, data, ROUNDS[-1])
        _write(path, model.model_to_string())
        return model

    def _ndcg(self, place: int, model: Booster, rounds: int) -> float:
        scores = np.zeros(len(self.found[place].positions), dtype=np.float32)
        raw = np.asarray(model.predict(self._rows[place], num_iteration=rounds, num_threads=1))
        scores[self._shortlists[place]] = _shortlisted(raw)
        return self.found[place].ndcg(scores)


def _shortlisted(raw: Scores) -> Floats:
    """Above .5, in the order of the trees."""
    return np.asarray(0.5 + 0.5 / (1.0 + np.exp(-raw)), dtype=np.float32)


def _text(training: Training, known: dict[int, Analyzed], position: int) -> Analyzed:
    if position not in known:
        headings = training.passages.headings
        heading = headings[position] if headings else ""
        known[position] = analyzed(training.passages.texts[position], heading, training.lexical.analyzer)
    return known[position]


def _labels(one: Judged, positions: Sequence[int]) -> Floats:
    """Grades 0 … GRADES of the shortlist; -1 for the other chunks of a document that helped: nobody said whether they did."""
    labels = np.zeros(len(positions), dtype=np.float32)
    for row, position in enumerate(positions):
        gained = one.query.chunks.get(one.found.chunk_ids[position])
        if gained is None and one.query.documents.get(one.found.document_ids[position], 0.0) > 0:
            labels[row] = -1
        elif gained is not None and gained > 0:
            labels[row] = max(1, round(GRADES * gained))
    return labels


def _missing(training: Training, base: IndexConfig) -> str:
    """Why nothing can be learnt; '' if it can."""
    if base.adapter is not None and adapter.SHRINKAGE not in base.notes:
        return "how its adapter was learnt is not known"
    try:
        _lightgbm()
    except Unavailable as error:
        return str(error)
    return ""


def _lightgbm() -> Any:
    try:
        import lightgbm
    except (ImportError, OSError) as error:  # OSError: the wheel is there and libgomp is not
        raise Unavailable("LightGBM cannot be loaded on this machine.", "Install libgomp1 (OpenMP), or roll back to an index without a re-ranker.") from error
    return lightgbm


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".draft")
    draft.write_text(text, "utf-8")
    draft.replace(path)
