"""Clarify: the instruction says what it left open, after what users complain about and what really failed.

Belongs here: proposals of a clearer instruction, with a reflection model or in fixed words of ours. Not here: order and sections (restructure.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from learning_pipelines.prompts.strategies.asking import rewritten
from learning_pipelines.prompts.strategies.edits import answer_format, reworded, sentences
from learning_pipelines.prompts.task import Candidate, Situation, Task

WISH = "Rewrite the instruction so that it is clear and leaves nothing open that these cases and complaints show to be open."
TEMPLATES = {
    "incorrect": "Check the answer against everything the input says before giving it.",
    "incomplete": "Answer every part of the request; leave nothing out.",
    "unclear": "Use plain words and short sentences.",
    "hallucination": "Use only what is given; where something is not known, say so and do not guess.",
    "outdated": "Prefer the most recent information given, and do not rely on older knowledge where the two differ.",
    "formatting": "Keep exactly to the form of answer that is asked for.",
    "tone": "Be polite and matter-of-fact.",
}
"""One sentence per issue category of the feedback; `other` says nothing that could be told to a model."""
MOST_ISSUES = 3


class Clarify:
    """Without a model: labels and form of the answer restated, a sentence for each frequent complaint, both."""

    name = "clarify"

    def propose(self, situation: Situation, rng: Random) -> Iterator[Candidate]:
        instruction = situation.best.prompt.instruction
        cases = situation.failures
        if cases or situation.task.issues:
            text = rewritten(situation, instruction, WISH, rng.sample(cases, len(cases)), situation.successes, rng)
            if text is not None:
                yield reworded(situation, text, self.name, "rewritten from complaints and failures")
        restated, complaints = restatement(situation.task, instruction), of_issues(situation.task, instruction)
        edits = {
            "labels and form of the answer restated": restated,
            "a sentence per frequent complaint": complaints,
            "complaints answered, labels and form of the answer restated": [*complaints, *restated] if complaints and restated else [],
        }
        for note, lines in edits.items():
            text = "\n".join([instruction, *lines]).strip()
            if lines and len(text) <= situation.max_chars:
                yield reworded(situation, text, self.name, note)


def restatement(task: Task, instruction: str) -> list[str]:
    """Labels and form of the answer, as far as the instruction does not say them in these words already."""
    lines = [f"The labels are: {', '.join(task.labels)}."] if task.labels else []
    return _new([*lines, answer_format(task)], instruction)


def of_issues(task: Task, instruction: str) -> list[str]:
    """A sentence for each of the most frequent issue categories that the instruction does not hold yet."""
    return _new([TEMPLATES.get(category, "") for category, _ in task.issues[:MOST_ISSUES]], instruction)


def _new(lines: list[str], instruction: str) -> list[str]:
    have = set(sentences(instruction))
    return [line for line in lines if line and line not in have and line not in instruction]
