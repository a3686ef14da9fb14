"""How soon and how seldom wrong exact comparisons are: `make bench-experiments [ARGS="--json FILE --runs 1000"]`; about 10 minutes.

Belongs here: the parts, printing tables, raw rows as JSON. Not here: the contest (experiments_contest.py), real tests (experiments_upworthy.py, looked for
where LEARNING_TEST_DATA says), asserting anything (experiments/test_exact_error_rates.py).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from benchmarks import experiments_upworthy as upworthy
from benchmarks.experiments_contest import EVERY, HORIZON, PEER, contest
from benchmarks.gate import revision
from benchmarks.record import OURS, left_out, record
from learning_pipelines_tests.experiments.streams import Stream, level, told, told_in_order_of_arrival
from learning_pipelines_tests.experiments.test_exact_error_rates import NULL

Rows = list[dict[str, Any]]
EVENTS = 4000
EFFECTS = {
    "-10 points, 95 : 5, from 80 %": Stream(level(0.8), shares=(0.95, 0.05), effect=-0.1),
    "-10 points, 95 : 5, from 50 %": Stream(level(0.5), shares=(0.95, 0.05), effect=-0.1),
    "-10 points, canary at 5 % (control 5 %), from 80 %": Stream(level(0.8), effect=-0.1),
    "-10 points, canary at 5 % (control 5 %), from 50 %": Stream(level(0.5), effect=-0.1),
    "+1 point, from 2 %": Stream(level(0.02), effect=0.01),
    "+2.5 points, from 50 %": Stream(level(0.5), effect=0.025),
    "+20 points, from 50 %": Stream(level(0.5), effect=0.2),
    "+40 points, from 50 %": Stream(level(0.5), effect=0.4),
    "+0.4 stars, from 3": Stream(level(0.5), stars=True, effect=0.1),
}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--json", type=Path, help="where the raw rows go")
    arguments.add_argument("--seed", type=int, default=0, help="of everything drawn here")
    arguments.add_argument("--runs", type=int, default=1000, help="simulations of each row")
    arguments.add_argument("--every", type=int, default=1, help="replay each so-manyth of Upworthy's tests only")
    chosen = arguments.parse_args()
    rng = lambda: np.random.default_rng(chosen.seed)  # noqa: E731  each part draws the same whichever parts run before it
    parts: dict[str, Callable[[], Rows]] = {
        "Values per arm until told (50 %, two-sided α = 5 %, a look every 100 values per arm, at most 5,000)": lambda: [
            *contest(rng(), chosen.runs, (0.0,)), *contest(rng(), chosen.runs // 2, (0.05, 0.1)),
        ],
        f"Equal arms told apart (a look after every event, {EVENTS:,} events)": lambda: nulls(rng(), chosen.runs),
        "Events until told (α = 5 %, a look after every event)": lambda: effects(rng(), chosen.runs // 5),
    }
    if upworthy.FILE.exists():
        found = upworthy.tests()
        some = dict(list(found.items())[:: chosen.every])
        parts |= {
            "Upworthy: sample ratio, p < .001": lambda: upworthy.sample_ratios(found),
            "Upworthy: replayed events against one look at the totals": lambda: upworthy.verdicts(upworthy.replayed(some, chosen.seed)),
        }
    else:
        left_out("Upworthy: its file is not there (LEARNING_TEST_DATA names the data's folder)")
    if not PEER.exists():
        left_out("gbstats: `make peer-experiments` installs it")
    about = {"git": revision(), "seed": chosen.seed, "machine": f"{platform.machine()}, Python {platform.python_version()}, NumPy {np.__version__}"}
    print("; ".join(f"{name} {value}" for name, value in about.items()))
    kept = {}
    for title, part in parts.items():
        begun = time.monotonic()
        kept[title] = part()
        show(title, kept[title], time.monotonic() - begun)
        note(kept[title])
    if chosen.json:
        chosen.json.write_text(json.dumps(about | {"rows": kept}, indent=1))


def note(rows: Rows) -> None:
    """Runs of the contest one by one; of the other tables every number."""
    for row in rows:
        if "looks" in row:
            who = OURS if row["test"] == "exact, arms alternate" else row["test"].replace("exact, ", "ours, ")
            if not row["effect"]:
                record("equal arms told apart, looks every 100 values", row["told"], "", who)
                continue
            for look in row["looks"]:
                record(f"values per arm until {100 * row['effect']:+.0f} points are told, each run", HORIZON if look is None else look * EVERY, "values", who)
            record(f"values per arm until {100 * row['effect']:+.0f} points are told, mean", row["values per arm"], "values", who)
            continue
        told_of = ", ".join(str(value) for value in row.values() if isinstance(value, str))
        for key, value in row.items():
            if isinstance(value, int | float) and key != "runs":
                record(f"{told_of}: {key}", value, "events" if "events" in key or "traffic" in key else "")


def nulls(rng: np.random.Generator, runs: int) -> Rows:
    rows = []
    for name, stream in {**NULL, "rare (2 %)": Stream(level(0.02))}.items():
        longer = replace(stream, n=EVENTS)
        wrong = sum(told(longer, rng).event is not None for _ in range(runs)) / runs
        comparable = stream.shares == (0.5, 0.5) and stream.answers == 1
        paired = sum(told_in_order_of_arrival(longer, rng) for _ in range(runs // 4)) / (runs // 4) if comparable else None
        rows.append({"stream": name, "runs": runs, "told apart": wrong, "pairs in the order of arrival": paired})
    return rows


def effects(rng: np.random.Generator, runs: int) -> Rows:
    """`events`: with a value, of both arms together; `of traffic`: how many such events there were in all, whoever takes part."""
    rows = []
    for name, stream in EFFECTS.items():
        longer = replace(stream, n=80_000 if abs(stream.effect) < 0.05 else 20_000)
        found = [told(longer, rng) for _ in range(runs)]
        events = np.array([longer.n if one.event is None else one.event for one in found])
        traffic = 10 if "canary" in name else 1
        rows.append({
            "effect": name, "told the right way": sum(one.direction == np.sign(stream.effect) for one in found) / runs,
            "events, median": int(np.median(events)), "90 of 100 within": int(np.quantile(events, 0.9)), "of traffic, median": int(np.median(events)) * traffic,
            "of traffic, 90 of 100": int(np.quantile(events, 0.9)) * traffic,
        })  # fmt: skip
    return rows


def show(title: str, rows: Rows, seconds: float) -> None:
    names = [name for name in rows[0] if name != "looks"]
    print(f"\n## {title} ({seconds:.0f} s)\n\n| {' | '.join(names)} |\n|{'---|' * len(names)}")
    for row in rows:
        print(f"| {' | '.join(_cell(name, row[name]) for name in names)} |", flush=True)


def _cell(name: str, value: Any) -> str:
    if value is None:
        return "–"
    if name == "effect" and isinstance(value, float):
        return f"{100 * value:+.0f} points"
    return f"{100 * value:.1f} %" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)


if __name__ == "__main__":
    main()
