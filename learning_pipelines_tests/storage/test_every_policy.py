"""Every table × role × verb: what each may read and write, written down here; and that dropping or widening any one policy shows.

Belongs here: the walk and its expectations, apart from the migrations. Not here: single cases in words (test_isolation.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any
from uuid import UUID

import psycopg
import pytest

from learning_pipelines.feedback.identity import organization_id, user_id
from learning_pipelines.storage.database import Database
from learning_pipelines_tests.conftest import MakeDatabase
from learning_pipelines_tests.storage.one_row import one_row, tables

OURS, THEIRS = organization_id("ours"), organization_id("theirs")
ADA, BOB = user_id(OURS, "ada"), user_id(OURS, "bob")
ROLES = ("user", "expert", "trainer", "experimenter", "admin")
ACTORS = (*ROLES, "application")
Session = psycopg.Connection[Any]
Denied = psycopg.errors.InsufficientPrivilege

# Who reads, who writes: none, member (everybody of the organization), own (a person with role user: their rows), or roles (admin always).
RULES: dict[str, tuple[str, str]] = {
    "organizations": ("member", "none"), "users": ("member", "member"), "agents": ("member", "admin"), "agent_executions": ("own", "own"),
    "agent_feedback": ("own", "own"), "ingest_keys": ("member", "member"), "outbox": ("none", "member"), "outbox_positions": ("none", "none"),
    "demonstrations": ("expert|trainer", "expert"), "learning_examples": ("expert|trainer", "expert"), "example_sources": ("expert|trainer", "none"),
    "expert_annotations": ("expert|trainer", "expert"), "example_splits": ("expert|trainer", "none"), "training_datasets": ("trainer", "trainer"),
    "dataset_examples": ("trainer", "none"), "training_runs": ("trainer", "trainer"), "prompt_versions": ("member", "admin"),
    "prompt_labels": ("member", "admin"), "learning_experiments": ("experimenter", "experimenter"), "experiment_assignments": ("experimenter", "member"),
    "documents": ("member", "member"), "knowledge_chunks": ("member", "none"), "encoder_versions": ("member", "none"),
    "index_versions": ("member", "none"), "chunk_embeddings": ("member", "none"), "retrieval_events": ("own", "own"),
    "embedding_training_pairs": ("trainer", "none"), "feedback_metrics": ("member", "none"), "learning_reports": ("member", "none"),
    "api_keys": ("member", "none"), "audit_log": ("admin", "member"), "archived_partitions": ("member", "none"),
    "archived_metrics": ("member", "none"), "archived_raters": ("none", "none"),
    "archived_thumbs": ("none", "none"), "archived_returns": ("member", "none"),
    "llm_responses": ("none", "none"),
    "llm_usage": ("trainer", "none"), "rater_weights": ("own", "none"), "feedback_texts": ("none", "none"), "review_settings": ("expert|trainer", "admin"),
    "review_seats": ("expert|trainer", "expert"), "review_actions": ("expert|trainer", "expert"), "review_action_items": ("expert|trainer", "expert"),
    "example_sketches": ("expert|trainer", "none"), "example_embeddings": ("expert|trainer", "none"), "duplicate_links": ("expert|trainer", "none"),
    "example_conflicts": ("expert|trainer", "expert"), "expert_reliability": ("trainer", "none"), "adjudications": ("expert|trainer", "expert"),
    "annotation_agreement": ("expert|trainer", "none"), "quality_calibrations": ("trainer", "none"), "example_quality": ("expert|trainer", "none"),
    "stale_quality": ("none", "expert"), "curation_state": ("none", "none"), "example_contents": ("trainer", "none"),
    "preference_pairs": ("trainer", "none"), "example_changes": ("none", "expert"), "dataset_states": ("none", "none"),
    "dataset_pairs": ("trainer", "none"), "dataset_uses": ("trainer", "none"),
    "dataset_exports": ("trainer", "none"), "judge_verdicts": ("expert|trainer", "none"),
    "peer_records": ("own", "own"), "peer_spans": ("own", "own"), "proposals": ("trainer", "admin"), "acceptance_tests": ("trainer", "none"),
    "acceptance_test_items": ("trainer", "none"), "demonstration_vectors": ("trainer", "none"),
    "prompt_performance": ("member", "none"), "prompt_candidates": ("trainer", "none"),
    "prompt_evaluations": ("trainer", "none"), "execution_scores": ("expert|trainer", "none"),
    "lexical_states": ("member", "none"), "lexical_segments": ("member", "none"), "lexical_postings": ("member", "none"),
    "lexical_members": ("member", "none"), "lexical_changes": ("none", "none"),
    "index_labels": ("member", "admin"), "retrieval_queries": ("trainer", "none"),
    "chunk_edits": ("member", "none"), "chunk_edit_operations": ("member", "none"),
    "retrieval_answers": ("trainer", "none"), "retrieval_feedback_state": ("none", "none"), "chunk_relevance": ("trainer", "none"),
    "examination_curves": ("trainer", "none"),
    "document_chunkings": ("member", "none"),
    "correction_clusters": ("expert|trainer", "none"), "correction_findings": ("expert|trainer", "none"),
    "demonstration_splits": ("trainer", "none"), "behavior_versions": ("member", "none"), "behavior_labels": ("member", "admin"),
    "behavior_patterns": ("trainer", "none"), "experiment_epochs": ("experimenter", "experimenter"), "experiment_units": ("experimenter", "none"),
    "experiment_metrics": ("experimenter", "none"), "experiment_decisions": ("experimenter", "experimenter"),
    "experiment_executions": ("experimenter", "none"), "serving_sets": ("trainer", "none"), "serving_scores": ("member", "none"),
    "report_deliveries": ("admin", "none"), "ended_sessions": ("member", "member"),
    "operating_numbers": ("member", "none"), "erasures": ("admin", "admin"), "erased_names": ("member", "admin"),
    "retraining_due": ("trainer", "none"), "erased_archive_rows": ("none", "none"), "incidents": ("none", "none"),
}  # fmt: skip
READ_BY_APPLICATIONS = ("outbox", "outbox_positions")
"""Beside the rule: ids and times of what changed, for exact statistics."""
ANONYMOUS = ("agent_feedback",)
"""Where a person may write a row without a user."""
APPEND_ONLY = ("audit_log", "prompt_versions", "erasures")
COLUMNS = {"api_keys": "UPDATE api_keys SET last_used_at = now()"}
"""Updates of single columns that are granted where the table is not."""


@pytest.fixture(scope="module")
def database(make_database: MakeDatabase) -> Iterator[Database]:
    """Two tenants with a row in every table; ours has a row of a second user in every table that people see only their own rows of."""
    with make_database() as fresh:
        with psycopg.connect(fresh.admin_url, autocommit=True) as session:
            session.execute("SET session_replication_role = replica")
            for table in tables(session):
                for organization, slug in ((OURS, "ours"), (THEIRS, "theirs")):
                    one_row(session, table, organization_id=organization, slug=slug, user_id=user_id(organization, "ada"))
                if "own" in RULES.get(table, ()):
                    one_row(session, table, organization_id=OURS, id_suffix="bob", user_id=BOB)
        yield fresh


@pytest.fixture
def session(database: Database) -> Iterator[Session]:
    """A superuser's session without foreign keys and triggers, that becomes one role after the other; whatever it does is rolled back."""
    with psycopg.connect(database.admin_url, options="-c search_path=learning,public -c session_replication_role=replica") as connection:
        yield connection
        connection.rollback()


