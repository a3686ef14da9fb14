"""Full fine-tuning and the static model beside sentence-transformers' own recipe, with as much processor time: `make bench-retrieval-training`.

Belongs here: running both, grading them on questions nothing was learnt from, printing. Not here: reading (retrieval_sets.py), grading's arithmetic
(retrieval.py), assertions.

Learnt from: the train and valid files, the same rows for both. Theirs: `mine_hard_negatives` and SentenceTransformerTrainer with
MultipleNegativesRankingLoss, batch 32, length 128, rate 2e-5, linear with a tenth of warm-up, bf16 where the CPU has it; so many steps as fit into the
seconds that ours took, with its looks at validation and its mixtures counted (imports, mining and the last encoding count for neither). Every model
is graded alone and mixed with BM25, at the weight that validation likes best. Cells already in the JSON are not run again.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.record import OURS, record
from benchmarks.retrieval import difference
from benchmarks.retrieval_sets import SETS, Prepared, encoded, prepared, read
from learning_pipelines.encoder import PACKAGED, Vectors
from learning_pipelines.encoder_local import LocalEncoder, cpu_has_bf16, load_model
from learning_pipelines.retrieval.index import IndexConfig
from learning_pipelines.retrieval.learning.candidates import candidates
from learning_pipelines.retrieval.learning.contrastive import autocast
from learning_pipelines.retrieval.learning.finetune import RECIPE, FineTuning
from learning_pipelines.retrieval.learning.general import forgetting
from learning_pipelines.retrieval.learning.pool import WEIGHTS
from learning_pipelines.retrieval.learning.static import Distillation
from learning_pipelines.retrieval.learning.triples import triples
from learning_pipelines.retrieval.metrics import NDCG, Measured, measure
from learning_pipelines.retrieval.negatives import mine
from learning_pipelines.retrieval.ranking import by_document, mixed
from learning_pipelines.retrieval.task import JudgedQuery, Learner, Training

METHODS = ("frozen", "frozen_128", "fine_tuning", "theirs", "static")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--set", default="feedbackqa_dev/us_cdc", choices=SETS)
    arguments.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS)
    arguments.add_argument("--rows", type=int, help="At most so many questions teach.")
    arguments.add_argument("--epochs", type=int, default=RECIPE.epochs)
    arguments.add_argument("--seeds", type=int, nargs="+", default=[0], help="Of the split and of both trainings; ours and theirs take turns.")
    arguments.add_argument("--kept", type=Path, default=Path(tempfile.gettempdir()) / "benchmark-retrieval-training", help="Where models and numbers are kept.")
    arguments.add_argument("--theirs", type=Path, help=argparse.SUPPRESS)
    chosen = arguments.parse_args()
    if chosen.theirs:
        their_recipe(json.loads(chosen.theirs.read_text()), chosen.theirs.parent)
        return
    for seed in chosen.seeds:
        one_seed(seed, chosen.kept / f"seed-{seed}", chosen)


def one_seed(seed: int, kept: Path, chosen: argparse.Namespace) -> None:
    kept.mkdir(parents=True, exist_ok=True)
    out = kept / "numbers.json"
    about = {"set": chosen.set, "rows": chosen.rows, "epochs": chosen.epochs, "seed": seed, "bf16": cpu_has_bf16(), "machine": platform.machine()}
    results = json.loads(out.read_text()) if out.exists() else {"about": about, "cells": {}}
    if results["about"] != about:
        sys.exit(f"{out} holds numbers of {results['about']}: name another folder with --kept.")
    base = LocalEncoder()
    ready = with_negatives(prepared(read(chosen.set, ratings=False), base, kept / "run", chosen.kept, seed), chosen.rows)
    for method in chosen.methods:
        if method not in results["cells"]:
            results["cells"][method] = cell(method, ready, base, results["cells"], chosen.epochs, kept, seed)
            out.write_text(json.dumps(results, indent=1))
    show(results, ready)


def with_negatives(ready: Prepared, rows: int | None) -> Prepared:
    """Ours are mined by the product's own function from what serves: the packaged encoder."""
    training = ready.training
    count = len(training.train) if rows is None else min(rows, len(training.train))
    train, vectors = training.train[:count], training.train_vectors[:count]
    place = {chunk: number for number, chunk in enumerate(training.passages.ids)}
    positives = training.passages.vectors[[place[max(query.chunks, key=lambda name: query.chunks[name])] for query in train]]
    nearest, _ = mine(vectors, positives, [training.passages.vectors])
    margin = 0.95 * (vectors * positives).sum(axis=1, keepdims=True)
    found = [
        tuple(training.passages.ids[one] for one, score in zip(places, scores, strict=True) if score <= most)[:16]
        for places, scores, most in zip(nearest.places.tolist(), nearest.scores.tolist(), margin[:, 0].tolist(), strict=True)
    ]
    negatives = {query.id: chunks for query, chunks in zip(train, found, strict=True)}
    return replace(ready, training=replace(training, train=train, train_vectors=vectors, negatives=negatives))


