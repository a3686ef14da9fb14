"""A candidate meets the incumbent on the test split: planned, reserved before the first item is scored, concluded once.

Belongs here: the order of these steps and the rules they share. Not here: the statistics (gate.py), scoring (prompts/, retrieval/, behavior/),
what a verdict leads to (proposals).

    plan = next_plan(connection, agent, "prompt", items, rules)                     # not plan.enough: say what is missing, search nothing
    test = reserve(connection, agent, "prompt", items, candidate={…}, incumbent={…}, training_run_id=run)
    evidence = concluded(test) or conclude(connection, agent, test, scores, rules)  # scores: example id → (incumbent's, candidate's)

Guards (guards.py) watch over parts of the items and over other items: where one fires, the verdict is not better. They are stored with the
evidence, the parts with the items, so that all of it can be computed again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any
from uuid import UUID

from learning_pipelines.acceptance.alpha import spent
from learning_pipelines.acceptance.gate import Evidence, Rules, decide, deviations, recompute
from learning_pipelines.acceptance.guards import Guard, guarded, guards_of
from learning_pipelines.acceptance.power import Plan, plan
from learning_pipelines.errors import LearningError
from learning_pipelines.storage import acceptance as storage
from learning_pipelines.storage.acceptance import Reservation
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.tenants import AgentRef


def next_plan(connection: Connection, agent: AgentRef, kind: str, example_ids: Sequence[str], rules: Rules) -> Plan:
    """What the next test on these items could see, at the level that it would really have. Spends nothing.

    Not for a run that resumes: its own test would count as an earlier one.
    """
    k = storage.earlier_tests(connection, agent, kind, example_ids) + 1
    return plan(len(example_ids), k, effect=rules.planned_effect, min_effect=rules.min_effect, test_share=rules.test_share)


def reserve(
    connection: Connection,
    agent: AgentRef,
    kind: str,
    example_ids: Sequence[str],
    *,
    candidate: Mapping[str, Any],
    incumbent: Mapping[str, Any],
    training_run_id: UUID | None = None,
) -> Reservation:
    """Spends the level of the next test on these items; a run that resumes gets its own test back (storage.reserve_test). `candidate` and
    `incumbent` name what is compared by what it is (a version, a content hash): the same description is the same test."""
    return storage.reserve_test(connection, agent, kind, example_ids, candidate=candidate, incumbent=incumbent, level=spent, training_run_id=training_run_id)


def test_of(connection: Connection, agent: AgentRef, kind: str, training_run_id: UUID) -> Reservation | None:
    """The test that a training run put its candidate to; None if it spent none."""
    return next((test for test in reversed(storage.tests(connection, agent, kind)) if test.training_run_id == training_run_id), None)


def concluded(test: Reservation) -> Evidence | None:
    """The evidence of a test that has its verdict; None while it waits for its scores."""
    return None if test.verdict is None else Evidence.from_json(test.evidence)


def conclude(
    connection: Connection, agent: AgentRef, test: Reservation, scores: Mapping[str, tuple[float, float]], rules: Rules, *,
    slices: Mapping[str, AbstractSet[str]] | None = None, outside: Mapping[str, Sequence[tuple[float, float]]] | None = None,
) -> Evidence:  # fmt: skip
    """Decides the test by the scores of its items (example id → incumbent's and candidate's, 0 … 1) and stores both.

    `slices`: parts of the items that must not be harmed (name → ids); `outside`: scores of other items that must not be (name → pairs).
    Raises BadInput where an item is missing, too much or not scored between 0 and 1, LearningError where the test has its verdict.
    """
    ordered, parts, others = dict(sorted(scores.items())), slices or {}, outside or {}
    guards = guards_of(ordered, parts, others)
    evidence = guarded(decide([each[0] for each in ordered.values()], [each[1] for each in ordered.values()], k=test.k, rules=rules), guards)
    stored = evidence.as_json()
    if guards:
        stored |= {"guards": [one.as_json() for one in guards], "outside": {name: [list(pair) for pair in pairs] for name, pairs in others.items()}}
    storage.finish_test(connection, agent, test.id, ordered, verdict=evidence.verdict.value, evidence=stored, slices=parts)
    return evidence


def guards(test: Reservation) -> list[Guard]:
    """What the guards of a finished test said, in the order of their names; [] of a test without."""
    return [Guard.from_json(one) for one in test.evidence.get("guards", [])]


def audit(connection: Connection, agent: AgentRef, test: Reservation) -> list[str]:
    """Computes a finished test again from its stored items: the names of what differs from the stored evidence and verdict, [] if nothing does.

    Raises LearningError where the test is not finished.
    """
    if test.verdict is None:
        raise LearningError(f"The test {test.id} has no verdict yet.", "Finish it first.")
    items = [each for each in storage.item_scores(connection, agent, test.id) if each.incumbent is not None and each.candidate is not None]
    scores = {each.example_id: (float(each.incumbent or 0), float(each.candidate or 0)) for each in items}
    before = guards(test)
    slices = {one.name: {each.example_id for each in items if one.name in each.slices} for one in before}
    outside = {name: [(pair[0], pair[1]) for pair in pairs] for name, pairs in test.evidence.get("outside", {}).items()}
    found = guards_of(scores, {name: ids for name, ids in slices.items() if name not in outside}, outside)
    again = guarded(recompute(test.evidence, [one for one, _ in scores.values()], [other for _, other in scores.values()]), found)
    stored = test.evidence | {"k": test.k, "alpha": test.alpha, "verdict": test.verdict}
    return [*deviations(stored, again), *(f"guard {one.name}" for one, now in zip(before, found, strict=True) if not one.same(now))]
