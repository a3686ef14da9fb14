"""From what people said about an execution to the learning example it makes, scrubbed; and the same for examples that come in whole.

Belongs here: which feedback makes which type of example, the content hash that says whether two are the same. Not here: storing, review.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from enum import IntFlag
from typing import Any
from uuid import UUID

from learning_pipelines.examples.scrubbing import Content, content_hash, scrubbed
from learning_pipelines.feedback.kinds import ExampleRecord
from learning_pipelines.feedback.privacy import RULES_VERSION

CLEARLY_POSITIVE, CLEARLY_NEGATIVE = 4.0, 2.0
"""Stars from which a rating counts as clearly positive, and down from which as negative; 3 says neither."""


class Facet(IntFlag):
    """What a feedback says something about; the same bits as column agent_feedback.facets."""

    THUMB = 1
    RATING = 2
    DIMENSIONS = 4
    ISSUES = 8
    CORRECTION = 16


@dataclass(frozen=True, slots=True)
class Opinion:
    """One feedback with the facets still in force, and the execution it is about."""

    feedback_id: str
    execution_id: str
    user_id: UUID | None
    input_user_id: UUID | None
    feedback_type: str
    facets: Facet
    rating: int | None
    dimensions: tuple[int | None, ...]
    issue_categories: Sequence[str]
    correction_text: str | None
    task_context: Any
    input: str
    output: str
    tags: Sequence[str]
    created_at: dt.datetime


@dataclass(frozen=True, slots=True)
class Demonstrated:
    """What an expert showed, as stored."""

    demonstration_id: str
    user_id: UUID | None
    task_type: str | None
    task_description: str
    input_state: Any
    actions: Any
    reasoning: str | None
    final_output: str
    created_at: dt.datetime
    outcome: str = "success"


@dataclass(frozen=True, slots=True)
class Example:
    """The content of a learning example after scrubbing. `content_hash` is equal for equal content of one agent."""

    example_type: str
    input_text: str
    input_context: dict[str, Any] = field(default_factory=dict)
    original_output: str | None = None
    expected_output: str | None = None
    output_a: str | None = None
    output_b: str | None = None
    domain: str | None = None
    task_type: str | None = None
    tags: tuple[str, ...] = ()
    jurisdictions: tuple[str, ...] = ()
    scrubbed_entities: dict[str, int] = field(default_factory=dict)
    scrub_rules: str = RULES_VERSION

    @property
    def content_hash(self) -> bytes:
        return content_hash(self.example_type, self.content)

    @property
    def content(self) -> Content:
        return Content(*(getattr(self, one.name) for one in fields(Content) if one.name != "review_notes"))


@dataclass(frozen=True, slots=True)
class Candidate:
    """An example derived from feedback, and the feedback that decided it."""

    example: Example
    source: Opinion


def example_id(agent_id: UUID, content_hash: bytes) -> str:
    """The id of a derived example: the same content of the same agent is the same example, however often it is derived."""
    return "ex-" + hashlib.sha256(agent_id.bytes + content_hash).hexdigest()[:32]


def curate(opinions: Iterable[Opinion]) -> list[Candidate]:
    """At most one candidate per execution and person (per feedback where the person is unknown): correction before failure before
    negative or positive. Contradictory or neutral opinions make none.
    """
    people: defaultdict[tuple[str, UUID | str], list[Opinion]] = defaultdict(list)
    for opinion in opinions:
        people[opinion.execution_id, opinion.user_id or opinion.feedback_id].append(opinion)
    candidates = (_candidate(sorted(said, key=lambda opinion: opinion.created_at)) for said in people.values())
    return [candidate for candidate in candidates if candidate is not None]


def imported_example(record: ExampleRecord) -> Example:
    """An example that comes in whole, scrubbed. Without a type it is a correction if it replaces another output, else positive."""
    changed = record.original_output is not None and record.original_output != record.expected_output
    context = {**(record.model_extra or {}), **(record.input_context or {})}
    content = Content(
        record.input_text, record.original_output, record.expected_output, record.output_a, record.output_b, context, tuple(record.tags or ()),
        record.domain, record.task_type, tuple(record.jurisdictions or ()),
    )  # fmt: skip
    return _scrubbed(record.example_type or ("correction" if changed else "positive"), content)


def demonstrated_example(shown: Demonstrated) -> Example:
    """The example an expert's demonstration makes: the task as input, the result as expected output, the steps as context.

    A demonstration of how not to do it is a failure: its result is what was wrong, and nothing in it is an answer.
    """
    context = {"input_state": shown.input_state, "actions": shown.actions, "reasoning": shown.reasoning}
    kept = {key: value for key, value in context.items() if value is not None}
    failed = shown.outcome == "failure"
    original, expected = (shown.final_output, None) if failed else (None, shown.final_output)
    content = Content(shown.task_description, original, expected, input_context=kept, task_type=shown.task_type)
    return _scrubbed("failure" if failed else "demonstration", content)


def _candidate(said: list[Opinion]) -> Candidate | None:
    """`said` is what one person said about one execution, oldest first."""
    decided = _decide(said)
    if decided is None:
        return None
    kind, source = decided
    expected = {"correction": source.correction_text, "positive": source.output}.get(kind)
    issues = sorted({category for opinion in said if opinion.facets & Facet.ISSUES for category in opinion.issue_categories})
    context = {} if source.task_context is None else {"task_context": source.task_context}
    tags = tuple(dict.fromkeys([*source.tags, *issues]))
    content = Content(source.input, source.output, expected, input_context=context, tags=tags)
    return Candidate(_scrubbed(kind, content), source)


def _decide(said: list[Opinion]) -> tuple[str, Opinion] | None:
    for opinion in reversed(said):
        corrects = opinion.facets & Facet.CORRECTION and opinion.correction_text is not None
        if corrects and opinion.correction_text.strip() != opinion.output.strip():  # type: ignore[union-attr]
            return "correction", opinion
    for opinion in reversed(said):
        if opinion.feedback_type == "report_issue" and opinion.facets & Facet.ISSUES:
            return "failure", opinion
    signs = [(sign, opinion) for opinion in said if (sign := _sign(opinion)) != 0]
    if not signs or len({sign for sign, _ in signs}) > 1:
        return None
    sign, newest = signs[-1]
    if sign > 0 and any(opinion.facets & Facet.ISSUES for opinion in said):
        return None  # a good rating with a complaint is not clearly positive
    return ("positive" if sign > 0 else "negative"), newest


def _sign(opinion: Opinion) -> int:
    """+1 clearly positive, -1 negative, 0 neither or both."""
    signs = set()
    if opinion.facets & Facet.THUMB:
        signs.add(1 if opinion.feedback_type == "thumbs_up" else -1)
    stars: float | None = None
    if opinion.facets & Facet.RATING and opinion.rating is not None:
        stars = opinion.rating
    elif opinion.facets & Facet.DIMENSIONS:
        given = [value for value in opinion.dimensions if value is not None]
        stars = sum(given) / len(given) if given else None
    if stars is not None and stars >= CLEARLY_POSITIVE:
        signs.add(1)
    if stars is not None and stars <= CLEARLY_NEGATIVE:
        signs.add(-1)
    return signs.pop() if len(signs) == 1 else 0


def _scrubbed(example_type: str, content: Content) -> Example:
    clean, counts = scrubbed(content)
    values = {one.name: getattr(clean, one.name) for one in fields(Content) if one.name != "review_notes"}
    return Example(example_type=example_type, **values, scrubbed_entities=counts)
