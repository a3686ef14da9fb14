"""What one optimization is about: an agent's prompt, its examples by split, how answers are scored, and the protocols the parts meet by.

Belongs here: values that travel between evaluation, strategies, search and gate. Not here: any of their work, SQL.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Protocol

from learning_pipelines.llm import ChatModel, Message
from learning_pipelines.prompts.prompt import Demonstration, Prompt


@dataclass(frozen=True, slots=True)
class Item:
    """An approved example as it is scored and learnt from. `context` is its input_context, for metrics and judges."""

    id: str
    input: str
    expected: str
    context: Mapping[str, Any] = field(default_factory=dict, compare=False)  # a mapping has no hash


@dataclass(frozen=True, slots=True)
class Task:
    """An agent to improve. `labels`: the closed answer set ((): free text). `metric`: as imported, {"type": …, options}. `issues`: what users
    complain about, most frequent first, (category, count). `goals`: weights of accuracy, clarity, completeness for the judge."""

    agent: str
    incumbent: Prompt
    metric: Mapping[str, Any]
    train: tuple[Item, ...]
    validation: tuple[Item, ...]
    test: tuple[Item, ...]
    labels: tuple[str, ...] = ()
    issues: tuple[tuple[str, int], ...] = ()
    goals: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Scored:
    """What a prompt made of one item. `score` 0–1. `fault` names why there was no usable answer (its score is 0); tokens and seconds are those of
    the endpoint, also where the answer came out of the cache."""

    item: Item
    output: str
    score: float
    input_tokens: int = 0
    output_tokens: int = 0
    seconds: float = 0.0
    from_cache: bool = False
    fault: str | None = None


class Evaluate(Protocol):
    """Scores a prompt on items, one `Scored` per item in their order. The same prompt and item always give the same score within a run.

    Raises ModelError for what would hit every further call (BudgetExceeded, endpoint, key); outcomes before it are not lost: they are in the
    cache, and asking again for them costs nothing.
    """

    def __call__(self, prompt: Prompt, items: Sequence[Item]) -> list[Scored]: ...


class Nearest(Protocol):
    """Approved examples of the train split nearest to a text, nearest first. An item never finds itself (`without`: ids left out)."""

    def __call__(self, text: str, k: int, without: frozenset[str] = frozenset()) -> list[Demonstration]: ...


class Guide(Protocol):
    """What is shown for an input beside what the prompt itself shows, as turns before the input's own (behavior/guidance.py).

    `id`: of the example that the input is, which never finds itself; None for an input of nobody. `also`: what the prompt shows, which is not shown twice.
    """

    def __call__(self, text: str, id: str | None = None, also: Sequence[Demonstration] = ()) -> Sequence[Message]: ...


@dataclass(frozen=True, slots=True)
class Candidate:
    """A proposed prompt. `parent`: the name of the candidate it was made from ("" for the incumbent); `shown`: ids of the examples it demonstrates
    (declared, so that copying them is no fault); `note`: what was done, in words, without any user's text."""

    prompt: Prompt
    strategy: str
    shown: tuple[str, ...] = ()
    parent: str = ""
    note: str = ""

    @property
    def name(self) -> str:
        return f"{self.strategy}-{self.prompt.content_hash.hex()[:12]}"


@dataclass(frozen=True, slots=True)
class Situation:
    """What a strategy may look at: the task (never its validation and test split), what the incumbent and the best so far got wrong on train, and whom
    it may ask.

    `reflection` is None where there is no model worth asking (the embedded one); strategies then use edit operators only. `raced`: what has raced so
    far, best first. `trial` scores a prompt on train items at the expense of the search's budget (raises OutOfCalls of ledger.py where the share is
    used up); `admits` tells whether hygiene lets a candidate be scored at all.
    """

    task: Task
    best: Candidate
    failures: tuple[Scored, ...]
    successes: tuple[Scored, ...]
    reflection: ChatModel | None
    nearest: Nearest | None
    max_chars: int
    raced: tuple[Candidate, ...] = ()
    trial: Evaluate | None = None
    admits: Callable[[Candidate], bool] = lambda _: True


class Strategy(Protocol):
    """One way to propose prompts: small, seeded, without I/O of its own: the reflection model and trials come with the situation."""

    @property
    def name(self) -> str: ...

    def propose(self, situation: Situation, rng: Random) -> Iterator[Candidate]:
        """Candidates, the most promising first; asked again in later rounds with a newer situation."""
        ...
