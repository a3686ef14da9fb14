"""Clusters of corrections after they were learnt: since when, by what, how often the same was corrected before and since, what the tests said.

Belongs here: SQL of these columns of correction_clusters. Not here: findings and clusters themselves (corrections.py), the test (behavior/corrections/).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from psycopg.types.json import Jsonb

from learning_pipelines.storage.corrections import MEMBERS, SAID, VOICE, hashed, mine, values
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.tenants import AgentRef

LEAST_SHOWN = 3
"""Corrections of a cluster that serving guidance can pick from, with which the cluster counts as learnt."""


@dataclass(frozen=True, slots=True)
class LearntCluster:
    """A learnt cluster with what a test of recurrence needs. `looked_at`: corrections since it was learnt at the last look. Counts are
    people × weeks, exposures executions of the agent (days, where there are none)."""

    id: str
    looks: int
    looked_at: int
    state: str
    before: int
    exposed_before: float
    after: int
    exposed_after: float


def note_learnt(connection: Connection, agent: AgentRef) -> list[str]:
    """Clusters are learnt since rules about them serve, else since guidance serves that shows at least LEAST_SHOWN of their corrections; where that was taken
    back they are open again. The ids that changed."""
    rows = connection.execute(
        """WITH shown AS (
            SELECT f.cluster_id, l.number, l.moved_at FROM behavior_labels l
            JOIN behavior_versions v ON v.organization_id = l.organization_id AND v.agent_id = l.agent_id AND v.kind = l.kind AND v.number = l.number
            JOIN dataset_examples d ON d.organization_id = l.organization_id AND d.dataset_id = (v.config ->> 'dataset_id')::uuid AND d.split = 'train'
            JOIN correction_findings f ON f.organization_id = d.organization_id AND f.example_id = d.example_id
            WHERE l.organization_id = %s AND l.agent_id = %s AND l.kind = 'guidance' AND l.topic = '' AND l.label = 'serving' AND l.number > 0
                AND v.config -> 'sources' -> 'corrections' IS NOT NULL
            GROUP BY f.cluster_id, l.number, l.moved_at HAVING count(*) >= %s),
        serving AS (
            SELECT c.id, coalesce(l.moved_at, g.moved_at) AS moved_at, coalesce('rules/' || l.number, 'guidance/' || g.number, '') AS by
            FROM correction_clusters c
            LEFT JOIN behavior_labels l ON l.organization_id = c.organization_id AND l.agent_id = c.agent_id AND l.kind = 'rules' AND l.topic = c.id
                AND l.label = 'serving' AND l.number > 0
            LEFT JOIN shown g ON g.cluster_id = c.id
            WHERE c.organization_id = %s AND c.agent_id = %s)
        UPDATE correction_clusters c SET learnt_at = s.moved_at, learnt_by = s.by, recurrences = 0, looks = 0,
            last_look = '{}', state = CASE WHEN s.moved_at IS NULL THEN 'open' ELSE 'learnt' END
        FROM serving s WHERE c.organization_id = %s AND c.agent_id = %s AND c.id = s.id AND c.learnt_at IS DISTINCT FROM s.moved_at RETURNING c.id""",
        [*mine(agent), LEAST_SHOWN, *mine(agent), *mine(agent)],
    ).fetchall()
    return sorted(str(cluster) for (cluster,) in rows)


# Executions that were archived, by whole days.
_ARCHIVED = """(SELECT coalesce(sum(m.executions), 0)::bigint FROM archived_metrics m
                WHERE m.organization_id = h.organization_id AND m.agent_id = h.agent_id AND m.day >= ({})::date AND m.day < ({})::date)"""


def learnt(connection: Connection, agent: AgentRef, weeks_before: int) -> list[LearntCluster]:
    """The agent's learnt clusters with their counts before and since, and how many executions there were in the same stretches of time."""
    rows = hashed(
        connection,
        f"""WITH held AS (
            SELECT c.*, c.learnt_at - make_interval(weeks => %(weeks)s) AS since FROM correction_clusters c
            WHERE c.organization_id = %(organization)s AND c.agent_id = %(agent)s AND c.learnt_at IS NOT NULL),
        members AS ({MEMBERS} AND f.cluster_id IN (SELECT id FROM held)),
        said AS ({SAID}),
        counted AS (
            SELECT h.id, min(s.at) AS first_at,
                count(DISTINCT ({VOICE}, date_trunc('week', s.at))) FILTER (WHERE s.at < h.learnt_at AND s.at >= h.since) AS before,
                count(DISTINCT ({VOICE}, date_trunc('week', s.at))) FILTER (WHERE s.at >= h.learnt_at) AS after
            FROM held h LEFT JOIN said s ON s.cluster_id = h.id GROUP BY h.id),
        begun AS (SELECT h.id, greatest(h.since, least(n.first_at, h.learnt_at)) AS begin FROM held h JOIN counted n USING (id))
        SELECT h.id, h.looks, coalesce((h.last_look ->> 'after')::integer, 0), h.state, n.before,
            (SELECT count(*) FROM agent_executions x WHERE x.organization_id = h.organization_id AND x.agent_id = h.agent_id
                AND x.created_at >= b.begin AND x.created_at < h.learnt_at) + {_ARCHIVED.format("b.begin", "h.learnt_at")},
            extract(epoch FROM h.learnt_at - b.begin) / 86400.0, n.after,
            (SELECT count(*) FROM agent_executions x WHERE x.organization_id = h.organization_id AND x.agent_id = h.agent_id AND x.created_at >= h.learnt_at)
                + {_ARCHIVED.format("h.learnt_at", "'infinity'")},
            extract(epoch FROM greatest(now(), h.learnt_at) - h.learnt_at) / 86400.0
        FROM held h JOIN counted n USING (id) JOIN begun b USING (id) ORDER BY h.id""",
        values(agent) | {"weeks": weeks_before},
    )
    return [_learnt(*row) for row in rows]


