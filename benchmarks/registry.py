"""Which benchmarks there are: what each measures, beside whom, at which sizes, how long it takes and what it needs.

Belongs here: that list, and what is missing here to run one. Not here: running (__main__.py), results (record.py), measuring (a module for each).
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
SCRATCH = "{scratch}"
"""In arguments: a folder that is empty before the run and gone after it."""
COUNT_SEEDS = ("rule-task", "gate")
"""Their --seeds says how many, from the first on, and not which."""


@dataclass(frozen=True)
class Benchmark:
    """One benchmark. `quick`, `full`: arguments of its module (full: usually its own defaults); `minutes` of both on two quiet cores, as far as known;
    `peers`: environments of `make peer-…`; `data`: folders of LEARNING_TEST_DATA; `programs`: what else has to be installed; `chromium`: a part of it needs
    a browser, and is left out without one; `exact`: the figures of its headlines are counts and scores, which other work on the machine does not change;
    `headlines`: patterns of the figures that stand in the README's table; `seed`: what everything is drawn from where no argument says another."""

    name: str
    measures: str
    quick: str
    minutes: tuple[float, float]
    headlines: tuple[str, ...]
    full: str = ""
    beside: str = ""
    peers: tuple[str, ...] = ()
    data: tuple[str, ...] = ()
    programs: tuple[str, ...] = ()
    model: bool = False
    chromium: bool = False
    exact: bool = False
    seed: int = 0

    @property
    def module(self) -> str:
        return f"benchmarks.{self.name.replace('-', '_')}"

    def missing(self, peers: bool = True) -> str | None:
        """Why it cannot run here, with what to do about it; without `peers` nobody asks for theirs."""
        for peer in self.peers if peers else ():
            if not (PROJECT / f".venv-peer-{peer}" / "bin").exists():
                return f"the peers' environment is not installed: make peer-{peer}"
        if absent := [program for program in self.programs if shutil.which(program) is None]:
            return f"not installed: {', '.join(absent)}"
        if absent := [folder for folder in self.data if not (data() / folder).is_dir()]:
            return f"the data sets {', '.join(absent)} are not there: LEARNING_TEST_DATA names their folder"
        return None

    def seed_of(self, arguments: list[str]) -> int:
        """The seed that the arguments name (of several, the first)."""
        options = ("--seed",) if self.name in COUNT_SEEDS else ("--seed", "--seeds")
        return next((int(value) for option, value in pairwise(arguments) if option in options), self.seed)

    def needs(self) -> list[str]:
        """In words, for --list."""
        said = [f"make peer-{peer}" for peer in self.peers] + [f"data: {', '.join(self.data)}"] * bool(self.data)
        return said + list(self.programs) + ["the embedded model"] * self.model + ["Chromium for a part of it"] * self.chromium


def data() -> Path:
    """Where data sets are looked for."""
    return Path(os.environ.get("LEARNING_TEST_DATA") or PROJECT.parent / "shared" / "data")


