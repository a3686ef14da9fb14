"""The task on which nothing can be won: what searches claim, and how many of their winners the gate promotes.

Belongs here: our search and gepa (in an environment of its own), both followed by the gate. Not here: the task (search_tasks.py).
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np

from learning_pipelines.acceptance.gate import Verdict, decide
from learning_pipelines_tests.benchmarks.search_tasks import CALLS, null_questions, null_score

PROJECT = Path(__file__).resolve().parents[2]


def null_search(seeds: int) -> list[dict[str, Any]]:
    """Best of as many prompts as 1,500 calls can score on the validation split: no search overfits it more."""
    return [summary("best of 30 on validation", [best_of(seed) for seed in range(seeds)])]


def best_of(seed: int) -> dict[str, Any]:
    validation, test = null_questions("validation"), null_questions("test")
    prompts = ["seed", *(f"variant {number}" for number in range(1, CALLS // len(validation)))]
    means = [sum(null_score(seed, question, prompt) for question in validation) / len(validation) for prompt in prompts]
    best = prompts[int(np.argmax(means))]
    before, after = ([null_score(seed, question, prompt) for question in test] for prompt in ("seed", best))
    return {"seed": seed, "claimed": max(means) - means[0], "before": before, "after": after}


def null_gepa(python: Path, seeds: int) -> list[dict[str, Any]]:
    rounds = run_gepa(python, "null", seeds)
    return [summary("gepa 0.1.4", rounds)] if rounds else []


def run_gepa(python: Path, task: str, seeds: int) -> list[dict[str, Any]]:
    """One round per seed; [] where there is no such Python."""
    if not python.is_file():
        print(f"\ngepa is left out: {python} is not there (make peer-optimizers, or --gepa PYTHON).")
        return []
    command = [str(python), "-m", "learning_pipelines_tests.benchmarks.gepa_tasks", task, str(seeds)]
    done = subprocess.run(command, cwd=PROJECT, env=os.environ | {"PYTHONPATH": str(PROJECT)}, stdout=subprocess.PIPE, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def summary(name: str, rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """Each round: `claimed` gain on validation, test scores `before` and `after`."""
    evidence = [decide(each["before"], each["after"]) for each in rounds]
    pairs = zip(rounds, evidence, strict=True)
    return {
        "search": name,
        "runs": len(rounds),
        "claim a gain": sum(each["claimed"] > 0 for each in rounds),
        "claimed, points": 100 * float(np.mean([each["claimed"] for each in rounds])),
        "true, points": 100 * float(np.mean([each.difference for each in evidence])),
        "promoted by the gate": sum(each.verdict is Verdict.BETTER for each in evidence),
        "called worse": sum(each.verdict is Verdict.WORSE for each in evidence),
        "rounds": [{"seed": each["seed"], "claimed": each["claimed"], "p": found.p_value, "verdict": found.verdict} for each, found in pairs],
    }
