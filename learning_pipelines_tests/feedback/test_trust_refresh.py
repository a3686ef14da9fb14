"""From stored feedback and reviews to rater weights, and from weights to days and examples.

Belongs here: rows in the database. Not here: the rules on arrays (test_trust.py), attacks (test_attacks.py).
"""

from __future__ import annotations

import datetime as dt
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from learning_pipelines.examples.refresh import refresh_examples
from learning_pipelines.feedback import statistics, trust_refresh
from learning_pipelines.feedback.trust import PRIOR_RIGHT, Known, Votes, weigh
from learning_pipelines.feedback.trust_refresh import Reweighed, refresh_weights, right_of_weight
from learning_pipelines.storage import metrics, outbox, trust_weights
from learning_pipelines.storage.database import Connection, Database
from learning_pipelines.storage.trust_weights import DISTRUSTED, NEWCOMER
from learning_pipelines_tests.conftest import Load
from learning_pipelines_tests.feedback.rows import AGENT, Row, agent_ref, execution, said, table

TODAY = dt.datetime.now(dt.UTC).replace(hour=12, minute=0, second=0, microsecond=0) - dt.timedelta(days=3)
HONEST, LIARS = [f"honest{i}" for i in range(6)], [f"liar{i}" for i in range(9)]


def at(hours: float) -> str:
    return (TODAY + dt.timedelta(hours=hours)).isoformat()


@pytest.fixture(autouse=True)
def _ground(load: Load) -> None:
    load("agents", [AGENT])
    load("executions", [execution(f"e{i}", user="asker", created_at=at(0)) for i in range(20)])


def weights(connection: Connection) -> dict[str, float]:
    rows = connection.execute("SELECT u.external_id, w.weight FROM rater_weights w JOIN users u ON (u.organization_id, u.id) = (w.organization_id, w.user_id)")
    return {str(user): float(weight) for user, weight in rows.fetchall()}


def flags(connection: Connection) -> dict[str, list[str]]:
    rows = connection.execute("SELECT u.external_id, w.flags FROM rater_weights w JOIN users u ON (u.organization_id, u.id) = (w.organization_id, w.user_id)")
    return {str(user): list(raised) for user, raised in rows.fetchall()}


def everybody_votes() -> list[Row]:
    """Even executions are good. Six honest people say so over two days; nine liars turn e0 to e4 round within minutes."""
    rows = [
        said(f"{user}-{i}", f"e{i}", "thumbs_up" if i % 2 == 0 else "thumbs_down", user=user, created_at=at(1 + 2.3 * i + 1.7 * number))
        for number, user in enumerate(HONEST)
        for i in range(20)
    ]
    return rows + [
        said(f"{user}-{i}", f"e{i}", "thumbs_down" if i % 2 == 0 else "thumbs_up", user=user, created_at=at(5 + 0.01 * number))
        for number, user in enumerate(LIARS)
        for i in range(5)
    ]


def refreshed(connection: Connection) -> Reweighed:
    return refresh_weights(connection, "UTC")


def test_a_brigade_loses_its_weight_and_honest_people_keep_theirs(load: Load, pipeline: Connection) -> None:
    load("feedback", everybody_votes())
    done = refreshed(pipeline)
    found = weights(pipeline)
    assert (done.raters, set(found)) == (15, {*HONEST, *LIARS})
    assert max(found[user] for user in LIARS) < DISTRUSTED
    assert min(found[user] for user in HONEST) > 0.6
    assert {user for user, raised in flags(pipeline).items() if "lockstep" in raised} == set(LIARS)


def test_running_it_again_does_nothing(load: Load, pipeline: Connection) -> None:
    load("feedback", everybody_votes())
    refreshed(pipeline)
    before = table(pipeline, "rater_weights"), len(table(pipeline, "outbox"))
    assert refreshed(pipeline) == Reweighed()
    assert (table(pipeline, "rater_weights"), len(table(pipeline, "outbox"))) == before


