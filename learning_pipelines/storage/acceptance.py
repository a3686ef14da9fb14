"""Tests of candidates against incumbents: reserved before anything is scored, finished once, kept with their items.

Belongs here: SQL of acceptance_tests and acceptance_test_items. Not here: levels and verdicts (acceptance/), proposals (proposals.py).

A reservation fixes k and the level and commits at once: a run that dies after it looked has spent its level. Reservations of the same agent
and kind wait for each other, so that no two get the same k.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg.pq import TransactionStatus
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from learning_pipelines.errors import BadInput, LearningError
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.tenants import AgentRef


@dataclass(frozen=True, slots=True)
class Reservation:
    """The `k`-th test of an agent and kind on linked items (acceptance/alpha.py), which spends `alpha`; `verdict` None and `evidence` {} until
    it is finished."""

    id: UUID
    kind: str
    k: int
    alpha: float
    candidate: dict[str, Any]
    incumbent: dict[str, Any]
    training_run_id: UUID | None
    verdict: str | None
    evidence: dict[str, Any]
    created_at: dt.datetime


@dataclass(frozen=True, slots=True)
class ItemScores:
    """What the two scored on an item, 0 … 1; None until the test is finished. `slices`: the parts under guard that it belongs to."""

    example_id: str
    incumbent: float | None
    candidate: float | None
    slices: tuple[str, ...] = ()


_COLUMNS = "id, kind, k, alpha, candidate, incumbent, training_run_id, verdict, evidence, created_at"


def earlier_tests(connection: Connection, agent: AgentRef, kind: str, example_ids: Sequence[str]) -> int:
    """How many tests of this agent and kind, finished or not, are linked with these items: they share one of them, or an item with a linked test.

    One query finds all that overlap directly; a further one is made only while linked tests bring items that were not reached yet. OFFSET 0 keeps
    each test one look into the index: as a join, a planner without statistics compares every pair.
    """
    linked: list[UUID] = []
    reached, fresh = set(example_ids), list(example_ids)
    while fresh:
        found = connection.execute(
            """SELECT t.id FROM acceptance_tests AS t WHERE organization_id = %s AND agent_id = %s AND kind = %s AND NOT t.id = ANY(%s) AND EXISTS (
                SELECT FROM acceptance_test_items AS i WHERE i.organization_id = t.organization_id AND i.test_id = t.id AND i.example_id = ANY(%s)
                OFFSET 0)""",
            [agent.organization_id, agent.agent_id, kind, linked, fresh],
        ).fetchall()
        new = [row[0] for row in found]
        linked += new
        rows = connection.execute(
            "SELECT DISTINCT example_id FROM acceptance_test_items WHERE organization_id = %s AND test_id = ANY(%s)", [agent.organization_id, new]
        ).fetchall()
        fresh = [row[0] for row in rows if row[0] not in reached]
        reached.update(fresh)
    return len(linked)


def reserve_test(
    connection: Connection,
    agent: AgentRef,
    kind: str,
    example_ids: Sequence[str],
    *,
    candidate: Mapping[str, Any],
    incumbent: Mapping[str, Any],
    level: Callable[[int], float],
    training_run_id: UUID | None = None,
) -> Reservation:
    """Reserves the next test on these items; `level` says what the k-th may spend. To be called before any of the items is scored.

    A run that resumes (same training run, same candidate, incumbent and items) gets its own reservation back. Raises BadInput without
    items or with an item twice, LearningError inside a transaction, because what can be rolled back is not spent.
    """
    if not example_ids or len(set(example_ids)) != len(example_ids):
        raise BadInput("A test needs items, each once.", "Give the ids of the examples in the test split.")
    if connection.info.transaction_status is not TransactionStatus.IDLE:
        raise LearningError("A test was to be reserved inside a transaction.", "Reserve it on a connection in autocommit, before the transaction begins.")
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"acceptance/{agent.organization_id}/{agent.agent_id}/{kind}"])
        if training_run_id is not None:
            own = _own(connection, agent, kind, example_ids, training_run_id, candidate, incumbent)
            if own is not None:
                return own
        k = earlier_tests(connection, agent, kind, example_ids) + 1
        with connection.cursor(row_factory=class_row(Reservation)) as cursor:
            made = cursor.execute(
                f"""INSERT INTO acceptance_tests (organization_id, agent_id, kind, training_run_id, candidate, incumbent, k, alpha)
                VALUES (%s, %s, %s, %s, %s, %s, %s, %s) RETURNING {_COLUMNS}""",
                [agent.organization_id, agent.agent_id, kind, training_run_id, Jsonb(dict(candidate)), Jsonb(dict(incumbent)), k, level(k)],
            ).fetchone()
        assert made is not None
        connection.execute(
            "INSERT INTO acceptance_test_items (organization_id, test_id, example_id) SELECT %s, %s, unnest(%s::text[])",
            [agent.organization_id, made.id, list(example_ids)],
        )
    return made


def finish_test(
    connection: Connection, agent: AgentRef, test_id: UUID, scores: Mapping[str, tuple[float, float]], *, verdict: str, evidence: Mapping[str, Any],
    slices: Mapping[str, AbstractSet[str]] | None = None,
) -> None:  # fmt: skip
    """Stores the scores (example id → incumbent's, candidate's) of all items that were reserved, the evidence and the verdict; once.
    `slices`: parts under guard (name → ids of items).

    Raises LearningError where the test is unknown or already has a verdict, BadInput where the items are not the reserved ones; nothing
    is stored then.
    """
    with connection.transaction():
        row = connection.execute(
            "SELECT verdict FROM acceptance_tests WHERE organization_id = %s AND agent_id = %s AND id = %s FOR UPDATE",
            [agent.organization_id, agent.agent_id, test_id],
        ).fetchone()
        if row is None:
            raise LearningError(f"There is no reserved test {test_id}.", "Reserve the test before its items are scored.")
        if row[0] is not None:
            raise LearningError(f"The test {test_id} already has its verdict: {row[0]}.", "Read it, or reserve another test.")
        reserved = {each.example_id for each in item_scores(connection, agent, test_id)}
        if wrong := reserved ^ scores.keys():
            raise BadInput(f"{len(wrong)} of the scored items are missing or not the reserved ones.", "Score exactly the items the test was reserved for.")
        connection.execute(
            """UPDATE acceptance_test_items AS i SET incumbent_score = s.incumbent, candidate_score = s.candidate
            FROM unnest(%s::text[], %s::double precision[], %s::double precision[]) AS s (example_id, incumbent, candidate)
            WHERE i.organization_id = %s AND i.test_id = %s AND i.example_id = s.example_id""",
            [list(scores), [float(each[0]) for each in scores.values()], [float(each[1]) for each in scores.values()], agent.organization_id, test_id],
        )
        for name, ids in sorted((slices or {}).items()):
            connection.execute(
                """UPDATE acceptance_test_items SET slices = slices || %s::text
                WHERE organization_id = %s AND test_id = %s AND example_id = ANY(%s) AND NOT %s = ANY (slices)""",
                [name, agent.organization_id, test_id, list(ids), name],
            )
        connection.execute(
            "UPDATE acceptance_tests SET verdict = %s, evidence = %s WHERE organization_id = %s AND id = %s",
            [verdict, Jsonb(dict(evidence)), agent.organization_id, test_id],
        )


def tests(connection: Connection, agent: AgentRef, kind: str | None = None) -> list[Reservation]:
    """The tests of an agent in the order they were reserved."""
    with connection.cursor(row_factory=class_row(Reservation)) as cursor:
        return cursor.execute(
            f"""SELECT {_COLUMNS} FROM acceptance_tests
            WHERE organization_id = %(organization)s AND agent_id = %(agent)s AND (%(kind)s::text IS NULL OR kind = %(kind)s) ORDER BY created_at, k, id""",
            {"organization": agent.organization_id, "agent": agent.agent_id, "kind": kind},
        ).fetchall()


def item_scores(connection: Connection, agent: AgentRef, test_id: UUID) -> list[ItemScores]:
    """The items of a test in the order of their ids."""
    rows = connection.execute(
        """SELECT example_id, incumbent_score, candidate_score, slices FROM acceptance_test_items
        WHERE organization_id = %s AND test_id = %s ORDER BY example_id COLLATE "C\"""",
        [agent.organization_id, test_id],
    ).fetchall()
    return [ItemScores(row[0], row[1], row[2], tuple(row[3])) for row in rows]


def _own(
    connection: Connection,
    agent: AgentRef,
    kind: str,
    example_ids: Sequence[str],
    training_run_id: UUID,
    candidate: Mapping[str, Any],
    incumbent: Mapping[str, Any],
) -> Reservation | None:
    """What a training run reserved before for the same comparison on exactly these items; None if it did not."""
    with connection.cursor(row_factory=class_row(Reservation)) as cursor:
        return cursor.execute(
            f"""SELECT {_COLUMNS} FROM acceptance_tests AS t
            WHERE organization_id = %s AND agent_id = %s AND kind = %s AND training_run_id = %s AND candidate = %s AND incumbent = %s
                AND %s::text[] = ARRAY (SELECT i.example_id FROM acceptance_test_items AS i
                    WHERE i.organization_id = t.organization_id AND i.test_id = t.id ORDER BY i.example_id COLLATE "C")
            ORDER BY created_at, id LIMIT 1""",
            [agent.organization_id, agent.agent_id, kind, training_run_id, Jsonb(dict(candidate)), Jsonb(dict(incumbent)), sorted(example_ids)],
        ).fetchone()
