"""Real human judgements through the annotation queue, by several experts at once; in full: `make review-real-data`.

Belongs here: which field of the data sets is which key of a review, and what came of it as numbers. Not here: assertions (test_real_reviews.py).

FeedbackQA, feedback_valid: two raters said of every answer how good it is (four levels) and why. The answer is the example, a rating is a
review: Acceptable and Excellent approve, the others reject; the level is technical_accuracy in thirds, the explanation the notes. Raters are
not named, so whichever expert gets an item gives the next rating of it that is left. Where the two disagree the item waits for a third
expert, whom the data does not have.
QA feedback: one person corrected an answer of a model. The answer is the example, the correction is an approval with corrected_output; where
they found nothing to correct, an approval as it stands. One reviewer per item.
QA preferences: of every two of four answers people said which is better, or that neither is. The example claims that the first is; whoever
said so approves it, whoever said the other or neither rejects it. One reviewer per item.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import shutil
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import httpx

from learning_pipelines.examples.agreement import Level, alpha
from learning_pipelines.settings import Settings
from learning_pipelines.storage import embedded
from learning_pipelines.storage.database import of_server
from learning_pipelines.storage.migrate import migrate
from learning_pipelines_tests.api.conftest import AUDIENCE, JWT_SECRET, TOKEN_SECRET
from learning_pipelines_tests.api.reviewing import expert, load, new_agent
from learning_pipelines_tests.api.serving import BASE, Api, serving

DATA = Path(os.environ.get("LEARNING_TEST_DATA") or Path(__file__).resolve().parents[3] / "shared" / "data")
LEVELS = ("Bad", "Could be Improved", "Acceptable", "Excellent")
EXPERTS = 5
Row = dict[str, Any]


@dataclass
class Judged:
    """What the queue made of a data set. `opinions`: per example the approvals that were sent, in the order of the data."""

    agent: str
    items: int
    reviews: int
    seconds: float
    opinions: dict[str, list[bool]]
    statuses: dict[str, str]
    adjudicating: set[str]


def feedbackqa(api: Api, limit: int) -> Judged:
    """`limit` answers of each domain, two reviewers each."""
    agent = new_agent(api, reviewers=2)
    examples: list[Row] = []
    judgements: dict[str, list[Row]] = {}
    for domain in ("uk", "us_cdc"):
        passages = {row["_id"]: row["text"] for row in rows(DATA / "feedbackqa_dev" / domain / "corpus.jsonl.gz")}
        for row in list(rows(DATA / "feedbackqa_dev" / domain / "feedback_valid.jsonl"))[:limit]:
            name = f"{domain}-{row['_id']}"
            answer = passages[row["passage_id"]]
            examples.append({"example_id": name, "agent": agent, "input_text": row["question"], "expected_output": answer, "domain": domain})
            judgements[name] = [
                {"approved": LEVELS.index(rating) >= 2, "technical_accuracy": LEVELS.index(rating) / 3, "notes": explanation}
                for rating, explanation in list(zip(row["rating"], row["feedback"], strict=True))[:2]
            ]
    return through_the_queue(api, agent, examples, judgements)


def qa_feedback(api: Api, limit: int) -> Judged:
    """`limit` answers and what one person made of each."""
    agent = new_agent(api, reviewers=1)
    examples: list[Row] = []
    judgements: dict[str, list[Row]] = {}
    for number, row in enumerate(list(rows(DATA / "qa_feedback" / "dev_feedback.jsonl.gz"))[:limit]):
        name, answer, corrected = f"asqa-{number}", row["prediction 1"], (row["feedback"]["corrected-prediction"] or "").strip()
        examples.append({"example_id": name, "agent": agent, "input_text": row["question"], "original_output": answer, "expected_output": answer})
        judgements[name] = [{"approved": True, **({"corrected_output": corrected} if corrected else {})}]
    return through_the_queue(api, agent, examples, judgements)


def qa_preferences(api: Api, limit: int) -> Judged:
    """The six pairs of answers of each of `limit` questions, and which one people preferred."""
    agent = new_agent(api, reviewers=1)
    examples: list[Row] = []
    judgements: dict[str, list[Row]] = {}
    for number, row in enumerate(list(rows(DATA / "qa_feedback" / "dev_feedback.jsonl.gz"))[:limit]):
        for (first, second), said in zip(combinations(range(1, 5), 2), row["preference"], strict=True):
            name, better = f"asqa-{number}-{first}{second}", row[f"prediction {first}"]
            claim = {"example_type": "preference", "output_a": better, "output_b": row[f"prediction {second}"], "preferred_output": "A"}
            examples.append({"example_id": name, "agent": agent, "input_text": row["question"], "expected_output": better, **claim})
            judgements[name] = [{"approved": said == 1}]
    return through_the_queue(api, agent, examples, judgements)


def through_the_queue(api: Api, agent: str, examples: list[Row], judgements: dict[str, list[Row]]) -> Judged:
    """Imports the examples and lets EXPERTS experts work the queue until no judgement is left."""
    load(api, "examples", examples)
    waiting, lock = {name: list(given) for name, given in judgements.items()}, threading.Lock()
    started = time.perf_counter()
    with ThreadPoolExecutor(EXPERTS) as pool:
        sent = sum(pool.map(lambda number: _day(api, agent, f"reviewer-{number}", waiting, lock), range(EXPERTS)))
    seconds = time.perf_counter() - started
    with api.database.connect("pipeline") as connection:
        stored = connection.execute(
            "SELECT e.id, e.review_status, e.adjudicating FROM learning_examples e JOIN agents a ON a.id = e.agent_id WHERE a.slug = %s", [agent]
        ).fetchall()
    opinions = {name: [one["approved"] for one in given] for name, given in judgements.items()}
    return Judged(agent, len(examples), sent, seconds, opinions, {row[0]: row[1] for row in stored}, {row[0] for row in stored if row[2]})


def _day(api: Api, agent: str, name: str, waiting: dict[str, list[Row]], lock: threading.Lock) -> int:
    """One expert takes what is next and gives the next judgement that the data has; an item without one is skipped."""
    sent = 0
    with httpx.Client(base_url=api.url + BASE, headers={"Authorization": f"Bearer {expert(name)}"}, timeout=60) as http:
        while True:
            page = http.post("/annotations/queue/next", json={"agent": agent, "limit": 5}).json()["queue"]
            for item in page:
                with lock:
                    left = waiting[item["example_id"]]
                    judgement = left.pop(0) if left else None
                if judgement is None:
                    http.post(f"/annotations/queue/{item['example_id']}/skip").raise_for_status()
                    continue
                http.post("/annotations", json={"example_id": item["example_id"], **judgement}).raise_for_status()
                sent += 1
            if not page:
                with lock:
                    if not any(waiting.values()):
                        return sent
                time.sleep(0.02)  # the last items are with other experts


def agreement_stored(api: Api, agent: str) -> tuple[float | None, int]:
    """Krippendorff's alpha (nominal) of the stored verdicts, and the number of items with two."""
    units: defaultdict[str, list[float]] = defaultdict(list)
    with api.database.connect("pipeline") as connection:
        for name, approved in connection.execute(
            """SELECT n.example_id, n.approved FROM expert_annotations n JOIN learning_examples e
                ON e.organization_id = n.organization_id AND e.id = n.example_id JOIN agents a ON a.id = e.agent_id
            WHERE a.slug = %s AND n.is_verdict AND n.withdrawn_at IS NULL ORDER BY n.created_at""",
            [agent],
        ):
            units[name].append(float(approved))
    return agreement(list(units.values()))


