"""`prompts`, `proposals`, `approve`, `reject`, `rollback`, `disable` and `enable` as typed: JSON, exit codes, what is refused.

Belongs here: the verbs. Not here: what approval checks (acceptance/test_approval.py), scoring (test_evaluate.py).
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from click.testing import CliRunner

from learning_pipelines import cli_store
from learning_pipelines.cli import main
from learning_pipelines.settings import Settings
from learning_pipelines.storage.tenants import agents
from learning_pipelines_tests.acceptance.proposing import learnt, proposed
from learning_pipelines_tests.cli.command_line import Ended, call, database_of
from learning_pipelines_tests.cli.conftest import Load

Run = Callable[..., Ended]
_numbers = itertools.count(1)


@pytest.fixture
def organization(load_rows: Load) -> str:
    """An organization of its own whose agent `desk` serves version 1."""
    name = f"prompts-{next(_numbers)}"
    load_rows("agents", [{"agent": "desk", "system_prompt": "You sort."}], name)
    return name


@pytest.fixture
def run(home: Path, organization: str) -> Run:
    return lambda *arguments: call(home, *arguments, "--organization", organization, "--json")


@pytest.fixture
def proposal(home: Path, organization: str) -> str:
    """A proposal to serve version 2."""
    with database_of(home).connect("pipeline") as connection:
        desk = agents(connection, organization, "desk")[0]
        return str(proposed(connection, desk, learnt(connection, desk), evidence={"difference": 0.3, "low": 0.1, "high": 0.5}, dagster_run_id="d-1"))


def versions(run: Run) -> dict[int, list[str]]:
    return {row["version"]: row["labels"] for row in run("prompts", "desk").document["versions"]}


def test_a_proposal_is_listed_approved_and_rolled_back(run: Run, proposal: str, home: Path, organization: str) -> None:
    (listed,) = run("proposals", "--state", "open", "--agent", "desk").document["proposals"]
    assert {key: listed[key] for key in ("id", "kind", "agent", "verdict", "state", "run_id")} == {
        "id": proposal, "kind": "prompt", "agent": "desk", "verdict": "better", "state": "open", "run_id": "d-1",
    }  # fmt: skip
    assert "version 2 against 1  +0.300 [+0.100, +0.500]" in call(home, "proposals", "--organization", organization).out
    approved = run("approve", proposal, "--rollout", "immediate", "--notes", "reads well")
    assert (approved.code, approved.document["id"], approved.document["state"]) == (0, proposal, "approved")
    assert versions(run) == {2: ["production", "candidate"], 1: ["previous"]}
    rolled = run("rollback", "desk")
    assert (rolled.code, rolled.document["state"], rolled.document["version"]) == (0, "rolled_back", 1)
    newest, first = run("prompts", "desk").document["versions"]
    keys = ("version", "labels", "strategy", "score", "verdict")
    assert [newest[key] for key in keys] == [2, ["candidate"], "few_shot", 0.9, "better"]
    assert [first[key] for key in keys] == [1, ["production", "previous"], None, None, None]


def test_a_canary_is_begun_and_taken_back_in_words(proposal: str, home: Path, organization: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli_store, "load_settings", lambda: Settings(home=home, database_url=None))
    begun = CliRunner().invoke(main, ["approve", proposal, "--rollout", "canary", "--organization", organization])
    assert begun.exit_code == 0 and "rolls it out, to 1 % of the traffic first" in begun.stdout
    back = CliRunner().invoke(main, ["rollback", "desk", "--organization", organization])
    assert back.exit_code == 0 and "version 1 serves instead of 2; the experiment " in back.stdout


def test_a_version_is_shown_as_plain_text_and_two_are_compared(run: Run, proposal: str, home: Path, organization: str) -> None:
    assert run("prompts", "desk", "--show", "serving").document["text"] == "[system]\nYou sort.\n"
    assert call(home, "prompts", "desk", "--show", "2", "--organization", organization).out == "[system]\nYou sort well.\n"
    changed = run("prompts", "desk", "--diff", "1", "candidate").document
    assert (changed["old"], changed["new"]) == (1, 2) and "-You sort.\n+You sort well." in changed["diff"]
    assert "are the same" in call(home, "prompts", "desk", "--diff", "1", "1", "--organization", organization).out


def test_rejecting_and_then_approving_is_refused(run: Run, proposal: str) -> None:
    assert run("reject", proposal, "--notes", "too long").document["state"] == "rejected"
    refused = run("approve", proposal)
    assert refused.code == 1 and "was rejected (too long)" in refused.document["error"]["cause"]


def test_a_disabled_agent_approves_nothing_until_it_is_enabled(run: Run, proposal: str) -> None:
    assert run("disable").document["agents"] == ["desk"]
    refused = run("approve", proposal)
    assert refused.code == 1 and "enable --agent desk" in refused.document["error"]["advice"]
    assert run("enable", "--agent", "desk").document["agents"] == ["desk"]


@pytest.mark.parametrize(
    ("typed", "code", "said"),
    [
        (["prompts", "nobody"], 2, "There is no agent 'nobody'"),
        (["prompts", "desk", "--show", "9"], 2, "has no prompt version 9"),
        (["prompts", "desk", "--diff", "1", "candidate"], 2, "has the label candidate"),
        (["prompts", "desk", "--show", "1", "--diff", "1", "1"], 2, "two questions"),
        (["proposals", "--agent", "nobody"], 2, "There is no agent 'nobody'"),
        (["approve", "7"], 2, "'7' is no id of a proposal"),
        (["approve", str(uuid4())], 2, "no such proposal"),
        (["approve", str(uuid4()), "--rollout", "canary"], 2, "no such proposal"),
        (["reject", str(uuid4())], 2, "no such proposal"),
        (["rollback", "desk"], 1, "nothing to roll back"),
        (["rollback", "desk", "--kind", "index"], 1, "nothing to roll back: no learnt index ever served"),
        (["rollback", "desk", "--kind", "policy"], 1, "nothing to roll back: no learnt policy ever served"),
        (["rollback", "desk", "--kind", "playbook", "--topic", "refund"], 1, "no learnt playbook of 'refund' ever served"),
        (["rollback", "desk", "--topic", "refund"], 2, "An agent has one prompt"),
        (["rollback", "nobody"], 2, "There is no agent 'nobody'"),
        (["disable", "--agent", "nobody"], 2, "There is no agent 'nobody'"),
    ],
)
def test_what_cannot_be_done_is_said_with_the_right_exit_code(
    home: Path, organization: str, monkeypatch: pytest.MonkeyPatch, typed: list[Any], code: int, said: str
) -> None:
    """Without a process for each: what a process adds is seen above."""
    monkeypatch.setattr(cli_store, "load_settings", lambda: Settings(home=home, database_url=None))
    ended = CliRunner().invoke(main, [*typed, "--organization", organization, "--json"])
    assert ended.exit_code == code and said in json.loads(ended.stdout)["error"]["cause"], ended.output
