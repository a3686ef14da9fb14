"""Whether errors that people corrected come back: the embedded model on real messages with and without served corrections. `make bench-corrections`.

Belongs here: rounds, rates, the table, the command line. Not here: what is shown for an input (learning_pipelines/behavior/guidance.py), tasks and counting
(prompts_*.py).

The model answers the train messages of a task; an expert corrects what is wrong (wrong label → the data set's). Those corrections, and nothing else of the
train split, are then shown as guidance shows them (600 tokens, all of the nearest or only those that agree, as validation chooses), and the model answers
held-out messages it has not seen. An error is the same error if the same wrong label was corrected to the same right label before. Beside it: the vote of
the 5 nearest corrections and their most frequent label, which know as much and need no model.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import prompts_endpoint
from benchmarks.loop import machine
from benchmarks.prompts import git, save
from benchmarks.prompts_methods import NEIGHBOURS, Bench
from benchmarks.prompts_ours import items
from benchmarks.prompts_table import difference
from benchmarks.prompts_tasks import DATA, Split, item, split
from benchmarks.record import record
from learning_pipelines.behavior.guidance import MOST, Guidance, Piece, choose, tokens_about
from learning_pipelines.encoder import Encoder, Vectors
from learning_pipelines.llm import Message
from learning_pipelines.prompts.evaluation import Evaluator
from learning_pipelines.prompts.metrics import metric_of
from learning_pipelines.prompts.prompt import Demonstration, Prompt
from learning_pipelines.prompts.task import Item
from learning_pipelines.settings import load_settings

TASKS = ("banking77-5", "banking77-16")
WAYS = {"all of the nearest": False, "those that agree": True}
METHODS = {
    "without": "the prompt alone", "with": "**with served corrections**", "vote": "vote of the 5 nearest corrections, no model",
    "majority": "most frequent corrected label, no model",
}  # fmt: skip
TOKENS = 600


class Corrected:
    """Guide over the corrections of one round. `given`, `most`: how many were shown in all, and the most tokens that one input got (as counted)."""

    def __init__(self, corrections: Sequence[tuple[Item, str]], vectors: Vectors, encoder: Encoder, *, agreeing: bool) -> None:
        self._corrections, self._vectors, self._encoder = corrections, vectors, encoder
        self._guidance = Guidance("", "", 1, encoder.name, {"corrections": 1.0}, TOKENS, agreeing=agreeing)
        self.given = self.most = 0

    def __call__(self, text: str, id: str | None = None, also: Sequence[Demonstration] = ()) -> Sequence[Message]:
        near = self._vectors @ self._encoder.encode([text])[0]
        order = np.argsort(-near, kind="stable")[: MOST["corrections"] + 2]
        pieces = [Piece("corrections", one.id, float(near[at]), one.input, one.expected) for at in order for one in (self._corrections[at][0],)]
        shown = choose(self._guidance, pieces)
        self.given += len(shown.pieces)
        self.most = max(self.most, shown.tokens)
        return shown.messages


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--test-items", type=int, default=100)
    parser.add_argument("--json", type=Path, help="where the rounds are kept; by default below LEARNING_HOME")
    parser.add_argument("--table", action="store_true", help="only print the table of what is there")
    chosen = parser.parse_args()
    settings = load_settings()
    out = chosen.json or settings.home / "benchmarks" / "corrections.json"
    if not chosen.table:
        if not DATA.is_dir():
            sys.exit(f"The data sets are not at {DATA}: LEARNING_TEST_DATA names their folder.")
        out.parent.mkdir(parents=True, exist_ok=True)
        run(settings, out, chosen.tasks, chosen.seeds, chosen.test_items)
    results = json.loads(out.read_text(encoding="utf-8"))
    print(markdown(results))
    for one in (one for one in results["rounds"] if one["git"] == git()):
        for name, said in METHODS.items():
            record(f"errors, {one['task']}, {said.strip('*')}", 100 - 100 * sum(one["right"][name]) / len(one["items"]), "%")
            record(f"corrected errors made again, {one['task']}, {said.strip('*')}", 100 * sum(one["again"][name]) / len(one["items"]), "%")


def run(settings: Any, out: Path, tasks: Sequence[str], seeds: Sequence[int], test_items: int) -> None:
    """Every round that the file does not have yet; the model's answers are kept beside it."""
    from learning_pipelines.encoder import open_encoder
    from learning_pipelines.encoder_server import stop_encoder
    from learning_pipelines.llm_server import ensure_model, stop_model

    about: dict[str, Any] = {"test_items": test_items, "tokens": TOKENS}
    results: dict[str, Any] = json.loads(out.read_text(encoding="utf-8")) if out.exists() else {"about": about, "rounds": []}
    if any(results["about"][name] != value for name, value in about.items()):
        sys.exit(f"{out} holds rounds with {results['about']}: name another file with --json.")
    server, encoder = ensure_model(settings), open_encoder(settings)
    counting = prompts_endpoint.Counting(prompts_endpoint.Upstream(server.base_url, server.api_key), out.with_suffix(".answers.jsonl"))
    results["about"] |= {"machine": machine(), "model": server.model, "encoder": encoder.name}
    known = {(one["task"], one["seed"]) for one in results["rounds"]}
    try:
        with prompts_endpoint.serving(counting, server.model) as url:
            bench = Bench(url, server.model, encoder, Path(), out.parent)
            for seed, task in [(seed, task) for seed in seeds for task in tasks if (task, seed) not in known]:
                begun = time.monotonic()
                found = measured(bench, split(task, seed, test_items))
                results["rounds"].append(found | {"counts": counting.take(), "seconds": round(time.monotonic() - begun, 1), "git": git()})
                save(results, out)
                print(f"{dt.datetime.now():%H:%M:%S} {line(found)}", file=sys.stderr, flush=True)
    finally:
        stop_encoder(settings)
        stop_model(settings)


