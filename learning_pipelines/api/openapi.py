"""What the OpenAPI document says beside the routes: bodies that are checked by the records' own models, problems, examples.

Belongs here: descriptions. Not here: behaviour.
"""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel

from learning_pipelines import __version__
from learning_pipelines.api.samples import sample
from learning_pipelines.feedback.kinds import KINDS

BASE = "/api/learning"
_PROBLEM = {"content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}}
_REASONS = {
    "400": "The body is not JSON in UTF-8.", "401": "The credentials are not accepted.", "403": "The role does not suffice.",
    "404": "There is no such thing for you.", "405": "The route does not take that method.", "409": "Stored already with other content.",
    "413": "The body is too large.", "422": "A value is not permitted; `field` names it.", "429": "Too many requests; see Retry-After.",
    "503": "Something it needs is away or too slow; see Retry-After.",
}  # fmt: skip
_RETRY = {"Retry-After": {"description": "Seconds after which it is worth trying again.", "schema": {"type": "string"}}}
RECORD_EXAMPLES: dict[str, dict[str, Any]] = {
    "feedback": {"feedback_id": "fb-1", "execution_id": "run-1", "agent": "desk", "feedback_type": "star_rating", "rating": 4, "user": "ada",
                 "dimensions": {"accuracy": 5, "clarity": 3}, "issue_categories": ["unclear"], "feedback_text": "Right, but long."},
    "executions": {"execution_id": "run-1", "agent": "desk", "input": "When is the VAT return due?", "output": "On the 10th.", "user": "ada",
                   "latency_ms": 420.0, "input_tokens": 210, "output_tokens": 9},
    "documents": {"document_id": "vat-returns", "text": "VAT returns are due on the 10th of the following month.", "title": "VAT returns"},
    "retrieval_feedback": {"query": "vat return due", "retrieved": ["vat-returns", "payroll"], "relevant": ["vat-returns"], "rating": 5},
    "demonstrations": {"demonstration_id": "demo-1", "agent": "desk", "task_description": "File a VAT return",
                       "actions": [{"type": "open_form", "arguments": {"form": "VAT-1"}}, {"type": "submit"}], "final_output": "Filed."},
}  # fmt: skip


class ProblemDocument(BaseModel):
    """RFC 9457, with the key at fault."""

    type: str
    title: str
    status: int
    detail: str
    field: str | None = None


def record_body(kind: str, many: bool = False) -> dict[str, Any]:
    """openapi_extra of a route whose body is a record of this kind, or {items: [record]}."""
    one: dict[str, Any] = {"$ref": f"#/components/schemas/{KINDS[kind].__name__}"}
    example: Any = RECORD_EXAMPLES[kind]
    schema = {"type": "object", "required": ["items"], "properties": {"items": {"type": "array", "items": one, "maxItems": 10_000}}} if many else one
    content = {"schema": schema, "example": {"items": [example]} if many else example}
    return {"requestBody": {"required": True, "content": {"application/json": content}}}


def install(app: FastAPI) -> None:
    """Replaces the application's document by one with the records' schemas, problems on every route, and the security schemes."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _built(app)
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]


def _built(app: FastAPI) -> dict[str, Any]:
    made = get_openapi(title="learning_pipelines", version=__version__, summary="The feedback service", routes=app.routes)
    schemas = made.setdefault("components", {}).setdefault("schemas", {})
    models: list[type[BaseModel]] = [*KINDS.values(), ProblemDocument]
    for model in models:
        described = model.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas.update(described.pop("$defs", {}))
        schemas["Problem" if model is ProblemDocument else model.__name__] = described
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    made["components"]["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer"}}
    for path, methods in made["paths"].items():
        for operation in methods.values():
            _described(path, operation)
            _exemplified(operation, schemas)
    return made


def _exemplified(operation: dict[str, Any], schemas: dict[str, Any]) -> None:
    """Puts an example beside every body that has none."""
    contents = [answer.get("content", {}) for answer in operation["responses"].values()]
    contents.append(operation.get("requestBody", {}).get("content", {}))
    for content in contents:
        for kind, described in content.items():
            if "json" in kind and "schema" in described and "example" not in described and "examples" not in described:
                described["example"] = sample(described["schema"], schemas)


def _described(path: str, operation: dict[str, Any]) -> None:
    answers = operation["responses"]
    answers.pop("422", None)
    open_route = path in ("/healthz", "/readyz", "/metrics")
    for status, reason in _REASONS.items():
        if open_route and status not in ("413", "503"):
            continue
        answers.setdefault(status, {"description": reason, **_PROBLEM, **({"headers": _RETRY} if status in ("429", "503") else {})})
    if not open_route:
        operation["security"] = [{"bearer": []}]
