"""What nobody needs any more of learnt behaviour, of searches for prompts and of looks at ended experiments.

Belongs here: SQL that deletes them. Not here: versions of prompts (prompt_retention.py) and of indexes (index_retention.py), artifacts
(retrieval/retention.py: what no version names goes).
"""

from __future__ import annotations

import datetime as dt

from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.prompts import lock_agent
from learning_pipelines.storage.tenants import AgentRef


def prune_behavior(connection: Connection, agent: AgentRef, kept: int, grace: dt.timedelta) -> int:
    """Deletes an agent's versions of behaviour beyond the newest `kept` of each kind and topic; returns how many.

    Never what a label points at (serving, previous, candidate), what an open proposal or an experiment that runs or is paused names by its number, and
    what is younger than `grace`.
    """
    with connection.transaction():
        lock_agent(connection, agent)
        return connection.execute(
            """DELETE FROM behavior_versions v WHERE v.organization_id = %(organization)s AND v.agent_id = %(agent)s AND v.created_at < now() - %(grace)s
            AND (SELECT count(*) FROM behavior_versions n WHERE n.organization_id = v.organization_id AND n.agent_id = v.agent_id AND n.kind = v.kind
                AND n.topic = v.topic AND n.number > v.number) >= %(kept)s
            -- The number given last is never given again.
            AND EXISTS (SELECT FROM behavior_versions n WHERE n.organization_id = v.organization_id AND n.agent_id = v.agent_id AND n.kind = v.kind
                AND n.number > v.number)
            AND NOT EXISTS (SELECT FROM behavior_labels l WHERE l.organization_id = v.organization_id AND l.agent_id = v.agent_id AND l.kind = v.kind
                AND l.number = v.number)
            AND NOT EXISTS (SELECT FROM proposals p WHERE p.organization_id = v.organization_id AND p.agent_id = v.agent_id AND p.state = 'open'
                AND v.number::text IN (p.subject->>'version', p.subject->>'number', p.incumbent->>'version', p.incumbent->>'number'))
            AND NOT EXISTS (SELECT FROM learning_experiments e WHERE e.organization_id = v.organization_id AND e.agent_id = v.agent_id
                AND e.status IN ('running', 'paused') AND e.arms @> jsonb_build_array(jsonb_build_object('version', v.number)))""",
            {"organization": agent.organization_id, "agent": agent.agent_id, "kept": kept, "grace": grace},
        ).rowcount


def prune_candidates(connection: Connection, age: dt.timedelta) -> int:
    """Deletes prompts that searches tried and dropped, of runs older than `age`; winners and what stood on the front stay. Returns how many."""
    return connection.execute(
        """DELETE FROM prompt_candidates c USING training_runs r WHERE r.organization_id = c.organization_id AND r.id = c.training_run_id
        AND r.created_at < now() - %s AND r.status IN ('completed', 'failed', 'cancelled') AND NOT c.is_winner AND NOT c.on_front""",
        [age],
    ).rowcount


def prune_looks(connection: Connection, age: dt.timedelta) -> int:
    """Thins out what was decided hourly about experiments that ended before `age`: of each day the last look stays, and every look that decided something.
    Returns how many went."""
    return connection.execute(
        """DELETE FROM experiment_decisions d USING learning_experiments e WHERE e.organization_id = d.organization_id AND e.id = d.experiment_id
        AND e.status IN ('completed', 'cancelled') AND e.ended_at < now() - %s AND d.decision = 'inconclusive' AND NOT d.final
        AND EXISTS (SELECT FROM experiment_decisions n WHERE n.organization_id = d.organization_id AND n.experiment_id = d.experiment_id AND n.id > d.id
            AND (n.decided_at AT TIME ZONE 'UTC')::date = (d.decided_at AT TIME ZONE 'UTC')::date)""",
        [age],
    ).rowcount
