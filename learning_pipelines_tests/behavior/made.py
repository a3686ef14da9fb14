"""Demonstrations whose rules are known: what tests of learning behaviour are fitted to and scored on.

Belongs here: drawing them, an encoder without a model. Not here: tests.
"""

from __future__ import annotations

import numpy as np

from learning_pipelines.behavior.task import Action, Shown
from learning_pipelines_tests.retrieval.fake_encoders import WordEncoder

WANTS = {"pay": "transfer", "see": "balance", "lend": "loan"}


def words() -> WordEncoder:
    return WordEncoder(dimensions=64)


def desk(count: int, seed: int, start: int = 0) -> list[Shown]:
    """People log in, then want one thing after the other: each is said in the task or after the step before, and only those words tell what follows."""
    rng = np.random.default_rng(seed)
    made = []
    for number in range(start, start + count):
        wishes = [str(wish) for wish in rng.choice(sorted(WANTS), rng.integers(1, 4))]
        actions = [Action("login", {"user": f"u{number}"}, {"said": f"now {wishes[0]}"})]
        for place, wish in enumerate(wishes):
            said = f"then {wishes[place + 1]}" if place + 1 < len(wishes) else "thanks bye"
            actions.append(Action(WANTS[wish], {"account": "a"}, {"said": said}))
        made.append(Shown(f"d{number}", f"hello {number} please", tuple(actions), cluster=f"c{number}"))
    return made


def shown(name: str, *types: str, task: str = "do it", task_type: str = "") -> Shown:
    return Shown(name, task, tuple(Action(kind) for kind in types), task_type=task_type, cluster=name)
