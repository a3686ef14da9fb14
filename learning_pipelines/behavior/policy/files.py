"""A policy as a folder: numbers as safetensors, everything else as JSON. Nothing in it can run.

Belongs here: both ways, the format's version, refusing what is damaged. Not here: what the parts mean, the artifact store (retrieval/artifacts.py).

No text of a single demonstration is kept: vectors, types, counts, ids, and values of arguments that several of them hold.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from learning_pipelines.behavior.policy.arguments import Arguments
from learning_pipelines.behavior.policy.baselines import Baseline
from learning_pipelines.behavior.policy.calibration import Calibration
from learning_pipelines.behavior.policy.classifier import Classifier
from learning_pipelines.behavior.policy.mixture import Mixture
from learning_pipelines.behavior.policy.neighbours import Neighbours, Steps, Weights
from learning_pipelines.behavior.policy.policy import Learnt, Policy
from learning_pipelines.behavior.policy.situations import ORDER, Doubles, Numbers
from learning_pipelines.behavior.policy.transitions import Key, Transitions
from learning_pipelines.behavior.policy.vocabulary import Vocabulary
from learning_pipelines.encoder_protocol import Encoder
from learning_pipelines.errors import LearningError

FORMAT = 1
_TENSORS, _FACTS = "policy.safetensors", "policy.json"
_ADVICE = "Roll the policy back; the next run of behavior_learning makes another."
Tensors = dict[str, Any]


def save(learnt: Learnt, folder: Path) -> None:
    """Writes both files; the folder is made. The same policy gives the same bytes."""
    from safetensors.numpy import save_file

    folder.mkdir(parents=True, exist_ok=True)
    save_file(_tensors(learnt), folder / _TENSORS)
    facts = {
        "format": FORMAT, "types": learnt.vocabulary.types, "task_types": learnt.vocabulary.task_types, "encoder": learnt.encoder,
        "dimensions": learnt.dimensions, "concentration": learnt.transitions.concentration, "weights": asdict(learnt.neighbours.weights),
        "arguments": learnt.arguments.as_json(), "mixture": learnt.mixture.as_json(), "calibration": asdict(learnt.calibration),
        "familiar": learnt.familiar if math.isfinite(learnt.familiar) else None, "demonstrations": learnt.demonstrations, "metrics": learnt.metrics,
    }  # fmt: skip
    (folder / _FACTS).write_bytes(orjson.dumps(facts, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS))


def load(folder: Path) -> Learnt:
    """Raises LearningError where the folder is gone, damaged, or of another format."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    for name in (_FACTS, _TENSORS):
        if not (folder / name).is_file():
            raise LearningError(f"The policy's file {name} is gone.", _ADVICE)
    try:
        facts = orjson.loads((folder / _FACTS).read_bytes())
        if facts["format"] != FORMAT:
            raise LearningError(f"The policy is of format {facts['format']}, this version reads {FORMAT}.", "Update, or roll the policy back.")
        return _learnt(facts, load_file(folder / _TENSORS))
    except (SafetensorError, ValueError, KeyError, TypeError, IndexError) as error:
        raise LearningError(f"The policy cannot be read: {type(error).__name__}.", _ADVICE) from error


def load_policy(folder: Path, encoder: Encoder) -> Policy:
    """A policy that can suggest. Raises as load does, and EncoderMismatch for another encoder than it was learnt with."""
    return Policy(load(folder), encoder)


def _learnt(facts: Mapping[str, Any], tensors: Tensors) -> Learnt:
    vocabulary = Vocabulary(tuple(facts["types"]), tuple(facts["task_types"]))
    steps = Steps(**{one.name: tensors[f"steps.{one.name}"] for one in fields(Steps)})
    if not len(steps.task) == len(steps.last) == len(steps.recent) == len(steps.labels) == len(steps.owner):
        raise ValueError("steps of different counts")
    return Learnt(
        vocabulary,
        {name: Baseline(vocabulary, tensors[f"baseline.{name}"]) for name in ("most_frequent", "transition")},
        Transitions(vocabulary, _counts(tensors), float(facts["concentration"])),
        Neighbours(vocabulary, steps, Weights(**facts["weights"])),
        Classifier(vocabulary, tensors["classifier"]),
        Arguments.from_json(facts["arguments"]),
        Mixture(**facts["mixture"]),
        Calibration(**facts["calibration"]),
        -math.inf if facts["familiar"] is None else float(facts["familiar"]),
        tuple(facts["demonstrations"]),
        str(facts["encoder"]),
        int(facts["dimensions"]),
        facts["metrics"],
    )


def _tensors(learnt: Learnt) -> Tensors:
    steps = learnt.neighbours.steps
    made = {
        **{f"baseline.{name}": one.table for name, one in learnt.baselines.items()},
        **_sparse(learnt.transitions.counts),
        **{f"steps.{one.name}": getattr(steps, one.name) for one in fields(Steps)},
        "classifier": learnt.classifier.weights,
    }
    return {name: np.ascontiguousarray(value) for name, value in made.items()}


def _sparse(counts: Mapping[Key, tuple[Numbers, Doubles]]) -> Tensors:
    """Contexts as rows (−2 where one is shorter), with the types and counts of each one after the other."""
    keys = sorted(counts)
    rows = np.full((len(keys), ORDER + 1), -2, dtype=np.int32)
    for place, key in enumerate(keys):
        rows[place, : len(key)] = key
    sizes = np.array([len(counts[key][0]) for key in keys], dtype=np.int32)
    return {
        "history.contexts": rows, "history.sizes": sizes, "history.types": np.concatenate([counts[key][0] for key in keys]).astype(np.int32),
        "history.counts": np.concatenate([counts[key][1] for key in keys]).astype(np.float32),
    }  # fmt: skip


def _counts(tensors: Tensors) -> dict[Key, tuple[Numbers, Doubles]]:
    ends = np.cumsum(tensors["history.sizes"])[:-1]
    types, counts = np.split(tensors["history.types"].astype(np.int64), ends), np.split(tensors["history.counts"].astype(np.float64), ends)
    keys = [tuple(number for number in row if number != -2) for row in tensors["history.contexts"].tolist()]
    return dict(zip(keys, zip(types, counts, strict=True), strict=True))
