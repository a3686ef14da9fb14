"""Reflective evolution by the `gepa` library (MIT, no dependencies of its own), behind the same protocol and on the same budget as every strategy.

Belongs here: the adapter between its engine and a search. Not here: our own climb (reflective.py), the race its best candidates still have to run.

The engine sees train items only: two thirds to reflect on, one third (at most VALIDATION) to select by. Nothing of it is written to disk: its own
checkpoints are pickles.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from random import Random
from typing import Any, TypeVar

from learning_pipelines.errors import LearningError
from learning_pipelines.prompts.ledger import OutOfCalls
from learning_pipelines.prompts.strategies.asking import answer
from learning_pipelines.prompts.strategies.edits import reworded
from learning_pipelines.prompts.task import Candidate, Evaluate, Item, Scored, Situation

VALIDATION = 12
MOST_ITERATIONS = 200
"""Also where every minibatch is right or every call known already, and the budget would never end it."""
BEST = 2
_PART = "instruction"
_Given = TypeVar("_Given")


class GepaEngine:
    """Runs gepa.optimize on the instruction of the best so far until the strategy's share of the calls is used up; its best candidates race.

    `begins`: in the first round too, when nothing but the incumbent has raced.
    """

    name = "gepa"

    def __init__(self, begins: bool = True) -> None:
        self.begins = begins

    def propose(self, situation: Situation, rng: Random) -> Iterator[Candidate]:
        if situation.reflection is None or situation.trial is None or len(situation.task.train) < 3:
            return
        if not self.begins and len(situation.raced) < 2:
            return
        from gepa.api import optimize  # only where it is used

        reflection = situation.reflection
        items = [item for item in situation.task.train if item.id not in situation.best.shown]
        rng.shuffle(items)
        held = max(1, min(VALIDATION, len(items) // 3))
        adapter = _Adapter(situation, situation.trial)
        engine: Any = adapter
        result: Any = optimize(
            seed_candidate={_PART: situation.best.prompt.instruction},
            trainset=items[held:],
            valset=items[:held],
            adapter=engine,
            reflection_lm=lambda prompt: adapter.guarded(lambda: answer(reflection, str(prompt), rng)) or "",
            stop_callbacks=lambda state: adapter.ended or state.i >= MOST_ITERATIONS,
            logger=_Silent(),
            seed=rng.getrandbits(31),
        )
        if adapter.error is not None:
            raise adapter.error
        ranked = sorted(range(len(result.candidates)), key=lambda at: (-result.val_aggregate_scores[at], at))
        for at in ranked[:BEST]:
            text = result.candidates[at][_PART]
            if text != situation.best.prompt.instruction and result.val_aggregate_scores[at] > result.val_aggregate_scores[0]:
                yield reworded(situation, text, self.name, f"evolved by gepa, candidate {at} of {len(result.candidates)}")


class _Adapter:
    """What gepa asks of the outside (its GEPAAdapter). Out of calls, everything scores 0 and `ended` stops the engine: nothing is accepted any more."""

    propose_new_texts = None

    def __init__(self, situation: Situation, trial: Evaluate) -> None:
        self.situation, self.trial = situation, trial
        self.ended = False
        self.error: LearningError | None = None

    def evaluate(self, batch: list[Item], candidate: dict[str, str], capture_traces: bool = False) -> Any:
        from gepa.core.adapter import EvaluationBatch

        proposed = reworded(self.situation, candidate[_PART], GepaEngine.name, "")
        same = proposed.prompt == self.situation.best.prompt
        scored = self.guarded(lambda: self.trial(proposed.prompt, batch)) if same or self.situation.admits(proposed) else None
        kept = scored if scored is not None else [Scored(item, "", 0.0, fault="not scored") for item in batch]
        return EvaluationBatch(outputs=[one.output for one in kept], scores=[one.score for one in kept], trajectories=kept if capture_traces else None)

    def make_reflective_dataset(self, candidate: dict[str, str], batch: Any, components: Sequence[str]) -> Mapping[str, Sequence[Mapping[str, Any]]]:
        return {component: [_feedback(scored) for scored in batch.trajectories or []] for component in components}

    def guarded(self, ask: Callable[[], _Given]) -> _Given | None:
        """What is asked for; None from when there are no calls left or something broke: the engine would swallow the error and go on."""
        if self.ended:
            return None
        try:
            return ask()
        except OutOfCalls:
            self.ended = True
        except LearningError as error:
            self.ended, self.error = True, error
        return None


class _Silent:
    """Its log would hold users' texts."""

    def log(self, message: str) -> None:
        pass


def _feedback(scored: Scored) -> dict[str, Any]:
    verdict = "This is right." if scored.score >= 1 else f"Score {scored.score:.2f} of 1. The right answer is: {scored.item.expected}"
    return {"Inputs": scored.item.input, "Generated Outputs": scored.output, "Feedback": verdict}
