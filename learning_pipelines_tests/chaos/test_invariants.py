"""Every invariant of chaos holds where all is well, and fails where its fault is planted: one that cannot fail would prove nothing.

Belongs here: faults planted into a database that is sound. Not here: killing anything (test_chaos.py).
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import orjson
import psycopg
import pytest

from learning_pipelines.examples.refresh import refresh_examples
from learning_pipelines.feedback.importing import import_file, window_now
from learning_pipelines.retrieval.knowledge import ensure_base
from learning_pipelines.storage import audit, metrics, outbox, prompts, retrieval_queries
from learning_pipelines.storage.database import Connection, Database
from learning_pipelines.storage.ingest_sql import NIL
from learning_pipelines.storage.tenants import AgentRef
from learning_pipelines_tests.acceptance.proposing import learnt
from learning_pipelines_tests.chaos import invariants
from learning_pipelines_tests.chaos.asking import Call, Strike, faults, numbers
from learning_pipelines_tests.chaos.blows import WEIGHTS, calm_after, sequence
from learning_pipelines_tests.chaos.invariants import INVARIANTS, Evidence
from learning_pipelines_tests.chaos.ledger import Fetch, Ledger
from learning_pipelines_tests.chaos.report import Event, Report
from learning_pipelines_tests.chaos.sight import at_work
from learning_pipelines_tests.chaos.watch import Seen, look
from learning_pipelines_tests.conftest import START, MakeDatabase
from learning_pipelines_tests.examples.approved import correction, refresh
from learning_pipelines_tests.feedback.rows import AGENT, agent_ref, execution, said
from learning_pipelines_tests.retrieval.fake_encoders import fake_encoders

Plant = Callable[[Evidence], object]


@pytest.fixture(scope="module")
def sound(make_database: MakeDatabase, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """A database in which everything has been taken up."""
    folder = tmp_path_factory.mktemp("sound")

    def load(kind: str, rows: list[dict[str, object]]) -> None:
        path = folder / f"{kind}.jsonl"
        path.write_bytes(b"\n".join(map(orjson.dumps, rows)))
        assert import_file(connection, "default", kind, path, window=window_now(START, dt.UTC)).rejected == 0

    with make_database() as database, database.connect("pipeline") as connection:
        load("agents", [AGENT])
        load("executions", [execution(f"e{number}") for number in range(3)])
        load("feedback", [said("f0", "e0"), said("f1", "e1", "correction", correction_text="Form 7."), said("f2", "e2", "star_rating", rating=2)])
        load("examples", [correction(number) for number in range(12)])
        load("documents", [{"document_id": "d1", "text": "VAT is due in May."}])
        load("retrieval_feedback", [{"query": "when is VAT due", "retrieved": ["d1"], "relevant": ["d1"]}])
        agent = agent_ref(connection)
        refresh_examples(connection, agent)
        refresh(connection)
        ensure_base(connection, agent.organization_id, fake_encoders()[1])
        metrics.compute_days(connection, dt.datetime.now(dt.UTC).date(), dt.datetime.now(dt.UTC).date(), "UTC")
        shared = AgentRef(agent.organization_id, agent.organization, UUID(NIL), "")
        readers = (outbox.METRICS_READER, outbox.WEIGHTS_READER, outbox.INDEX_READER, retrieval_queries.READER, retrieval_queries.SHARED_READER)
        for reader in readers:
            place = max(filter(None, (outbox.newest(connection, owner) for owner in (agent, shared))), key=lambda one: (one.xid, one.id))
            for owner in (agent, shared):
                outbox.advance(connection, reader, owner, place)
        yield database


@pytest.fixture
def evidence(sound: Database) -> Iterator[Evidence]:
    """As a superuser who may drop constraints, in a transaction that is undone."""
    ledger = Ledger()
    for kind, ids in (("executions", ("e0", "e1", "e2")), ("feedback", ("f0", "f1", "f2"))):
        for identity in ids:
            ledger.done(kind, identity)
    ledger.corrections.add("f1")
    ledger.done("retrieval_feedback", "when is VAT due")
    ledger.document("d1", "VAT is due in May.", True)
    ledger.fetched(Fetch("desk", 1, time.time(), time.time()))
    ledger.done("runs", "r1")
    with psycopg.connect(sound.admin_url) as connection:
        connection.execute("SET search_path = learning, public")
        connection.execute("SET session_replication_role = replica")
        yield Evidence(connection, ledger, Seen(), {"r1": "SUCCESS"})
        connection.rollback()


def sql(*statements: str) -> Plant:
    def plant(evidence: Evidence) -> None:
        for statement in statements:
            assert evidence.connection.execute(statement).rowcount != 0  # type: ignore[call-overload]

    return plant


def again(table: str, condition: str = "true", **changed: str) -> Plant:
    """Stores a row twice, whatever keeps that from happening."""

    def plant(evidence: Evidence) -> None:
        stored = evidence.connection.execute(
            """SELECT string_agg(column_name, ', ') FROM information_schema.columns
            WHERE table_schema = 'learning' AND table_name = %s AND is_generated = 'NEVER'""",
            [table],
        ).fetchone()
        assert stored is not None
        columns = stored[0]
        evidence.connection.execute(
            f"CREATE TEMP TABLE twice ON COMMIT DROP AS SELECT {columns} FROM {table} WHERE {condition} LIMIT 1"  # type: ignore[call-overload]
        )
        for column, value in changed.items():
            evidence.connection.execute(f"UPDATE twice SET {column} = {value}")  # type: ignore[call-overload]
        _drop_unique(evidence.connection, table)
        assert evidence.connection.execute(f"INSERT INTO {table} ({columns}) SELECT {columns} FROM twice").rowcount == 1  # type: ignore[call-overload]

    return plant


def _drop_unique(connection: Connection, table: str) -> None:
    found = connection.execute(
        """SELECT i.indexrelid::regclass::text, c.conname FROM pg_index i LEFT JOIN pg_constraint c ON c.conindid = i.indexrelid AND c.contype IN ('p', 'u')
        WHERE i.indrelid = %s::regclass AND i.indisunique""",
        [f"learning.{table}"],
    ).fetchall()
    for index, constraint in found:
        drop = f"ALTER TABLE learning.{table} DROP CONSTRAINT {constraint} CASCADE" if constraint else f"DROP INDEX {index}"
        connection.execute(drop)  # type: ignore[call-overload]


def ledger(change: Callable[[Ledger], object]) -> Plant:
    return lambda evidence: change(evidence.ledger)


def moved(evidence: Evidence) -> None:
    """Production points at a learnt version that nobody approved; the audit log knows of the move."""
    agent = agent_ref(evidence.connection)
    number = learnt(evidence.connection, agent)
    prompts.move_label(evidence.connection, agent, "production", number, None)
    audit.record(
        evidence.connection, agent.organization_id, actor="x", action="moved", kind="prompt_label", subject="desk/production", before=1, after=number
    )  # fmt: skip


def went_back(evidence: Evidence) -> None:
    look(evidence.connection, evidence.seen)
    evidence.connection.execute("UPDATE outbox_positions SET id = id - 1 WHERE reader = 'learning_examples'")
    look(evidence.connection, evidence.seen)


FAULTS: dict[str, tuple[str, Plant]] = {
    "an acknowledged feedback is lost": ("every acknowledged record is stored exactly once", sql("DELETE FROM agent_feedback WHERE id = 'f0'")),
    "a feedback is there twice": ("every acknowledged record is stored exactly once", again("agent_feedback", "id = 'f0'", arrival="arrival + 1000")),
    "a feedback that nobody sent": ("every acknowledged record is stored exactly once", ledger(lambda book: book.sent["feedback"].remove("f2"))),
    "what was said of a search is there twice": ("every acknowledged record is stored exactly once", again("retrieval_events", id="'twice'")),
    "an annotation is lost": ("every acknowledged record is stored exactly once", ledger(lambda book: book.done("annotations", "a1"))),
    "feedback waits for what is there": ("feedback is joined to its execution", sql("UPDATE agent_feedback SET pending_execution = true WHERE id = 'f1'")),
    "two examples of one source": (
        "every example once per source", again("learning_examples", "source_id = 'f1'", id="'twice'", content_hash="sha256('other')")),
    "two examples of one content": ("every example once per source", again("learning_examples", "is_active", id="'twice'", source_id="'other'")),
    "a correction became no example": ("every example once per source", ledger(lambda book: book.corrections.add("f9"))),
    "a dataset lacks an example": ("no half dataset", sql("DELETE FROM dataset_examples WHERE example_id = (SELECT min(example_id) FROM dataset_examples)")),
    "a dataset is not sealed": ("no half dataset", sql("UPDATE training_datasets SET status = 'processing'")),
    "a dataset holds another weight": ("no half dataset", sql("UPDATE dataset_examples SET weight = weight / 2")),
    "two production labels": ("one production label per agent", again("prompt_labels", "label = 'production'")),
    "a label of no version": ("one production label per agent", sql("UPDATE prompt_labels SET version = 77")),
    "a prompt nobody approved serves": ("every served prompt was approved", moved),
    "a prompt was handed out that did not serve": (
        "every served prompt was approved", ledger(lambda book: book.fetched(Fetch("desk", 2, time.time(), time.time())))),
    "a document is lost": ("the index is complete", sql("DELETE FROM documents")),
    "a document is older than acknowledged": ("the index is complete", ledger(lambda book: book.document("d1", "VAT is due in June.", True))),
    "a chunk is lost": ("the index is complete", sql("DELETE FROM knowledge_chunks")),
    "a posting is lost": ("the index is complete", sql("DELETE FROM lexical_members")),
    "a vector is lost": ("the index is complete", sql("DELETE FROM chunk_embeddings")),
    "a vector of nothing": ("the index is complete", again("chunk_embeddings", chunk_id="'nothing'")),
    "a counter is wrong": ("counters equal recounts", sql("UPDATE feedback_metrics SET thumbs_up = thumbs_up + 1")),
    "a day was not counted": ("counters equal recounts", sql("DELETE FROM feedback_metrics")),
    "a position went backwards": ("the outbox is read forwards, to its end", went_back),
    "a reader is behind": ("the outbox is read forwards, to its end", sql("DELETE FROM outbox_positions WHERE reader = 'learning_examples'")),
    "a run goes on for ever": ("no run is stuck", lambda evidence: evidence.runs.update(r1="STARTED")),
    "an acknowledged run is not known": ("no run is stuck", ledger(lambda book: book.done("runs", "r2"))),
    "a training says that it goes on": ("no run is stuck", sql(
        """INSERT INTO training_runs (organization_id, agent_id, training_type, status)
        SELECT organization_id, id, 'prompt_optimization', 'running' FROM agents""")),
    "somebody got a 500": ("no answer is a 500", ledger(lambda book: book.answered("feedback", 500, "oh"))),
}  # fmt: skip


def test_a_sound_database_breaks_no_invariant(evidence: Evidence) -> None:
    look(evidence.connection, evidence.seen)
    assert invariants.judge(evidence) == {name: [] for name in INVARIANTS}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(evidence: Evidence, fault: str) -> None:
    invariant, plant = FAULTS[fault]
    plant(evidence)
    assert list(INVARIANTS[invariant](evidence)) != []


def test_every_invariant_has_a_fault_that_breaks_it() -> None:
    assert {invariant for invariant, _ in FAULTS.values()} == INVARIANTS.keys()


def test_an_invariant_without_anything_that_could_break_it_has_nothing_to_say(evidence: Evidence) -> None:
    said = [*invariants.silent(evidence)]
    evidence.connection.execute("TRUNCATE training_datasets, expert_annotations CASCADE")
    evidence.ledger.fetches.clear()
    now = invariants.silent(evidence)
    assert {"no half dataset", "every served prompt was approved"} <= set(now) and "no half dataset" not in said
    assert not set(now) & {"every example once per source", "feedback is joined to its execution", "the index is complete"}
    report = Report(7, "fake", True, invariants={name: list[str]() for name in INVARIANTS}, silent=now)
    page = report.as_markdown()
    assert "| no half dataset | nothing to say |" in page and "| the index is complete | yes |" in page
    assert "every invariant holds" not in page and f"{len(now)} with nothing to say" in page
    broken = replace(report, invariants={**report.invariants, "no half dataset": ["half a one"]})
    assert "| no half dataset | NO: half a one |" in broken.as_markdown()
    assert invariants.SUBJECTS.keys() == INVARIANTS.keys()


def test_a_report_says_what_there_was_to_break_when_blows_fell() -> None:
    report = Report(7, "fake", True, invariants={"all is well": []})
    report.events = [
        Event("api", 1.0, "api: 1 killed", None, rows={"training_datasets": 0}, works={}),
        Event("run", 2.0, "run: 1 killed", None, rows={"training_datasets": 2}, works={"dataset_refresh": 1}),
        Event("run", 3.0, "run: 1 killed", None, rows={"training_datasets": 3}, works={"index_refresh": 2}),
        Event("api", 4.0, "api: 1 killed", None),
    ]
    page = report.as_markdown()
    assert "| training_datasets | 2 | 3 | 2 |" in page and "| runs of dataset_refresh at work | 0 | 1 | 1 |" in page
    assert "Of 4 blows 1 fell while nobody could look" in page


def test_after_every_tenth_blow_a_dataset_is_waited_for_made_or_in_the_making_by_turns() -> None:
    assert [calm_after(number) for number in (1, 9, 10, 11, 20, 30, 40)] == [None, None, "made", None, "works", "made", "works"]


def test_a_run_is_at_work_while_the_process_is_there_in_which_it_executes_its_steps() -> None:
    said = "Started process for run (pid: 11). … Executing steps in process (pid: 12)"
    assert at_work(said, {12, 99}) and not at_work(said, {1, 2}) and not at_work("nothing yet", {12})


def test_a_call_of_a_model_may_fail_only_if_it_was_struck_twice_or_nothing_could_be_written() -> None:
    fine = [Call(who, 20, 21) for who in ("model", "encoder")]
    failed = Call("model", 10, 12, "EndpointDown")
    kill, other, full = Strike("model", 11, 11), Strike("model", 9, 9), Strike("disk", 8, 11)
    before = Call("model", 5, 8.5)
    assert faults([before, failed, *fine], [kill, other]) == faults([before, failed, *fine], [kill, full]) == []
    assert len(faults([before, failed, *fine], [kill])) == len(faults([before, failed, *fine], [kill, Strike("model", 1, 1)])) == 1
    assert faults([replace(failed, opening=True), *fine], [kill]) == []
    assert len(faults([*fine, Call("encoder", 30, 31, wrong="gave the same text another vector")], [])) == 1
    assert len(faults([*fine, Call("encoder", 15, 16, "KeyError", ours=False)], [Strike("disk", 15, 16)])) == 1
    assert faults(fine, [Strike("api", 22, 23)]) == [f"no call of the {who} was answered after the last blow" for who in ("model", "encoder")]
    assert numbers([failed, *fine]) == {"model": {"EndpointDown": 1, "answered": 1}, "encoder": {"answered": 1}}


def test_a_refused_or_unavailable_answer_is_no_fault() -> None:
    book = Ledger()
    for status in (201, 409, 429, 503, "ReadError"):
        book.answered("feedback", status)
    assert (book.odd, book.numbers()["feedback"]) == ([], {"201": 1, "409": 1, "429": 1, "503": 1, "ReadError": 1})


def test_a_seed_names_one_sequence_of_blows_in_which_every_kind_occurs() -> None:
    assert sequence(7, 200) == sequence(7, 200) != sequence(8, 200)
    assert {blow.kind for blow in sequence(7, 200)} == WEIGHTS.keys()
    assert len(sequence(7, 200)) == 200


def test_a_report_says_what_was_struck_and_what_failed(tmp_path: Path) -> None:
    report = Report(7, "fake", True, invariants={"all is well": []})
    report.events = [Event("api", 1.0, "api: 1 killed", 2.5), Event("disk", 5.0, "disk full", None)]
    report.missed["model"] += 2
    assert report.holds and "| api | 1 | 1 | 2.5 | 2.5 |" in report.as_markdown()
    report.invariants["nothing is lost"] = ["feedback f1 is lost"]
    page = report.write(tmp_path).read_text()
    assert not report.holds and "AN INVARIANT FAILED" in page and "NO: feedback f1 is lost" in page
    written = orjson.loads((tmp_path / "chaos-7.json").read_bytes())
    found = (written["holds"], written["seed"], written["events_by_kind"], written["missed"])
    assert found == (False, 7, {"api": 1, "disk": 1}, {"model": 2})
    assert Report.read(tmp_path / "chaos-7.json") == report


def test_the_page_about_chaos_holds_the_report_that_is_kept() -> None:
    (kept,) = (Path(__file__).parent / "results").glob("*.json")
    page = (Path(__file__).parents[2] / "docs" / "chaos.md").read_text(encoding="utf-8")
    assert Report.read(kept).as_markdown().split("\n", 2)[2].strip() in page
