"""Which learnt versions saw an erased person without holding them: they stay, and are due to be learnt anew.

Belongs here: SQL that finds them, frozen sets of serving scores, answers of models. Not here: marks (retraining.py), versions that hold the person
(erasure_versions.py).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.retraining import PART


@dataclass(frozen=True, slots=True)
class Seen:
    """`part`: of training that learns it (retraining.py); `labelled`: it serves, did before, or may next."""

    agent_id: UUID
    agent: str
    kind: str
    version: int
    part: str
    labelled: bool


_SEEN = f"""
WITH runs AS MATERIALIZED (
    SELECT r.id, r.agent_id, {PART} AS part FROM training_runs r WHERE r.organization_id = %(organization)s AND (r.dataset_id = ANY(%(datasets)s)
        OR r.id IN (SELECT u.training_run_id FROM dataset_uses u WHERE u.organization_id = %(organization)s AND u.dataset_id = ANY(%(datasets)s)))
), showed AS (SELECT DISTINCT agent_id FROM erased_demonstrations),
asked AS (
    SELECT a.id AS agent_id FROM agents a WHERE a.organization_id = %(organization)s AND (
        EXISTS (SELECT FROM erased_events e WHERE e.agent_id IS NULL OR e.agent_id = a.id)
        OR EXISTS (SELECT FROM retrieval_answers r JOIN erased_executions x ON x.execution_id = r.execution_id
            WHERE r.organization_id = a.organization_id AND r.agent_id = a.id))
), seen AS (
    SELECT p.agent_id, 'prompt' AS kind, p.version, 'prompt_optimization' AS part, EXISTS (SELECT FROM prompt_labels l
        WHERE l.organization_id = p.organization_id AND l.agent_id = p.agent_id AND l.version = p.version) AS labelled
    FROM prompt_versions p WHERE p.organization_id = %(organization)s AND p.erased_at IS NULL
        AND (p.training_run_id IN (SELECT id FROM runs) OR p.dataset_id = ANY(%(datasets)s))
    UNION ALL
    SELECT b.agent_id, b.kind, b.number, coalesce((SELECT part FROM runs WHERE runs.id = b.training_run_id), CASE b.kind WHEN 'policy' THEN 'behavior_policy'
            WHEN 'playbook' THEN 'playbooks' WHEN 'fine_tune' THEN 'fine_tuning' ELSE b.kind END), EXISTS (SELECT FROM behavior_labels l
        WHERE l.organization_id = b.organization_id AND l.agent_id = b.agent_id AND l.kind = b.kind AND l.topic = b.topic AND l.number = b.number)
    FROM behavior_versions b WHERE b.organization_id = %(organization)s AND b.erased_at IS NULL AND (b.training_run_id IN (SELECT id FROM runs)
        OR b.kind = 'guidance' AND b.config ->> 'dataset_id' = ANY(%(datasets)s::text[])
        OR b.kind = 'rules' AND b.topic = ANY(%(clusters)s)
        OR b.kind IN ('policy', 'playbook') AND b.agent_id IN (SELECT agent_id FROM showed) AND b.created_at >= %(since)s)
    UNION ALL
    SELECT v.agent_id, v.kind, v.number, CASE WHEN v.kind IN ('expansion', 'chunk_edit') THEN v.kind ELSE 'rag_tuning' END, EXISTS (SELECT FROM index_labels l
        WHERE l.organization_id = v.organization_id AND l.agent_id = v.agent_id AND l.number = v.number)
    FROM index_versions v WHERE v.organization_id = %(organization)s AND v.erased_at IS NULL AND v.agent_id IN (SELECT agent_id FROM asked)
        AND v.created_at >= %(since)s
)
SELECT s.agent_id, a.slug, s.kind, s.version, s.part, s.labelled FROM seen s JOIN agents a ON a.organization_id = %(organization)s AND a.id = s.agent_id
ORDER BY 2, 3, 4"""


def seen(connection: Connection, organization_id: UUID, datasets: Collection[UUID], clusters: Collection[str], since: dt.datetime) -> list[Seen]:
    """Versions that stay and saw the person: by the dataset versions (these) and clusters (these) they were learnt from, and by what the person showed or
    asked since they were first heard of."""
    rows = connection.execute(
        _SEEN, {"organization": organization_id, "datasets": list(datasets), "clusters": list(clusters), "since": since}
    ).fetchall()
    return [Seen(*row) for row in rows]


def forget_set_items(connection: Connection, organization_id: UUID) -> int:
    """Takes erased examples and questions out of frozen sets: the next scoring sees that items are gone, and freezes another set. How many sets."""
    return connection.execute(
        """WITH gone AS MATERIALIZED (
            SELECT example_id AS id FROM erased_examples UNION SELECT e.question_id FROM erased_events e WHERE e.question_id IS NOT NULL
                AND NOT EXISTS (SELECT FROM retrieval_events o WHERE o.organization_id = %(organization)s AND o.question_id = e.question_id
                    AND NOT EXISTS (SELECT FROM erased_events x WHERE x.event_id = o.id)))
        UPDATE serving_sets s SET items = ARRAY(SELECT item FROM unnest(s.items) WITH ORDINALITY AS i (item, place)
                WHERE item NOT IN (SELECT id FROM gone) ORDER BY place), gains = s.gains - ARRAY(SELECT id FROM gone)
        WHERE s.organization_id = %(organization)s AND s.items && ARRAY(SELECT id FROM gone)""",
        {"organization": organization_id},
    ).rowcount
