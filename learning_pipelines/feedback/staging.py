"""From a checked record to the row that storage stages, one function per kind.

Belongs here: which key goes to which column. Not here: validation (kinds.py, records.py), statements (storage/ingest_sql.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

import orjson

from learning_pipelines.examples.candidates import imported_example
from learning_pipelines.feedback.identity import agent_id, user_id
from learning_pipelines.feedback.kinds import (
    AgentRecord,
    DemonstrationRecord,
    DocumentRecord,
    ExampleRecord,
    ExecutionRecord,
    FeedbackRecord,
    Record,
    RetrievalFeedbackRecord,
)
from learning_pipelines.feedback.records import Checked
from learning_pipelines.prompts.prompt import content_hash

Row = tuple[Any, ...]


class UnknownAgent(Exception):
    """The record names an agent that the organization does not have."""


class Stager:
    """Builds staging rows for one organization. `agents` maps the slugs that exist to their ids."""

    def __init__(self, organization: UUID, agents: Mapping[str, UUID]) -> None:
        self._organization = organization
        self._agents = agents

    def row(self, line: int, checked: Checked) -> Row:
        """The values of storage.ingest.columns(kind), in that order. Raises UnknownAgent."""
        record = checked.record
        person: str | None = record.own("expert" if isinstance(record, DemonstrationRecord) else "user")
        common = (
            line,
            checked.id,
            checked.content_hash,
            self._agent(record),
            user_id(self._organization, person) if person is not None else None,
            person,
            record.own("created_at"),
            _json(_context(record)),
        )
        return common + _VALUES[type(record)](record)

    def _agent(self, record: Record) -> UUID | None:
        slug: str | None = record.own("agent")
        if slug is None:
            return None
        if isinstance(record, AgentRecord):
            return agent_id(self._organization, slug)
        if slug not in self._agents:
            raise UnknownAgent(slug)
        return self._agents[slug]


def _json(value: object) -> str | None:
    return None if value is None else orjson.dumps(value).decode()


def _dumped(models: list[Any] | None) -> str | None:
    return None if models is None else _json([model.model_dump(exclude_none=True) for model in models])


def _context(record: Record) -> dict[str, Any]:
    own = record.context if isinstance(record, ExecutionRecord) else None
    if isinstance(record, AgentRecord) and record.judge_sample is not None:
        own = {"judge_sample": record.judge_sample}
    if isinstance(record, DemonstrationRecord) and record.task_id is not None:
        own = {"task_id": record.task_id}
    return {**(record.model_extra or {}), **(own or {})}


def _agent_values(record: AgentRecord) -> Row:
    messages = [{"role": "system", "content": record.system_prompt}] if record.system_prompt is not None else None
    text = _json(messages)
    return (
        record.name, record.system_prompt, text, content_hash(messages, {}) if messages else None, record.model, record.domain,
        _json(record.metric.model_dump()) if record.metric else None, record.labels,
    )  # fmt: skip


def _execution_values(record: ExecutionRecord) -> Row:
    return (
        record.session_id, record.parent_id, record.input, record.output, _json(record.messages), record.tags or [], record.environment,
        _dumped(record.retrieved), record.prompt_version, record.latency_ms, record.input_tokens, record.output_tokens, record.cost_usd,
    )  # fmt: skip


def _feedback_values(record: FeedbackRecord) -> Row:
    d = record.dimensions
    dimensions = (d.accuracy, d.helpfulness, d.clarity, d.completeness) if d is not None else (None, None, None, None)
    return (
        record.execution_id, record.feedback_type, record.rating, *dimensions, list(dict.fromkeys(record.issue_categories or ())),
        record.feedback_text, record.correction_text, _json(record.task_context), record.withdrawn or False,
    )  # fmt: skip


def _example_values(record: ExampleRecord) -> Row:
    example = imported_example(record)
    return (
        example.example_type, _json(example.input_context), example.input_text, example.original_output, example.expected_output,
        example.output_a, example.output_b, record.preferred_output, record.preference_strength, example.domain, example.task_type,
        record.complexity, list(example.jurisdictions), list(example.tags), record.quality_score, record.review_status or "pending",
        example.content_hash, example.scrub_rules, _json(example.scrubbed_entities),
    )  # fmt: skip


def _demonstration_values(record: DemonstrationRecord) -> Row:
    return (
        record.task_type, record.task_description, _json(record.input_state), _dumped(record.actions), record.reasoning, record.final_output,
        record.outcome or "success", record.replaces,
    )  # fmt: skip


def _document_values(record: DocumentRecord) -> Row:
    return (record.title, record.text, _json(record.metadata or {}))


def _retrieval_values(record: RetrievalFeedbackRecord) -> Row:
    return (record.query, record.retrieved or [], record.relevant, record.rating, record.helped)


_VALUES: dict[type[Record], Callable[[Any], Row]] = {
    AgentRecord: _agent_values,
    ExecutionRecord: _execution_values,
    FeedbackRecord: _feedback_values,
    ExampleRecord: _example_values,
    DemonstrationRecord: _demonstration_values,
    DocumentRecord: _document_values,
    RetrievalFeedbackRecord: _retrieval_values,
}
