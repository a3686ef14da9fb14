"""Reading a month out of the database: its rows in the order of an index, with a digest of each that the files are compared with, and what is kept of them.

Belongs here: SQL over one month's partitions, the columns of archived rows. Not here: files (feedback/archive/files.py), the ledger (archive.py).

Rows come in the order of an index that begins with the organization: so each organization's rows lie together, executions by their id and feedback by its
execution, without a sort and without a pass per organization, however many there are.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any
from uuid import UUID

from learning_pipelines.storage import metrics
from learning_pipelines.storage.archive import EXECUTIONS, FEEDBACK, Month
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.trust_weights import NEWCOMER

FETCH = 2_000
SEPARATOR = "\x1f"
"""Between the texts of a list. Texts stand in the digest with their length in front: no two rows of different values look the same."""
Value = Any


@dataclass(frozen=True, slots=True)
class Column:
    """A column of archived rows: `kind` is text, json (as text), texts, uuid (as text), integer, float, boolean or time (microseconds since 1970)."""

    name: str
    kind: str
    source: str = ""

    @property
    def selected(self) -> str:
        """The SQL that reads it."""
        value = self.source or f"t.{self.name}"
        return {"json": f"{value}::text", "uuid": f"{value}::text", "time": f"(extract(epoch FROM {value}) * 1000000)::bigint"}.get(self.kind, value)

    @property
    def digested(self) -> str:
        """The SQL of what stands for its value in the digest of the row."""
        if self.kind in ("text", "json", "texts"):
            text = f"array_to_string({self.selected}, E'\\x1f')" if self.kind == "texts" else self.selected
            return f"coalesce(length({text}) || ':' || {text}, '-')"
        if self.kind == "float":
            return f"coalesce(encode(float8send({self.selected}), 'hex'), '-')"
        return f"coalesce(({self.selected})::text, '-')"


def _text(value: Value) -> str:
    return f"{len(value)}:{value}"


_SAME: dict[str, Callable[[Value], str]] = {
    "text": _text, "json": _text, "texts": lambda value: _text(SEPARATOR.join(value)), "uuid": str, "integer": str, "time": str,
    "float": lambda value: struct.pack(">d", value).hex(), "boolean": lambda value: "true" if value else "false",
}  # fmt: skip


def digest_of(columns: Sequence[Column], row: Sequence[Value]) -> int:
    """What the database says of a row with these values (8 bytes, unsigned)."""
    parts = ("-" if value is None else _SAME[column.kind](value) for column, value in zip(columns, row, strict=True))
    return int.from_bytes(sha256(",".join(parts).encode()).digest()[:8], "big")


IN_FORCE = "(CASE WHEN t.withdrawn THEN 0 ELSE t.facets & ~coalesce(newer.facets, 0) END)::smallint"
"""As the view feedback_in_force says it, over the rows of one month: whatever was said about an execution lies in one."""


def _columns(**kinds: str) -> tuple[Column, ...]:
    return tuple(Column(name, kind) for names, kind in kinds.items() for name in [names])


COLUMNS: dict[str, tuple[Column, ...]] = {
    EXECUTIONS: (
        *_columns(id="text", agent_id="uuid", user_id="uuid", session_id="text", parent_id="text", input="text", output="text", messages="json", tags="texts"),
        *_columns(environment="text", context="json", retrieved="json", prompt_version="text", latency_ms="float", input_tokens="integer"),
        *_columns(output_tokens="integer", cost_usd="float", created_at="time", received_at="time"),
    ),
    FEEDBACK: (
        *_columns(id="text", arrival="integer", execution_id="text", pending_execution="boolean", agent_id="uuid", user_id="uuid", feedback_type="text"),
        *_columns(rating="integer", accuracy_rating="integer", helpfulness_rating="integer", clarity_rating="integer", completeness_rating="integer"),
        *_columns(issue_categories="texts", feedback_text="text", correction_text="text", task_context="json", context="json", created_at="time"),
        Column("received_at", "time"), Column("withdrawn", "boolean"), Column("facets", "integer"), Column("facets_in_force", "integer", IN_FORCE),
        Column("rater_weight", "float", f"coalesce((SELECT w.weight FROM rater_weights w WHERE w.organization_id = t.organization_id "
               f"AND w.user_id = t.user_id), {NEWCOMER})::double precision"),
    ),
}  # fmt: skip
"""What files hold, in order. facets_in_force and rater_weight are as they were when the month was archived: its sums were made of them."""

# IS NOT DISTINCT FROM, which no index answers: by the index of users each row would walk past everything its user said later.
_NEWER = """LEFT JOIN LATERAL (SELECT bit_or(s.facets::integer) AS facets FROM ONLY {0} s WHERE t.user_id IS NOT NULL AND t.facets <> 0
    AND s.organization_id = t.organization_id AND s.execution_id = t.execution_id AND s.user_id IS NOT DISTINCT FROM t.user_id
    AND (s.created_at, s.arrival) > (t.created_at, t.arrival)) newer ON true"""


def export_query(month: Month, table: str) -> str:
    """The statement that reads a month: organization, digest of the row, the columns."""
    columns, name = COLUMNS[table], month.partition(table)
    digest = " || ',' || ".join(column.digested for column in columns)
    selected = ", ".join(column.selected for column in columns)
    newer, order = (_NEWER.format(name), "t.organization_id, t.execution_id") if table == FEEDBACK else ("", "t.organization_id, t.id")
    return f"""SELECT t.organization_id, encode(substring(sha256(convert_to({digest}, 'UTF8')) FROM 1 FOR 8), 'hex'), {selected}
        FROM ONLY {name} t {newer} ORDER BY {order}"""


def prepare(connection: Connection) -> None:
    """Makes the plans of the running transaction walk an index: nothing is sorted and nothing kept in memory."""
    connection.execute("SET LOCAL enable_sort = off; SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off; SET LOCAL jit = off")
    connection.execute("SET LOCAL enable_incremental_sort = off; SET LOCAL cursor_tuple_fraction = 1")


def plan_freely(connection: Connection) -> None:
    """Undoes prepare(): what follows in the transaction is planned as usual."""
    connection.execute("SET LOCAL enable_sort = on; SET LOCAL enable_seqscan = on; SET LOCAL enable_bitmapscan = on; SET LOCAL enable_incremental_sort = on")


def rows_of(connection: Connection, month: Month, table: str) -> Iterator[list[tuple[Any, ...]]]:
    """The rows of a month, FETCH at a time: (organization, digest in hex, the columns). Call inside a transaction, after prepare()."""
    with connection.cursor(name=f"archived_{table}") as cursor:
        cursor.execute(export_query(month, table))
        while rows := cursor.fetchmany(FETCH):
            yield rows


def sums(connection: Connection, month: Month, zone: str) -> list[tuple[Any, ...]]:
    """What a month's rows give to the metrics: (organization, agent, day, metrics.COLUMNS)."""
    feedback = month.partition(FEEDBACK)
    in_force = f"""(SELECT t.*, {IN_FORCE} AS facets_in_force FROM ONLY {feedback} t
        {_NEWER.format(feedback)} WHERE NOT t.pending_execution) AS said_here"""
    query = metrics.sums_of_rows(month.partition(EXECUTIONS), feedback, in_force)
    return connection.execute(query, {"zone": zone, "newcomer": NEWCOMER}).fetchall()


