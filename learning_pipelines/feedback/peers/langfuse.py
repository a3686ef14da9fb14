"""Langfuse: scores as their client posts them, as their API and exports give them, and back.

Belongs here: field names of Langfuse. Not here: what a value means (said.py), routes, SQL.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping
from typing import Any

from learning_pipelines.feedback.peers.otlp import Span, any_value, nanoseconds
from learning_pipelines.feedback.peers.said import Said, moment
from learning_pipelines.feedback.peers.shape import Malformed, number, optional, optional_text, required
from learning_pipelines.feedback.peers.spans import Reading, loaded, text

_TYPES = {"agent": "agent", "llm": "generation", "retriever": "retriever"}
TYPES = ("NUMERIC", "BOOLEAN", "CATEGORICAL", "TEXT", "CORRECTION")


def score(payload: Mapping[str, Any]) -> Said:
    """One score: a body of POST /api/public/scores, an entry of GET /api/public/v3/scores, or a row of the scores export.

    A score of source EVAL is Langfuse's own judge; ANNOTATION is a person in its queue; API is whoever calls: a person's, unless its
    metadata says otherwise (`annotator_kind` LLM or CODE). Raises Malformed naming the field.
    """
    name = required(payload, "name")
    kind = optional(payload, "dataType", TYPES) or _inferred(payload)
    value = _value(payload, kind)
    metadata = payload.get("metadata") if isinstance(payload.get("metadata"), Mapping) else {}
    assert isinstance(metadata, Mapping)
    subject = _subject(payload)
    comment = optional_text(payload, "comment")
    source = optional(payload, "source", ("API", "ANNOTATION", "EVAL")) or "API"
    said_text = value if kind == "TEXT" and isinstance(value, str) else None
    return Said(
        peer="langfuse",
        id=optional_text(payload, "id") or str(uuid.uuid4()),
        name=name,
        value=value,
        payload=payload,
        execution_id=subject.get("trace"),
        span_id=subject.get("observation"),
        machine=source == "EVAL" or str(metadata.get("annotator_kind", "")).upper() in ("LLM", "CODE"),
        label=value if kind == "CATEGORICAL" and isinstance(value, str) else None,
        text=said_text or comment,
        correction=value if kind == "CORRECTION" and isinstance(value, str) else None,
        user=_user(payload, metadata),
        agent=_named(metadata, "agent"),
        created_at=moment(payload.get("timestamp")),
        scale=_named(metadata, "scale"),
        countable="trace" in subject or "observation" in subject,
    )


def _inferred(payload: Mapping[str, Any]) -> str:
    return "CATEGORICAL" if isinstance(payload.get("value", payload.get("stringValue")), str) else "NUMERIC"


def _value(payload: Mapping[str, Any], kind: str) -> bool | float | str:
    """Exports put words beside the number in `stringValue`."""
    if kind in ("CATEGORICAL", "TEXT", "CORRECTION"):
        word = payload.get("stringValue") or payload.get("value")
        if not isinstance(word, str):
            raise Malformed("value", f"must be text for dataType {kind}")
        return word
    given = number(payload, "value")
    if kind == "BOOLEAN":
        if given not in (0, 1):
            raise Malformed("value", "must be 0 or 1 for dataType BOOLEAN")
        return bool(given)
    return given


def _subject(payload: Mapping[str, Any]) -> dict[str, str]:
    """What the score is about, by kind: trace, observation, session, experiment."""
    found = {
        kind: text
        for kind, key in (("trace", "traceId"), ("observation", "observationId"), ("session", "sessionId"), ("experiment", "datasetRunId"))
        if (text := optional_text(payload, key)) is not None
    }
    subject = payload.get("subject")
    if isinstance(subject, Mapping) and isinstance(subject.get("id"), str):
        found[str(subject.get("kind"))] = subject["id"]
        if isinstance(subject.get("traceId"), str):
            found["trace"] = subject["traceId"]
    if not found:
        raise Malformed("traceId", "is required (or sessionId, or datasetRunId)")
    return found


def _user(payload: Mapping[str, Any], metadata: Mapping[str, Any]) -> str | None:
    return optional_text(payload, "authorUserId") or next((user for key in ("user_id", "userId", "user") if (user := _named(metadata, key))), None)


def _named(metadata: Mapping[str, Any], key: str) -> str | None:
    value = metadata.get(key)
    return value if isinstance(value, str) and value else None


def as_v3(said_payload: Mapping[str, Any], identity: str, project: str, stored_at: str, changed_at: str) -> dict[str, Any]:
    """A stored score as GET /api/public/v3/scores gives it, with every field of groups details, subject and annotation."""
    said = score({**said_payload, "id": identity})
    kind = said_payload.get("dataType") or _inferred(said_payload)
    # A correction has no value of the score's own scale; Langfuse gives its text as the value.
    known = {"traceId", "sessionId", "observationId", "datasetRunId", "stringValue"}
    return {
        "environment": "default", "source": "API", "createdAt": stored_at, "updatedAt": changed_at, "projectId": project,
        **{key: value for key, value in said_payload.items() if key not in known},
        "timestamp": said.created_at or stored_at,
        "id": identity, "dataType": kind, "value": said.value, "subject": said_payload.get("subject") or _as_subject(said_payload),
    }  # fmt: skip


def _as_subject(payload: Mapping[str, Any]) -> dict[str, Any]:
    subject = _subject(payload)
    if "observation" in subject:
        return {"kind": "observation", "id": subject["observation"], "traceId": subject.get("trace")}
    kind = next(kind for kind in ("trace", "session", "experiment") if kind in subject)
    return {"kind": kind, "id": subject[kind]}


def trace_names(payload: Mapping[str, Any]) -> list[str]:
    """Names of an exported trace that may mean our agent, the most explicit first: metadata `agent`, the service, the trace's name."""
    metadata = payload.get("metadata") if isinstance(payload.get("metadata"), Mapping) else {}
    assert isinstance(metadata, Mapping)
    resource = metadata.get("resourceAttributes") if isinstance(metadata.get("resourceAttributes"), Mapping) else {}
    assert isinstance(resource, Mapping)
    return [str(name) for name in (metadata.get("agent"), resource.get("service.name"), payload.get("name")) if name]


