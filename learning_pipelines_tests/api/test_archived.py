"""Archived executions over HTTP: one with its feedback, lists, and who sees them.

Belongs here: reading the archive through the service. Not here: archiving (feedback/archive/), executions in the database (test_executions.py).
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import jwt
import pytest

from learning_pipelines.feedback.archive.archiving import archive
from learning_pipelines.storage.store import Store
from learning_pipelines_tests.api.conftest import AUDIENCE, JWT_SECRET
from learning_pipelines_tests.api.serving import Api

NOW = dt.datetime(2025, 11, 10, tzinfo=dt.UTC)
KEPT = ("execution_id", "agent", "user", "session_id", "tags", "input", "output", "latency_ms", "created_at", "context", "retrieved", "feedback")


@pytest.fixture(scope="module")
def before(both: Api) -> dict[str, Any]:
    """What the service answered about ours/x1 before two months of both organizations were archived."""
    with both.database.connect("owner") as owner:
        for month in ("2025-03-01", "2025-04-01"):
            for name in ("agent_executions", "agent_feedback"):
                owner.execute("SELECT learning.make_partitions(%s, %s, 1)", [name, month])
    for organization in ("ours", "theirs"):
        key = both.key("expert", organization)
        items = [
            {"execution_id": f"x{number}", "agent": "desk", "input": f"{organization} {number}", "output": "a", "user": "ada" if number % 2 else "bob",
             "session_id": f"s{number // 4}", "tags": ["vat"] if number < 3 else [], "latency_ms": 0.1, "context": {"n": [number, None]},
             "created_at": f"2025-0{3 + number // 4}-1{number}T10:00:00Z"}
            for number in range(8)
        ]  # fmt: skip
        assert {one["status"] for one in both.post("/executions/batch", {"items": items}, key).json()["results"]} == {"stored"}
        for name, user, kind in (("f1", "ada", "thumbs_up"), ("f2", "ada", "thumbs_down"), ("f3", "bob", "thumbs_up")):
            said = {"feedback_id": name, "execution_id": "x1", "user": user, "feedback_type": kind, "created_at": f"2025-03-12T1{name[1]}:00:00Z"}
            assert both.post("/feedback", said, key).status_code == 201
    found: dict[str, Any] = both.get("/executions/x1", both.key("expert", "ours")).json()
    with both.database.connect("pipeline") as pipeline:
        for name, match in (("agent_executions", "id ~ '^x[0-7]$'"), ("agent_feedback", "execution_id = 'x1'")):
            pipeline.execute(f"UPDATE {name} SET received_at = date_trunc('month', created_at) + interval '20 days' WHERE {match}")  # type: ignore[arg-type]
        pipeline.execute("UPDATE ingest_keys SET received_at = date_trunc('month', happened_at) + interval '20 days' WHERE happened_at < '2025-06-01'")
        pipeline.execute("UPDATE agent_feedback SET received_at = '2025-03-20' WHERE execution_id = 'x1'")
        pipeline.execute("DELETE FROM outbox")
    done = archive(Store(both.settings, both.database), now=NOW)
    assert done.months == ["2025-03", "2025-04"], done
    return found


def test_an_archived_execution_is_answered_as_before(both: Api, before: dict[str, Any]) -> None:
    after = both.get("/executions/x1", both.key("expert", "ours")).json()
    assert (before["archived"], after["archived"]) == (False, True)
    assert {name: after[name] for name in KEPT} == {name: before[name] for name in KEPT}
    assert [one["superseded"] for one in after["feedback"]] == [["thumb"], [], []]


def test_a_person_sees_their_own_archived_rows_and_nothing_of_others(both: Api, before: dict[str, Any]) -> None:
    now = dt.datetime.now(dt.UTC)
    claims = {"sub": "ada", "organization": "ours", "role": "user", "aud": AUDIENCE, "exp": now + dt.timedelta(minutes=5)}
    ada = jwt.encode(claims, JWT_SECRET, "HS256")
    assert {one["user"] for one in both.get("/executions/x1", ada).json()["feedback"]} == {"ada"}
    assert both.get("/executions/x2", ada).status_code == 404
    assert {row["user"] for row in both.get("/executions?archived=true", ada).json()["executions"]} == {"ada"}


def test_another_organization_sees_only_its_own(both: Api, before: dict[str, Any]) -> None:
    theirs = both.key("expert", "theirs")
    assert both.get("/executions/x1", theirs).json()["input"] == "theirs 1"
    assert {row["input"].split()[0] for row in both.get("/executions?archived=true", theirs).json()["executions"]} == {"theirs"}


def test_pages_of_archived_executions_hold_each_once_newest_first(both: Api, before: dict[str, Any]) -> None:
    key, found, cursor = both.key("expert", "ours"), [], ""
    while True:
        page = both.get(f"/executions?archived=true&limit=3{cursor}", key).json()
        found += [row["execution_id"] for row in page["executions"]]
        if page["cursor"] is None:
            break
        cursor = f"&cursor={page['cursor']}"
    assert found == [f"x{number}" for number in reversed(range(8))]


@pytest.mark.parametrize(
    ("query", "count"), [("user=ada", 4), ("session_id=s0", 4), ("tag=vat", 3), ("agent=desk&user=bob&tag=vat", 2), ("after=2025-04-01T00:00:00Z", 4),
                         ("before=2025-03-12T00:00:00Z", 2), ("user=nobody", 0)]
)  # fmt: skip
def test_archived_ones_are_filtered(query: str, count: int, both: Api, before: dict[str, Any]) -> None:
    rows = both.get(f"/executions?archived=true&{query}", both.key("expert", "ours")).json()["executions"]
    assert len(rows) == count


def test_a_filter_by_feedback_is_refused_for_archived_ones(both: Api, before: dict[str, Any]) -> None:
    refused = both.get("/executions?archived=true&corrected=true", both.key("expert", "ours"))
    assert (refused.status_code, refused.json()["field"]) == (422, "corrected")


def test_a_file_that_is_gone_is_no_5xx_without_words(both: Api, before: dict[str, Any]) -> None:
    path = Path(both.settings.home) / "artifacts/archive/agent_executions/organization=ours/month=2025-03/rows.parquet"
    whole = path.read_bytes()
    path.unlink()
    try:
        answer = both.get("/executions/x1", both.key("expert", "ours"))
        assert (answer.status_code, "verify" in answer.text) == (503, True)
    finally:
        path.write_bytes(whole)
