"""A policy without the demonstrations of an erased person: their steps, vectors and ids are taken out, what was counted and weighed stays.

Belongs here: the change of a learnt policy, pure. Not here: files (files.py), versions and labels (behavior/erasing.py).
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace

import numpy as np

from learning_pipelines.behavior.policy.arguments import Argument, Arguments
from learning_pipelines.behavior.policy.neighbours import Neighbours, Steps
from learning_pipelines.behavior.policy.policy import Learnt
from learning_pipelines.feedback.erasure.words import tokens


def without(learnt: Learnt, gone: Collection[str], own: Callable[[set[str]], set[str]]) -> Learnt | None:
    """The policy without demonstrations of these ids. `own`: of some words those that the person alone said: usual values of arguments that hold one go.

    None where it cannot be made: no step is left, or a type of action or task is called by such a word.
    """
    named = {token for name in (*learnt.vocabulary.types, *learnt.vocabulary.task_types) for token in tokens(name)}
    if own(named):
        return None
    kept = [name for name in learnt.demonstrations if name not in gone]
    places = {name: place for place, name in enumerate(kept)}
    moved = np.array([places.get(name, -1) for name in learnt.demonstrations], dtype=np.int32)
    steps = learnt.neighbours.steps
    stays = moved[steps.owner] >= 0
    if not stays.any():
        return None
    tasks, task = np.unique(steps.task[stays], return_inverse=True)  # texts keep the order of the steps
    lasts, last = np.unique(steps.last[stays], return_inverse=True)
    left = Steps(
        steps.projection, steps.tasks[tasks], steps.lasts[lasts], task.astype(np.int32), last.astype(np.int32), steps.recent[stays], steps.labels[stays],
        moved[steps.owner[stays]],
    )  # fmt: skip
    return replace(
        learnt, neighbours=Neighbours(learnt.vocabulary, left, learnt.neighbours.weights), arguments=_without(learnt.arguments, own), demonstrations=tuple(kept)
    )  # fmt: skip


def _without(arguments: Arguments, own: Callable[[set[str]], set[str]]) -> Arguments:
    said = {token for found in arguments.of_type.values() for one in found for source in one.sources for token in tokens(f"{one.name} {source.what}")}
    theirs = own(said)
    if not theirs:
        return arguments
    return Arguments({kind: tuple(_left(one, theirs) for one in found if not tokens(one.name) & theirs) for kind, found in arguments.of_type.items()})


def _left(one: Argument, theirs: set[str]) -> Argument:
    return replace(one, sources=tuple(source for source in one.sources if not tokens(source.what) & theirs))
