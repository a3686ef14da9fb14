"""Demonstrations as behaviour is learnt from them: those that count now, in the scrubbed words of the examples they make, and their splits.

Belongs here: SQL of demonstrations and demonstration_splits for learning. Not here: capture (ingest_sql.py), what is learnt, the rules of splits
(behavior/demonstration_splits.py), examples that prompts show (demonstrations.py).

A demonstration counts as long as it is active (no newer version replaces it), its example stands and was neither rejected nor sent back in review,
and nobody withdrew the right of the expert it names. One whose example was not made yet has not been scrubbed and waits.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.tenants import AgentRef

_ROWS = 2_000
EXAMPLE_OF = "'ex-' || left(encode(sha256(uuid_send({0}.agent_id) || convert_to('demonstration/' || {0}.id, 'UTF8')), 'hex'), 32)"
"""The id of a demonstration's example, as examples/refresh.demonstration_example_id makes it."""
_EXAMPLE = f"JOIN learning_examples e ON e.organization_id = d.organization_id AND e.id = {EXAMPLE_OF.format('d')}"
_EXPERT = "LEFT JOIN users u ON u.organization_id = d.organization_id AND u.id = d.user_id"
_COUNTS = "(d.is_active AND e.is_active AND e.review_status NOT IN ('rejected', 'needs_revision') AND u.expertise_withdrawn_at IS NULL)"
_MINE = "d.organization_id = %(organization)s AND d.agent_id = %(agent)s"


@dataclass(frozen=True, slots=True)
class StoredDemonstration:
    """A demonstration that counts. `actions`: as captured, a list of objects with type, arguments, context; `given`: any JSON value, or None."""

    id: str
    task: str
    task_type: str
    given: Any
    actions: list[dict[str, Any]]
    reasoning: str
    final_output: str
    expert: UUID | None
    outcome: str
    approved: bool
    split: str | None
    cluster: str


def that_count(connection: Connection, agent: AgentRef) -> Iterator[StoredDemonstration]:
    """Every demonstration of the agent that counts now, oldest first, in one state of the database; a portion in memory at a time.

    Opens a transaction of its own unless there is one: read it to the end before the next statement.
    """
    with connection.transaction(), connection.cursor(name="demonstrations_that_count") as cursor:
        cursor.itersize = _ROWS
        cursor.execute(
            f"""SELECT d.id, e.input_text, coalesce(e.task_type, ''), e.input_context -> 'input_state', coalesce(e.input_context -> 'actions', '[]'),
                coalesce(e.input_context ->> 'reasoning', ''),
                coalesce(CASE d.outcome WHEN 'failure' THEN e.original_output ELSE e.expected_output END, ''),
                d.user_id, d.outcome, e.review_status = 'approved', s.split, coalesce(s.cluster, '')
            FROM demonstrations d {_EXAMPLE} {_EXPERT}
            LEFT JOIN demonstration_splits s ON s.organization_id = d.organization_id AND s.demonstration_id = d.id
            WHERE {_MINE} AND {_COUNTS} ORDER BY d.created_at, d.id COLLATE "C\"""",
            {"organization": agent.organization_id, "agent": agent.agent_id},
        )
        for row in cursor:
            yield StoredDemonstration(*row)
