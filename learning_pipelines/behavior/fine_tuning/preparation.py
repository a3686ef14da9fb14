"""Whether an agent's model can be fine-tuned now by one method, and with what; or the reason why not.

Belongs here: thresholds, what the outcome depends on (the fingerprint). Not here: training (local.py, openai_jobs.py), testing (gate.py), SQL.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import importlib.util
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson

from learning_pipelines.acceptance.beginning import DISABLED, NO_PROMPT, NotNow, needed
from learning_pipelines.acceptance.gate import Rules
from learning_pipelines.acceptance.meeting import next_plan
from learning_pipelines.behavior.fine_tuning import base_model
from learning_pipelines.behavior.fine_tuning.base_model import Base
from learning_pipelines.behavior.fine_tuning.data import Material, material
from learning_pipelines.behavior.fine_tuning.lessons import ANSWERING, Method
from learning_pipelines.behavior.fine_tuning.recipe import Recipe, recipe_for
from learning_pipelines.behavior.fine_tuning.serving import serving_version
from learning_pipelines.errors import BadInput
from learning_pipelines.llm import uses_embedded
from learning_pipelines.prompts.evaluation import answer_tokens
from learning_pipelines.prompts.metric_options import metric_of_agent
from learning_pipelines.prompts.preparation import WINDOW_DAYS
from learning_pipelines.prompts.prompt import Prompt, from_stored
from learning_pipelines.prompts.serving import OpenEncoder, stored_nearest
from learning_pipelines.prompts.task import Item, Nearest
from learning_pipelines.settings import Settings
from learning_pipelines.storage import prompt_runs, prompts, retraining, training_runs, versions
from learning_pipelines.storage.behavior_versions import BehaviorVersion
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.tenants import AgentRef
from learning_pipelines.storage.training_runs import TrainingType
from learning_pipelines.storage.versions import Version

KIND = "fine_tune"
TYPES: dict[Method, TrainingType] = {"sft": "fine_tuning", "dpo": "dpo", "rlhf": "rlhf"}
MIN_VALIDATION = 5
RULES = "1"
"""Part of the fingerprint: bumped when what is done with the same rows changes."""
INSTALL = "pip install 'learning-pipelines[finetune]'"


@dataclass(frozen=True, slots=True)
class Prepared:
    """Everything that one run of one method needs. `base`: name of the model it begins at; `incumbent`: the fine-tuned version that serves, if any."""

    method: Method
    engine: str
    base: Base
    recipe: Recipe
    material: Material
    dataset: Version
    prompt: Prompt
    prompt_version: int
    labels: tuple[str, ...]
    metric: dict[str, Any]
    max_tokens: int
    incumbent: BehaviorVersion | None
    nearest: Nearest | None
    fingerprint: str

    @property
    def seed(self) -> int:
        return int(self.fingerprint[:7], 16)

    @property
    def config(self) -> dict[str, Any]:
        """What the training run keeps of it: numbers and names, no text of anybody."""
        return {
            "fingerprint": self.fingerprint, "method": self.method, "engine": self.engine, "base": self.base.name, "recipe": self.recipe.as_json(),
            "seed": self.seed, "dataset_id": str(self.dataset.id), "dataset_version": self.dataset.version, "prompt_version": self.prompt_version,
            "train_rows": len(self.material.lessons.train), "validation_rows": len(self.material.lessons.validation),
            "test_items": len(self.material.test_ids), "left_out": dict(self.material.lessons.left_out),
            "incumbent": 0 if self.incumbent is None else self.incumbent.number,
        }  # fmt: skip


def missing_extra(settings: Settings) -> str | None:
    """Why nothing can be trained on this machine; None if it can."""
    if settings.finetune_engine != "local":
        return None
    needed = ["peft", "trl", "datasets", *(["gguf"] if settings.finetune_model is None else [])]
    absent = [name for name in needed if importlib.util.find_spec(name) is None]
    return f"fine-tuning on this machine needs the extra [finetune] ({', '.join(absent)} not installed): {INSTALL}" if absent else None


def prepare(connection: Connection, agent: AgentRef, settings: Settings, method: Method, encoder: OpenEncoder) -> Prepared | NotNow:
    """The run that would be made now. Raises BadInput for settings that contradict each other."""
    setup = prompt_runs.setup(connection, agent, dt.datetime.now(dt.UTC) - dt.timedelta(days=WINDOW_DAYS))
    if not setup.learning_enabled:
        return NotNow(DISABLED)
    if missing := missing_extra(settings):
        return NotNow(missing)
    if method in ANSWERING and settings.finetune_engine == "local" and settings.finetune_model is None and not uses_embedded(settings):
        return NotNow(
            "agents are answered by an endpoint's model, and the packaged one is not what they would be compared with: set LEARNING_FINETUNE_ENGINE=openai,"
            " or name the model that answers in LEARNING_FINETUNE_MODEL"
        )
    if settings.finetune_engine == "openai" and method == "rlhf":
        return NotNow("a reward model is trained on this machine only (LEARNING_FINETUNE_ENGINE=local)")
    serving, dataset = prompts.labelled(connection, agent), versions.find_version(connection, agent)
    if serving is None:
        return NotNow(NO_PROMPT)
    if dataset is None:
        return NotNow("the agent has no dataset yet: approve examples first")
    prompt = from_stored(serving.messages, serving.serving)
    pinned = prompt.retrieval.dataset_id if prompt.retrieval else None
    nearest = None if prompt.retrieval is None else stored_nearest(connection, agent, dataset.id if pinned is None else UUID(pinned), encoder)
    found = material(connection, agent, dataset, method, prompt, nearest, setup.labels)
    kind = TYPES[method]
    again = retraining.due(connection, agent, kind) is not None
    if few := _too_few(found, method, 1 if again else settings.finetune_min_rows):
        return NotNow(few)
    metric = dict(metric_of_agent(setup.metric, setup.labels))
    recipe, base = recipe_for(method, settings.finetune_seconds), _base(settings)
    incumbent = serving_version(connection, agent.organization_id, agent.agent_id) if method in ANSWERING else None
    if incumbent is not None and (incumbent.config.get("engine"), incumbent.config.get("base_identity")) != (settings.finetune_engine, base.identity):
        return NotNow(
            f"version {incumbent.number} serves, which was learnt on {incumbent.config.get('base')} (engine {incumbent.config.get('engine')}): only what"
            f" begins at the same model can be compared with it. Set LEARNING_FINETUNE_MODEL and _ENGINE as then, or roll it back"
        )
    fingerprint = _fingerprint(
        [RULES, method, settings.finetune_engine, base.identity, recipe.as_json(), dataset.content_hash.hex(), serving.version, serving.content_hash.hex(),
         list(setup.labels), metric, 0 if incumbent is None else incumbent.number]
    )  # fmt: skip
    if not again and (before := training_runs.completed_with(connection, agent, kind, fingerprint)) is not None:
        return NotNow(f"nothing changed since training run {before}: the same examples, prompt and model; its verdict stands")
    if not training_runs.unfinished_with(connection, agent, kind, fingerprint):
        planned = next_plan(connection, agent, KIND, found.test_ids, Rules.of(settings))
        if not planned.enough:
            of = "pairs" if method == "rlhf" else "examples"
            return NotNow(f"{len(found.test_ids)} test {of}, {needed(planned)}: approve about {planned.missing_examples} more examples")
    taught = [Item(row.id, "", row.answer) for row in found.lessons.train if hasattr(row, "answer")]
    return Prepared(
        method, settings.finetune_engine, base, recipe, found, dataset, prompt, serving.version, setup.labels, metric,
        answer_tokens([*taught, *found.items]), incumbent, nearest, fingerprint,
    )  # fmt: skip


def _base(settings: Settings) -> Base:
    """What fine-tuning begins at. Raises BadInput where the endpoint's model is not named, and what base_model.chosen raises."""
    if settings.finetune_engine == "local":
        return base_model.chosen(settings)
    if uses_embedded(settings):
        raise BadInput("LEARNING_FINETUNE_ENGINE is openai, but no endpoint is set.", "Set OPENAI_API_KEY or OPENAI_BASE_URL, or use the engine local.")
    name = settings.finetune_model or settings.task_model
    if name is None:
        raise BadInput("LEARNING_FINETUNE_MODEL is not set.", "Name the model of the endpoint that fine-tuning begins at.")
    if settings.finetune_usd is not None and settings.finetune_price is None:
        raise BadInput("LEARNING_FINETUNE_USD limits costs, but LEARNING_FINETUNE_PRICE is not set.", "Set the price of a million trained tokens.")
    return Base(name, name, name)


def _too_few(found: Material, method: Method, least: int) -> str | None:
    rows, looked = len(found.lessons.train), len(found.lessons.validation)
    of = "approved examples with an answer" if method == "sft" else "preference pairs"
    if rows < least:
        return f"{rows} {of} in the split train, {least} are needed (LEARNING_FINETUNE_MIN_ROWS)"
    if looked < MIN_VALIDATION:
        return f"{looked} {of} in the split validation, {MIN_VALIDATION} are needed to say when to stop"
    if not found.test_ids:
        return f"no {'preference pair' if method == 'rlhf' else 'approved example with an expected answer'} is in the split test: nothing could be tested"
    return None


def _fingerprint(parts: list[Any]) -> str:
    return hashlib.sha256(orjson.dumps(parts, option=orjson.OPT_SORT_KEYS)).hexdigest()
