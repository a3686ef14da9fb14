"""Patterns of an agent's demonstrations as they were found last, and the sequences of actions that went wrong outside demonstrations.

Belongs here: SQL of behavior_patterns, and of examples that hold actions. Not here: finding patterns (behavior/patterns/), demonstrations
(behavior_demonstrations.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, fields
from typing import Any, Literal

from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.examples import EXAMPLE_OF
from learning_pipelines.storage.tenants import AgentRef

Kind = Literal["pattern", "transition", "anti"]


@dataclass(frozen=True, slots=True)
class StoredPattern:
    """`types` in their order; a transition has two. `support` of `total` demonstrations hold it (anti: of the failures). `times` of `of_times`: what
    its confidence is of, with the interval `low` to `high` (anti: the successes, with the interval of the share of failures). `p`, `q`: of anti alone.
    `evidence`: up to 10 ids."""

    kind: Kind
    task_type: str
    how: str
    types: list[str]
    support: int
    total: int
    times: int
    of_times: int
    low: float
    high: float
    lift: float
    p: float | None
    q: float | None
    evidence: list[str]


_COLUMNS = ", ".join(field.name for field in fields(StoredPattern))
_MINE = "organization_id = %(organization)s AND agent_id = %(agent)s"


def replace(connection: Connection, agent: AgentRef, rows: Iterable[StoredPattern], computed_by: str | None) -> int:
    """Makes these the agent's patterns, in this order; how many there are. In one transaction: readers see the old ones or the new ones."""
    values = {"organization": agent.organization_id, "agent": agent.agent_id, "by": computed_by}
    with connection.transaction(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"behavior_patterns/{agent.organization_id}/{agent.agent_id}"])
        cursor.execute(f"DELETE FROM behavior_patterns WHERE {_MINE}", values)
        cursor.execute("CREATE TEMP TABLE IF NOT EXISTS staged_patterns (LIKE behavior_patterns) ON COMMIT DELETE ROWS")
        for name in ("organization_id", "agent_id", "computed_at"):
            cursor.execute(f"ALTER TABLE staged_patterns ALTER COLUMN {name} DROP NOT NULL")
        with cursor.copy(f"COPY staged_patterns (number, {_COLUMNS}) FROM STDIN") as copy:
            for number, row in enumerate(rows, start=1):
                copy.write_row((number, *astuple(row)))
        return cursor.execute(
            f"""INSERT INTO behavior_patterns (organization_id, agent_id, computed_by, number, {_COLUMNS})
            SELECT %(organization)s, %(agent)s, %(by)s, number, {_COLUMNS} FROM staged_patterns""",
            values,
        ).rowcount


def listed(connection: Connection, agent: AgentRef, kind: Kind | None = None, task_type: str | None = None) -> list[StoredPattern]:
    """The agent's patterns in their order; of one kind or task type, if said."""
    rows = connection.execute(
        f"""SELECT {_COLUMNS} FROM behavior_patterns WHERE {_MINE} AND (%(kind)s::text IS NULL OR kind = %(kind)s)
        AND (%(task_type)s::text IS NULL OR task_type = %(task_type)s) ORDER BY number""",
        {"organization": agent.organization_id, "agent": agent.agent_id, "kind": kind, "task_type": task_type},
    ).fetchall()
    return [StoredPattern(*row) for row in rows]


def gone_wrong(connection: Connection, agent: AgentRef, most: int) -> list[tuple[str, str, str, list[Any]]]:
    """(example id, task, task type, actions) of examples of what went wrong, or had to be corrected, whose context holds actions; the newest `most`.

    Examples that demonstrations make are left out: those are known as demonstrations.
    """
    rows = connection.execute(
        f"""SELECT e.id, coalesce(e.input_text, ''), coalesce(e.task_type, ''), e.input_context -> 'actions' FROM learning_examples e
        WHERE e.{_MINE.replace(" AND ", " AND e.")} AND e.is_active AND e.example_type IN ('failure', 'negative', 'correction')
        AND e.review_status NOT IN ('rejected', 'needs_revision') AND jsonb_typeof(e.input_context -> 'actions') = 'array'
        AND NOT EXISTS (SELECT FROM demonstrations d WHERE d.organization_id = e.organization_id AND d.agent_id = e.agent_id
            AND {EXAMPLE_OF.format("d")} = e.id)
        ORDER BY e.created_at DESC, e.id LIMIT %(most)s""",
        {"organization": agent.organization_id, "agent": agent.agent_id, "most": most},
    ).fetchall()
    return [(str(name), str(task), str(kind), list(actions)) for name, task, kind, actions in rows]


def holders(connection: Connection, agent: AgentRef, ids: Sequence[str]) -> dict[str, set[str]]:
    """Of these demonstrations those that teach now (they count, succeeded and are of the split train), with the types of their actions."""
    from learning_pipelines.storage.behavior_demonstrations import that_count

    wanted = set(ids)
    return {
        one.id: {str(step.get("type", "")).strip() for step in one.actions}
        for one in that_count(connection, agent)
        if one.id in wanted and one.outcome == "success" and one.split == "train"
    }
