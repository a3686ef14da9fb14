"""`conflicts` as typed: what is listed, and what dismissing one does.

Belongs here: the two verbs. Not here: what contradicts what (examples/test_conflicts.py), experts over HTTP (api/test_conflicts.py).
"""

from __future__ import annotations

from pathlib import Path

from learning_pipelines.examples.curation import refresh_curation
from learning_pipelines.examples.similarity import DuplicateRule
from learning_pipelines_tests.cli.command_line import call, database_of
from learning_pipelines_tests.cli.conftest import Load
from learning_pipelines_tests.examples.curated import approved
from learning_pipelines_tests.feedback.rows import AGENT, agent_ref, table

NAME = "contradicting"


def test_a_conflict_is_listed_until_it_is_dismissed(home: Path, load_rows: Load) -> None:
    load_rows("agents", [AGENT], NAME)
    answers = {"a": "card_lost", "b": "card_stolen"}
    load_rows("examples", [approved(name, "How do I block my card?", expected_output=answer) for name, answer in answers.items()], NAME)
    with database_of(home).connect("pipeline") as connection:
        agent = agent_ref(connection, organization=NAME)
        refresh_curation(connection, agent, DuplicateRule(cosine=None), None)
    (one,) = call(home, "conflicts", "list", "--agent", "desk", "--organization", NAME, "--json").document["conflicts"]
    assert (one["agent"], one["first"]["example_id"], one["second"]["expected_output"]) == ("desk", "a", "card_stolen")
    assert "a  positive, approved  'How do I block my card?' → 'card_lost'" in call(home, "conflicts", "list", "--organization", NAME).out
    done = call(home, "conflicts", "dismiss", "b", "a", "--notes", "Both happen.", "--organization", NAME, "--json")
    assert done.document == {"example_ids": ["b", "a"], "status": "dismissed"}
    assert "No examples contradict" in call(home, "conflicts", "list", "--organization", NAME).out
    again = call(home, "conflicts", "dismiss", "a", "b", "--organization", NAME)
    assert again.code == 1 and "no open conflict" in again.err
    assert "no example c" in call(home, "conflicts", "dismiss", "a", "c", "--organization", NAME).err
    with database_of(home).connect("pipeline") as connection:
        (kept,) = table(connection, "audit_log", f"subject_kind = 'conflict' AND organization_id = '{agent.organization_id}'")
    assert (kept["actor"], kept["action"], kept["subject_id"]) == ("operator", "dismissed", "b")