def measured(bench: Bench, given: Split) -> dict[str, Any]:
    """One round, raw: by method the answers to the test items (as places of labels), which are right, which are errors that were corrected before."""
    prompt = Prompt((Message("system", given.instruction),))
    plain = Evaluator(bench.asked_in("search"), metric_of({"type": "exact_match"}), max_tokens=16, labels=given.labels)
    train, validation, test = items("train", given.train), items("validation", given.validation), items("test", given.test)
    said = [one.output for one in plain(prompt, train)]
    corrections = [(one, wrong) for one, wrong in zip(train, said, strict=True) if wrong != one.expected]
    vectors = bench.encoder.encode([one.input for one, _ in corrections])
    guides = {name: Corrected(corrections, vectors, bench.encoder, agreeing=agreeing) for name, agreeing in WAYS.items()}
    scores = {name: sum(one.score for one in plain.guided(guide)(prompt, validation)) / len(validation) for name, guide in guides.items()}
    scores["nothing"] = sum(one.score for one in plain(prompt, validation)) / len(validation)
    way = max(WAYS, key=lambda name: scores[name])
    asked = Evaluator(bench.asked_in("test"), metric_of({"type": "exact_match"}), max_tokens=16, labels=given.labels)
    guide = Corrected(corrections, vectors, bench.encoder, agreeing=WAYS[way])
    without, guided = asked(prompt, test), asked.guided(guide)(prompt, test)
    answers = {
        "without": [one.output for one in without], "with": [one.output for one in guided], "vote": vote(bench.encoder, corrections, vectors, test),
        "majority": [Counter(one.expected for one, _ in corrections).most_common(1)[0][0]] * len(test),
    }  # fmt: skip
    before = {(wrong, one.expected) for one, wrong in corrections}
    return {
        "task": given.task, "seed": given.seed, "labels": len(given.labels), "corrections": len(corrections), "kinds_of_error": len(before),
        "train": len(train), "items": [item(text) for text, _ in given.test], "truth": [given.labels.index(one.expected) for one in test],
        "answers": {name: [given.labels.index(one) if one in given.labels else -1 for one in answer] for name, answer in answers.items()},
        "right": {name: [one == two.expected for one, two in zip(answer, test, strict=True)] for name, answer in answers.items()},
        "again": {name: [(one, two.expected) in before for one, two in zip(answer, test, strict=True)] for name, answer in answers.items()},
        "validation": scores, "way": way, "shown": guide.given / len(test), "most_tokens_counted": guide.most,
        "input_tokens": {"without": sum(one.input_tokens for one in without), "with": sum(one.input_tokens for one in guided)},
        "overcounted": overcounted(guided, without, guide, test),
    }  # fmt: skip


