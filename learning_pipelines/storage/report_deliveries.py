"""Which report went out by which channel: written before and after sending, so that nothing is sent twice.

Belongs here: SQL of report_deliveries. Not here: sending (reports/delivery.py).
"""

from __future__ import annotations

import datetime as dt
from typing import Literal

from learning_pipelines.storage.database import Connection

Channel = Literal["email", "slack", "webhook"]
State = Literal["sent", "failed", "unknown"]


FIRST_PAUSE, MOST_ATTEMPTS = dt.timedelta(minutes=5), 8
"""A run's attempts count as one. The pause after each is double the one before: the eighth is made about ten hours after the first, and is the last."""
_DUE = "d.state = 'failed' AND d.attempts < %(most)s AND d.changed_at + %(pause)s * (2 ^ (d.attempts - 1)) <= now()"
_LIMITS = {"most": MOST_ATTEMPTS, "pause": FIRST_PAUSE}


def due(connection: Connection, week: dt.date) -> list[tuple[str, Channel, int]]:
    """Organization, channel and attempts of the deliveries of a week that failed and are to be tried again by now."""
    rows = connection.execute(
        f"""SELECT o.slug, d.channel, d.attempts FROM report_deliveries d JOIN organizations o USING (organization_id)
        WHERE d.week = %(week)s AND {_DUE} AND o.is_active ORDER BY 1, 2""",
        {"week": week, **_LIMITS},
    ).fetchall()
    return [(str(slug), channel, int(attempts)) for slug, channel, attempts in rows]


def claim_again(connection: Connection, organization: str, week: dt.date, channel: Channel) -> int | None:
    """Takes a delivery on that failed and is due: which attempt this is. None: it is not due, or another run has taken it on."""
    row = connection.execute(
        f"""UPDATE report_deliveries d SET state = 'sending', attempts = d.attempts + 1, changed_at = now() FROM organizations o
        WHERE o.organization_id = d.organization_id AND o.slug = %(organization)s AND d.week = %(week)s AND d.channel = %(channel)s AND {_DUE}
        RETURNING d.attempts""",
        {"organization": organization, "week": week, "channel": channel, **_LIMITS},
    ).fetchone()
    return None if row is None else int(row[0])


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
