"""Behaviour learnt from experts as an operator goes through it: import, run, approve, ask, roll back, withdraw an expert's right, run again.

`make behavior-story` runs it (two minutes on a quiet machine, most of it learning); `make test` leaves it out.

Belongs here: the story, with the command line as processes, the packaged encoder and the service on a socket. Not here: the parts (defs/, api/, behavior/).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from learning_pipelines.settings import Settings
from learning_pipelines_tests.api.serving import Api, serving
from learning_pipelines_tests.behavior.tickets import COUNT, task, tickets
from learning_pipelines_tests.cli.command_line import call, database_of, write_rows
from learning_pipelines_tests.cli.running import lasting
from learning_pipelines_tests.feedback.rows import AGENT

pytestmark = pytest.mark.skipif("BEHAVIOR_STORY" not in os.environ, reason="takes two minutes: make behavior-story")
EFFECT = {"LEARNING_PLANNED_EFFECT": "0.45"}
"""What tickets show is plain: fewer of them are enough."""
LOOKED_UP = json.dumps([{"type": "look_up", "arguments": {"ticket": 1}}])


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with lasting(tmp_path_factory.mktemp("behavior") / "home") as path:
        yield path


@pytest.fixture
def api(home: Path) -> Iterator[Api]:
    with serving(database_of(home), Settings(home=home, database_url=None, rate_limits="key=100000/second,user=100000/second")) as running:
        yield running


def run(home: Path) -> dict[str, Any]:
    """What became of the policy of each agent: {agent: reason or ''}, and the open proposals of policies by agent."""
    ended = call(home, "run", "behavior_learning", "--json", **EFFECT)
    assert ended.code == 0, ended.err
    reasons = {one["agent"]: "; ".join(part for part in (one["reason"] or "").split("; ") if part.startswith("policy: ")) for one in ended.document["runs"]}
    return {"reasons": reasons, "proposed": {one["agent"]: one["id"] for one in ended.document["proposals"] if one["kind"] == "policy"}}


def suggested(api: Api, done: str = "refund") -> dict[str, Any]:
    answer = api.get("/agents/desk/next-action", api.key(), params={"task": task(done), "history": LOOKED_UP})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_what_experts_showed_serves_once_approved_and_leaves_with_their_right(home: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    rows = [*tickets(), *tickets(40, start=COUNT, expert="mallory")]
    drawn = [{**row, "agent": "luck", "demonstration_id": f"luck-{row['demonstration_id']}"} for row in tickets(shuffled=True)]
    for kind, given in (("agents", [AGENT, {"agent": "luck"}]), ("demonstrations", [*rows, *drawn])):
        assert call(home, "import", kind, write_rows(tmp_path / f"{kind}.jsonl", given)).code == 0
    first = run(home)
    assert set(first["proposed"]) == {"desk"} and first["reasons"]["luck"].startswith(("policy: no evidence", "policy: worse"))  # luck is not proposed

    api: Api = request.getfixturevalue("api")
    found = suggested(api)
    assert (found["policy"], found["suggestions"]) == (0, []) and "run behavior_learning --agent desk" in found["hint"]
    assert call(home, "approve", first["proposed"]["desk"]).code == 0
    for done, kind in (("refund", "refund_order"), ("cancel", "cancel_order"), ("exchange", "exchange_item")):
        found = suggested(api, done)
        assert (found["policy"], found["suggestions"][0]["type"], found["suggestions"][0]["arguments"]) == (1, kind, {"amount": 5, "ticket": 1})
    assert call(home, "rollback", "desk", "--kind", "policy").out.strip() == "desk: nothing learnt serves instead of 1."
    assert suggested(api)["policy"] == 0

    assert call(home, "experts", "withdraw", "mallory").code == 0
    second = run(home)
    assert "nothing changed since" in second["reasons"]["luck"]
    assert call(home, "approve", second["proposed"]["desk"]).code == 0
    found = suggested(api)
    named = {name for one in found["suggestions"] for name in one["evidence"]["demonstrations"]}
    assert found["policy"] == 2 and named and all(int(name[1:]) < COUNT for name in named)
    refused = call(home, "rollback", "desk", "--kind", "policy", "--topic", "tickets")
    assert (refused.code, "no learnt policy of 'tickets' ever served" in refused.err) == (1, True)
