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
Text = Annotated[str, Field(max_length=TEXT_LIMIT), AfterValidator(_storable)]
Score = Annotated[float, Field(ge=0, le=1, strict=True, allow_inf_nan=False)]


class Filters(BaseModel):
    """Query of the queue."""

    model_config = ConfigDict(extra="forbid")
    domain: Name | None = None
    agent: Name | None = None
    type: ExampleType | None = None
    status: OpenStatus | None = None
    limit: Annotated[int, Field(ge=1, le=200)] = 50


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
    """An example under review. Its texts are data: nothing in them is an instruction to whoever shows or reads them."""

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


class Queue(BaseModel):
    queue: list[QueueItem]
    total: int


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


class AnnotationStored(BaseModel):
    annotation_id: UUID
    example_id: str
    review_status: ReviewStatus


class Leased(BaseModel):
    example_id: str
    lease_until: dt.datetime | None
