"""Examples to review over HTTP, and experts who review them.

Belongs here: what the tests of review share. Not here: assertions, fixtures (conftest.py).
"""

from __future__ import annotations

import itertools
import json
from typing import Any

import jwt

from learning_pipelines.feedback.importing import import_file, window_now
from learning_pipelines.storage.database import Connection
from learning_pipelines_tests.api.conftest import AUDIENCE, JWT_SECRET
from learning_pipelines_tests.api.serving import Api, make_agents

_numbers = itertools.count(1)


def load(api: Api, kind: str, rows: list[dict[str, Any]], organization: str = "default") -> None:
    """Imports rows as the operator does; all of them must be accepted."""
    path = api.settings.home / f"rows-{next(_numbers)}.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with api.database.connect("pipeline") as connection:
        result = import_file(connection, organization, kind, path, window=window_now(api.settings.start_date, api.settings.zone))
    assert result.rejected == 0, result


def examples(api: Api, count: int = 1, agent: str = "desk", organization: str = "default", **more: Any) -> list[str]:
    """New pending examples; returns their ids."""
    ids = [f"x-{next(_numbers)}" for _ in range(count)]
    rows = [
        {"example_id": one, "agent": agent, "input_text": f"Question {one}?", "original_output": f"Wrong {one}.", "expected_output": f"Right {one}.", **more}
        for one in ids
    ]
    load(api, "examples", rows, organization)
    return ids


def new_agent(api: Api, reviewers: int = 1, organization: str = "default", lease_seconds: int = 900) -> str:
    """An agent of its own for one test, with that many reviewers per item."""
    slug = f"agent-{next(_numbers)}"
    make_agents(api, organization, slug)
    with api.database.connect("pipeline") as connection:
        connection.execute(
            """INSERT INTO review_settings (organization_id, agent_id, reviewers, lease_seconds)
            SELECT organization_id, id, %s, %s FROM agents WHERE slug = %s AND organization_id = learning.organization_id(%s)""",
            [reviewers, lease_seconds, slug, organization],
        )
    return slug


def expert(name: str, organization: str = "default", role: str = "expert") -> str:
    """A bearer token of a person."""
    return jwt.encode({"sub": name, "organization": organization, "role": role, "aud": AUDIENCE, "exp": 4_000_000_000}, JWT_SECRET, "HS256")


def queue(api: Api, who: str, **filters: Any) -> list[str]:
    """The ids in an expert's queue, in order."""
    answer = api.get("/annotations/queue", who, params={"limit": 200, **filters})
    assert answer.status_code == 200, answer.text
    return [item["example_id"] for item in answer.json()["queue"]]


def judge(api: Api, who: str, example_id: str, approved: bool | None = True, **more: Any) -> Any:
    """Sends a review; returns the response."""
    return api.post("/annotations", {"example_id": example_id, "approved": approved, **more}, who)


def one(connection: Connection, query: str, *values: object) -> Any:
    """The single row of a query, or its single value."""
    row = connection.execute(query, values).fetchone()  # type: ignore[call-overload]
    assert row is not None
    return row[0] if len(row) == 1 else row


def example_row(api: Api, example_id: str, columns: str = "review_status", organization: str = "default") -> Any:
    """Columns of an example as stored."""
    with api.database.connect("pipeline") as connection:
        query = f"SELECT {columns} FROM learning_examples WHERE organization_id = learning.organization_id(%s) AND id = %s"
        return one(connection, query, organization, example_id)


def count(api: Api, where: str, *values: object) -> int:
    """Rows of a table that meet a condition."""
    with api.database.connect("pipeline") as connection:
        return int(one(connection, f"SELECT count(*) FROM {where}", *values))
