"""Which old prompt versions go and which never do: ends that nothing refers to, lines that stay whole, what says that they were there.

Belongs here: prompt_retention.py on real rows, and its decision alone. Not here: the clean-up as a whole (defs/test_housekeeping.py), routes (api/).
"""

from __future__ import annotations

import datetime as dt

import pytest
from psycopg.types.json import Jsonb

from learning_pipelines.errors import BadInput
from learning_pipelines.prompts.registry import named_version
from learning_pipelines.reports import lineage
from learning_pipelines.storage import audit, prompt_retention, prompts
from learning_pipelines.storage.database import Connection, Database
from learning_pipelines.storage.prompt_retention import Link, batch, prune_prompts, unneeded
from learning_pipelines.storage.tenants import AgentRef
from learning_pipelines_tests.conftest import Load
from learning_pipelines_tests.feedback.rows import AGENT, agent_ref, execution, table

HISTORY = dt.timedelta(days=180)
HOLDING = {
    "label": "INSERT INTO prompt_labels (organization_id, agent_id, label, version) VALUES (%(o)s, %(a)s, 'tried', %(v)s)",
    "proposed": """INSERT INTO proposals (organization_id, agent_id, kind, state, verdict, subject, incumbent)
        VALUES (%(o)s, %(a)s, 'prompt', 'rejected', 'worse', jsonb_build_object('version', %(v)s::int), '{"version": 1}')""",
    "measured against": """INSERT INTO proposals (organization_id, agent_id, kind, state, verdict, subject, incumbent)
        VALUES (%(o)s, %(a)s, 'prompt', 'approved', 'better', '{"version": 1}', jsonb_build_object('version', %(v)s::int))""",
    "tested": """INSERT INTO acceptance_tests (organization_id, agent_id, kind, candidate, incumbent, k, alpha)
        VALUES (%(o)s, %(a)s, 'prompt', '{}', jsonb_build_object('version', %(v)s::int), 1, 0.05)""",
    "tried": """INSERT INTO learning_experiments (organization_id, agent_id, name, status, subject, arms)
        VALUES (%(o)s, %(a)s, 'old', 'completed', 'prompt', jsonb_build_array(jsonb_build_object('variant', 'b', 'version', %(v)s::int, 'weight', 0.5)))""",
    "measured": """INSERT INTO prompt_evaluations (organization_id, agent_id, content_hash, version, split, metric, model, items, mean_score, input_tokens,
        output_tokens, seconds, created_at) VALUES (%(o)s, %(a)s, 'x', %(v)s, 'test', 'm', 'm', 1, 1, 1, 1, 1, now() - interval '170 days')""",
    "behaviour": """INSERT INTO behavior_versions (organization_id, agent_id, kind, number, config)
        VALUES (%(o)s, %(a)s, 'guidance', 1, jsonb_build_object('prompt_version', %(v)s::int))""",
    "run": """INSERT INTO training_runs (organization_id, agent_id, training_type, status, config)
        VALUES (%(o)s, %(a)s, 'prompt_optimization', 'running', jsonb_build_object('incumbent_version', %(v)s::int))""",
    "dataset": """INSERT INTO training_datasets (organization_id, name, version, agent_ids, content_hash, recipe)
        VALUES (%(o)s, 'desk', 1, ARRAY[%(a)s::uuid], 'x', jsonb_build_object('prompt', jsonb_build_object('version', %(v)s::int)))""",
    "judged": """INSERT INTO execution_scores (organization_id, agent_id, execution_id, judge, score, prompt_version, execution_at)
        VALUES (%(o)s, %(a)s, 'archived', 'j', 1, %(v)s::int::text, now() - interval '400 days')""",
}
"""What a version is held by, however old it is."""


@pytest.fixture
def desk(load: Load, pipeline: Connection) -> AgentRef:
    """An agent whose version 1 was imported."""
    load("agents", [AGENT])
    return agent_ref(pipeline)


def add(connection: Connection, agent: AgentRef, *versions: int, parent: int | None = 1, days: int = 40, origin: str = "written") -> None:
    """Versions of that age; each comes from the same one."""
    for version in versions:
        connection.execute(
            """INSERT INTO prompt_versions (organization_id, agent_id, version, parent_version, origin, messages, content_hash, created_at)
            VALUES (%s, %s, %s, %s, %s, %s, %s, now() - make_interval(days => %s))""",
            [agent.organization_id, agent.agent_id, version, parent, origin, Jsonb([{"role": "system", "content": str(version)}]), b"%d" % version, days],
        )


