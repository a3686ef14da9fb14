"""A valid row for any table of the schema, made from what the catalog says about its columns.

Belongs here: values that satisfy NOT NULL and CHECK. Not here: values that mean something.
"""

from __future__ import annotations

import datetime as dt
from hashlib import sha256
from typing import Any
from uuid import UUID, uuid4

import psycopg

VALUES: dict[str, Any] = {
    "slug": "ours", "role": "user", "kind": "feedback", "feedback_type": "thumbs_up", "example_type": "positive", "source_type": "imported",
    "training_type": "dpo", "origin": "imported", "label": "positive", "messages": "[]", "actions": "[]", "week": dt.date(2026, 3, 2),
    "similarity": 0.5, "embedding": "[1]", "split": "train", "first_id": "a", "second_id": "b", "leg": "text", "peer": "langfuse",
    "source": "choice", "format": "trl-dpo", "sha256": "0" * 64, "content_hash": sha256(b"{}").digest(), "rejected_hash": b"y" * 32,
    "alpha": 0.5, "verdict": "better", "proposals.kind": "prompt", "prompt_evaluations.split": "test",
    "judge_verdicts.approved": True, "execution_scores.score": 0.5,
    "index_labels.label": "serving", "operation": "merge", "behavior_labels.label": "serving", "behavior_labels.kind": "policy",
    "behavior_versions.kind": "policy", "behavior_patterns.kind": "pattern",
    "serving_sets.kind": "prompt", "serving_sets.items": ["e1"], "serving_scores.kind": "prompt", "serving_scores.scores": [0.5],
    "serving_scores.reason": "", "channel": "email", "report_deliveries.state": "sent",
    "experiment_decisions.decision": "inconclusive", "chunk_relevance.alpha": 1, "chunk_relevance.beta": 1,
    "erased_archive_rows.table_name": "agent_feedback", "incidents.kind": "check",
}  # fmt: skip
OF_TYPE: dict[str, Any] = {
    "integer": 1, "bigint": 1, "smallint": 1, "double precision": 0, "bytea": b"x" * 32, "jsonb": "{}", "text[]": [], "boolean": True,
}  # fmt: skip


_columns: dict[tuple[str, str], list[tuple[Any, ...]]] = {}


def tables(connection: psycopg.Connection[Any]) -> list[str]:
    """Every table of the schema but alembic_version; partitions are reached through their parents."""
    rows = connection.execute("""SELECT relname FROM pg_class WHERE relnamespace = 'learning'::regnamespace AND relkind IN ('r', 'p')
        AND NOT relispartition AND relname <> 'alembic_version' ORDER BY 1""").fetchall()
    return [str(name) for (name,) in rows]


def one_row(connection: psycopg.Connection[Any], table: str, *, organization_id: UUID, id_suffix: str = "", **given: Any) -> None:
    """Inserts a row with the given values where the table has such columns, and something valid in every column that must have a value."""
    place = (connection.info.dbname, table)
    if place not in _columns:
        _columns[place] = connection.execute(
            """SELECT attname, format_type(atttypid, atttypmod), attnotnull AND NOT atthasdef FROM pg_attribute
            WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = ''""",
            [f"learning.{table}"],
        ).fetchall()
    columns = _columns[place]
    chosen = {"organization_id": organization_id}
    for name, type_, needed in columns:
        if name in given:
            chosen[name] = given[name]
        elif (needed or f"{table}.{name}" in VALUES) and name != "organization_id":
            chosen[name] = VALUES.get(f"{table}.{name}", VALUES.get(name, _of_type(type_, id_suffix)))
    names = ", ".join(chosen)
    connection.execute(f"INSERT INTO learning.{table} ({names}) VALUES ({', '.join(['%s'] * len(chosen))})", list(chosen.values()))  # type: ignore[call-overload]


def _of_type(type_: str, suffix: str) -> Any:
    if type_ == "uuid":
        return uuid4()
    if type_ == "date":
        return dt.date(2026, 3, 2)
    if type_.startswith("timestamp"):
        return dt.datetime.now(dt.UTC)
    return f"x{suffix}" if type_ == "text" else OF_TYPE.get(type_, "1")
