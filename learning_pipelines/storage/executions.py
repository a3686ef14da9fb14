"""Reading executions page by page, bounded in work whatever is filtered by.

Belongs here: SQL that lists agent_executions for people. Not here: one with what was said about it (execution_details.py), storing them (ingest_sql.py),
metrics.

Agents, users and sessions have an index in the order of the list: a page reads what it shows. Every other filter is looked at row by row, over at most
SCANNED rows of what these indexes give: a page that found too few says down to when it looked, and the next one goes on there.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

from psycopg.rows import dict_row

from learning_pipelines.storage.database import Connection

SCANNED, PROBED = 50_000, 10_000
"""Rows that a page looks at, all agents together: by their own columns, by feedback (a probe of an index each)."""
LEAST = 500
"""Rows of each agent at least, however many agents there are."""
SHOWN = """x.id AS execution_id, a.slug AS agent, u.external_id AS user, x.session_id, x.parent_id, x.input, x.output, x.tags, x.environment,
    x.prompt_version, x.latency_ms, x.input_tokens, x.output_tokens, x.cost_usd, x.created_at"""
WHO = "LEFT JOIN users u ON u.organization_id = x.organization_id AND u.id = x.user_id"
Position = tuple[dt.datetime, str]


@dataclass(frozen=True)
class Sought:
    """Filters by what an execution says itself, of rows and of archived files alike; None means any. `position`: (created_at, id) of the row that the page
    before ended with."""

    agent_id: UUID | None = None
    user_id: UUID | None = None
    session_id: str | None = None
    environment: str | None = None
    tag: str | None = None
    prompt_version: str | None = None
    after: dt.datetime | None = None
    before: dt.datetime | None = None
    position: Position | None = None


@dataclass(frozen=True)
class Wanted(Sought):
    """Filters of a page of rows. Feedback is what the reader may see of it and what is in force: `with_feedback` (any at all, or none), `rating_max`
    (stars), `issue` (a category), `corrected`."""

    with_feedback: bool | None = None
    rating_max: int | None = None
    issue: str | None = None
    corrected: bool | None = None


@dataclass(frozen=True)
class Page:
    """`rows`: newest first. `rest`: where the next page begins, None at the end. `searched_to`: the page looked down to here and found too few."""

    rows: list[dict[str, Any]]
    rest: Position | None = None
    searched_to: dt.datetime | None = None


_SOUGHT = {
    "user_id": "e.user_id = %(user_id)s", "session_id": "e.session_id = %(session_id)s", "after": "e.created_at >= %(after)s",
    "before": "e.created_at < %(before)s", "position": "e.created_at <= %(at)s AND (e.created_at, e.id) < (%(at)s, %(id)s)",
}  # fmt: skip
_LOOKED_AT = {
    "environment": "e.environment = %(environment)s", "tag": "%(tag)s = ANY(e.tags)", "prompt_version": "e.prompt_version = %(prompt_version)s",
}  # fmt: skip
# A scalar subquery: the planner makes no join of it over all feedback there is, each row is one probe.
_SAID = """coalesce((SELECT true FROM feedback_in_force f WHERE f.organization_id = e.organization_id AND f.execution_id = e.id {} LIMIT 1), false)"""
_PROBED = {
    "with_feedback": _SAID.format("AND NOT f.withdrawn AND (f.facets = 0 OR f.facets_in_force > 0)") + " = %(with_feedback)s",
    "rating_max": _SAID.format("AND f.facets_in_force & 2 > 0 AND f.rating <= %(rating_max)s"),
    "issue": _SAID.format("AND f.facets_in_force & 8 > 0 AND %(issue)s = ANY(f.issue_categories)"),
    "corrected": _SAID.format("AND f.facets_in_force & 16 > 0") + " = %(corrected)s",
}
_NEWEST = "ORDER BY {0}.created_at DESC, {0}.id DESC"


def page(connection: Connection, organization_id: UUID, wanted: Wanted, limit: int, excerpt: int | None = None) -> Page:
    """Executions, newest first. `excerpt`: so many characters of input and output at most."""
    asked = {name for name, value in asdict(wanted).items() if value is not None}
    at, identity = wanted.position or (None, None)
    values: dict[str, Any] = {**asdict(wanted), "at": at, "id": identity, "organization": organization_id, "limit": limit, "excerpt": excerpt}
    filters = [condition for name, condition in (_LOOKED_AT | _PROBED).items() if name in asked]
    if not filters:
        rows = _rows(connection, _listing(_source(asked, "limit"), asked, excerpt), values)
        return Page(rows, _position(rows[-1]) if len(rows) == limit else None)
    values["scan"] = _scan(connection, organization_id, PROBED if asked & _PROBED.keys() else SCANNED, one=bool(asked & {"agent_id", "user_id", "session_id"}))
    chosen = f"SELECT * FROM ({_source(asked, 'scan')}) e WHERE {' AND '.join(filters)} {_NEWEST.format('e')} LIMIT %(limit)s"
    rows = _rows(connection, _listing(chosen, asked, excerpt), values)
    return _seen(rows, _frontier(connection, asked, values), limit)


def _seen(rows: list[dict[str, Any]], frontier: Position | None, limit: int) -> Page:
    """What may be shown: nothing older than where an agent's look ended, or what it would still have found there were passed over."""
    kept = rows if frontier is None else [row for row in rows if _position(row) >= frontier]
    if len(kept) == limit:
        return Page(kept, _position(kept[-1]))
    return Page(kept, frontier, None if frontier is None else frontier[0])


