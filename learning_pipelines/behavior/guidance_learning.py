"""One run of learning guidance: which sources help is chosen on validation, the choice meets what serves on the test split, and is proposed if better.

Belongs here: whether to run, the order of things, what is recorded. Not here: what guidance shows (guidance.py), how usefulness is computed
(guidance_usefulness.py), scoring (prompts/), what a verdict needs (acceptance/), SQL.

Calls are bounded before the first is made: every way to guide is scored on as many validation examples as LEARNING_OPTIMIZATION_CALLS covers, and the test
asks twice for every test example. Where there is too little to learn from or to test on, nothing is asked and the reason is said.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import orjson

from learning_pipelines.acceptance import behavior_proposing, meeting
from learning_pipelines.acceptance.beginning import DISABLED, NO_PROMPT, NotNow, needed
from learning_pipelines.acceptance.gate import Evidence, Rules, Verdict
from learning_pipelines.behavior.guidance import EXAMPLE_TYPES, SOURCES, Guidance, Source
from learning_pipelines.behavior.guidance_lookup import StoredGuide, as_served, stored_notes
from learning_pipelines.behavior.guidance_usefulness import of_pieces, of_source
from learning_pipelines.encoder import Encoder
from learning_pipelines.prompts.evaluation import Evaluator, answer_tokens
from learning_pipelines.prompts.metric_options import metric_of_agent
from learning_pipelines.prompts.optimization import Engine
from learning_pipelines.prompts.preparation import Limits, Prepared, restore
from learning_pipelines.prompts.records import scores_of
from learning_pipelines.prompts.summary import Evaluation, evaluate
from learning_pipelines.prompts.task import Item
from learning_pipelines.settings import Settings
from learning_pipelines.storage import guidance, prompt_runs, prompts, retraining, training_runs, versions
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.guidance import Serving
from learning_pipelines.storage.tenants import AgentRef

KIND = "guidance"
LEAST_VALIDATION = 10
"""Validation examples below which a mean gain says nothing."""
RULES = "1"
"""Part of the fingerprint: bumped when repeating a run can find something else."""
Progress = Callable[[float, str], None]


@dataclass(frozen=True, slots=True)
class Variant:
    """A way to guide that is tried."""

    sources: tuple[Source, ...]
    agreeing: bool = False

    @property
    def name(self) -> str:
        return "+".join(self.sources) + (" agreeing" if self.agreeing else "")


@dataclass(frozen=True, slots=True)
class Ready:
    """A run that can be made. `available`: pieces by source; `variants`: tried one by one; `validation`: the examples that they are tried on."""

    prepared: Prepared
    available: Mapping[Source, int]
    serving: Serving
    variants: tuple[Variant, ...]
    validation: tuple[Item, ...]
    tokens: int

    @property
    def config(self) -> dict[str, Any]:
        """What the training run keeps of it."""
        return self.prepared.config | {
            "part": KIND, "tokens": self.tokens, "available": dict(self.available), "incumbent_guidance": self.serving.guidance,
            "playbooks": list(self.serving.playbooks), "rules": list(self.serving.rules), "validation": len(self.validation),
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Choice:
    """What validation chose; no guidance where nothing did better than what serves. `numbers`: means and usefulness, without a word of anybody."""

    guidance: Guidance | None
    numbers: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Tested:
    """The gate's word, and both sides on the test split."""

    evidence: Evidence
    incumbent: Evaluation
    candidate: Evaluation


