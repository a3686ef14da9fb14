"""Clusters of corrections and patterns of demonstrations that an erased person had a part in.

Belongs here: SQL of an erasure over correction_clusters, correction_findings and behavior_patterns. Not here: naming clusters and finding patterns anew
(behavior/), examples and their findings, which go with them (erasure_datasets.py).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from uuid import UUID

from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.tenants import AgentRef


def touched(connection: Connection, organization_id: UUID) -> dict[UUID, set[str]]:
    """Clusters by agent that an erased example is a correction of. Before the examples go."""
    rows = connection.execute(
        """SELECT DISTINCT f.agent_id, f.cluster_id FROM correction_findings f JOIN erased_examples e ON e.example_id = f.example_id
        WHERE f.organization_id = %s""",
        [organization_id],
    ).fetchall()
    found = defaultdict[UUID, set[str]](set)
    for agent_id, cluster in rows:
        found[agent_id].add(str(cluster))
    return dict(found)


def left(connection: Connection, agent: AgentRef, clusters: Collection[str]) -> dict[str, list[tuple[str, str]]]:
    """Of these clusters those that a correction is left of: (answer, corrected answer) of each, the oldest first."""
    rows = connection.execute(
        """SELECT f.cluster_id, coalesce(e.original_output, ''), coalesce(e.expected_output, '') FROM correction_findings f
        JOIN learning_examples e ON e.organization_id = f.organization_id AND e.id = f.example_id
        WHERE f.organization_id = %s AND f.agent_id = %s AND f.cluster_id = ANY(%s) ORDER BY f.cluster_id, e.created_at, e.id COLLATE "C\"""",
        [agent.organization_id, agent.agent_id, list(clusters)],
    ).fetchall()
    found = defaultdict[str, list[tuple[str, str]]](list)
    for cluster, original, corrected in rows:
        found[str(cluster)].append((original, corrected))
    return dict(found)


def drop(connection: Connection, agent: AgentRef, clusters: Collection[str]) -> int:
    """Deletes clusters that no correction is left of."""
    return connection.execute(
        "DELETE FROM correction_clusters WHERE organization_id = %s AND agent_id = %s AND id = ANY(%s)",
        [agent.organization_id, agent.agent_id, list(clusters)],
    ).rowcount


def forget_words(connection: Connection, agent: AgentRef, cluster: str, anchors: Collection[str]) -> None:
    """A cluster loses its name and texts, to be named anew; labels that are confused are nobody's words."""
    connection.execute(
        """UPDATE correction_clusters SET name = '', anchors = %s, wrong_text = CASE WHEN is_confusion THEN wrong_text ELSE '' END,
            right_text = CASE WHEN is_confusion THEN right_text ELSE '' END
        WHERE organization_id = %s AND agent_id = %s AND id = %s""",
        [sorted(anchors), agent.organization_id, agent.agent_id, cluster],
    )


def patterned(connection: Connection, organization_id: UUID) -> set[UUID]:
    """Agents whose patterns were found with an erased demonstration or example."""
    rows = connection.execute(
        """SELECT DISTINCT p.agent_id FROM behavior_patterns p WHERE p.organization_id = %(organization)s AND (
            p.agent_id IN (SELECT agent_id FROM erased_demonstrations)
            OR p.evidence && ARRAY(SELECT 'example ' || example_id FROM erased_examples UNION ALL SELECT example_id FROM erased_examples))""",
        {"organization": organization_id},
    ).fetchall()
    return {agent_id for (agent_id,) in rows}
