"""MLflow: assessments as its client posts, changes and reads them, and as its traces carry them in an export.

Belongs here: field names of MLflow. Not here: what a value means (said.py), spans (otlp.py), routes, SQL.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from learning_pipelines.feedback.peers.said import Said, moment, words
from learning_pipelines.feedback.peers.shape import Malformed, mapping, optional, optional_text, required

TRACE_PREFIX = "tr-"
_MACHINES = ("LLM_JUDGE", "AI_JUDGE", "CODE", "SOURCE_TYPE_UNSPECIFIED")
_ANSWERS = {"expected_response", "expected_output", "expected_answer", "correction"}
_MASK = {"assessmentName": "assessment_name", "assessment_name": "assessment_name"}


def assessment(payload: Mapping[str, Any]) -> Said:
    """One assessment: of POST …/traces/{trace_id}/assessments, of an exported trace's `info.assessments`.

    Only source_type HUMAN is a person's; an unspecified one is not taken for one. An expectation by a person that gives the whole
    answer (expected_response) is a correction. Raises Malformed naming the field.
    """
    name = required(payload, "assessment_name")
    source = mapping(payload, "source")
    kind = optional(source, "source_type", ("HUMAN", *_MACHINES)) or "SOURCE_TYPE_UNSPECIFIED"
    author = optional_text(source, "source_id")
    metadata = mapping(payload, "metadata")
    value, correction = _value(payload, name)
    return Said(
        peer="mlflow",
        id=required(payload, "assessment_id"),
        name=name,
        value=value,
        payload=payload,
        execution_id=execution_of(required(payload, "trace_id")),
        span_id=optional_text(payload, "span_id"),
        machine=kind != "HUMAN",
        text=optional_text(payload, "rationale"),
        correction=correction,
        user=author if author != "default" else None,
        agent=optional_text(metadata, "agent"),
        created_at=moment(payload.get("last_update_time") or payload.get("create_time")),
        scale=optional_text(metadata, "scale"),
        # What failed or no longer holds is kept, but it is nobody's opinion.
        countable=payload.get("valid") is not False and not mapping(payload, "feedback").get("error"),
    )


def _value(payload: Mapping[str, Any], name: str) -> tuple[bool | float | str | None, str | None]:
    if payload.get("expectation") is not None:
        expected = mapping(payload, "expectation").get("value")
        whole = isinstance(expected, str) and words(name) in _ANSWERS
        return None, expected if whole else None
    if payload.get("feedback") is None:
        raise Malformed("feedback", "is required (or expectation)")
    value = mapping(payload, "feedback").get("value")
    return (value if isinstance(value, bool | int | float | str) else None), None


def execution_of(trace_id: str) -> str:
    """Our execution id: the trace's own 32 digits, which OTLP and the other peers use too."""
    digits = trace_id.removeprefix(TRACE_PREFIX)
    return digits if len(digits) == 32 else trace_id


def trace_of(execution_id: str) -> str:
    """MLflow's trace id of an execution."""
    return f"{TRACE_PREFIX}{execution_id}" if len(execution_id) == 32 and not execution_id.startswith(TRACE_PREFIX) else execution_id


def changed(stored: Mapping[str, Any], update: Mapping[str, Any], mask: str, now: str) -> dict[str, Any]:
    """The assessment after PATCH: the fields that the mask names replace the stored ones, metadata is added to. Raises Malformed."""
    payload = dict(stored)
    for part in filter(None, mask.split(",")):
        key = _MASK.get(part, part)
        if key not in ("assessment_name", "feedback", "expectation", "rationale", "metadata"):
            raise Malformed("update_mask", f"cannot change {part}")
        payload[key] = {**mapping(stored, key), **mapping(update, key)} if key == "metadata" else update.get(key)
    payload["last_update_time"] = now
    return payload
