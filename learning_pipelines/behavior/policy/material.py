"""Demonstrations as the learner of a policy holds them: encoded steps, folds, and the steps that judge what was learnt from others.

Belongs here: which steps teach and which judge. Not here: components (their own modules), the choice among them (fitting.py).

What judges are steps of train, each predicted by what was learnt without its fold, then those of validation, predicted by what was learnt from train.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from learning_pipelines.behavior.policy.situations import Batch, Doubles, Numbers, Situation, encoded, situations
from learning_pipelines.behavior.policy.vocabulary import Vocabulary
from learning_pipelines.behavior.task import Shown
from learning_pipelines.encoder import Encoder
from learning_pipelines.retrieval.learning.folds import dealt

JUDGED = 4_000
"""Steps of train that are predicted out of fold, and of validation; of more a draw of demonstrations."""
VALIDATION = -1
"""The fold that validation's steps stand in: nothing is left out of train for them."""


@dataclass(frozen=True, slots=True)
class Material:
    """Steps of train: `batch`, `labels` (what followed), `owner` (place of the demonstration in `ids`), `fold`. Steps that judge: `judging`,
    `judging_labels` (−1: a type that train lacks), `judging_fold`."""

    vocabulary: Vocabulary
    batch: Batch
    labels: Numbers
    owner: Numbers
    fold: Numbers
    judging: Batch
    judging_labels: Numbers
    judging_fold: Numbers
    ids: tuple[str, ...]
    seed: int

    @classmethod
    def of(cls, train: Sequence[Shown], validation: Sequence[Shown], encoder: Encoder, seed: int) -> Material:
        """Encodes every different text once. Raises what the encoder raises."""
        rng = np.random.default_rng(seed)
        own = [(row, kind, place) for place, one in enumerate(train) for row, kind in situations(one)]
        held = [pair for one in within(validation, JUDGED, rng) for pair in situations(one)]
        vocabulary = Vocabulary.of((row, kind) for row, kind, _ in own)
        whole = encoded([*(row for row, _, _ in own), *(row for row, _ in held)], encoder)
        batch, labels = whole.take(np.arange(len(own))), vocabulary.numbers([kind for _, kind, _ in own])
        owner, fold_of = np.array([place for _, _, place in own], dtype=np.int64), folds(train, seed)
        several = len(set(fold_of.tolist())) > 1
        drawn = {one.id for one in within(train, JUDGED, rng)} if several else set()
        chosen = np.array([place for place, number in enumerate(owner.tolist()) if train[number].id in drawn], dtype=np.int64)
        judging = whole.take(np.concatenate([chosen, np.arange(len(own), len(whole))]))
        return cls(
            vocabulary, batch, labels, owner, fold_of[owner], judging,
            np.concatenate([labels[chosen], vocabulary.numbers([kind for _, kind in held])]),
            np.concatenate([fold_of[owner][chosen], np.full(len(held), VALIDATION)]), tuple(one.id for one in train), seed,
        )  # fmt: skip

    def rows(self, places: Numbers) -> list[Situation]:
        return [self.batch.rows[place] for place in places.tolist()]

    def out_of_fold(self, learn_and_predict: Callable[[Numbers, Batch], Doubles], settings: int = 1) -> Doubles:
        """(judging, types · settings): called once per fold with the places of train to learn from and the steps to predict."""
        made = np.empty((len(self.judging), len(self.vocabulary.types) * settings))
        for number in sorted(set(self.judging_fold.tolist())):
            places = np.flatnonzero(self.judging_fold == number)
            made[places] = learn_and_predict(np.flatnonzero(self.fold != number), self.judging.take(places))
        return made


def folds(shown: Sequence[Shown], seed: int) -> Numbers:
    """(demonstrations,) fold of each, 0 …; those of one cluster (or, without one, of one task) stand together."""
    return dealt([one.cluster or one.task for one in shown], seed)


def within(shown: Sequence[Shown], steps: int, rng: np.random.Generator) -> list[Shown]:
    """All of them, or a draw of about so many steps."""
    if sum(len(one.actions) + 1 for one in shown) <= steps:
        return list(shown)
    drawn, left = list[Shown](), steps
    for place in rng.permutation(len(shown)).tolist():
        if left <= 0:
            break
        drawn.append(shown[place])
        left -= len(shown[place].actions) + 1
    return drawn