@contextmanager
def acting(session: Session, actor: str, organization: UUID | None = OURS) -> Iterator[None]:
    """As the API acting for an actor; undone at the end."""
    role, principal = ("user", "application") if actor == "application" else (actor, "")
    with session.transaction(force_rollback=True):
        told = {"organization_id": organization or "", "user_id": ADA, "role": role, "principal": principal}
        settings = {f"app.current_{name}": str(value) for name, value in told.items()} | {"role": "learning_api"}
        set_all = "SELECT set_config(name, value, true) FROM unnest(%s::text[], %s::text[]) AS one (name, value)"
        session.execute(set_all, [list(settings), list(settings.values())])
        yield


def outcome(session: Session, query: str) -> object:
    try:
        with session.transaction(force_rollback=True):
            cursor = session.execute(query)  # type: ignore[call-overload]
            return sorted(map(str, cursor.fetchall())) if cursor.description else cursor.rowcount
    except psycopg.errors.UniqueViolation:
        return "ok"  # policies are asked before indexes
    except Denied:
        return "denied"


def inserted(session: Session, table: str, organization: UUID, user: UUID | None) -> object:
    slug = "new" if organization == OURS else "theirs"
    if table == "organizations":
        organization = organization_id("new")  # a third one: its own row exists already
    try:
        with session.transaction(force_rollback=True):
            one_row(session, table, organization_id=organization, slug=slug, id_suffix="new", user_id=user)
            return "ok"
    except psycopg.errors.UniqueViolation:
        return "ok"  # policies are asked before indexes
    except Denied:
        return "denied"


