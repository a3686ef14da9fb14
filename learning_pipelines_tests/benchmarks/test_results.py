"""The registry of benchmarks, the form of their results, and the README's table of them.

Belongs here: what holds for all of them. Not here: what single ones compute (test_prompts.py, test_retrieval.py), speed.
"""

from __future__ import annotations

import importlib.util
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import __main__ as runner
from benchmarks import record, registry, table, targets
from benchmarks.record import OURS, PROJECT, RESULTS, Figure, Result
from benchmarks.registry import BENCHMARKS, Benchmark

MADE = Result("few-shot", "full", [], "abc", "2026-11-26", 7, 60.0, {"cores": 2}, [0.01, 0.02], [])
ONE = Benchmark("few-shot", "looks up", "--sizes 10", (1, 2), (r"lookup, p\d+",), beside="a peer")


def kept() -> list[Path]:
    return sorted(RESULTS.rglob("*.json"))


def test_the_readme_shows_the_table_that_the_results_give() -> None:
    text = table.README.read_text(encoding="utf-8")
    assert text == table.placed(text), "make bench-table"


def test_every_benchmark_is_a_module_that_runs_and_every_module_that_runs_is_a_benchmark() -> None:
    for one in BENCHMARKS.values():
        assert importlib.util.find_spec(one.module) is not None, one.name
    said = {path.stem.replace("_", "-"): path.read_text(encoding="utf-8").split('"""')[1] for path in (PROJECT / "benchmarks").glob("*.py")}
    assert {name for name, text in said.items() if re.search(rf"make bench-{name}\b", text)} == {*BENCHMARKS, "table"}


def test_commands_in_texts_name_benchmarks_that_there_are() -> None:
    texts = [PROJECT / "README.md", *(PROJECT / "docs").glob("*.md"), *(PROJECT / "learning_pipelines").rglob("*.py"), *(PROJECT / "benchmarks").glob("*.py")]
    named = {(path.name, name) for path in texts for name in re.findall(r"make bench-([a-z-]+)", path.read_text(encoding="utf-8"))}
    assert named
    assert {one for one in named if one[1] not in {*BENCHMARKS, "table", "list"}} == set()
    assert not [path for path in texts if "make benchmark" in path.read_text(encoding="utf-8")]


def test_results_are_of_benchmarks_that_there_are_and_say_where_they_come_from() -> None:
    for path in kept():
        result = record.read(path)
        assert path == record.path_of(result.benchmark, result.size), path
        assert re.fullmatch(r"commit [0-9a-f]{10}\+?", result.git) and re.fullmatch(r"\d{4}-\d\d-\d\d", result.date), path
        assert set(result.machine) == {"cores", "cpu", "memory_gb", "python", "system"} and len(result.busy) == 2, path
        assert result.figures and all(figure.rounds for figure in result.figures), path


def test_every_headline_is_in_a_result_in_full() -> None:
    for path in kept():
        result = record.read(path)
        if result.size == "full":
            for pattern in BENCHMARKS[result.benchmark].headlines:
                assert any(re.fullmatch(pattern, figure.name) for figure in result.figures), (path, pattern)


def test_peers_are_called_by_the_versions_that_are_pinned() -> None:
    pins = "".join(path.read_text(encoding="utf-8") for path in PROJECT.glob("requirements-peer*.txt"))
    assert f"mlflow=={targets.VERSIONS[targets.PEERS[0]].removeprefix('MLflow ')}" in pins
    assert f"arize-phoenix[pg]=={targets.VERSIONS[targets.PEERS[1]].removeprefix('Phoenix ')}" in pins
    for path in (PROJECT / "benchmarks").glob("*.py"):
        for name, version in re.findall(r"\b(gbstats|dspy|gepa) (\d+\.\d+\.\d+)", path.read_text(encoding="utf-8")):
            assert f"{name}=={version}" in pins, (path.name, name, version)


def test_make_installs_the_peers_that_a_benchmark_is_run_beside() -> None:
    makefile = (PROJECT / "Makefile").read_text(encoding="utf-8")
    for one in BENCHMARKS.values():
        rule = re.search(rf"^bench-{one.name}:(.*)$", makefile, re.MULTILINE)
        asked = set(re.findall(r"peer-(servers|optimizers|experiments)", rule[1])) if rule else set()
        assert asked == set(one.peers), one.name
        assert {f"peer-{peer}" for peer in one.peers} <= set(re.search(r"^bench:(.*)$", makefile, re.MULTILINE)[1].split())  # type: ignore[index]


def test_rounds_of_one_figure_come_together_and_survive_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(record.FIGURES, str(tmp_path / "figures"))
    for value in (1.0, 3.0, 2.0):
        record.record("lookup, p50", value, "ms")
        record.record("lookup, p50", 10 * value, "ms", "peer 1.0")
    record.record_numbers("search", {"p95_ms": 4, "own_cpu_ms": 1.5, "recall@10": 0.99, "exact": True})
    record.left_out("the page: no browser")
    figures, missing = record.collected((tmp_path / "figures").read_text().splitlines())
    assert missing == ["the page: no browser"]
    assert [(one.name, one.who, one.unit) for one in figures[2:]] == [
        ("search, p95", OURS, "ms"), ("search, own", OURS, "ms of a core"), ("search, recall@10", OURS, ""),
    ]  # fmt: skip
    made = Result(**{**vars(MADE), "figures": figures})
    record.write(made, tmp_path / "one.json")
    assert record.read(tmp_path / "one.json") == made
    assert [one.rounds for one in made.figures[:2]] == [[1.0, 3.0, 2.0], [10.0, 30.0, 20.0]]