BENCHMARKS: dict[str, Benchmark] = {one.name: one for one in (
    Benchmark(
        "service", "durable requests a second of the feedback service", "--peers --rounds 2 --seconds 1", (3, 7),
        (r"feedback, (8|32) clients", r"feedback-text, 32 clients", r"executions, 32 clients", r"batch-1000, 4 clients, rows", r"prompts, 8 clients"),
        full="--peers", beside="MLflow, Phoenix, an endpoint that does nothing", peers=("servers",),
    ),
    Benchmark(
        "prompts", "right answers after optimizing a prompt with 300 calls of the embedded model",
        "--tasks banking77-5 --seeds 0 --methods majority vote gepa dspy-knn ours --test-items 20 --calls 60 --json {scratch}/prompts.json", (6, 150),
        (r"right answers, every task and seed", r"calls of a search"), beside="gepa, three optimizers of dspy", peers=("optimizers",),
        data=("banking77", "nlupp_banking", "facility_support"), model=True, exact=True,
    ),
    Benchmark(
        "rule-task", "calls until the prompt that is returned exists, with a scripted reflection model", "--seeds 3", (1, 2),
        (r"calls until the returned prompt exists", r"score of the returned prompt on test items"), beside="gepa", exact=True,
    ),
    Benchmark(
        "gate", "how often nothing is promoted as a gain: null tasks, level, power", "--seeds 4 --draws 2000", (2, 6),
        (r"null task, .*",), beside="gepa, best of 30", exact=True,
    ),
    Benchmark(
        "few-shot", "demonstrations looked up for an input: time and recall", "--sizes 2000 --peer", (1, 12), (
            r"lookup of 8 among [\d,]+, (p50|processor)", r"calls of the model for one answer by KNNFewShot",
            r"(five|eighty) \(\d+%\), 100,000 examples, (p99|recall@8)",
        ),
        full="--sizes 10000 100000 --peer", beside="dspy's KNN and KNNFewShot", peers=("optimizers",), seed=7,
    ),
    Benchmark(
        "retrieval-training", "an encoder fine-tuned on real questions, nDCG@10 on questions nothing was learnt from",
        "--rows 64 --epochs 1 --methods frozen fine_tuning theirs --kept {scratch}", (8, 25),
        (r"nDCG@10, (encoder alone|mixed with BM25 as served)", r"learning"), full="--rows 320 --epochs 1 --seeds 0 1 2 --kept {scratch}",
        beside="sentence-transformers' own recipe", data=("feedbackqa_dev", "tatqa"),
    ),
    Benchmark(
        "retrieval", "what learning adds to search on real questions", "--sets tatqa --only-chosen --kept {scratch}", (4, 12),
        (r"nDCG@10, .*, (BM25 \(ours\)|BM25 \(bm25s\)|tuned mixture|chosen)",), full="--kept {scratch}", beside="bm25s",
        data=("feedbackqa_dev", "tatqa"), exact=True,
    ),
    Benchmark(
        "retrieval-expansion", "ways of adding terms to a question", "--sets tatqa --kept {scratch}", (4, 6), (), full="--kept {scratch}",
        data=("feedbackqa_dev", "tatqa"), exact=True,
    ),
    Benchmark(
        "search", "searches in 100,000 chunks of five tenants: time, recall against exact, versions swapped under load",
        "--chunks 5000 --searches 60 --swap-seconds 5", (2, 15),
        (r"direct, .*, (p95|recall@10)", r"HTTP, .*, p95", r"versions swapped under load, (failed|mixed)"), seed=7,
    ),
    Benchmark("index", "documents into an index, and 1 % of them changed", "--chunks 500", (1, 10), (r"(chunk|embed), [\d,]+, rate",)),
    Benchmark(
        "embedding", "chunks made into vectors anew in the database", "--chunks 200 --static 2000", (2, 14),
        (r"chunks encoded and stored, \w+ encoder, [\d,]+",),
    ),
    Benchmark("mining", "memory and time of mining hard negatives", "5000 5000", (0.5, 10), (r"memory of mining, .*",), full="100000 100000", seed=2),
    Benchmark(
        "experiments", "values until a difference is told, and how often equal arms are", "--runs 20 --every 200", (1, 10),
        (r"values per arm until .* are told, mean", r"equal arms told apart, looks every 100 values"), beside="gbstats, an SPRT that knows the effect",
        peers=("experiments",), exact=True,
    ),
    Benchmark(
        "experiment-ratios", "false differences in ratios and means at twenty looks", "--experiments 50", (0.5, 1),
        (r"false differences, (lognormal σ 1, halves|lognormal σ 1.5, 5 % treatment|1 % events, 5 % treatment|clustered.*|weights change in a trend)",),
        beside="gbstats' formula, a t test at each look", exact=True,
    ),
    Benchmark("rollouts", "whole rollouts on simulated people", "--runs 5", (1, 4), (r"taken back, .*",), exact=True),
    Benchmark(
        "experiment-metrics", "an hourly run over 1,000 running experiments and a long history", "--experiments 50 --feedback 20000 --new 1000", (1, 8),
        (r"hourly run .*", r"the first look at every experiment"), full="--feedback 1000000",
    ),
    Benchmark(
        "loop", "import through the command line, and ticks of the sensor, at 10⁵, 10⁶ and 10⁷ feedback rows", "--rows 10000", (1, 40),
        (r"(feedback imported|tick with nothing new|tick over a full batch), .*",), seed=1,
    ),
    Benchmark(
        "incremental", "metrics of the days that changed and ticks of the sensor, behind 10⁵ and 10⁶ feedback rows", "--rows 20000", (1, 6),
        (r"(metrics of one (new|changed) day.*, 100 feedbacks|tick with 100 new feedbacks), .*",), full="--rows 100000 1000000",
    ),
    Benchmark(
        "freshness", "from inserting feedback to its example while everything runs, and the work of a thousand", "--singles 3 --batch 200", (2, 6),
        (r"from insert to example", r"work of [\d,]+ feedbacks.*"),
    ),
    Benchmark(
        "datasets", "building a dataset version and exporting it at 10⁴, 10⁵ and 10⁶ examples", "--examples 1000", (1, 60),
        (r"(version|100 new|openai-chat), .* examples, processor",), seed=1,
    ),
    Benchmark(
        "duplicates", "near-duplicates at 10⁴, 10⁵ and 10⁶ examples, recall and precision", "--rows 2000 --encoder-rows 200 --conflicts 200", (1, 20),
        (r"near-duplicates by 5-grams, all at once, .*", r"5-gram search, (recall|precision) of planted, .*"), seed=1,
    ),
    Benchmark(
        "dashboard", "the dashboard over ten million feedback rows, route and page", "--feedback 50000 --asks 5 --pages 2", (2, 40),
        (r"dashboard, (30|90) days, p95", r"page, \d+ days, cold cache, all tiles"), chromium=True,
    ),
    Benchmark("lineage", "questions of lineage among a million feedback events", "--events 20000 --asks 20", (1, 6), (r"lineage of a .*, server p99",), seed=7),
    Benchmark("retention", "a month archived beside ingestion", "--rows 20000", (1, 5), (r"archiving, .*", r"ingestion .*, median"), full="--rows 1000000"),
    Benchmark("review-queue", "how long an expert waits for the annotation queue", "--sizes 2000", (0.5, 3), (r"(page of 50|verdict), .*, median",)),
    Benchmark(
        "next-action", "what comes next, over HTTP, behind 100,000 demonstrated steps", "--requests 60", (2, 3), (r"next action over HTTP, .*, p95",),
    ),
    Benchmark(
        "behavior", "next actions on real trajectories", "--sets airline", (2, 10), (r"next action right, .*",),
        data=("sgd_banking_dev", "tau_bench_dev"), exact=True,
    ),
    Benchmark("playbooks", "what playbooks know on real trajectories", "--sets airline", (1, 5), (r"steps advised rightly, .*, (transition|playbook)",),
              data=("sgd_banking_dev", "tau_bench_dev"), exact=True),
    Benchmark(
        "corrections", "errors that people corrected, with and without served corrections",
        "--tasks banking77-5 --seeds 0 --test-items 10 --json {scratch}/corrections.json", (4, 25), (r"errors, .*",),
        data=("banking77",), model=True, exact=True,
    ),
    Benchmark("fine-tuning", "the packaged language model fine-tuned, with its control", "--methods sft --seconds 60 --test 10 --kept {scratch}", (10, 60),
              (r"right answers after .*",), full="--methods sft --kept {scratch}", data=("banking77",), model=True, exact=True),
    Benchmark("embedded-model", "what the embedded model can do on the demo's tasks", "--most 10", (2, 10), (r"router, 14 intents, .*",),
              model=True, exact=True),
    Benchmark("judge", "a judging model against experts' verdicts", "--most 10", (1, 5), (r"judge against experts, kappa",), data=("feedbackqa_dev",),
              model=True, seed=1, exact=True),
    Benchmark("agreement", "agreement and quality on real human judgements", "--examples 2000", (1, 3), (r"quality from one rater, calibrated, auc",),
              data=("feedbackqa_dev",), exact=True),
    Benchmark("significance", "corrections of substance told from changes of style", "60", (1, 2), (), data=("qa_feedback",), exact=True),
    Benchmark("privacy", "precision and recall of the privacy rules", "", (0.5, 0.5), (r"(precision|recall), PERSON",), exact=True),
    Benchmark("attacks", "labels under attack: raw votes, weighted votes, honest votes alone", "--rounds 2", (1, 20),
              (r"wrong labels by .* votes, all attacks",), seed=1, exact=True),
    Benchmark(
        "scale-out", "a thousand agents on two workers with file systems of their own, one killed in the middle", "--agents 24 --no-encoder", (4, 15),
        (r"agents a minute, (all workers.*|a worker that lived)", r"from the kill until its run is done by another worker", r"counts that are not"),
        full="--agents 1000 --workers 2 --no-encoder", seed=1, programs=("redis-server",),
    ),
)}  # fmt: skip


def listed() -> str:
    """One line for each."""
    lines = []
    for one in BENCHMARKS.values():
        beside = f"; beside {one.beside}" if one.beside else ""
        needs = f"; needs {', '.join(one.needs())}" if one.needs() else ""
        quick, full = one.minutes
        lines.append(f"{one.name:20} {one.measures}{beside} ({full:g} min, quick {quick:g}{needs})")
    return "\n".join(lines)
