"""Our own search in the prompt benchmark, as a run of prompt_optimization makes it: the strategies race on validation, the winner answers the test items.

Belongs here: handing a split to the search and a winner to the model. Not here: the search itself (learning_pipelines/prompts/), counting.

The winner is taken as it is: whether it would pass the gate is told in the notes and changes nothing, as no peer has one.
"""

from __future__ import annotations

from typing import Any

from benchmarks.prompts_methods import Answers, Bench
from benchmarks.prompts_tasks import Pair, Split
from learning_pipelines.llm import ChatModel, Message
from learning_pipelines.prompts.evaluation import Evaluator, answer_tokens
from learning_pipelines.prompts.metrics import metric_of
from learning_pipelines.prompts.nearest import nearest_of
from learning_pipelines.prompts.prompt import Prompt
from learning_pipelines.prompts.results import SearchResult
from learning_pipelines.prompts.search import search
from learning_pipelines.prompts.strategies import default_strategies
from learning_pipelines.prompts.task import Item, Task

METRIC = {"type": "exact_match"}


def ours(bench: Bench, split: Split, calls: int) -> Answers:
    """Without a reflection model: the embedded one is not worth asking. Demonstrations come from the train split alone, as they do when serving."""
    task = task_of(split)
    nearest = nearest_of(task.train, bench.encoder, also=(*task.validation, *items("test", split.test)))

    def asking(model: ChatModel) -> Evaluator:
        return Evaluator(model, metric_of(METRIC), max_tokens=answer_tokens(task.train), labels=task.labels, nearest=nearest)

    found = search(task, asking(bench.asked_in("search")), default_strategies(task), calls=calls, seed=split.seed, nearest=nearest)
    scored = asking(bench.asked_in("test"))(found.winner.candidate.prompt, items("test", split.test))
    return Answers([one.output for one in scored], notes(found))


def task_of(split: Split) -> Task:
    """The search gets no test items at all."""
    train, validation = items("train", split.train), items("validation", split.validation)
    return Task(split.task, Prompt((Message("system", split.instruction),)), METRIC, train, validation, (), split.labels)


def items(side: str, pairs: tuple[Pair, ...]) -> tuple[Item, ...]:
    return tuple(Item(f"{side}-{number}", text, label) for number, (text, label) in enumerate(pairs))


def notes(found: SearchResult) -> dict[str, Any]:
    winner = found.winner.candidate
    retrieval = winner.prompt.retrieval
    return {
        "strategy": winner.strategy, "neighbours": None if retrieval is None else retrieval.k, "demonstrations": len(winner.prompt.demonstrations),
        "validation_score": found.winner.score, "incumbent_score": found.incumbent.score, "existed_after": found.existed_after, "compared": found.compared,
        "evaluations": found.evaluations, "cached_evaluations": found.cached_evaluations, "stopped": found.stopped,
    }  # fmt: skip
