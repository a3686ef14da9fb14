"""What guidance needs before it may serve, beside what any learnt behaviour needs: that it would be shown at all.

Belongs here: asking that of what serves now. Not here: moving labels (behavior_change.py), leaving guidance out while it serves (api/guided.py).

Taking guidance back asks none of this: what is outdated is not shown, and whoever takes harmful guidance back must not be held up by that.
"""

from __future__ import annotations

from uuid import UUID

from learning_pipelines.acceptance.reviewing import Reason, Refused
from learning_pipelines.behavior.guidance import Guidance
from learning_pipelines.storage import demonstrations, prompts
from learning_pipelines.storage import guidance as storage
from learning_pipelines.storage.behavior_versions import BehaviorVersion
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.tenants import AgentRef


def require_fitting(connection: Connection, agent: AgentRef, version: BehaviorVersion) -> None:
    """Raises Refused where prompt or notes changed since the guidance was measured, or its examples have no vectors."""
    found, serving, prompt = Guidance.from_json(version.config), storage.serving(connection, agent), prompts.labelled(connection, agent)
    again = f"Run `learning-pipelines run behavior_learning --agent {agent.agent}` to measure with what serves."
    if prompt is None:
        raise Refused(Reason.STATE, f"Guidance {version.number} was measured with a prompt, but none serves.", again)
    outdated = found.outdated(
        prompt=prompt.content_hash.hex(), prompt_version=prompt.version, standing=serving.standing, encoder=found.encoder
    )
    if outdated is not None:
        raise Refused(Reason.STATE, f"Guidance {version.number} would not be shown. {outdated}", again)
    if missing := demonstrations.unindexed(connection, agent, UUID(found.dataset_id), found.encoder):
        raise Refused(Reason.STATE, f"{missing} examples that guidance {version.number} picks from have no vectors.", again)