def _source(asked: set[str], most: str) -> str:
    """The newest rows by an index that has them in order: of a user or a session, else of the agent `a`."""
    conditions = ["e.organization_id = %(organization)s", *(condition for name, condition in _SOUGHT.items() if name in asked)]
    if not _of_persons(asked):
        conditions.append("e.agent_id = a.id")
    elif "agent_id" in asked:
        conditions.append("e.agent_id = %(agent_id)s")
    return f"SELECT * FROM agent_executions e WHERE {' AND '.join(conditions)} {_NEWEST.format('e')} LIMIT %({most})s"


def _listing(source: str, asked: set[str], excerpt: int | None) -> str:
    shown = SHOWN if excerpt is None else SHOWN.replace("x.input, x.output,", "left(x.input, %(excerpt)s) AS input, left(x.output, %(excerpt)s) AS output,")
    return f"SELECT {shown} FROM {_from(source, asked, WHO)} {_NEWEST.format('x')} LIMIT %(limit)s"


def _from(source: str, asked: set[str], joins: str = "") -> str:
    if _of_persons(asked):
        return f"({source}) x JOIN agents a ON a.organization_id = x.organization_id AND a.id = x.agent_id {joins}"
    one = " AND a.id = %(agent_id)s" if "agent_id" in asked else ""
    return f"agents a CROSS JOIN LATERAL ({source}) x {joins} WHERE a.organization_id = %(organization)s{one}"


def _of_persons(asked: set[str]) -> bool:
    return bool(asked & {"user_id", "session_id"})


def _scan(connection: Connection, organization_id: UUID, most: int, *, one: bool) -> int:
    """Rows that are looked at in each list that is read."""
    if one:
        return most
    row = connection.execute("SELECT count(*) FROM agents WHERE organization_id = %s", [organization_id]).fetchone()
    return max(LEAST, most // max(1, row[0] if row else 1))


def _frontier(connection: Connection, asked: set[str], values: dict[str, Any]) -> Position | None:
    """The newest place at which a look ended because it was long enough; None: everything was looked at."""
    last = _source(asked, "scan").replace("SELECT *", "SELECT e.organization_id, e.agent_id, e.created_at, e.id")
    last = last.replace("LIMIT %(scan)s", "OFFSET %(scan)s - 1 LIMIT 1")
    row = connection.execute(f"SELECT x.created_at, x.id FROM {_from(last, asked)} {_NEWEST.format('x')} LIMIT 1", values).fetchone()
    return None if row is None else (row[0], row[1])


def _rows(connection: Connection, statement: str, values: dict[str, Any]) -> list[dict[str, Any]]:
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(statement, values).fetchall()


def _position(row: dict[str, Any]) -> Position:
    return row["created_at"], row["execution_id"]
