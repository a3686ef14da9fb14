"""Erasures that are killed after a step, run twice at once, meet a damaged archive, or find fifty thousand executions: the next run ends them, nothing is lost.

Belongs here: what interrupts and what is large. Not here: what an erasure leaves (test_proof.py), one after a restore (test_replayed.py).
"""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest

from learning_pipelines.errors import LearningError
from learning_pipelines.feedback.erasure import engine, requesting
from learning_pipelines.feedback.identity import organization_id
from learning_pipelines.storage.embedded import EmbeddedServer
from learning_pipelines_tests.conftest import MakeDatabase
from learning_pipelines_tests.defs.erasure import planted_rows
from learning_pipelines_tests.defs.erasure.child import started
from learning_pipelines_tests.defs.erasure.looking import Needles, picture
from learning_pipelines_tests.defs.erasure.planted import ID, NAME, WORD, Planted, copy_of, installation, needles_of, shared_of, traces
from learning_pipelines_tests.defs.erasure.test_proof import COUNTED_AGAIN
from learning_pipelines_tests.examples.approved import refresh
from learning_pipelines_tests.feedback.archive.conftest import up_to_date
from learning_pipelines_tests.feedback.archive.test_crashes import flip_a_byte
from learning_pipelines_tests.feedback.rows import AGENT, said

STEPS = ("started", "archives", "rows", "files", "certificate", "done")


@pytest.fixture(scope="module")
def original(server: EmbeddedServer, make_database: MakeDatabase, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Planted]:
    """An installation with archived months and a dataset, which nobody touches: tests work on copies."""
    with installation(server, make_database, tmp_path_factory.mktemp("original")) as planted:
        planted_rows.imported(planted)
        up_to_date(planted.store)
        with planted.connection() as connection:
            refresh(connection)
        yield planted


@pytest.fixture
def planted(original: Planted, server: EmbeddedServer, tmp_path: Path) -> Iterator[Planted]:
    with copy_of(original, server, tmp_path / "home") as copy:
        yield copy


def asked(planted: Planted) -> UUID:
    with planted.connection() as connection:
        found = requesting.request(connection, organization_id("default"), NAME, actor="operator", requested_by="operator")
    assert found is not None
    return found


def others(rows: dict[str, Counter[str]], *needles: Needles) -> dict[str, Counter[str]]:
    """Rows that are not the person's, of tables that are not counted again."""
    return {
        table: Counter({row: n for row, n in held.items() if not any(one.in_text(row) for one in needles)})
        for table, held in rows.items() if table not in COUNTED_AGAIN
    }  # fmt: skip


def lost(before: dict[str, Counter[str]], after: dict[str, Counter[str]]) -> dict[str, list[str]]:
    return {table: [*missing] for table, held in before.items() if (missing := held - after.get(table, Counter()))}


@pytest.mark.slow
@pytest.mark.parametrize("step", STEPS)
def test_killed_after_any_step_the_next_run_ends_it_and_nothing_of_others_is_lost(step: str, planted: Planted) -> None:
    needles, shared, before = needles_of(planted), Needles(ids=shared_of(planted)), picture(planted.database.admin_url, "learning")
    erasure = asked(planted)
    killed = started(planted, erasure, step)
    assert (killed.wait(300), killed.communicate()[0]) == (-signal.SIGKILL, "")
    assert lost(others(before, needles, shared), picture(planted.database.admin_url, "learning")) == {}
    document = engine.erase(planted.store, erasure)
    assert (document["certificate_id"], document["remaining"]) == (str(erasure), [])
    assert sorted(traces(planted, needles)) == []
    assert lost(others(before, needles, shared), picture(planted.database.admin_url, "learning")) == {}
    assert document["touched"]["agent_executions"] >= 9 and len(document["files"]["rewritten"]) == 2  # what was done before it was killed is told too


@pytest.mark.slow
def test_two_at_once_end_with_the_same_certificate(planted: Planted) -> None:
    needles, erasure = needles_of(planted), asked(planted)
    assert asked(planted) == erasure  # who asks again joins
    both = [started(planted, erasure) for _ in range(2)]
    said = {(one.communicate(timeout=300)[0], one.returncode) for one in both}
    assert len(said) == 1 and {code for _, code in said} == {0}
    assert sorted(traces(planted, needles)) == []
    assert len([*(planted.settings.home / "artifacts" / "erasures").rglob("*.json")]) == 1


@pytest.mark.slow
def test_a_damaged_archive_is_named_nothing_is_lost_and_the_erasure_ends_once_it_is_mended(planted: Planted) -> None:
    needles, before = needles_of(planted), picture(planted.database.admin_url, "learning")
    file = planted.settings.home / "artifacts/archive/agent_feedback/organization=default/month=2025-03/rows.parquet"
    whole = file.read_bytes()
    flip_a_byte(file)
    erasure = asked(planted)
    with pytest.raises(LearningError, match=r"archive/agent_feedback/organization=default/month=2025-03/rows\.parquet"):
        engine.erase(planted.store, erasure)
    after = picture(planted.database.admin_url, "learning")
    left_out = ("users", "erasures", "audit_log", "archived_partitions", "archived_metrics", "archived_raters", "archived_thumbs", "archived_returns")
    assert {table: held for table, held in lost(before, after).items() if table not in left_out} == {}
    file.write_bytes(whole)
    assert engine.erase(planted.store, erasure)["remaining"] == []
    assert sorted(traces(planted, needles)) == []


@pytest.mark.slow
def test_somebody_with_fifty_thousand_executions_is_erased_too(server: EmbeddedServer, make_database: MakeDatabase, tmp_path: Path) -> None:
    with installation(server, make_database, tmp_path) as planted:
        planted.load("agents", [AGENT])
        planted.load("executions", ({**planted_rows.mine(0), "execution_id": f"{ID}-{n}", "input": f"{WORD} {n}"} for n in range(50_000)))
        planted.load("executions", (planted_rows.his(number) for number in range(2_000)))
        planted.load("feedback", (said(f"{ID}-f{n}", f"{ID}-{n}", "correction", user=NAME, correction_text=f"{WORD} {n}") for n in range(0, 50_000, 20)))
        planted.load("feedback", (said(f"bob-f{number}", f"bob-e{number}", user="bob") for number in range(0, 2_000, 20)))
        up_to_date(planted.store)
        done = engine.erase(planted.store, asked(planted))
        assert (done["touched"]["agent_executions"], done["touched"]["agent_feedback"]) == (50_000, 2_500)
        assert sorted(traces(planted, Needles(NAME, WORD, ID))) == []
        assert planted.one("SELECT count(*) FROM agent_executions") == 2_000
