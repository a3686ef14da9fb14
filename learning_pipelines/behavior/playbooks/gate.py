"""A playbook meets what serves for its task type on held-out demonstrations, and becomes a version with a proposal if, and only if, it is better.

Belongs here: what is tested against what, when nothing is, version and proposal. Not here: making playbooks (learning.py), statistics (acceptance/).

An item is a held-out demonstration (split test); its score the share of its steps, the end among them, of which the playbook says the type. Where no
playbook serves for the type, the incumbent always says what is most frequent in the demonstrations that teach.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal
from uuid import UUID

from learning_pipelines.acceptance import meeting
from learning_pipelines.acceptance.beginning import needed
from learning_pipelines.acceptance.behavior_proposing import propose
from learning_pipelines.acceptance.gate import Evidence, Rules, Verdict
from learning_pipelines.behavior.playbooks import render
from learning_pipelines.behavior.playbooks.playbook import Playbook
from learning_pipelines.behavior.task import Shown, State
from learning_pipelines.settings import Settings
from learning_pipelines.storage import acceptance, behavior_versions
from learning_pipelines.storage.behavior_demonstrations import withdrawn
from learning_pipelines.storage.behavior_versions import BehaviorVersion
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.tenants import AgentRef

KIND: Final = "playbook"
NOTHING = 0
MORE = 1.2
"""So many times as many held-out demonstrations as last time make it worth testing the same advice again."""
State_ = Literal["proposed", "unchanged", "too few", "not better"]


@dataclass(frozen=True, slots=True)
class Tested:
    """What came of a playbook. `reason`: why it is not proposed. `numbers`: of the test, if there was one."""

    task_type: str
    state: State_
    reason: str = ""
    version: int | None = None
    proposal: UUID | None = None
    evidence: Evidence | None = None
    against: int = NOTHING
    numbers: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A playbook with what its version keeps beside it: the flow, and the ids of all demonstrations that it was learnt from. `most_frequent`: the action
    that is always advised where nothing serves."""

    playbook: Playbook
    mermaid: str
    learnt_from: tuple[str, ...]
    most_frequent: str


def score(advise: Callable[[State], str], shown: Shown) -> float:
    """The share of a demonstration's steps, the end included, whose type was advised; 0–1."""
    steps = shown.steps()
    return sum(advise(state) == after for state, after in steps) / len(steps)


def meet(
    connection: Connection, agent: AgentRef, settings: Settings, made: Candidate, test: Sequence[Shown], run_id: UUID, dagster_run_id: str | None
) -> Tested:
    """Tests and proposes a playbook, or says why not. `test`: held-out demonstrations of its type that succeeded. The level is spent before the first is
    scored; a run that resumes gets its own test back."""
    playbook, most_frequent = made.playbook, made.most_frequent
    serving = serving_of(connection, agent, playbook.task_type)
    against = NOTHING if serving is None else serving.number
    old = None if serving is None else Playbook.from_json(serving.config)
    candidate, incumbent = _named(playbook), {"version": against, "says": most_frequent if old is None else old.advice()}
    if said := _known(connection, agent, playbook, serving):
        return Tested(playbook.task_type, "unchanged", said, against=against)
    rules, items = Rules.of(settings), sorted(one.id for one in test)
    before = _tests(connection, agent, candidate, incumbent)
    own = [one for one in before if one.training_run_id == run_id]
    if not own and (said := _tested(connection, agent, before, len(items))):
        return Tested(playbook.task_type, "unchanged", said, against=against)
    if not own and (said := _too_few(connection, agent, items, rules)):
        return Tested(playbook.task_type, "too few", said, against=against)
    reserved = meeting.reserve(connection, agent, KIND, items, candidate=candidate, incumbent=incumbent, training_run_id=run_id)
    scores = {one.id: (score(old.next if old is not None else lambda _: most_frequent, one), score(playbook.next, one)) for one in test}
    evidence = meeting.concluded(reserved) or meeting.conclude(connection, agent, reserved, scores, rules)
    numbers = {"incumbent": evidence.incumbent_mean, "candidate": evidence.candidate_mean, "held_out": float(evidence.n)}
    if evidence.verdict is not Verdict.BETTER:
        return Tested(playbook.task_type, "not better", evidence.reason, None, None, evidence, against, numbers)
    number, proposal = propose(
        connection, agent, settings, kind=KIND, subject_kind=KIND, topic=playbook.task_type, config=config_of(made),
        metrics={"test": evidence.as_json(), "step_accuracy": evidence.candidate_mean}, evidence=evidence.as_json(), incumbent=against, run_id=run_id,
        dagster_run_id=dagster_run_id,
    )  # fmt: skip
    return Tested(playbook.task_type, "proposed", "", number, proposal, evidence, against, numbers)


def serving_of(connection: Connection, agent: AgentRef, task_type: str) -> BehaviorVersion | None:
    """The playbook that serves for a task type; None where none does."""
    number = behavior_versions.label_target(connection, agent, KIND, "serving", task_type)
    return behavior_versions.version(connection, agent, KIND, number) if number else None


def _named(playbook: Playbook) -> dict[str, Any]:
    return {"topic": playbook.task_type, "says": playbook.advice()}


def config_of(made: Candidate) -> dict[str, Any]:
    """What a version keeps."""
    said = {"text": render.text(made.playbook), "markdown": render.markdown(made.playbook), "mermaid": made.mermaid}
    return made.playbook.as_json() | said | {"learnt_from": list(made.learnt_from)}


def _known(connection: Connection, agent: AgentRef, playbook: Playbook, serving: BehaviorVersion | None) -> str:
    """Why this advice is not proposed again, if it was before; ''."""
    says = playbook.advice()
    if serving is not None and serving.config.get("advice") == says:
        return f"version {serving.number}, which serves, advises the same"
    newest = next((one for one in behavior_versions.listed(connection, agent, KIND) if one.topic == playbook.task_type), None)
    if newest is None or not withdrawn(connection, agent).isdisjoint(newest.config.get("learnt_from", [])):
        return ""
    if newest.config.get("advice") == says and newest.parent == (NOTHING if serving is None else serving.number):
        return f"version {newest.number}, which was proposed before, advises the same"
    return ""


def _tests(connection: Connection, agent: AgentRef, candidate: Mapping[str, Any], incumbent: Mapping[str, Any]) -> list[acceptance.Reservation]:
    return [one for one in acceptance.tests(connection, agent, KIND) if one.candidate == candidate and one.incumbent == incumbent]


def _too_few(connection: Connection, agent: AgentRef, items: Sequence[str], rules: Rules) -> str:
    if not items:
        return "no held-out demonstration of it: further ones bring some"
    planned = meeting.next_plan(connection, agent, KIND, items, rules)
    if planned.enough:
        return ""
    return (
        f"{len(items)} held-out demonstrations, {needed(planned, 'these')}: "
        f"about {planned.missing_examples} more demonstrations of this task type bring them"
    )


def _tested(connection: Connection, agent: AgentRef, before: Sequence[acceptance.Reservation], items: int) -> str:
    """Whether the same was tested on nearly as many: it is not asked again until there is more to see."""
    if not before:
        return ""
    seen = len(acceptance.item_scores(connection, agent, before[-1].id))
    if items >= MORE * seen:
        return ""
    return f"the same advice was tested on {seen} held-out demonstrations ({before[-1].verdict or 'without a verdict'}); there are {items} now"
