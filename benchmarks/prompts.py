"""Prompt optimization on real tasks beside the peers, same model, same seeds, every call counted: `make bench-prompts [ARGS="--seeds 0 --methods gepa"]`.

Belongs here: which cells are run, what is kept of them, the command line. Not here: tasks, methods, counting, the table's arithmetic (prompts_*.py).

A cell is one task, seed and method. Cells already in the JSON are not run again, so an interrupted run goes on; the model's answers are kept beside it.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import subprocess
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import psutil

from benchmarks import prompts_endpoint, prompts_table
from benchmarks.loop import machine
from benchmarks.prompts_methods import METHODS, Bench, MethodFailed
from benchmarks.prompts_tasks import DATA, TASKS, Split, item, split
from benchmarks.record import OURS, left_out, record
from learning_pipelines.settings import Settings, load_settings


def main() -> None:
    chosen = arguments()
    settings = load_settings()
    out = chosen.json or settings.home / "benchmarks" / "prompts.json"
    if chosen.table:
        print(prompts_table.markdown(json.loads(out.read_text(encoding="utf-8"))))
        return
    if not DATA.is_dir():
        sys.exit(f"The data sets are not at {DATA}: LEARNING_TEST_DATA names their folder.")
    out.parent.mkdir(parents=True, exist_ok=True)
    results = opened(out, chosen.calls, chosen.test_items)
    wanted = [(seed, task, method) for seed in chosen.seeds for task in chosen.tasks for method in chosen.methods]
    missing = [cell for cell in wanted if not has(results, *cell)]
    if missing:
        run(settings, results, out, missing, chosen.peers)
    print(prompts_table.markdown(results))
    note(results["cells"])


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=[name for name in METHODS if name not in ("start", "gepa-reflection")])
    parser.add_argument("--test-items", type=int, default=200)
    parser.add_argument("--calls", type=int, default=300, help="calls of the task that a search may make")
    parser.add_argument("--peers", type=Path, default=Path(".venv-peer-optimizers"), help="their environment (make peer-optimizers)")
    parser.add_argument("--json", type=Path, help="where the rounds are kept; by default below LEARNING_HOME")
    parser.add_argument("--table", action="store_true", help="only print the table of what is there")
    return parser.parse_args()


def note(cells: list[dict[str, Any]]) -> None:
    """Right answers of every task and seed, each seed a round; only of cells that this very version has run."""
    now = git()
    if others := [cell for cell in cells if cell["git"] != now]:
        left_out(f"{len(others)} of {len(cells)} cells are kept from other versions and do not count here")
    for cell in (cell for cell in cells if cell["git"] == now):
        who = OURS if cell["method"] == "ours" else prompts_table.NAMES[cell["method"]]
        if cell["error"]:
            left_out(f"{who}, {cell['task']}, seed {cell['seed']}: {cell['error']}")
            continue
        record(f"right answers, {cell['task']}", 100 * sum(cell["right"]) / len(cell["right"]), "%", who)
        record("right answers, every task and seed", 100 * sum(cell["right"]) / len(cell["right"]), "%", who)
        record("calls of a search", cell["counts"].get("search", {}).get("calls", 0), "calls", who)
        record("processor time of the model", cell["model_cpu_seconds"], "s of a core", who)


def opened(out: Path, calls: int, test_items: int) -> dict[str, Any]:
    """The rounds so far. Rounds of another budget or size do not belong into one table."""
    about: dict[str, Any] = {"calls": calls, "test_items": test_items}
    if not out.exists():
        return {"about": about, "cells": []}
    results: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
    if any(results["about"][name] != value for name, value in about.items()):
        sys.exit(f"{out} holds rounds with {results['about']}: name another file with --json.")
    return results


def has(results: dict[str, Any], seed: int, task: str, method: str) -> bool:
    return any((cell["seed"], cell["task"], cell["method"]) == (seed, task, method) for cell in results["cells"])


def run(settings: Settings, results: dict[str, Any], out: Path, missing: list[tuple[int, str, str]], peers: Path) -> None:
    from learning_pipelines.encoder import open_encoder
    from learning_pipelines.encoder_server import stop_encoder
    from learning_pipelines.llm_server import ensure_model, stop_model

    server, encoder = ensure_model(settings), open_encoder(settings)
    kept = out.with_suffix(".answers.jsonl")
    counting = prompts_endpoint.Counting(prompts_endpoint.Upstream(server.base_url, server.api_key), kept)
    results["about"] |= {"machine": machine(), "model": server.model, "encoder": encoder.name}
    folder = out.parent / "prompts-logs"
    folder.mkdir(exist_ok=True)
    try:
        with prompts_endpoint.serving(counting, server.model) as url:
            bench = Bench(url, server.model, encoder, peers.absolute(), folder)
            for number, (seed, task, method) in enumerate(missing, 1):
                given = split(task, seed, results["about"]["test_items"])
                cell = measured(bench, counting, psutil.Process(server.pid), given, method, results["about"]["calls"])
                results["cells"].append(cell)
                save(results, out)
                print(f"{dt.datetime.now():%H:%M:%S} {number}/{len(missing)} {line(cell)}", file=sys.stderr, flush=True)
    finally:
        stop_encoder(settings)
        stop_model(settings)


def measured(bench: Bench, counting: prompts_endpoint.Counting, server: psutil.Process, given: Split, method: str, calls: int) -> dict[str, Any]:
    """One cell, raw: per test item what was predicted and whether it was right, and the calls of every phase. A method that fails is a cell too."""
    counting.take()
    begun, cpu = time.monotonic(), sum(server.cpu_times()[:2])
    cell: dict[str, Any] = {"task": given.task, "seed": given.seed, "method": method, "git": git(), "at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds")}
    cell |= {"train": len(given.train), "validation": len(given.validation), "test": len(given.test), "labels": len(given.labels)}
    try:
        answers = METHODS[method](bench, given, calls)
        cell |= {"error": None, "items": [item(text) for text, _ in given.test], "predictions": answers.predictions, "notes": answers.notes}
        cell["right"] = [said == label for said, (_, label) in zip(answers.predictions, given.test, strict=True)]
    except MethodFailed as error:
        cell["error"] = str(error)
    except Exception as error:  # noqa: BLE001 - one method's failure is a result, hours of the others' rounds are not lost to it
        traceback.print_exc()
        cell["error"] = f"{type(error).__name__}: {error}"
    return cell | {
        "counts": counting.take(), "seconds": round(time.monotonic() - begun, 1), "model_cpu_seconds": round(sum(server.cpu_times()[:2]) - cpu, 1)
    }  # fmt: skip


def line(cell: dict[str, Any]) -> str:
    counts = {phase: found["calls"] for phase, found in cell["counts"].items()}
    scored = cell["error"] or f"{100 * sum(cell['right']) / len(cell['right']):.1f} %"
    return f"{cell['task']} seed {cell['seed']} {cell['method']}: {scored}, calls {counts}, {cell['seconds']} s"


def save(results: dict[str, Any], out: Path) -> None:
    draft = out.with_suffix(".draft")
    draft.write_text(json.dumps(results, indent=None), encoding="utf-8")
    os.replace(draft, out)


def git() -> str:
    return subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=Path(__file__).parent, capture_output=True, text=True, check=False).stdout.strip()


if __name__ == "__main__":
    main()
