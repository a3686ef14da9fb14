"""`experiments` as typed: drafts, their start and end, weights, lists, errors and exit codes.

Belongs here: the verbs. Not here: what may be done when (experiments/test_lifecycle.py), outside data (test_experiments_analyze.py).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from learning_pipelines.cli_experiments import experiments as group
from learning_pipelines.storage.tenants import agents
from learning_pipelines_tests.acceptance.proposing import learnt
from learning_pipelines_tests.cli.command_line import Ended, call, database_of
from learning_pipelines_tests.cli.conftest import Load


def three_versions(home: Path, load_rows: Load, organization: str) -> None:
    """An agent desk whose version 1 serves, with versions 2 and 3."""
    load_rows("agents", [{"agent": "desk", "system_prompt": "You sort."}], organization)
    with database_of(home).connect("pipeline") as connection:
        for number in (2, 3):
            learnt(connection, agents(connection, organization, "desk")[0], f"You sort well: {number}.")


def experiments(home: Path, organization: str, *arguments: str) -> Ended:
    return call(home, "experiments", *arguments, "--organization", organization)


VERBS = {"create", "start", "pause", "resume", "abort", "weights", "look", "conclude", "list", "show", "size", "analyze"}


def test_every_verb_explains_itself_and_answers_with_json() -> None:
    assert set(group.commands) == VERBS
    for name, command in group.commands.items():
        assert command.help, name
        assert "--json" in [spelling for option in command.params for spelling in option.opts], name


def test_a_size_is_planned_for_the_shares_that_are_meant(home: Path) -> None:
    asked = ("--metric", "latency_ms", "--effect", "-20", "--spread", "100", "--shares", "80,20", "--per-day", "500")
    planned = call(home, "experiments", "size", *asked, "--json")
    assert planned.code == 0, planned.err
    control, treatment = planned.document["arms"]
    assert control["units"] == pytest.approx(4 * treatment["units"], rel=0.01) and planned.document["days"] == planned.document["units"] / 500
    refused = call(home, "experiments", "size", "--effect", "0.1")
    assert refused.code == 2 and "Give its mean as baseline" in refused.err


def test_an_experiment_is_made_started_weighted_and_ended(home: Path, load_rows: Load) -> None:
    three_versions(home, load_rows, "lived")

    def answer(*arguments: str) -> dict[str, Any]:
        ended = experiments(home, "lived", *arguments, "--json")
        assert ended.code == 0, ended.err
        return ended.document

    made = answer(
        "create", "--agent", "desk", "--treatment", "shorter=2:25%", "--treatment", "3:0.25", "--name", "shorter", "--min-units", "50", "--option",
        "alpha=0.01", "--option", "tolerances.latency_ms=50", "--guardrail", "latency_ms",
    )  # fmt: skip
    assert (UUID(made["id"]), made["state"], made["decision"]) == (UUID(made["id"]), "draft", None)
    assert [(arm["variant"], arm["version"], arm["weight"]) for arm in made["arms"]] == [("control", 1, 0.5), ("shorter", 2, 0.25), ("treatment-2", 3, 0.25)]
    assert made["config"] == {"alpha": 0.01, "tolerances": {"latency_ms": 50.0}} and made["min_sample_size"] == 50
    assert answer("start", made["id"])["state"] == "running"
    assert [arm["weight"] for arm in answer("weights", made["id"], "control=0.8", "shorter=10%", "treatment-2=0.1")["arms"]] == [0.8, 0.1, 0.1]
    assert answer("abort", made["id"], "--notes", "not now")["state"] == "cancelled"
    assert [one["id"] for one in answer("list", "--agent", "desk", "--state", "cancelled")["experiments"]] == [made["id"]]
    again = experiments(home, "lived", "start", made["id"], "--json")
    assert again.code == 1 and "create a new experiment" in again.document["error"]["advice"]


def test_people_read_a_table_and_what_to_do_next(home: Path, load_rows: Load) -> None:
    three_versions(home, load_rows, "read")
    made = experiments(home, "read", "create", "--agent", "desk", "--treatment", "2")
    lines = made.out.splitlines()
    assert lines[0].startswith("prompt 2 against what serves  (") and lines[1] == "experiment on the prompt of desk by user: draft"
    assert lines[2].split() == ["arm", "version", "share", "units", "thumbs", "difference"] and lines[4].split() == ["treatment", "2", "50.0%", "0", "–"]
    assert "experiments start" in lines[-1]
    assert "prompt 2 against 1" in experiments(home, "read", "list").out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["create", "--agent", "desk", "--treatment", "99"], "There is no version 99 of desk's prompt"),
        (["create", "--agent", "desk", "--treatment", "2", "--option", "alpha"], "'alpha' is no option. An option is NAME=VALUE"),
        (["start", "seven"], "'seven' is no id of an experiment"), (["show", str(UUID(int=7))], "There is no such experiment"),
    ],
)  # fmt: skip
def test_bad_input_is_one_paragraph_and_exit_code_2(arguments: list[str], said: str, home: Path, load_rows: Load) -> None:
    if not database_is_ready(home, "refused"):
        three_versions(home, load_rows, "refused")
    ended = experiments(home, "refused", *arguments)
    assert (ended.code, ended.out) == (2, "") and said in ended.err


def database_is_ready(home: Path, organization: str) -> bool:
    if not home.exists():
        return False
    with database_of(home).connect("pipeline") as connection:
        return bool(agents(connection, organization, "desk"))
