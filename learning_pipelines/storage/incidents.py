"""Checks and runs that failed, by organization: each failing check once until it passes, each failed run once.

Belongs here: SQL that writes and prunes incidents. Not here: reading runs (defs/incidents.py), counting them for a week (report_queries.py).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from learning_pipelines.storage.database import Connection


@dataclass(frozen=True, slots=True)
class Seen:
    """How a check or a run ended. `name`: asset:check, or the job; `partition`: the partition's key, '' without one; `at`: when it ended."""

    organization: str
    kind: Literal["check", "run"]
    name: str
    partition: str
    failed: bool
    at: dt.datetime
    run_id: str


# What meets an earlier row adds nothing: a run that is looked at again (the primary key), a check that fails already (the index of open ones).
_FAILED = """
INSERT INTO incidents (organization_id, kind, name, partition_key, run_id, began_at, ended_at)
SELECT organization_id, %(kind)s, %(name)s, %(partition)s, %(run_id)s, %(at)s, CASE %(kind)s WHEN 'run' THEN %(at)s::timestamptz END
FROM organizations WHERE slug = %(organization)s
ON CONFLICT DO NOTHING"""
_PASSED = """
UPDATE incidents i SET ended_at = %(at)s FROM organizations o
WHERE o.slug = %(organization)s AND i.organization_id = o.organization_id AND i.kind = %(kind)s AND i.name = %(name)s AND i.partition_key = %(partition)s
    AND i.ended_at IS NULL AND i.began_at <= %(at)s"""
_WATCHED = """
INSERT INTO incidents AS i (organization_id, kind, name, run_id, began_at, ended_at)
SELECT organization_id, 'watch', '', '', %(first)s, %(last)s FROM organizations WHERE slug = %(organization)s
ON CONFLICT (organization_id, kind, name, partition_key, run_id) DO UPDATE
    SET began_at = least(i.began_at, excluded.began_at), ended_at = greatest(i.ended_at, excluded.ended_at)
    WHERE i.began_at > excluded.began_at OR i.ended_at < excluded.ended_at"""


def record(connection: Connection, seen: Sequence[Seen]) -> None:
    """Notes what failed, ends what passed, and that these organizations' runs were looked at. Again changes nothing; an unknown organization is left out."""
    with connection.transaction():
        for organization in sorted({one.organization for one in seen}):
            moments = [one.at for one in seen if one.organization == organization]
            connection.execute(_WATCHED, {"organization": organization, "first": min(moments), "last": max(moments)})
        for one in seen:
            if one.failed or one.kind == "check":
                connection.execute(_FAILED if one.failed else _PASSED, asdict(one))


def prune(connection: Connection, age: dt.timedelta) -> int:
    """Takes away what ended, or began and was never heard of again, before `age`; one that still fails comes back with its next run. Weeks before that
    have no evidence any more. Returns how many went."""
    with connection.transaction():
        connection.execute(
            "UPDATE incidents SET began_at = now() - %(age)s WHERE kind = 'watch' AND began_at < now() - %(age)s AND ended_at >= now() - %(age)s", {"age": age}
        )
        return connection.execute("DELETE FROM incidents WHERE coalesce(ended_at, began_at) < now() - %s", [age]).rowcount
