"""Real headline tests of Upworthy (J. N. Matias et al., Scientific Data 8 (2021) 195): sample ratio, and exact comparisons of replayed events.

Belongs here: reading the archive, replaying it. Not here: printing (experiments.py). The archive has totals only: each test's views are replayed in an
order of chance (seeded), the first headline is the control, every view is a unit.
"""

from __future__ import annotations

import csv
import gzip
import math
import os
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from learning_pipelines.experiments import multiplicity
from learning_pipelines.experiments.exact import ExactState
from learning_pipelines.experiments.fixed_horizon import welch
from learning_pipelines.experiments.sample_ratio import ALPHA as MISMATCH
from learning_pipelines.experiments.sample_ratio import Counts, chi_square_p, sequential_p
from learning_pipelines.experiments.unit_sums import UnitSums

DATA = Path(os.environ.get("LEARNING_TEST_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")
FILE = DATA / "upworthy_ab_dev" / "packages.csv.gz"
LEVEL = 0.05


def tests() -> dict[str, tuple[bool, list[tuple[int, int]]]]:
    """Test → whether it ran in the broken weeks (201325 to 201401), and (views, clicks) of its headlines, at least two, in the order of the file."""
    found: dict[str, list[dict[str, str]]] = defaultdict(list)
    with gzip.open(FILE, "rt", encoding="utf-8", newline="") as rows:
        for row in csv.DictReader(rows):
            found[row["clickability_test_id"]].append(row)
    return {
        test: (201325 <= int(float(rows[0]["test_week"])) <= 201401, [(int(row["impressions"]), int(row["clicks"])) for row in rows])
        for test, rows in found.items() if len(rows) > 1
    }  # fmt: skip


def sample_ratios(found: dict[str, tuple[bool, list[tuple[int, int]]]]) -> list[dict[str, Any]]:
    """Share of the tests whose views per headline do not fit equal shares, at p < .001, in the broken weeks and elsewhere."""
    rows = []
    for name, check in (("one look (chi-square)", chi_square_p), ("at any time", sequential_p)):
        for broken in (True, False):
            ps = [check([Counts({str(n): views for n, (views, _) in enumerate(arms)}, {str(n): 1.0 for n in range(len(arms))})])
                  for weeks, arms in found.values() if weeks == broken]  # fmt: skip
            rows.append({"check": name, "weeks": "broken" if broken else "other", "tests": len(ps), "fires": sum(p < MISMATCH for p in ps) / len(ps)})
    return rows


def replayed(found: dict[str, tuple[bool, list[tuple[int, int]]]], seed: int) -> list[dict[str, Any]]:
    """Per comparison with a control what the exact test tells while events are replayed (1, -1, 0: nothing), after which share of them, and what one
    look at the totals tells; both at 5 % for all comparisons of a test together (Bonferroni)."""
    rows = []
    for number, (test, (broken, arms)) in enumerate(found.items()):
        rng, level = np.random.default_rng((seed, number)), multiplicity.each(LEVEL, len(arms) - 1)
        order = rng.permutation(np.repeat(np.arange(len(arms)), [views for views, _ in arms]))
        clicked = np.zeros(len(order))
        for arm, (_, clicks) in enumerate(arms):
            clicked[rng.choice(np.flatnonzero(order == arm), clicks, replace=False)] = 1.0
        for arm in range(1, len(arms)):
            pair = (order == 0) | (order == arm)
            made, capital = ExactState(steps=1).add(order[pair] == arm, clicked[pair])
            over = np.argwhere(capital > math.log(2 / level))
            one_look = welch(*(UnitSums.of_totals(views, clicks, clicks) for views, clicks in (arms[0], arms[arm])), metric="clicks", variant="b", alpha=level)
            rows.append({
                "test": test, "broken": broken, "exact": 1 - 2 * int(over[0, 1]) if len(over) else 0,
                "after": float((made.last[over[0, 0]] + 1) / pair.sum()) if len(over) else None,
                "one look": int(np.sign(one_look.difference or 0.0)) if one_look.conclusive else 0,
            })  # fmt: skip
    return rows


def verdicts(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The comparisons counted, by weeks."""
    found = []
    for name, mine in (("broken", [row for row in rows if row["broken"]]), ("other", [row for row in rows if not row["broken"]])):
        if not mine:
            continue
        after = [row["after"] for row in mine if row["exact"]]
        found.append({
            "weeks": name, "tests": len({row["test"] for row in mine}), "comparisons": len(mine),
            "tests in which something is told": len({row["test"] for row in mine if row["exact"]}) / len({row["test"] for row in mine}),
            "told at any time": sum(row["exact"] != 0 for row in mine) / len(mine), "told by one look": sum(row["one look"] != 0 for row in mine) / len(mine),
            "opposite": sum(row["exact"] * row["one look"] < 0 for row in mine),
            "told after (median share of the views)": float(np.median(after)) if after else None,
        })  # fmt: skip
    return found
