"""A rule meets what serves on corrections that were held out, and becomes a version with a proposal if, and only if, it is better.

Belongs here: what is tested against what, when nothing is asked, version and proposal. Not here: making rules (rules.py), statistics (acceptance/).

Items are held-out corrections of the cluster: the prompt that serves answers them with and without the rule, scored by the agent's metric. A guard of other
approved examples, those first that the wrong answer is right for, fires unless a loss on them is ruled out: a rule that says "always that" gains on its
cluster and is not proposed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from uuid import UUID

from learning_pipelines.acceptance import meeting
from learning_pipelines.acceptance.beginning import needed
from learning_pipelines.acceptance.behavior_proposing import propose
from learning_pipelines.acceptance.gate import Evidence, Rules, Verdict
from learning_pipelines.acceptance.guards import FEWEST as FEWEST_GUARDING
from learning_pipelines.behavior.corrections.rules import Rule, as_messages
from learning_pipelines.prompts.task import Item
from learning_pipelines.settings import Settings
from learning_pipelines.storage import acceptance, behavior_versions
from learning_pipelines.storage.correction_rows import Member
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.tenants import AgentRef

KIND: Literal["rules"] = "rules"
GUARD = "other approved examples"
MOST_ITEMS, MOST_GUARDING = 120, 40
MORE = 1.2
"""So many times as many held-out corrections as last time make it worth testing the same rule again."""
Score = Callable[[Sequence[str], Sequence[Item]], list[float]]
"""Scores 0 … 1 of items, answered with these rules shown."""
Open = Callable[[], Score]
"""Opens what scores. Called before a level is spent: what cannot score, or may not decide, costs no test."""


@dataclass(frozen=True, slots=True)
class Tested:
    """What came of a rule. `reason`: why it is not proposed; `before`, `after`: mean score on held-out corrections without and with it; `calls`: answers
    that were asked for."""

    cluster: str
    state: Literal["proposed", "unchanged", "incoherent", "too few", "too dear", "not better"]
    reason: str = ""
    version: int | None = None
    proposal: UUID | None = None
    evidence: Evidence | None = None
    calls: int = 0
    numbers: dict[str, float] = field(default_factory=dict)


def meet(
    connection: Connection, agent: AgentRef, settings: Settings, rule: Rule, held_out: Sequence[Member], others: Sequence[Item], opened: Open, *,
    prompt: str, model: str, calls_left: int, run_id: UUID, dagster_run_id: str | None,
) -> Tested:  # fmt: skip
    """Tests and proposes a rule, or says why not. `others`: approved examples that it must not harm; `prompt`: content hash of the one that serves;
    `calls_left`: answers that may still be asked for: of more corrections than they cover the oldest are tested on. The level is spent before the first is
    scored; a run that resumes gets its own test back."""
    serving = _serving(connection, agent, rule.cluster)
    against, old = (0, []) if serving is None else (serving.number, [str(text) for text in serving.config.get("rules", [])])
    found, guarding = [Item(one.example_id, one.input, one.corrected) for one in held_out[:MOST_ITEMS]], others[:MOST_GUARDING]
    items = found[: max(0, calls_left // 2 - len(guarding))]
    candidate, incumbent = {"topic": rule.cluster, "rule": rule.fingerprint}, {"prompt": prompt, "rules": against, "model": model}
    before = [one for one in acceptance.tests(connection, agent, KIND) if one.candidate == candidate and one.incumbent == incumbent]
    concluded = [one for one in before if one.verdict is not None]
    own = [one for one in before if one.training_run_id == run_id]
    if rule.text in old:
        return Tested(rule.cluster, "unchanged", f"version {against}, which serves, says the same")
    if not own and (said := _tested(connection, agent, concluded, len(items))):
        return Tested(rule.cluster, "unchanged", said)
    if not own and (said := _too_few(connection, agent, settings, found, others)):
        return Tested(rule.cluster, "too few", said)
    if not own and (said := _too_dear(connection, agent, settings, found, len(items), len(guarding), calls_left)):
        return Tested(rule.cluster, "too dear", said)
    calls, score = 2 * (len(items) + len(guarding)), opened()
    reserved = meeting.reserve(connection, agent, KIND, [item.id for item in items], candidate=candidate, incumbent=incumbent, training_run_id=run_id)
    evidence = meeting.concluded(reserved) or _concluded(connection, agent, settings, reserved, old, rule, items, guarding, score)
    numbers = {"before": evidence.incumbent_mean, "after": evidence.candidate_mean, "held_out": float(evidence.n)}
    if evidence.verdict is not Verdict.BETTER:
        return Tested(rule.cluster, "not better", evidence.reason, None, None, evidence, calls, numbers)
    number, proposal = propose(
        connection, agent, settings, kind="playbook", subject_kind=KIND, topic=rule.cluster, config=rule.as_json(),
        metrics={"test": evidence.as_json(), **numbers}, evidence=evidence.as_json(), incumbent=against, run_id=run_id, dagster_run_id=dagster_run_id,
    )  # fmt: skip
    return Tested(rule.cluster, "proposed", "", number, proposal, evidence, calls, numbers)


def messages_of(texts: Sequence[str], settings: Settings) -> Any:
    """A guide (prompts/evaluation.py) that shows the same rules before every input."""
    shown = as_messages(texts, settings.guidance_tokens)
    return lambda text, id=None, also=(): shown


def _concluded(
    connection: Connection, agent: AgentRef, settings: Settings, reserved: acceptance.Reservation, old: Sequence[str], rule: Rule, items: Sequence[Item],
    others: Sequence[Item], score: Score,
) -> Evidence:  # fmt: skip
    asked = [*items, *others]
    without, having = score(old, asked), score([rule.text], asked)
    pairs = list(zip(without, having, strict=True))
    scores = {item.id: pair for item, pair in zip(items, pairs, strict=False)}
    return meeting.conclude(connection, agent, reserved, scores, Rules.of(settings), outside={GUARD: pairs[len(items) :]})


def _serving(connection: Connection, agent: AgentRef, cluster: str) -> behavior_versions.BehaviorVersion | None:
    number = behavior_versions.label_target(connection, agent, KIND, "serving", cluster)
    return behavior_versions.version(connection, agent, KIND, number) if number else None


def _tested(connection: Connection, agent: AgentRef, before: Sequence[acceptance.Reservation], items: int) -> str:
    if not before:
        return ""
    seen = len(acceptance.item_scores(connection, agent, before[-1].id))
    if items >= MORE * seen:
        return ""
    return f"the same rule was tested on {seen} held-out corrections ({before[-1].verdict}); it can be on {items} now"


def _too_few(connection: Connection, agent: AgentRef, settings: Settings, items: Sequence[Item], others: Sequence[Item]) -> str:
    if not items:
        return "no correction of it is held out: further people's corrections bring some"
    planned = meeting.next_plan(connection, agent, KIND, [item.id for item in items], Rules.of(settings))
    if not planned.enough:
        return f"{len(items)} held-out corrections, {needed(planned, 'these')}"
    if len(others) < FEWEST_GUARDING:
        return f"{len(others)} other approved examples, {FEWEST_GUARDING} are needed to see whether the rule harms: approve more examples"
    return ""


def _too_dear(
    connection: Connection, agent: AgentRef, settings: Settings, found: Sequence[Item], covered: int, guarding: int, calls_left: int
) -> str:
    """`covered`: as many of the items as the answers that are left cover, twice, beside those of the guard."""
    if covered == len(found):
        return ""
    enough = meeting.next_plan(connection, agent, KIND, [item.id for item in found], Rules.of(settings)).needed
    if covered >= enough:
        return ""
    return f"its test takes {2 * (enough + guarding)} answers, {max(0, calls_left)} are left of LEARNING_OPTIMIZATION_CALLS"
