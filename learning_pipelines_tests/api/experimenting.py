"""Experiments over a running service: an agent with two prompt versions, one that runs, what was written of who was met.

Belongs here: what tests of serving experiments share. Not here: assertions, the lifecycle (experiments/living.py).
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

import httpx

from learning_pipelines.api.experiments_serving import FRESH_SECONDS
from learning_pipelines.experiments.assignment import ranges_of_weights
from learning_pipelines.llm import Message
from learning_pipelines.prompts.prompt import Prompt
from learning_pipelines.prompts.registry import add_learnt
from learning_pipelines.storage import experiments
from learning_pipelines.storage.experiment_rows import Arm
from learning_pipelines.storage.tenants import AgentRef, agents
from learning_pipelines_tests.api.serving import BASE, Api, make_agents

HALVES = (Arm("control", 1, 0.5), Arm("treatment", 2, 0.5))


def an_agent(api: Api, name: str, organization: str = "default") -> AgentRef:
    """An agent whose version 1 serves, with a version 2."""
    make_agents(api, organization, name)
    with api.database.connect("pipeline") as connection:
        agent = agents(connection, organization, name)[0]
    assert add_version(api, agent, Prompt((Message("system", f"You are {name}, version 2."),))) == 2
    return agent


def add_version(api: Api, agent: AgentRef, prompt: Prompt) -> int:
    """A learnt version that nothing points at."""
    messages, serving = prompt.stored()
    with api.database.connect("pipeline") as connection:
        return add_learnt(
            connection, agent, messages=messages, serving=serving, parent=1, strategy="few_shot", dataset_id=None, model=None, scores={}, training_run_id=None
        )


def run(api: Api, agent: AgentRef, arms: Sequence[Arm] = HALVES, **more: Any) -> UUID:
    """An experiment that runs, seen by every worker."""
    with api.database.connect("pipeline") as connection:
        made = experiments.add(connection, agent, name="shorter", arms=arms, **more)
        experiments.begin_epoch(connection, agent.organization_id, made, ranges_of_weights(arms))
        experiments.set_status(connection, agent.organization_id, made, "running")
    time.sleep(FRESH_SECONDS)
    return made


def change(api: Api, *changes: Callable[[Any], Any]) -> None:
    """Makes changes to rows, seen by every worker."""
    with api.database.connect("pipeline") as connection:
        for one in changes:
            one(connection)
    time.sleep(FRESH_SECONDS)


@functools.cache
def caller(url: str, key: str) -> httpx.Client:
    """Many are asked one after the other: on one connection, which takes a tenth of the time."""
    return httpx.Client(base_url=f"{url}{BASE}", headers={"Authorization": f"Bearer {key}"}, timeout=30)


_known: dict[tuple[str, str], str] = {}


def _keys(api: Api, organization: str) -> str:
    if (api.url, organization) not in _known:
        _known[api.url, organization] = api.key(organization=organization)
    return _known[api.url, organization]


def ask(api: Api, agent: AgentRef, etag: str = "", **params: Any) -> httpx.Response:
    """A prompt, asked for by an application of the agent's organization."""
    caller_of = caller(api.url, _keys(api, agent.organization))
    return caller_of.get(f"/prompts/{agent.agent}", params=params, headers={"If-None-Match": etag} if etag else {})


def asked(api: Api, agent: AgentRef, unit: str | None = None, **params: Any) -> dict[str, Any]:
    answer = ask(api, agent, **(params if unit is None else {"unit": unit, **params}))
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def carried(context: dict[str, Any]) -> set[tuple[Any, ...]]:
    """The experiments that an execution names: (experiment, variant, unit)."""
    named = [context, *context.get("experiments", [])]
    return {(one["experiment"], one["variant"], one["unit"]) for one in named if "experiment" in one}


def met(api: Api, experiment: UUID, wanted: int) -> dict[str, tuple[str, int]]:
    """Unit → (variant, epoch), once so many are written."""
    deadline = time.monotonic() + 20
    while True:
        with api.database.connect("pipeline") as connection:
            rows = connection.execute("SELECT unit, variant, epoch FROM experiment_assignments WHERE experiment_id = %s", [experiment]).fetchall()
        if len(rows) >= wanted or time.monotonic() > deadline:
            return {unit: (variant, epoch) for unit, variant, epoch in rows}
        time.sleep(0.05)