def cell(method: str, ready: Prepared, base: LocalEncoder, before: Mapping[str, Any], epochs: int, kept: Path, seed: int) -> dict[str, Any]:
    started = time.monotonic()
    print(f"{method} …", file=sys.stderr, flush=True)
    numbers: dict[str, float] = {}
    if method.startswith("frozen"):
        folder = None
    elif method == "theirs":
        folder, numbers = theirs(ready.training, before["fine_tuning"]["numbers"]["cpu_seconds"], kept, seed)
    else:
        learner: Learner = FineTuning(recipe=replace(RECIPE, epochs=epochs)) if method == "fine_tuning" else Distillation()

        def say(share: float, line: str, found: Mapping[str, float]) -> None:
            numbers.update(found)
            print(f"  {share:4.0%} {line}", file=sys.stderr, flush=True)

        learnt = learner.learn(ready.training, IndexConfig(), say)
        numbers |= {} if learnt is None else learnt.numbers
        folder = next(ready.training.folder.glob(f"{method}/{PACKAGED}-*"), None)  # also one that validation refused
    encoder = base if folder is None else LocalEncoder(str(folder))
    if method == "frozen_128":
        encoder = LocalEncoder()
        encoder._model.max_seq_length = 128
        encoder.name += " at 128 tokens"
    graded = grades(ready, encoder, kept)
    known = forgetting(encoder, base)
    return {
        "numbers": numbers, "minutes": (time.monotonic() - started) / 60, **graded,
        "general": {"mean": known.comparison.candidate_mean, "difference": known.comparison.difference, "low": known.comparison.low, "forgot": known.forgot},
    }  # fmt: skip


def grades(ready: Prepared, encoder: LocalEncoder, kept: Path) -> dict[str, Any]:
    """nDCG@10 by test question of the vectors alone and of the mixture."""
    training = ready.training
    passages = replace(training.passages, vectors=encoded(training.passages.texts, encoder, kept))

    def ranked(queries: tuple[JudgedQuery, ...], vectors: Vectors, weights: tuple[float, ...]) -> dict[float, Measured]:
        found = candidates(passages, training.lexical, queries, vectors)
        orders = {weight: {one.query.id: [name for name, _ in by_document(one.found, mixed(one.found, weight))] for one in found} for weight in weights}
        return {weight: measure(order, {query.id: query.documents for query in queries}) for weight, order in orders.items()}

    chosen_by = ranked(training.validation, encoded([query.text for query in training.validation], encoder, kept), WEIGHTS)
    weight = max(chosen_by, key=lambda one: chosen_by[one].means()[NDCG])
    found = ranked(ready.test, encoded([query.text for query in ready.test], encoder, kept), (0.0, weight))
    return {"weight": weight, "validation": chosen_by[weight].means()[NDCG], "alone": found[0.0].of(), "mixture": found[weight].of()}


def theirs(training: Training, seconds: float, kept: Path, seed: int) -> tuple[Path, dict[str, float]]:
    """Their recipe in a process of its own, with `seconds` of processor time from the loaded model on."""
    data = triples(training.train, training.passages, {}, most=1_000_000, seed=0)
    pairs = [(data.questions[question], data.texts[passage]) for question, passage, _ in data.rows]
    folder = kept / "theirs"
    folder.mkdir(parents=True, exist_ok=True)
    request = folder / "request.json"
    request.write_text(json.dumps({"pairs": pairs, "corpus": list(training.passages.texts), "seconds": seconds, "seed": seed}))
    subprocess.run([sys.executable, "-m", __spec__.name, "--theirs", str(request)], check=True, stdout=sys.stderr)
    return folder / "model", json.loads((folder / "numbers.json").read_text())


