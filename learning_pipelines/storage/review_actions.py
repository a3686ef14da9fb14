"""What one request of an expert did to which items, so that it can be undone.

Belongs here: SQL of review_actions and review_action_items, withdrawing annotations. Not here: when an undo is refused (examples/review_undo.py).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from learning_pipelines.storage.database import Connection


@dataclass(frozen=True, slots=True)
class Action:
    """One request of an expert."""

    id: UUID
    expert_id: UUID
    kind: str
    created_at: dt.datetime
    undone_at: dt.datetime | None


@dataclass(frozen=True, slots=True)
class ActionItem:
    """What it did to one item. `later`: other verdicts came since; `verified`: somebody verified the annotation since."""

    example_id: str
    annotation_id: UUID
    before: dict[str, Any]
    after: dict[str, Any]
    later: bool
    verified: bool


def add(connection: Connection, organization_id: UUID, action_id: UUID, expert_id: UUID, kind: str, items: Sequence[Mapping[str, Any]]) -> None:
    """Stores an action; `items` have example_id, annotation_id, before and after."""
    connection.execute(
        "INSERT INTO review_actions (organization_id, id, expert_id, kind) VALUES (%s, %s, %s, %s)", [organization_id, action_id, expert_id, kind]
    )
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO review_action_items (organization_id, action_id, example_id, annotation_id, before, after) VALUES (%s, %s, %s, %s, %s, %s)",
            [(organization_id, action_id, one["example_id"], one["annotation_id"], Jsonb(one["before"]), Jsonb(one["after"])) for one in items],
        )


def lock_action(connection: Connection, organization_id: UUID, action_id: UUID) -> Action | None:
    """The action, locked for this transaction."""
    with connection.cursor(row_factory=class_row(Action)) as cursor:
        return cursor.execute(
            "SELECT id, expert_id, kind, created_at, undone_at FROM review_actions WHERE organization_id = %s AND id = %s FOR UPDATE",
            [organization_id, action_id],
        ).fetchone()


def items(connection: Connection, organization_id: UUID, action_id: UUID) -> list[ActionItem]:
    """The items of an action. Call with the examples locked."""
    with connection.cursor(row_factory=class_row(ActionItem)) as cursor:
        return cursor.execute(
            """SELECT i.example_id, i.annotation_id, i.before, i.after, n.is_verified AS verified,
                EXISTS (SELECT FROM expert_annotations o WHERE o.organization_id = n.organization_id AND o.example_id = n.example_id AND n.is_verdict
                    AND o.is_verdict AND o.withdrawn_at IS NULL AND o.created_at > n.created_at) AS later
            FROM review_action_items i
            JOIN expert_annotations n ON n.organization_id = i.organization_id AND n.id = i.annotation_id
            WHERE i.organization_id = %s AND i.action_id = %s ORDER BY i.example_id""",
            [organization_id, action_id],
        ).fetchall()


def item_ids(connection: Connection, organization_id: UUID, action_id: UUID) -> list[str]:
    """Which examples an action is about."""
    query = "SELECT example_id FROM review_action_items WHERE organization_id = %s AND action_id = %s ORDER BY 1"
    return [str(row[0]) for row in connection.execute(query, [organization_id, action_id]).fetchall()]


def former_text(connection: Connection, organization_id: UUID, example_id: str, round_: int) -> str | None:
    """The expected output that the corrections of a round were made of."""
    row = connection.execute(
        """SELECT base_output FROM expert_annotations WHERE organization_id = %s AND example_id = %s AND round = %s AND corrected_output IS NOT NULL
        ORDER BY created_at LIMIT 1""",
        [organization_id, example_id, round_],
    ).fetchone()
    return None if row is None else row[0]


def withdraw(connection: Connection, organization_id: UUID, action_id: UUID, by: UUID) -> None:
    """The action is undone: its annotations count for nothing any more."""
    values = {"organization": organization_id, "action": action_id, "by": by}
    connection.execute("UPDATE expert_annotations SET withdrawn_at = now() WHERE organization_id = %(organization)s AND action_id = %(action)s", values)
    connection.execute(
        "UPDATE review_actions SET undone_at = now(), undone_by = %(by)s WHERE organization_id = %(organization)s AND id = %(action)s", values
    )
