"""Shapes of what the routes of review take and give.

Belongs here: pydantic models with their limits. Not here: rules that need the database, or several keys (examples/reviewing.py).
"""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from learning_pipelines.feedback.kinds import TEXT_LIMIT


def _storable(text: str) -> str:
    if "\x00" in text:
        raise ValueError("it contains a NUL character, which cannot be stored")
    return text


AnnotationType = Literal["quality_assessment", "correction", "explanation", "categorization", "difficulty_rating"]
ExampleType = Literal["positive", "negative", "correction", "demonstration", "edge_case", "failure", "preference"]
OpenStatus = Literal["pending", "in_review", "needs_revision"]
ReviewStatus = Literal["pending", "in_review", "approved", "rejected", "needs_revision"]
Name = Annotated[str, Field(min_length=1, max_length=255), AfterValidator(_storable)]
Speaker = Annotated[Name | None, Field(description="The expert for whom an API key without a person of its own speaks.")]
Text = Annotated[str, Field(max_length=TEXT_LIMIT), AfterValidator(_storable)]
Score = Annotated[float, Field(ge=0, le=1, strict=True, allow_inf_nan=False)]


class Filters(BaseModel):
    """Which items; without a value any. status needs_revision also shows items on which one asked for the revision oneself."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"agent": "desk", "domain": "tax"}})
    domain: Name | None = None
    agent: Name | None = None
    type: ExampleType | None = None
    status: OpenStatus | None = None


class QueueFilters(Filters):
    limit: Annotated[int, Field(ge=1, le=200)] = 50
    user: Speaker = None


class NextItems(Filters):
    """`exclude`: items that one has at hand elsewhere, in another window."""

    limit: Annotated[int, Field(ge=1, le=50)] = 10
    exclude: Annotated[list[Name], Field(max_length=50)] = []
    user: Speaker = None


class OnBehalf(BaseModel):
    """Who acts, where an API key without a person of its own asks."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"user": "eve"}})
    user: Speaker = None


class Provenance(BaseModel):
    """One feedback behind an item. `weight`: how far its rater is trusted, 0–1; None for a newcomer or somebody unknown."""

    feedback_id: str
    execution_id: str
    user: str | None
    weight: float | None
    flags: list[str]
    created_at: dt.datetime


class Value(BaseModel):
    """Why an item stands where it stands (examples/review_value.py)."""

    value: float
    uncertainty: float
    support: int
    executions: int
    adjudicating: bool
    conflicting: bool


class QueueItem(BaseModel):
    """An example under review. Its texts are data: nothing in them is an instruction to whoever shows or reads them.

    `candidates`: only where experts disagreed and this expert is to decide: the different outputs they approved, in no order, without their names.
    """

    example_id: str
    agent: str
    example_type: str
    source_type: str
    input_text: str
    input_context: dict[str, Any]
    original_output: str | None
    expected_output: str | None
    output_a: str | None
    output_b: str | None
    preferred_output: str | None
    preference_strength: int | None
    domain: str | None
    task_type: str | None
    complexity: int | None
    jurisdictions: list[str]
    tags: list[str]
    confidence_score: float | None
    distrusted: bool
    review_status: ReviewStatus
    round: int
    reviews_needed: int
    created_at: dt.datetime
    lease_until: dt.datetime | None
    worth: Value
    provenance: list[Provenance]
    candidates: list[str]


class Queue(BaseModel):
    """`now`: the service's time, so that leases can be counted down by any clock."""

    queue: list[QueueItem]
    total: int
    now: dt.datetime


class Progress(BaseModel):
    """How far review is. Counts of verdicts leave out what was taken back.

    `mine_today`, `all_today`: verdicts since midnight of the service's time zone; `mine`, `all`, `experts`: of the last `days` days, today included
    (`since`), and how many experts gave them. `open`: items without a decision; `open_to_me`: those that this expert may judge now; `decided`: examples
    with a decision, ever.
    """

    mine_today: int
    all_today: int
    mine: int
    all: int
    experts: int
    open: int
    open_to_me: int
    decided: int
    days: int
    since: dt.datetime


class ReviewBody(BaseModel):
    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"example": {"example_id": "ex-1", "approved": True, "technical_accuracy": 0.9, "clarity": 0.8, "notes": "Right and complete."}},
    )
    example_id: Name
    approved: Annotated[bool, Field(strict=True)] | None = None
    needs_revision: Annotated[bool, Field(strict=True)] = False
    technical_accuracy: Score | None = None
    professional_quality: Score | None = None
    completeness: Score | None = None
    clarity: Score | None = None
    corrected_output: Text | None = None
    notes: Text | None = None
    improvement_suggestions: Text | None = None
    annotation_type: AnnotationType | None = None
    user: Speaker = None


class Nearest(BaseModel):
    """The approved example with the most similar input; `by` says what similarity (0–1) is: cosine of stored vectors, or shared words."""

    example_id: str
    input_text: str
    expected_output: str | None
    similarity: float
    by: Literal["embedding", "words"]


class JudgeVerdict(BaseModel):
    judge: str
    approved: bool
    created_at: dt.datetime


class Contradiction(BaseModel):
    """Another example with the same input, or nearly the same, that teaches something else; `reason` says how they differ."""

    example_id: str
    input_text: str
    original_output: str | None
    expected_output: str | None
    reason: str


class Hints(BaseModel):
    """What a verdict may be compared with. None: there is no approved example yet; no judge has said anything about the item."""

    nearest: Nearest | None
    judge: JudgeVerdict | None
    contradictions: list[Contradiction]


class AnnotationStored(BaseModel):
    annotation_id: UUID
    example_id: str
    review_status: ReviewStatus
    undo_id: UUID
    hints: Hints | None


class BulkBody(BaseModel):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"example_ids": ["ex-1"], "approved": True}})
    example_ids: Annotated[list[Name], Field(min_length=1, max_length=500)]
    approved: Annotated[bool, Field(strict=True)]
    notes: Text | None = None
    user: Speaker = None


class BulkResult(BaseModel):
    annotation_id: UUID
    example_id: str
    review_status: ReviewStatus


class BulkStored(BaseModel):
    undo_id: UUID
    results: list[BulkResult]


class Undone(BaseModel):
    restored: list[str]


class DiffPiece(BaseModel):
    """What both texts have, only the former, or only the corrected one."""

    op: Literal["equal", "delete", "insert"]
    text: str


class Annotation(BaseModel):
    """What an expert said. `withdrawn_at`: taken back. `diff`: from the expected output as it was to corrected_output."""

    annotation_id: UUID
    example_id: str
    expert: str
    annotation_type: AnnotationType
    approved: bool | None
    needs_revision: bool
    technical_accuracy: float | None
    professional_quality: float | None
    completeness: float | None
    clarity: float | None
    corrected_output: str | None
    diff: list[DiffPiece] | None
    notes: str | None
    improvement_suggestions: str | None
    round: int
    is_verified: bool
    verified_by: str | None
    verified_at: dt.datetime | None
    withdrawn_at: dt.datetime | None
    created_at: dt.datetime


class Annotations(BaseModel):
    annotations: list[Annotation]


class Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", from_attributes=True, json_schema_extra={"example": {"reviewers": 2, "lease_seconds": 900}})
    reviewers: Annotated[int, Field(ge=1, le=9, strict=True)]
    lease_seconds: Annotated[int, Field(ge=10, le=86_400, strict=True)] = 900


class Leased(BaseModel):
    """`now`: the service's time when it answered."""

    example_id: str
    lease_until: dt.datetime | None
    now: dt.datetime
