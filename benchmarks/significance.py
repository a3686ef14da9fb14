"""How well a score tells corrections of substance from changes of style, on real corrected answers: `make bench-significance`; about 2 minutes.

Belongs here: the edits, the scores beside ours, areas under the curve. Not here: assertions (behavior/test_significance.py). The answers
(qa_feedback) are looked for where LEARNING_TEST_DATA says.
"""

from __future__ import annotations

import gzip
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np

from benchmarks.record import record
from learning_pipelines.behavior.corrections.significance import significance
from learning_pipelines.encoder import Encoder, open_encoder
from learning_pipelines.settings import load_settings
from learning_pipelines_tests.behavior.restyled import falsified, restyled

DATA = Path(os.environ.get("LEARNING_TEST_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")
FILE = DATA / "qa_feedback" / "dev_feedback.jsonl.gz"
_WRONG = {"Wrong-Grounding", "Unverifiable"}
Pair = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Edits:
    """`corrected`: real answers and what people made of them, those of them with a wrong or missing statement (`wrong`) and those that were only cut
    (`trimmed`); `restyled`, `falsified`: the same answers changed in style alone, or in a single fact."""

    corrected: list[Pair]
    wrong: list[Pair]
    trimmed: list[Pair]
    restyled: list[Pair]
    falsified: list[Pair]


def edits(answers: int, seed: int = 1) -> Edits:
    """Made of the first so many answers."""
    random = Random(seed)
    made = Edits([], [], [], [], [])
    with gzip.open(FILE, "rt", encoding="utf-8") as lines:
        for _, line in zip(range(answers), lines, strict=False):
            row = json.loads(line)
            said, feedback = row["prediction 1"], row["feedback"]
            corrected = feedback.get("corrected-prediction")
            if not corrected or corrected.strip() == said.strip():
                continue
            made.corrected.append((said, corrected))
            faulty = feedback["missing-info"] or _WRONG & {error["error type"] for error in feedback["errors"]}
            (made.wrong if faulty else made.trimmed).append((said, corrected))
            made.restyled.append((said, restyled(said, random)))
            if (false := falsified(said, random)) is not None:
                made.falsified.append((said, false))
    return made


def separations(made: Edits, encoder: Encoder) -> dict[str, dict[str, float]]:
    """Per comparison and score (significance, words, vectors) the area under the curve: the chance that an edit of substance scores above one of style."""
    texts = sorted({text for group in (made.corrected, made.restyled, made.falsified) for pair in group for text in pair})
    vectors = dict(zip(texts, encoder.encode(texts), strict=True))

    def cosine(pair: Pair) -> float:
        return float(vectors[pair[0]] @ vectors[pair[1]])

    scores: dict[str, Callable[[Pair], float]] = {
        "significance": lambda pair: significance(*pair, cosine(pair)).score, "words": _words_differ, "vectors": lambda pair: 1 - cosine(pair),
    }  # fmt: skip
    compared = {
        "corrected or restyled": (made.corrected, made.restyled),
        "one fact or restyled": (made.falsified, made.restyled),
        "wrong or only cut": (made.wrong, made.trimmed),
    }
    return {
        name: {score: _area([of(pair) for pair in high], [of(pair) for pair in low]) for score, of in scores.items()}
        for name, (high, low) in compared.items()
    }


def _words_differ(pair: Pair) -> float:
    one, two = (set(text.casefold().split()) for text in pair)
    return 1 - len(one & two) / max(1, len(one | two))


def _area(high: Sequence[float], low: Sequence[float]) -> float:
    first, second = np.array(high)[:, None], np.array(low)[None, :]
    return float(((first > second) + 0.5 * (first == second)).mean())


if __name__ == "__main__":
    many = edits(int(sys.argv[1]) if len(sys.argv) > 1 else 500)
    print({name: len(getattr(many, name)) for name in ("corrected", "wrong", "trimmed", "restyled", "falsified")})
    for comparison, areas in separations(many, open_encoder(load_settings())).items():
        for score, area in areas.items():
            record(f"{comparison} told apart by {score}", area, "")
        print(f"{comparison:24}", *(f"{score} {area:.3f}" for score, area in areas.items()), sep="  ")
