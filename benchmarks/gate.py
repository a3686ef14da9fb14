"""How often the gate errs and how much it sees: `make bench-gate [ARGS="--json FILE --seeds 200"]`; about 5 minutes.

Belongs here: drawing runs, printing tables, the raw rounds as JSON. Not here: asserting anything (acceptance/test_error_rates.py). Real outcomes
of two prompts are looked for where LEARNING_TEST_DATA says.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.intervals import coverage
from benchmarks.null_task import intent_rows, null_rows
from benchmarks.record import OURS, left_out, record
from learning_pipelines.acceptance.alpha import TOTAL, spent
from learning_pipelines.acceptance.bounded_mean import p_value
from learning_pipelines.acceptance.gate import Verdict, decide
from learning_pipelines.acceptance.power import power, size
from learning_pipelines_tests.acceptance import prompt_outputs
from learning_pipelines_tests.acceptance.simulated import NULLS, growing, percentile_low, promotes, rolling, shuffled, sign_flip_p, weekly

PROJECT = Path(__file__).resolve().parents[1]
Rows = list[dict[str, Any]]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--json", type=Path, help="where the raw rounds go")
    arguments.add_argument("--seed", type=int, default=0, help="of everything drawn here")
    arguments.add_argument("--seeds", type=int, default=200, help="runs of the null task and of the shuffled labels")
    arguments.add_argument("--draws", type=int, default=100_000, help="simulated tests of each row (graded scores and agents: a fiftieth and a fifth of it)")
    chosen = arguments.parse_args()
    rng = lambda: np.random.default_rng(chosen.seed)  # noqa: E731  each part draws the same whichever parts run before it
    parts: dict[str, Callable[[], Rows]] = {
        "Level: 0/1 scores, no candidate is better": lambda: level(rng(), chosen.draws),
        "Level: graded scores, no candidate is better (α = .0125)": lambda: graded_level(rng(), chosen.draws // 50),
        "Twenty weeks, no candidate is better": lambda: weeks(rng(), chosen.draws // 5),
        f"Labels shuffled, {chosen.seeds} runs": lambda: shuffled_labels(rng(), chosen.seeds),
        "Null task: search on 50 validation items, 400 test items": lambda: null_rows(chosen.seeds),
        "Our search on five intents, 300 calls, 200 test items": lambda: intent_rows(chosen.seeds),
        "Power": lambda: powers(rng(), chosen.draws),
        "Test items for 80 % power": sizes,
        "Interval of the difference, level 97.5 % (1.25 % a side)": lambda: coverage(rng(), chosen.draws // 10),
        "Chain of thought against direct prompt, recorded outputs": real,
    }
    commit = revision()  # of what runs: another may be checked out meanwhile
    print(f"{machine()}; seed {chosen.seed}; git {commit}")
    kept = {}
    for title, part in parts.items():
        begun = time.monotonic()
        kept[title] = part()
        show(title, kept[title], time.monotonic() - begun)
        note(title, kept[title])
    if chosen.json:
        chosen.json.write_text(json.dumps({"git": commit, "seed": chosen.seed, "machine": machine(), "rounds": kept}, indent=1))


def level(rng: np.random.Generator, draws: int) -> Rows:
    """Promotions per test, at the worst of several shares of pairs that differ."""
    found = []
    for n in (20, 55, 100, 200, 600):
        row: dict[str, Any] = {"items": n}
        for k in (1, 2, 5):
            rates = []
            for differ in (0.05, 0.14, 0.3, 0.48, 0.8, 1.0):
                wins, losses, _ = rng.multinomial(n, [differ / 2, differ / 2, 1 - differ], draws).T
                rates.append(float(promotes(wins, losses, n, spent(k)).mean()))
            row |= {f"k={k} level": spent(k), f"k={k} promoted": max(rates), f"k={k} rounds": rates}
        found.append(row)
    return found


def graded_level(rng: np.random.Generator, draws: int) -> Rows:
    """The gate's test beside two that were not chosen."""
    found = []
    for name, null in NULLS.items():
        for n in (20, 60, 200):
            differences = [candidate - incumbent for incumbent, candidate in (null(rng, n) for _ in range(draws))]
            few = differences[:400]
            found.append(
                {
                    "scores": name,
                    "items": n,
                    "gate": float(np.mean([p_value(each, -1) <= spent(1) for each in differences])),
                    "sign flips": float(np.mean([sign_flip_p(each, rng) <= spent(1) for each in few])),
                    "bootstrap": float(np.mean([percentile_low(each, spent(1), rng, 800) > 0 for each in few])),
                }
            )
    return found


