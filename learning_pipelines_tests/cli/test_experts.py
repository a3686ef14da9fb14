"""`learning-pipelines experts`: who demonstrated, whose right is withdrawn and given back; demonstrations as the command line takes them.

Belongs here: what is typed, printed and stored. Not here: capture (feedback/test_demonstrations.py), what learning sees (behavior/).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from learning_pipelines.behavior.demonstrations import load as loaded
from learning_pipelines.examples.refresh import refresh_examples
from learning_pipelines.settings import Settings
from learning_pipelines.storage.installation import ready_store
from learning_pipelines_tests.behavior.shown import demonstration
from learning_pipelines_tests.cli.command_line import call
from learning_pipelines_tests.cli.conftest import Import, Load
from learning_pipelines_tests.feedback.rows import AGENT, agent_ref, execution, table


def shown(load_rows: Load, organization: str) -> None:
    load_rows("agents", [AGENT], organization)
    load_rows("executions", [execution("e1", user="ada")], organization)
    load_rows("demonstrations", [demonstration("d1", expert="eve"), demonstration("d2", expert="eve"), demonstration("d3", expert="bob")], organization)


def taught(home: Path, organization: str) -> list[str]:
    with ready_store(Settings(home=home, database_url=None)).pipeline() as connection:
        agent = agent_ref(connection, organization=organization)
        refresh_examples(connection, agent)
        return [one.id for one in loaded(connection, agent)]


def people(home: Path, organization: str) -> dict[str, str]:
    """Who has which role."""
    with ready_store(Settings(home=home, database_url=None)).pipeline() as connection:
        mine = agent_ref(connection, organization=organization).organization_id
        return {row["external_id"]: row["role"] for row in table(connection, "users", f"organization_id = '{mine}'")}


def listed(home: Path, organization: str) -> list[tuple[Any, ...]]:
    rows = call(home, "experts", "list", "--organization", organization, "--json").document["experts"]
    return [(one["user"], one["role"], one["demonstrations"], one["withdrawn_at"] is not None) for one in rows]


def test_an_expert_whose_right_is_withdrawn_leaves_and_comes_back(home: Path, load_rows: Load) -> None:
    shown(load_rows, "experts-1")
    done = [call(home, "experts", "withdraw", "eve", "--organization", "experts-1", "--json").document for _ in range(2)]
    assert [(one["user"], one["withdrawn"], one["changed"], one["demonstrations"]) for one in done] == [("eve", True, True, 2), ("eve", True, False, 2)]
    assert listed(home, "experts-1") == [("bob", "expert", 1, False), ("eve", "user", 2, True)]
    assert taught(home, "experts-1") == ["d3"]
    assert "their 2 demonstrations will be learnt from" in call(home, "experts", "restore", "eve", "--organization", "experts-1").out
    assert (people(home, "experts-1")["eve"], taught(home, "experts-1")) == ("expert", ["d1", "d2", "d3"])
    with ready_store(Settings(home=home, database_url=None)).pipeline() as connection:
        organization = agent_ref(connection, organization="experts-1").organization_id
        kept = table(connection, "audit_log", f"subject_kind = 'expert' AND organization_id = '{organization}'")
    assert [(row["actor"], row["action"]) for row in kept] == [("operator", "withdrawn"), ("operator", "restored")]
    assert "eve" not in str(kept)


def test_a_right_can_be_withdrawn_before_it_is_used_and_makes_no_expert_when_given_back(home: Path, load_rows: Load, import_rows: Import) -> None:
    shown(load_rows, "experts-2")
    assert call(home, "experts", "withdraw", "ada", "--organization", "experts-2").code == 0
    ended = import_rows("demonstrations", [demonstration("d4", expert="ada")], "experts-2")
    assert (ended.code, ended.document["errors"][0]["field"]) == (1, "expert")
    assert "experts restore" in ended.document["errors"][0]["reason"]
    assert call(home, "experts", "restore", "ada", "--organization", "experts-2").code == 0
    assert people(home, "experts-2")["ada"] == "user"


def test_somebody_unknown_is_refused_with_the_next_step(home: Path, load_rows: Load) -> None:
    shown(load_rows, "experts-3")
    load_rows("agents", [AGENT], "experts-4")
    for action, user, organization in (("withdraw", "nobody", "experts-3"), ("restore", "eve", "experts-4")):
        ended = call(home, "experts", action, user, "--organization", organization)
        assert (ended.code, ended.out) == (2, "")
        assert f"{organization} knows nobody called '{user}'" in ended.err and "experts list" in ended.err


def test_a_list_of_nobody_says_how_experts_come_to_be(home: Path, load_rows: Load) -> None:
    load_rows("agents", [AGENT], "experts-5")
    assert "import demonstrations" in call(home, "experts", "list", "--organization", "experts-5").out


def test_one_demonstration_is_captured_by_import_and_a_bad_one_names_its_line_and_field(home: Path, load_rows: Load, tmp_path: Path) -> None:
    load_rows("agents", [AGENT], "experts-6")
    one = tmp_path / "demonstration.jsonl"
    one.write_text('{"agent": "desk", "task_description": "Close the month", "actions": [{"type": "open"}], "final_output": "Closed.", "expert": "eve"}')
    assert call(home, "import", "demonstrations", one, "--organization", "experts-6").out.strip() == (
        "demonstrations: 1 read, 1 imported, 0 unchanged, 0 rejected."
    )
    one.write_text('{"agent": "desk", "task_description": "Close the month", "actions": [{"type": "<end>"}], "final_output": "Closed."}')
    ended = call(home, "import", "demonstrations", one, "--organization", "experts-6")
    assert ended.code == 1
    assert "line 1, actions.0.type: <end> is reserved" in ended.out
