"""What a span's attributes mean, whoever wrote them: OpenInference, OpenTelemetry's GenAI conventions, Langfuse or MLflow.

Belongs here: names of attributes. Not here: the wire format (otlp.py), which spans make an execution (executions.py).

Sources: openinference-semantic-conventions 0.1.42; semantic-conventions-genai as opentelemetry-instrumentation-genai-openai 1.3b0
writes it; langfuse 5.0.4 (_client/attributes.py); mlflow 3.17.2 (tracing/constant.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import orjson

from learning_pipelines.feedback.peers.otlp import Span

Kind = Literal["agent", "llm", "retriever", "other"]
_KINDS: dict[str, Kind] = {
    "agent": "agent", "llm": "llm", "retriever": "retriever", "generation": "llm", "chat_model": "llm",
    "chat": "llm", "text_completion": "llm", "generate_content": "llm", "invoke_agent": "agent", "retrieval": "retriever",
}  # fmt: skip
_KIND_KEYS = ("openinference.span.kind", "gen_ai.operation.name", "langfuse.observation.type", "mlflow.spanType")
_USERS = ("user.id", "enduser.id", "langfuse.user.id", "mlflow.trace.user")
_SESSIONS = ("session.id", "gen_ai.conversation.id", "langfuse.session.id", "mlflow.trace.session")
_ENVIRONMENTS = ("langfuse.environment", "deployment.environment.name", "deployment.environment")
_INPUTS = ("input.value", "langfuse.observation.input", "mlflow.spanInputs")
_OUTPUTS = ("output.value", "langfuse.observation.output", "mlflow.spanOutputs")
_MODELS = ("llm.model_name", "gen_ai.response.model", "gen_ai.request.model", "langfuse.observation.model.name", "mlflow.llm.model")
_TOKENS = {"input": ("llm.token_count.prompt", "gen_ai.usage.input_tokens"), "output": ("llm.token_count.completion", "gen_ai.usage.output_tokens")}
_USAGE = ("langfuse.observation.usage_details", "mlflow.chat.tokenUsage")
_COSTS = ("llm.cost.total",)
_VERSIONS = ("langfuse.observation.prompt.version", "llm.prompt_template.version")
_TAGS = ("tag.tags", "langfuse.trace.tags")


@dataclass(frozen=True)
class Reading:
    """One span, read. Whatever it does not say is None or empty."""

    span: Span

    @cached_property
    def attributes(self) -> dict[str, Any]:
        return values(self.span.raw.get("attributes"))

    @cached_property
    def resource(self) -> dict[str, Any]:
        return values((self.span.frame.get("resourceSpans") or {}).get("resource", {}).get("attributes"))

    @property
    def kind(self) -> Kind:
        for key in _KIND_KEYS:
            value = self.attributes.get(key)
            if isinstance(value, str):
                return _KINDS.get(value.lower(), "other")
        return "other"

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The chat that went in: {role, content} each."""
        found = flattened(self.attributes, "llm.input_messages.", "message.") or _genai_messages(self.attributes, "gen_ai.input.messages")
        if system := _parts(loaded(self.attributes.get("gen_ai.system_instructions"))):
            found = [{"role": "system", "content": system}, *found]
        return found or _chat(self._first(_INPUTS))

    @property
    def input(self) -> str:
        """What was asked: for a model the last thing a person said, for an agent its input."""
        if self.kind == "llm":
            said = [message for message in self.messages if message.get("role") in ("user", "human")]
            if said and isinstance(said[-1].get("content"), str):
                return str(said[-1]["content"])
        return text(self._first((*_INPUTS, "gen_ai.input.messages")))

    @property
    def output(self) -> str:
        answers = flattened(self.attributes, "llm.output_messages.", "message.") or _genai_messages(self.attributes, "gen_ai.output.messages")
        if answers and isinstance(answers[-1].get("content"), str):
            return str(answers[-1]["content"])
        return text(self._first(_OUTPUTS))

    @property
    def model(self) -> str | None:
        return self._text(_MODELS)

    def tokens(self, side: Literal["input", "output"]) -> int | None:
        counted = self._first(_TOKENS[side])
        if counted is None:
            usage = loaded(self._first(_USAGE))
            counted = (usage.get(side), usage.get(f"{side}_tokens")) if isinstance(usage, Mapping) else None
            counted = next((item for item in counted if item is not None), None) if counted else None
        return int(counted) if isinstance(counted, int | float) and not isinstance(counted, bool) and 0 <= counted < 2**31 else None

    @property
    def cost(self) -> float | None:
        cost = self._first(_COSTS)
        if cost is None:
            details = loaded(self.attributes.get("langfuse.observation.cost_details"))
            cost = details.get("total") if isinstance(details, Mapping) else None
        return float(cost) if isinstance(cost, int | float) and not isinstance(cost, bool) and 0 <= cost < 1e12 else None

    @property
    def user(self) -> str | None:
        return self._text(_USERS)

    @property
    def session(self) -> str | None:
        return self._text(_SESSIONS)

    @property
    def environment(self) -> str | None:
        return self._text(_ENVIRONMENTS) or next((str(self.resource[key]) for key in _ENVIRONMENTS if self.resource.get(key)), None)

    @property
    def prompt_version(self) -> str | None:
        return self._text(_VERSIONS)

    @property
    def tags(self) -> list[str]:
        tags = self._first(_TAGS)
        return [str(tag) for tag in tags] if isinstance(tags, list) else []

    @property
    def retrieved(self) -> list[dict[str, Any]]:
        """The documents a retriever found that have an id, in rank order: {document_id, rank, score}."""
        if self.kind != "retriever":
            return []
        documents = flattened(self.attributes, "retrieval.documents.", "document.")
        if not documents:
            out = loaded(self._first((*_OUTPUTS, "gen_ai.retrieval.documents")))
            documents = [item for item in out if isinstance(item, dict)] if isinstance(out, list) else []
        return [entry for rank, document in enumerate(documents, start=1) if (entry := _retrieved(document, rank))]

    def _first(self, keys: Iterable[str]) -> Any:
        return next((self.attributes[key] for key in keys if self.attributes.get(key) not in (None, "")), None)

    def _text(self, keys: Iterable[str]) -> str | None:
        value = self._first(keys)
        return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else None


