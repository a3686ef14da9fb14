"""Rows of a person: which are theirs, that nothing of them is left, that everybody else's stay and count as before.

Belongs here: gathering and rows over a real database. Not here: archived files (feedback/archive/test_rewriting.py), what was learnt, the whole way.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from learning_pipelines.examples.refresh import refresh_examples
from learning_pipelines.feedback.erasure import gathering, rows
from learning_pipelines.feedback.erasure.person import Person
from learning_pipelines.feedback.erasure.touched import Touched
from learning_pipelines.feedback.identity import agent_id, organization_id, user_id
from learning_pipelines.feedback.statistics import catch_up
from learning_pipelines.feedback.trust_refresh import refresh_weights
from learning_pipelines.settings import Settings
from learning_pipelines.storage import prompt_runs, retrieval_queries
from learning_pipelines.storage.database import Connection, Database
from learning_pipelines.storage.metrics import compute_days
from learning_pipelines.storage.store import Store
from learning_pipelines_tests.conftest import Load
from learning_pipelines_tests.feedback.rows import AGENT, agent_ref, execution, said, table
from learning_pipelines_tests.storage.one_row import one_row

ORGANIZATION = organization_id("default")
DESK = agent_id(ORGANIZATION, "desk")
NONCE = "zq7xk"
ADA, BOB = user_id(ORGANIZATION, f"{NONCE}-ada"), user_id(ORGANIZATION, "bob")
PERSON = Person(ORGANIZATION, "default", ADA, f"{NONCE}-ada", "erased-1", UUID(int=1))
EXPERIMENT = UUID(int=7)
OWN = (
    "adjudications", "agent_executions", "agent_feedback", "archived_raters", "archived_returns", "archived_thumbs", "demonstrations",
    "demonstration_splits", "embedding_training_pairs", "erased_archive_rows", "example_conflicts", "execution_scores", "experiment_assignments",
    "experiment_executions", "experiment_units", "expert_annotations", "expert_reliability", "feedback_texts", "ingest_keys",
    "outbox", "peer_records", "peer_spans", "rater_weights", "retrieval_answers", "retrieval_events", "retrieval_queries", "review_action_items",
    "review_actions", "review_seats",
)  # fmt: skip
"""Tables of which nothing may name the person or hold their words after this step."""


@pytest.fixture
def store(database: Database, tmp_path: Path) -> Store:
    return Store(Settings(home=tmp_path / "home", timezone="Europe/Berlin", duplicate_cosine=None), database)


@pytest.fixture
def world(store: Store, load: Load, pipeline: Connection) -> None:
    """Ada, whose every word and id holds the nonce, beside bob: through the import where it can, with its parts brought up to date."""
    load("agents", [AGENT])
    load("documents", [{"document_id": "d1", "text": "Form 1 is for VAT.", "title": "Forms"}])
    shown = [{"document_id": "d1", "rank": 1}]
    load("executions", [
        execution(f"{NONCE}-x1", user=PERSON.name, session_id=f"{NONCE}-s", prompt_version="1", latency_ms=1.5, retrieved=shown),
        execution(f"{NONCE}-x2", parent_id=f"{NONCE}-x1"), execution("bob1", user="bob", session_id="shared", prompt_version="1", retrieved=shown),
        execution("bob2", user="bob", parent_id=f"{NONCE}-x1"), execution(f"{NONCE}-x3", user=PERSON.name, session_id="shared"),
    ])  # fmt: skip
    load("feedback", [
        said(f"{NONCE}-f1", f"{NONCE}-x1", "correction", user="bob", correction_text=f"What bob says of {NONCE}, which is long enough"),
        said(f"{NONCE}-f2", "bob1", "correction", user=PERSON.name, correction_text=f"What ada says, {NONCE}, which is long enough"),
        said("f3", "bob1", "star_rating", user="bob", rating=5), said("f4", "bob2", "thumbs_down", user="cyd"),
        said(f"{NONCE}-f5", f"{NONCE}-coming", "thumbs_up", user=PERSON.name, agent="desk"),
    ])  # fmt: skip
    load("retrieval_feedback", [
        {"query": f"Where is {NONCE} to be found, I ask?", "agent": "desk", "retrieved": ["d1"], "relevant": ["d1"], "user": PERSON.name},
        {"query": "Which form is for VAT?", "agent": "desk", "retrieved": ["d1"], "relevant": ["d1"], "user": PERSON.name},
        {"query": "which form is for VAT?", "agent": "desk", "retrieved": ["d1"], "relevant": [], "user": "bob"},
    ])  # fmt: skip
    load("demonstrations", [
        {"demonstration_id": f"{NONCE}-d1", "agent": "desk", "expert": PERSON.name, "task_description": f"Closing the month of {NONCE}",
         "actions": [{"type": "open", "arguments": {"what": f"the long drawer of {NONCE}"}}], "final_output": f"Closed, said {NONCE}."},
    ])  # fmt: skip
    load("demonstrations", [
        {"demonstration_id": "d2", "agent": "desk", "expert": "bob", "task_description": "Closing it better", "actions": [{"type": "open"}],
         "final_output": "Closed.", "replaces": f"{NONCE}-d1"},
    ])  # fmt: skip
    examples = {"agent": "desk", "input_text": "Which form?", "expected_output": "Form 1."}
    load("examples", [{"example_id": "given", **examples}, {"example_id": "another", **examples, "expected_output": "Form 2."}])
    agent = agent_ref(pipeline)
    refresh_examples(pipeline, agent)
    refresh_weights(pipeline, store.settings.timezone)
    catch_up(pipeline, store.settings.timezone)
    today = dt.datetime.now(dt.UTC).date()
    prompt_runs.compute_performance(pipeline, agent, today - dt.timedelta(days=29), today + dt.timedelta(days=1), store.settings.timezone)
    with pipeline.transaction():
        retrieval_queries.lock_questions(pipeline, agent)
        retrieval_queries.take_up(pipeline, agent)
        retrieval_queries.count(pipeline, agent)
        retrieval_queries.store_new(pipeline, agent, [(name, text) for name, text in retrieval_queries.new_texts(pipeline, agent)])
    _beside(pipeline)


def _beside(connection: Connection) -> None:
    """What runs of other parts would have written."""

    def add(into: str, /, **values: Any) -> None:
        one_row(connection, into, **{"organization_id": ORGANIZATION, "agent_id": DESK, **values})  # type: ignore[arg-type]

    x1, x2, f2 = f"{NONCE}-x1", f"{NONCE}-x2", f"{NONCE}-f2"
    (asked,) = (row["id"] for row in table(connection, "retrieval_queries", f"text LIKE '%{NONCE}%'"))
    (shared,) = (row["id"] for row in table(connection, "retrieval_queries", f"text NOT LIKE '%{NONCE}%'"))
    (event,) = (row["id"] for row in table(connection, "retrieval_events", f"user_id = '{ADA}' AND query NOT LIKE '%{NONCE}%'"))
    (given,) = table(connection, "learning_examples", "id = 'given'")
    for query, text in ((asked, f"Where is {NONCE}"), (shared, "Which form is for VAT?")):
        add("embedding_training_pairs", id=uuid4(), query_id=query, chunk_id="d1/0", query=text, source_feedback_id=event)
    add("embedding_training_pairs", id=uuid4(), query=f"{NONCE}?", source_feedback_id=f2)
    add("retrieval_answers", execution_id=x1, question_id=asked, people=[str(ADA)], gains='{"d1": 1}')
    add("retrieval_answers", execution_id="bob1", question_id=shared, people=[str(ADA), str(BOB)], gains='{"d1": 0.5}')
    for execution_id in (x1, "bob1"):
        add("execution_scores", execution_id=execution_id, judge="j")
    add("peer_records", peer="langfuse", id=f"{NONCE}-score", name="note", person=PERSON.name, user_id=ADA, payload=f'{{"a": "{NONCE}"}}', state="beside")
    add("peer_records", peer="langfuse", id=f"{NONCE}-of-session", name="note", session_id=f"{NONCE}-s", payload="{}", state="beside")
    add("peer_records", peer="mlflow", id="bobs", name="note", execution_id="bob1", payload="{}", state="beside")
    for trace, state, who in ((x1, "used", ADA), (f"{NONCE}-t", "held", ADA), (f"{NONCE}-t", "held", None), ("bob1", "used", ADA), ("t9", "held", BOB)):
        content = None if state == "used" else f'{{"said": "{NONCE if who != BOB else "b"}"}}'
        add("peer_spans", trace_id=trace, span_id=str(uuid4()), state=state, user_id=who, content=content)
    add("feedback_texts", text_hash=uuid4(), user_id=BOB, executions=[x1, "bob1"], is_correction=False)
    add("feedback_texts", text_hash=uuid4(), user_id=BOB, executions=[x1], is_correction=False)
    add("archived_raters", user_id=ADA, month=dt.date(2025, 1, 1), ratings=3)
    add("archived_thumbs", execution_id=x1, feedback_id="old", user_id=BOB)
    add("archived_returns", execution_id=x1, month=dt.date(2025, 1, 1))
    add("erased_archive_rows", erasure_id=PERSON.erasure_id, table_name="agent_feedback", row_id=f"{NONCE}-old", execution_id="old", texts=[f"{NONCE} " * 9])
    add("demonstration_splits", demonstration_id=f"{NONCE}-d1", split="train")
    _of_experiments(add, x1, x2)
    _of_reviews(connection, add, given["id"])


def _of_experiments(add: Any, x1: str, x2: str) -> None:
    add("learning_experiments", id=EXPERIMENT, name="e")
    for unit, about in ((PERSON.name, x1), (f"{NONCE}-s", x2), (f"{NONCE}-device", f"{NONCE}-x3"), ("bob", "bob1"), (PERSON.name, "bob2")):
        add("experiment_executions", experiment_id=EXPERIMENT, execution_id=about, unit=unit, variant="a", latency_ms=1.0)
    for unit in (PERSON.name, f"{NONCE}-s", f"{NONCE}-device", x1, "bob", "shared"):
        add("experiment_assignments", experiment_id=EXPERIMENT, unit=unit, variant="a")
        add("experiment_units", experiment_id=EXPERIMENT, unit=unit, variant="a", epoch=1, totals='{"executions": 2}')


def _of_reviews(connection: Connection, add: Any, example: str) -> None:
    add("review_actions", id=UUID(int=1), expert_id=ADA)
    add("review_actions", id=UUID(int=2), expert_id=BOB)
    for number, who, text in ((1, ADA, f"{NONCE} corrects"), (2, BOB, "Bob corrects")):
        add("expert_annotations", id=UUID(int=number), example_id=example, expert_id=who, corrected_output=text, notes=text, action_id=UUID(int=number))
    before = f'{{"reviewed_by": "{ADA}", "review_notes": "{NONCE}"}}'
    add("review_action_items", action_id=UUID(int=2), example_id=example, annotation_id=UUID(int=2), before=before, after=before)
    for who, seat in ((ADA, 1), (BOB, 2)):
        add("review_seats", example_id=example, expert_id=who, round=1, seat=seat)
        add("expert_reliability", expert_id=who, reviews=1, shared=1, reliability=0.5)
    add("adjudications", example_id=example, reason="r", candidates=[f"{NONCE} corrects", "Bob corrects"], resolved_by=None)
    add("example_conflicts", first_id="another", second_id=example, settled_by=ADA, notes=f"{NONCE} settled it", status="dismissed", reason="r")
    connection.execute("UPDATE learning_examples SET reviewed_by = %s, review_notes = %s WHERE id = %s", [ADA, f"{NONCE} notes", example])


def erase(store: Store) -> Touched:
    touched = Touched()
    with store.pipeline() as connection, connection.transaction():
        gathering.gather(connection, store, PERSON)
        rows.erase(connection, store, PERSON, touched)
    return touched


def naming(connection: Connection) -> dict[str, int]:
    """Rows by table that hold the nonce or the person's uuid anywhere."""
    found = {}
    for name in OWN:
        row = connection.execute(f"SELECT count(*) FROM {name} t WHERE t::text LIKE %s OR t::text LIKE %s", [f"%{NONCE}%", f"%{ADA}%"]).fetchone()  # type: ignore[arg-type]
        assert row is not None
        found[name] = int(row[0])
    return found


