"""Judged sets in BEIR's layout from the folder of real data, and nDCG@10 by ir-measures. Skips where the data is absent.

Belongs here: reading and scoring for tests and benchmarks. Not here: tests.
"""

from __future__ import annotations

import csv
import gzip
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson
import pytest

DATA = Path(os.environ.get("LEARNING_TEST_DATA") or Path(__file__).resolve().parents[3] / "shared" / "data")


@dataclass(frozen=True)
class Judged:
    """`qrels`: query id -> document id -> gain."""

    ids: list[str]
    texts: list[str]
    queries: dict[str, str]
    qrels: dict[str, dict[str, int]]


def judged(name: str, split: str) -> Judged:
    """`name`: feedbackqa_dev/uk, feedbackqa_dev/us_cdc or tatqa."""
    folder = DATA / name
    if not folder.is_dir():
        pytest.skip(f"the judged set {name} is not in {DATA} (LEARNING_TEST_DATA)")
    rows = _lines(folder / "corpus.jsonl.gz")
    qrels: dict[str, dict[str, int]] = defaultdict(dict)
    with (folder / "qrels" / f"{split}.tsv").open(newline="") as lines:
        for row in csv.DictReader(lines, delimiter="\t"):
            qrels[row["query-id"]][row["corpus-id"]] = int(row["score"])
    queries = {row["_id"]: row["text"] for row in _lines(folder / "queries.jsonl.gz") if row["_id"] in qrels}
    return Judged([row["_id"] for row in rows], [f"{row.get('title') or ''}\n{row['text']}" for row in rows], queries, dict(qrels))


def _lines(path: Path) -> list[dict[str, str]]:
    with gzip.open(path, "rb") as lines:
        return [orjson.loads(line) for line in lines]


def ndcg(qrels: Mapping[str, Mapping[str, int]], runs: Mapping[str, Sequence[tuple[str, float]]]) -> float:
    """Mean nDCG@10 of the documents found for each query, best first."""
    import ir_measures

    scored = {query: {document: float(-rank) for rank, (document, _) in enumerate(run)} for query, run in runs.items()}
    return float(ir_measures.calc_aggregate([ir_measures.nDCG @ 10], qrels, scored)[ir_measures.nDCG @ 10])
