"""The seven kinds of record that come in from outside, as typed models: the keys of an import file and of an HTTP body alike.

Belongs here: shape, allowed values, limits and what fields must come together. Not here: reading files (importing.py), identity
and checks that need the database (storage/ingest*.py).
"""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any, ClassVar, Literal

import orjson
from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator

from learning_pipelines.prompts import metric_options

TEXT_LIMIT = 1_000_000
DOCUMENT_LIMIT = 4_000_000
MOST_ACTIONS = 1_000
END = "<end>"
"""As behavior/task.END: no action may be called so."""
NESTED_TOO_DEEPLY = "is nested deeper than 250 levels"
AGENT_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$"
ORGANIZATION_PATTERN = r"^[a-z0-9][a-z0-9-]{0,62}$"

FeedbackType = Literal["thumbs_up", "thumbs_down", "star_rating", "detailed_feedback", "correction", "report_issue"]
IssueCategory = Literal["incorrect", "incomplete", "unclear", "hallucination", "outdated", "formatting", "tone", "other"]
ExampleType = Literal["positive", "negative", "correction", "demonstration", "edge_case", "failure", "preference"]
ReviewStatus = Literal["pending", "in_review", "approved", "rejected", "needs_revision"]
MetricType = Literal["exact_match", "contains", "json_match", "numeric", "similarity", "judge"]


def _text_time(value: object) -> object:
    if isinstance(value, dt.datetime):
        return value
    if not isinstance(value, str) or len(value) < 19:
        raise ValueError("must be an RFC 3339 time such as 2026-11-22T09:15:00Z")
    return value


def _one_separator(value: object) -> object:
    if isinstance(value, str) and "..." in value:
        raise ValueError('may not contain "..."')
    return value


def _structured_text(value: object) -> object:
    """Chat inputs are often objects: they are kept as compact JSON text."""
    if not isinstance(value, dict | list):
        return value
    try:
        return orjson.dumps(value).decode()
    except orjson.JSONEncodeError as error:
        raise ValueError(NESTED_TOO_DEEPLY) from error


Id = Annotated[str, Field(min_length=1, max_length=255, coerce_numbers_to_str=True)]
AgentSlug = Annotated[str, StringConstraints(pattern=AGENT_PATTERN), BeforeValidator(_one_separator)]
Label = Annotated[str, Field(max_length=255)]
Text = Annotated[str, Field(max_length=TEXT_LIMIT)]
StructuredText = Annotated[Text, BeforeValidator(_structured_text)]
GivenText = Annotated[Text, StringConstraints(pattern=r"\S")]


def _whole(value: object) -> object:
    """Tables export whole numbers as 5.0 where a column has gaps."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Stars = Annotated[int, Field(ge=1, le=5, strict=True), BeforeValidator(_whole)]
Share = Annotated[float, Field(ge=0, le=1, strict=True)]
Count = Annotated[int, Field(ge=0, le=2_147_483_647, strict=True), BeforeValidator(_whole)]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False, strict=True)]
Moment = Annotated[AwareDatetime, BeforeValidator(_text_time)]
Tags = Annotated[list[Label], Field(max_length=1000)]
Anything = dict[str, Any]


class Record(BaseModel):
    """One line or body. Unknown keys are kept (`context` of the stored row)."""

    model_config = ConfigDict(extra="allow")
    kind: ClassVar[str]
    id_key: ClassVar[str | None]
    """The key that holds the record's own id; None where a record has no id of its own."""

    def own(self, key: str) -> Any:
        """The value of a key that this kind knows; None for any other, because unknown keys may bear every name."""
        return self.__dict__.get(key)


class AgentRecord(Record):
    kind: ClassVar[str] = "agents"
    id_key: ClassVar[str | None] = "agent"
    agent: AgentSlug
    name: Label | None = None
    system_prompt: Text | None = None
    model: Label | None = None
    domain: Label | None = None
    metric: Metric | None = None
    labels: Annotated[list[Annotated[str, Field(min_length=1, max_length=255)]], Field(max_length=10_000)] | None = None
    judge_sample: Share | None = None
    """Share of live executions that the judge is to score; kept in the agent's context."""


class Metric(BaseModel):
    """How answers of an agent are scored; further keys are the metric's options."""

    model_config = ConfigDict(extra="allow")
    type: MetricType

    @model_validator(mode="after")
    def _options_exist(self) -> Metric:
        if problem := metric_options.wrong(self.model_dump()):
            raise ValueError(f"metric.{problem}")
        return self


class ExecutionRecord(Record):
    kind: ClassVar[str] = "executions"
    id_key: ClassVar[str | None] = "execution_id"
    execution_id: Id
    agent: AgentSlug
    input: StructuredText
    output: StructuredText
    user: Id | None = None
    session_id: Id | None = None
    parent_id: Id | None = None
    messages: list[Anything] | None = None
    tags: Tags | None = None
    environment: Label | None = None
    context: Anything | None = None
    retrieved: list[Retrieved] | None = None
    prompt_version: Id | None = None
    latency_ms: Amount | None = None
    input_tokens: Count | None = None
    output_tokens: Count | None = None
    cost_usd: Amount | None = None
    created_at: Moment | None = None


class Retrieved(BaseModel):
    """One passage an execution was given: a chunk or a document, with its rank (from 1) and score."""

    model_config = ConfigDict(extra="allow")
    chunk_id: Id | None = None
    document_id: Id | None = None
    rank: Count | None = None
    score: Annotated[float, Field(allow_inf_nan=False, strict=True)] | None = None

    @model_validator(mode="after")
    def _names_something(self) -> Retrieved:
        if self.chunk_id is None and self.document_id is None:
            raise ValueError("needs chunk_id or document_id")
        return self