def test_nothing_of_the_person_is_left_in_any_table_of_rows(store: Store, world: None, pipeline: Connection) -> None:
    before = naming(pipeline)
    assert [name for name, number in before.items() if not number] == []  # each has something to lose
    touched = erase(store)
    left = {name: number for name, number in naming(pipeline).items() if number}
    assert left == {"example_conflicts": 1}  # who settled it: the account's
    assert {name for name in before if not touched.rows[name]} == set()
    assert table(pipeline, "learning_examples", f"review_notes LIKE '%{NONCE}%'") == []


def test_a_child_of_their_execution_is_theirs_unless_it_names_somebody_else(store: Store, world: None, pipeline: Connection) -> None:
    erase(store)
    left = {row["id"]: row["parent_id"] for row in table(pipeline, "agent_executions")}
    assert left == {"bob1": None, "bob2": None}
    assert {row["id"] for row in table(pipeline, "agent_feedback")} == {"f3", "f4"}


def test_everything_that_an_example_of_theirs_is_made_of_is_found(store: Store, world: None, pipeline: Connection) -> None:
    with pipeline.transaction():
        gathering.gather(pipeline, store, PERSON)
        found = {row["example_id"] for row in table(pipeline, "erased_examples")}
        theirs = {row["id"] for row in table(pipeline, "learning_examples") if NONCE in str({**row, "review_notes": None, "reviewed_by": None})}
        texts = {row["text"] for row in table(pipeline, "erased_texts")}
        again = {row["execution_id"] for row in table(pipeline, "erased_again")}
    assert theirs == found and {"given", "another"}.isdisjoint(found) and again == {"bob1"}
    assert {f"the long drawer of {NONCE}", f"Question of {NONCE}-x1", f"What bob says of {NONCE}, which is long enough"} <= texts
    assert f"{NONCE} corrects" not in texts and "Which form is for VAT?" in texts  # the one is too short, the other long enough


