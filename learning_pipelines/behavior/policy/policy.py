"""A learnt policy: what an expert would most likely do next, how sure that is, which demonstrations say so, or why nothing is suggested.

Belongs here: Policy and what it answers. Not here: learning one (fitting.py), its folder (files.py), scoring it (evaluation.py), the route (api/).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from learning_pipelines.behavior.policy.arguments import Arguments, View
from learning_pipelines.behavior.policy.baselines import Baseline
from learning_pipelines.behavior.policy.calibration import Calibration
from learning_pipelines.behavior.policy.classifier import Classifier
from learning_pipelines.behavior.policy.mixture import Mixture
from learning_pipelines.behavior.policy.neighbours import Near, Neighbours
from learning_pipelines.behavior.policy.situations import Batch, Doubles, encoded, situation
from learning_pipelines.behavior.policy.transitions import Transitions
from learning_pipelines.behavior.policy.vocabulary import Vocabulary
from learning_pipelines.behavior.task import Floats, State
from learning_pipelines.encoder import Encoder

EVIDENCE = 3
"""Demonstrations that are named for each suggestion."""


@dataclass(frozen=True, slots=True)
class Suggestion:
    """`probability`: calibrated. `demonstrations`: ids of the nearest that did this, nearest first. `shown`: how many of the nearest steps did it.
    `arguments`: values copied from where experts took theirs; names without a source are left out."""

    type: str
    probability: float
    demonstrations: tuple[str, ...]
    shown: int
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Suggestions:
    """`ranked`: likeliest first, also where the policy abstains (`why`: its reason), for whoever wants to see them. `confidence`: the first one's
    probability. `nearest`: of how many demonstrated steps `shown` counts."""

    ranked: tuple[Suggestion, ...]
    confidence: float
    abstained: bool
    why: str
    nearest: int


@dataclass(frozen=True, slots=True)
class Learnt:
    """What a policy is made of; everything its folder holds. `demonstrations`: ids in the order of `neighbours.steps.owner`. `familiar`: similarity to
    the nearest demonstrated step below which a situation is unlike all of them. `metrics`: counts and losses of learning."""

    vocabulary: Vocabulary
    baselines: Mapping[str, Baseline]
    transitions: Transitions
    neighbours: Neighbours
    classifier: Classifier
    arguments: Arguments
    mixture: Mixture
    calibration: Calibration
    familiar: float
    demonstrations: tuple[str, ...]
    encoder: str
    dimensions: int
    metrics: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Predicted:
    """Of a batch: (n, types) calibrated probabilities, the nearest steps, why each is abstained from ('' : it is not)."""

    probabilities: Doubles
    near: Sequence[Near]
    why: Sequence[str]


class Policy:
    """A task.NextAction. Threads may share one. A suggestion costs one call of the encoder with two short texts, and ≤ 20 ms."""

    def __init__(self, learnt: Learnt, encoder: Encoder) -> None:
        """Raises EncoderMismatch for another encoder than the policy was learnt with."""
        from learning_pipelines.encoder import require_same

        require_same(encoder, learnt.encoder, learnt.dimensions)
        self.learnt, self.encoder = learnt, encoder

    @property
    def types(self) -> tuple[str, ...]:
        return self.learnt.vocabulary.types

    @property
    def baselines(self) -> Mapping[str, Baseline]:
        """most_frequent and transition, learnt from the same demonstrations."""
        return self.learnt.baselines

    def probabilities(self, states: Sequence[State]) -> Floats:
        """As task.NextAction says; calibrated."""
        return self.predict(encoded([situation(state) for state in states], self.encoder)).probabilities.astype(np.float32)

    def suggest(self, state: State, k: int = 3) -> Suggestions:
        """The k likeliest next types (fewer where fewer are known). Raises what the encoder raises."""
        predicted = self.predict(encoded([situation(state)], self.encoder))
        probabilities, near = predicted.probabilities[0], predicted.near[0]
        order = np.argsort(-probabilities, kind="stable")[: max(1, k)].tolist()
        view = View.of(state)
        ranked = tuple(self._suggestion(view, kind, float(probabilities[kind]), near) for kind in order)
        return Suggestions(ranked, ranked[0].probability, bool(predicted.why[0]), predicted.why[0], len(near.places))

    def predict(self, batch: Batch) -> Predicted:
        """Everything about situations whose texts are encoded already; no call of the encoder."""
        near = self.learnt.neighbours.nearest(batch)
        opinions = self.opinions(batch, near)
        probabilities = self.learnt.calibration.of(self.learnt.mixture.of(opinions))
        return Predicted(probabilities, near, [self._why(batch, place, probabilities[place], near[place]) for place in range(len(batch))])

    def opinions(self, batch: Batch, near: Sequence[Near] | None = None) -> dict[str, Doubles]:
        """What each component says, not calibrated."""
        learnt = self.learnt
        near = learnt.neighbours.nearest(batch) if near is None else near
        return {
            "transition": learnt.baselines["transition"].of(batch.rows),
            "history": learnt.transitions.of(batch.rows),
            "neighbours": learnt.neighbours.said(near),
            "classifier": learnt.classifier.of(batch),
        }

    def _why(self, batch: Batch, place: int, probabilities: Doubles, near: Near) -> str:
        row, confidence = batch.rows[place], float(probabilities.max())
        if row.recent and self.learnt.vocabulary.number(row.recent[-1]) < 0:
            return f"no demonstration holds the action {row.recent[-1]!r}, which was taken last"
        if near.similarity[0] < self.learnt.familiar:
            return "no demonstration was in a situation like this"
        if confidence < self.learnt.calibration.threshold:
            return f"a suggestion of confidence {confidence:.2f} would be wrong more often than right"
        return ""

    def _suggestion(self, view: View, kind: int, probability: float, near: Near) -> Suggestion:
        steps = self.learnt.neighbours.steps
        agreeing = near.places[steps.labels[near.places] == kind]
        owners = list(dict.fromkeys(steps.owner[agreeing].tolist()))[:EVIDENCE]
        names = tuple(self.learnt.demonstrations[owner] for owner in owners)
        return Suggestion(self.types[kind], probability, names, len(agreeing), self.learnt.arguments.proposed(view, self.types[kind]))
