"""Whatever order events come in and wherever portions are cut: totals and states are those of all events counted at once, by a model in plain Python.

Belongs here: the comparison with the model. Not here: single rules (test_collecting.py).
"""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest

from learning_pipelines.experiments.collecting import RATIOS, collect
from learning_pipelines.experiments.unit_sums import UnitSums
from learning_pipelines.storage import experiment_units
from learning_pipelines.storage.database import Connection
from learning_pipelines_tests.conftest import Load
from learning_pipelines_tests.experiments.world import Trial, said, trial

ARM = {"ann": "control", "bob": "treatment", "cid": "control", "dan": "treatment"}
Row = dict[str, Any]


@pytest.mark.parametrize("seed", [1, 2])
def test_what_is_collected_bit_by_bit_is_what_counting_at_once_gives(pipeline: Connection, load: Load, seed: int) -> None:
    rng, one = random.Random(seed), trial(pipeline, load)
    for unit, variant in ARM.items():
        one.expose(pipeline, unit, variant)
    executions = [_execution(rng, one, number) for number in range(40)]
    feedback = [_feedback(rng, number, rng.choice(executions)["execution_id"]) for number in range(80)]
    events = [("executions", row) for row in executions] + [("feedback", row) for row in feedback]
    rng.shuffle(events)
    while events:
        some, events = events[: (size := rng.randint(5, 40))], events[size:]
        for kind in ("feedback", "executions"):
            load(kind, [row for of, row in some if of == kind])
        collect(pipeline, portion=rng.choice([3, 1000]))
    found = {unit.unit: unit for unit in experiment_units.units(pipeline, one.agent.organization_id, one.id)}
    expected = _totals(executions, feedback)
    assert {name: unit.totals for name, unit in found.items()} == {name: pytest.approx(totals) for name, totals in expected.items()}
    states = experiment_units.states(pipeline, one.agent.organization_id, one.id)
    for name, numerator, denominator in RATIOS:
        for variant in ("control", "treatment"):
            rows = [(expected[unit].get(numerator, 0), expected[unit].get(denominator, 0)) for unit in expected if ARM[unit] == variant]
            kept = UnitSums.from_json(states.get((name, 1, variant), {}))
            assert kept.as_json() == pytest.approx(UnitSums.of(rows).as_json(), rel=1e-12, abs=1e-9), name


def _execution(rng: random.Random, one: Trial, number: int) -> Row:
    unit = rng.choice(list(ARM))
    said_by = {"output": rng.choice(["Like this.", "I cannot help with that."]), "latency_ms": rng.uniform(1, 900), "cost_usd": rng.choice([0.25, None])}
    return one.execution(f"e{number}", unit, ARM[unit], **said_by)


def _feedback(rng: random.Random, number: int, execution: str) -> Row:
    kind = rng.choice(["thumbs_up", "thumbs_down", "correction", "report_issue", "star_rating"])
    more: Row = {"correction": {"correction_text": "Better."}, "star_rating": {"rating": rng.randint(1, 5)}}.get(kind, {})
    if kind == "report_issue":
        more = {"issue_categories": rng.sample(["tone", "incorrect", "outdated"], rng.randint(1, 2))}
    if (person := rng.choice(["eve", "fay", None])) is not None:
        more |= {"user": person}
    return said(f"f{number}", execution, kind, days=rng.uniform(2.5, 6), agent="desk", **more)


def _totals(executions: list[Row], feedback: list[Row]) -> dict[str, dict[str, float]]:
    """Totals per unit, without what is nothing."""
    totals: dict[str, Counter[str]] = {}
    for execution in executions:
        mine = totals.setdefault(execution["context"]["unit"], Counter())
        about = [row for row in feedback if row["execution_id"] == execution["execution_id"]]
        in_force = [row for row in about if not any(_supersedes(other, row) for other in about)]
        mine.update({
            "executions": 1, "latency_ms": execution["latency_ms"], "latency_count": 1, "cost_usd": execution["cost_usd"] or 0,
            "cost_count": int(execution["cost_usd"] is not None), "refusals": int(execution["output"].startswith("I cannot")),
            "with_feedback": int(bool(about)), "corrections": int(any(row["feedback_type"] == "correction" for row in in_force)),
        })  # fmt: skip
        mine.update({f"issue:{name}": 1 for name in {name for row in in_force for name in row.get("issue_categories", ())}})
    return {unit: {key: value for key, value in mine.items() if value} for unit, mine in totals.items()}


def _supersedes(new: Row, old: Row) -> bool:
    same = new.get("user") is not None and (new.get("user"), new["feedback_type"]) == (old.get("user"), old["feedback_type"])
    return same and new["created_at"] > old["created_at"]
