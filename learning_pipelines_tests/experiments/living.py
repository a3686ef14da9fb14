"""An agent with three prompt versions, and experiments between them.

Belongs here: what tests of the lifecycle share. Not here: assertions.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from learning_pipelines.acceptance.reviewing import OPERATOR
from learning_pipelines.experiments import lifecycle
from learning_pipelines.experiments.plans import Asked, Plan
from learning_pipelines.settings import Settings
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.experiment_rows import Experiment
from learning_pipelines.storage.tenants import AgentRef
from learning_pipelines_tests.acceptance.proposing import an_agent, learnt

SETTINGS = Settings(home=Path("/nowhere"), database_url=None)
TWO = (Asked(None, None), Asked(None, 2))


def desk(connection: Connection, load: Any, name: str = "desk", organization: str = "default") -> AgentRef:
    """An agent whose version 1 serves, with versions 2 and 3."""
    agent = an_agent(connection, load, name, organization)
    for number in (2, 3):
        assert learnt(connection, agent, f"You sort well: {number}.") == number
    return agent


def draft(connection: Connection, agent: AgentRef, **more: Any) -> Experiment:
    """What serves against version 2."""
    return lifecycle.create(connection, agent, Plan(**{"name": "shorter", "arms": TWO, **more}), OPERATOR, SETTINGS)


def running(connection: Connection, agent: AgentRef, **more: Any) -> Experiment:
    return lifecycle.start(connection, agent.organization_id, draft(connection, agent, **more).id, OPERATOR, SETTINGS).experiment
