"""`learning-pipelines corrections` lists what people put right again and again.

Belongs here: what is typed and printed. Not here: judging and clustering (behavior/).
"""

from __future__ import annotations

from pathlib import Path

from learning_pipelines.behavior.corrections.refresh import refresh_corrections
from learning_pipelines.examples.refresh import refresh_examples
from learning_pipelines.settings import Settings
from learning_pipelines.storage.installation import ready_store
from learning_pipelines_tests.cli.command_line import call
from learning_pipelines_tests.cli.conftest import Load
from learning_pipelines_tests.examples.curated import WordEncoder
from learning_pipelines_tests.feedback.rows import AGENT, agent_ref, execution, said


def test_clusters_are_listed_with_their_people_and_weeks_and_an_agent_without_any_says_how_to_get_there(home: Path, load_rows: Load) -> None:
    load_rows("agents", [AGENT | {"labels": ["lost", "stolen"]}], "corrections-1")
    nothing = call(home, "corrections", "--agent", "desk", "--organization", "corrections-1")
    assert "learning-pipelines run behavior_learning --agent desk" in nothing.out
    load_rows("executions", [execution(f"e{user}", input=f"message of {user}", output="lost") for user in "ab"], "corrections-1")
    load_rows("feedback", [said(f"f{user}", f"e{user}", "correction", correction_text="stolen", user=user) for user in "ab"], "corrections-1")
    with ready_store(Settings(home=home, database_url=None)).pipeline() as connection:
        agent = agent_ref(connection, organization="corrections-1")
        refresh_examples(connection, agent)
        refresh_corrections(connection, agent, WordEncoder)
    (one,) = call(home, "corrections", "--agent", "desk", "--organization", "corrections-1", "--json").document["clusters"]
    assert (one["name"], one["people"], one["corrections"], one["state"], one["learnt_at"]) == ("lost → stolen", 2, 2, "open", None)
    assert [week["count"] for week in one["weeks"]] == [2]
    assert "2 people" in call(home, "corrections", "--agent", "desk", "--organization", "corrections-1").out
    unknown = call(home, "corrections", "--agent", "nobody", "--organization", "corrections-1")
    assert unknown.code == 2
