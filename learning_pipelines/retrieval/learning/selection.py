"""The cheap learners one after another, each on what the one before left, each kept only if it beats what is simpler.

Belongs here: their order and the rule. Not here: the learners, the gate (acceptance/).

Mixture, adapter, re-ranker: from the least that can be learnt to the most. Every step is judged on questions about passages that its own learning did
not see, and has to gain more than one standard error there; what does not is left out, so that in expectation nothing is below the tuned mixture.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from learning_pipelines.retrieval.index import IndexConfig
from learning_pipelines.retrieval.learning.adapter import Adapter
from learning_pipelines.retrieval.learning.fusion import Fusion
from learning_pipelines.retrieval.learning.reranker import RerankerLearner
from learning_pipelines.retrieval.task import Learner, Learnt, Progress, Training


class Selection:
    """Changes whatever the learners that it is given change. `learners` in the order of what they cost and can do harm by."""

    name = "selection"

    def __init__(self, learners: Sequence[Learner] | None = None) -> None:
        self.learners = tuple(learners or (Fusion(), Adapter(), RerankerLearner()))

    def learn(self, training: Training, base: IndexConfig, progress: Progress) -> Learnt | None:
        """Starts from `base` without its adapter and re-ranker: both fit the mixture they were learnt for."""
        config = replace(base, adapter=None, reranker=None)
        kept: list[str] = []
        numbers: dict[str, float] = {}
        for number, learner in enumerate(self.learners):
            learnt = learner.learn(training, config, _part(progress, number, len(self.learners)))
            if learnt is not None:
                config = learnt.config
                kept.append(learnt.name)
                numbers |= {f"{learnt.name}_{name}": value for name, value in learnt.numbers.items()}
                numbers["ndcg"] = learnt.numbers["ndcg"]
        if not kept:
            progress(1.0, "nothing learnt beats the mixture that serves", {})
            return None
        progress(1.0, f"kept: {', '.join(kept)}", {"ndcg": numbers["ndcg"]})
        return Learnt(self.name, config, numbers)


def _part(progress: Progress, number: int, parts: int) -> Progress:
    def reported(share: float, line: str, numbers: Mapping[str, float]) -> None:
        progress((number + share) / parts, line, numbers)

    return reported
