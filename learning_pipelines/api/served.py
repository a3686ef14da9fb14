"""What serves, at hand: prompts are read by applications at every turn, so a worker keeps them for half a second, ready to be sent.

Belongs here: keeping, looking again. Not here: the route (prompts.py), what is sent (served_answer.py), demonstrations for an input (few_shot.py),
guidance (guided.py), who takes part in an experiment (experiments_serving.py).

A label that moves, and learning that is switched off or on, is seen by every worker within FRESH_SECONDS. Nothing heavy is loaded: texts are encoded by
the shared encoder process.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from uuid import UUID

from fastapi.concurrency import run_in_threadpool

from learning_pipelines.api.experiments_serving import ExperimentsServing, Taking
from learning_pipelines.api.few_shot import FewShot
from learning_pipelines.api.guided import Guided, Turns
from learning_pipelines.api.principals import Principal
from learning_pipelines.api.problems import Problem, not_found
from learning_pipelines.api.served_answer import Answer, Part, Served, served_version, with_arms
from learning_pipelines.behavior.fine_tuning.serving import serving_model
from learning_pipelines.errors import Unavailable
from learning_pipelines.prompts.prompt import Demonstration
from learning_pipelines.settings import Settings
from learning_pipelines.storage import prompts, tenants
from learning_pipelines.storage.sessions import Sessions

FRESH_SECONDS = 0.5
_MOST_KEPT = 10_000
Key = tuple[UUID, str, str]


class ServedPrompts:
    """One per worker. `get` belongs to the event loop, `for_input` may be called by threads."""

    def __init__(self, sessions: Sessions, settings: Settings, experiments: ExperimentsServing) -> None:
        self._sessions = sessions
        self._experiments = experiments
        self._kept: dict[Key, Served] = {}
        self._looking: dict[Key, asyncio.Task[Served]] = {}
        self._few_shot = FewShot(sessions, settings)
        self._guided = Guided(sessions, self._few_shot.client)

    async def get(self, who: Principal, agent: str, label: str) -> Served:
        """The version with a label. Many requests share one look into the database. Raises 404."""
        key = (who.organization_id, agent, label)
        kept = self._kept.get(key)
        if kept is not None and time.monotonic() - kept.at < FRESH_SECONDS:
            return kept
        task = self._looking.get(key)
        if task is None:
            task = self._looking[key] = asyncio.get_running_loop().create_task(run_in_threadpool(self._read, who, agent, label))
            task.add_done_callback(lambda done: self._looked(key, done))
        return await asyncio.shield(task)

    def for_input(self, served: Served, text: str) -> Answer:
        """The messages for one input, exactly as they were scored: guidance and demonstrations picked for it, its own turn last. Raises Unavailable.

        Where guidance serves that cannot be shown, they are those of the prompt alone, and the answer says why.
        """
        shown: list[Demonstration] = []
        if served.prompt.retrieval is not None:
            shown = served.prompt.retrieval.shown(self._few_shot.nearest(served.agent, served.prompt.retrieval, text))
        turns = Turns() if served.disabled else self._guided.for_input(served.agent, served.content_hash, served.version, text, shown)
        messages = [{"role": message.role, "content": message.content} for message in served.prompt.for_input(text, shown, turns.messages)]
        return served.with_input(messages, None if turns.version is None else str(turns.version), turns.problem)

    async def for_unit(self, served: Served, unit: str) -> tuple[Served, Taking | None]:
        """What serves the unit, and what it takes part in. Raises Busy where a row has to be looked up and cannot be."""
        sure, taking = self._experiments.at_once(served.running, unit)
        if not sure:
            taking = await run_in_threadpool(self._experiments.take, served.agent, served.running, unit)
        return (served, None) if taking is None else (served.arms[taking.experiment.id, taking.arm.variant], taking)

    def for_unit_and_input(self, everybody: Served, mine: Served, text: str) -> Answer:
        """As for_input. Where what the unit's variant shows cannot be looked up, but what serves everybody can, that is answered, and the unit not counted."""
        try:
            return self.for_input(mine, text)
        except Unavailable as error:
            if mine is everybody:
                raise
            return self.for_input(everybody.taking_part(Part(problem=error.cause)), text)

    def forget(self, organization_id: UUID) -> None:
        """What serves in an organization was changed through this worker: whoever changed it sees it at once. Belongs to the event loop."""
        for kept in (self._kept, self._looking):
            for key in [key for key in kept if key[0] == organization_id]:
                del kept[key]
        self._guided.forget(organization_id)
        self._experiments.forget(organization_id)

    def close(self) -> None:
        self._few_shot.close()

    def _looked(self, key: Key, task: asyncio.Task[Served]) -> None:
        if self._looking.get(key) is not task:
            return  # forgotten meanwhile: it may have looked before the change
        del self._looking[key]
        if not task.cancelled() and task.exception() is None:
            if len(self._kept) >= _MOST_KEPT:
                self._kept.clear()
            self._kept[key] = task.result()

    def _read(self, who: Principal, name: str, label: str) -> Served:
        at = time.monotonic()
        with self._sessions.acting(who.acting) as connection:
            agent = tenants.agent_by_name(connection, who.organization_id, who.organization, name)
            if agent is None:
                raise not_found("agent", "agent_id")
            found = prompts.served(connection, agent, label)
            model, tuned = serving_model(connection, agent)
        if found is None:
            raise Problem(404, f"The agent has no prompt with the label {label}: import one (kind agents), or write one.", field="agent_id")
        mark = f"-{hashlib.sha256(str(model).encode()).hexdigest()[:12]}" if tuned else ""
        everybody = served_version(at, agent, found, model, mark)
        running = self._experiments.read(agent, "prompt") if label == prompts.PRODUCTION and not found.disabled else ()
        if not running:
            return everybody
        with self._sessions.acting(who.acting) as connection:
            versions = prompts.served_versions(connection, agent, {arm.version for one in running for arm in one.arms})
        return with_arms(everybody, running, versions)