def note_recurrences(connection: Connection, agent: AgentRef, counts: dict[str, int]) -> None:
    """How often learnt clusters were corrected since."""
    connection.execute(
        """UPDATE correction_clusters c SET recurrences = n.count FROM unnest(%s::text[], %s::integer[]) AS n (id, count)
        WHERE c.organization_id = %s AND c.agent_id = %s AND c.id = n.id AND c.recurrences <> n.count""",
        [list(counts), list(counts.values()), *mine(agent)],
    )


def note_look(connection: Connection, agent: AgentRef, cluster: str, *, recurs: bool, look: dict[str, Any]) -> None:
    """What a test of recurrence said of a learnt cluster; `look` holds its count as `after`."""
    connection.execute(
        """UPDATE correction_clusters SET looks = looks + 1, last_look = %s, state = CASE WHEN %s THEN 'recurring' ELSE state END
        WHERE organization_id = %s AND agent_id = %s AND id = %s""",
        [Jsonb(look), recurs, *mine(agent), cluster],
    )


def recurring(connection: Connection, organization: str | None = None) -> list[tuple[str, str, int]]:
    """(agent's partition, cluster id, occurrences since it was learnt) of everything that recurs after it was learnt."""
    rows = connection.execute(
        """SELECT o.slug || '/' || a.slug, c.id, c.recurrences FROM correction_clusters c JOIN organizations o USING (organization_id)
        JOIN agents a ON a.organization_id = c.organization_id AND a.id = c.agent_id
        WHERE c.state = 'recurring' AND (%(organization)s::text IS NULL OR o.slug = %(organization)s) ORDER BY 1, 2""",
        {"organization": organization},
    ).fetchall()
    return [(str(partition), str(cluster), int(count)) for partition, cluster, count in rows]


def _learnt(
    name: str, looks: int, looked_at: int, state: str, before: int, executed_before: int, days_before: Any, after: int, executed_after: int, days_after: Any
) -> LearntCluster:
    """Executions are what corrections are about; where none are stored on a side, days stand for them on both."""
    if executed_before and executed_after:
        return LearntCluster(name, looks, looked_at, state, before, float(executed_before), after, float(executed_after))
    return LearntCluster(name, looks, looked_at, state, before, float(days_before), after, float(days_after))