def prepare(connection: Connection, agent: AgentRef, settings: Settings, *, model: str) -> Ready | NotNow:
    """The run that would be made now, or why none is. Asks no model."""
    found = prompt_runs.setup(connection, agent, dt.datetime.now(dt.UTC))
    if not found.learning_enabled:
        return NotNow(DISABLED)
    prompt, dataset = prompts.labelled(connection, agent), versions.find_version(connection, agent)
    if prompt is None:
        return NotNow(NO_PROMPT)
    if dataset is None:
        return NotNow("the agent has no dataset yet: approve corrections or demonstrations first")
    serving = guidance.serving(connection, agent)
    available = _available(connection, agent, dataset.id, serving, found.labels)
    if not available:
        return NotNow("nothing to show: no approved correction or demonstration is in the train split, and no playbook or rules serve")
    searching = int(found.thresholds.get("optimization_calls", settings.optimization_calls))
    metric = metric_of_agent(found.metric, found.labels)
    per_score = 2 if metric["type"] == "judge" else 1
    provisional = restore(connection, agent, {
        "fingerprint": "", "dataset_id": str(dataset.id), "incumbent_version": prompt.version, "model": model, "calls": 0, "search_calls": 0,
        "usd": settings.optimization_usd, "per_score": per_score, "goals": {}, "metric": metric, "issues": [], "written": None,
    })  # fmt: skip
    task = provisional.task
    limits = Limits(per_score * (searching + 2 * len(task.test)), searching, settings.optimization_usd, per_score)
    parts = [
        KIND, RULES, dataset.content_hash.hex(), prompt.content_hash.hex(), model, dict(task.metric), list(task.labels), limits.calls, limits.usd,
        settings.guidance_tokens, settings.embedding_model, serving.guidance, list(serving.playbooks), list(serving.rules),
    ]  # fmt: skip
    fingerprint = hashlib.sha256(orjson.dumps(parts, option=orjson.OPT_SORT_KEYS)).hexdigest()
    prepared = replace(provisional, limits=limits, fingerprint=fingerprint, max_tokens=answer_tokens(task.train))
    again = retraining.due(connection, agent, KIND) is not None
    if not again and (before := training_runs.completed_with(connection, agent, "behavior_learning", fingerprint)) is not None:
        return NotNow(f"nothing changed since training run {before}: the same examples, notes, prompt, model and budget; its verdict stands")
    variants = _variants(available, task.labels)
    validation = _sample(task.validation, limits.search // _rounds(variants, serving), prepared.seed)
    resumed = training_runs.unfinished_with(connection, agent, "behavior_learning", fingerprint)
    if missing := _too_little(connection, agent, settings, prepared, validation, _rounds(variants, serving), resumed=resumed):
        return NotNow(missing)
    return Ready(prepared, available, serving, variants, validation, settings.guidance_tokens)


def choose_sources(
    connection: Connection, agent: AgentRef, ready: Ready, run_id: UUID, engine: Engine, encoder: Encoder, progress: Progress
) -> Choice:
    """Scores every way to guide on validation, computes what each source and piece is worth, and takes what did best."""
    prompt, items = ready.prepared.task.incumbent, ready.validation
    plain = _scores(evaluate(engine.evaluator(prompt), prompt, items))
    current = incumbent_guidance(connection, agent, ready, encoder)
    engine.record()
    best: tuple[float, Guidance | None] = (_mean(plain), None)
    numbers: dict[str, Any] = {"plain": _mean(plain), "items": len(items), "ways": {}}
    if current is not None:
        best = (_mean(_guided(connection, agent, ready, engine, encoder, current, items)[0]), None)
        numbers["serving"] = best[0]
    worth: dict[Source, float] = {}
    agreeing = False
    for number, variant in enumerate(ready.variants):
        progress((1 + number) / (3 + len(ready.variants)), f"{variant.name} on {len(items)} validation examples")
        mean, found = _tried(connection, agent, ready, engine, encoder, variant, dict.fromkeys(variant.sources, 1.0), plain, items)
        (source,) = variant.sources
        gain = found.sources[source]
        numbers["ways"][variant.name] = {"mean": mean, "usefulness": gain, "hidden": len(found.hidden)}
        if gain > worth.get(source, 0.0):
            worth[source], agreeing = gain, agreeing or variant.agreeing
        if mean > best[0] and gain > 0:
            best = (mean, found)
    if len(worth) > 1:
        variant = Variant(tuple(source for source in SOURCES if source in worth), agreeing)
        mean, found = _tried(connection, agent, ready, engine, encoder, variant, worth, plain, items)
        numbers["ways"][variant.name] = {"mean": mean, "hidden": len(found.hidden)}
        if mean > best[0]:
            best = (mean, replace(found, sources=worth))
    training_runs.measured(connection, agent, run_id, {"choice": numbers})
    return Choice(best[1], numbers | {"chosen": None if best[1] is None else "+".join(best[1].sources) + (" agreeing" if best[1].agreeing else "")})


def put_to_test(
    connection: Connection, agent: AgentRef, settings: Settings, ready: Ready, run_id: UUID, chosen: Guidance, engine: Engine, encoder: Encoder
) -> Tested:
    """The prompt that serves, as it is served, and the same with the chosen guidance on the test items. The level is spent before the first is scored."""
    prompt, items = ready.prepared.task.incumbent, ready.prepared.task.test
    current = incumbent_guidance(connection, agent, ready, encoder)
    test = meeting.reserve(
        connection, agent, KIND, [item.id for item in items], training_run_id=run_id, candidate={"content_hash": chosen.content_hash},
        incumbent={"prompt": prompt.content_hash.hex(), "guidance": ready.serving.guidance if current is not None else 0},
    )  # fmt: skip
    before = evaluate(_evaluator(connection, agent, ready, engine, encoder, current), prompt, items)
    engine.record()
    after = evaluate(_evaluator(connection, agent, ready, engine, encoder, chosen), prompt, items)
    engine.record()
    scores = {one.item.id: (one.score, other.score) for one, other in zip(before.scored, after.scored, strict=True)}
    evidence = meeting.concluded(test) or meeting.conclude(connection, agent, test, scores, Rules.of(settings))
    training_runs.measured(connection, agent, run_id, {"test": evidence.as_json(), "tokens": {"without": before.input_tokens, "with": after.input_tokens}})
    return Tested(evidence, before, after)


def propose(
    connection: Connection, agent: AgentRef, settings: Settings, ready: Ready, run_id: UUID, dagster_run_id: str | None, chosen: Guidance, tested: Tested
) -> tuple[int, UUID]:
    """(number, proposal) of guidance that the gate called better."""
    evidence = tested.evidence
    if evidence.verdict is not Verdict.BETTER:
        raise ValueError(f"the verdict is {evidence.verdict.value}")
    with connection.transaction():
        number, proposal = behavior_proposing.propose(
            connection, agent, settings, kind="playbook", subject_kind="guidance", config=chosen.as_json(), metrics=scores_of(evidence),
            evidence=evidence.as_json(), incumbent=ready.serving.guidance, run_id=run_id, dagster_run_id=dagster_run_id,
        )  # fmt: skip
        training_runs.completed(connection, agent, run_id, best=scores_of(evidence), requires_review=True)
    return number, proposal


def incumbent_guidance(connection: Connection, agent: AgentRef, ready: Ready, encoder: Encoder) -> Guidance | None:
    """The guidance that is really shown now: what serves, unless it was measured with something else and is left out for that."""
    prompt = ready.prepared.task.incumbent.content_hash.hex()
    found = as_served(connection, agent, prompt, ready.prepared.incumbent_version, lambda: encoder)
    return None if found is None else found[1]


def _tried(
    connection: Connection, agent: AgentRef, ready: Ready, engine: Engine, encoder: Encoder, variant: Variant, worth: Mapping[Source, float],
    plain: Mapping[str, float], items: Sequence[Item],
) -> tuple[float, Guidance]:  # fmt: skip
    """(mean score, the guidance with its measured usefulness) of one way to guide."""
    tried = Guidance(
        dataset_id=str(ready.prepared.dataset.id), prompt=ready.prepared.task.incumbent.content_hash.hex(), prompt_version=ready.prepared.incumbent_version,
        encoder=encoder.name, sources=dict(worth), tokens=ready.tokens, agreeing=variant.agreeing,
        playbooks=ready.serving.playbooks if "playbooks" in worth else (), rules=ready.serving.rules if "rules" in worth else (),
    )  # fmt: skip
    scores, given = _guided(connection, agent, ready, engine, encoder, tried, items)
    measured: dict[Source, float] = {}
    pieces: dict[str, float] = {}
    for source in worth:
        shown = {item: [one for name, one in got if name == source] for item, got in given.items()}
        measured[source] = of_source(plain, scores, shown)
        pieces |= of_pieces(plain, scores, shown, measured[source])
    return _mean(scores), replace(tried, sources=measured, items=pieces)


def _guided(
    connection: Connection, agent: AgentRef, ready: Ready, engine: Engine, encoder: Encoder, guided: Guidance, items: Sequence[Item]
) -> tuple[dict[str, float], dict[str, list[tuple[Source, str]]]]:
    """(scores, (source, id) of the pieces shown) by item."""
    guide = StoredGuide(connection, agent, guided, encoder)
    evaluator = _evaluator(connection, agent, ready, engine, encoder, guided, guide)
    scores = _scores(evaluate(evaluator, ready.prepared.task.incumbent, items))
    engine.record()
    return scores, {item: [(one.source, one.id) for one in pieces] for item, pieces in guide.given.items()}


def _evaluator(
    connection: Connection, agent: AgentRef, ready: Ready, engine: Engine, encoder: Encoder, guided: Guidance | None, guide: StoredGuide | None = None
) -> Evaluator:
    """The evaluator of the prompt that serves, with this guidance."""
    plain = engine.evaluator(ready.prepared.task.incumbent)
    return plain if guided is None else plain.guided(guide or StoredGuide(connection, agent, guided, encoder))


def _available(connection: Connection, agent: AgentRef, dataset_id: UUID, serving: Serving, labels: tuple[str, ...]) -> dict[Source, int]:
    counts = guidance.showable(connection, agent, dataset_id, list(EXAMPLE_TYPES.values()), labels)
    found: dict[Source, int] = {source: counts.get(kind, 0) for source, kind in EXAMPLE_TYPES.items()}
    found |= {"playbooks": len(stored_notes(connection, agent, serving.playbooks, ())), "rules": len(stored_notes(connection, agent, (), serving.rules))}
    return {source: found[source] for source in SOURCES if found[source]}


def _variants(available: Mapping[Source, int], labels: tuple[str, ...]) -> tuple[Variant, ...]:
    """Every source alone; of examples with a closed set of answers also only those that agree."""
    ways = [(source, agreeing) for source in available for agreeing in ((False, True) if labels and source in EXAMPLE_TYPES else (False,))]
    return tuple(Variant((source,), agreeing) for source, agreeing in ways)


def _rounds(variants: Sequence[Variant], serving: Serving) -> int:
    """How often validation is scored at most: plain, every way, all that is useful together, and the guidance that serves."""
    several = len({variant.sources for variant in variants}) > 1
    return 1 + len(variants) + several + (serving.guidance > 0)


def _sample(items: tuple[Item, ...], most: int, seed: int) -> tuple[Item, ...]:
    return items if len(items) <= most else tuple(sorted(random.Random(seed).sample(items, max(0, most)), key=lambda item: item.id))


def _too_little(
    connection: Connection, agent: AgentRef, settings: Settings, prepared: Prepared, validation: Sequence[Item], rounds: int, *, resumed: bool
) -> str | None:
    if len(prepared.task.validation) < LEAST_VALIDATION:
        return f"{len(prepared.task.validation)} validation examples, {LEAST_VALIDATION} are needed: approve more examples, of more people"
    if len(validation) < LEAST_VALIDATION:
        return (
            f"LEARNING_OPTIMIZATION_CALLS ({prepared.limits.search}) covers {len(validation)} validation examples for each of {rounds} ways, "
            f"{LEAST_VALIDATION} are needed: raise it to {LEAST_VALIDATION * rounds}"
        )
    planned = meeting.next_plan(connection, agent, KIND, [item.id for item in prepared.task.test], Rules.of(settings))
    missing = f"{len(prepared.task.test)} test examples, {needed(planned)}: approve about {planned.missing_examples} more examples"
    return None if resumed or planned.enough else missing


def _scores(found: Evaluation) -> dict[str, float]:
    return {one.item.id: one.score for one in found.scored}


def _mean(scores: Mapping[str, float]) -> float:
    return sum(scores.values()) / len(scores)