def test_what_is_no_number_is_no_figure() -> None:
    with pytest.raises(ValueError, match="not measured"):
        record.record("lookup, p50", float("nan"), "ms")


def test_a_figure_in_two_units_is_refused() -> None:
    lines = [json.dumps({"name": "lookup", "who": OURS, "unit": unit, "value": 1}) for unit in ("ms", "s")]
    with pytest.raises(ValueError, match="'ms' and in 's'"):
        record.collected(lines)


def test_a_row_has_medians_spread_and_the_ratio_to_the_peer() -> None:
    figures = [Figure("lookup, p50", OURS, "ms", [1.0, 4.0, 2.0]), Figure("lookup, p50", "peer 1.0", "ms", [8.0]), Figure("other", OURS, "", [1.0])]
    rows = table._rows(ONE, Result(**{**vars(MADE), "figures": figures}))
    assert rows == ["| few-shot | lookup, p50 | 2 ms (1–4, 3 rounds) | peer 1.0: 8 ms | 0.25 | 2 cores, quiet, 2026-11-26, abc, seed 7 |"]


def test_differences_and_what_is_not_above_zero_are_not_divided() -> None:
    assert table.divided(Figure("x", OURS, "s", [3.0]), Figure("x", "peer", "s", [2.0])) == "1.5"
    assert table.divided(Figure("x", OURS, "points", [3.0]), Figure("x", "peer", "points", [2.0])) == ""
    assert table.divided(Figure("x", OURS, "", [0.0]), Figure("x", "peer", "", [2.0])) == ""
    assert table.divided(Figure("x", OURS, "s", [3.0]), Figure("x", "peer", "s", [-2.0])) == ""


def test_what_was_not_run_small_or_beside_other_work_is_said() -> None:
    assert table._rows(ONE, None) == ["| few-shot | looks up | not run on this version | a peer | | |"]
    loud = Result(**{**vars(MADE), "size": "quick", "busy": [0.02, 0.4]})
    assert table.about(ONE, loud) == "**quick**, 2 cores, **busy** (2%, 40%), 2026-11-26, abc, seed 7"
    beside = Result(**{**vars(MADE), "busy": [0.02, 0.04], "yielding": [0.9, 0.0]})
    assert table.about(ONE, beside) == "2 cores, quiet but for niced work (90%, 0%), 2026-11-26, abc, seed 7"
    assert table.about(replace(ONE, exact=True), loud) == "**quick**, counts, 2026-11-26, abc, seed 7"


def test_work_that_makes_way_is_told_from_other_work(monkeypatch: pytest.MonkeyPatch) -> None:
    import psutil

    shares = psutil.cpu_times(percpu=False)._replace(**dict.fromkeys(psutil.cpu_times()._fields, 0.0))
    monkeypatch.setattr(psutil, "cpu_times_percent", lambda seconds: shares._replace(user=5.0, system=2.0, nice=60.0, iowait=3.0, idle=30.0))
    assert record.in_use() == (0.07, 0.6)


def test_a_result_in_full_goes_before_a_small_one(tmp_path: Path) -> None:
    for size in ("quick", "full"):
        record.write(Result(**{**vars(MADE), "size": size}), record.path_of("few-shot", size, tmp_path))
    assert record.newest("few-shot", tmp_path).size == "full"  # type: ignore[union-attr]
    assert record.newest("gate", tmp_path) is None


def test_a_benchmark_that_fails_leaves_no_result(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(record, "in_use", lambda: (0.0, 0.0))
    monkeypatch.setattr(record, "path_of", lambda name, size: tmp_path / f"{name}.json")
    assert runner.run(Benchmark("not-there", "nothing", "", (1, 1), ()), "full", []) == 1
    assert list(tmp_path.iterdir()) == []
    assert "no result is kept" in capfd.readouterr().err


def test_what_a_benchmark_needs_and_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LEARNING_TEST_DATA", str(tmp_path))
    monkeypatch.setattr(registry, "PROJECT", tmp_path)
    one = Benchmark("x", "y", "", (1, 1), (), peers=("servers",), data=("tatqa",))
    assert one.missing() == "the peers' environment is not installed: make peer-servers"
    assert "tatqa are not there" in str(one.missing(peers=False))


def test_the_seed_is_read_from_the_arguments_unless_they_count() -> None:
    assert BENCHMARKS["loop"].seed_of(["--seed", "9"]) == 9
    assert BENCHMARKS["prompts"].seed_of(["--seeds", "2", "3"]) == 2
    assert BENCHMARKS["gate"].seed_of(["--seeds", "200"]) == 0
    assert BENCHMARKS["datasets"].seed_of([]) == 1
