"""What simulated users say about articles that were found: as stated, the same every time, nothing of the test side.
Belongs here: learning_pipelines/demo/searches.py with the real encoder. Not here: importing the rows (test_rows_made.py)."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from learning_pipelines.demo.desk import read_rows
from learning_pipelines.demo.searches import SHOWN, searches
from learning_pipelines.demo.simulate import MISTAKEN, is_test_side
from learning_pipelines.encoder import open_encoder
from learning_pipelines.feedback.kinds import KINDS
from learning_pipelines.settings import Settings
from learning_pipelines_tests.conftest import ShareEncoder

NOW = dt.datetime(2026, 11, 26, 9, tzinfo=dt.UTC)
GOLD = {row["text"]: row for row in read_rows("questions")}


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory, share_encoder: ShareEncoder) -> Settings:
    return Settings(home=share_encoder(tmp_path_factory.mktemp("searches")), embedding_model=None)


@pytest.fixture(scope="module")
def rows(settings: Settings) -> list[dict[str, Any]]:
    return searches(open_encoder(settings), NOW)


def test_every_row_can_be_imported_and_says_that_it_is_simulated(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        KINDS["retrieval_feedback"].model_validate(row)
        assert row["simulated"] is True


def test_only_questions_of_the_learning_side_are_searched_each_once(rows: list[dict[str, Any]]) -> None:
    asked = [row["query"] for row in rows]
    assert sorted(asked) == sorted(row["text"] for row in GOLD.values() if not is_test_side(row["user"]))


def test_users_name_the_right_article_but_for_the_stated_mistakes(rows: list[dict[str, Any]]) -> None:
    missed = [row for row in rows if row["relevant"] != [GOLD[row["query"]]["document_id"]]]
    assert 0 < len(missed) / len(rows) < 2.5 * MISTAKEN
    assert all(len(row["retrieved"]) == SHOWN and row["helped"] == bool(set(row["relevant"]) & set(row["retrieved"])) for row in rows)
    assert any(row["relevant"] and not row["helped"] for row in rows)


def test_the_same_is_said_again_and_lies_in_the_week_before(rows: list[dict[str, Any]], settings: Settings) -> None:
    assert searches(open_encoder(settings), NOW) == rows
    times = [dt.datetime.fromisoformat(row["created_at"]) for row in rows]
    assert times == sorted(times) and NOW - dt.timedelta(days=7) < times[0] and times[-1] < NOW
