"""The records an application sends, with the keys of the service's HTTP bodies, and how they become one line of the queue.

Belongs here: shapes, ids made on this side, plain JSON. Not here: the full validation (the service's), the queue.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import math
import uuid
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypedDict

from learning_pipelines.client.errors import InvalidRecord
from learning_pipelines.client.experiments import Part
from learning_pipelines.client.prompts import Prompt

FeedbackType = Literal["thumbs_up", "thumbs_down", "star_rating", "detailed_feedback", "correction", "report_issue"]
IssueCategory = Literal["incorrect", "incomplete", "unclear", "hallucination", "outdated", "formatting", "tone", "other"]
Kind = Literal["executions", "feedback", "retrieval_feedback"]
_FEEDBACK_TYPES = FeedbackType.__args__  # type: ignore[attr-defined]
_DEEPEST = 100


class Retrieved(TypedDict, total=False):
    chunk_id: str
    document_id: str
    rank: int
    score: float


class Dimensions(TypedDict, total=False):
    accuracy: int
    helpfulness: int
    clarity: int
    completeness: int


class ExecutionFields(TypedDict, total=False):
    """What may be said about an execution beside agent, input and output. `unit` or `prompt` attach the prompt that was served; `model` goes into context."""

    execution_id: str
    user: str | None
    session_id: str | None
    parent_id: str | None
    messages: Sequence[Any] | None
    tags: Sequence[str] | None
    environment: str | None
    context: Mapping[str, Any] | None
    retrieved: Sequence[Retrieved] | None
    prompt_version: str | None
    latency_ms: float | None
    input_tokens: int | None
    output_tokens: int | None
    cost_usd: float | None
    created_at: dt.datetime | str | None
    unit: str | None
    prompt: Prompt | None
    model: str | None


class FeedbackDetails(TypedDict, total=False):
    """What every kind of feedback may say. `agent` is needed only where the execution may be unknown to the service."""

    feedback_id: str
    agent: str | None
    user: str | None
    dimensions: Dimensions | None
    feedback_text: str | None
    task_context: Mapping[str, Any] | str | None
    created_at: dt.datetime | str | None


class FeedbackFields(FeedbackDetails, total=False):
    rating: int | None
    issue_categories: Sequence[IssueCategory] | None
    correction_text: str | None


class RetrievalFields(TypedDict, total=False):
    agent: str | None
    retrieved: Sequence[str] | None
    rating: int | None
    helped: bool | None
    user: str | None
    created_at: dt.datetime | str | None


class Record(NamedTuple):
    kind: Kind
    id: str
    body: dict[str, Any]


def new_id() -> str:
    return str(uuid.uuid4())


def execution(agent: str, input: Any, output: Any, fields: Mapping[str, Any], served: Prompt | None, parts: Sequence[Part] = ()) -> Record:
    """An execution; the prompt that was served to it, and the experiments on other things that its unit takes part in, are attached without touching
    what the host says itself."""
    body = _present(fields, "unit", "prompt", "model")
    body |= {"execution_id": str(fields.get("execution_id") or new_id()), "agent": _given("agent", agent), "input": _content(input), "output": _content(output)}
    body["created_at"] = _moment(fields.get("created_at"))
    context: dict[str, Any] = {key: fields[key] for key in ("unit", "model") if fields.get(key) is not None}
    if served is not None:
        if served.version is not None:
            body.setdefault("prompt_version", served.version)
        said = (("experiment", served.experiment), ("variant", served.variant), ("unit", served.unit), ("guidance", served.guidance))
        context |= {key: value for key, value in said if value is not None}
        if served.source in ("fallback", "missing"):
            context["prompt_source"] = served.source
    if parts:
        context["experiments"] = [part.as_json() for part in parts]
    if context:
        body["context"] = context | dict(body.get("context") or {})
    return Record("executions", body["execution_id"], body)


def feedback(execution_id: str, feedback_type: str, fields: Mapping[str, Any]) -> Record:
    """Feedback with an id of its own, so that sending it twice stores it once."""
    if feedback_type not in _FEEDBACK_TYPES:
        raise InvalidRecord(f"feedback_type {feedback_type!r} is none of {', '.join(_FEEDBACK_TYPES)}.")
    if feedback_type == "star_rating" and fields.get("rating") is None:
        raise InvalidRecord("A star_rating needs a rating from 1 to 5.")
    if feedback_type == "correction" and not str(fields.get("correction_text") or "").strip():
        raise InvalidRecord("A correction needs correction_text, the corrected answer.")
    stars = {"rating": fields.get("rating"), **(fields.get("dimensions") or {})}
    for name, value in stars.items():
        if value is not None and not (isinstance(value, int) and 1 <= value <= 5):
            raise InvalidRecord(f"{name} is {value!r}; stars go from 1 to 5.")
    body = _present(fields)
    body |= {"feedback_id": str(fields.get("feedback_id") or new_id()), "execution_id": _given("execution_id", execution_id)}
    body |= {"feedback_type": feedback_type, "created_at": _moment(fields.get("created_at"))}
    return Record("feedback", body["feedback_id"], body)


def retrieval_feedback(query: str, relevant: Sequence[str], fields: Mapping[str, Any]) -> Record:
    """A judgement of search results. It has no id in the body: the record's id travels as Idempotency-Key."""
    body = _present(fields)
    body |= {"query": _given("query", query), "relevant": list(relevant), "created_at": _moment(fields.get("created_at"))}
    return Record("retrieval_feedback", new_id(), body)


