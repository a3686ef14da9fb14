"""Which report went out by which channel: written before and after sending, so that nothing is sent twice.

Belongs here: SQL of report_deliveries. Not here: sending (reports/delivery.py).
"""

from __future__ import annotations

import datetime as dt
from typing import Literal

from learning_pipelines.storage.database import Connection

Channel = Literal["email", "slack", "webhook"]
State = Literal["sent", "failed", "unknown"]


def claim(connection: Connection, organization: str, week: dt.date, channel: Channel) -> str | None:
    """Takes a delivery on. None: it is ours to make. Else why not: `sent`, or `unknown` where an earlier attempt ended without anybody knowing how."""
    row = connection.execute(
        """INSERT INTO report_deliveries AS d (organization_id, week, channel, state, attempts)
        SELECT organization_id, %(week)s, %(channel)s, 'sending', 1 FROM organizations WHERE slug = %(organization)s
        ON CONFLICT (organization_id, week, channel) DO UPDATE SET state = 'sending', attempts = d.attempts + 1, changed_at = now() WHERE d.state = 'failed'
        RETURNING state""",
        {"organization": organization, "week": week, "channel": channel},
    ).fetchone()
    if row is not None:
        return None
    found = connection.execute(
        """SELECT state FROM report_deliveries d JOIN organizations o USING (organization_id) WHERE o.slug = %s AND d.week = %s AND d.channel = %s""",
        [organization, week, channel],
    ).fetchone()
    return "sent" if found is not None and found[0] == "sent" else "unknown"


def settle(connection: Connection, organization: str, week: dt.date, channel: Channel, state: State, error: str = "") -> None:
    """How it ended; `failed` may be tried again, `unknown` may not."""
    connection.execute(
        """UPDATE report_deliveries d SET state = %s, error = %s, changed_at = now() FROM organizations o
        WHERE o.organization_id = d.organization_id AND o.slug = %s AND d.week = %s AND d.channel = %s""",
        [state, error, organization, week, channel],
    )


def not_sent(connection: Connection, since: dt.date, organization: str | None = None) -> list[tuple[str, dt.date, str, str, str]]:
    """Organization, week, channel, state and error of deliveries of weeks from `since` on that failed or of which nobody knows."""
    rows = connection.execute(
        """SELECT o.slug, d.week, d.channel, d.state, d.error FROM report_deliveries d JOIN organizations o USING (organization_id)
        WHERE d.state IN ('failed', 'unknown') AND d.week >= %(since)s
            AND (%(organization)s::text IS NULL OR o.slug = %(organization)s) ORDER BY 2 DESC, 1, 3""",
        {"since": since, "organization": organization},
    ).fetchall()
    return [(str(slug), week, str(channel), str(state), str(error)) for slug, week, channel, state, error in rows]