def left(connection: Connection, agent: AgentRef) -> list[int]:
    return sorted(row["version"] for row in table(connection, "prompt_versions", f"agent_id = '{agent.agent_id}'"))


def hold(connection: Connection, agent: AgentRef, statement: str, version: int) -> None:
    connection.execute(statement, {"o": agent.organization_id, "a": agent.agent_id, "v": version})  # type: ignore[arg-type]


def test_ends_beyond_the_newest_go_and_the_young_and_the_first_stay(pipeline: Connection, desk: AgentRef) -> None:
    add(pipeline, desk, 2, 3, 5, 6, 7, 8)
    add(pipeline, desk, 4, days=29)
    assert prune_prompts(pipeline, desk, 2, HISTORY) == 4
    assert left(pipeline, desk) == [1, 4, 7, 8]
    assert prune_prompts(pipeline, desk, 2, HISTORY) == 0


def test_what_anything_refers_to_stays(pipeline: Connection, desk: AgentRef, load: Load) -> None:
    held = dict(zip(HOLDING, range(3, 99), strict=False))
    answered = max(held.values()) + 1
    add(pipeline, desk, 2, *held.values(), answered, answered + 1, answered + 2)
    for name, version in held.items():
        hold(pipeline, desk, HOLDING[name], version)
    load("executions", [execution("e1", prompt_version=str(answered)), execution("e2", prompt_version="main")])
    assert prune_prompts(pipeline, desk, 1, HISTORY) == 2
    missing = {name for name, version in held.items() if version not in left(pipeline, desk)}
    assert (missing, left(pipeline, desk)) == (set(), [1, *held.values(), answered, answered + 2])


def test_old_measurements_runs_that_are_done_and_other_agents_hold_nothing(pipeline: Connection, desk: AgentRef, load: Load) -> None:
    load("agents", [{**AGENT, "agent": "other"}])
    other = agent_ref(pipeline, "other")
    add(pipeline, desk, 2, 3, 4, 5)
    hold(pipeline, desk, HOLDING["measured"].replace("170 days", "190 days"), 2)
    hold(pipeline, desk, HOLDING["run"].replace("'running'", "'completed'"), 3)
    add(pipeline, other, 4)
    for name in ("label", "tried", "proposed", "judged"):
        hold(pipeline, other, HOLDING[name], 4)
    load("executions", [execution("o1", agent="other", prompt_version="4")])
    assert prune_prompts(pipeline, desk, 1, HISTORY) == 3
    assert (left(pipeline, desk), left(pipeline, other)) == ([1, 5], [1, 4])


def test_a_version_that_is_needed_keeps_the_whole_line_it_came_from(pipeline: Connection, desk: AgentRef) -> None:
    add(pipeline, desk, 2)
    add(pipeline, desk, 3, parent=2)
    add(pipeline, desk, 4, parent=3)
    add(pipeline, desk, 5, parent=3)
    add(pipeline, desk, 6)
    hold(pipeline, desk, HOLDING["tried"], 4)
    assert prune_prompts(pipeline, desk, 1, HISTORY) == 1
    found = lineage.of_prompt(pipeline, desk, 4)
    assert found is not None and [one["version"] for one in found["parents"]] == [3, 2, 1]


def test_a_line_that_led_nowhere_goes_whole_in_batches_with_what_the_audit_log_says_of_each(
    pipeline: Connection, desk: AgentRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prompt_retention, "BATCH", 2)
    for version in range(2, 7):
        add(pipeline, desk, version, parent=version - 1)
    add(pipeline, desk, 7)
    assert prune_prompts(pipeline, desk, 1, HISTORY) == 5
    entries = [row["fields"] for row in sorted(table(pipeline, "audit_log", "action = 'deleted' AND subject_id = 'desk'"), key=lambda row: row["id"])]
    assert entries == [["count=2", "first=5", "last=6"], ["count=2", "first=3", "last=4"], ["count=1", "first=2", "last=2"]]


