"""Rows that tests write, as short as they can be, and rows as they are stored.

Belongs here: makers of import lines, reading a table. Not here: fixtures (conftest.py), assertions.
"""

from __future__ import annotations

from typing import Any

from psycopg.rows import dict_row

from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.tenants import AgentRef, agents

Row = dict[str, Any]
AGENT: Row = {"agent": "desk", "name": "Service desk", "system_prompt": "You answer.", "domain": "tax"}


def execution(name: str, agent: str = "desk", **more: Any) -> Row:
    """An execution whose input and output name it."""
    return {"execution_id": name, "agent": agent, "input": f"Question of {name}", "output": f"Answer of {name}", **more}


def said(name: str | None, about: str, kind: str = "thumbs_up", **more: Any) -> Row:
    """A feedback; without a name it has no id of its own."""
    return ({} if name is None else {"feedback_id": name}) | {"execution_id": about, "feedback_type": kind, **more}


def one_of_each() -> dict[str, Row]:
    """A valid row of every kind, about the agent `desk` and the execution `e1`."""
    return {
        "agents": dict(AGENT),
        "executions": execution("e1", user="ada", tags=["vat"], retrieved=[{"document_id": "d1", "rank": 1, "score": 0.5}]),
        "feedback": said("f1", "e1", agent="desk", user="ada", rating=5, dimensions={"accuracy": 4}, issue_categories=["tone"]),
        "examples": {"example_id": "x1", "agent": "desk", "input_text": "Which form?", "expected_output": "Form 1."},
        "demonstrations": {
            "demonstration_id": "d1", "agent": "desk", "task_description": "Close the month", "actions": [{"type": "open", "arguments": {"year": 2026}}],
            "final_output": "Closed.",
        },
        "documents": {"document_id": "d1", "text": "Form 1 is for VAT.", "title": "Forms", "metadata": {"page": 1}},
        "retrieval_feedback": {"query": "form for VAT", "agent": "desk", "retrieved": ["d1", "d2"], "relevant": ["d1"], "user": "ada"},
    }  # fmt: skip


def table(connection: Connection, name: str, condition: str = "true") -> list[Row]:
    """All rows of a table (or view) that meet a condition."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(f"SELECT * FROM {name} WHERE {condition}").fetchall()  # type: ignore[arg-type]


def agent_ref(connection: Connection, agent: str = "desk", organization: str = "default") -> AgentRef:
    """The agent by its names."""
    (found,) = agents(connection, organization, agent)
    return found
