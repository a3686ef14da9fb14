"""Whether an agent's prompt can be optimized now, and with what: its task, or the reason why not.

Belongs here: reading an agent's state, thresholds, budget, the fingerprint of a run. Not here: searching, testing (optimization.py), SQL.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson

from learning_pipelines.acceptance.beginning import DISABLED, NO_PROMPT, NotNow, needed
from learning_pipelines.acceptance.gate import Rules
from learning_pipelines.acceptance.meeting import next_plan
from learning_pipelines.errors import LearningError
from learning_pipelines.llm import uses_embedded
from learning_pipelines.prompts.evaluation import answer_tokens
from learning_pipelines.prompts.metric_options import metric_of_agent
from learning_pipelines.prompts.prompt import Prompt, from_stored
from learning_pipelines.prompts.task import Item, Task
from learning_pipelines.settings import Settings
from learning_pipelines.storage import guidance as guidance_storage
from learning_pipelines.storage import prompt_runs, prompts, retraining, tenants, training_runs, versions
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.tenants import AgentRef
from learning_pipelines.storage.versions import Version

KIND = "prompt"
WINDOW_DAYS = 30
RULES = "2"
"""Part of the fingerprint: bumped when search or strategies change so that repeating a run can find something else."""


@dataclass(frozen=True, slots=True)
class Limits:
    """`calls`: requests of a run. `search`: what the search may score or ask, each `per_score` requests (two where a judge marks the answer); the rest
    of the calls is the test's. `usd`: money of a run, None for no limit."""

    calls: int
    search: int
    usd: float | None
    per_score: int = 1

    @property
    def of_search(self) -> tuple[int, float | None]:
        """Requests and money that the search leaves the test its own of: money in the proportion of the calls."""
        calls = self.per_score * self.search
        return calls, None if self.usd is None else self.usd * calls / max(1, self.calls)


@dataclass(frozen=True, slots=True)
class Prepared:
    """Everything one run needs. `unusable`: approved examples whose expected answer is none of the agent's labels."""

    task: Task
    dataset: Version
    incumbent_version: int
    model: str
    limits: Limits
    max_tokens: int
    fingerprint: str
    unusable: int
    written: int | None = None

    @property
    def seed(self) -> int:
        return int(self.fingerprint[:8], 16)

    @property
    def config(self) -> dict[str, Any]:
        """What the training run keeps of it; `restore` gives the same run back."""
        return {
            "fingerprint": self.fingerprint, "seed": self.seed, "dataset_id": str(self.dataset.id), "dataset_version": self.dataset.version,
            "incumbent_version": self.incumbent_version, "model": self.model, "calls": self.limits.calls, "search_calls": self.limits.search,
            "usd": self.limits.usd, "per_score": self.limits.per_score, "goals": dict(self.task.goals), "metric": dict(self.task.metric),
            "issues": list(self.task.issues), "written": self.written,
        }  # fmt: skip


def prepare(
    connection: Connection, agent: AgentRef, settings: Settings, *, model: str, issues: Mapping[str, int], goals: Mapping[str, float] | None = None,
    budget: int | None = None, written: int | None = None,
) -> Prepared | NotNow:  # fmt: skip
    """The run that would be made now. `issues`: complaints by category in the last 30 days; `budget`: most calls in all (None: the settings').

    `written`: a version to be put to the test as it is, without a search.
    """
    found = prompt_runs.setup(connection, agent, dt.datetime.now(dt.UTC) - dt.timedelta(days=WINDOW_DAYS))
    again = retraining.due(connection, agent, "prompt_optimization") is not None  # a person was erased whom what serves had seen
    if missing := _too_little(found, settings, again=again):
        return NotNow(missing)
    serving = prompts.labelled(connection, agent)
    if serving is None:
        return NotNow(NO_PROMPT)
    dataset = versions.find_version(connection, agent)
    if dataset is None:
        return NotNow("the agent has no dataset yet: approve examples first")
    metric = metric_of_agent(found.metric, found.labels)
    task, unusable = _task(connection, agent, dataset, found.labels, metric, from_stored(serving.messages, serving.serving), issues, goals or {})
    searching = 0 if written else int(found.thresholds.get("optimization_calls", settings.optimization_calls))
    limits = _limits(settings.optimization_usd, budget, searching, len(task.test), per_score=2 if metric["type"] == "judge" else 1)
    if limits.search < min(1, searching):
        return NotNow(f"a budget of {limits.calls} calls does not cover the test ({2 * limits.per_score * len(task.test)} calls): raise it")
    reflection = (reflection_model(settings), settings.reflection_engine)
    guidance = guidance_storage.serving(connection, agent).guidance
    fingerprint = _fingerprint(dataset, serving.version, model, task, limits, written, reflection if reflection[0] else None, guidance)
    if not again and (before := training_runs.completed_with(connection, agent, "prompt_optimization", fingerprint)) is not None:
        return NotNow(f"nothing changed since training run {before}: the same examples, prompt, model and budget; its verdict stands")
    resumed = training_runs.unfinished_with(connection, agent, "prompt_optimization", fingerprint)  # its test may be reserved, and counts for the next one only
    if not resumed and (missing := _untestable(connection, agent, task, settings)):
        return NotNow(missing)
    return Prepared(task, dataset, serving.version, model, limits, answer_tokens(task.train), fingerprint, unusable, written)


