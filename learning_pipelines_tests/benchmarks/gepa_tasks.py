"""gepa on the made-up tasks, one JSON object per seed: run by the Python of .venv-peer-optimizers, which has gepa and nothing of this project.

Belongs here: gepa's adapter and its defaults. Not here: the tasks (search_tasks.py), our own search.

    .venv-peer-optimizers/bin/python -m learning_pipelines_tests.benchmarks.gepa_tasks null 200
"""

from __future__ import annotations

import contextlib
import io
import json
import random
import re
import sys
import time
from typing import Any

import gepa
from gepa.core.adapter import EvaluationBatch

from learning_pipelines_tests.benchmarks.search_tasks import (
    CALLS,
    Question,
    feedback,
    missed,
    null_questions,
    null_score,
    rewritten,
    rule_questions,
    rule_score,
)  # fmt: skip


class Adapter:
    """Scores a candidate's one text and hands on what it missed; counts the calls."""

    propose_new_texts = None

    def __init__(self, seed: int | None) -> None:
        """`seed`: of the null task; None for the rule task."""
        self.seed, self.calls = seed, 0

    def evaluate(self, batch: list[Question], candidate: dict[str, str], capture_traces: bool = False) -> Any:
        self.calls += len(batch)
        if self.seed is not None:
            found = [(null_score(self.seed, question, candidate["prompt"]), "bad") for question in batch]
        else:
            found = [(score, feedback(lacks)) for score, lacks in (rule_score(question, candidate["prompt"]) for question in batch)]
        scores = [score for score, _ in found]
        return EvaluationBatch(outputs=scores, scores=scores, trajectories=[said for _, said in found] if capture_traces else None)

    def make_reflective_dataset(self, candidate: dict[str, str], evaluated: Any, components: list[str]) -> dict[str, list[dict[str, str]]]:
        return {name: [{"Inputs": "x", "Generated Outputs": "y", "Feedback": said} for said in evaluated.trajectories] for name in components}


def optimize(adapter: Adapter, splits: dict[str, list[Question]], start: str, model: Any, seed: int) -> Any:
    with contextlib.redirect_stdout(io.StringIO()):
        return gepa.optimize(
            seed_candidate={"prompt": start}, trainset=splits["train"], valset=splits["validation"], adapter=adapter, reflection_lm=model,
            max_metric_calls=CALLS, seed=seed, display_progress_bar=False,
        )  # fmt: skip


def null(seed: int) -> dict[str, Any]:
    """What gepa claims where nothing can be won, and the test scores of where it began and of what it returns."""
    asked = [0]

    def model(prompt: Any) -> str:
        asked[0] += 1
        return f"```\nvariant {asked[0]}\n```"

    splits = {split: null_questions(split) for split in ("train", "validation", "test")}
    found = optimize(Adapter(seed), splits, "seed", model, seed)
    first, best = found.val_aggregate_scores[0], max(found.val_aggregate_scores)
    before, after = ([null_score(seed, question, prompt) for question in splits["test"]] for prompt in ("seed", found.best_candidate["prompt"]))
    return {"claimed": best - first, "reflections": asked[0], "candidates": len(found.candidates), "before": before, "after": after}


def rules(seed: int) -> dict[str, Any]:
    """Metric calls until the returned candidate existed, and what it scores on the test split."""
    splits, draw, asked = rule_questions(seed), random.Random(seed), [0]
    adapter = Adapter(None)

    def model(prompt: Any) -> str:
        asked[0] += 1
        text = str(prompt)
        current = re.findall(r"R\d+", text.split("```")[1] if "```" in text else "")
        return f"```\n{rewritten(draw, current, missed(text))}\n```"

    begun = time.perf_counter()
    found = optimize(adapter, splits, "Rules:", model, seed)
    best = found.best_idx
    score = sum(rule_score(question, found.best_candidate["prompt"])[0] for question in splits["test"]) / len(splits["test"])
    return {
        "calls_until_found": found.discovery_eval_counts[best], "validation": found.val_aggregate_scores[best], "test": score, "calls": adapter.calls,
        "reflections": asked[0], "seconds": time.perf_counter() - begun,
    }  # fmt: skip


def main() -> None:
    task, seeds = {"null": null, "rules": rules}[sys.argv[1]], int(sys.argv[2])
    for seed in range(seeds):
        print(json.dumps({"seed": seed, **task(seed)}), flush=True)


if __name__ == "__main__":
    main()
