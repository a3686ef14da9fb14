"""Who asked for a run, in Dagster's own tables: the tag learning/requested_by of a person who is erased becomes their tombstone.

Belongs here: SQL of Dagster's run_tags and runs. Not here: the data's own tables (storage/erasure_account.py).
"""

from __future__ import annotations

from typing import Any

import orjson

from learning_pipelines.run_tags import REQUESTED_BY
from learning_pipelines.storage.database import Database, connect


def rename(database: Database, name: str, tombstone: str) -> int:
    """Replaces the name in every run's tags, and in the run itself, which repeats them. Returns the number of runs; 0 where Dagster never ran."""
    with connect(database.dagster_url, application_name="learning_erasure") as connection:
        if connection.execute("SELECT to_regclass('public.run_tags'), to_regclass('public.runs')").fetchone() in ((None, None), None):
            return 0
        rows = connection.execute(
            """SELECT t.id, t.run_id, t.value, r.run_body FROM public.run_tags t JOIN public.runs r ON r.run_id = t.run_id WHERE t.key = %(tag)s
            AND (t.value = %(was)s OR t.value LIKE 'key:%%' AND substr(t.value, 41) = %(for)s) FOR UPDATE OF r""",
            {"tag": REQUESTED_BY, "was": f"user:{name}", "for": f" for user:{name}"},
        ).fetchall()
        for identity, run, value, body in rows:
            now = f"user:{tombstone}" if value == f"user:{name}" else f"{value[:40]} for user:{tombstone}"
            connection.execute("UPDATE public.run_tags SET value = %s WHERE id = %s", [now, identity])
            connection.execute("UPDATE public.runs SET run_body = %s WHERE run_id = %s", [_retagged(body, now), run])
        connection.commit()
        return len(rows)


def _retagged(body: str, value: str) -> str:
    document: dict[str, Any] = orjson.loads(body)
    tags = document.get("tags")
    if isinstance(tags, dict) and REQUESTED_BY in tags:
        tags[REQUESTED_BY] = value
    return orjson.dumps(document).decode()