def keep_raters(connection: Connection, month: Month) -> None:
    """Writes down how much of each person's feedback lies in a month."""
    connection.execute(
        f"""INSERT INTO archived_raters (organization_id, user_id, month, ratings) SELECT organization_id, user_id, %s, count(*)
        FROM ONLY {month.partition(FEEDBACK)} WHERE user_id IS NOT NULL AND NOT pending_execution GROUP BY 1, 2""",
        [month.first],
    )


def keep_thumbs(connection: Connection, month: Month) -> None:
    """Writes down the thumbs in force on executions that examples come from."""
    feedback = month.partition(FEEDBACK)
    connection.execute(
        f"""INSERT INTO archived_thumbs (organization_id, execution_id, feedback_id, month, user_id, feedback_type)
        SELECT t.organization_id, t.execution_id, t.id, %s, t.user_id, t.feedback_type FROM ONLY {feedback} t {_NEWER.format(feedback)}
        WHERE t.facets & 1 > 0 AND NOT t.pending_execution AND {IN_FORCE} & 1 > 0 AND EXISTS (SELECT FROM example_sources s
            WHERE s.organization_id = t.organization_id AND s.execution_id = t.execution_id) ON CONFLICT DO NOTHING""",
        [month.first],
    )


def names(connection: Connection) -> tuple[dict[UUID, str], dict[str, str]]:
    """Slugs of the organizations, and of the agents by their ids as text."""
    organizations = connection.execute("SELECT organization_id, slug FROM organizations").fetchall()
    agents = connection.execute("SELECT id::text, slug FROM agents").fetchall()
    return {row[0]: str(row[1]) for row in organizations}, {str(row[0]): str(row[1]) for row in agents}
