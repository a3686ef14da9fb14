"""State machines over the real database: how they get it, how long they run, and agents of their own.

Belongs here: what the machines share. Not here: rules (test_registry_machine.py, test_queue_machine.py, test_experiment_machine.py).

`make state-machines` runs long: STATE_MACHINES=300 is how many stories each machine tells.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar
from uuid import UUID

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

from learning_pipelines.feedback.identity import agent_id, organization_id
from learning_pipelines.storage import prompts, tenants
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.tenants import AgentRef
from learning_pipelines_tests.acceptance.proposing import learnt

STORIES = int(os.environ.get("STATE_MACHINES", "0"))
_numbers = itertools.count(1)


class Machine(RuleBasedStateMachine):
    """Every story has an agent of its own in the one database."""

    connection: ClassVar[Connection]

    def new_agent(self, name: str) -> AgentRef:
        """An agent whose version 1 was written by hand and serves."""
        organization, slug = organization_id("default"), f"{name}-{next(_numbers)}"
        tenants.ensure_organization(self.connection, organization, "default")
        agent = AgentRef(organization, "default", agent_id(organization, slug), slug)
        self.connection.execute("INSERT INTO agents (organization_id, id, slug) VALUES (%s, %s, %s)", [organization, agent.agent_id, slug])
        assert learnt(self.connection, agent, "version 1") == 1
        prompts.move_label(self.connection, agent, prompts.PRODUCTION, 1, None)
        return agent


def tell(machine: type[Machine], connection: Connection, stories: int, steps: int) -> None:
    """Runs a machine: as many stories of at most as many steps, the same every time unless it runs long. Only then is a story that fails made shorter,
    which takes minutes with a database."""
    machine.connection = connection
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=STORIES or stories, stateful_step_count=3 * steps if STORIES else steps, deadline=None, derandomize=not STORIES, database=None,
            suppress_health_check=list(HealthCheck), print_blob=False, phases=[Phase.generate, Phase.shrink] if STORIES else [Phase.generate],
        ),
    )  # fmt: skip


@contextmanager
def refusing(kind: type[Exception], expected: bool) -> Iterator[None]:
    """What is done within is refused exactly if it is expected to be."""
    try:
        yield
    except kind as refused:
        assert expected, f"refused: {refused}"
    else:
        assert not expected, "it was to be refused"


def nobody() -> UUID:
    """The id of somebody who is not there."""
    return UUID(int=0)
