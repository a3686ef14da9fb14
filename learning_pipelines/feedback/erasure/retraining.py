"""What saw an erased person and stays: told in the certificate, and due to be learnt anew at the next run of its part.

Belongs here: which parts are marked. Not here: SQL (storage/erasure_seen.py, storage/retraining.py), the runs that ask (prompts/, behavior/, retrieval/).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from uuid import UUID

from learning_pipelines.feedback.erasure.person import Person
from learning_pipelines.feedback.erasure.touched import Touched
from learning_pipelines.storage import erasure_seen, erasure_words, retraining, tenants
from learning_pipelines.storage.database import Connection

PARTS: Mapping[str, str] = {"policy": "behavior_policy", "playbook": "playbooks", "rules": "rules", "guidance": "guidance", "fine_tune": "fine_tuning"}
"""Kinds of behaviour and the part of training that learns them, where no run says so."""
SAW, HELD = "a version that serves or may serve saw an erased person", "a version held an erased person and was taken out of service"


def mark_seen(
    connection: Connection, person: Person, touched: Touched, datasets: Collection[UUID], clusters: Collection[str], moved: Collection[tuple[UUID, str]]
) -> None:
    """Lists every version that saw the person, and marks the part of each that has a label. `moved`: (agent, part) of versions that became tombstones."""
    since = erasure_words.first_seen(connection, person.organization_id, person.user_id)
    reasons = dict.fromkeys(moved, HELD)
    for one in erasure_seen.seen(connection, person.organization_id, datasets, clusters, since):
        touched.retrain.append({"agent": one.agent, "kind": one.kind, "version": one.version})
        if one.labelled:
            reasons.setdefault((one.agent_id, one.part), SAW)
    agents = {agent.agent_id: agent for agent in tenants.agents(connection) if agent.organization_id == person.organization_id}
    for (agent_id, part), reason in sorted(reasons.items(), key=lambda each: (str(each[0][0]), each[0][1])):
        retraining.mark(connection, agents[agent_id], part, reason, person.erasure_id)
        touched.rows["retraining_due"] += 1
