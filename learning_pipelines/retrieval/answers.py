"""What the judgement of an answer says about the passages it was made from: little, and of few of them.

Belongs here: the rule. Not here: reading executions and feedback, counting (storage/).

Whoever rates an answer does not rate passages. A good answer speaks for the passage that its words are from, a corrected one for the passage that
the correction's words are from (attribution by word overlap, as the lexical baselines of Bohnet et al., "Attributed Question Answering", 2022);
a bad answer speaks against all that it was given. Such a word gains WEAK_GAIN at most and weighs WEAK_WEIGHT of a direct one.
"""

from __future__ import annotations

from learning_pipelines.retrieval.analyzer import analyzer_for, detect_language
from learning_pipelines.storage.retrieval_answers import Answer

WEAK_GAIN = 0.5
"""What the passage behind a praised answer gains; a passage that somebody named as helpful gains 1."""

GOOD, BAD = 0.75, 0.25
"""Approval (0..1) from which an answer counts as good, and down from which as bad: four stars and two. Between, it says nothing of passages."""

SUPPORT = 0.5
"""Share of the answer's different terms that a passage must hold to be what it is from."""

LEAST_TERMS = 3
"""Shorter texts ("yes", "42 %") are found in passages they are not from."""


def gains(answer: Answer) -> dict[str, float]:
    """Passage -> gain, by the names they were shown under; empty if nothing can be said."""
    if answer.correction is not None:
        source = _source(answer.correction, answer.shown)
        return {} if source is None else {name: WEAK_GAIN * (name == source) for name, _ in answer.shown}
    if answer.approval is None or BAD < answer.approval < GOOD:
        return {}
    if answer.approval <= BAD:
        return {name: 0.0 for name, _ in answer.shown}
    source = _source(answer.output, answer.shown)
    return {} if source is None else {source: WEAK_GAIN * answer.approval}


def _source(text: str, shown: list[tuple[str, str]]) -> str | None:
    """The passage that holds most of the text's terms, if that is enough of them; of equals the one shown first."""
    analyzer = analyzer_for(detect_language([text]))
    terms = set(analyzer.terms(text))
    if len(terms) < LEAST_TERMS:
        return None
    held = [len(terms & set(analyzer.terms(passage))) / len(terms) for _, passage in shown]
    best = max(range(len(shown)), key=lambda at: (held[at], -at))
    return shown[best][0] if held[best] >= SUPPORT else None