def trace(payload: Mapping[str, Any], agent: str) -> dict[str, Any]:
    """The record (kind executions) of a trace as Langfuse's API and exports give it; the whole of it is kept in context (`langfuse`).

    Its latency is in seconds. Tokens are summed over the observations, where the export has them.
    """
    observations = [one for one in payload.get("observations") or [] if isinstance(one, Mapping)]
    latency = payload.get("latency")
    cost = payload.get("totalCost")
    record: dict[str, Any] = {
        "execution_id": required(payload, "id"), "agent": agent, "input": text(payload.get("input")), "output": text(payload.get("output")),
        "user": optional_text(payload, "userId"), "session_id": optional_text(payload, "sessionId"), "environment": optional_text(payload, "environment"),
        "tags": payload.get("tags") or None, "created_at": moment(payload.get("timestamp")),
        "latency_ms": float(latency) * 1000 if isinstance(latency, int | float) else None, "cost_usd": cost if isinstance(cost, int | float) else None,
        "input_tokens": _tokens(observations, "input"), "output_tokens": _tokens(observations, "output"), "context": {"langfuse": dict(payload)},
    }  # fmt: skip
    return {key: value for key, value in record.items() if value is not None}


def _tokens(observations: list[Mapping[str, Any]], side: str) -> int | None:
    counted = [usage.get(side) for one in observations if isinstance(usage := one.get("usageDetails") or one.get("usage"), Mapping)]
    found = [int(item) for item in counted if isinstance(item, int | float)]
    return sum(found) if found else None


def as_observation(span: Span, project: str) -> dict[str, Any]:
    """A span as GET /api/public/v2/observations gives it; every attribute is in `metadata.attributes`, as Langfuse keeps those of OTLP."""
    reading = Reading(span)
    attributes, frame = reading.attributes, span.frame.get("scopeSpans") or {}
    usage = {side: count for side in ("input", "output") if (count := reading.tokens(side)) is not None}
    row: dict[str, Any] = {
        "id": span.span_id, "traceId": span.trace_id, "projectId": project, "parentObservationId": span.parent_id, "name": span.raw.get("name"),
        "type": str(attributes.get("langfuse.observation.type") or _TYPES.get(reading.kind, "span")).upper(),
        "startTime": _moment(span.start), "endTime": _moment(span.end), "level": attributes.get("langfuse.observation.level") or "DEFAULT",
        "environment": reading.environment or "default", "userId": reading.user, "sessionId": reading.session, "tags": reading.tags or None,
        "input": loaded(attributes.get("langfuse.observation.input", attributes.get("input.value"))),
        "output": loaded(attributes.get("langfuse.observation.output", attributes.get("output.value"))),
        "model": reading.model, "usageDetails": usage or None, "totalCost": reading.cost,
        "costDetails": loaded(attributes.get("langfuse.observation.cost_details")),
        "metadata": {"attributes": attributes, "resourceAttributes": reading.resource, "scope": frame.get("scope") or {}},
    }  # fmt: skip
    return {key: value for key, value in row.items() if value is not None}


def observation(payload: Mapping[str, Any]) -> Span:
    """An exported observation as a span; the original is kept beside (`exported`). Ids of any form are taken. Raises Malformed."""
    metadata = payload.get("metadata") if isinstance(payload.get("metadata"), Mapping) else {}
    assert isinstance(metadata, Mapping)
    attributes, resource = metadata.get("attributes"), metadata.get("resourceAttributes")
    usage, costs = payload.get("usageDetails"), payload.get("costDetails")
    plain = {
        "langfuse.observation.type": str(payload.get("type") or "span").lower(), "langfuse.observation.input": payload.get("input"),
        "langfuse.observation.output": payload.get("output"), "langfuse.observation.model.name": payload.get("model"),
        "langfuse.observation.usage_details": usage, "langfuse.observation.cost_details": costs or {"total": payload.get("totalCost")},
        "langfuse.environment": payload.get("environment"), "user.id": payload.get("userId"), "session.id": payload.get("sessionId"),
        "langfuse.trace.tags": payload.get("tags"), "langfuse.internal.is_app_root": payload.get("isRootObservation"),
    }  # fmt: skip
    found = {key: value for key, value in plain.items() if value is not None} | (dict(attributes) if isinstance(attributes, Mapping) else {})
    start = nanoseconds(payload, "startTime")
    raw = {
        "traceId": required(payload, "traceId"), "spanId": required(payload, "id"), "parentSpanId": optional_text(payload, "parentObservationId") or "",
        "name": payload.get("name"), "startTimeUnixNano": start, "endTimeUnixNano": nanoseconds(payload, "endTime") if payload.get("endTime") else start,
        "attributes": [{"key": key, "value": any_value(value)} for key, value in found.items()], "exported": dict(payload),
    }  # fmt: skip
    described = [{"key": str(key), "value": any_value(value)} for key, value in resource.items()] if isinstance(resource, Mapping) else []
    return Span(raw, {"resourceSpans": {"resource": {"attributes": described}}})


def _moment(nanoseconds_since: int) -> str:
    return dt.datetime.fromtimestamp(nanoseconds_since / 1e9, dt.UTC).isoformat()