def test_words_that_somebody_elses_example_says_too_are_not_theirs_alone(store: Store, load: Load, pipeline: Connection) -> None:
    load("agents", [AGENT])
    common = "I am sorry, that I do not know."
    shown = [{"role": "user", "content": "What the demonstration asks for"}, {"role": "user", "content": "What ada alone asks for"}]
    load("executions", [execution("x1", user=PERSON.name, output=common, messages=shown)])
    load("examples", [{"example_id": "e", "agent": "desk", "input_text": "What the demonstration asks for", "expected_output": common}])
    with pipeline.transaction():
        gathering.gather(pipeline, store, PERSON)
        assert {row["text"] for row in table(pipeline, "erased_texts")} == {"What ada alone asks for"}


def test_texts_of_any_length_are_kept_once(store: Store, load: Load, pipeline: Connection) -> None:
    load("agents", [AGENT])
    load("executions", [execution(name, user=PERSON.name, input="long word " * 5_000, output="o") for name in ("x1", "x2")])
    with pipeline.transaction():
        gathering.gather(pipeline, store, PERSON)
        assert [len(row["text"]) for row in table(pipeline, "erased_texts")] == [50_000]


def test_an_example_goes_whose_text_an_expert_wrote_and_stays_where_they_only_proposed_one(store: Store, load: Load, pipeline: Connection) -> None:
    load("agents", [AGENT])
    given = {"agent": "desk", "input_text": "Which form?"}
    load("examples", [{"example_id": name, **given, "expected_output": f"Form of {name}."} for name in ("adopted", "built-on", "proposed")])
    one_row(pipeline, "users", organization_id=ORGANIZATION, id=ADA, external_id=PERSON.name, role="expert")
    one_row(pipeline, "users", organization_id=ORGANIZATION, id=BOB, external_id="bob", role="expert")
    said_by = (
        ("adopted", ADA, "Form of adopted.", None),
        ("built-on", ADA, "First", None),
        ("built-on", BOB, "Second", "First"),
        ("proposed", ADA, "Other", None),
    )
    for example, expert, text, base in said_by:
        one_row(pipeline, "expert_annotations", organization_id=ORGANIZATION, example_id=example, expert_id=expert, corrected_output=text, base_output=base)
    with pipeline.transaction():
        gathering.gather(pipeline, store, PERSON)
        assert {row["example_id"] for row in table(pipeline, "erased_examples")} == {"adopted", "built-on"}


