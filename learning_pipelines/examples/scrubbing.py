"""Scrubbing an example as a whole, so that it reads the same whether it was scrubbed once by today's rules or again after older ones.

Belongs here: which parts of an example are scrubbed together. Not here: the rules (feedback/privacy*.py), SQL.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, fields
from typing import Any

import orjson

from learning_pipelines.feedback.privacy import JSON, Scrubber, scrub_json
from learning_pipelines.feedback.privacy_placeholders import renamed_json, renumbered, strings


@dataclass(frozen=True, slots=True)
class Content:
    """Everything in an example that people may have written. The texts come first: they number the placeholders."""

    input_text: str
    original_output: str | None = None
    expected_output: str | None = None
    output_a: str | None = None
    output_b: str | None = None
    input_context: dict[str, Any] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    domain: str | None = None
    task_type: str | None = None
    jurisdictions: tuple[str, ...] = ()
    review_notes: str | None = None

    def parts(self) -> list[JSON]:
        """The fields in their order, as JSON."""
        values = [getattr(self, one.name) for one in fields(self)]
        return [list(value) if isinstance(value, tuple) else value for value in values]


def scrubbed(content: Content) -> tuple[Content, dict[str, int]]:
    """The content without personal data, and how many different values of each kind were taken out now.

    Equal values get equal placeholders, numbered in order of appearance. Scrubbing again changes nothing.
    """
    parts = content.parts()
    scrubber = Scrubber(*parts)
    clean = scrub_json(parts, scrubber)
    clean = renamed_json(clean, renumbered(strings([clean])))
    assert isinstance(clean, list)
    values: list[Any] = [tuple(part) if isinstance(part, list) else part for part in clean]
    return Content(*values), dict(scrubber.counts)


def content_hash(example_type: str, content: Content) -> bytes:
    """Equal for equal content of one agent: what two examples must share to be the same."""
    # What the agent said matters where that is the lesson; for a correction or a good answer only what it should say.
    lesson = content.original_output if example_type in ("negative", "failure") else None
    parts = [example_type, content.input_text, lesson, content.expected_output, content.output_a, content.output_b]
    return hashlib.sha256(orjson.dumps(parts)).digest()
