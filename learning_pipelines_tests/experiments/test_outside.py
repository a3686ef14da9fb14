"""Outside data: what is left out, which looks count, several treatments, totals, and refusals that name line and field.

Belongs here: files and documents. Not here: the verb (cli/test_experiments_analyze.py), error rates (test_exact_error_rates.py).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import norm

from learning_pipelines.errors import BadInput
from learning_pipelines.experiments.outside import analyzed
from learning_pipelines.experiments.outside_files import Events, Scale, read

E = {"unit": "u1", "variant": "old", "value": 1, "at": "2026-03-01T09:00:00Z"}
T = {"variant": "old", "n": 100, "sum": 40, "sum_squares": 40}


def drawn(n: int, rates: dict[str, float], seed: int = 1) -> list[dict[str, Any]]:
    """Binary events of n units."""
    rng = np.random.default_rng(seed)
    names = [*rates, *rng.choice(list(rates), n - len(rates)).tolist()]
    return [{"unit": number, "variant": name, "value": int(rng.random() < rates[name]), "at": number} for number, name in enumerate(names)]


def file_of(folder: Path, rows: Iterable[dict[str, Any] | str]) -> Path:
    path = folder / "outside.jsonl"
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows), encoding="utf-8")
    return path


def analyze(folder: Path, rows: Iterable[dict[str, Any] | str], scale: Scale = "binary", weights: list[float] | None = None) -> dict[str, Any]:
    return analyzed(read(file_of(folder, rows), scale), scale, weights)


def test_the_first_conclusive_event_is_where_a_file_cut_there_becomes_conclusive(tmp_path: Path) -> None:
    rows = drawn(1500, {"old": 0.5, "new": 0.7})
    whole = analyze(tmp_path, rows)
    first = whole["first_conclusive_event"]
    assert 50 < first < 1000
    assert whole["conclusive"]
    assert analyze(tmp_path, rows[:first])["conclusive"]
    assert not analyze(tmp_path, rows[: first - 1])["conclusive"]
    assert set(whole) == {"arms", "difference", "interval", "conclusive", "first_conclusive_event", "srm_p", "comparisons", "events", "left_out"}
    old, new = whole["arms"]
    assert (old["variant"], old["n"] + new["n"]) == ("old", 1500)
    assert whole["difference"] == pytest.approx(new["mean"] - old["mean"], abs=1e-12)
    assert whole["interval"][0] < 0.2 < whole["interval"][1]


def test_units_count_once_and_not_at_all_if_they_were_in_two_variants(tmp_path: Path) -> None:
    rows = drawn(400, {"old": 0.5, "new": 0.5})
    noise = [{**rows[7], "value": 1 - rows[7]["value"]}, {**rows[9], "variant": "old" if rows[9]["variant"] == "new" else "new"}]
    noisy = analyze(tmp_path, [*rows, *[{**one, "at": 400} for one in noise]])
    assert noisy["left_out"] == {"units_in_two_variants": 1, "further_values": 1}
    assert noisy["events"] == 402
    clean = analyze(tmp_path, [row for row in rows if row["unit"] != 9])
    same = ("arms", "difference", "interval", "srm_p")
    assert {name: noisy[name] for name in same} == {name: clean[name] for name in same}


def test_several_treatments_are_compared_with_the_control_at_a_share_of_the_error(tmp_path: Path) -> None:
    found = analyze(tmp_path, drawn(3000, {"old": 0.5, "same": 0.5, "better": 0.75}))
    assert [(one["variant"], one["alpha"], one["conclusive"]) for one in found["comparisons"]] == [("same", 0.025, False), ("better", 0.025, True)]
    assert (found["difference"], found["conclusive"]) == (found["comparisons"][0]["difference"], False)


def test_continuous_values_are_clustered_by_unit(tmp_path: Path) -> None:
    """Each unit repeats its own value 20 times: that is no more evidence than saying it once."""
    rng = np.random.default_rng(2)
    rows = [{"unit": u, "variant": "new" if u % 2 else "old", "value": float(rng.lognormal(0.25 * (u % 2)))} for u in range(800)]
    once = analyze(tmp_path, rows, "continuous")
    often = analyze(tmp_path, [row for _ in range(20) for row in rows], "continuous")
    assert often["interval"] == pytest.approx(once["interval"], abs=1e-9)
    assert often["first_conclusive_event"] == once["first_conclusive_event"]
    assert often["arms"][0]["n"] == 20 * once["arms"][0]["n"]


def test_bounded_values_of_any_fineness_are_taken(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    rows = [{"unit": u, "variant": "new" if u % 2 else "old", "value": float(rng.beta(2 + 2 * (u % 2), 2))} for u in range(2000)]
    found = analyze(tmp_path, rows, "bounded")
    assert found["conclusive"]
    assert found["difference"] == pytest.approx(np.mean([r["value"] for r in rows[1::2]]) - np.mean([r["value"] for r in rows[::2]]), abs=1e-12)


def test_totals_are_looked_at_once(tmp_path: Path) -> None:
    found = analyze(tmp_path, [{**T, "n": 1000, "sum": 400, "sum_squares": 400}, {"variant": "new", "n": 1000, "sum": 470, "sum_squares": 470}])
    radius = norm.isf(0.025) * math.sqrt((0.4 * 0.6 + 0.47 * 0.53) / 1000)
    assert found["interval"] == pytest.approx([0.07 - radius, 0.07 + radius], abs=1e-4)
    assert (found["conclusive"], found["first_conclusive_event"], found["srm_p"]) == (True, None, 1.0)


def test_a_sample_that_does_not_fit_its_shares_is_told(tmp_path: Path) -> None:
    rows = drawn(4000, {"old": 0.5, "new": 0.5})
    assert analyze(tmp_path, rows)["srm_p"] > 0.01
    assert analyze(tmp_path, rows, weights=[0.6, 0.4])["srm_p"] < 1e-6
    totals = [{**T, "n": 5000, "sum": 1, "sum_squares": 1}, {"variant": "new", "n": 5500, "sum": 1, "sum_squares": 1}]
    assert analyze(tmp_path, totals)["srm_p"] < 1e-5


@pytest.mark.parametrize(
    ("scale", "rows", "said"),
    [
        ("binary", [], "is empty"),
        ("binary", [E, {**E, "unit": "u2"}], "one variant only: 'old'"),
        ("binary", [E, T], "Line 2, n: stands in a file whose first line is an event"),
        ("binary", [T, E], "Line 2, unit: stands in a file whose first line is the totals"),
        ("binary", [E | T], "Line 1, unit: stands beside n"),
        ("binary", [E, {**E, "value": 0.5}], "Line 2, value: is 0.5, and a binary value is 0 or 1"),
        ("bounded", [E, {**E, "value": 4}], "Line 2, value: is 4, and a bounded value lies between 0 and 1. Scale it"),
        ("continuous", [E, {**E, "value": None}], "Line 2, value: must be a number"),
        ("continuous", [E, '{"unit": "u", "variant": "new", "value": NaN}'], "Line 2 is no JSON"),
        ("continuous", [E, "[1]"], "Line 2 is no JSON object"),
        ("binary", [E, {**E, "variant": " "}], "Line 2, variant: must be the name"),
        ("binary", [E, {"variant": "new", "value": 1}], "Line 2, unit: is missing"),
        ("binary", [E, {**E, "at": "yesterday"}], "Line 2, at: must be a time"),
        ("binary", [E, {**E, "at": "2026-03-01T08:59:59Z"}], "Line 2, at: is earlier than in line 1. Looks follow the order"),
        ("binary", [T, T], "Line 2, variant: 'old' has its totals in line 1"),
        ("binary", [{**T, "n": 1}], "Line 1, n: must be a whole number, at least 2"),
        ("binary", [{**T, "sum_squares": 39}], "Line 1, sum_squares: must equal sum"),
        ("bounded", [{**T, "sum": 101}], "Line 1, sum: must lie between 0 and n (100)"),
        ("bounded", [{**T, "sum_squares": 15}], "Line 1, sum_squares: is too small: 100 values that sum to 40 have at least 16"),
        ("bounded", [{**T, "sum_squares": 41}], "Line 1, sum_squares: is larger than sum"),
        ("continuous", [{**T, "sum": 400}], "Line 1, sum_squares: is too small"),
    ],
)
def test_what_cannot_be_analyzed_is_named_with_its_line_and_field(scale: Scale, rows: list[Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput) as refused:
        read(file_of(tmp_path, rows), scale)
    assert said in str(refused.value)


@pytest.mark.parametrize(("weights", "said"), [([1.0], "1 weights for 2 variants"), ([0.5, 0.4], "sum to 0.9"), ([1.5, -0.5], "sum to 1")])
def test_weights_that_do_not_fit_are_refused(weights: list[float], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        analyzed(Events(["old", "new"], ["a", "b"], [0, 1], [0.0, 1.0]), "binary", weights)
