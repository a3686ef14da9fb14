"""What serves for an agent, part by part: the labels of prompts, indexes and behaviour beside each other.

Belongs here: one reading statement over the three tables of labels. Not here: moving labels (prompts.py, indexes.py, behavior_versions.py), what a
rollback may do (acceptance/).
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.tenants import AgentRef


@dataclass(frozen=True, slots=True)
class Labels:
    """Where the labels of one part point. `topic`: which of several (a playbook's task type); '' where an agent has one. `serving` and `previous` may be
    0: the base index, nothing learnt. None: nothing ever had the label. `moved_at`: when `serving` was moved last."""

    kind: str
    topic: str
    serving: int | None
    candidate: int | None
    previous: int | None
    moved_at: dt.datetime | None


def of_agent(connection: Connection, agent: AgentRef) -> list[Labels]:
    """The labels of every part that has any, whether the agent may learn or not; in the order of kinds and topics."""
    rows = connection.execute(
        """WITH label AS (
            SELECT 'prompt' AS kind, '' AS topic, CASE label WHEN 'production' THEN 'serving' ELSE label END AS label, version AS number, moved_at
            FROM prompt_labels WHERE organization_id = %(organization)s AND agent_id = %(agent)s AND label IN ('production', 'candidate', 'previous')
            UNION ALL SELECT 'index', '', label, number, moved_at FROM index_labels WHERE organization_id = %(organization)s AND agent_id = %(agent)s
            UNION ALL SELECT kind, topic, label, number, moved_at FROM behavior_labels WHERE organization_id = %(organization)s AND agent_id = %(agent)s)
        SELECT kind, topic, max(number) FILTER (WHERE label = 'serving'), max(number) FILTER (WHERE label = 'candidate'),
            max(number) FILTER (WHERE label = 'previous'), max(moved_at) FILTER (WHERE label = 'serving')
        FROM label GROUP BY kind, topic ORDER BY kind, topic""",
        {"organization": agent.organization_id, "agent": agent.agent_id},
    ).fetchall()
    return [Labels(*row) for row in rows]
