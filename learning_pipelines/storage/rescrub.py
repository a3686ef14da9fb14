"""Examples that older rules scrubbed: finding them, storing their new content, joining those that became the same.

Belongs here: this SQL. Not here: what is replaced and who stays (examples/rescrub.py).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from psycopg.rows import dict_row

from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.examples import MERGED
from learning_pipelines.storage.tenants import AgentRef
from learning_pipelines.storage.trust_weights import update_confidence

CONTENT = (
    "input_text", "original_output", "expected_output", "output_a", "output_b", "input_context", "tags", "domain", "task_type", "jurisdictions",
    "review_notes",
)  # fmt: skip
_TYPES = {"input_context": "jsonb", "tags": "text[]", "jurisdictions": "text[]", "content_hash": "bytea", "scrubbed_entities": "jsonb"}
_STORED = (*CONTENT, "content_hash", "scrub_rules", "scrubbed_entities")
# Versions are whole numbers as text: the shorter is the older, of equally long ones the smaller. The index of step 0013 is in this order.
_OLDER = "(length(scrub_rules), scrub_rules) < (length(%(version)s), %(version)s)"


@dataclass(frozen=True, slots=True)
class Holder:
    """A derived example and the content it holds, or is about to hold."""

    id: str
    content_hash: bytes
    review_status: str
    reviewed_at: dt.datetime | None
    is_active: bool
    created_at: dt.datetime

    @property
    def is_reviewed(self) -> bool:
        return self.review_status in ("approved", "rejected")

    def at(self, content_hash: bytes) -> Holder:
        return replace(self, content_hash=content_hash)


def is_any_older(connection: Connection, agent: AgentRef, version: str) -> bool:
    """Whether rules before `version` scrubbed any example of the agent: one index probe."""
    values = {"organization": agent.organization_id, "agent": agent.agent_id, "version": version}
    row = connection.execute(
        f"SELECT EXISTS (SELECT FROM learning_examples WHERE organization_id = %(organization)s AND agent_id = %(agent)s AND {_OLDER})", values
    ).fetchone()
    return bool(row and row[0])


def holding_long_numbers(connection: Connection, agent: AgentRef, limit: int) -> list[dict[str, Any]]:
    """The content of up to `limit` examples in which something stands that is as long as the number of a card or an account."""
    whole = "concat_ws(E'\\n', input_text, original_output, expected_output, output_a, output_b, input_context::text, array_to_string(tags, ' '), review_notes)"
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            f"""SELECT {", ".join(CONTENT)} FROM learning_examples WHERE organization_id = %s AND agent_id = %s
                AND {whole} ~* '([0-9][ .-]?){{12}}[0-9]|\\m[a-z][a-z][0-9][0-9]([ .-]?[a-z0-9]){{11}}' LIMIT %s""",
            [agent.organization_id, agent.agent_id, limit],
        ).fetchall()


def count_older(connection: Connection, agent: AgentRef, version: str) -> int:
    """Active examples that rules before `version` scrubbed."""
    values = {"organization": agent.organization_id, "agent": agent.agent_id, "version": version}
    row = connection.execute(
        f"SELECT count(*) FROM learning_examples WHERE organization_id = %(organization)s AND agent_id = %(agent)s AND is_active AND {_OLDER}", values
    ).fetchone()
    return int(row[0]) if row else 0


def agents_with_older(connection: Connection, version: str, organization: str | None = None) -> list[AgentRef]:
    """Agents with examples that rules before `version` scrubbed: one index probe each."""
    rows = connection.execute(
        f"""SELECT o.organization_id, o.slug, a.id, a.slug FROM agents a JOIN organizations o USING (organization_id)
        WHERE (%(organization)s::text IS NULL OR o.slug = %(organization)s)
          AND EXISTS (SELECT FROM learning_examples e WHERE e.organization_id = a.organization_id AND e.agent_id = a.id AND {_OLDER})
        ORDER BY o.slug, a.slug""",
        {"version": version, "organization": organization},
    ).fetchall()
    return [AgentRef(*row) for row in rows]


def older(connection: Connection, agent: AgentRef, version: str, limit: int) -> list[dict[str, Any]]:
    """Up to `limit` examples that rules before `version` scrubbed, locked until the transaction ends."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            f"""SELECT id, example_type, source_type, content_hash, scrubbed_entities, review_status, reviewed_at, is_active, created_at,
                {", ".join(CONTENT)}
            FROM learning_examples WHERE organization_id = %(organization)s AND agent_id = %(agent)s AND {_OLDER}
            ORDER BY length(scrub_rules), scrub_rules, id LIMIT %(limit)s FOR UPDATE""",
            {"organization": agent.organization_id, "agent": agent.agent_id, "version": version, "limit": limit},
        ).fetchall()


def holders(connection: Connection, agent: AgentRef, hashes: Sequence[bytes], besides: Sequence[str]) -> list[Holder]:
    """The derived examples that hold these contents now, without those in `besides`, locked until the transaction ends."""
    rows = connection.execute(
        """SELECT id, content_hash, review_status, reviewed_at, is_active, created_at FROM learning_examples
        WHERE organization_id = %s AND agent_id = %s AND source_type = 'user_feedback' AND content_hash = ANY(%s) AND id <> ALL(%s) FOR UPDATE""",
        [agent.organization_id, agent.agent_id, list(hashes), list(besides)],
    ).fetchall()
    return [Holder(str(row[0]), bytes(row[1]), *row[2:]) for row in rows]


def withdraw_losers(connection: Connection, agent: AgentRef, losers: Mapping[str, bytes]) -> None:
    """Withdraws examples (id: the content that another one has as well); their reviews stay on record."""
    connection.execute(
        f"""UPDATE learning_examples e SET is_active = false, content_hash = {MERGED.format("l.id", "l.content")}, updated_at = now()
        FROM unnest(%s::text[], %s::bytea[]) AS l (id, content) WHERE e.organization_id = %s AND e.id = l.id""",
        [list(losers), list(losers.values()), agent.organization_id],
    )


def store(connection: Connection, agent: AgentRef, changes: Sequence[Mapping[str, Any]]) -> None:
    """Stores new content and rules; a content_hash of None leaves the hash as it is. Part of the caller's transaction."""
    names = ("id", *_STORED)
    with connection.cursor() as cursor:
        declared = ", ".join(f"{name} {_TYPES.get(name, 'text')}" for name in names)
        cursor.execute(f"CREATE TEMP TABLE IF NOT EXISTS staged_rescrub ({declared}) ON COMMIT DELETE ROWS")
        cursor.execute("DELETE FROM staged_rescrub")
        with cursor.copy(f"COPY staged_rescrub ({', '.join(names)}) FROM STDIN") as copy:
            for change in changes:
                copy.write_row([list(change[name]) if isinstance(change[name], tuple) else change[name] for name in names])
        assigned = ", ".join(f"{name} = s.{name}" for name in _STORED if name != "content_hash")
        cursor.execute(
            f"""UPDATE learning_examples e SET {assigned}, content_hash = coalesce(s.content_hash, e.content_hash), updated_at = now()
            FROM staged_rescrub s WHERE e.organization_id = %s AND e.id = s.id""",
            [agent.organization_id],
        )


def move_support(connection: Connection, agent: AgentRef, moves: Sequence[tuple[str, str]]) -> None:
    """Feedback that supported a loser supports who stays; the confidence of both follows. Call under lock_weights."""
    if not moves:
        return
    with connection.cursor() as cursor:
        cursor.executemany(
            "UPDATE example_sources SET example_id = %s WHERE organization_id = %s AND example_id = %s",
            [(keeper, agent.organization_id, loser) for loser, keeper in moves],
        )
    update_confidence(connection, agent.organization_id, [example for move in moves for example in move])


def revive(connection: Connection, agent: AgentRef, ids: Sequence[str]) -> None:
    """Makes who stays for an active example active."""
    connection.execute(
        "UPDATE learning_examples SET is_active = true WHERE organization_id = %s AND id = ANY(%s) AND NOT is_active", [agent.organization_id, list(ids)]
    )
