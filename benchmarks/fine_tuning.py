"""The packaged language model fine-tuned on real messages, with its control on shuffled answers, by all three methods: `make bench-fine-tuning`.

Belongs here: lessons made of the tasks of the prompt benchmark, the figures, printing. Not here: training (behavior/fine_tuning/), the tasks' rows.

sft learns the approved label of each message, dpo and rlhf that it is better than another one of the task's labels, drawn by the seed. Every model answers
the same test messages, greedily and with one of the labels; a reward model says which label of a test pair is the right one, beside the best of its
baselines. The verdict is that of the gate for a first test. What was done is kept: a run that is interrupted goes on.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from benchmarks.prompts_tasks import TASKS, Split, split
from benchmarks.record import record
from learning_pipelines.acceptance.gate import decide
from learning_pipelines.behavior.fine_tuning import base_model
from learning_pipelines.behavior.fine_tuning.lessons import METHODS, Example, Lessons, Method, Pair, Question, Turn
from learning_pipelines.behavior.fine_tuning.local import WORK
from learning_pipelines.behavior.fine_tuning.lora_gguf import FILE
from learning_pipelines.behavior.fine_tuning.recipe import recipe_for
from learning_pipelines.behavior.fine_tuning.reward import best_baseline, preferred
from learning_pipelines.behavior.fine_tuning.work import CONTROL, INCUMBENT, LEARNT, Request
from learning_pipelines.prompts.summary import interval
from learning_pipelines.retrieval.learning.child import run
from learning_pipelines.settings import load_settings


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--task", default="banking77-5", choices=TASKS)
    arguments.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS)
    arguments.add_argument("--test", type=int, default=100, help="Test messages.")
    arguments.add_argument("--seconds", type=float, default=1800, help="Most seconds of one training.")
    arguments.add_argument("--seed", type=int, default=0)
    arguments.add_argument("--kept", type=Path, default=Path(tempfile.gettempdir()) / "benchmark-finetuning", help="Where checkpoints and answers are kept.")
    arguments.add_argument("--served", action="store_true", help="Ask llama.cpp with the adapter that an earlier run kept, in free words.")
    chosen = arguments.parse_args()
    rows = split(chosen.task, chosen.seed, chosen.test)
    counts = f"{len(rows.train)} messages teach, {len(rows.validation)} choose, {len(rows.test)} test"
    print(f"{chosen.task}, seed {chosen.seed}: {counts}, {len(rows.labels)} labels")
    print("| method | training loss | validation loss | of the control | incumbent | learnt | control | verdict | of the control | seconds |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    if chosen.served:
        print(served(rows, chosen.kept / f"{chosen.task}-{chosen.seed}-sft" / LEARNT / "adapter" / FILE))
        return
    for method in chosen.methods:
        begun = time.monotonic()
        made = request(rows, method, chosen.seed, chosen.seconds)
        result = run(WORK, made.as_json(), chosen.kept / f"{chosen.task}-{chosen.seed}-{method}", told)
        print(line(rows, made, result, time.monotonic() - begun), flush=True)


def request(rows: Split, method: Method, seed: int, seconds: float) -> Request:
    drawn = random.Random(f"{rows.task} {seed} pairs")

    def other(label: str) -> str:
        return drawn.choice([one for one in rows.labels if one != label])

    def lessons_of(given: tuple[tuple[str, str], ...], name: str) -> Any:
        named = [(f"{name}{number}", text, label) for number, (text, label) in enumerate(given)]
        if method == "sft":
            return tuple(Example(identity, prompt(rows, text), label) for identity, text, label in named)
        return tuple(Pair(identity, prompt(rows, text), label, other(label)) for identity, text, label in named)

    lessons, tested = Lessons(method, lessons_of(rows.train, "l"), lessons_of(rows.validation, "v")), lessons_of(rows.test, "t")
    questions = () if method == "rlhf" else tuple(Question(f"t{number}", prompt(rows, text)) for number, (text, _) in enumerate(rows.test))
    base, recipe = base_model.chosen(load_settings()), recipe_for(method, seconds)
    parts = [lessons.as_json(), recipe.as_json(), base.identity, seed, len(rows.test)]
    fingerprint = hashlib.sha256(orjson.dumps(parts)).hexdigest()
    return Request(base, lessons, recipe, seed, fingerprint, rows.labels, 16, questions, tested if method == "rlhf" else ())


def prompt(rows: Split, text: str) -> tuple[Turn, ...]:
    said = f"{rows.instruction} Answer with one of: {', '.join(rows.labels)}."
    return {"role": "system", "content": said}, {"role": "user", "content": text}


def line(rows: Split, made: Request, result: Mapping[str, Any], seconds: float) -> str:
    learnt, control = result[LEARNT], result[CONTROL]
    if control is None:
        numbers = learnt["numbers"]
        return f"| {made.lessons.method} | {numbers['training_loss']:.3f} | never below {numbers['start_validation_loss']:.3f} | | | | | | | |"
    names, scores = _scores(rows, made, result["answers"])
    shown = {name: f"{sum(one) / len(one):.2f} ({interval(one).low:.2f}–{interval(one).high:.2f})" for name, one in scores.items()}
    verdict, of_control = decide(scores[INCUMBENT], scores[LEARNT]), decide(scores[INCUMBENT], scores[CONTROL])
    losses = [f"{side['numbers']['start_validation_loss']:.3f} → {side['numbers']['validation_loss']:.3f}" for side in (learnt, control)]
    trained = f"{learnt['numbers']['seconds']:.0f} + {control['numbers']['seconds']:.0f} of {seconds:.0f}"
    first = next(point["loss"] for point in learnt["curve"] if "loss" in point)
    verdicts = [f"{one.verdict.value} (p = {one.p_value:.2g})" for one in (verdict, of_control)]
    cells = [
        made.lessons.method, f"{first:.3f} → {learnt['numbers']['training_loss']:.3f}", *losses, names + shown[INCUMBENT], shown[LEARNT], shown[CONTROL],
        *verdicts, trained,
    ]  # fmt: skip
    for name, one in scores.items():
        record(f"right answers after {made.lessons.method}, {name}", sum(one) / len(one), "")
    return f"| {' | '.join(cells)} |"


def _scores(rows: Split, made: Request, answers: Mapping[str, Mapping[str, Any]]) -> tuple[str, dict[str, list[float]]]:
    if made.lessons.method == "rlhf":
        baseline = best_baseline(made.lessons.train, made.lessons.validation, made.pairs)  # type: ignore[arg-type]
        sides = {INCUMBENT: baseline.scores, **{name: preferred(answers[name]) for name in (LEARNT, CONTROL)}}
        return f"{baseline.name} ", {name: [float(one[pair.id]) for pair in made.pairs] for name, one in sides.items()}
    return "", {
        name: [float(answers[name][f"t{number}"] == label) for number, (_, label) in enumerate(rows.test)] for name in (INCUMBENT, LEARNT, CONTROL)
    }  # fmt: skip


def served(rows: Split, adapter: Path) -> str:
    """Answers in free words by the 4-bit weights that the embedded server runs, without and with the adapter: right if they are the label exactly."""
    import httpx
    import xllamacpp

    right = {}
    for name in ("without", "with"):
        params = xllamacpp.CommonParams()
        params.model.path = str(Path(base_model.chosen(load_settings()).source) / base_model.FILE)
        params.hostnames, params.port, params.n_ctx, params.n_parallel, params.cache_ram_mib, params.verbosity = ["127.0.0.1"], 0, 4096, 1, 0, 1
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
        if name == "with":
            params.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(str(adapter), 1.0)]
        server = xllamacpp.Server(params)
        asked = [{"messages": list(prompt(rows, text)), "max_tokens": 16, "temperature": 0} for text, _ in rows.test]
        said = [httpx.post(f"{server.listening_address}/v1/chat/completions", json=body, timeout=300, trust_env=False).json() for body in asked]
        right[name] = sum(one["choices"][0]["message"]["content"].strip() == label for one, (_, label) in zip(said, rows.test, strict=True))
        del server
    return f"llama.cpp, free words, {len(rows.test)} messages: {right['without']} right without the adapter, {right['with']} with it"


def told(share: float, said: str, numbers: Mapping[str, float]) -> None:
    print(json.dumps({"share": round(share, 3), "line": said, **numbers}), flush=True, file=sys.stderr)


if __name__ == "__main__":
    main()
