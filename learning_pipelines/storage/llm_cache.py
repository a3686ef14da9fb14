"""Answers of language models that outlive the process, and the accounts of what calls have used.

Belongs here: SQL of llm_responses and llm_usage. Not here: what makes two requests the same (llm_protocol.py), counting during a run (llm_budget.py).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from learning_pipelines.llm_budget import Usage
from learning_pipelines.llm_protocol import Completion
from learning_pipelines.storage.database import Connection, database_errors

_COUNTS = ("requests", "answers", "cache_hits", "input_tokens", "output_tokens", "cached_tokens", "cost_usd", "unpriced")
_ADD = f"""INSERT INTO llm_usage (organization_id, day, run_id, role, model, {", ".join(_COUNTS)})
    VALUES (%(organization)s, (now() AT TIME ZONE 'UTC')::date, %(run)s, %(role)s, %(model)s, {", ".join(f"%({name})s" for name in _COUNTS)})
    ON CONFLICT (organization_id, day, run_id, role, model) DO UPDATE SET {", ".join(f"{name} = llm_usage.{name} + excluded.{name}" for name in _COUNTS)}"""


@dataclass(frozen=True, slots=True)
class DatabaseCache:
    """The answers of one organization (a ResponseCache). Threads may share it: the connection, in autocommit, lets one through at a time."""

    connection: Connection
    organization_id: UUID

    def get(self, key: str) -> Completion | None:
        with database_errors("looking up an answer of the language model"):
            row = self.connection.execute(
                """SELECT answer, input_tokens, output_tokens, cached_tokens, model, seconds, cut_off FROM llm_responses
                WHERE organization_id = %s AND key = %s""",
                [self.organization_id, bytes.fromhex(key)],
            ).fetchone()
        if row is None:
            return None
        answer, given, made, cached, model, seconds, cut_off = row
        return Completion(answer, given, made, cached, 0.0, True, model, seconds, cut_off)

    def put(self, key: str, completion: Completion) -> None:
        """Keeps the first answer: others may have been used already. One that PostgreSQL cannot hold is not kept."""
        if "\x00" in completion.text:
            return
        values = (completion.input_tokens, completion.output_tokens, completion.cached_tokens, completion.seconds, completion.cut_off)
        with database_errors("keeping an answer of the language model"):
            self.connection.execute(
                """INSERT INTO llm_responses (organization_id, key, model, answer, input_tokens, output_tokens, cached_tokens, seconds, cut_off)
                VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING""",
                [self.organization_id, bytes.fromhex(key), completion.model, completion.text, *values],
            )


def record_usage(connection: Connection, organization_id: UUID, run_id: str, usages: Iterable[Usage]) -> None:
    """Adds to the accounts of a run: hand over `Budget.take_usage()`, as often as you like."""
    with database_errors("keeping the accounts of the language model"), connection.transaction():
        for usage in usages:
            counts = {name: getattr(usage, name) for name in _COUNTS if name != "cost_usd"}
            values = {"organization": organization_id, "run": run_id, "role": usage.role, "model": usage.model, "cost_usd": usage.priced_usd}
            connection.execute(_ADD, {**values, **counts})


def usage_between(connection: Connection, organization_id: UUID, first: dt.date, last: dt.date) -> list[Usage]:
    """What was used from `first` to `last` (days in UTC), per role and model."""
    sums = ", ".join(f"sum({name})::{'numeric' if name == 'cost_usd' else 'bigint'}" for name in _COUNTS)
    rows = connection.execute(
        f"SELECT role, model, {sums} FROM llm_usage WHERE organization_id = %s AND day BETWEEN %s AND %s GROUP BY role, model ORDER BY role, model",
        [organization_id, first, last],
    ).fetchall()
    names = ["role", "model", *(name if name != "cost_usd" else "priced_usd" for name in _COUNTS)]
    return [Usage(**dict(zip(names, row, strict=True))) for row in rows]


def forget_answers(
    connection: Connection, *, organization_id: UUID | None = None, before: dt.datetime | None = None, since: dt.datetime | None = None
) -> int:
    """Deletes kept answers, of one organization, older than a moment or not older than another, and says how many. Nothing names the person an answer is
    about: erasing one means forgetting all of the organization's since the person was first heard of."""
    deleted = connection.execute(
        """DELETE FROM llm_responses WHERE (%(organization)s::uuid IS NULL OR organization_id = %(organization)s)
        AND (%(before)s::timestamptz IS NULL OR created_at < %(before)s) AND (%(since)s::timestamptz IS NULL OR created_at >= %(since)s)""",
        {"organization": organization_id, "before": before, "since": since},
    )
    return deleted.rowcount


def total_cost(usages: Iterable[Usage]) -> Decimal | None:
    """The money of several accounts; None as soon as one holds an answer whose price is not known."""
    known = list(usages)
    return None if any(usage.unpriced for usage in known) else sum((usage.priced_usd for usage in known), Decimal(0))
