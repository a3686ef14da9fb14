"""Learning a policy: every component from the train demonstrations, their mixture and calibration from steps that they did not learn from.

Belongs here: `fit`. Not here: the components and their settings (components.py), who teaches and who judges (material.py), storage, the job (defs/).

The same demonstrations, encoder and seed give the same policy, bit by bit. Test is met by the gate alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from learning_pipelines.behavior.policy import arguments, calibration, components, mixture
from learning_pipelines.behavior.policy.calibration import Calibration, calibration_error
from learning_pipelines.behavior.policy.material import Material, within
from learning_pipelines.behavior.policy.mixture import Mixture
from learning_pipelines.behavior.policy.policy import Learnt, Policy
from learning_pipelines.behavior.policy.situations import Doubles, Numbers
from learning_pipelines.behavior.task import Shown
from learning_pipelines.encoder import Encoder
from learning_pipelines.errors import LearningError

UNLIKE = 0.01
"""Share of demonstrated steps, judged out of fold, that would count as unlike all others."""
ARGUED = 10_000
"""Steps that arguments are learnt from; of more a draw of demonstrations."""
Progress = Callable[[float, str], None]
"""Called with the share done 0 … 1 and one line without user text."""


def silent(share: float, line: str) -> None:
    """No progress."""


def fit(train: Sequence[Shown], validation: Sequence[Shown], encoder: Encoder, seed: int, progress: Progress = silent) -> Policy:
    """A policy from the demonstrations that succeeded. `validation` may be empty; then folds of train alone choose and calibrate.

    Raises LearningError where no demonstration of train succeeded with an action in it, and what the encoder raises.
    """
    teaching, judging = ([one for one in some if one.outcome == "success"] for some in (train, validation))
    if not any(one.actions for one in teaching):
        raise LearningError(
            f"There is nothing to learn a policy from: of {len(train)} demonstrations {len(teaching)} succeeded, and none of those holds an action.",
            "Add demonstrations of tasks that were done well.",
        )
    progress(0.0, f"policy: encoding {len(teaching)} + {len(judging)} demonstrations")
    material = Material.of(teaching, judging, encoder, seed)
    progress(0.4, f"policy: {len(material.labels)} steps of {len(material.vocabulary.types)} types")
    baseline, history = components.baseline(material), components.history(material)
    progress(0.45, "policy: transitions counted")
    nearest, similarity = components.nearest(material)
    progress(0.6, "policy: neighbours compared")
    classified = components.classified(material)
    opinions = {"transition": baseline.opinion, "history": history.opinion, "neighbours": nearest.opinion, "classifier": classified.opinion}
    chosen, losses = choose(opinions, material.judging_labels)
    calibrated, error = calibrate(chosen.of(opinions), material.judging_labels)
    metrics = {
        "demonstrations": len(teaching), "validation_demonstrations": len(judging), "failed_left_out": len(train) - len(teaching),
        "steps": len(material.labels), "judging_steps": len(material.judging_labels), "types": len(material.vocabulary.types), "chosen": chosen.name,
        "mixture": chosen.as_json(), "log_loss": losses, "calibration_error": error, "seed": seed,
        "settings": {"history": dict(history.settings), "neighbours": dict(nearest.settings), "classifier": dict(classified.settings)},
    }  # fmt: skip
    progress(1.0, f"policy: {chosen.name} predicts best")
    familiar = float(np.quantile(similarity, UNLIKE)) if len(similarity) else -np.inf
    learnt = Learnt(
        material.vocabulary, baseline.component, history.component, nearest.component, classified.component,
        arguments.learn(within(teaching, ARGUED, np.random.default_rng(seed))), chosen, calibrated, familiar, material.ids, encoder.name,
        encoder.dimensions, metrics,
    )  # fmt: skip
    return Policy(learnt, encoder)


def choose(opinions: Mapping[str, Doubles], labels: Numbers) -> tuple[Mixture, dict[str, float]]:
    """The single component or pool of the lowest log loss, and everybody's loss; history alone where no step judges."""
    known = np.flatnonzero(labels >= 0)
    if not len(known):
        return mixture.single("history"), {}
    opinions, labels = {name: one[known] for name, one in opinions.items()}, labels[known]
    return mixture.best(
        [*(mixture.single(name) for name in opinions), mixture.linear(opinions, labels), mixture.logarithmic(opinions, labels)], opinions, labels
    )


def calibrate(predicted: Doubles, labels: Numbers) -> tuple[Calibration, float | None]:
    """And the calibration error that is left on the same steps; None where no step judges."""
    if not len(labels):
        return Calibration(), None
    made = calibration.fit(predicted, labels)
    after = made.of(predicted)
    return made, calibration_error(after.max(axis=1), after.argmax(axis=1) == labels)