def weeks(rng: np.random.Generator, agents: int) -> Rows:
    windows = {
        "the same 60 items": growing(20, 60, 0),
        "60 items, 10 more a week": growing(20, 60, 10),
        "200 items, 20 replaced a week": rolling(20, 200, 20),
        "100 items, 50 replaced a week": rolling(20, 100, 50),
    }
    found = []
    for name, each in windows.items():
        drawn = weekly(rng, agents, each)
        found.append(
            {
                "test split": name,
                "agents": agents,
                "claimed a week, points": 100 * float(drawn.claimed.mean()),
                "ever promoted": float(drawn.promoted.any(axis=1).mean()),
                "asked": 0.05,
                "rounds": drawn.promoted.mean(axis=0).tolist(),
            }
        )
    return found


def shuffled_labels(rng: np.random.Generator, runs: int) -> Rows:
    found = []
    for classes, test in ((2, 55), (2, 200), (5, 200), (16, 200)):
        drawn = [shuffled(rng, classes=classes, validation=50, test=test, tried=100) for _ in range(runs)]
        evidence = [decide(before, after) for before, after, _ in drawn]
        found.append(
            {
                "classes": classes,
                "items": test,
                "claimed on validation": float(np.mean([claimed for _, _, claimed in drawn])),
                "gain on test": float(np.mean([each.difference for each in evidence])),
                "promoted": sum(each.verdict is Verdict.BETTER for each in evidence),
                "expected at most": runs * spent(1),
                "rounds": [each.p_value for each in evidence],
            }
        )
    return found


def powers(rng: np.random.Generator, draws: int) -> Rows:
    """By simulation and exactly, at the first test on fresh items and at the second."""
    found = []
    for what, n, effect, differ in (
        ("0.6 → 0.7, independent answers", 600, 0.10, 0.46),
        ("+10 points, 14 % disagree", 200, 0.10, 0.14),
        ("+30 points, half disagree", 54, 0.30, 0.50),
        ("+5 points, 20 % disagree", 600, 0.05, 0.20),
    ):
        row: dict[str, Any] = {"gain": what, "items": n}
        for k in (1, 2):
            wins, losses, _ = rng.multinomial(n, [(differ + effect) / 2, (differ - effect) / 2, 1 - differ], draws).T
            simulated = float(promotes(wins, losses, n, spent(k)).mean())
            row |= {f"k={k} simulated": simulated, f"k={k} exact": power(n, effect, spent(k), discordant=differ, min_effect=0.02)}
        found.append(row)
    return found


def sizes() -> Rows:
    return [
        {"gain planned for": effect, "differing pairs": max(0.5, effect)} | {f"k={k}": size(effect, spent(k), min_effect=0.02) for k in (1, 2, 5, 10, 20)}
        for effect in (0.5, 0.3, 0.2, 0.1, 0.05)
    ]


def real() -> Rows:
    if not prompt_outputs.DATA.is_file():
        left_out("chain of thought against direct prompt: bbh_prompt_ab_dev is not there (LEARNING_TEST_DATA names the data's folder)")
        return []
    shown = ("verdict", "n", "wins", "losses", "difference", "low", "high", "p_value", "p_worse")
    return [{"task": task} | {key: value for key, value in found.as_json().items() if key in shown} for task, found in prompt_outputs.verdicts().items()]


def note(title: str, rows: Rows) -> None:
    """Every number of the tables; of the null task ours and the peer's beside each other."""
    for row in rows:
        told = [str(value) for value in row.values() if isinstance(value, str)]
        if title.startswith("Null task"):
            who = OURS if row["search"] == "ours" else row["search"]
            for key, of in (("claim a gain", "null task, runs that claim a gain"), ("promoted by the gate", "null task, promoted by the gate")):
                record(of, row[key] / row["runs"], "", who)
            record("null task, gain claimed", row["claimed, points"], "points", who)
            record("null task, true gain", row["true, points"], "points", who)
            continue
        sizes = [f"{key} {row[key]}" for key in ("items", "classes", "gain planned for") if key in row]
        for key, value in row.items():
            if isinstance(value, int | float) and key not in ("items", "classes", "gain planned for"):
                record(f"{title.split(':')[0].split(',')[0]}: {', '.join([*told, *sizes])}: {key}", value, "points" if key.endswith("points") else "")


def show(title: str, rows: Rows, seconds: float) -> None:
    """A table of what is one figure; lists are for the JSON."""
    if not rows:
        return
    columns = list(dict.fromkeys(key for row in rows for key, value in row.items() if not isinstance(value, (list, dict))))
    print(f"\n{title} ({seconds:.0f} s)\n\n| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    for row in rows:
        print("| " + " | ".join(f"{value:.4g}" if isinstance(value := row.get(key, ""), float) else str(value) for key in columns) + " |", flush=True)


def revision() -> str:
    """The commit, with + where files differ from it."""
    asked = subprocess.run(["git", "describe", "--always", "--dirty=+"], cwd=PROJECT, capture_output=True, text=True)
    return asked.stdout.strip() or "unknown"


def machine() -> str:
    return f"{platform.machine()}, Python {platform.python_version()}, NumPy {np.__version__}, α = {TOTAL}"


if __name__ == "__main__":
    main()