def test_reading_everything_again_moves_no_weight(load: Load, pipeline: Connection) -> None:
    load("feedback", everybody_votes())
    refreshed(pipeline)
    before = weights(pipeline)
    pipeline.execute("DELETE FROM outbox_positions")
    assert refreshed(pipeline).moved == 0
    assert weights(pipeline) == before


def test_only_raters_of_touched_executions_are_judged(load: Load, pipeline: Connection) -> None:
    load("feedback", everybody_votes())
    refreshed(pipeline)
    load("feedback", [said("late", "e19", user="newcomer", created_at=at(60))])
    assert refreshed(pipeline).raters == len(HONEST) + 1  # the liars never said anything about e19


def test_feedback_in_portions_judges_everybody(load: Load, pipeline: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trust_refresh.storage, "ENTRIES_PER_PORTION", 40)
    load("feedback", everybody_votes())
    refreshed(pipeline)
    found = weights(pipeline)
    assert (len(found), max(found[user] for user in LIARS) < DISTRUSTED) == (15, True)


def test_two_refreshes_at_once_do_what_one_does(load: Load, database: Database, pipeline: Connection) -> None:
    load("feedback", everybody_votes())
    start = threading.Barrier(2, timeout=30)

    def run(_: int) -> Reweighed:
        with database.connect("pipeline") as connection:
            start.wait()
            return refresh_weights(connection, "UTC")

    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(run, range(2)))
    assert sum(one.raters for one in done) == 15


def test_what_is_superseded_does_not_count(load: Load, pipeline: Connection) -> None:
    rows = everybody_votes()
    changed = [{**row, "feedback_id": f"{row['feedback_id']}-again", "feedback_type": "thumbs_up" if int(row["execution_id"][1:]) % 2 == 0 else "thumbs_down",
                "created_at": at(70)} for row in rows if row["user"] == "liar0"]  # fmt: skip
    load("feedback", [*rows, *changed])
    refreshed(pipeline)
    assert weights(pipeline)["liar0"] > 0.25


def corrected(user: str, number: int) -> Row:
    return said(f"{user}{number}", f"e{number}", "correction", user=user, correction_text=f"{user} says {number}", created_at=at(number))


def review(connection: Connection, status: str, author: str, reviewer: str | None = None) -> None:
    connection.execute(
        """UPDATE learning_examples SET reviewed_at = now() + interval '1 second', review_status = %s,
            reviewed_by = (SELECT id FROM users WHERE external_id = %s) WHERE expected_output LIKE %s""",
        [status, reviewer, f"{author}%"],
    )


def test_a_rater_whom_experts_refute_loses_weight_and_one_whom_they_uphold_gains(load: Load, pipeline: Connection) -> None:
    for user, first in (("ada", 0), ("bob", 10)):
        load("feedback", [corrected(user, i) for i in range(first, first + 8)])
    refresh_examples(pipeline, agent_ref(pipeline))
    refreshed(pipeline)
    assert weights(pipeline) == {"ada": NEWCOMER, "bob": NEWCOMER}
    review(pipeline, "approved", "ada")
    review(pipeline, "rejected", "bob")
    done = refreshed(pipeline)
    found = weights(pipeline)
    assert done.raters == 2
    assert found["ada"] > 0.5 > DISTRUSTED > found["bob"]
    assert flags(pipeline) == {"ada": [], "bob": ["against_experts"]}


def test_nobody_is_upheld_by_the_own_review(load: Load, pipeline: Connection) -> None:
    load("feedback", [corrected("ada", i) for i in range(8)])
    refresh_examples(pipeline, agent_ref(pipeline))
    review(pipeline, "approved", "ada", reviewer="ada")
    refreshed(pipeline)
    assert weights(pipeline) == {"ada": NEWCOMER}


def test_voting_for_the_own_words_lowers_the_weight(load: Load, pipeline: Connection) -> None:
    words = "Please file form 1 before the tenth of the month."
    load("executions", [execution(f"own{i}", created_at=at(0)) | {"output": f"  {words.upper()}!"} for i in range(3)])
    load("feedback", [said("c", "e0", "correction", user="ada", correction_text=words, created_at=at(1))])
    load("feedback", [said(f"{user}{i}", f"own{i}", user=user, created_at=at(2 + i)) for user in ("ada", "bob") for i in range(3)])
    refreshed(pipeline)
    assert weights(pipeline)["ada"] < 0.5 * weights(pipeline)["bob"]
    assert flags(pipeline)["ada"] == ["self_votes"]


