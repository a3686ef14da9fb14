"""`playbooks`: what serves is told in plain language, and where nothing does, what to do about it."""

from __future__ import annotations

from pathlib import Path

from learning_pipelines.settings import Settings
from learning_pipelines.storage.installation import ready_store
from learning_pipelines.storage.tenants import agents
from learning_pipelines_tests.behavior.playbooks.stored import stored_playbook
from learning_pipelines_tests.cli.command_line import call
from learning_pipelines_tests.cli.conftest import Load


def test_playbooks_are_told_in_plain_language_with_their_flow(home: Path, load_rows: Load) -> None:
    load_rows("agents", [{"agent": "desk", "system_prompt": "You help."}], "books")
    with ready_store(Settings(home=home, database_url=None)).pipeline() as connection:
        (agent,) = agents(connection, "books", "desk")
        stored_playbook(connection, agent, "new", "candidate")
        waiting = call(home, "playbooks", "desk", "--organization", "books")
        assert waiting.code == 0 and "1 proposed (--version candidate)" in waiting.out
        number = stored_playbook(connection, agent, "refund")
    told = call(home, "playbooks", "desk", "--organization", "books")
    assert told.code == 0, told.err
    assert "Playbook: refund" in told.out and "b (8 of 12 times" in told.out and "flowchart TD" in told.out
    assert "On 60 held-out demonstrations it advises 80% of the steps rightly; always the most frequent action 30%." in told.out
    marked = call(home, "playbooks", "desk", "--organization", "books", "--version", str(number), "--markdown")
    assert marked.out.startswith("# Playbook: refund") and "```mermaid\nflowchart TD" in marked.out
    document = call(home, "playbooks", "desk", "--organization", "books", "--version", "candidate", "--json").document
    assert [one["task_type"] for one in document["playbooks"]] == ["new"] and document["hint"] is None


def test_where_none_serves_it_says_what_to_do_and_bad_versions_are_bad_input(home: Path, load_rows: Load) -> None:
    load_rows("agents", [{"agent": "desk", "system_prompt": "You help."}], "nobooks")
    none = call(home, "playbooks", "desk", "--organization", "nobooks", "--json")
    assert none.code == 0 and none.document["playbooks"] == [] and "behavior_learning" in none.document["hint"]
    for typed, said in ((["--version", "newest"], "newest"), (["--version", "9"], "no version 9")):
        ended = call(home, "playbooks", "desk", "--organization", "nobooks", *typed)
        assert ended.code == 2 and said in ended.err
    assert call(home, "playbooks", "nobody", "--organization", "nobooks").code == 2