def walk(session: Session, table: str) -> Iterator[tuple[str, object]]:
    """What every actor gets of one table by every verb, one after the other."""
    for role in ("learning_owner", "learning_pipeline"):
        with session.transaction(force_rollback=True):
            session.execute(f"SET LOCAL ROLE {role}")  # type: ignore[call-overload]
            yield f"{role} reads", outcome(session, f"SELECT organization_id FROM {table}")
    for actor in ACTORS:
        with acting(session, actor):
            yield f"{actor} reads", outcome(session, f"SELECT organization_id FROM {table}")
            yield f"{actor} updates", outcome(session, f"UPDATE {table} SET organization_id = organization_id")
            yield f"{actor} moves", outcome(session, f"UPDATE {table} SET organization_id = '{THEIRS}'")
            yield f"{actor} deletes", outcome(session, f"DELETE FROM {table}")
            yield f"{actor} inserts", inserted(session, table, OURS, ADA)
            yield f"{actor} inserts for them", inserted(session, table, THEIRS, user_id(THEIRS, "ada"))
            yield f"{actor} inserts anonymously", inserted(session, table, OURS, None)
            if table in COLUMNS:
                yield f"{actor} updates a column", outcome(session, COLUMNS[table])


def shows(session: Session, table: str, wanted: dict[str, object]) -> bool:
    """Whether a walk differs from what is wanted; it ends at the first difference."""
    with closing(walk(session, table)) as steps:
        return any(wanted[name] != found for name, found in steps)


def permitted(rule: str, actor: str) -> bool:
    return rule in ("member", "own") or (actor == "admin" and rule != "none") or actor in rule.split("|")


def expected(session: Session, table: str) -> dict[str, object]:
    """The same from RULES alone."""
    reads, writes = RULES[table]
    found: dict[str, object] = {}
    for actor in ACTORS:
        ours = 1 if "own" not in (reads, writes) or actor == "user" else 2
        readable = permitted(reads, actor) or (table in READ_BY_APPLICATIONS and actor not in ("user",))
        granted = reads != "none" or table in READ_BY_APPLICATIONS
        touched = ours if readable and permitted(writes, actor) else 0
        found[f"{actor} reads"] = [str((OURS,))] * ours if readable else [] if granted else "denied"
        found[f"{actor} updates"] = touched if writes != "none" and granted and table not in APPEND_ONLY else "denied"
        # This update reads no column, so that only the policy of updates decides which rows it meets.
        found[f"{actor} moves"] = "denied" if permitted(writes, actor) or writes == "none" or table in APPEND_ONLY else 0
        found[f"{actor} deletes"] = "denied"
        found[f"{actor} inserts"] = "ok" if permitted(writes, actor) else "denied"
        found[f"{actor} inserts for them"] = "denied"
        anonymous = permitted(writes, actor) and (writes != "own" or actor != "user" or table in ANONYMOUS)
        found[f"{actor} inserts anonymously"] = "ok" if anonymous else "denied"
        if table in COLUMNS:
            found[f"{actor} updates a column"] = ours
    every = [str((OURS,))] * (2 if "own" in (reads, writes) else 1) + [str((THEIRS,))]
    return {**found, "learning_owner reads": sorted(every), "learning_pipeline reads": sorted(every)}