def test_a_tombstone_stays_with_what_took_its_place_and_both_go_in_one_statement(
    pipeline: Connection, desk: AgentRef, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prompt_retention, "BATCH", 1)
    add(pipeline, desk, 2, 3)
    add(pipeline, desk, 4, parent=2, origin="erasure")
    add(pipeline, desk, 5, parent=3, origin="erasure")
    add(pipeline, desk, 6)
    with database.connect("owner") as owner:
        for old, new in ((2, 4), (3, 5)):
            owner.execute("UPDATE prompt_versions SET messages = '[]', erased_at = now(), successor = %s WHERE version = %s", [new, old])
    hold(pipeline, desk, HOLDING["label"], 4)
    assert prune_prompts(pipeline, desk, 1, HISTORY) == 2
    assert left(pipeline, desk) == [1, 2, 4, 6]


def test_what_was_imported_stays_and_so_what_serves_while_learning_is_switched_off(pipeline: Connection, desk: AgentRef) -> None:
    add(pipeline, desk, 2, 3, origin="imported")
    add(pipeline, desk, 4, 5)
    prompts.point(pipeline, desk, "production", 5, None)
    pipeline.execute("UPDATE agents SET learning_enabled = false")
    before = prompts.served(pipeline, desk)
    assert prune_prompts(pipeline, desk, 1, HISTORY) == 1
    assert left(pipeline, desk) == [1, 2, 3, 5] and prompts.served(pipeline, desk) == before


def test_what_a_label_ever_pointed_at_stays(pipeline: Connection, desk: AgentRef) -> None:
    add(pipeline, desk, 2, 3, 4, 5)
    for subject, before, after in (("desk/production", 1, 2), ("desk/production", 3, 1), ("desks/production", 1, 4)):
        audit.record(pipeline, desk.organization_id, actor="a", action="moved", kind="prompt_label", subject=subject, before=before, after=after)
    assert prune_prompts(pipeline, desk, 1, HISTORY) == 1
    assert left(pipeline, desk) == [1, 2, 3, 5]


def test_the_first_version_that_is_left_of_an_agent_without_imports_stays(pipeline: Connection, desk: AgentRef, database: Database) -> None:
    add(pipeline, desk, 2, 3, 4, parent=None)
    with database.connect("owner") as owner:
        owner.execute("UPDATE prompt_versions SET origin = 'written', erased_at = now(), messages = '[]' WHERE version = 1")
    assert prune_prompts(pipeline, desk, 1, HISTORY) == 1
    assert left(pipeline, desk) == [1, 2, 4]


def test_a_deleted_version_is_said_to_have_been_there(pipeline: Connection, desk: AgentRef) -> None:
    add(pipeline, desk, 2, 3)
    prune_prompts(pipeline, desk, 1, HISTORY)
    with pytest.raises(BadInput, match=r"prompt version 2 was deleted: it was old.* There are: 3, 1"):
        named_version(pipeline, desk, "2")
    with pytest.raises(BadInput, match="has no prompt version 4"):
        named_version(pipeline, desk, "4")
    assert prompts.add_written(pipeline, desk, [{"role": "system", "content": "x"}], None, b"new", None)[0] == 4


@pytest.mark.parametrize(
    ("named", "kept", "gone"),
    [((), 1, {2, 3, 4, 5, 6, 7}), ((7,), 1, {3, 4, 6}), ((3,), 1, {4, 5, 6, 7}), ((5,), 1, {3, 4, 6, 7}), ((99,), 5, {3}), ((), 99, set())],
)
def test_what_may_go(named: tuple[int, ...], kept: int, gone: set[int]) -> None:
    parents = {1: None, 2: 1, 3: 2, 4: 1, 5: 2, 6: 1, 7: 5, 8: 1}
    links = [Link(version, parent, None, version == 1) for version, parent in parents.items()]
    assert unneeded(links, kept, named) == gone


def test_a_tombstone_and_what_took_its_place_hold_each_other_though_neither_came_from_the_other() -> None:
    links = [Link(1, None, None, True), Link(2, 1, 3, False), Link(3, 1, None, False), Link(4, 1, None, False)]
    assert unneeded(links, 1, [3]) == unneeded(links, 1, [2]) == set()
    assert unneeded(links, 1, []) == {2, 3}


def test_a_batch_takes_along_what_refers_to_it() -> None:
    links = [Link(1, None, None, True), Link(2, 1, 5, False), Link(3, 2, None, False), Link(4, 1, None, False), Link(5, 2, None, False)]
    assert batch(links, {2, 3, 4, 5}, 1) == {2, 3, 5}
    assert batch(links, {4}, 1) == {4}
