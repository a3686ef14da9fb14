"""From the spans of one trace to the execution it is: the outermost span of an agent or a model, with everything else kept beside.

Belongs here: which span, when a trace is whole, which agent. Not here: attributes (spans.py), holding spans until then (storage/peers.py).
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from learning_pipelines.feedback.peers.otlp import Span, document_of
from learning_pipelines.feedback.peers.spans import Reading, loaded

INFO = "trace_info"
"""MLflow sends what it knows of the whole trace apart from the spans; it is held as one more entry with this id."""
_AGENT_KEYS = ("learning.agent", "gen_ai.agent.name", "agent.name")
_APP_ROOT = "langfuse.internal.is_app_root"
_PROJECT_KEY = "openinference.project.name"


def is_root(span: Span) -> bool:
    """Whether nothing of this trace comes above the span: it has no parent, or Langfuse says that its application begins there."""
    return span.parent_id is None or Reading(span).attributes.get(_APP_ROOT) is True


def whole(spans: Sequence[Span], has_info: bool) -> bool:
    """Whether the trace is complete as far as one can tell: its root is there (it ends last, so its process has sent the rest), and
    MLflow's part where MLflow traced it. Traces that never become whole are taken as they are once they have rested."""
    return any(is_root(span) for span in spans) and (has_info or not any("mlflow.traceRequestId" in Reading(span).attributes for span in spans))


def outermost(spans: Sequence[Span]) -> Span | None:
    """The agent's or model's span nearest to a root; of several side by side the one that ended last, since its output is what came out."""
    known = {span.span_id for span in spans}
    children: defaultdict[str | None, list[Span]] = defaultdict(list)
    for span in spans:
        children[span.parent_id if span.parent_id in known else None].append(span)
    level, seen = children[None], set[str]()
    while level:
        found = [span for span in level if Reading(span).kind in ("agent", "llm")]
        if found:
            return max(found, key=lambda span: (span.end, span.span_id))
        seen.update(span.span_id for span in level)
        level = [child for span in level for child in children[span.span_id] if child.span_id not in seen]
    return None


def below(spans: Sequence[Span], top: Span) -> list[Span]:
    """The span and its descendants in order of start."""
    children: defaultdict[str | None, list[Span]] = defaultdict(list)
    for span in spans:
        children[span.parent_id].append(span)
    found, waiting, seen = [], [top], {top.span_id}
    while waiting:
        span = waiting.pop()
        found.append(span)
        fresh = [child for child in children[span.span_id] if child.span_id not in seen]
        seen.update(child.span_id for child in fresh)
        waiting.extend(fresh)
    return sorted(found, key=lambda span: (span.start, span.span_id))


def agent_names(spans: Sequence[Span], top: Span, given: str | None) -> list[str]:
    """Names that may mean an agent, the most explicit first: what the request says, the span, its project, its service."""
    reading = Reading(top)
    names = [given, *(reading.attributes.get(key) for key in _AGENT_KEYS), reading.resource.get(_AGENT_KEYS[0]), reading.resource.get(_PROJECT_KEY)]
    service = reading.resource.get("service.name")
    if isinstance(service, str) and not service.startswith("unknown_service"):
        names.append(service)
    return list(dict.fromkeys(str(name) for name in names if isinstance(name, str) and name))


def choose_agent(names: Sequence[str], agents: Iterable[str]) -> str | None:
    """The first name that is an agent of the organization; its only agent where no name was given at all. Nothing is guessed beyond that."""
    known = set(agents)
    for name in names:
        if name in known:
            return name
    return next(iter(known)) if not names and len(known) == 1 else None


def execution_record(spans: Sequence[Span], top: Span, agent: str, info: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The record (kind executions). Its context holds every span unchanged (`otlp`, as OTLP/JSON) and MLflow's `trace_info`.

    Tokens, costs: the span's own, else the sums over the outermost model spans below it. Latency in milliseconds.
    """
    reading = Reading(top)
    inside = [Reading(span) for span in below(spans, top)]
    everywhere = [reading, *inside, *(Reading(span) for span in spans)]
    about = dict((info or {}).get("trace_metadata") or {})
    models = _outermost_models(inside)
    tags = list(dict.fromkeys(tag for one in everywhere for tag in one.tags))
    trace_id = top.trace_id.lower()
    record: dict[str, Any] = {
        "execution_id": trace_id,
        "agent": agent,
        "input": reading.input,
        "output": reading.output,
        "messages": reading.messages or None,
        "user": _first(one.user for one in everywhere) or about.get("mlflow.trace.user"),
        "session_id": _first(one.session for one in everywhere) or about.get("mlflow.trace.session"),
        "environment": _first(one.environment for one in everywhere),
        "tags": tags or None,
        "retrieved": [entry for one in inside for entry in one.retrieved] or None,
        "prompt_version": _first(one.prompt_version for one in inside),
        "latency_ms": max(0, top.end - top.start) / 1e6,
        "input_tokens": _sum(reading.tokens("input"), (one.tokens("input") for one in models)),
        "output_tokens": _sum(reading.tokens("output"), (one.tokens("output") for one in models)),
        "cost_usd": _sum(reading.cost, (one.cost for one in models)),
        "created_at": dt.datetime.fromtimestamp(top.start / 1e9, dt.UTC).isoformat(),
        "context": {
            "otlp": document_of(sorted(spans, key=lambda span: (span.start, span.span_id))),
            "span_id": top.span_id,
            **({"model": model} if (model := reading.model or _first(one.model for one in models)) else {}),
            **({"metadata": metadata} if (metadata := _metadata(reading)) else {}),
            **({INFO: info} if info else {}),
        },
    }
    return {key: value for key, value in record.items() if value is not None}


def _outermost_models(inside: Sequence[Reading]) -> list[Reading]:
    """Model spans that are in no other model span: a wrapper and the call it wraps must not count twice."""
    parents = {one.span.span_id: one.span.parent_id for one in inside}
    models = {one.span.span_id for one in inside if one.kind == "llm"}

    def wrapped(identity: str | None) -> bool:
        seen = set()
        while (identity := parents.get(identity or "")) is not None and identity not in seen:
            if identity in models:
                return True
            seen.add(identity)
        return False

    return [one for one in inside if one.kind == "llm" and not wrapped(one.span.span_id)]


def _metadata(reading: Reading) -> Any:
    own = loaded(reading.attributes.get("metadata"))
    prefix = "langfuse.trace.metadata."
    langfuse = {key.removeprefix(prefix): loaded(item) for key, item in reading.attributes.items() if key.startswith(prefix)}
    return {**own, **langfuse} if isinstance(own, dict) else langfuse or own


def _first(items: Iterable[str | None]) -> str | None:
    return next((item for item in items if item), None)


def _sum(own: Any, others: Iterable[Any]) -> Any:
    if own is not None:
        return own
    counted = [item for item in others if item is not None]
    return sum(counted) if counted else None
