"""Versions of an agent's prompt, scored as the agent is: its metric, its closed answer set, the configured model, stored demonstrations.

Belongs here: putting an Evaluator together for one version after the other. Not here: scoring (evaluation.py), optimization runs (optimization.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from uuid import UUID

from learning_pipelines.behavior.guidance_lookup import StoredGuide, as_served
from learning_pipelines.encoder import Encoder, open_encoder
from learning_pipelines.errors import BadInput
from learning_pipelines.llm import open_model
from learning_pipelines.llm_budget import Budget
from learning_pipelines.prompts.agent_metric import open_metric
from learning_pipelines.prompts.evaluation import Evaluator, Progress, answer_tokens
from learning_pipelines.prompts.prompt import Prompt, from_stored
from learning_pipelines.prompts.serving import stored_nearest
from learning_pipelines.prompts.task import Item, Nearest
from learning_pipelines.settings import Settings
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.llm_cache import DatabaseCache, record_usage
from learning_pipelines.storage.prompts import Version
from learning_pipelines.storage.tenants import AgentRef

ACCOUNT = "evaluate"
"""The run that the accounts of the language model name."""


class Scorer:
    """Makes evaluators that share one model, one metric and one budget. `metric.doubt`: why its scores should not be believed.

    `connection`: role learning_pipeline, autocommit; the model's answers are kept through it. `decides`: what is served hangs on the scores, so that a judge
    must be trusted (open_metric). `account`: whose usage it is. `budget`: None is without limit. `fresh`: answers are asked for anew, never taken from
    those that are kept, nor kept.
    """

    def __init__(
        self, connection: Connection, agent: AgentRef, settings: Settings, items: Sequence[Item], progress: Progress | None = None, *,
        decides: bool = False, account: str = ACCOUNT, budget: Budget | None = None, fresh: bool = False,
    ) -> None:  # fmt: skip
        self._connection, self._agent, self._settings, self._progress, self._account = connection, agent, settings, progress, account
        self.budget = budget or Budget()
        self.metric = open_metric(settings, connection, agent, lambda: self.encoder, decides=decides, budget=self.budget)
        kept = None if fresh else DatabaseCache(connection, agent.organization_id)
        self._model = open_model(settings, cache=kept, budget=self.budget)
        self._max_tokens = answer_tokens(items)

    @cached_property
    def encoder(self) -> Encoder:
        return open_encoder(self._settings)

    def of(self, version: Version) -> tuple[Evaluator, Prompt]:
        """The version's prompt and who scores it. Raises BadInput for one that picks demonstrations from no dataset version."""
        prompt = from_stored(version.messages, version.serving)
        nearest: Nearest | None = None
        if prompt.retrieval is not None:
            if prompt.retrieval.dataset_id is None:
                raise BadInput(f"Version {version.version} picks demonstrations but names no dataset version.", "It cannot be scored or served.")
            nearest = stored_nearest(self._connection, self._agent, UUID(prompt.retrieval.dataset_id), lambda: self.encoder)
        metric, labels = self.metric.metric, self.metric.labels
        return Evaluator(self._model, metric, max_tokens=self._max_tokens, labels=labels, nearest=nearest, progress=self._progress), prompt

    def as_served(self, version: Version) -> tuple[Evaluator, Prompt]:
        """The same, with the guidance that is shown beside the version where it serves."""
        evaluator, prompt = self.of(version)
        found = as_served(self._connection, self._agent, version.content_hash.hex(), version.version, lambda: self.encoder)
        return (evaluator if found is None else evaluator.guided(StoredGuide(self._connection, self._agent, found[1], self.encoder))), prompt

    def record(self) -> None:
        """Puts what was used since the last time on the organization's accounts."""
        record_usage(self._connection, self._agent.organization_id, self._account, self.budget.take_usage())