def test_voting_on_the_answer_one_got_is_no_self_vote(load: Load, pipeline: Connection) -> None:
    load("feedback", [said(f"f{i}", f"e{i}", user="asker", created_at=at(i)) for i in range(5)])
    refreshed(pipeline)
    assert (weights(pipeline), flags(pipeline)) == ({"asker": NEWCOMER}, {"asker": []})


def test_the_same_text_from_several_accounts_lowers_their_weight(load: Load, pipeline: Connection) -> None:
    copied = ["The answer of the agent is plainly wrong", "the answer of the agent - is plainly WRONG", "The answer of the agent is plainly wrong!"]
    rows = [said(f"s{i}", f"e{i}", "thumbs_down", user=f"sock{i}", feedback_text=text, created_at=at(10 * i)) for i, text in enumerate(copied)]
    load("feedback", [*rows, said("o", "e9", "thumbs_down", user="own", feedback_text="I could not find the form where it says.", created_at=at(1))])
    refreshed(pipeline)
    found = weights(pipeline)
    assert max(found[f"sock{i}"] for i in range(3)) < 0.3 * found["own"]
    assert {user: raised for user, raised in flags(pipeline).items() if raised} == {f"sock{i}": ["copied_texts"] for i in range(3)}


def test_short_texts_are_nobodys_own(load: Load, pipeline: Connection) -> None:
    load("feedback", [said(f"s{i}", f"e{i}", user=f"user{i}", feedback_text="Thanks a lot!", created_at=at(10 * i)) for i in range(4)])
    refreshed(pipeline)
    assert set(weights(pipeline).values()) == {NEWCOMER}


def sums(connection: Connection) -> Row:
    day = TODAY.date()
    (row,) = metrics.totals(connection, "default", day - dt.timedelta(days=5), day + dt.timedelta(days=5))
    return row


def test_newcomers_change_no_mean(load: Load, pipeline: Connection) -> None:
    load("feedback", [said(f"f{i}", "e1", "star_rating", user=f"user{i}", rating=i + 1, created_at=at(i)) for i in range(5)])
    load("feedback", [said("a", "e1", created_at=at(2))])
    statistics.catch_up(pipeline, "UTC")
    row = sums(pipeline)
    assert row["rating_weighted_sum"] / row["rating_weight_sum"] == pytest.approx(row["rating_sum"] / row["rating_count"])
    assert row["thumbs_up_weighted"] == pytest.approx(NEWCOMER * row["thumbs_up"])


def test_days_of_raters_whose_weight_moved_are_computed_again(load: Load, pipeline: Connection) -> None:
    load("feedback", everybody_votes())
    statistics.catch_up(pipeline, "UTC")  # before anybody was weighed
    raw = sums(pipeline)
    assert raw["thumbs_down_weighted"] == pytest.approx(NEWCOMER * raw["thumbs_down"])
    done = refreshed(pipeline)
    days = {dt.datetime.fromisoformat(row["created_at"]).date() for row in everybody_votes()}
    assert done.stale_days == len(days)
    assert set(statistics.catch_up(pipeline, "UTC")) >= days
    found, weight = sums(pipeline), weights(pipeline)
    assert found["thumbs_down"] == raw["thumbs_down"]
    assert found["thumbs_down_weighted"] == pytest.approx(sum(weight[row["user"]] for row in everybody_votes() if row["feedback_type"] == "thumbs_down"))


def test_the_sensor_hears_of_days_whose_weights_moved(load: Load, pipeline: Connection) -> None:
    load("feedback", everybody_votes())
    seen = outbox.news(pipeline, None, 10_000, "UTC").position
    refreshed(pipeline)
    (agent,) = outbox.news(pipeline, seen, 10_000, "UTC").agents
    assert (agent.agent, agent.kinds, len(agent.days) > 0, agent.behind) == ("desk", ["rater_weights"], True, False)


