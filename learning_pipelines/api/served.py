"""What serves, at hand: prompts are read by applications at every turn, so a worker keeps them for half a second, ready to be sent.

Belongs here: keeping, looking again, demonstrations for an input. Not here: the route (prompts.py), what is sent (served_answer.py), the lookup
(prompts/serving.py), guidance (guided.py), who takes part in an experiment (experiments_serving.py).

A label that moves, and learning that is switched off or on, is seen by every worker within FRESH_SECONDS. Nothing heavy is loaded: texts are encoded by
the shared encoder process.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import threading
import time
from uuid import UUID

from fastapi.concurrency import run_in_threadpool

from learning_pipelines.api.experiments_serving import ExperimentsServing, Taking
from learning_pipelines.api.guided import Guided, Turns
from learning_pipelines.api.principals import Principal
from learning_pipelines.api.problems import Problem, not_found
from learning_pipelines.api.served_answer import Answer, Part, Served, served_version, with_arms
from learning_pipelines.behavior.fine_tuning.serving import serving_model
from learning_pipelines.encoder import EncoderClient, open_encoder
from learning_pipelines.errors import LearningError, Unavailable
from learning_pipelines.prompts.prompt import Demonstration, Retrieval
from learning_pipelines.prompts.serving import look_up
from learning_pipelines.settings import Settings
from learning_pipelines.storage import demonstrations, prompts, tenants
from learning_pipelines.storage.sessions import Acting, Sessions
from learning_pipelines.storage.tenants import AgentRef

FRESH_SECONDS = 0.5
_MOST_KEPT = 10_000
_SETTLED_SECONDS = 60.0
_WARM_SECONDS, _WANTED_SECONDS = 300.0, 3600.0
"""How often the encoder process (which ends after 15 idle minutes and takes seconds to start) hears from us, and how long after the last input."""
log = logging.getLogger("learning_pipelines.api")
Key = tuple[UUID, str, str]


class ServedPrompts:
    """One per worker. `get` belongs to the event loop, `for_input` may be called by threads."""

    def __init__(self, sessions: Sessions, settings: Settings, experiments: ExperimentsServing) -> None:
        self._sessions = sessions
        self._experiments = experiments
        self._kept: dict[Key, Served] = {}
        self._looking: dict[Key, asyncio.Task[Served]] = {}
        self._few_shot = _FewShot(sessions, settings)
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


class _FewShot:
    """Looks demonstrations up for inputs. The encoder's client is opened with the first one; what hardly changes is asked once a minute."""

    def __init__(self, sessions: Sessions, settings: Settings) -> None:
        self._sessions, self._settings = sessions, settings
        self._opening = threading.Lock()
        self._closing = threading.Event()
        self._asked = 0.0
        self._encoder: EncoderClient | None = None
        self._ways: dict[tuple[UUID, UUID, UUID], tuple[float, bool, tuple[str, ...]]] = {}

    def nearest(self, agent: AgentRef, retrieval: Retrieval, text: str) -> list[Demonstration]:
        if retrieval.dataset_id is None:
            raise Unavailable("The prompt that serves names no examples to pick demonstrations from.", "Roll it back, or move the label.")
        dataset = UUID(retrieval.dataset_id)
        try:
            encoder = self.client()
            vector = encoder.encode([text])[0]
        except LearningError as error:  # whatever is wrong with the encoder, it is not the request
            raise Unavailable(error.cause, error.advice) from error
        exact, labels = self._way(agent, dataset, encoder.name)
        with self._sessions.acting(demonstrating(agent)) as connection:
            return look_up(connection, agent, dataset, encoder.name, vector, retrieval.k, exact=exact, labels=labels)

    def close(self) -> None:
        self._closing.set()
        if self._encoder is not None:
            self._encoder.close()

    def _keep_warm(self) -> None:
        while not self._closing.wait(_WARM_SECONDS):
            if self._encoder is not None and time.monotonic() - self._asked < _WANTED_SECONDS:
                try:
                    self._encoder.encode(["still", "there"])  # two: one text alone would be remembered and not asked
                except (LearningError, RuntimeError) as error:  # RuntimeError: closed by another thread in mid-request
                    if not self._closing.is_set():
                        log.warning("the encoder cannot be kept ready: %s", error)

    def client(self) -> EncoderClient:
        """The encoder, kept ready from now on. Raises LearningError where it cannot be opened."""
        self._asked = time.monotonic()
        with self._opening:
            if self._encoder is None:
                self._encoder = open_encoder(self._settings)
                threading.Thread(target=self._keep_warm, name="learning-encoder-warm", daemon=True).start()
            return self._encoder

    def _way(self, agent: AgentRef, dataset: UUID, encoder: str) -> tuple[bool, tuple[str, ...]]:
        """Whether to compare one by one, and the answers that count. Raises Unavailable where examples have no vectors of this encoder."""
        key = (agent.organization_id, agent.agent_id, dataset)
        known = self._ways.get(key)
        if known is not None and time.monotonic() - known[0] < _SETTLED_SECONDS:
            return known[1:]
        with self._sessions.acting(demonstrating(agent)) as connection:
            if known is None and (missing := demonstrations.unindexed(connection, agent, dataset, encoder)):
                raise Unavailable(
                    f"{missing} of the examples that this prompt picks from have no vector of the encoder {encoder}.",
                    f"Run `learning-pipelines run prompt_optimization --agent {agent.agent}`, or set LEARNING_EMBEDDING_MODEL back.",
                )
            exact, labels = demonstrations.few(connection, agent, encoder), tenants.answers_of(connection, agent)[1]
        if len(self._ways) >= _MOST_KEPT:
            self._ways.clear()
        self._ways[key] = (time.monotonic(), exact, labels)
        return exact, labels


def demonstrating(agent: AgentRef) -> Acting:
    """Who looks demonstrations up: examples are for trainers, but what a prompt that serves shows of them is for whoever it serves."""
    return Acting(agent.organization_id, role="trainer")

