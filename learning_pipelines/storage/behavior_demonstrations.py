"""Demonstrations as behaviour is learnt from them: those that count now, in the scrubbed words of the examples they make, and their splits.

Belongs here: SQL of demonstrations and demonstration_splits for learning. Not here: capture (ingest_sql.py), what is learnt, the rules of splits
(behavior/demonstration_splits.py), examples that prompts show (demonstrations.py).

A demonstration counts as long as it is active (no newer version replaces it), its example stands and was neither rejected nor sent back in review,
and nobody withdrew the right of the expert it names. One whose example was not made yet has not been scrubbed and waits.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.examples import EXAMPLE_OF
from learning_pipelines.storage.tenants import AgentRef

_ROWS = 2_000
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


def withdrawn(connection: Connection, agent: AgentRef) -> set[str]:
    """Ids of the agent's demonstrations by experts whose right was withdrawn: nothing that was learnt from them may serve any longer."""
    rows = connection.execute(
        f"SELECT d.id FROM demonstrations d {_EXPERT} WHERE {_MINE} AND u.expertise_withdrawn_at IS NOT NULL",
        {"organization": agent.organization_id, "agent": agent.agent_id},
    ).fetchall()
    return {str(identity) for (identity,) in rows}


@dataclass(frozen=True, slots=True)
class Placed:
    """A demonstration among those that splits are decided over. `split` None: nothing was decided about it, or it is `left_out` for good."""

    id: str
    task: str
    given: Any
    stratum: str
    split: str | None
    cluster: str
    replaces: str | None
    task_id: str | None
    left_out: bool


_UNDECIDED = f"""SELECT EXISTS (SELECT FROM demonstrations d {_EXAMPLE} {_EXPERT} WHERE {_MINE} AND {_COUNTS} AND NOT EXISTS (
    SELECT FROM demonstration_splits s WHERE s.organization_id = d.organization_id AND s.demonstration_id = d.id))"""


def lock_splits(connection: Connection, agent: AgentRef) -> None:
    """One decision about an agent's splits at a time; released with the transaction."""
    connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"demonstration_splits/{agent.organization_id}/{agent.agent_id}"])


def is_any_undecided(connection: Connection, agent: AgentRef) -> bool:
    """Whether a demonstration that counts has no decision about its split."""
    row = connection.execute(_UNDECIDED, {"organization": agent.organization_id, "agent": agent.agent_id}).fetchone()
    return bool(row and row[0])


def placed(connection: Connection, agent: AgentRef) -> list[Placed]:
    """Those that count or were decided on before, ordered by id: who leaves may come back, and must not find its task on another side then."""
    rows = connection.execute(
        f"""SELECT d.id, e.input_text, e.input_context -> 'input_state', concat(d.outcome, '/', e.task_type), s.split, coalesce(s.cluster, ''), d.replaces,
            d.context ->> 'task_id',
            coalesce(s.left_out <> '', false)
        FROM demonstrations d {_EXAMPLE} {_EXPERT}
        LEFT JOIN demonstration_splits s ON s.organization_id = d.organization_id AND s.demonstration_id = d.id
        WHERE {_MINE} AND (s.demonstration_id IS NOT NULL OR {_COUNTS}) ORDER BY d.id COLLATE "C\"""",
        {"organization": agent.organization_id, "agent": agent.agent_id},
    ).fetchall()
    return [Placed(*row) for row in rows]


def store_decisions(connection: Connection, agent: AgentRef, rows: Sequence[tuple[str, str | None, str, str]]) -> None:
    """Writes (demonstration id, split or None, reason it is left out or '', cluster). A split is given once: it can only be given up."""
    columns = [list(column) for column in zip(*rows, strict=True)] or [[], [], [], []]
    connection.execute(
        """INSERT INTO demonstration_splits AS s (organization_id, agent_id, demonstration_id, split, left_out, cluster)
        SELECT %s, %s, d.* FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[]) AS d (id, split, reason, cluster)
        ON CONFLICT (organization_id, demonstration_id) DO UPDATE SET split = excluded.split, left_out = excluded.left_out, cluster = excluded.cluster
            WHERE excluded.split IS NULL OR s.split = excluded.split""",
        [agent.organization_id, agent.agent_id, *columns],
    )


def not_counting(connection: Connection, agent: AgentRef) -> dict[str, int]:
    """How many demonstrations of the agent do not count now, by the first reason that applies: replaced, expert_withdrawn, turned_down (in review,
    or their example was withdrawn), waiting (their example was not made yet). Reasons that keep none are left out."""
    rows = connection.execute(
        f"""SELECT CASE WHEN NOT d.is_active THEN 'replaced' WHEN u.expertise_withdrawn_at IS NOT NULL THEN 'expert_withdrawn'
            WHEN e.id IS NULL THEN 'waiting' ELSE 'turned_down' END AS reason, count(*)
        FROM demonstrations d LEFT {_EXAMPLE} {_EXPERT} WHERE {_MINE} AND {_COUNTS} IS NOT TRUE GROUP BY 1 ORDER BY 1""",
        {"organization": agent.organization_id, "agent": agent.agent_id},
    ).fetchall()
    return {str(reason): int(count) for reason, count in rows}
