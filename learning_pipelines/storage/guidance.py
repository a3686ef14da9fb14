"""What guidance is made of and depends on: how many approved examples can be shown, which versions of behaviour serve.

Belongs here: SQL that guidance asks beside demonstrations.py and behavior_versions.py. Not here: what is chosen (behavior/guidance.py).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from uuid import UUID

from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.prompt_runs import TEACHES
from learning_pipelines.storage.tenants import AgentRef


@dataclass(frozen=True, slots=True)
class Serving:
    """Numbers of what serves for an agent. `guidance`: 0 for nothing learnt; of playbooks and rules those of every topic, in order. `standing`: by kind
    also those that a newer version of their topic took the place of last: nobody took them back."""

    guidance: int
    playbooks: tuple[int, ...]
    rules: tuple[int, ...]
    standing: Mapping[str, frozenset[int]]


def serving(connection: Connection, agent: AgentRef) -> Serving:
    """What serves now: nothing while learning is switched off for the agent."""
    rows = connection.execute(
        """SELECT s.kind, s.number, coalesce(p.number, 0) FROM behavior_labels s
        JOIN agents a ON a.organization_id = s.organization_id AND a.id = s.agent_id AND a.learning_enabled
        LEFT JOIN behavior_labels p ON p.organization_id = s.organization_id AND p.agent_id = s.agent_id AND p.kind = s.kind AND p.topic = s.topic
            AND p.label = 'previous'
        WHERE s.organization_id = %s AND s.agent_id = %s AND s.label = 'serving' AND s.number > 0 AND s.kind IN ('guidance', 'playbook', 'rules')
        ORDER BY s.kind, s.number""",
        [agent.organization_id, agent.agent_id],
    ).fetchall()
    of = {kind: tuple(int(number) for found, number, _ in rows if found == kind) for kind in ("guidance", "playbook", "rules")}
    before = {kind: {int(old) for found, number, old in rows if found == kind and 0 < old < number} for kind in of}
    standing = {kind: frozenset({*of[kind], *before[kind]}) for kind in of}
    return Serving(of["guidance"][0] if of["guidance"] else 0, of["playbook"], of["rules"], standing)


def showable(connection: Connection, agent: AgentRef, dataset_id: UUID, types: Collection[str], labels: Collection[str]) -> dict[str, int]:
    """How many examples of each type the version's train split has that say what the answer is (one of the labels, if there are any)."""
    rows = connection.execute(
        f"""SELECT c.content ->> 'example_type', count(*) FROM dataset_examples d
        JOIN example_contents c ON c.organization_id = d.organization_id AND c.content_hash = d.content_hash
        WHERE d.organization_id = %(organization)s AND d.dataset_id = %(dataset)s AND d.split = 'train' AND c.content ->> 'example_type' = ANY(%(types)s)
            AND coalesce(c.content ->> 'expected_output', '') <> '' AND {TEACHES.format("c.content").replace("%", "%%")}
            AND (cardinality(%(labels)s::text[]) = 0 OR c.content ->> 'expected_output' = ANY(%(labels)s)) GROUP BY 1""",
        {"organization": agent.organization_id, "dataset": dataset_id, "types": list(types), "labels": list(labels)},
    ).fetchall()
    return {str(kind): int(count) for kind, count in rows}
