"""From feedback in the outbox to stored examples: once, by one reader at a time, all or nothing, withdrawn when nobody says so any more.

Belongs here: examples as stored. Not here: which opinion makes which example (test_candidates.py), reading the outbox (storage/).
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from learning_pipelines.errors import Unavailable
from learning_pipelines.examples import refresh
from learning_pipelines.examples.refresh import Refreshed, refresh_examples
from learning_pipelines.storage import outbox
from learning_pipelines.storage.database import Connection, Database
from learning_pipelines_tests.conftest import Load
from learning_pipelines_tests.feedback.rows import AGENT, Row, agent_ref, execution, one_of_each, said, table

EARLY, LATE = "2026-03-02T08:00:00Z", "2026-03-03T08:00:00Z"


@pytest.fixture(autouse=True)
def _ground(load: Load) -> None:
    load("agents", [AGENT])
    load("executions", [execution("e1", user="asker"), execution("e2")])


def refreshed(connection: Connection) -> Refreshed:
    return refresh_examples(connection, agent_ref(connection))


def examples(connection: Connection, condition: str = "is_active") -> list[Row]:
    return table(connection, "learning_examples", condition)


@pytest.mark.parametrize(
    ("kind", "more", "made"),
    [
        ("correction", {"correction_text": "Better."}, "correction"),
        ("thumbs_up", {}, "positive"),
        ("star_rating", {"rating": 1}, "negative"),
        ("report_issue", {"issue_categories": ["incorrect"]}, "failure"),
    ],
)
def test_feedback_becomes_a_pending_example(load: Load, pipeline: Connection, kind: str, more: Row, made: str) -> None:
    load("feedback", [said("f1", "e1", kind, user="ada", **more)])
    assert refreshed(pipeline).created == 1
    (row,) = examples(pipeline)
    assert (row["example_type"], row["source_type"], row["source_id"], row["review_status"], row["domain"]) == (made, "user_feedback", "f1", "pending", "tax")


def test_neutral_feedback_becomes_none(load: Load, pipeline: Connection) -> None:
    load("feedback", [said("f1", "e1", "star_rating", rating=3), said("f2", "e1", "detailed_feedback", feedback_text="Hm.")])
    assert (refreshed(pipeline).created, examples(pipeline)) == (0, [])


def test_running_it_again_changes_nothing(load: Load, pipeline: Connection) -> None:
    load("feedback", [said("f1", "e1"), said("f2", "e2", "thumbs_down")])
    refreshed(pipeline)
    before = examples(pipeline, "true"), table(pipeline, "example_sources")
    assert refreshed(pipeline) == Refreshed()
    assert (examples(pipeline, "true"), table(pipeline, "example_sources")) == before


def test_reading_the_whole_outbox_again_changes_nothing(load: Load, pipeline: Connection) -> None:
    load("feedback", [said("f1", "e1"), said("f2", "e2", "thumbs_down")])
    refreshed(pipeline)
    before = examples(pipeline, "true"), table(pipeline, "example_sources")
    pipeline.execute("DELETE FROM outbox_positions")
    again = refreshed(pipeline)
    assert (again.created, again.supported, again.withdrawn) == (0, 0, 0)
    assert (examples(pipeline, "true"), table(pipeline, "example_sources")) == before


def test_small_portions_make_the_same_examples(load: Load, pipeline: Connection) -> None:
    load("feedback", [said(f"f{i}", f"e{i % 2 + 1}", "correction", correction_text=f"Answer {i // 2}") for i in range(10)])
    assert refresh_examples(pipeline, agent_ref(pipeline), portion=1).entries == 13  # the agent and two executions too
    assert (len(examples(pipeline)), len(table(pipeline, "example_sources"))) == (10, 10)


def test_several_threads_at_once_make_each_example_once(load: Load, database: Database, pipeline: Connection) -> None:
    load("feedback", [said(f"f{i}", "e1", "correction", correction_text=f"Answer {i}") for i in range(60)])
    start = threading.Barrier(4, timeout=30)

    def run(_: int) -> Refreshed:
        with database.connect("pipeline") as connection:
            start.wait()
            return refresh_examples(connection, agent_ref(connection), portion=5)

    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(run, range(4)))
    assert sum(one.created for one in done) == 60
    assert (sum(one.entries for one in done), len(examples(pipeline)), len(table(pipeline, "example_sources"))) == (63, 60, 60)


def test_examples_follow_while_feedback_is_still_coming_in(load: Load, database: Database, pipeline: Connection) -> None:
    done = threading.Event()

    def follow() -> None:
        with database.connect("pipeline") as connection:
            while not done.is_set():
                refresh_examples(connection, agent_ref(connection), portion=3)

    with ThreadPoolExecutor(2) as pool:
        following = [pool.submit(follow) for _ in range(2)]
        try:
            for i in range(30):
                load("feedback", [said(f"f{i}", "e1", "correction", correction_text=f"Answer {i}")])
        finally:
            done.set()
        for one in following:
            one.result()
    refreshed(pipeline)
    assert len(examples(pipeline)) == 30


def test_several_people_who_say_the_same_support_one_example(load: Load, pipeline: Connection) -> None:
    load("feedback", [said(f"f{user}", "e1", "correction", correction_text="Better.", user=user) for user in ("ada", "bob")] + [said("f3", "e1")])
    refreshed(pipeline)
    support = {(row["example_id"], row["feedback_id"]) for row in table(pipeline, "example_sources")}
    (corrected,) = examples(pipeline, "example_type = 'correction'")
    assert {feedback for example, feedback in support if example == corrected["id"]} == {"fada", "fbob"}


def test_support_names_who_said_it_and_who_asked(load: Load, pipeline: Connection) -> None:
    load("feedback", [said("f1", "e1", user="ada")])
    refreshed(pipeline)
    users = {row["id"]: row["external_id"] for row in table(pipeline, "users")}
    (source,) = table(pipeline, "example_sources")
    assert (users[source["user_id"]], users[source["input_user_id"]], users[examples(pipeline)[0]["user_id"]]) == ("ada", "asker", "asker")


def test_an_example_is_withdrawn_when_its_feedback_is_superseded(load: Load, pipeline: Connection) -> None:
    load("feedback", [said("f1", "e1", user="ada", created_at=EARLY)])
    refreshed(pipeline)
    load("feedback", [said("f2", "e1", "thumbs_down", user="ada", created_at=LATE)])
    assert refreshed(pipeline).withdrawn == 1
    assert {row["example_type"]: row["is_active"] for row in examples(pipeline, "true")} == {"positive": False, "negative": True}


@pytest.mark.parametrize("review", ["approved", "rejected"])
def test_a_reviewed_example_stands_when_its_feedback_is_superseded(load: Load, pipeline: Connection, review: str) -> None:
    load("feedback", [said("f1", "e1", user="ada", created_at=EARLY)])
    refreshed(pipeline)
    pipeline.execute("UPDATE learning_examples SET review_status = %s", [review])
    load("feedback", [said("f2", "e1", "thumbs_down", user="ada", created_at=LATE)])
    assert refreshed(pipeline).withdrawn == 0
    assert {row["example_type"] for row in examples(pipeline)} == {"positive", "negative"}


def test_an_example_stays_while_another_person_supports_it(load: Load, pipeline: Connection) -> None:
    load("feedback", [said("f1", "e1", user="ada", created_at=EARLY), said("f2", "e1", user="bob", created_at=EARLY)])
    refreshed(pipeline)
    load("feedback", [said("f3", "e1", "thumbs_down", user="ada", created_at=LATE)])
    assert refreshed(pipeline).withdrawn == 0
    assert {row["feedback_id"] for row in table(pipeline, "example_sources")} == {"f2", "f3"}


def test_a_withdrawn_example_comes_back_with_its_id_when_somebody_says_it_again(load: Load, pipeline: Connection) -> None:
    load("feedback", [said("f1", "e1", user="ada", created_at=EARLY)])
    refreshed(pipeline)
    (before,) = examples(pipeline)
    load("feedback", [said("f2", "e1", "star_rating", rating=1, user="ada", created_at=LATE)])
    refreshed(pipeline)
    assert examples(pipeline) == []
    load("feedback", [said("f3", "e1", user="bob")])
    refreshed(pipeline)
    assert [row["id"] for row in examples(pipeline)] == [before["id"]]


def test_no_example_holds_personal_data(load: Load, pipeline: Connection) -> None:
    mail = "jo.doe@example.com"
    load("executions", [execution("e3", input=f"I am {mail}", output=f"Hello {mail}", tags=[mail])])
    load("feedback", [said("f1", "e3", "correction", correction_text=f"Dear {mail}", task_context=mail, feedback_text=mail)])
    assert refreshed(pipeline).scrubbed == {"EMAIL": 1}
    assert pipeline.execute("SELECT count(*) FROM learning_examples e WHERE e::text LIKE '%%jo.doe%%'", []).fetchone() == (0,)


def test_demonstrations_become_examples_once(load: Load, pipeline: Connection) -> None:
    load("demonstrations", [one_of_each()["demonstrations"] | {"expert": "eve"}])
    assert [refreshed(pipeline).created for _ in range(2)] == [1, 0]
    (row,) = examples(pipeline)
    assert (row["example_type"], row["source_type"], row["source_id"]) == ("demonstration", "expert_review", "d1")


@pytest.mark.parametrize("step", ["store_derived", "advance"])
def test_a_refresh_that_dies_in_the_middle_leaves_nothing_half_done(load: Load, pipeline: Connection, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    load("feedback", [said("f1", "e1"), said("f2", "e2")])
    module = refresh.storage if step == "store_derived" else outbox
    whole = getattr(module, step)

    def dying(*values: object) -> None:
        whole(*values)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(module, step, dying)
        refreshed(pipeline)
    assert [table(pipeline, name) for name in ("learning_examples", "example_sources", "outbox_positions")] == [[], [], []]
    assert refreshed(pipeline).created == 2


def test_a_connection_that_is_killed_in_the_middle_leaves_nothing_half_done(
    load: Load, database: Database, pipeline: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    load("feedback", [said("f1", "e1")])
    whole = outbox.advance

    def killed(connection: Connection, *values: object) -> None:
        whole(connection, *values)  # type: ignore[arg-type]
        with psycopg.connect(database.admin_url, autocommit=True) as session:
            session.execute("SELECT pg_terminate_backend(%s, 5000)", [connection.info.backend_pid])

    with database.connect("pipeline") as doomed, monkeypatch.context() as patched, pytest.raises(Unavailable, match="went away while deriving"):
        patched.setattr(outbox, "advance", killed)
        refreshed(doomed)
    assert (examples(pipeline, "true"), refreshed(pipeline).created) == ([], 1)


def test_portions_that_were_done_before_a_death_stay_done(load: Load, pipeline: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    load("executions", [execution(f"run{i}") for i in range(6)])
    load("feedback", [said(f"f{i}", f"run{i}") for i in range(6)])
    pipeline.execute("DELETE FROM outbox WHERE kind <> 'feedback'")
    whole, calls = outbox.advance, iter(range(10))

    def dying(*values: object) -> None:
        whole(*values)  # type: ignore[arg-type]
        if next(calls) == 1:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(outbox, "advance", dying)
        refresh_examples(pipeline, agent_ref(pipeline), portion=4)
    assert len(examples(pipeline)) == 4
    assert refreshed(pipeline).created == 2