def restore(connection: Connection, agent: AgentRef, config: Mapping[str, Any]) -> Prepared:
    """The run of a stored configuration (`Prepared.config`), whatever changed since. Raises LearningError if its data are gone."""
    labels = tenants.answers_of(connection, agent)[1]
    dataset = versions.version_by_id(connection, agent, UUID(config["dataset_id"]))
    incumbent = prompts.version(connection, agent, int(config["incumbent_version"]))
    if dataset is None or incumbent is None or incumbent.erased:
        raise LearningError("The dataset or the prompt that this run began with is gone.", "Run the job again: it begins anew.")
    task, unusable = _task(
        connection, agent, dataset, labels, config["metric"], from_stored(incumbent.messages, incumbent.serving), dict(config["issues"]), config["goals"]
    )  # fmt: skip
    limits = Limits(config["calls"], config["search_calls"], config["usd"], config.get("per_score", 1))
    return Prepared(task, dataset, incumbent.version, config["model"], limits, answer_tokens(task.train), config["fingerprint"], unusable, config["written"])


def _too_little(found: prompt_runs.Setup, settings: Settings, *, again: bool) -> str | None:
    """Why too little is new; where everything is learnt again, nothing has to be."""
    if not found.learning_enabled:
        return DISABLED
    if again:
        return None
    least_runs, least = (int(found.thresholds.get(name, getattr(settings, name))) for name in ("min_executions", "min_examples"))
    if found.executions < least_runs:
        return f"{found.executions} executions in the last {WINDOW_DAYS} days, {least_runs} are needed"
    if found.approved < least:
        return f"{found.approved} approved examples, {least} are needed: approve {least - found.approved} more"
    return None


def _task(
    connection: Connection, agent: AgentRef, dataset: Version, labels: tuple[str, ...], metric: Mapping[str, Any], incumbent: Prompt,
    issues: Mapping[str, int], goals: Mapping[str, float],
) -> tuple[Task, int]:  # fmt: skip
    items, unusable = _items(prompt_runs.items(connection, agent, dataset.id), labels)
    most_frequent_first = tuple(sorted(issues.items(), key=lambda one: (-one[1], one[0])))
    task = Task(agent.partition, incumbent, metric, items["train"], items["validation"], items["test"], labels, most_frequent_first, dict(goals))
    return task, unusable


def _items(rows: list[dict[str, Any]], labels: tuple[str, ...]) -> tuple[dict[str, tuple[Item, ...]], int]:
    """Items by split. An answer that is none of the labels can be given by no prompt: such an example neither teaches nor tests."""
    usable = [row for row in rows if not labels or row["expected_output"] in labels]
    by_split = {
        split: tuple(Item(row["id"], row["input_text"], row["expected_output"], row["input_context"]) for row in usable if row["split"] == split)
        for split in ("train", "validation", "test")
    }
    return by_split, len(rows) - len(usable)


def _untestable(connection: Connection, agent: AgentRef, task: Task, settings: Settings) -> str | None:
    """Why the gate could not see the gain that is planned for; None if it could."""
    planned = next_plan(connection, agent, KIND, [item.id for item in task.test], Rules.of(settings))
    if not planned.enough:
        return f"{len(task.test)} test examples, {needed(planned)}: approve about {planned.missing_examples} more examples"
    if not task.train or not task.validation:
        empty = " and ".join(name for name, items in (("train", task.train), ("validation", task.validation)) if not items)
        return f"no approved example with an expected answer is in the split {empty}: approve more examples, of more people"
    return None


def _limits(usd: float | None, budget: int | None, searching: int, test_items: int, per_score: int) -> Limits:
    calls = budget if budget is not None else per_score * (searching + 2 * test_items)
    return Limits(calls, calls // per_score - 2 * test_items, usd, per_score)


def reflection_model(settings: Settings) -> str | None:
    """The model that proposes instructions; None where there is none worth asking: the embedded one writes junk."""
    return None if uses_embedded(settings) else settings.reflection_model


def _fingerprint(
    dataset: Version, version: int, model: str, task: Task, limits: Limits, written: int | None, reflection: tuple[str | None, str] | None,
    guidance: int,
) -> str:  # fmt: skip
    """What the outcome of a run depends on. Equal: the same search, whose answers are in the cache already. Of complaints it is their order: one more
    of the same makes no other run, which would pay and test again what a run that ended early has paid and tested."""
    parts = [
        RULES, dataset.content_hash.hex(), version, task.incumbent.content_hash.hex(), model, dict(task.metric), list(task.labels), limits.calls,
        limits.search, limits.usd, dict(task.goals), [category for category, _ in task.issues], written, reflection,
        *([guidance] if guidance else []),
    ]  # fmt: skip
    return hashlib.sha256(orjson.dumps(parts, option=orjson.OPT_SORT_KEYS)).hexdigest()