def policies(session: Session, table: str) -> list[tuple[str, str, bool]]:
    """Name, command and whether it has a USING condition."""
    rows = session.execute("SELECT policyname, cmd, qual IS NOT NULL FROM pg_policies WHERE schemaname = 'learning' AND tablename = %s", [table]).fetchall()
    return [(str(name), str(command), bool(using)) for name, command, using in rows]


def test_every_table_is_written_down_here(session: Session) -> None:
    assert sorted(RULES) == tables(session)


@pytest.mark.parametrize("table", sorted(RULES))
def test_a_table_gives_every_role_what_is_written_down_and_nothing_else(session: Session, table: str) -> None:
    assert dict(walk(session, table)) == expected(session, table)


@pytest.mark.parametrize("table", sorted(RULES))
def test_a_dropped_policy_shows(session: Session, table: str) -> None:
    wanted = expected(session, table)
    found = policies(session, table)
    assert len(found) >= 2
    unnoticed = []
    for name, _, _ in found:
        with session.transaction(force_rollback=True):
            session.execute(f"DROP POLICY {name} ON {table}")  # type: ignore[call-overload]
            if not shows(session, table, wanted):
                unnoticed.append(name)
    assert unnoticed == []


@pytest.mark.parametrize("table", sorted(RULES))
def test_a_widened_policy_and_missing_row_security_show(session: Session, table: str) -> None:
    wanted = expected(session, table)
    unnoticed = []
    for name, command, using in policies(session, table):
        if name in ("owner_all", "pipeline_all"):
            continue
        wide = " ".join(part for part in ("USING (true)" if using else "", "WITH CHECK (true)" if command != "SELECT" else "") if part)
        with session.transaction(force_rollback=True):
            session.execute(f"ALTER POLICY {name} ON {table} {wide}")  # type: ignore[call-overload]
            if not shows(session, table, wanted):
                unnoticed.append(name)
    assert unnoticed == []
    if RULES[table] != ("none", "none"):
        with session.transaction(force_rollback=True):
            session.execute(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY")  # type: ignore[call-overload]
            assert shows(session, table, wanted)


@pytest.mark.parametrize("table", sorted(name for name, rule in RULES.items() if rule != ("none", "none")))
def test_an_unset_organization_is_refused_and_never_an_empty_answer(session: Session, table: str) -> None:
    for actor in ACTORS:
        with acting(session, actor, organization=None):
            assert outcome(session, f"SELECT count(*) FROM {table}") == "denied"


@pytest.mark.parametrize("parent", ["agent_executions", "agent_feedback"])
def test_a_detached_partition_stays_closed(session: Session, parent: str) -> None:
    children = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = %s::regclass ORDER BY 1 LIMIT 1"
    row = session.execute(children, [f"learning.{parent}"]).fetchone()
    assert row is not None
    session.execute("SET LOCAL ROLE learning_owner")
    session.execute(f"ALTER TABLE learning.{parent} DETACH PARTITION {row[0]}")  # type: ignore[call-overload]
    session.execute("RESET ROLE")
    for actor in ACTORS:
        with acting(session, actor):
            assert outcome(session, f"SELECT count(*) FROM {row[0]}") == "denied"
    with session.transaction(force_rollback=True):
        session.execute("SET LOCAL ROLE learning_pipeline")
        assert outcome(session, f"SELECT count(*) FROM {row[0]}") == "denied"
