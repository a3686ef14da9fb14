"""`evaluate behavior` as typed: what it prints before and after something learnt serves, which policy is meant, bad lines, what is already known.

Belongs here: the verb over an encoder without a model. Not here: learning and scoring (behavior/test_policy.py), who approves.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from learning_pipelines import cli_store
from learning_pipelines.behavior.policy import files
from learning_pipelines.behavior.policy.fitting import fit
from learning_pipelines.behavior.task import Shown
from learning_pipelines.cli import main
from learning_pipelines.examples.refresh import refresh_examples
from learning_pipelines.retrieval.artifacts import put_folder
from learning_pipelines.retrieval.encoders import Encoders
from learning_pipelines.settings import Settings
from learning_pipelines.storage import behavior_versions
from learning_pipelines.storage.tenants import agents
from learning_pipelines_tests.behavior.made import desk, words
from learning_pipelines_tests.cli.command_line import Ended, call, database_of, write_rows
from learning_pipelines_tests.cli.conftest import Load

Evaluate = Callable[..., Ended]
_numbers = itertools.count(1)


def rows(shown: Sequence[Shown], agent: str = "desk") -> list[dict[str, Any]]:
    return [
        {
            "demonstration_id": one.id, "agent": agent, "task_description": one.task, "final_output": "Done.",
            "actions": [{"type": step.type, "arguments": step.arguments, "context": step.context} for step in one.actions],
        }
        for one in shown
    ]  # fmt: skip


@pytest.fixture
def organization(home: Path, load_rows: Load) -> str:
    """An agent with 30 demonstrations that count, and one without any."""
    name = f"behaves-{next(_numbers)}"
    load_rows("agents", [{"agent": "desk"}, {"agent": "bare"}], name)
    load_rows("demonstrations", rows(desk(30, 1)), name)
    with database_of(home).connect("pipeline") as connection:
        refresh_examples(connection, agents(connection, name, "desk")[0])
    return name


@pytest.fixture
def evaluate(home: Path, organization: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Evaluate:
    """Without a process for each; the first test is one."""
    monkeypatch.setattr(cli_store, "load_settings", lambda: Settings(home=home, database_url=None))
    monkeypatch.setattr(Encoders, "base", lambda self: words())
    file = write_rows(tmp_path / "held_out.jsonl", rows(desk(20, 9, 900)))

    def run(*more: str, agent: str = "desk", file: Path = file) -> Ended:
        typed = ["evaluate", "behavior", "--agent", agent, "--demonstrations", str(file), *more, "--organization", organization, "--json"]
        ended = CliRunner().invoke(main, typed)
        return Ended(ended.exit_code, ended.stdout, ended.stderr)

    return run


def learnt(home: Path, organization: str, folder: Path, label: behavior_versions.Label) -> None:
    policy = fit(desk(30, 1), [], words(), 0)
    files.save(policy.learnt, folder / "policy")
    with database_of(home).connect("pipeline") as connection:
        agent = agents(connection, organization, "desk")[0]
        made = put_folder(Settings(home=home, database_url=None), agent, folder / "policy")
        number = behavior_versions.add(connection, agent, "policy", config={}, metrics={}, artifact=(made.path, made.sha256))
        behavior_versions.point(connection, agent, "policy", label, number, None)


def test_before_anything_learnt_serves_it_scores_the_transition_model_and_says_so(home: Path, organization: str, tmp_path: Path) -> None:
    file = write_rows(tmp_path / "held_out.jsonl", rows(desk(20, 9, 900)))
    ended = call(home, "evaluate", "behavior", "--agent", "desk", "--demonstrations", file, "--organization", organization, "--json")
    found = ended.document
    assert ended.code == 0 and "No learnt policy is scored" in ended.err
    assert (found["policy"], found["demonstrations"], found["in_train"], found["rejected"]) == (0, 20, 0, 0)
    assert found["n"] == sum(len(one.actions) + 1 for one in desk(20, 9, 900))
    assert found["top1"] == found["baselines"]["transition"] > found["baselines"]["most_frequent"]
    assert found["interval"][0] < found["top1"] < found["interval"][1] and found["top1"] < found["top3"]


def test_what_serves_is_scored_beside_its_own_baselines(home: Path, organization: str, evaluate: Evaluate, tmp_path: Path) -> None:
    learnt(home, organization, tmp_path, "serving")
    found = evaluate().document
    assert found["policy"] == 1 and found["top1"] > 0.9 > found["baselines"]["transition"]
    assert found["differences"]["transition"]["interval"][0] > 0 and found["calibration_error"] < 0.1
    assert evaluate("--policy", "0").document["top1"] == found["baselines"]["transition"]


def test_the_candidate_can_be_scored_before_it_serves(home: Path, organization: str, evaluate: Evaluate, tmp_path: Path) -> None:
    learnt(home, organization, tmp_path, "candidate")
    assert [evaluate("--policy", name).document["policy"] for name in ("serving", "candidate", "1")] == [0, 1, 1]


def test_demonstrations_that_policies_learn_from_are_counted_and_said(evaluate: Evaluate, tmp_path: Path) -> None:
    known = desk(30, 1)
    file = write_rows(tmp_path / "known.jsonl", rows([*known[:4], *desk(5, 9, 900)]))
    ended = evaluate(file=file)
    assert ended.document["in_train"] == 4 and "4 of the 9 demonstrations are in the train split" in ended.err


def test_bad_lines_are_listed_and_the_good_ones_are_scored(evaluate: Evaluate, tmp_path: Path) -> None:
    good, other, bad = rows(desk(1, 9, 900)), rows(desk(1, 9, 901), "other"), rows(desk(1, 9, 902))
    failed = [{**rows(desk(1, 9, 903))[0], "outcome": "failure"}]
    ended = evaluate(file=write_rows(tmp_path / "some.jsonl", [*good, {**bad[0], "actions": []}, *other, *failed]))
    assert (ended.code, ended.document["demonstrations"], ended.document["rejected"], ended.document["failed"]) == (1, 1, 1, 1)
    assert [(error["line"], error["field"]) for error in ended.document["errors"]] == [(2, "actions")]
    assert "1 lines are of other agents" in ended.err


@pytest.mark.parametrize(
    ("given", "said", "code"),
    [
        ({"agent": "nobody"}, "There is no agent 'nobody'", 2),
        ({"more": ("--policy", "9")}, "has no policy '9'", 2),
        ({"more": ("--policy", "candidate")}, "nothing learnt yet", 2),
        ({"agent": "bare", "rows": "bare"}, "no demonstrations to count transitions in", 1),
        ({"rows": "other"}, "are of other", 2),
        ({"rows": None}, "it is empty", 2),
    ],
)
def test_what_cannot_be_scored_is_said(evaluate: Evaluate, tmp_path: Path, given: dict[str, Any], said: str, code: int) -> None:
    agent = given.get("rows", "desk")
    file = write_rows(tmp_path / "given.jsonl", [] if agent is None else rows(desk(2, 9, 900), agent))
    ended = evaluate(*given.get("more", ()), agent=given.get("agent", "desk"), file=file)
    assert ended.code == code and said in ended.err, ended.err
