"""Phoenix: annotations as its client posts them, as its API and data frames give them, and back.

Belongs here: field names of Phoenix. Not here: what a value means (said.py), routes, SQL.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Mapping
from typing import Any, Literal

from learning_pipelines.feedback.peers.otlp import Span
from learning_pipelines.feedback.peers.said import Said, moment
from learning_pipelines.feedback.peers.shape import Malformed, mapping, number, optional, optional_text, required
from learning_pipelines.feedback.peers.spans import Reading

Target = Literal["span", "trace", "session", "document"]
NOTE = "note"
"""Phoenix' name for remarks; their identifiers only keep them apart."""
_MACHINES = ("LLM", "CODE")


def annotation(payload: Mapping[str, Any], target: Target = "span") -> Said:
    """One entry of `data` of POST /v1/{span,trace,session,document}_annotations, of GET …/span_annotations, or a row of the data frame.

    Phoenix keeps one annotation per (target, name, identifier) and overwrites it: that triple is the identity, a change is a new
    version. A person is whom `user_id` of the payload or its metadata names, else the `identifier`. Raises Malformed naming the field.
    """
    row = unflattened(payload)
    name = required(row, "name")
    kind = optional(row, "annotator_kind", ("HUMAN", *_MACHINES)) or "HUMAN"
    result = mapping(row, "result")
    score = number(result, "score") if optional_text(result, "score") is not None else None
    label = optional_text(result, "label")
    text = optional_text(result, "explanation")
    if score is None and label is None and text is None:
        raise Malformed("result", "needs a label, a score or an explanation")
    metadata = mapping(row, "metadata")
    about = required(row, "session_id" if target == "session" else "trace_id" if target == "trace" else "span_id")
    identifier = optional_text(row, "identifier") or ""
    position = f"/{row.get('document_position')}" if target == "document" else ""
    return Said(
        peer="phoenix",
        id=identity(target, about + position, name, identifier),
        name=name,
        value=score,
        payload=payload,
        execution_id=about if target == "trace" else None,
        span_id=about if target in ("span", "document") else None,
        machine=kind in _MACHINES,
        label=label,
        text=text,
        user=optional_text(row, "user_id") or optional_text(metadata, "user_id") or (identifier if name != NOTE else None) or None,
        agent=optional_text(metadata, "agent"),
        created_at=moment(row.get("updated_at") or row.get("created_at")),
        scale=optional_text(metadata, "scale"),
        countable=target in ("span", "trace"),
    )


def note(payload: Mapping[str, Any]) -> Said:
    """A note (POST /v1/span_notes): a person's remark without any value, never overwritten."""
    span, text = required(payload, "span_id"), required(payload, "note")
    made = identity("span", span, NOTE, _of_note(text))
    return Said("phoenix", made, NOTE, None, payload, span_id=span, text=text, created_at=moment(payload.get("created_at")))


def _of_note(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def identity(target: str, about: str, name: str, identifier: str) -> str:
    """A short id of the triple that Phoenix takes for the same annotation."""
    return f"{target}-{hashlib.sha256(repr((about, name, identifier)).encode()).hexdigest()[:32]}"


def unflattened(payload: Mapping[str, Any]) -> dict[str, Any]:
    """A data frame has columns `result.label` and `annotation_name` for what the API nests and calls `name`."""
    row: dict[str, Any] = {}
    for key, value in payload.items():
        head, dot, tail = key.partition(".")
        if dot and head in ("result", "metadata"):
            row.setdefault(head, {})[tail] = value
        else:
            row["name" if key == "annotation_name" else key] = value
    if "result" not in row:
        row["result"] = {key: row[key] for key in ("label", "score", "explanation") if key in row}
    return row


def as_annotation(payload: Mapping[str, Any], identity: str, stored_at: str, changed_at: str) -> dict[str, Any]:
    """A stored annotation as GET /v1/projects/{project}/span_annotations gives it."""
    row = unflattened(payload)
    if "note" in row:
        row = {"span_id": row["span_id"], "name": NOTE, "identifier": _of_note(row["note"]), "result": {"explanation": row["note"]}}
    result = mapping(row, "result")
    return {
        "created_at": stored_at, "updated_at": changed_at, "source": "API", "user_id": None, "annotator_kind": "HUMAN",
        **row,
        "id": identity, "identifier": row.get("identifier") or "", "metadata": row.get("metadata") or {},
        "result": {"label": result.get("label"), "score": result.get("score"), "explanation": result.get("explanation")},
    }  # fmt: skip


def as_span(span: Span) -> dict[str, Any]:
    """A span as GET /v1/projects/{project}/spans gives it."""
    reading = Reading(span)
    attributes = reading.attributes
    status = span.raw.get("status") or {}
    kind = str(attributes.get("openinference.span.kind") or {"agent": "AGENT", "llm": "LLM", "retriever": "RETRIEVER"}.get(reading.kind, "UNKNOWN"))
    start, end = (dt.datetime.fromtimestamp(moment / 1e9, dt.UTC).isoformat() for moment in (span.start, span.end))
    return {
        "id": span.span_id, "name": str(span.raw.get("name") or ""), "context": {"trace_id": span.trace_id, "span_id": span.span_id}, "span_kind": kind,
        "parent_id": span.parent_id, "start_time": start, "end_time": end, "status_code": {1: "OK", 2: "ERROR"}.get(int(status.get("code") or 0), "UNSET"),
        "status_message": str(status.get("message") or ""), "attributes": attributes, "events": span.raw.get("events") or [],
    }  # fmt: skip