def their_recipe(request: Mapping[str, Any], folder: Path) -> None:
    """Inside that process. How many steps fit is found with two steps of a copy that do not count, nor does mining (their favour: it takes as long as
    ten steps, in fp32 as long as forty)."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    model = load_model(PACKAGED)
    from datasets import Dataset
    from sentence_transformers.util import mine_hard_negatives

    started = time.process_time()
    model.max_seq_length = 128
    questions, passages = zip(*request["pairs"], strict=True)
    pairs = Dataset.from_dict({"question": list(questions), "answer": list(passages)})
    corpus = list(dict.fromkeys(request["corpus"]))
    with autocast(model):
        mined = mine_hard_negatives(pairs, model, corpus=corpus, relative_margin=0.05, num_negatives=1, sampling_strategy="top", batch_size=32, verbose=False)
    mining = time.process_time() - started
    probe = time.process_time()
    fit(load_model(PACKAGED), mined, 2, request["seed"], folder)
    per_step = (time.process_time() - probe) / 2
    steps = max(1, round(request["seconds"] / per_step))
    begun = time.process_time()
    fit(model, mined, steps, request["seed"], folder)
    spent = time.process_time() - begun
    model.save_pretrained(str(folder / "model"), create_model_card=False)
    numbers = {"cpu_seconds": spent, "mining_cpu_seconds": mining, "steps": steps, "triples": len(mined), "epochs": steps * 32 / len(mined)}
    (folder / "numbers.json").write_text(json.dumps(numbers))


def fit(model: Any, data: Any, steps: int, seed: int, folder: Path) -> None:
    from sentence_transformers import SentenceTransformerTrainer, SentenceTransformerTrainingArguments
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

    model.max_seq_length = 128
    settings = SentenceTransformerTrainingArguments(
        output_dir=str(folder / "trainer"), max_steps=steps, per_device_train_batch_size=32, learning_rate=2e-5, warmup_steps=0.1, bf16=cpu_has_bf16(),
        use_cpu=True, seed=seed, save_strategy="no", report_to=[], disable_tqdm=True, logging_steps=10, batch_sampler="no_duplicates",
    )  # fmt: skip
    SentenceTransformerTrainer(model=model, args=settings, train_dataset=data, loss=MultipleNegativesRankingLoss(model)).train()


def show(results: Mapping[str, Any], ready: Prepared) -> None:
    about, cells = results["about"], results["cells"]
    counts = f"{len(ready.training.train)} questions teach, {len(ready.training.validation)} choose, {len(ready.test)} grade"
    print(f"{about['set']}: {counts}; seed {about['seed']}")
    print("| model | CPU s | nDCG@10 alone | mixed | weight | against theirs, alone | mixed | general |\n|---|---|---|---|---|---|---|---|")
    for name, one in cells.items():
        means = [float(np.mean(list(one[kind].values()))) for kind in ("alone", "mixture")]
        against = [_against(one[kind], cells["theirs"][kind], ready) if "theirs" in cells and name != "theirs" else "" for kind in ("alone", "mixture")]
        spent = one["numbers"].get("cpu_seconds", 0)
        general = f"{one['general']['mean']:.3f}{' (forgot)' if one['general']['forgot'] else ''}"
        who = f"sentence-transformers {version('sentence-transformers')}, its own recipe" if name == "theirs" else OURS
        what = "" if name in ("theirs", "fine_tuning") else f"{name}, "
        record(f"{what}nDCG@10, encoder alone", means[0], "", who)
        record(f"{what}nDCG@10, mixed with BM25 as served", means[1], "", who)
        record(f"{what}general questions kept", one["general"]["mean"], "", who)
        if spent:
            record(f"{what}learning", spent, "s of a core", who)
        print(f"| {name} | {spent:.0f} | {means[0]:.4f} | {means[1]:.4f} | {one['weight']} | {against[0]} | {against[1]} | {general} |")


def _against(one: Mapping[str, float], other: Mapping[str, float], ready: Prepared) -> str:
    ids = tuple(one)
    before, after = (Measured(ids, {NDCG: np.array([scores[name] for name in ids])}) for scores in (other, one))
    low, high, p = difference(before, after, ready.test)
    return f"{np.mean(after.scores[NDCG] - before.scores[NDCG]):+.4f} [{low:+.4f}, {high:+.4f}], p {p:.3f}"


if __name__ == "__main__":
    main()
