"""The components of a policy, each with the settings that predict unseen steps best.

Belongs here: the search over each component's settings. Not here: what the components are, how they are mixed (fitting.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np

from learning_pipelines.behavior.policy import baselines, classifier, neighbours, transitions
from learning_pipelines.behavior.policy.baselines import Baseline
from learning_pipelines.behavior.policy.classifier import Classifier
from learning_pipelines.behavior.policy.material import Material
from learning_pipelines.behavior.policy.mixture import log_loss
from learning_pipelines.behavior.policy.neighbours import Near, Neighbours
from learning_pipelines.behavior.policy.situations import Batch, Doubles, Numbers
from learning_pipelines.behavior.policy.transitions import Transitions

T = TypeVar("T")
BUDGET = 2e8
"""Multiplications that one pass of the classifier over its steps may cost: about 15 s a fit; of more steps it learns from a draw."""


@dataclass(frozen=True, slots=True)
class Chosen(Generic[T]):
    """`component`: learnt from all of train. `opinion` (judging, types): what it says of steps it did not learn from. `settings`: what was chosen."""

    component: T
    opinion: Doubles
    settings: Mapping[str, Any]


def baseline(material: Material) -> Chosen[Mapping[str, Baseline]]:
    """Both baselines; the opinion is the transition's."""

    def predict(places: Numbers, batch: Batch) -> Doubles:
        return baselines.transition(material.vocabulary, material.rows(places), material.labels[places]).of(batch.rows)

    return Chosen(baselines.both(material.vocabulary, material.batch.rows, material.labels), material.out_of_fold(predict), {})


def history(material: Material) -> Chosen[Transitions]:
    def predict(places: Numbers, batch: Batch) -> Doubles:
        counts = transitions.count(material.vocabulary, material.rows(places), material.labels[places])
        said = [Transitions(material.vocabulary, counts, value).of(batch.rows) for value in transitions.CONCENTRATIONS]
        return np.concatenate(said, axis=1)

    counts = transitions.count(material.vocabulary, material.batch.rows, material.labels)
    opinion, place = _best(material, material.out_of_fold(predict, len(transitions.CONCENTRATIONS)))
    value = transitions.CONCENTRATIONS[place]
    return Chosen(Transitions(material.vocabulary, counts, value), opinion, {"concentration": value})


def nearest(material: Material) -> tuple[Chosen[Neighbours], Doubles]:
    """Also the similarity of each judging step to the nearest that it may find. The index is made once: it only hides what a fold must not see."""
    steps = neighbours.indexed(material.vocabulary, material.batch, material.labels, material.owner)
    fold_of = dict(zip(material.owner.tolist(), material.fold.tolist(), strict=True))
    fold = np.array([fold_of[owner] for owner in steps.owner.tolist()], dtype=np.int64)  # steps stand in an order of their own
    visible = {number: fold != number for number in set(material.judging_fold.tolist())}
    found: list[list[Near]] = []
    for weights in neighbours.GRID:
        index = Neighbours(material.vocabulary, steps, weights)
        found.append(index.nearest(material.judging, [visible[number] for number in material.judging_fold.tolist()]))
    said = [_shares(Neighbours(material.vocabulary, steps, weights), near) for weights, near in zip(neighbours.GRID, found, strict=True)]
    opinion, place = _best(material, np.concatenate(said, axis=1))
    weights = neighbours.GRID[place]
    similarity = np.array([near.similarity[0] for near in found[place]])
    settings = {"task": weights.task, "last": weights.last, "history": weights.history, "width": weights.width}
    return Chosen(Neighbours(material.vocabulary, steps, weights), opinion, settings), similarity


def classified(material: Material) -> Chosen[Classifier]:
    types = len(material.vocabulary.types)
    width = classifier.features(material.vocabulary, material.batch.take([0])).shape[1]

    def learn(places: Numbers, start: Any, penalty: float) -> Any:
        places = places[classifier.rows_within(places, width, types, BUDGET, material.seed)]
        rows = classifier.features(material.vocabulary, material.batch.take(places))
        return classifier.fit(rows, material.labels[places], types, penalty, start)

    def predict(places: Numbers, batch: Batch) -> Doubles:
        said, weights = [], None
        for penalty in classifier.PENALTIES:
            weights = learn(places, weights, penalty)
            said.append(Classifier(material.vocabulary, weights).of(batch))
        return np.concatenate(said, axis=1)

    opinion, place = _best(material, material.out_of_fold(predict, len(classifier.PENALTIES)))
    penalty = classifier.PENALTIES[place]
    weights = learn(np.arange(len(material.labels)), None, penalty)
    return Chosen(Classifier(material.vocabulary, weights), opinion, {"penalty": penalty})


def _best(material: Material, said: Doubles) -> tuple[Doubles, int]:
    """Of the opinions that stand side by side the one of the lowest log loss, and its place; where nothing judges, the middle one."""
    opinions = np.split(said, said.shape[1] // len(material.vocabulary.types), axis=1)
    known = np.flatnonzero(material.judging_labels >= 0)
    if not len(known):
        return opinions[len(opinions) // 2], len(opinions) // 2
    losses = [log_loss(one[known], material.judging_labels[known]) for one in opinions]
    return opinions[int(np.argmin(losses))], int(np.argmin(losses))


def _shares(index: Neighbours, near: list[Near]) -> Doubles:
    return np.array([index.shares(one) for one in near]).reshape(len(near), len(index.vocabulary.types))