def test_days_and_versions_count_at_once_as_if_they_had_never_been(store: Store, world: None, pipeline: Connection) -> None:
    erase(store)
    stored = [{name: value for name, value in row.items() if name != "computed_at"} for row in table(pipeline, "feedback_metrics")]
    today = dt.datetime.now(dt.UTC).date()
    with pipeline.transaction():
        compute_days(pipeline, today - dt.timedelta(days=3), today + dt.timedelta(days=1), store.settings.timezone)
        again = [{name: value for name, value in row.items() if name != "computed_at"} for row in table(pipeline, "feedback_metrics")]
    assert stored == again
    assert sum(row["executions"] for row in stored) == 2 and sum(row["feedback"] for row in stored) == 2 and sum(row["corrections"] for row in stored) == 0
    versions = {row["prompt_version"]: row["executions"] for row in table(pipeline, "prompt_performance")}
    assert versions == {"": 1, "1": 1}


def test_what_others_said_is_taken_up_again(store: Store, world: None, pipeline: Connection) -> None:
    erase(store)
    told = [(row["kind"], row["row_id"], row["execution_id"]) for row in table(pipeline, "outbox", "execution_id = 'bob1' AND row_id = 'bob1'")]
    assert ("feedback", "bob1", "bob1") in told
    pipeline.execute("DELETE FROM example_sources; DELETE FROM learning_examples WHERE source_type = 'user_feedback'")  # type: ignore[arg-type]
    assert refresh_examples(pipeline, agent_ref(pipeline)).executions >= 1
    (example,) = table(pipeline, "learning_examples", "source_type = 'user_feedback' AND input_text = 'Question of bob1'")
    assert (example["example_type"], example["expected_output"]) == ("positive", "Answer of bob1")


