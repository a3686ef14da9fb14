"""The search's calls, counted to the unit: nothing is scored twice, nothing is asked beyond the budget, by whatever part of the search asks.

Belongs here: counting and remembering during one search. Not here: money and tokens (llm_budget.py), answers that outlive the process (storage/llm_cache.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from learning_pipelines.llm import ChatModel, Completion, Message, Outcome, Request
from learning_pipelines.llm_budget import Budget
from learning_pipelines.prompts.prompt import Prompt
from learning_pipelines.prompts.task import Evaluate, Item, Scored

HOPELESS = 20
"""After so many answers of which none was usable a search ends: several prompts were tried by then."""


class OutOfCalls(Exception):
    """What was asked for does not fit into the calls that are left. Nothing was asked."""


class NoUsableAnswers(Exception):
    """So far the model has given nothing but faults: more calls would only cost. The message says which, without any user's text."""


class Ledger:
    """Scores prompts on items within `calls`. A call is one evaluation of a prompt on an item, or one question to the reflection model. `told` is called
    whenever something was scored.

    Calls are logical: an answer out of the cache of an earlier process counts too, so that the same seed and answers give the same search.
    """

    def __init__(self, evaluate: Evaluate, calls: int, told: Callable[[], None] = lambda: None) -> None:
        self.calls = calls
        self.evaluations = self.cached_evaluations = self.reflections = self.cached_reflections = 0
        self._evaluate, self._told = evaluate, told
        self._known: dict[bytes, dict[str, Scored]] = {}
        self._ceiling = calls
        self._usable = False

    @property
    def spent(self) -> int:
        return self.evaluations + self.reflections

    @property
    def left(self) -> int:
        """Calls that may still be made, within the share set by `share`."""
        return self._ceiling - self.spent

    def share(self, calls: int | None) -> None:
        """No more than so many further calls until this is called again; None: all that are left."""
        self._ceiling = self.calls if calls is None else min(self.calls, self.spent + max(0, calls))

    def missing(self, prompt: Prompt, items: Sequence[Item]) -> int:
        """How many evaluations scoring the prompt on the items would take."""
        known = self._known.get(prompt.content_hash, {})
        return len({item.id for item in items} - known.keys())

    def __call__(self, prompt: Prompt, items: Sequence[Item]) -> list[Scored]:
        """One Scored per item; only pairs that are new are asked for, each once. Raises OutOfCalls before asking, NoUsableAnswers when the first
        HOPELESS answers or more were all faults, ModelError as Evaluate does."""
        known = self._known.setdefault(prompt.content_hash, {})
        new = list({item.id: item for item in items if item.id not in known}.values())
        if len(new) > self.left:
            raise OutOfCalls
        if new:
            for scored in self._evaluate(prompt, new):
                known[scored.item.id] = scored
                self.evaluations += 1
                self.cached_evaluations += scored.from_cache
                self._usable = self._usable or scored.fault is None
            self._told()
            if not self._usable and self.evaluations >= HOPELESS:
                raise NoUsableAnswers(f"the first {self.evaluations} answers were all unusable, the last one because: {scored.fault}")
        return [known[item.id] for item in items]

    def of(self, prompt: Prompt, items: Iterable[Item]) -> list[Scored]:
        """What is known of the prompt on these items, in their order."""
        known = self._known.get(prompt.content_hash, {})
        return [known[item.id] for item in items if item.id in known]


class CountedModel:
    """The reflection model with its calls on the ledger (a ChatModel). A call that fails has been made, and counts."""

    def __init__(self, model: ChatModel, ledger: Ledger) -> None:
        self._model, self._ledger = model, ledger

    @property
    def name(self) -> str:
        return self._model.name

    @property
    def budget(self) -> Budget:
        return self._model.budget

    def complete(self, messages: Sequence[Message], **options: Any) -> Completion:
        if self._ledger.left < 1:
            raise OutOfCalls
        self._ledger.reflections += 1
        completion = self._model.complete(messages, **options)
        self._ledger.cached_reflections += completion.from_cache
        return completion

    def complete_many(self, requests: Iterable[Request], concurrency: int | None = None) -> Iterator[Outcome]:
        for outcome in self._model.complete_many(self._counted(requests), concurrency):
            self._ledger.cached_reflections += isinstance(outcome, Completion) and outcome.from_cache
            yield outcome

    def _counted(self, requests: Iterable[Request]) -> Iterator[Request]:
        for request in requests:
            if self._ledger.left < 1:
                raise OutOfCalls
            self._ledger.reflections += 1
            yield request