def test_a_weight_that_hardly_moves_stays_in_use(load: Load, pipeline: Connection) -> None:
    load("feedback", everybody_votes())
    refreshed(pipeline)
    before = weights(pipeline)
    load("feedback", [said("one-more", "e19", "thumbs_down", user="honest0", created_at=at(80))])
    assert refreshed(pipeline).stale_days == 0
    assert weights(pipeline) == before


def example(connection: Connection) -> Row:
    (row,) = table(connection, "learning_examples", "is_active AND source_type = 'user_feedback'")
    return row


def set_weight(connection: Connection, user: str, weight: float) -> None:
    """As a refresh would."""
    (row,) = table(connection, "users", f"external_id = '{user}'")
    with connection.transaction():
        trust_weights.lock_weights(connection, row["organization_id"])
        trust_weights.store_weights(connection, row["organization_id"], [(row["id"], weight, [], "{}", 1)], "test", "UTC")


def test_confidence_follows_the_weights_of_who_supports_an_example(load: Load, pipeline: Connection) -> None:
    load("feedback", [said("f1", "e1", user="ada")])
    refresh_examples(pipeline, agent_ref(pipeline))
    assert example(pipeline)["confidence_score"] == pytest.approx(NEWCOMER)
    set_weight(pipeline, "ada", 0.8)
    assert example(pipeline)["confidence_score"] == pytest.approx(0.8)
    load("feedback", [said("f2", "e1", user="bob")])
    refresh_examples(pipeline, agent_ref(pipeline))
    assert example(pipeline)["confidence_score"] == pytest.approx(1 - 0.2 * (1 - NEWCOMER))


def test_confidence_never_falls_when_a_weight_rises(load: Load, pipeline: Connection) -> None:
    load("feedback", [said(f"f{user}", "e1", user=user) for user in ("ada", "bob", "cem")])
    refresh_examples(pipeline, agent_ref(pipeline))
    for user, weight in (("bob", 0.0), ("cem", 0.09)):
        set_weight(pipeline, user, weight)
    seen: list[float] = []
    for weight in (0.0, 0.07, 0.13, 0.3, 0.6, 1.0):
        set_weight(pipeline, "ada", weight)
        seen.append(example(pipeline)["confidence_score"])
    assert seen == sorted(seen)
    assert (seen[0], seen[-1]) == (pytest.approx(0.09), pytest.approx(0.99))


def test_an_example_that_only_distrusted_raters_support_waits_marked(load: Load, pipeline: Connection) -> None:
    load("feedback", [said(f"f{i}", "e1", user=f"user{i}") for i in range(5)])
    refresh_examples(pipeline, agent_ref(pipeline))
    for i in range(5):
        set_weight(pipeline, f"user{i}", 0.04)
    row = example(pipeline)
    assert (row["distrusted"], row["review_status"], row["is_active"], row["confidence_score"]) == (True, "pending", True, pytest.approx(0.04))
    load("feedback", [said("known", "e1", user="somebody")])
    refresh_examples(pipeline, agent_ref(pipeline))
    assert example(pipeline)["distrusted"] is False


def test_context_raters_keep_the_weight_in_use() -> None:
    nothing = Votes(*(np.zeros(0, dtype=kind) for kind in (np.int64, np.int64, bool, float, bool)))
    assert weigh(nothing, Known.nothing(1, 0)).weight == pytest.approx([NEWCOMER], abs=1e-4)
    assert right_of_weight(NEWCOMER) == pytest.approx(PRIOR_RIGHT, abs=1e-4)


def test_a_refresh_that_dies_leaves_nothing_half_done(load: Load, pipeline: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    load("feedback", everybody_votes())
    whole = outbox.advance

    def dying(*values: Any) -> None:
        whole(*values)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(outbox, "advance", dying)
        refreshed(pipeline)
    assert [table(pipeline, name) for name in ("rater_weights", "feedback_texts")] == [[], []]
    assert table(pipeline, "outbox_positions", "reader = 'rater_weights'") == []
    assert refreshed(pipeline).raters == 15
