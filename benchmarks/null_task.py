"""The task on which nothing can be won: what searches claim, and how many of their winners the gate promotes.

Belongs here: an overfitting search, ours and gepa's, each followed by the gate. Not here: how prompts are scored by chance (prompts/worlds.py).

Every prompt is right on every question with a chance of .6, always alike for the same prompt and question; 60 train, 50 validation and 400 test
questions, 1,500 calls, a reflection model that always writes something new.
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from importlib.metadata import version
from random import Random
from typing import Any

import numpy as np

from learning_pipelines.acceptance.gate import Verdict, decide
from learning_pipelines.llm import Message
from learning_pipelines.prompts.prompt import Prompt
from learning_pipelines.prompts.search import search
from learning_pipelines.prompts.strategies import default_strategies
from learning_pipelines.prompts.task import Item, Task
from learning_pipelines_tests.prompts.worlds import Counting, Scripted, coin, copying, intent_task, nearest_train

CALLS, HIT = 1_500, 0.6
LABELS = {"labels as they are": False, "labels shuffled": True}
Round = dict[str, Any]


def null_rows(seeds: int) -> list[dict[str, Any]]:
    """One row per search, the same seeds for each."""
    searches = {"best of 30 on validation": best_of, "ours": ours, f"gepa {version('gepa')}": gepa_s}
    rounds: dict[str, list[Round]] = {name: [] for name in searches}
    for seed in range(seeds):  # in turns
        for name, run in searches.items():
            rounds[name].append({"seed": seed, **run(seed)})
    return [_row(name, each) for name, each in rounds.items()]


def intent_rows(seeds: int, calls: int = 300) -> list[dict[str, Any]]:
    """Our search on five intents with a model that copies its nearest demonstration: labels as they are, and shuffled among all questions."""
    return [_row(name, [{"seed": seed, **intents(seed, calls, shuffled)} for seed in range(seeds)]) for name, shuffled in LABELS.items()]


def intents(seed: int, calls: int, shuffled: bool) -> Round:
    draw = Random(seed)
    task = intent_task(draw, test=200)
    if shuffled:
        items = [*task.train, *task.validation, *task.test]
        labels = draw.sample([item.expected for item in items], len(items))
        mixed = [replace(item, expected=label) for item, label in zip(items, labels, strict=True)]
        splits = iter(mixed)
        train, validation, test = (tuple(itertools.islice(splits, len(split))) for split in (task.train, task.validation, task.test))
        task = replace(task, train=train, validation=validation, test=test)
    nearest = nearest_train(task)
    scorer = copying(task, nearest)
    found = search(task, scorer, default_strategies(task), calls=calls, seed=seed, nearest=nearest)
    return _round(task, scorer, found.winner.candidate.prompt, found.winner.score - found.incumbent.score, found.calls)


def best_of(seed: int) -> Round:
    """As many prompts as the calls can score on the validation split, the best of them: no search overfits it more."""
    task, scorer = _task(), _scorer(seed)
    prompts = [task.incumbent, *(_prompt(f"variant {number}") for number in range(1, CALLS // len(task.validation)))]
    means = [_mean(scorer, prompt, task.validation) for prompt in prompts]
    return _round(task, scorer, prompts[int(np.argmax(means))], max(means) - means[0], len(scorer.asked))


def ours(seed: int) -> Round:
    task, scorer = _task(), _scorer(seed)
    reflection = _writing_variants()
    strategies = default_strategies(task, reflection)
    found = search(task, scorer, strategies, calls=CALLS, seed=seed, reflection=reflection, nearest=nearest_train(task))
    return _round(task, scorer, found.winner.candidate.prompt, found.winner.score - found.incumbent.score, found.calls)


def gepa_s(seed: int) -> Round:
    """gepa with its defaults, on the same questions and scores."""
    import gepa

    task, scorer, reflection = _task(), _scorer(seed), _writing_variants()
    adapter = _Adapter(scorer)
    found = gepa.optimize(
        seed_candidate={"p": task.incumbent.instruction},
        trainset=list(task.train),
        valset=list(task.validation),
        adapter=adapter,
        reflection_lm=lambda prompt: reflection.complete([Message("user", str(prompt))]).text,
        max_metric_calls=CALLS,
        seed=seed,
        logger=_Silent(),
    )
    claimed = max(found.val_aggregate_scores) - found.val_aggregate_scores[0]
    return _round(task, scorer, _prompt(found.best_candidate["p"]), claimed, len(scorer.asked))


class _Adapter:
    propose_new_texts = None

    def __init__(self, scorer: Counting) -> None:
        self.scorer = scorer

    def evaluate(self, batch: list[Item], candidate: dict[str, str], capture_traces: bool = False) -> Any:
        from gepa.core.adapter import EvaluationBatch

        scores = [one.score for one in self.scorer(_prompt(candidate["p"]), batch)]
        return EvaluationBatch(outputs=scores, scores=scores, trajectories=[{}] * len(scores) if capture_traces else None)

    def make_reflective_dataset(self, candidate: dict[str, str], batch: Any, components: list[str]) -> dict[str, list[dict[str, str]]]:
        return {component: [{"Inputs": "x", "Generated Outputs": "y", "Feedback": "bad"} for _ in batch.trajectories] for component in components}


class _Silent:
    def log(self, message: str) -> None:
        pass


def _task() -> Task:
    train, validation, test = (
        tuple(Item(f"{split}{number}", f"question {split} {number}", "right") for number in range(size))
        for split, size in (("train", 60), ("validation", 50), ("test", 400))
    )
    return Task("null", _prompt("Answer."), {"type": "exact_match"}, train, validation, test)


def _prompt(instruction: str) -> Prompt:
    return Prompt((Message("system", instruction),))


def _scorer(seed: int) -> Counting:
    return coin(lambda prompt: HIT, seed)


def _writing_variants() -> Scripted:
    number = itertools.count(1)
    return Scripted(lambda question: f"```\nvariant {next(number)}\n```")


def _mean(scorer: Counting, prompt: Prompt, items: tuple[Item, ...]) -> float:
    return sum(one.score for one in scorer(prompt, items)) / len(items)


def _round(task: Task, scorer: Counting, winner: Prompt, claimed: float, calls: int) -> Round:
    """What the gate makes of it: `claimed` gain on validation, the verdict on the test split."""
    before, after = ([one.score for one in scorer(prompt, task.test)] for prompt in (task.incumbent, winner))
    found = decide(before, after)
    return {"claimed": claimed, "calls": calls, "true": found.difference, "p": found.p_value, "verdict": found.verdict}


def _row(name: str, rounds: list[Round]) -> dict[str, Any]:
    return {
        "search": name,
        "runs": len(rounds),
        "claim a gain": sum(each["claimed"] > 1e-9 for each in rounds),
        "claimed, points": 100 * float(np.mean([each["claimed"] for each in rounds])),
        "true, points": 100 * float(np.mean([each["true"] for each in rounds])),
        "promoted by the gate": sum(each["verdict"] is Verdict.BETTER for each in rounds),
        "called worse": sum(each["verdict"] is Verdict.WORSE for each in rounds),
        "calls": float(np.mean([each["calls"] for each in rounds])),
        "rounds": rounds,
    }