def test_a_question_that_somebody_else_asked_is_counted_without_them(store: Store, world: None, pipeline: Connection) -> None:
    (before,) = table(pipeline, "retrieval_queries", f"text NOT LIKE '%{NONCE}%'")
    erase(store)
    (after,) = table(pipeline, "retrieval_queries")
    assert (before["people"], before["documents"]) == (sorted([str(ADA), str(BOB)]), {"d1": 0.5})
    assert (after["people"], after["documents"], after["events"], after["paired"]) == ([str(BOB)], {"d1": 0}, 1, None)
    assert [row["query_id"] for row in table(pipeline, "embedding_training_pairs")] == [after["id"]]


def test_what_experiments_counted_stays_under_names_of_nobody(store: Store, world: None, pipeline: Connection) -> None:
    erase(store)
    units = {name: {row["unit"] for row in table(pipeline, name)} for name in ("experiment_units", "experiment_assignments")}
    assert units["experiment_units"] == units["experiment_assignments"]
    assert {"bob", "shared"} <= units["experiment_units"] and len([unit for unit in units["experiment_units"] if unit.startswith("erased-")]) == 4
    counted = table(pipeline, "experiment_executions")
    assert len(counted) == 5 and {row["unit"] for row in counted} <= units["experiment_units"] and sum(row["latency_ms"] for row in counted) == 5
    assert {row["execution_id"] for row in counted if not row["execution_id"].startswith("erased-")} == {"bob1", "bob2"}
    assert [row["totals"] for row in table(pipeline, "experiment_units")] == [{"executions": 2}] * 6


