"""The components of a policy, each with the settings that predict unseen steps best.

Belongs here: the search over each component's settings. Not here: what the components are, how they are mixed (fitting.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Generic, TypeVar

import numpy as np

from learning_pipelines.behavior.policy import baselines, classifier, neighbours, transitions
from learning_pipelines.behavior.policy.baselines import Baseline
from learning_pipelines.behavior.policy.classifier import Classifier
from learning_pipelines.behavior.policy.material import Material
from learning_pipelines.behavior.policy.mixture import log_loss
from learning_pipelines.behavior.policy.neighbours import Near, Neighbours, Steps, Weights
from learning_pipelines.behavior.policy.situations import Batch, Doubles, Numbers
from learning_pipelines.behavior.policy.transitions import Transitions

T = TypeVar("T")
BUDGET = 1e8
"""Multiplications that one pass of the classifier over its steps may cost: about 5 s a fit; of more steps it learns from a draw."""
COMPARED = 1_500
"""Judging steps that settings of the neighbours are compared on."""


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

    def near(weights: Weights, places: Numbers) -> list[Near]:
        index = Neighbours(material.vocabulary, steps, weights)
        return index.nearest(material.judging.take(places), [visible[number] for number in material.judging_fold[places].tolist()])

    weights = _best_weights(material, steps, near)
    found = near(weights, np.arange(len(material.judging)))
    index = Neighbours(material.vocabulary, steps, weights)
    return Chosen(index, index.said(found), asdict(weights)), np.array([one.similarity[0] for one in found])


def _best_weights(material: Material, steps: Steps, near: Callable[[Weights, Numbers], list[Near]]) -> Weights:
    """Of the lowest log loss on up to COMPARED judging steps; how fast votes fall needs no search of its own."""
    known = np.flatnonzero(material.judging_labels >= 0)
    if not len(known):
        return neighbours.GRID[0]
    if len(known) > COMPARED:
        known = np.sort(np.random.default_rng(material.seed).permutation(known)[:COMPARED])
    losses: dict[Weights, float] = {}
    for mix in dict.fromkeys(replace(one, width=neighbours.GRID[0].width) for one in neighbours.GRID):
        found = near(mix, known)
        for one in neighbours.GRID:
            if replace(one, width=mix.width) == mix:
                index = Neighbours(material.vocabulary, steps, one)
                losses[one] = log_loss(index.said([index.voting(each) for each in found]), material.judging_labels[known])
    return min(losses, key=lambda one: losses[one])


def classified(material: Material) -> Chosen[Classifier]:
    types = len(material.vocabulary.types)
    width = classifier.features(material.vocabulary, material.batch.take([0])).shape[1]

    def drawn(places: Numbers) -> tuple[Any, Numbers]:
        places = places[classifier.rows_within(places, width, types, BUDGET, material.seed)]
        return classifier.features(material.vocabulary, material.batch.take(places)), material.labels[places]

    def predict(places: Numbers, batch: Batch) -> Doubles:
        (rows, labels), said, weights = drawn(places), [], None
        for penalty in classifier.PENALTIES:
            weights = classifier.fit(rows, labels, types, penalty, weights)
            said.append(Classifier(material.vocabulary, weights).of(batch))
        return np.concatenate(said, axis=1)

    opinion, place = _best(material, material.out_of_fold(predict, len(classifier.PENALTIES)))
    penalty = classifier.PENALTIES[place]
    weights = classifier.fit(*drawn(np.arange(len(material.labels))), types, penalty)
    return Chosen(Classifier(material.vocabulary, weights), opinion, {"penalty": penalty})


def _best(material: Material, said: Doubles) -> tuple[Doubles, int]:
    """Of the opinions that stand side by side the one of the lowest log loss, and its place; where nothing judges, the middle one."""
    opinions = np.split(said, said.shape[1] // len(material.vocabulary.types), axis=1)
    known = np.flatnonzero(material.judging_labels >= 0)
    if not len(known):
        return opinions[len(opinions) // 2], len(opinions) // 2
    losses = [log_loss(one[known], material.judging_labels[known]) for one in opinions]
    return opinions[int(np.argmin(losses))], int(np.argmin(losses))
