"""The proof of erasure: a person with unmistakable words lives in an installation, is erased, and everything is searched for what is left.

Belongs here: what holds afterwards. Not here: the world (planted*.py), the search (looking.py), erasures that are cut off (test_cut_off.py).

The search first has to find the person in every table in which a world like this leaves traces: a table that is new, or that is no longer reached,
fails, so that nothing passes because nothing was looked at.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from learning_pipelines.errors import BadInput
from learning_pipelines.examples.exporting import export_dataset
from learning_pipelines.examples.versions import rebuild
from learning_pipelines.feedback.archive.checking import check as check_archive
from learning_pipelines.feedback.erasure import certificate, engine, requesting
from learning_pipelines.feedback.identity import fingerprint, organization_id
from learning_pipelines.feedback.statistics import catch_up
from learning_pipelines.storage import installation as checks
from learning_pipelines.storage import prompts
from learning_pipelines.storage.embedded import EmbeddedServer
from learning_pipelines_tests.api.serving import serving
from learning_pipelines_tests.conftest import MakeDatabase
from learning_pipelines_tests.defs.erasure import planted_learnt, planted_rows
from learning_pipelines_tests.defs.erasure.looking import Needles, picture, tables_of
from learning_pipelines_tests.defs.erasure.planted import ID, NAME, OTHER, PERSON, WORD, Planted, installation, needles_of, shared_of, traces
from learning_pipelines_tests.defs.erasure.planted_rows import Served
from learning_pipelines_tests.examples.approved import dataset
from learning_pipelines_tests.feedback.archive.conftest import metrics, up_to_date
from learning_pipelines_tests.feedback.rows import agent_ref, said

SPOKEN = {
    "agent_executions", "agent_feedback", "api_keys", "archived_raters", "archived_returns", "archived_thumbs", "audit_log", "dataset_examples",
    "dataset_pairs", "dataset_states", "demonstration_vectors", "demonstrations", "duplicate_links", "example_conflicts", "example_contents",
    "example_quality", "example_sketches", "example_sources", "example_splits", "experiment_assignments", "expert_annotations", "expert_reliability",
    "feedback_texts", "ingest_keys", "learning_examples", "outbox", "peer_records", "peer_spans", "preference_pairs", "prompt_labels", "prompt_versions",
    "rater_weights", "retrieval_events", "review_action_items", "review_actions", "review_seats", "stale_quality", "training_datasets", "users",
}  # fmt: skip
"""Tables in which the person is found once they have spoken, been served and judged, and a dataset was made."""
LEARNT = {
    "acceptance_test_items", "behavior_labels", "behavior_patterns", "behavior_versions", "demonstration_splits", "embedding_training_pairs",
    "execution_scores", "experiment_executions", "experiment_units", "index_labels", "proposals", "retrieval_queries", "training_runs",
}  # fmt: skip
"""Tables in which they are found besides once it was learnt from that."""
MAYBE = {
    "correction_clusters", "correction_findings", "example_embeddings", "judge_verdicts", "llm_responses", "prompt_candidates", "prompt_evaluations",
    "quality_calibrations", "retrieval_answers", "adjudications", "dataset_uses", "chunk_edits", "chunk_edit_operations", "learning_reports", "serving_sets",
    "review_settings", "learning_experiments", "experiment_decisions", "example_changes", "lexical_changes",
    "ended_sessions",
}  # fmt: skip
"""Tables that may hold a trace, but in which this world leaves none, or not surely; afterwards there must be none in them either."""
NOWHERE = {
    "what an agent is, and who may use the installation": {"agents", "organizations", "alembic_version"},
    "counts and sums of many people": {
        "annotation_agreement", "archived_metrics", "feedback_metrics", "experiment_epochs", "experiment_metrics", "prompt_performance", "serving_scores",
        "acceptance_tests", "examination_curves", "chunk_relevance", "llm_usage", "operating_numbers", "report_deliveries", "incidents",
    },
    "documents of the installation and what follows from them": {
        "documents", "document_chunkings", "knowledge_chunks", "chunk_embeddings", "lexical_members", "lexical_postings", "lexical_segments", "lexical_states",
    },
    "versions, files and their hashes": {"archived_partitions", "dataset_exports", "encoder_versions", "index_versions"},
    "how far readers have read": {"curation_state", "outbox_positions", "retrieval_feedback_state"},
    "erasures themselves: fingerprints, counts, reasons": {"erasures", "erased_names", "erased_archive_rows", "retraining_due", "erased_versions"},
}  # fmt: skip
"""Tables in which no trace can be, and why."""
FILES = ("artifacts/archive/agent_executions/", "artifacts/archive/agent_feedback/", "artifacts/datasets/")
COUNTED_AGAIN = {
    "archived_metrics", "archived_partitions", "archived_raters", "archived_thumbs", "annotation_agreement", "audit_log", "curation_state", "dataset_exports",
    "behavior_labels", "behavior_versions", "index_labels", "index_versions", "llm_responses", "proposals",
    "dataset_states", "erasures", "example_changes", "example_quality", "expert_reliability", "feedback_metrics", "operating_numbers", "outbox",
    "outbox_positions", "prompt_labels", "prompt_performance", "prompt_versions", "rater_weights", "retraining_due", "retrieval_feedback_state",
    "retrieval_queries", "stale_quality", "training_datasets",
}  # fmt: skip
"""Tables whose rows are about many people at once or note what was done: they are compared by what they say, not row by row."""


@dataclass
class World:
    """The installation and everything that was seen of it before anybody was erased."""

    planted: Planted
    served: Served
    whole: bool
    needles: Needles
    shared: dict[str, str]
    found: set[str]
    rows: dict[str, Counter[str]]
    splits: dict[str, str]
    dataset_hash: bytes


@pytest.fixture(scope="module", params=["spoken", pytest.param("learnt", marks=pytest.mark.slow)])
def world(request: pytest.FixtureRequest, server: EmbeddedServer, make_database: MakeDatabase, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    whole = request.param == "learnt"
    with installation(server, make_database, tmp_path_factory.mktemp("planted")) as planted, planted_learnt.fakes():
        planted.model.always = planted_learnt.answers
        planted_rows.imported(planted)
        served = planted_rows.over_http(planted)
        for stage in planted_learnt.STAGES if whole else (planted_learnt.dataset, planted_learnt.counted):
            stage(planted)
        needles = needles_of(planted)
        with planted.connection() as connection:
            version = dataset(connection)
        yield World(
            planted, served, whole, needles, shared_of(planted), traces(planted, needles), picture(planted.database.admin_url, "learning"), _splits(planted),
            version.content_hash,
        )  # fmt: skip


@pytest.fixture(scope="module")
def erased(world: World) -> dict[str, Any]:
    """The certificate of the erasure."""
    return erase(world.planted, NAME)


def erase(planted: Planted, name: str) -> dict[str, Any]:
    with planted.connection() as connection:
        asked = requesting.request(connection, organization_id("default"), name, actor="operator", requested_by="operator")
    assert asked is not None
    return engine.erase(planted.store, asked)


def _splits(planted: Planted) -> dict[str, str]:
    return dict(planted.rows("SELECT example_id, split FROM example_splits"))


def test_before_it_the_search_finds_the_person_in_every_table_in_which_a_trace_is_expected(world: World) -> None:
    tables = {one.partition(".")[0] for one in world.found if "/" not in one and ":" not in one}
    expected = SPOKEN | (LEARNT if world.whole else set())
    assert (expected - tables, tables - expected - (MAYBE if world.whole else set())) == (set(), set())
    for folder in FILES:
        assert any(one.startswith(folder) for one in world.found), folder


def test_nothing_of_them_is_left_in_any_table_file_or_log(world: World, erased: dict[str, Any]) -> None:
    assert sorted(traces(world.planted, world.needles)) == []
    assert erased["remaining"] == []


def test_the_certificate_says_what_was_done_and_nothing_of_whom(world: World, erased: dict[str, Any]) -> None:
    assert certificate.checksum(erased) == erased["checksum"]
    assert erased["person"] == fingerprint(organization_id("default"), NAME).hex()
    assert not world.needles.in_text(json.dumps(erased))
    path = world.planted.settings.home / "artifacts" / certificate.path_of(erased)
    assert certificate.check(path) == erased
    told = {"agent_executions", "agent_feedback", "demonstrations", "learning_examples", "expert_annotations", "retrieval_events", "api_keys", "ingest_keys"}
    assert told <= erased["touched"].keys()
    assert len(erased["files"]["rewritten"]) == 2


def test_rows_of_everybody_else_are_what_they_were(world: World, erased: dict[str, Any]) -> None:
    after = picture(world.planted.database.admin_url, "learning")
    theirs, shared = str(organization_id(OTHER)), Needles(ids=world.shared)
    lost = {}
    for table, rows in world.rows.items():
        kept = {row: count for row, count in rows.items() if theirs in row or (table not in COUNTED_AGAIN and not _about(row, world.needles, shared))}
        if missing := Counter(kept) - after[table]:
            lost[table] = [row[:300] for row in missing][:3]
    assert lost == {}


def _about(row: str, *needles: Needles) -> bool:
    return any(one.in_text(row) for one in needles)


def test_an_example_that_others_stand_behind_as_well_is_derived_again_without_the_person(world: World, erased: dict[str, Any]) -> None:
    assert len(set(world.shared.values())) >= 2
    up_to_date(world.planted.store)
    again = world.planted.rows("SELECT DISTINCT execution_id FROM example_sources WHERE execution_id = ANY(%s)", [*world.shared.values()])
    assert {row[0] for row in again} == set(world.shared.values())
    found = world.planted.rows(
        "SELECT DISTINCT u.external_id FROM example_sources s JOIN users u ON u.organization_id = s.organization_id AND u.id = s.user_id "
        "WHERE s.execution_id = 'bob-e3' AND s.organization_id = learning.organization_id('default')"
    )
    assert sorted(row[0] for row in found) == ["bob", "eve"]


def test_counters_equal_recounts(world: World, erased: dict[str, Any]) -> None:
    with world.planted.connection() as connection:
        catch_up(connection, world.planted.settings.timezone)
        kept = metrics(connection)
        _recount(world.planted)
        assert metrics(connection) == kept and sum(row["feedback"] for row in kept) > 0


def _recount(planted: Planted) -> None:
    from learning_pipelines.storage.metrics import compute_days

    with planted.connection() as connection:
        (first, last) = connection.execute("SELECT min(day), max(day) FROM feedback_metrics").fetchone() or (None, None)
        compute_days(connection, first, last, planted.settings.timezone)


def test_the_checks_of_verify_and_of_the_archive_are_green(world: World, erased: dict[str, Any]) -> None:
    assert [one for one in checks.findings(world.planted.database) if not one.ok] == []
    assert check_archive(world.planted.store).wrong == []


def test_the_archive_still_holds_what_others_said_that_month(world: World, erased: dict[str, Any]) -> None:
    import pyarrow.parquet as pq

    folder = world.planted.settings.home / "artifacts" / "archive"
    for table, ids in (("agent_executions", ["bob-e20", "bob-e21", "bob-e22"]), ("agent_feedback", ["bob-f20", "eve-f12"])):
        read = pq.read_table(folder / table / "organization=default" / "month=2025-03" / "rows.parquet", partitioning=None).to_pylist()
        assert sorted(row["id"] for row in read) == ids


def test_the_old_dataset_keeps_its_hash_and_refuses_while_its_successor_serves(world: World, erased: dict[str, Any]) -> None:
    (told,) = [one for one in erased["datasets"] if one["agent"] == "desk"]
    with world.planted.connection() as connection:
        old, new = dataset(connection, 1), dataset(connection)
        assert (old.content_hash, old.status, new.status) == (world.dataset_hash, "archived", "ready")
        assert new.version > old.version and str(told["successor"]) == str(new.version)
        desk = agent_ref(connection)
        for refused in (
            lambda: export_dataset(connection, desk, old, "openai-chat", str(world.planted.settings.home / "refused.jsonl")),
            lambda: rebuild(connection, desk, old.id),
        ):
            with pytest.raises(BadInput, match=str(new.version)):
                refused()
        assert rebuild(connection, desk, new.id).content_hash == new.content_hash
        members = {row[0] for row in connection.execute("SELECT example_id FROM dataset_examples WHERE dataset_id = %s", [new.id]).fetchall()}
    assert members and not any(one.startswith(ID) for one in members)
    assert not (world.planted.settings.home / "refused.jsonl").exists()
    assert _splits(world.planted).items() <= world.splits.items()  # nobody moved


def test_what_serves_is_a_version_without_their_words_and_tombstones_cannot_serve(world: World, erased: dict[str, Any]) -> None:
    assert {one["agent"] for one in erased["prompts"]} >= {"desk"}
    with world.planted.connection() as connection:
        desk = agent_ref(connection)
        for label in ("production", "staging"):
            number = prompts.label_target(connection, desk, label)
            assert number is not None
            found = prompts.version(connection, desk, number)
            assert found is not None and found.messages and not world.needles.in_text(json.dumps(found.messages))
        tombstones = [one["old"] for one in erased["prompts"] if one["agent"] == "desk"]
    with serving(world.planted.database, world.planted.settings) as api:
        admin = api.key("admin", user="bob")
        for number in tombstones:
            answer = api.ask("PUT", "/prompts/desk/labels/production", admin, json={"version": int(number)})
            assert answer.status_code in (404, 409, 422) and "erased" in answer.text
        served = api.get("/prompts/desk", admin)
        assert served.status_code == 200 and served.json()["messages"] and not world.needles.in_text(served.text)


def test_neither_key_nor_session_nor_token_of_theirs_works(world: World, erased: dict[str, Any]) -> None:
    with serving(world.planted.database, world.planted.settings) as api:
        expert = planted_rows.personal(NAME, "expert")
        for path, credential in (("/stats", world.served.key), ("/annotations/queue", expert), ("/feedback/mine", world.served.token)):
            assert api.get(path, credential).status_code == 401, path
        told = {"cookies": {"learning_session": world.served.session}}
        assert api.get("/session", **told).status_code == 401
        answer = api.post("/feedback", said(f"{ID}-again", "bob-e1"), None, headers={"X-CSRF-Token": world.served.csrf}, **told)
        assert answer.status_code in (401, 403)


def test_jobs_run_afterwards_and_bring_nothing_back(world: World, erased: dict[str, Any]) -> None:
    jobs = [("dataset_refresh", "default/desk")]
    if world.whole:
        jobs += [("rag_training", "default/finder"), ("ab_test_analysis", None)]
    for job, partition in jobs:
        world.planted.run(job, partition)
    up_to_date(world.planted.store)
    assert sorted(traces(world.planted, world.needles)) == []


def test_somebody_who_is_called_the_same_later_is_a_new_person(world: World, erased: dict[str, Any]) -> None:
    world.planted.load("executions", [planted_rows.mine(40)])
    world.planted.load("feedback", [said(f"{ID}-f40", f"{ID}-e40", user=NAME)])
    assert world.planted.rows("SELECT is_active, role FROM users WHERE external_id = %s AND id = %s", NAME, PERSON) == [(True, "user")]
    again = erase(world.planted, NAME)
    assert again["certificate_id"] != erased["certificate_id"] and again["touched"]["agent_executions"] == 1
    assert sorted(traces(world.planted, Needles(NAME, WORD, ID, ids=[str(PERSON)]))) == []


def test_every_table_is_one_where_traces_are_looked_for_or_one_that_cannot_hold_any(world: World) -> None:
    tables = {name for schema, name in tables_of(world.planted.database.admin_url) if schema == "learning"}
    assert tables - SPOKEN - LEARNT - MAYBE - set().union(*NOWHERE.values()) == set()