def overcounted(guided: Sequence[Any], without: Sequence[Any], guide: Corrected, test: Sequence[Item]) -> float:
    """Tokens that guidance counted for each that the model's own tokenizer says it added."""
    counted = sum(sum(tokens_about(message.content) + 6 for message in guide(one.input)) for one in test)
    added = sum(one.input_tokens - other.input_tokens for one, other in zip(guided, without, strict=True))
    return counted / max(1, added)


def vote(encoder: Encoder, corrections: Sequence[tuple[Item, str]], vectors: Vectors, test: Sequence[Item]) -> list[str]:
    """The right label of most of the nearest corrections; of equally many, the one that is nearest first."""
    near = np.argsort(-(encoder.encode([one.input for one in test]) @ vectors.T), axis=1, kind="stable")[:, :NEIGHBOURS]
    return [Counter(corrections[at][0].expected for at in row).most_common(1)[0][0] for row in near]


def line(found: dict[str, Any]) -> str:
    n = len(found["items"])
    rates = {name: f"{100 - 100 * sum(found['right'][name]) / n:.1f}/{100 * sum(found['again'][name]) / n:.1f}" for name in METHODS}
    return f"{found['task']} seed {found['seed']}: {found['corrections']} corrections, {found['way']}, errors/same errors in %: {rates}"


def markdown(results: dict[str, Any]) -> str:
    """Rates by task, and the difference that served corrections make, with a 95 % interval over items and McNemar's p over all answers."""
    rounds = results["rounds"]
    tasks = list(dict.fromkeys(one["task"] for one in rounds))
    lines = ["| | " + " | ".join(f"{task}: any error | the same error" for task in tasks) + " |", "| --- |" + " --- | --- |" * len(tasks)]
    for name, said in METHODS.items():
        cells = []
        for task in tasks:
            own = [one for one in rounds if one["task"] == task]
            n = sum(len(one["items"]) for one in own)
            cells += [f"{100 - 100 * sum(sum(one['right'][name]) for one in own) / n:.1f} %", f"{100 * sum(sum(one['again'][name]) for one in own) / n:.1f} %"]
        lines.append(f"| {said} | " + " | ".join(cells) + " |")
    lines.append("")
    for task in tasks:
        for kind, what in (("right", "any error"), ("again", "the same error")):
            found = difference(_cells(rounds, kind), "with", "without", [task])
            assert found is not None
            lines.append(
                f"{task}, {what}: {-found.points:+.1f} points with served corrections (95 % {-found.high:+.1f} … {-found.low:+.1f}), "
                f"{found.only_first} answers mended, {found.only_second} spoilt, p = {found.p:.2g}"
            )
        own = [one for one in rounds if one["task"] == task]
        shown = ", ".join(f"{one['corrections']} of {one['train']} corrected, {one['shown']:.1f} shown ({one['way']})" for one in own)
        over = ", ".join(f"{one['overcounted']:.2f}" for one in own)
        lines.append(f"{task}: {shown}; tokens counted for each that was added: {over}.")
    return "\n".join(lines)


def _cells(rounds: Sequence[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    """As the prompt benchmark keeps them: right, or no error that was corrected before."""
    return [
        {"task": one["task"], "seed": one["seed"], "method": name, "error": None, "items": one["items"],
         "right": one["right"][name] if kind == "right" else [not again for again in one["again"][name]]}
        for one in rounds for name in METHODS
    ]  # fmt: skip


if __name__ == "__main__":
    main()
