"""Whether an encoder that was trained on one subject still knows the others: questions of general knowledge, before and after.

Belongs here: the small set (general.jsonl, written for this project: short passages of general knowledge in groups that are easily confused, each
with a question or two in other words) and the comparison. Not here: what is done with the verdict (the gate), the questions of an agent.

An agent's own questions cannot show this: all of them are of its subject. Whoever asks something new tomorrow would be the first to notice.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import orjson

from learning_pipelines.acceptance.paired import Comparison, compare
from learning_pipelines.encoder import Encoder
from learning_pipelines.retrieval.bm25 import Bm25
from learning_pipelines.retrieval.metrics import NDCG, measure
from learning_pipelines.retrieval.ranking import Found, by_document, mixed

ALPHA = 0.05
TOLERANCE = 0.05
"""Mean nDCG@10 that a specialised encoder may lose on general questions. A larger loss must be ruled out at level ALPHA: not knowing is not enough."""


@dataclass(frozen=True, slots=True)
class GeneralSet:
    """`questions`: (text, id of the one passage that answers it)."""

    ids: tuple[str, ...]
    texts: tuple[str, ...]
    questions: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Forgetting:
    """`comparison`: the reference as incumbent, the encoder as candidate, nDCG@10 question by question. `forgot`: a loss above TOLERANCE is not ruled out."""

    comparison: Comparison
    tolerance: float

    @property
    def forgot(self) -> bool:
        return self.comparison.low < -self.tolerance

    @property
    def sentence(self) -> str:
        found = self.comparison
        means = f"{found.incumbent_mean:.3f} → {found.candidate_mean:.3f} ({found.difference:+.3f}, {found.low:+.3f} … {found.high:+.3f})"
        verdict = f"a loss of more than {self.tolerance} cannot be ruled out" if self.forgot else f"no loss of more than {self.tolerance}"
        return f"nDCG@10 on {found.n} general questions {means}: {verdict}"


def forgetting(
    encoder: Encoder, reference: Encoder, *, lexical_weight: float = 0.0, reference_weight: float = 0.0, tolerance: float = TOLERANCE, alpha: float = ALPHA
) -> Forgetting:
    """Both encoders on the same general questions. The weights are the lexical leg's shares with which each serves; 0 looks at the vectors alone.

    Encodes about 260 short texts with each: seconds.
    """
    chosen = general_set()
    before, after = general_scores(reference, chosen, reference_weight), general_scores(encoder, chosen, lexical_weight)
    return Forgetting(compare(before, after, alpha), tolerance)


def general_scores(encoder: Encoder, chosen: GeneralSet, lexical_weight: float = 0.0) -> list[float]:
    """nDCG@10 of every question, in their order."""
    passages, questions = encoder.encode(chosen.texts), encoder.encode([text for text, _ in chosen.questions])
    cosines = questions @ passages.T
    lexical = _lexical()
    ranked = {}
    for row, (text, _) in enumerate(chosen.questions):
        found = Found(chosen.ids, chosen.ids, lexical.scores(text), cosines[row], lexical.ideal(text))
        ranked[str(row)] = [name for name, _ in by_document(found, mixed(found, lexical_weight))]
    measured = measure(ranked, {str(row): {answer: 1.0} for row, (_, answer) in enumerate(chosen.questions)})
    return [float(value) for value in measured.scores[NDCG]]


@lru_cache(maxsize=1)
def general_set() -> GeneralSet:
    lines = [orjson.loads(line) for line in (Path(__file__).parent / "general.jsonl").read_bytes().splitlines()]
    return GeneralSet(
        tuple(line["id"] for line in lines), tuple(line["text"] for line in lines), tuple((text, line["id"]) for line in lines for text in line["questions"])
    )


@lru_cache(maxsize=1)
def _lexical() -> Bm25:
    return Bm25.build(general_set().texts)