class Dimensions(BaseModel):
    model_config = ConfigDict(extra="forbid")
    accuracy: Stars | None = None
    helpfulness: Stars | None = None
    clarity: Stars | None = None
    completeness: Stars | None = None


class FeedbackRecord(Record):
    kind: ClassVar[str] = "feedback"
    id_key: ClassVar[str | None] = "feedback_id"
    feedback_id: Id | None = None
    execution_id: Id
    feedback_type: FeedbackType
    agent: AgentSlug | None = None
    user: Id | None = None
    rating: Stars | None = None
    dimensions: Dimensions | None = None
    issue_categories: Annotated[list[IssueCategory], Field(max_length=8)] | None = None
    feedback_text: Text | None = None
    correction_text: GivenText | None = None
    task_context: Anything | str | None = None
    withdrawn: Annotated[bool, Field(strict=True)] | None = None
    """Takes back what the user said before about the same facets (thumb, rating, dimensions, issues, correction): afterwards nothing of them is in force."""
    created_at: Moment | None = None

    @model_validator(mode="after")
    def _says_what_it_is(self) -> FeedbackRecord:
        if self.withdrawn and self.user is None:
            raise ValueError("withdrawn: needs the user whose feedback is taken back; anonymous feedback stays")
        if self.feedback_type == "star_rating" and self.rating is None:
            raise ValueError("rating: a star_rating needs a rating from 1 to 5")
        if self.feedback_type == "correction" and self.correction_text is None:
            raise ValueError("correction_text: a correction needs the corrected answer")
        return self


class ExampleRecord(Record):
    kind: ClassVar[str] = "examples"
    id_key: ClassVar[str | None] = "example_id"
    example_id: Id | None = None
    agent: AgentSlug
    input_text: Annotated[StructuredText, StringConstraints(min_length=1)]
    expected_output: StructuredText
    example_type: ExampleType | None = None
    input_context: Anything | None = None
    original_output: StructuredText | None = None
    output_a: Text | None = None
    output_b: Text | None = None
    preferred_output: Literal["A", "B"] | None = None
    preference_strength: Stars | None = None
    domain: Label | None = None
    task_type: Label | None = None
    complexity: Stars | None = None
    jurisdictions: Tags | None = None
    tags: Tags | None = None
    quality_score: Share | None = None
    user: Id | None = None
    review_status: ReviewStatus | None = None
    created_at: Moment | None = None

    @model_validator(mode="after")
    def _preference_is_whole(self) -> ExampleRecord:
        if self.example_type == "preference":
            for name in ("output_a", "output_b", "preferred_output"):
                if getattr(self, name) is None:
                    raise ValueError(f"{name}: a preference needs output_a, output_b and preferred_output")
        return self


def _no_end(kind: str) -> str:
    if kind == END:
        raise ValueError(f"{END} is reserved for the end, which every demonstration has by itself; leave this action out, or call it something else")
    return kind


def _length_of_actions(value: object) -> object:
    if isinstance(value, list) and not value:
        raise ValueError("are none; a demonstration has at least one action")
    if isinstance(value, list) and len(value) > MOST_ACTIONS:
        raise ValueError(f"are {len(value):,}, and a demonstration has at most {MOST_ACTIONS:,}; split it into one demonstration per task")
    return value


class Action(BaseModel):
    model_config = ConfigDict(extra="allow")
    type: Annotated[str, StringConstraints(strip_whitespace=True, max_length=255, pattern=r"\S"), AfterValidator(_no_end)]
    arguments: Any = None
    context: Any = None


class DemonstrationRecord(Record):
    kind: ClassVar[str] = "demonstrations"
    id_key: ClassVar[str | None] = "demonstration_id"
    demonstration_id: Id | None = None
    agent: AgentSlug
    task_description: GivenText
    actions: Annotated[list[Action], BeforeValidator(_length_of_actions)]
    final_output: StructuredText
    input_state: Anything | str | None = None
    reasoning: Text | None = None
    expert: Id | None = None
    task_type: Label | None = None
    task_id: Id | None = None
    """Demonstrations that name one task are of one task, however they word it; kept in the demonstration's context."""
    outcome: Literal["success", "failure"] | None = None
    """failure: how not to do it. Without one it is a success."""
    replaces: Id | None = None
    """The id of the demonstration that this one is a new version of."""
    created_at: Moment | None = None


class DocumentRecord(Record):
    kind: ClassVar[str] = "documents"
    id_key: ClassVar[str | None] = "document_id"
    document_id: Id
    text: Annotated[str, Field(max_length=DOCUMENT_LIMIT), StringConstraints(pattern=r"\S")]
    title: Annotated[str, Field(max_length=2000)] | None = None
    agent: AgentSlug | None = None
    metadata: Anything | None = None


class RetrievalFeedbackRecord(Record):
    kind: ClassVar[str] = "retrieval_feedback"
    id_key: ClassVar[str | None] = None
    query: GivenText
    agent: AgentSlug | None = None
    retrieved: Annotated[list[Id], Field(max_length=1000)] | None = None
    relevant: Annotated[list[Id], Field(max_length=1000)]
    rating: Stars | None = None
    helped: Annotated[bool, Field(strict=True)] | None = None
    user: Id | None = None
    created_at: Moment | None = None


KINDS: dict[str, type[Record]] = {
    model.kind: model
    for model in (AgentRecord, ExecutionRecord, FeedbackRecord, ExampleRecord, DemonstrationRecord, DocumentRecord, RetrievalFeedbackRecord)
}
for _model in KINDS.values():
    _model.model_rebuild()
