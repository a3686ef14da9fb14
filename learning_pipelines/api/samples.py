"""Examples for the OpenAPI document, made from the schemas: every route shows what is sent and what is answered.

Belongs here: one plausible value per schema. Not here: the document (openapi.py), validation.
"""

from __future__ import annotations

from typing import Any

_BY_NAME: dict[str, Any] = {
    "agent": "desk", "agent_id": "desk", "execution_id": "run-1", "feedback_id": "fb-1", "example_id": "ex-1", "user": "ada",
    "input": "When is the VAT return due?",
    "output": "On the 10th.", "session_id": "chat-7", "version": "2", "category": "incorrect", "role": "user", "name": "desk", "error": None, "cursor": None,
    "rating": 4, "share": 0.25, "progress": 1.0, "correction_text": "On the 12th.", "feedback_text": "The date is wrong.", "job": "prompt_optimization",
    "text": "VAT returns are due on the 10th.", "title": "VAT returns", "id": "run-1", "etag": '"2-0a1b2c"', "token": "eyJhbGciOiJIUzI1NiJ9.e30.x",  # nosec B105 # signed by nobody
}  # fmt: skip
_BY_FORMAT = {"date-time": "2026-11-23T09:15:00Z", "date": "2026-11-23", "uuid": "5f2d8e1c-0f5b-4d0e-9a53-0c8f3f0a7b11", "uri": "https://desk.example/"}
_BY_TYPE: dict[str, Any] = {"string": "text", "integer": 1, "number": 0.5, "boolean": True, "null": None}
_DEEPEST = 8


def sample(schema: dict[str, Any], schemas: dict[str, Any], name: str = "", depth: int = 0) -> Any:
    """A value that fits the schema: its own example, else by the name of the key, its format, its type. `schemas`: what references lead to."""
    if "$ref" in schema:
        return sample(schemas[schema["$ref"].rsplit("/", 1)[-1]], schemas, name, depth)
    if "example" in schema:
        return schema["example"]
    if schema.get("examples"):
        return schema["examples"][0]
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][0]
    options = schema.get("anyOf") or schema.get("oneOf") or []
    if options:
        wanted = _BY_NAME.get(name)
        fitting = [option for option in options if wanted is not None and option.get("type") == _type(wanted)] or options
        return sample(fitting[0], schemas, name, depth)
    if schema.get("type") == "object" or "properties" in schema:
        if depth > _DEEPEST:
            return {}
        return {key: sample(part, schemas, key, depth + 1) for key, part in schema.get("properties", {}).items()}
    if schema.get("type") == "array":
        return [sample(schema.get("items", {}), schemas, name.removesuffix("s"), depth + 1)] if depth <= _DEEPEST else []
    if schema.get("format") in _BY_FORMAT:
        return _BY_FORMAT[schema["format"]]
    if name in _BY_NAME and schema.get("type", _type(_BY_NAME[name])) == _type(_BY_NAME[name]):
        return _BY_NAME[name]
    value = _BY_TYPE.get(schema.get("type", "string"))
    return max(value, schema["minimum"]) if "minimum" in schema and isinstance(value, int | float) else value


def _type(value: Any) -> str:
    names = {str: "string", bool: "boolean", int: "integer", float: "number", type(None): "null", list: "array"}
    return names.get(type(value), "object")
