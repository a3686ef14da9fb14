"""docs/api.md, made from the OpenAPI document: `python -m learning_pipelines_tests.docs.reference` writes it.

Belongs here: routes as a table. Not here: what the document says (api/openapi.py), whether the service keeps to it (api/test_fuzz.py).
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from learning_pipelines.api.app import create_app
from learning_pipelines.settings import Settings
from learning_pipelines_tests.docs.snippets import PROJECT

PAGE = PROJECT / "docs" / "api.md"
HEAD = """# API reference

Every route of the service, for application developers. Made from the OpenAPI document by
`python -m learning_pipelines_tests.docs.reference`; do not edit. The service shows the whole document, with schemas, answers and an example of each body,
at `/docs`, and as JSON at `/openapi.json`.

Send `Authorization: Bearer <API key, JWT or token of an execution>` and JSON in UTF-8. Refusals are `application/problem+json` (RFC 9457): `type`, `title`,
`status`, `detail`, and `field` where one key is at fault. 409: stored already with other content. 429 and 503: try again after `Retry-After` seconds.
Lists that go on give `cursor`; ask with it for the page after. `?`: the parameter may be left out.
"""


def table(document: dict[str, Any]) -> str:
    """The page: one table per group of routes, in the order of their paths."""
    groups: dict[str, list[str]] = {}
    for path, methods in sorted(document["paths"].items()):
        for method, operation in methods.items():
            groups.setdefault(operation["tags"][0], []).append(_row(path, method, operation))
    parts = [f"\n## {group}\n\n| route | parameters | body | what it does |\n|---|---|---|---|\n" + "\n".join(rows) for group, rows in sorted(groups.items())]
    return HEAD + "\n".join(parts) + "\n"


def _row(path: str, method: str, operation: dict[str, Any]) -> str:
    asked = [f"{one['name']}{'' if one.get('required') else '?'}" for one in operation.get("parameters", []) if one["in"] == "query"]
    content = operation.get("requestBody", {}).get("content", {})
    body = next((_name(one["schema"]) for one in content.values()), "")
    said = " ".join(operation.get("description", "").split("\n\n")[0].split()).replace("|", "\\|")
    return f"| `{method.upper()} {path}` | {', '.join(asked)} | {body} | {said} |"


def _name(schema: dict[str, Any]) -> str:
    """What a body is called: the name of its schema."""
    if "$ref" in schema:
        return f"`{schema['$ref'].rsplit('/', 1)[1]}`"
    items = schema.get("properties", {}).get("items", {}).get("items", {})
    return f"`items` of {_name(items)}" if items else "an object"


def current() -> str:
    """The page as the routes of this version make it."""
    with tempfile.TemporaryDirectory() as home:
        return table(create_app(Settings(home=Path(home), database_url=None)).openapi())


if __name__ == "__main__":
    PAGE.write_text(current(), encoding="utf-8")