def encode(record: Record) -> bytes:
    """One line: checksum, kind, id, body, parted by tabs (which JSON text never contains raw). The body is what goes into the request, byte for byte."""
    rest = f"{record.kind}\t{json.dumps(record.id)}\t{to_json(record.body)}".encode("ascii")
    return b"%08x\t%s\n" % (zlib.crc32(rest), rest)


def decode(line: bytes) -> tuple[Kind, str, bytes] | None:
    """Kind, id and body of a line; None if a crash has damaged it."""
    checksum, _, rest = line.rstrip(b"\n").partition(b"\t")
    if checksum != b"%08x" % zlib.crc32(rest):
        return None
    kind, name, body = rest.split(b"\t", 2)
    return kind.decode(), json.loads(name), body  # type: ignore[return-value]


def to_json(value: object) -> str:
    """ASCII JSON of anything. What JSON cannot say (objects, NaN, circles) becomes its nearest plain value: an odd value must not cost the record."""
    try:
        return json.dumps(value, default=plain, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError):
        try:
            return json.dumps(_cleaned(value, frozenset()), separators=(",", ":"))
        except (TypeError, ValueError, RecursionError) as error:
            raise InvalidRecord(f"The record cannot be written as JSON: {error}") from error


def plain(value: object) -> Any:
    """A JSON value for an object of any class."""
    if isinstance(value, dt.date):  # datetime too
        return value.isoformat()
    if isinstance(value, set | frozenset):
        return sorted(value, key=str)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if callable(dump := getattr(value, "model_dump", None)):  # pydantic objects, without knowing pydantic
        return dump(mode="json")
    if isinstance(value, Mapping):
        return dict(value)
    return str(value)


def _cleaned(value: object, above: frozenset[int]) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, str | int):
        return value
    if id(value) in above or len(above) > _DEEPEST:
        return "…"
    above |= {id(value)}
    if isinstance(value, Mapping):
        return {str(key): _cleaned(item, above) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_cleaned(item, above) for item in value]
    return _cleaned(plain(value), above)


def _present(fields: Mapping[str, Any], *without: str) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if value is not None and key not in without}


def _given(name: str, value: object) -> str:
    if value is None or not str(value).strip():
        raise InvalidRecord(f"{name} must not be empty.")
    return str(value)


def _content(value: object) -> Any:
    """Input and output are text, objects or lists; anything else becomes text."""
    if value is None:
        return ""
    if isinstance(value, str | dict | list):
        return value
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    made = list(value) if isinstance(value, tuple) else plain(value)
    return made if isinstance(made, str | dict | list) else str(made)


def _moment(value: dt.datetime | str | None) -> str:
    # The time is fixed here and not on arrival: an event that waited out an outage still counts for the day on which it happened.
    if isinstance(value, str):
        return value
    return (value or dt.datetime.now(dt.UTC)).astimezone(dt.UTC).isoformat()
