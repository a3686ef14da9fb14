"""TypeScript types of the API's bodies and answers, from the OpenAPI document: `python -m learning_pipelines_tests.web.schema_types` writes them.

Belongs here: JSON schema to TypeScript. Not here: the client's methods (web/static/client/learning.d.ts, by hand).
"""

from __future__ import annotations

import json
import re
import textwrap
from pathlib import Path
from typing import Any

from learning_pipelines.api.app import create_app
from learning_pipelines.settings import Settings
from learning_pipelines.web import FILES

PATH = FILES / "client" / "schema.d.ts"
METHODS = FILES / "client" / "learning.d.ts"
HEAD = """/**
 * Bodies and answers of the API, made from its OpenAPI document: `python -m learning_pipelines_tests.web.schema_types` writes this file.
 *
 * Belongs here: what the client's methods name. Not here: the methods (learning.d.ts).
 */
"""
_PLAIN = {"string": "string", "integer": "number", "number": "number", "boolean": "boolean", "null": "null"}


def document() -> dict[str, Any]:
    """The service's OpenAPI document; nothing is connected to."""
    return create_app(Settings(home=Path("never-made"), database_url=None)).openapi()


def name_of(reference: str) -> str:
    """The type's name. Shapes of the same name in several modules carry their module: only its last part is kept."""
    *module, name = reference.rsplit("/", 1)[-1].split("__")
    return name if not module else "".join(part.capitalize() for part in module[-1].split("_")) + name


def named(text: str) -> set[str]:
    """Types that the client's declarations take from this file."""
    return set(re.findall(r"\bschema\.([A-Z]\w*)", text))


def rendered(schemas: dict[str, Any], wanted: set[str], answers: set[str]) -> str:
    """Declarations of the wanted types and of what they are made of. Keys with a default may be left out of what is sent, and are always answered."""
    by_name = {name_of(reference): schema for reference, schema in schemas.items()}
    done: dict[str, str] = {}
    answered: set[str] = set()
    _closure(by_name, answers, answered)
    waiting = sorted(wanted)
    while waiting:
        name = waiting.pop()
        if name in done:
            continue
        parts: set[str] = set()
        done[name] = _declared(name, by_name[name], parts, name in answered)
        waiting += sorted(parts)
    return HEAD + "".join(f"\n{done[name]}\n" for name in sorted(done))


def _closure(by_name: dict[str, Any], names: set[str], into: set[str]) -> None:
    for name in names - into:
        into.add(name)
        parts: set[str] = set()
        _typed(by_name[name], parts, True)
        _closure(by_name, parts, into)


def _declared(name: str, schema: dict[str, Any], parts: set[str], answered: bool) -> str:
    comment = _comment(schema, "")
    if "properties" not in schema:
        return f"{comment}export type {name} = {_typed(schema, parts, answered)};"
    required = set(schema.get("required", ()))
    lines = []
    for key, value in schema["properties"].items():
        lines += _comment(value, "  ").splitlines()
        mark = "" if answered or key in required else "?"
        lines.append(f"  {_key(key)}{mark}: {_typed(value, parts, answered)};")
    if schema.get("additionalProperties") not in (None, False):
        lines.append("  [key: string]: unknown;")
    return f"{comment}export interface {name} {{\n" + "\n".join(lines) + "\n}"


def _comment(schema: dict[str, Any], margin: str) -> str:
    lines = textwrap.wrap(" ".join(schema.get("description", "").split()), 140)
    if len(lines) < 2:
        return f"{margin}/** {lines[0]} */\n" if lines else ""
    return f"{margin}/**\n" + "".join(f"{margin} * {line}\n" for line in lines) + f"{margin} */\n"


def _typed(schema: dict[str, Any], parts: set[str], answered: bool) -> str:
    if "$ref" in schema:
        parts.add(name_of(schema["$ref"]))
        return name_of(schema["$ref"])
    if "const" in schema:
        return json.dumps(schema["const"])
    if "enum" in schema:
        return " | ".join(json.dumps(value) for value in schema["enum"])
    options = schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf")
    if options:
        return " | ".join(dict.fromkeys(_typed(option, parts, answered) for option in options))
    kind = schema.get("type")
    if kind == "array":
        item = _typed(schema["items"], parts, answered) if "items" in schema else "unknown"
        return f"({item})[]" if " | " in item else f"{item}[]"
    if kind == "object" and "properties" in schema:
        return "{ " + "; ".join(f"{_key(key)}: {_typed(value, parts, answered)}" for key, value in schema["properties"].items()) + " }"
    if kind == "object":
        values = schema.get("additionalProperties")
        return f"Record<string, {_typed(values, parts, answered) if isinstance(values, dict) and values else 'unknown'}>"
    return _PLAIN.get(kind, "unknown") if isinstance(kind, str) else "unknown"


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z_]\w*", key) else json.dumps(key)


def answer_names(openapi: dict[str, Any]) -> set[str]:
    """Types that routes answer with."""
    found = re.findall(r'"\$ref": "([^"]+)"', json.dumps([op["responses"] for methods in openapi["paths"].values() for op in methods.values()]))
    return {name_of(reference) for reference in found}


def made() -> str:
    """The text of the file as it should be."""
    openapi = document()
    return rendered(openapi["components"]["schemas"], named(METHODS.read_text(encoding="utf-8")), answer_names(openapi))


if __name__ == "__main__":
    PATH.write_text(made(), encoding="utf-8")
