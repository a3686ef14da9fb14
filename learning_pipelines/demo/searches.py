"""What clients said about articles that were found for their questions: SIMULATED, with stated noise, marked so in every row.

Belongs here: which articles a question is shown, what the simulated user says of them. Not here: answers and their ratings (desk.py, simulate.py).

Stated: a user sees the wrong thing in 8 % of the cases (as in simulate.py); where the right article was not among those shown, a colleague names it;
nobody is named, as most people who search are not.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import random
from collections.abc import Sequence
from typing import Any

import numpy as np

from learning_pipelines.demo.desk import learnt_from, read_rows
from learning_pipelines.demo.simulate import MISTAKEN
from learning_pipelines.encoder import Encoder

SHOWN = 5
DAYS = 5
"""Searches lie in these days before now: within the week whose new pairs count."""


def searches(encoder: Encoder, now: dt.datetime) -> list[dict[str, Any]]:
    """Import rows of the kind retrieval_feedback, one per question of the learning side, in the order of time."""
    articles = read_rows("documents")
    questions = sorted(learnt_from(read_rows("questions")), key=lambda row: _digest(row["question_id"]))
    vectors = encoder.encode([f"{row['title']}\n{row['text']}" for row in articles])
    best = np.argsort(-(encoder.encode([row["text"] for row in questions]) @ vectors.T), axis=1, kind="stable")[:, :SHOWN]
    moments = [now - dt.timedelta(days=DAYS) * (1 - place / len(questions)) for place in range(len(questions))]
    return [
        _said(question, [articles[at]["document_id"] for at in found], moment) for question, found, moment in zip(questions, best, moments, strict=True)
    ]


def _said(question: dict[str, Any], shown: Sequence[str], moment: dt.datetime) -> dict[str, Any]:
    rng = random.Random(_digest(question["question_id"]))
    helpful: str | None = question["document_id"]
    if rng.random() < MISTAKEN:
        helpful = rng.choice([None, *shown])
    return {
        "query": question["text"], "agent": "knowledge", "retrieved": list(shown), "relevant": [] if helpful is None else [helpful],
        "helped": helpful in shown, "created_at": moment.isoformat(timespec="seconds"), "simulated": True,
    }  # fmt: skip


def _digest(identity: str) -> bytes:
    return hashlib.sha256(f"search/{identity}".encode()).digest()
