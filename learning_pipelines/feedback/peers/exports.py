"""Files that peers export: JSON Lines, JSON or CSV to payloads, and traces of every shape to spans or records.

Belongs here: file formats, shapes of traces in exports. Not here: what a payload means (langfuse.py, …), storing (importing.py).
"""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from learning_pipelines.errors import BadInput
from learning_pipelines.feedback.lines import open_lines
from learning_pipelines.feedback.peers import langfuse, mlflow
from learning_pipelines.feedback.peers.otlp import Span, any_value, checked, nanoseconds, of_proto_json, spans_of
from learning_pipelines.feedback.peers.shape import Malformed, decoded, mapping, required
from learning_pipelines.feedback.peers.spans import loaded

JSON_LIMIT = 512 * 1024 * 1024
_LISTS = ("data", "traces", "scores", "spans")
"""Where API answers keep their list."""


@dataclass(frozen=True, slots=True)
class Item:
    """One entry of an export: its line (of JSON Lines, of CSV) or its number (in a JSON list), from 1; `problem` if it cannot be read."""

    line: int
    payload: Mapping[str, Any]
    problem: str | None = None


def items(path: Path) -> Iterator[Item]:
    """The entries of a .jsonl, .json or .csv file (or .gz of it), one after the other. Raises BadInput for a file that is none of these."""
    kind = path.name.removesuffix(".gz").rpartition(".")[2].lower()
    if kind in ("jsonl", "ndjson"):
        return _of_lines(path)
    if kind == "json":
        return _of_document(path)
    if kind == "csv":
        return _of_table(path)
    raise BadInput(f"{path.name} is no export that can be read.", "Peers' exports are read from .jsonl, .json or .csv files (or .gz of these).")


def _of_lines(path: Path) -> Iterator[Item]:
    for line in open_lines(path):
        try:
            yield _item(line.number, decoded(line.data or b""))
        except Malformed as error:
            yield Item(line.number, {}, error.reason)


def _of_document(path: Path) -> Iterator[Item]:
    if path.stat().st_size > JSON_LIMIT:
        raise BadInput(f"{path.name} is larger than {JSON_LIMIT // 1024 // 1024} MiB.", "Export it as JSON Lines: those are read line by line.")
    with _opened(path) as stream:
        data = stream.read()
    try:
        document = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        try:  # a collector's file exporter writes one document a line, whatever the file is called
            documents = [orjson.loads(line) for line in data.splitlines() if line.strip()]
        except orjson.JSONDecodeError:
            raise BadInput(f"{path.name} is not JSON: {error.msg}.", "Export it again.") from None
        yield from (_item(number, one) for number, one in enumerate(documents, start=1))
        return
    found = next((document[key] for key in _LISTS if isinstance(document, dict) and isinstance(document.get(key), list)), document)
    if isinstance(document, dict) and ("info" in document or "trace_info" in document or "context" in document):
        found = document  # one trace, which has spans of its own
    yield from (_item(number, one) for number, one in enumerate(found if isinstance(found, list) else [found], start=1))


def _of_table(path: Path) -> Iterator[Item]:
    with _opened(path) as raw, io.TextIOWrapper(raw, encoding="utf-8-sig", newline="") as text:
        rows = csv.DictReader(text)
        try:
            for row in rows:
                yield Item(rows.line_num, {key: _cell(value) for key, value in row.items() if key is not None and value not in (None, "")})
        except (csv.Error, UnicodeDecodeError) as error:
            raise BadInput(f"{path.name} is not CSV in UTF-8 (line {rows.line_num}): {error}.", "Export it again.") from error


def _cell(text: str) -> Any:
    """Tables hold objects as JSON; every other cell stays text."""
    value = loaded(text) if text[:1] in "{[" else text
    return value if isinstance(value, dict | list) else text


def _opened(path: Path) -> Any:
    try:
        return gzip.open(path, "rb") if path.name.endswith(".gz") else path.open("rb")
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}.", "Check the path and the rights.") from error


def _item(line: int, value: object) -> Item:
    return Item(line, value) if isinstance(value, dict) else Item(line, {}, "must be an object")


@dataclass(frozen=True, slots=True)
class Part:
    """What one item holds of one trace: spans, MLflow's trace_info, names that may mean the agent."""

    trace_id: str
    spans: list[Span]
    info: Mapping[str, Any] | None = None
    names: tuple[str, ...] = ()


def parts(peer: str, payload: Mapping[str, Any]) -> list[Part]:
    """The traces of one item of an export of OTLP, MLflow, Phoenix or Langfuse (observations). Raises Malformed."""
    if peer == "otlp":
        found: dict[str, list[Span]] = {}
        for span in checked(spans_of(payload)):
            found.setdefault(span.trace_id.lower(), []).append(span)
        return [Part(trace, spans) for trace, spans in found.items()]
    if peer == "mlflow":
        return [_of_mlflow(payload)]
    span = langfuse.observation(payload) if peer == "langfuse" else _of_phoenix(payload)
    return [Part(span.trace_id.lower(), [span])]


def _of_mlflow(payload: Mapping[str, Any]) -> Part:
    """`Trace.to_dict()` ({info, data: {spans}}) or the REST API's form ({trace_info, spans})."""
    info = mapping(payload, "info") or mapping(payload, "trace_info")
    listed = mapping(payload, "data").get("spans") or payload.get("spans") or []
    if not isinstance(listed, list):
        raise Malformed("spans", "must be a list")
    tags, place = mapping(info, "tags"), mapping(mapping(info, "trace_location"), "mlflow_experiment")
    names = tuple(str(name) for name in (tags.get("learning.agent"), place.get("experiment_id"), tags.get("mlflow.traceName")) if name)
    kept = {key: value for key, value in info.items() if key != "assessments"}
    return Part(mlflow.execution_of(required(info, "trace_id")), [_mlflow_span(one) for one in listed], kept, names)


def _mlflow_span(document: object) -> Span:
    """The file form has its attributes as JSON text; what it looked like is kept beside (`exported`)."""
    if not isinstance(document, dict):
        raise Malformed("spans", "must be objects")
    attributes = document.get("attributes")
    if isinstance(attributes, list):
        return Span(of_proto_json(document), {})
    given = dict(attributes) if isinstance(attributes, Mapping) else {}
    plain = {key: value for key, value in document.items() if key not in ("attributes", "events", "links") and value is not None}
    raw = of_proto_json(plain) | {"attributes": [{"key": key, "value": any_value(loaded(value))} for key, value in given.items()]}
    return checked([Span({**raw, "exported": document}, {})])[0]


def _of_phoenix(document: Mapping[str, Any]) -> Span:
    """A span as GET /v1/projects/{project}/spans gives it, or a row of the client's data frame; the original is kept beside (`exported`)."""
    context = mapping(document, "context") or {key.removeprefix("context."): value for key, value in document.items() if key.startswith("context.")}
    attributes = dict(mapping(document, "attributes"))
    attributes |= {key.removeprefix("attributes."): value for key, value in document.items() if key.startswith("attributes.") and value is not None}
    if document.get("span_kind"):
        attributes.setdefault("openinference.span.kind", document["span_kind"])
    raw = {
        "traceId": required(context, "trace_id"), "spanId": required(context, "span_id"), "parentSpanId": document.get("parent_id") or "",
        "name": document.get("name"), "startTimeUnixNano": nanoseconds(document, "start_time"), "endTimeUnixNano": nanoseconds(document, "end_time"),
        "attributes": [{"key": key, "value": any_value(value)} for key, value in attributes.items()], "exported": dict(document),
    }  # fmt: skip
    return checked([Span(raw, {})])[0]
