"""Scoring a prompt on approved examples: the model answers, the metric marks, what went wrong is counted and named.

Belongs here: the Evaluator that search, gate and `evaluate prompt` share. Not here: what a score means (metrics.py, judge.py), summing up
(summary.py), which model (llm.py), choosing between prompts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from learning_pipelines.errors import BadInput
from learning_pipelines.llm import ChatModel, Completion, Outcome, Request
from learning_pipelines.llm_errors import ModelError, PromptTooLong, WrongAnswer
from learning_pipelines.prompts.metrics import Mark, Metric
from learning_pipelines.prompts.prompt import Demonstration, Prompt
from learning_pipelines.prompts.task import Guide, Item, Nearest, Scored

EMPTY = "the answer is empty"
GIVE_UP_AFTER = 20
"""If so many requests in a row, from the very first, got no answer at all, it is not the prompt."""
TOKENS_STEP, LEAST_TOKENS, MOST_TOKENS = 64, 64, 2_048
_CHARS_PER_TOKEN = 2.5
"""Cautious: English has four, German three, numbers and code about two."""
Progress: TypeAlias = Callable[[int, int], None]


def answer_tokens(items: Sequence[Item]) -> int:
    """How many tokens an answer of this task may take: half more than the longest approved one, in steps, so that a new example seldom
    changes it (it is part of the question, and another question is paid again).
    """
    longest = max((len(item.expected) for item in items), default=0)
    return min(MOST_TOKENS, max(LEAST_TOKENS, -(-int(1.5 * longest / _CHARS_PER_TOKEN) // TOKENS_STEP) * TOKENS_STEP))


class NothingUsable(ModelError):
    """Every request was refused or answered with what is no answer: going on would only spend the budget."""


@dataclass(frozen=True, slots=True)
class _Answer:
    output: str
    completion: Completion | None
    fault: str | None


_Key: TypeAlias = tuple[bytes, str, str]


class Evaluator:
    """Implements `Evaluate` (task.py). With `labels` the answer is one of them exactly. `nearest` is needed by prompts that pick demonstrations
    per input; an item is never among its own. `guide` shows something more for each input, whatever the prompt. `progress(done, total)` is told after
    every answer.

    Requests go out item by item with what all of them share first, so that the model's prefix cache holds it. What was answered once is kept
    for the life of the Evaluator, faults too: a score never changes within a run. One thread at a time.
    """

    def __init__(
        self,
        model: ChatModel,
        metric: Metric,
        *,
        max_tokens: int,
        labels: Sequence[str] = (),
        nearest: Nearest | None = None,
        guide: Guide | None = None,
        progress: Progress | None = None,
    ) -> None:
        self.model, self.metric = model, metric
        self.progress = progress
        self._max_tokens, self._nearest, self._guide = max_tokens, nearest, guide
        self._choices = tuple(labels) or None
        self._answers: dict[_Key, _Answer] = {}
        self._marks: dict[tuple[_Key, str], Mark] = {}
        self._in_vain: int | None = 0
        """Requests without an answer so far; None once there was one."""

    def __call__(self, prompt: Prompt, items: Sequence[Item]) -> list[Scored]:
        """One `Scored` per item, in order. Raises ModelError for what would hit every further call, after keeping the answers before it
        (NothingUsable where there never was one); BadInput for a prompt that picks demonstrations where nothing can be looked up."""
        if prompt.retrieval is not None and self._nearest is None:
            raise BadInput("This prompt picks demonstrations for each input, but there are no approved examples to look them up in.", "Give them.")
        version = prompt.content_hash
        keys = [(version, item.id, item.input) for item in items]
        before = set(self._answers)
        self._ask(prompt, dict(zip(keys, items, strict=True)))
        self._mark(keys, items)
        return [self._scored(key, item, key in before) for key, item in zip(keys, items, strict=True)]

    def request(self, prompt: Prompt, item: Item) -> Request:
        """The very question the model is asked about an item."""
        shown: list[Demonstration] = []
        if prompt.retrieval is not None and self._nearest is not None:
            shown = prompt.retrieval.shown(self._nearest(item.input, prompt.retrieval.k, frozenset({item.id})))
        guidance = () if self._guide is None else self._guide(item.input, item.id, shown)
        return Request(prompt.for_input(item.input, shown, guidance), self._max_tokens, choices=self._choices)

    def guided(self, guide: Guide) -> Evaluator:
        """One like it that shows something more for each input; it shares no answers."""
        return Evaluator(
            self.model, self.metric, max_tokens=self._max_tokens, labels=self._choices or (), nearest=self._nearest, guide=guide, progress=self.progress
        )

    def _ask(self, prompt: Prompt, wanted: dict[_Key, Item]) -> None:
        missing = [key for key in wanted if key not in self._answers]
        done = len(wanted) - len(missing)
        outcomes = self.model.complete_many(self.request(prompt, wanted[key]) for key in missing)
        for key, outcome in zip(missing, outcomes, strict=True):
            self._answers[key] = _read(outcome, wanted[key])
            self._look_at(outcome)
            done += 1
            if self.progress is not None:
                self.progress(done, len(wanted))

    def _look_at(self, outcome: Outcome) -> None:
        if isinstance(outcome, Completion):
            self._in_vain = None
        elif self._in_vain is not None and not isinstance(outcome, PromptTooLong | WrongAnswer):  # those may be the prompt's own fault
            self._in_vain += 1
            if self._in_vain >= GIVE_UP_AFTER:
                raise NothingUsable(f"None of the first {GIVE_UP_AFTER} requests got a usable answer. The last: {outcome.cause}", outcome.advice)

    def _mark(self, keys: Sequence[_Key], items: Sequence[Item]) -> None:
        usable = {
            (key, item.expected): (item, self._answers[key].output)
            for key, item in zip(keys, items, strict=True)
            if self._answers[key].fault is None and (key, item.expected) not in self._marks
        }
        self._marks.update(zip(usable, self.metric.marks(list(usable.values())), strict=True))

    def _scored(self, key: _Key, item: Item, known: bool) -> Scored:
        answer = self._answers[key]
        mark = self._marks[key, item.expected] if answer.fault is None else Mark(0.0, answer.fault)
        scored = Scored(item, answer.output, mark.score if mark.fault is None else 0.0, fault=mark.fault)
        taken = answer.completion
        if taken is None:
            return scored
        return replace(scored, input_tokens=taken.input_tokens, output_tokens=taken.output_tokens, seconds=taken.seconds, from_cache=taken.from_cache or known)


def _read(outcome: Outcome, item: Item) -> _Answer:
    if not isinstance(outcome, Completion):
        return _Answer(getattr(outcome, "text", ""), None, outcome.cause)
    empty = not outcome.text.strip() and bool(item.expected.strip())
    return _Answer(outcome.text, outcome, EMPTY if empty else None)
