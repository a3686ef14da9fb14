"""Faults in the life of experiments, planted one by one: the state machine must find each, or its stories prove little.

Belongs here: faults as changed lines of the product's own source. Not here: the machine (test_experiment_machine.py).
"""

from __future__ import annotations

import inspect
import types

import pytest

from learning_pipelines.api import experiments_serving
from learning_pipelines.experiments import assignment, finishing, lifecycle, looking
from learning_pipelines.storage import experiments
from learning_pipelines.storage.database import Connection
from learning_pipelines_tests.chaos.machines import tell
from learning_pipelines_tests.chaos.test_experiment_machine import Life

Change = tuple[types.ModuleType, str, str]
_ONLY_LIVING = 'not in ("running", "paused")'
_ASSIGNING = "AND e.status = 'running' AND a.learning_enabled"
FAULTS: dict[str, list[Change]] = {
    "one that was concluded is concluded again": [
        (lifecycle, f'{_ONLY_LIVING}:\n            raise _wrong_state(experiment, "concluded"',
         'not in ("running", "paused", "completed"):\n            raise _wrong_state(experiment, "concluded"'),
        (looking, _ONLY_LIVING, 'not in ("running", "paused", "completed")'),
    ],
    "weights change without a new epoch": [
        (lifecycle, 'if experiment.status == "running":\n            assert experiment.epoch is not None',
         "if False:\n            assert experiment.epoch is not None")],
    "weights that were changed during a pause are forgotten": [(lifecycle, "return before if same or", "return before if True or")],
    "a paused one still assigns": [(experiments, _ASSIGNING, "AND e.status IN ('running', 'paused') AND a.learning_enabled")],
    "a pause leaves its epoch open": [
        (lifecycle, 'experiments.end_epoch(connection, organization_id, experiment.id)\n        return _to(connection, agent, experiment, "paused"',
         'return _to(connection, agent, experiment, "paused"')],
    "an abort leaves it running": [
        (lifecycle, 'return _to(connection, agent, experiment, "cancelled", who, "aborted", notes)',
         "return Changed(_again(connection, agent, experiment), True)")],
    "an end leaves its epoch open": [(finishing, "experiments.end_epoch(connection, organization, experiment.id)", "pass")],
    "a unit changes its arm when weights change": [
        (experiments_serving, "where.variant if where.certain else self._row(agent, experiment, unit) or where.variant", "where.variant")],
    "an agent that may not learn still experiments": [(experiments, _ASSIGNING, "AND e.status = 'running'")],
    "two run on the same units": [(lifecycle, 'if other.status == "running" and not apart:', "if False:")],
    "the slices of a group are passed over": [
        (assignment, "return _holds(experiment.config.get(SLICE, ()),", "return True or _holds(experiment.config.get(SLICE, ()),")],
    "what has ended is started again": [(lifecycle, 'if experiment.status != "draft":', 'if experiment.status == "paused":')],
    "a change is written down twice": [
        (lifecycle, "    _audit(connection, agent, experiment, who, action, fields, experiment.status, after)",
         "    [_audit(connection, agent, experiment, who, action, fields, experiment.status, after) for _ in range(2)]")],
}  # fmt: skip
_USERS = (lifecycle, looking, finishing, assignment, experiments_serving)


def plant(module: types.ModuleType, old: str, new: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs the module's source with one place changed, and puts its functions and methods where those of the module are used."""
    source = inspect.getsource(module)
    assert old in source, f"{module.__name__} no longer holds the line: {old}"
    mutant = types.ModuleType(module.__name__)
    mutant.__dict__.update(__file__=module.__file__, __package__=module.__package__)
    names = dict(vars(module))
    exec(compile(source.replace(old, new), str(module.__file__), "exec"), mutant.__dict__)
    for name, was in names.items():
        is_now = mutant.__dict__.get(name)
        if not inspect.isfunction(was) or was.__module__ != module.__name__ or is_now is None:
            continue
        for user in {module, *_USERS}:
            for known, value in list(vars(user).items()):
                if value is was:
                    monkeypatch.setattr(user, known, is_now)
    if module is experiments_serving:
        monkeypatch.setattr(module, "ExperimentsServing", mutant.__dict__["ExperimentsServing"])


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_the_model_finds_a_planted_fault(pipeline: Connection, fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module, old, new in FAULTS[fault]:
        plant(module, old, new, monkeypatch)
    with pytest.raises((AssertionError, ExceptionGroup)):
        tell(Life, pipeline, stories=150, steps=30)
