"""Converts FeedbackQA (people rated answers of a deployed model and explained why) to import files, as a user would convert an export.

Belongs here: which of its fields becomes which import key. Not here: importing; fitting anything to this set.

What becomes what. One agent per domain. Every row of `feedback_valid.jsonl` is one answer: an execution whose input is the question
and whose output is the passage that was shown. Every rating of it is one feedback: `detailed_feedback` with the explanation where
there is one, else `star_rating`. Four levels go to five stars with the neutral 3 left out, two on each side of it: Bad 1, Could be
Improved 2, Acceptable 4, Excellent 5. Raters are not named (a place in the list is no person), so the feedback is anonymous.
`feedback_test.jsonl` is for graded evaluation only and is not read.
"""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

DATA = Path(os.environ.get("LEARNING_TEST_DATA") or Path(__file__).resolve().parents[3] / "shared" / "data") / "feedbackqa_dev"
DOMAINS = ("uk", "us_cdc")
STARS = {"Bad": 1, "Could be Improved": 2, "Acceptable": 4, "Excellent": 5}
Row = dict[str, Any]


def convert(domain: str) -> dict[str, list[Row]]:
    """The rows to import by kind, in the order in which to import them."""
    passages = {row["_id"]: row["text"] for row in _rows(DATA / domain / "corpus.jsonl.gz")}
    converted: dict[str, list[Row]] = {"agents": [{"agent": domain, "name": f"FeedbackQA {domain}"}], "executions": [], "feedback": []}
    for row in _rows(DATA / domain / "feedback_valid.jsonl"):
        execution = f"{domain}-{row['_id']}"
        converted["executions"].append(
            {
                "execution_id": execution,
                "agent": domain,
                "input": row["question"],
                "output": passages[row["passage_id"]],
                "retrieved": [{"document_id": f"{domain}-{row['passage_id']}", "rank": 1}],
            }
        )
        for number, (rating, explanation) in enumerate(zip(row["rating"], row["feedback"], strict=True), start=1):
            converted["feedback"].append(_feedback(f"{execution}-{number}", execution, rating, explanation))
    return converted


def _feedback(name: str, execution: str, rating: str, explanation: str) -> Row:
    stars = {"feedback_id": name, "execution_id": execution, "rating": STARS[rating]}
    if explanation.strip():
        return stars | {"feedback_type": "detailed_feedback", "feedback_text": explanation}
    return stars | {"feedback_type": "star_rating"}


def _rows(path: Path) -> Iterator[Row]:
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        for line in file:
            yield orjson.loads(line)
