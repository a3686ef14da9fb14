"""Real ratings with explanations, converted and imported as a user's own export would be.

Belongs here: that real data goes in whole and becomes examples. Not here: any figure that only holds for this set.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from learning_pipelines.examples.refresh import refresh_examples
from learning_pipelines.feedback.importing import ImportResult
from learning_pipelines.storage.database import Connection, Database
from learning_pipelines_tests.conftest import Load, MakeDatabase
from learning_pipelines_tests.feedback.feedbackqa import DATA, DOMAINS, Row, convert
from learning_pipelines_tests.feedback.rows import agent_ref, table

pytestmark = pytest.mark.skipif(
    not DATA.is_dir(), reason=f"FeedbackQA is not at {DATA}: set LEARNING_TEST_DATA to the folder that holds feedbackqa_dev to run these tests"
)


@pytest.fixture(scope="module")
def database(make_database: MakeDatabase) -> Iterator[Database]:
    """One for the whole module: importing twice changes nothing."""
    with make_database() as fresh:
        yield fresh


@pytest.fixture(scope="module", params=DOMAINS)
def converted(request: pytest.FixtureRequest) -> dict[str, list[Row]]:
    return convert(request.param)


@pytest.fixture
def imported(converted: dict[str, list[Row]], load: Load) -> dict[str, ImportResult]:
    return {kind: load(kind, rows) for kind, rows in converted.items()}


def agent_of(converted: dict[str, list[Row]]) -> str:
    return str(converted["agents"][0]["agent"])


def test_every_answer_and_every_rating_is_kept(converted: dict[str, list[Row]], imported: dict[str, ImportResult]) -> None:
    for kind, result in imported.items():
        assert (result.rejected, result.imported + result.unchanged) == (0, len(converted[kind]))
    assert len(converted["feedback"]) >= 2 * len(converted["executions"]) > 500


def test_the_second_import_of_it_changes_nothing(converted: dict[str, list[Row]], imported: dict[str, ImportResult], load: Load) -> None:
    assert imported
    assert [load(kind, rows).unchanged for kind, rows in converted.items()] == [len(rows) for rows in converted.values()]


def test_explanations_come_through_word_for_word(converted: dict[str, list[Row]], imported: dict[str, ImportResult], pipeline: Connection) -> None:
    assert imported
    stored = {row["id"]: row["feedback_text"] for row in table(pipeline, "agent_feedback")}
    assert all(stored[row["feedback_id"]] == row.get("feedback_text") for row in converted["feedback"])


def test_every_clear_rating_supports_an_example(converted: dict[str, list[Row]], imported: dict[str, ImportResult], pipeline: Connection) -> None:
    assert imported
    agent = agent_ref(pipeline, agent_of(converted))
    refresh_examples(pipeline, agent)
    run = {row["execution_id"]: row for row in converted["executions"]}
    rated = [(row["rating"] > 3, run[row["execution_id"]]["input"], run[row["execution_id"]]["output"]) for row in converted["feedback"]]
    found = table(pipeline, "learning_examples e JOIN agents a ON a.id = e.agent_id", f"a.slug = '{agent.agent}'")
    assert len(found) == len(set(rated))
    assert sum(row["example_type"] == "positive" for row in found) == sum(good for good, _, _ in set(rated))
    sources = table(pipeline, "example_sources", f"execution_id LIKE '{agent.agent}-fb%'")
    assert len(sources) == len(rated)
    assert refresh_examples(pipeline, agent).entries == 0
