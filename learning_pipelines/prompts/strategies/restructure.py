"""Restructure: the same instruction in another shape: sections, one rule a line, labels as a list or JSON, the form of the answer last.

Belongs here: shape. Not here: new content (clarify.py), demonstrations.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from random import Random

from learning_pipelines.prompts.strategies.asking import rewritten
from learning_pipelines.prompts.strategies.edits import answer_format, reworded, sentences
from learning_pipelines.prompts.task import Candidate, Situation, Task

WISH = "Reorganise the instruction: the task first, then the rules, one per line, then the allowed answers, the form of the answer last. Change no meaning."


class Restructure:
    """Edit operators first; the reflection model only when asked again (there is more to gain from what failed than from shape)."""

    name = "restructure"

    def propose(self, situation: Situation, rng: Random) -> Iterator[Candidate]:
        task, instruction = situation.task, situation.best.prompt.instruction
        shapes = {
            "labels one per line, form of the answer last": in_lines(task, instruction),
            "sections": in_sections(task, instruction),
            "labels as JSON, form of the answer last": with_json(task, instruction),
            "shortened": shortened(task, instruction),
        }
        for note, text in shapes.items():
            if text and text != instruction and len(text) <= situation.max_chars:
                yield reworded(situation, text, self.name, note)
        if len(situation.raced) > 1 and len(sentences(instruction)) > 2:
            reorganised = rewritten(situation, instruction, WISH, (), (), rng)
            if reorganised is not None:
                yield reworded(situation, reorganised, self.name, "reorganised by the reflection model")


def in_lines(task: Task, instruction: str) -> str:
    """The instruction, the labels one per line, the form of the answer last."""
    return _joined(instruction, ["Labels:", *task.labels] if task.labels else [], [answer_format(task)])


def in_sections(task: Task, instruction: str) -> str:
    """The first sentence as the task, the others as rules, labels and form of the answer in sections of their own."""
    said = sentences(instruction)
    if not said:
        return ""
    rules = ["# Rules", *(f"- {rule}" for rule in said[1:])] if len(said) > 1 else []
    labels = ["# Labels", *(f"- {label}" for label in task.labels)] if task.labels else []
    form = answer_format(task)
    return _joined("\n".join(["# Task", said[0]]), rules, labels, ["# Answer", form] if form else [])


def with_json(task: Task, instruction: str) -> str:
    """The labels as a JSON list; nothing where there are none."""
    return _joined(instruction, [f"Labels: {json.dumps(list(task.labels), ensure_ascii=False)}"], [answer_format(task)]) if task.labels else ""


def shortened(task: Task, instruction: str) -> str:
    """The first sentence and the form of the answer: where demonstrations do the work, the rest costs tokens on every call."""
    said = sentences(instruction)
    return _joined(said[0], [f"Labels: {', '.join(task.labels)}"] if task.labels else [], [answer_format(task)]) if len(said) > 1 else ""


def _joined(head: str, *blocks: list[str]) -> str:
    filled = ["\n".join(line for line in block if line) for block in blocks]
    return "\n\n".join([head, *(block for block in filled if block)]).strip()
