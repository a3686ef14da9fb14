"""The append-only record of who changed what: names of fields and hashes of before and after, never content.

Belongs here: SQL of audit_log for changes made one at a time. Not here: captured records (grouped.py writes theirs in the same statement).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import orjson

from learning_pipelines.storage.database import Connection


def record(
    connection: Connection, organization_id: UUID, *, actor: str, action: str, kind: str, subject: str,
    fields: Sequence[str] = (), before: Any = None, after: Any = None,
) -> None:  # fmt: skip
    """Appends one entry to the running transaction. `before` and `after` are hashed here (SHA-256 of their canonical JSON), not stored."""
    connection.execute(
        """INSERT INTO audit_log (organization_id, actor, action, subject_kind, subject_id, fields, before_hash, after_hash)
        VALUES (%s, %s, %s, %s, %s, %s, %s, %s)""",
        [organization_id, actor, action, kind, subject, list(fields), content_hash(before), content_hash(after)],
    )


def content_hash(value: Any) -> bytes | None:
    """SHA-256 of a value's canonical JSON; None stays None."""
    if value is None:
        return None
    return hashlib.sha256(orjson.dumps(value, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS, default=str)).digest()
