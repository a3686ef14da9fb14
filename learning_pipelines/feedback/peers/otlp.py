"""OTLP/HTTP traces: a request's bytes (protobuf or JSON, gzipped or not) to spans and back, without loss.

Belongs here: the wire format. Not here: what a span's attributes mean (spans.py), which spans make an execution (executions.py).
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from learning_pipelines.feedback.peers.shape import Malformed, decoded, required

UNPACKED_LIMIT = 64 * 1024 * 1024
JSON_TYPE, PROTOBUF_TYPE = "application/json", "application/x-protobuf"


@dataclass(frozen=True, slots=True)
class Span:
    """One span as OTLP/JSON has it (ids in hex), with the resource and the scope it came under; `frame` holds both and their schema URLs."""

    raw: Mapping[str, Any]
    frame: Mapping[str, Any]

    @property
    def trace_id(self) -> str:
        return str(self.raw["traceId"])

    @property
    def span_id(self) -> str:
        return str(self.raw["spanId"])

    @property
    def parent_id(self) -> str | None:
        return self.raw.get("parentSpanId") or None

    @property
    def start(self) -> int:
        """Nanoseconds since 1970."""
        return int(self.raw["startTimeUnixNano"])

    @property
    def end(self) -> int:
        return int(self.raw["endTimeUnixNano"])


def unpacked(body: bytes, encoding: str | None) -> bytes:
    """The body without its Content-Encoding, at most UNPACKED_LIMIT bytes. Raises Malformed."""
    if encoding in (None, "", "identity"):
        return body
    if encoding not in ("gzip", "deflate"):
        raise Malformed("Content-Encoding", f"{encoding} is not taken; send gzip")
    unzip = zlib.decompressobj(wbits=31 if encoding == "gzip" else 15)
    try:
        data = unzip.decompress(body, UNPACKED_LIMIT)
    except zlib.error as error:
        raise Malformed("The body", f"is not {encoding}: {error}") from None
    if unzip.unconsumed_tail:
        raise Malformed("The body", f"is larger than {UNPACKED_LIMIT // 1024 // 1024} MiB unpacked; send smaller batches")
    if not unzip.eof:
        raise Malformed("The body", f"ends in the middle of its {encoding} data")
    return data


def spans_of_protobuf(data: bytes) -> list[Span]:
    """The spans of an ExportTraceServiceRequest. Raises Malformed."""
    from google.protobuf.json_format import MessageToDict
    from google.protobuf.message import DecodeError
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    try:
        message = ExportTraceServiceRequest.FromString(data)
    except DecodeError:
        raise Malformed("The body", "is not an OTLP ExportTraceServiceRequest in protobuf") from None
    decoded = MessageToDict(message, use_integers_for_enums=True)
    for span in _spans(decoded):
        _ids(span.raw, _hex_of_base64)
    return checked(spans_of(decoded))


def spans_of_json(data: bytes) -> list[Span]:
    """The spans of an OTLP/JSON document (a request body, or one line of a collector's file export). Raises Malformed."""
    return checked(spans_of(decoded(data)))


def spans_of(document: object) -> list[Span]:
    """The spans of decoded OTLP/JSON. Raises Malformed where its frame is not of that shape."""
    if not isinstance(document, Mapping):
        raise Malformed("The body", "must be an object with resourceSpans")
    return list(_spans(document))


def _spans(document: Mapping[str, Any]) -> Iterator[Span]:
    for resource_spans in _objects(document, "resourceSpans"):
        outer = {key: value for key, value in resource_spans.items() if key != "scopeSpans"}
        if not isinstance(outer.get("resource", {}), Mapping):
            raise Malformed("resource", "must be an object")
        for scope_spans in _objects(resource_spans, "scopeSpans"):
            inner = {key: value for key, value in scope_spans.items() if key != "spans"}
            frame = {"resourceSpans": outer, "scopeSpans": inner}
            for span in _objects(scope_spans, "spans"):
                yield Span(span, frame)


def _objects(parent: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    items = parent.get(key) or []
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise Malformed(key, "must be a list of objects")
    return items


def checked(spans: list[Span]) -> list[Span]:
    """The same spans, if each has ids and times. Raises Malformed naming the field."""
    for span in spans:
        for key, digits in (("traceId", 32), ("spanId", 16), ("parentSpanId", 16)):
            value = span.raw.get(key)
            if key == "parentSpanId" and not value:
                continue
            if not isinstance(value, str) or len(value) != digits or not _is_hex(value):
                raise Malformed(key, f"must be {digits} hexadecimal digits")
        for key in ("startTimeUnixNano", "endTimeUnixNano"):
            value = span.raw.get(key)
            if isinstance(value, bool) or not isinstance(value, int | str) or not str(value).isascii() or not str(value).isdigit() or int(value) >= 2**63:
                raise Malformed(key, "must be nanoseconds since 1970")
        if not isinstance(span.raw.get("attributes", []), list):
            raise Malformed("attributes", "must be a list")
    return spans


def _is_hex(text: str) -> bool:
    return all(character in "0123456789abcdefABCDEF" for character in text)


def document_of(spans: Iterable[Span]) -> dict[str, Any]:
    """OTLP/JSON of these spans, each resource and scope once, in order of first appearance: the way back of spans_of."""
    resources: dict[bytes, dict[str, Any]] = {}
    scopes: dict[tuple[bytes, bytes], dict[str, Any]] = {}
    for span in spans:
        outer = orjson.dumps(span.frame.get("resourceSpans"), option=orjson.OPT_SORT_KEYS)
        inner = orjson.dumps(span.frame.get("scopeSpans"), option=orjson.OPT_SORT_KEYS)
        resource = resources.setdefault(outer, {**span.frame.get("resourceSpans", {}), "scopeSpans": []})
        if (outer, inner) not in scopes:
            scopes[outer, inner] = {**span.frame.get("scopeSpans", {}), "spans": []}
            resource["scopeSpans"].append(scopes[outer, inner])
        scopes[outer, inner]["spans"].append(span.raw)
    return {"resourceSpans": list(resources.values())}


def proto_json(raw: Mapping[str, Any]) -> dict[str, Any]:
    """A span as the JSON form of its protobuf message has it (ids in base64, names in snake_case), which is how MLflow reads spans."""
    from google.protobuf.json_format import MessageToDict, ParseDict
    from opentelemetry.proto.trace.v1.trace_pb2 import Span as SpanMessage

    copied: dict[str, Any] = orjson.loads(orjson.dumps(raw))
    _ids(copied, _base64_of_hex)
    message = ParseDict(copied, SpanMessage(), ignore_unknown_fields=True)
    found: dict[str, Any] = MessageToDict(message, preserving_proto_field_name=True)
    return found


def of_proto_json(document: Mapping[str, Any]) -> dict[str, Any]:
    """The way back of proto_json. Raises Malformed."""
    from google.protobuf.json_format import MessageToDict, ParseDict, ParseError
    from opentelemetry.proto.trace.v1.trace_pb2 import Span as SpanMessage

    try:
        raw: dict[str, Any] = MessageToDict(ParseDict(document, SpanMessage()), use_integers_for_enums=True)
    except ParseError as error:
        raise Malformed("spans", f"are not OTLP spans: {error}") from None
    _ids(raw, _hex_of_base64)
    return raw


def _ids(raw: Mapping[str, Any], convert: Any) -> None:
    """Converts the ids of a span and its links in place."""
    for holder in (raw, *(raw.get("links") or [])):
        for key in ("traceId", "spanId", "parentSpanId"):
            if holder.get(key):
                holder[key] = convert(holder[key])


def _hex_of_base64(value: str) -> str:
    try:
        return base64.b64decode(value, validate=True).hex()
    except binascii.Error:
        raise Malformed("spanId", "is not base64") from None


def _base64_of_hex(value: str) -> str:
    return base64.b64encode(bytes.fromhex(value)).decode()


def nanoseconds(document: Mapping[str, Any], key: str) -> str:
    """An RFC 3339 time as OTLP's nanoseconds since 1970."""
    try:
        moment = dt.datetime.fromisoformat(required(document, key))
    except ValueError as error:
        raise Malformed(key, "must be an RFC 3339 time") from error
    moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=dt.UTC)
    since = moment - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    return str((since.days * 86_400 + since.seconds) * 1_000_000_000 + since.microseconds * 1_000)


def any_value(value: object) -> dict[str, Any]:
    """A plain value as OTLP's AnyValue."""
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, list):
        return {"arrayValue": {"values": [any_value(one) for one in value]}}
    if isinstance(value, Mapping):
        return {"kvlistValue": {"values": [{"key": str(key), "value": any_value(one)} for key, one in value.items()]}}
    return {"stringValue": "" if value is None else str(value)}
