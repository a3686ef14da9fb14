"""One run of rules: for each cluster with enough people behind it a rule is made, and put to the gate.

Belongs here: which clusters, the order of things, the training run. Not here: making one rule (rules.py), testing it (rules_gate.py).
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from uuid import UUID

import orjson

from learning_pipelines.acceptance.guards import FEWEST as FEWEST_GUARDING
from learning_pipelines.behavior.corrections import naming, rules, rules_gate
from learning_pipelines.behavior.corrections.coherence import coherence
from learning_pipelines.behavior.corrections.refresh import COMPARED_WITH, OpenEncoder
from learning_pipelines.behavior.corrections.rules import Rule, Sides
from learning_pipelines.behavior.corrections.rules_gate import MOST_GUARDING, Score, Tested
from learning_pipelines.behavior.corrections.significance import SIGNIFICANT
from learning_pipelines.errors import BadInput, LearningError
from learning_pipelines.llm import model_name
from learning_pipelines.llm_budget import Budget
from learning_pipelines.prompts.judge_agreement import JudgeNotTrusted
from learning_pipelines.prompts.scoring import Scorer
from learning_pipelines.prompts.task import Item
from learning_pipelines.settings import Settings
from learning_pipelines.storage import corrections as storage
from learning_pipelines.storage import prompt_runs, prompts, retraining, training_runs
from learning_pipelines.storage.correction_rows import Member
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.prompts import Version
from learning_pipelines.storage.tenants import AgentRef

MOST = 20
"""Clusters that get a rule in one run: those with most people."""
RULES = "2"
"""Part of the fingerprint: bumped when rules are made or tested differently."""
OpenScore = Callable[[Version, Sequence[Item], str], Score]
"""Who scores: the prompt that serves, all items that will be scored, the account."""


@dataclass(frozen=True, slots=True)
class Made:
    """What a run did. `reason`: why there was none. `thin`: clusters with too few people or nothing that can be said."""

    training_run: UUID | None = None
    reason: str = ""
    tested: tuple[Tested, ...] = ()
    thin: int = 0

    @property
    def proposed(self) -> list[Tested]:
        return [one for one in self.tested if one.state == "proposed"]


def make_all(
    connection: Connection, agent: AgentRef, settings: Settings, dagster_run_id: str | None, open_encoder: OpenEncoder, open_score: OpenScore | None = None,
    progress: Callable[[float, str], None] = lambda share, line: None,
) -> Made:  # fmt: skip
    """Makes, tests and proposes rules of what people correct. Asks no model where every rule lacks held-out corrections, and at most
    LEARNING_OPTIMIZATION_CALLS times in all (a judge's marks come on top, as in a search for prompts). A run that ended early is gone on with: its tests
    count once. What the calls of a run did not suffice for is tested by the next.

    `connection`: role learning_pipeline, autocommit; `open_score`: who scores, the configured model if None.
    """
    labelled = prompts.labelled(connection, agent)
    serving = None if labelled is None else prompts.version(connection, agent, labelled.version)
    if serving is None:
        return Made(reason="the agent has no prompt with the label production to test rules with")
    made, thin = _made(connection, agent)
    if not made:
        return Made(reason=f"no cluster of corrections has {rules.FEWEST} people behind it and a rule in words yet", thin=thin)
    try:
        model = model_name(settings)
    except BadInput as missing:
        return Made(reason=f"{missing.cause} {missing.advice}", thin=thin)
    thresholds = prompt_runs.setup(connection, agent, dt.datetime.now(dt.UTC)).thresholds
    calls = int(thresholds.get("optimization_calls", settings.optimization_calls))
    others = {rule.cluster: [Item(*row) for row in storage.others(connection, agent, rule.cluster, rule.wrong, MOST_GUARDING)] for rule, _ in made}
    fingerprint, before = _attempt(connection, agent, _fingerprint(made, others, serving, settings, model, calls))
    if before is not None:
        return Made(reason=f"nothing changed since training run {before}", thin=thin)
    config = {"fingerprint": fingerprint, "part": "rules", "clusters": len(made)}
    run = training_runs.begin(connection, agent, "behavior_learning", dataset_id=None, config=config, dagster_run_id=dagster_run_id)
    tested, error = list[Tested](), "It ended early."
    try:
        scoring = open_score or _scoring(connection, agent, settings, run.spent_usd)
        opened = cache(lambda: scoring(serving, _items(made), str(run.id)))
        prompt = serving.content_hash.hex()
        meet = partial(rules_gate.meet, connection, agent, settings, prompt=prompt, model=model, run_id=run.id, dagster_run_id=dagster_run_id)
        left = calls
        known = rules.sides(storage.members(connection, agent, None, COMPARED_WITH)).train
        for number, (rule, found) in enumerate(made, 1):
            if (unlike := _unlike(rule, found, known, open_encoder)) is not None:
                tested.append(unlike)
                continue
            one = meet(rule, found.held_out, others[rule.cluster], opened, calls_left=left)
            tested.append(one)
            left -= one.calls
            training_runs.progressed(connection, agent, run.id, number / (len(made) + 1))
            progress(number / len(made), f"rule {number} of {len(made)}: {one.state}" + (f", {one.reason}" if one.reason else ""))
        error = ""
    except JudgeNotTrusted as doubt:
        error = str(doubt)
        return Made(reason=error, thin=thin)
    except LearningError as cause:
        error = str(cause)
        raise
    finally:
        if error:
            training_runs.failed(connection, agent, run.id, error)
    done = Made(run.id, "", tuple(tested), thin)
    training_runs.completed(connection, agent, run.id, best=_best(done, asked=left < calls), requires_review=bool(done.proposed))
    return done


def _best(done: Made, *, asked: bool) -> dict[str, float]:
    """What the training run keeps of it. `put_off`: tests that calls which others took were missing for; the next run makes them."""
    gains = [one.numbers["after"] - one.numbers["before"] for one in done.proposed]
    put_off = sum(one.state == "too dear" for one in done.tested) if asked else 0
    return {"rules": len(done.tested), "proposed": len(gains), "put_off": put_off} | ({"mean_gain": sum(gains) / len(gains)} if gains else {})


def _made(connection: Connection, agent: AgentRef) -> tuple[list[tuple[Rule, Sides]], int]:
    """The rules that can be made, those with most people first, each with the two sides of its cluster; how many clusters are too thin for one."""
    enough = [one for one in storage.listed(connection, agent) if one.people >= rules.FEWEST and one.significance >= SIGNIFICANT][:MOST]
    background = storage.newest_inputs(connection, agent, COMPARED_WITH)
    counts = naming.frequencies(background)
    made = []
    for cluster in enough:
        found = rules.sides(storage.members(connection, agent, cluster.id))
        rule = rules.distil(cluster, found.train, counts, len(background))
        if rule is not None:
            made.append((rule, found))
    return made, len(enough) - len(made)


def _unlike(rule: Rule, found: Sides, known: Sequence[Member], open_encoder: OpenEncoder) -> Tested | None:
    """Why a rule is not worth its test: the questions of its corrections are not told from those of others. None if they are."""
    own = [one.cluster_id == rule.cluster for one in known]
    if all(own) or not found.held_out:
        return None
    vectors = open_encoder().encode([one.input for one in (*found.held_out, *known)])
    seen = coherence(vectors[: len(found.held_out)], vectors[len(found.held_out) :], own)
    if seen.holds:
        return None
    reason = f"its questions are not told from others: {seen.hits} of {seen.n} held-out ones are nearest to its own, which are {seen.share:.0%} of all"
    return Tested(rule.cluster, "incoherent", f"{reason} (p = {seen.p_value:.2g})")


def _scoring(connection: Connection, agent: AgentRef, settings: Settings, spent_usd: float) -> OpenScore:
    """The agent's own model and metric, within what is left of LEARNING_OPTIMIZATION_USD."""
    usd = None if settings.optimization_usd is None else max(0.0, settings.optimization_usd - spent_usd)

    def opened(serving: Version, items: Sequence[Item], account: str) -> Score:
        scorer = Scorer(connection, agent, settings, items, decides=True, account=account, budget=Budget(usd=usd))

        def score(texts: Sequence[str], wanted: Sequence[Item]) -> list[float]:
            evaluator, prompt = scorer.of(serving)
            if texts:
                evaluator = evaluator.guided(rules_gate.messages_of(texts, settings))
            try:
                return [one.score for one in evaluator(prompt, wanted)]
            finally:
                scorer.record()

        return score

    return opened


def _items(made: Sequence[tuple[Rule, Sides]]) -> list[Item]:
    return [Item(one.example_id, one.input, one.corrected) for _, found in made for one in found.held_out]


def _attempt(connection: Connection, agent: AgentRef, fingerprint: str) -> tuple[str, UUID | None]:
    """The fingerprint to run under, and the completed run that has it: one that put tests off is followed by another, and one before an erasure too."""
    if retraining.due(connection, agent, "rules") is not None:
        return fingerprint, None
    while (before := training_runs.completed_with(connection, agent, "behavior_learning", fingerprint)) is not None:
        if not training_runs.best_metrics(connection, agent, before).get("put_off"):
            break
        fingerprint = hashlib.sha256(f"{fingerprint}/{before}".encode()).hexdigest()
    return fingerprint, before


def _fingerprint(
    made: Sequence[tuple[Rule, Sides]], others: Mapping[str, Sequence[Item]], serving: Version, settings: Settings, model: str, calls: int
) -> str:
    """What the outcome of a run depends on: the rules, what they are tested on, whether there is enough to see harm, prompt, model, budget, gains asked for.

    Not which other examples there are: each new one would make a run, and one that ended early would not be gone on with.
    """
    sides = [
        [rule.cluster, rule.fingerprint, len(others[rule.cluster]) >= FEWEST_GUARDING, *sorted(one.example_id for one in found.held_out)]
        for rule, found in made
    ]
    parts = [
        RULES, serving.content_hash.hex(), model, calls, settings.optimization_usd, settings.planned_effect, settings.min_effect,
        settings.guidance_tokens, sorted(sides, key=lambda side: str(side[0])),
    ]  # fmt: skip
    return hashlib.sha256(orjson.dumps(parts)).hexdigest()