def test_what_others_did_stays(store: Store, world: None, pipeline: Connection) -> None:
    erase(store)
    assert [row["expert_id"] for name in ("expert_annotations", "review_actions", "review_seats", "expert_reliability") for row in table(pipeline, name)] == [
        BOB
    ] * 4
    assert [row["candidates"] for row in table(pipeline, "adjudications")] == [["Bob corrects"]]
    (item,) = table(pipeline, "review_action_items")
    assert item["before"] == item["after"] == {"reviewed_by": None, "review_notes": None}
    assert [row["executions"] for row in table(pipeline, "feedback_texts", f"user_id = '{BOB}'") if "bob1" in row["executions"]] == [["bob1"]]
    assert {row["id"] for row in table(pipeline, "demonstrations")} == {"d2"} and {row["id"] for row in table(pipeline, "peer_records")} == {"bobs"}
    assert {(row["trace_id"], row["user_id"]) for row in table(pipeline, "peer_spans")} == {("bob1", None), ("t9", BOB)}
    assert {row["external_id"] for row in table(pipeline, "ingest_keys", "kind = 'executions'")} == {"bob1", "bob2"}


def test_a_stand_in_of_a_statement_without_an_author_goes_with_the_statement(store: Store, load: Load, pipeline: Connection) -> None:
    load("agents", [AGENT])
    load("executions", [execution("x1", user=PERSON.name), execution("b1", user="bob")])
    load("feedback", [said("langfuse:s1:v2", "x1", user="langfuse:s1"), said("langfuse:s2", "b1", user="langfuse:s2"), said("f", "x1", user="cyd")])
    erase(store)
    assert {row["external_id"] for row in table(pipeline, "users")} == {PERSON.name, "bob", "langfuse:s2", "cyd"}


def test_weeks_of_users_agreement_are_looked_at_again(store: Store, world: None, pipeline: Connection) -> None:
    week = dt.datetime.now(dt.UTC).astimezone(store.settings.zone).date().isocalendar()
    values = {"organization_id": ORGANIZATION, "agent_id": DESK, "pair": "users", "units": 1}
    for period in (f"{week.year}-W{week.week:02}", "2001-W01"):
        one_row(pipeline, "annotation_agreement", **values, period=period)  # type: ignore[arg-type]
    one_row(pipeline, "curation_state", organization_id=ORGANIZATION, agent_id=DESK, name="thumbs", fingerprint="z", updated_at=dt.datetime.now(dt.UTC))
    erase(store)
    assert [row["period"] for row in table(pipeline, "annotation_agreement")] == ["2001-W01"]
    (state,) = table(pipeline, "curation_state", "name = 'thumbs'")
    assert state["updated_at"] <= min(row["created_at"] for row in table(pipeline, "agent_executions"))


@pytest.mark.slow
def test_somebody_with_fifty_thousand_executions_is_erased_within_minutes(store: Store, load: Load, pipeline: Connection) -> None:
    load("agents", [AGENT])
    day = dt.datetime.now(dt.UTC)
    load("executions", [execution(f"x{n}", user=PERSON.name, created_at=(day - dt.timedelta(minutes=n)).isoformat()) for n in range(50_000)])
    load("executions", [execution(f"b{n}", user="bob", created_at=(day - dt.timedelta(minutes=n)).isoformat()) for n in range(5_000)])
    load("feedback", [said(f"f{n}", f"x{n}", user="bob", rating=3) for n in range(0, 50_000, 5)])
    load("feedback", [said(f"g{n}", f"b{n}", user=PERSON.name, rating=2) for n in range(5_000)])
    catch_up(pipeline, store.settings.timezone)
    touched = erase(store)
    assert (touched.rows["agent_executions"], touched.rows["agent_feedback"]) == (50_000, 15_000)
    assert sum(row["executions"] for row in table(pipeline, "feedback_metrics")) == 5_000