def agreement(units: list[list[float]]) -> tuple[float | None, int]:
    pairs = [unit for unit in units if len(unit) == 2]
    found = alpha([[unit[rater] for unit in pairs] for rater in range(2)], Level.NOMINAL)
    return found.value, found.units


def rows(path: Path) -> Iterator[Row]:
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        for line in file:
            yield json.loads(line)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--limit", type=int, default=10_000, help="items of each set")
    limit = parser.parse_args().limit
    home = Path(tempfile.mkdtemp(prefix="real-reviews-"))
    try:
        database = of_server(embedded.ensure_running(home / "database"))
        migrate(database)
        settings = Settings(home=home, database_url=None, jwt_secret=JWT_SECRET, jwt_audience=AUDIENCE, token_secret=TOKEN_SECRET, rate_limits="")
        with serving(database, settings) as api:
            api.key()
            for name, run in (("feedbackqa", feedbackqa), ("qa_feedback", qa_feedback), ("qa_preferences", qa_preferences)):
                print(json.dumps({"data": name, **summary(api, run(api, limit))}), flush=True)
    finally:
        embedded.stop(home / "database")
        shutil.rmtree(home, ignore_errors=True)


def summary(api: Api, judged: Judged) -> Row:
    counts = {status: list(judged.statuses.values()).count(status) for status in sorted(set(judged.statuses.values()))}
    value, units = agreement_stored(api, judged.agent) if any(len(one) == 2 for one in judged.opinions.values()) else (None, 0)
    return {
        "items": judged.items, "experts": EXPERTS, "reviews": judged.reviews, "seconds": round(judged.seconds, 1),
        "reviews_per_second": round(judged.reviews / judged.seconds, 1), **counts, "adjudicating": len(judged.adjudicating),
        "alpha": None if value is None else round(value, 4), "units": units,
    }  # fmt: skip


if __name__ == "__main__":
    main()
