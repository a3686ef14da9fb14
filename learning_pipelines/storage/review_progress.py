"""How far review is: verdicts by day and by expert, what is open.

Belongs here: SQL that counts verdicts and items. Not here: what is open to one expert (review_queue.py), reliability of experts (agreement.py).
"""

from __future__ import annotations

import datetime as dt
from typing import Any
from uuid import UUID

from psycopg.rows import dict_row

from learning_pipelines.storage.database import Connection

_COUNTED = """
SELECT
    count(*) FILTER (WHERE n.expert_id = %(me)s AND n.received_at >= %(today)s) AS mine_today,
    count(*) FILTER (WHERE n.received_at >= %(today)s) AS all_today,
    count(*) FILTER (WHERE n.expert_id = %(me)s) AS mine,
    count(*) AS "all",
    count(DISTINCT n.expert_id) AS experts,
    (SELECT count(*) FROM learning_examples WHERE organization_id = %(organization)s AND is_active
        AND review_status IN ('pending', 'in_review', 'needs_revision')) AS open,
    (SELECT count(*) FROM learning_examples WHERE organization_id = %(organization)s AND is_active AND review_status IN ('approved', 'rejected')) AS decided
FROM expert_annotations n
WHERE n.organization_id = %(organization)s AND n.is_verdict AND n.withdrawn_at IS NULL AND n.received_at >= %(since)s"""


def counted(connection: Connection, organization_id: UUID, expert_id: UUID, today: dt.datetime, since: dt.datetime) -> dict[str, Any]:
    """Verdicts since the moments `today` and `since` (the earlier one), of the expert and of everyone; items without and with a decision."""
    with connection.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(_COUNTED, {"organization": organization_id, "me": expert_id, "today": today, "since": since}).fetchone()
    assert row is not None
    return row
