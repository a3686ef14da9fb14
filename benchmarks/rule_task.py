"""The rule task: how many calls until the prompt that is returned exists, ours and gepa's, with the same items and the same scripted reflection model.

Belongs here: running both over seeds, the table. Not here: the task itself (prompts/worlds.py), real tasks, the gate.

`make bench-rule-task`; a minute. Calls are exact, machine and load do not matter.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from random import Random
from typing import Any, Literal

from benchmarks.record import OURS, record
from learning_pipelines.prompts.search import search
from learning_pipelines.prompts.strategies import default_strategies
from learning_pipelines.prompts.task import Item
from learning_pipelines_tests.prompts.worlds import by_rules, rule_reflection, rule_task


@dataclass(frozen=True, slots=True)
class Round:
    """One search: evaluations until the returned prompt existed and in all, questions to the reflection model, mean scores of the returned prompt."""

    who: str
    seed: int
    existed_after: int
    evaluations: int
    reflections: int
    validation: float
    test: float


def ours(seed: int, calls: int = 1500, engine: Literal["both", "own", "gepa"] = "both") -> Round:
    rng = Random(seed)
    task, needs = rule_task(rng)
    evaluate, reflection = by_rules(needs), rule_reflection(rng)
    result = search(task, evaluate, default_strategies(task, reflection, engine), calls=calls, seed=seed, reflection=reflection)
    assert len(evaluate.asked) == result.evaluations and len(reflection.asked) == result.reflections
    test = statistics.fmean(one.score for one in evaluate(result.winner.candidate.prompt, task.test))
    return Round("ours", seed, result.existed_after, result.evaluations, result.reflections, result.winner.score, test)


def of_gepa(seed: int, calls: int = 1500, **options: Any) -> Round:
    import gepa

    rng = Random(seed)
    task, needs = rule_task(rng)
    reflection, adapter = rule_reflection(rng), _Adapter(needs)
    result: Any = gepa.optimize(
        seed_candidate={"p": task.incumbent.instruction},
        trainset=list(task.train),
        valset=list(task.validation),
        adapter=adapter,
        reflection_lm=lambda prompt: reflection.complete([_Text(str(prompt))]).text,  # type: ignore[list-item]
        max_metric_calls=calls,
        seed=seed,
        logger=_Silent(),
        **options,
    )
    best = result.best_idx
    asked = adapter.calls
    test = statistics.fmean(adapter.score(result.candidates[best], item) for item in task.test)
    who = "gepa with merge" if options else "gepa"
    return Round(who, seed, result.discovery_eval_counts[best], asked, len(reflection.asked), result.val_aggregate_scores[best], test)


class _Adapter:
    propose_new_texts = None

    def __init__(self, needs: dict[str, frozenset[int]]) -> None:
        self.needs, self.calls = needs, 0

    def missing(self, candidate: dict[str, str], item: Item) -> frozenset[int]:
        return self.needs[item.id] - {int(found) for found in re.findall(r"R(\d+)", candidate["p"])}

    def score(self, candidate: dict[str, str], item: Item) -> float:
        return 1 - len(self.missing(candidate, item)) / len(self.needs[item.id])

    def evaluate(self, batch: list[Item], candidate: dict[str, str], capture_traces: bool = False) -> Any:
        from gepa.core.adapter import EvaluationBatch

        self.calls += len(batch)
        scores = [self.score(candidate, item) for item in batch]
        return EvaluationBatch(outputs=scores, scores=scores, trajectories=[self.missing(candidate, item) for item in batch] if capture_traces else None)

    def make_reflective_dataset(self, candidate: dict[str, str], batch: Any, components: list[str]) -> dict[str, list[dict[str, str]]]:
        rows = [{"Inputs": "x", "Generated Outputs": "y", "Feedback": "missing " + " ".join(f"R{rule}" for rule in found)} for found in batch.trajectories]
        return dict.fromkeys(components, rows)


@dataclass(frozen=True, slots=True)
class _Text:
    content: str


class _Silent:
    def log(self, message: str) -> None:
        pass


def table(rounds: list[Round]) -> str:
    lines = ["| | seeds | calls until it exists: median (range) | calls in all | reflections | validation | test |", "|---|---|---|---|---|---|---|"]
    for who in dict.fromkeys(one.who for one in rounds):
        own = [one for one in rounds if one.who == who]
        existed = [one.existed_after for one in own]
        middle = {name: statistics.median(getattr(one, name) for one in own) for name in ("evaluations", "reflections", "validation", "test")}
        lines.append(
            f"| {who} | {len(own)} | {statistics.median(existed):.0f} ({min(existed)}–{max(existed)}) | {middle['evaluations']:.0f} "
            f"| {middle['reflections']:.1f} | {middle['validation']:.3f} | {middle['test']:.3f} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--calls", type=int, default=1500)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    seeds = range(options.seeds)
    rounds = [one(seed) for seed in seeds for one in (
        lambda seed: ours(seed, options.calls), lambda seed: of_gepa(seed, options.calls), lambda seed: of_gepa(seed, options.calls, use_merge=True)
    )]  # fmt: skip
    print(table(rounds))
    for one in rounds:
        who = OURS if one.who == "ours" else one.who.replace("gepa", f"gepa {version('gepa')}", 1)
        record("calls until the returned prompt exists", one.existed_after, "calls", who)
        record("calls in all", one.evaluations, "calls", who)
        record("questions to the reflection model", one.reflections, "questions", who)
        record("score of the returned prompt on test items", one.test, "", who)
    if options.json:
        options.json.write_text(json.dumps([asdict(one) for one in rounds], indent=1) + "\n")


if __name__ == "__main__":
    main()