def values(attributes: object) -> dict[str, Any]:
    """OTLP's list of {key, value: {stringValue: …}} as a plain mapping."""
    if not isinstance(attributes, list):
        return {}
    return {str(item["key"]): value(item.get("value")) for item in attributes if isinstance(item, Mapping) and "key" in item}


def value(any_value: object) -> Any:
    """One AnyValue. 64-bit integers come as text in OTLP/JSON."""
    if not isinstance(any_value, Mapping):
        return None
    for key, item in any_value.items():
        if key == "intValue":
            return int(item) if str(item).lstrip("-").isdigit() else None
        if key == "arrayValue":
            return [value(one) for one in (item or {}).get("values") or []]
        if key == "kvlistValue":
            return values((item or {}).get("values"))
        return item
    return None


def flattened(attributes: Mapping[str, Any], prefix: str, inner: str) -> list[dict[str, Any]]:
    """OpenInference flattens lists: `llm.input_messages.0.message.role`. Gives them back as a list of objects, keys without `inner`."""
    found: dict[int, dict[str, Any]] = {}
    for key, item in attributes.items():
        match = re.fullmatch(r"(\d{1,6})\.(.+)", key.removeprefix(prefix)) if key.startswith(prefix) else None
        if match is not None:
            found.setdefault(int(match[1]), {})[match[2].removeprefix(inner)] = item
    return [found[position] for position in sorted(found)]


def loaded(item: Any) -> Any:
    """JSON in a string attribute, decoded; anything else as it is."""
    if isinstance(item, str) and item[:1] in '[{"':
        try:
            return orjson.loads(item)
        except orjson.JSONDecodeError:
            return item
    return item


def text(item: Any) -> str:
    """Text as it is (a JSON string without its quotes), everything else as compact JSON."""
    if item is None:
        return ""
    if isinstance(item, str):
        inner = loaded(item) if item[:1] == '"' else item
        return inner if isinstance(inner, str) else item
    return orjson.dumps(item).decode()


def _genai_messages(attributes: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    """GenAI's messages consist of parts; what is no text stays in the kept span."""
    messages = loaded(attributes.get(key))
    if not isinstance(messages, list):
        return []
    return [{"role": str(message.get("role")), "content": _parts(message.get("parts"))} for message in messages if isinstance(message, Mapping)]


def _parts(parts: Any) -> str:
    if not isinstance(parts, list):
        return ""
    return "\n".join(str(part["content"]) for part in parts if isinstance(part, Mapping) and part.get("type", "text") == "text" and "content" in part)


def _chat(item: Any) -> list[dict[str, Any]]:
    """A chat in the openai form, bare or under `messages`."""
    content = loaded(item)
    if isinstance(content, Mapping):
        content = content.get("messages")
    if isinstance(content, list) and content and all(isinstance(message, dict) and "role" in message for message in content):
        return content
    return []


def _retrieved(document: Mapping[str, Any], rank: int) -> dict[str, Any] | None:
    metadata = document.get("metadata") if isinstance(document.get("metadata"), Mapping) else {}
    assert isinstance(metadata, Mapping)
    identity = next((item for item in (document.get("id"), metadata.get("doc_uri"), metadata.get("id")) if item not in (None, "")), None)
    if identity is None:
        return None
    score = document.get("score")
    entry: dict[str, Any] = {"document_id": str(identity), "rank": rank}
    return entry | ({"score": float(score)} if isinstance(score, int | float) and not isinstance(score, bool) else {})
