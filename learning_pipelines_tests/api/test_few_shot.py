"""Examples that prompts pick from, at hand in a worker: read once, dropped when a person is taken out, bounded, never another tenant's.

Belongs here: api/few_shot.py. Not here: which are nearest (storage/test_demonstrations.py), the answer with them (test_served_prompts.py).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from types import ModuleType
from typing import Any
from uuid import UUID

import pytest

from learning_pipelines.api import few_shot
from learning_pipelines.api.few_shot import FewShot
from learning_pipelines.examples.datasets import refresh_dataset
from learning_pipelines.feedback.identity import organization_id
from learning_pipelines.feedback.importing import import_file, window_now
from learning_pipelines.prompts.serving import stored_nearest
from learning_pipelines.storage import demonstrations
from learning_pipelines.storage.tenants import AgentRef, agents
from learning_pipelines.storage.versions import list_versions
from learning_pipelines_tests.api.serving import Api, make_agents
from learning_pipelines_tests.examples.approved import SHARES, TEXT_ONLY
from learning_pipelines_tests.storage.test_demonstrations import Letters, text

Pick = Callable[..., list[str]]


@pytest.fixture
def picking(api: Api) -> FewShot:
    return FewShot(api.service.sessions, api.settings)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """How often examples were read, and how often the database was asked for the nearest."""
    return counting(monkeypatch, few_shot, "pool", "among_many")


def counting(monkeypatch: pytest.MonkeyPatch, module: ModuleType, *names: str) -> dict[str, int]:
    counts = dict.fromkeys(names, 0)
    for name in names:
        monkeypatch.setattr(module, name, counted(counts, name, getattr(module, name)))
    return counts


def counted(counts: dict[str, int], name: str, really: Callable[..., Any]) -> Callable[..., Any]:
    def ask(*given: Any, **more: Any) -> Any:
        counts[name] += 1
        return really(*given, **more)

    return ask


def made(api: Api, name: str, organization: str = "default", rows: int = 40) -> tuple[AgentRef, UUID]:
    """An agent with approved examples that have vectors."""
    make_agents(api, organization, name)
    path = api.settings.home / f"{name}.jsonl"
    common = {"agent": name, "review_status": "approved"}
    lines = [{"example_id": f"{name}-{n}", "input_text": text(n), "expected_output": f"{organization} {n}", **common} for n in range(rows)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with api.database.connect("pipeline") as connection:
        assert import_file(connection, organization, "examples", path, window=window_now(api.settings.start_date, api.settings.zone)).rejected == 0
        agent = next(one for one in agents(connection, organization) if one.agent == name)
        refresh_dataset(connection, agent, rule=TEXT_ONLY, shares=SHARES)
        dataset = UUID(str(list_versions(connection, agent)[0]["id"]))
        stored_nearest(connection, agent, dataset, Letters)("a", 1)
    return agent, dataset


def nearest(picking: FewShot, agent: AgentRef, dataset: UUID, number: int = 3, k: int = 4) -> list[str]:
    vector = Letters().encode([text(number)])[0]
    return [str(one.example_id) for one in picking.nearest_to(agent, dataset, Letters.name, vector, k)]


def test_few_examples_are_read_once_and_many_are_asked_of_the_database(
    api: Api, picking: FewShot, asked: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    agent, dataset = made(api, "once")
    found = [nearest(picking, agent, dataset, number) for number in range(5)]
    assert asked == {"pool": 1, "among_many": 0} and all(len(names) == 4 for names in found)
    monkeypatch.setattr(few_shot, "POOLED_BYTES", 1_000)
    many = FewShot(api.service.sessions, api.settings)
    sizes = counting(monkeypatch, demonstrations, "size")
    assert [nearest(many, agent, dataset, number) for number in range(5)] == found
    monkeypatch.setattr(few_shot, "SETTLED_SECONDS", 0.0)
    assert nearest(many, agent, dataset, 0) == found[0]
    assert asked == {"pool": 1, "among_many": 6} and sizes == {"size": 1}  # what is too large stays so: its size is asked once


def test_what_is_kept_goes_when_a_person_is_taken_out_of_the_version(
    api: Api, picking: FewShot, asked: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    agent, dataset = made(api, "emptied")
    gone, *others = nearest(picking, agent, dataset)
    with api.database.connect("owner") as owner:
        owner.execute("DELETE FROM dataset_examples WHERE organization_id = %s AND example_id = %s", [agent.organization_id, gone])
        owner.execute("UPDATE training_datasets SET status = 'archived', erased_at = now() WHERE id = %s", [dataset])
    monkeypatch.setattr(few_shot, "SETTLED_SECONDS", 0.0)
    assert nearest(picking, agent, dataset, k=3) == others and asked["pool"] == 2
    assert nearest(picking, agent, dataset, k=3) == others and asked["pool"] == 2  # nothing changed since: what is kept stays


def test_answers_that_count_no_longer_are_not_shown_once_the_worker_looks_again(
    api: Api, picking: FewShot, asked: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    agent, dataset = made(api, "labelled")
    second = nearest(picking, agent, dataset)[1]
    with api.database.connect("pipeline") as connection:
        label = f"default {second.rsplit('-', 1)[1]}"
        connection.execute("UPDATE agents SET labels = %s WHERE organization_id = %s AND id = %s", [[label], agent.organization_id, agent.agent_id])
    monkeypatch.setattr(few_shot, "SETTLED_SECONDS", 0.0)
    assert nearest(picking, agent, dataset) == [second] and asked["pool"] == 2


def test_what_finds_no_room_is_asked_of_the_database_and_what_nobody_asks_for_makes_room(
    api: Api, picking: FewShot, asked: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    (one, ones), (other, others) = made(api, "room-one"), made(api, "room-other")
    nearest(picking, one, ones)
    kept = next(iter(picking._versions.values()))
    monkeypatch.setattr(few_shot, "MOST_BYTES", kept.bytes + 1_000)
    expected = nearest(FewShot(api.service.sessions, api.settings), other, others)
    before = dict(asked)
    assert nearest(picking, other, others) == expected == nearest(picking, other, others)
    assert asked == {"pool": before["pool"], "among_many": before["among_many"] + 2}
    kept.asked -= few_shot.SETTLED_SECONDS
    picking._versions.popitem()  # a minute later it looks again
    assert nearest(picking, other, others) == expected
    assert asked["pool"] == before["pool"] + 1 and kept.pool is None


def test_what_nobody_asks_for_leaves_the_worker(api: Api, picking: FewShot, monkeypatch: pytest.MonkeyPatch) -> None:
    agent, dataset = made(api, "idle")
    nearest(picking, agent, dataset)
    picking._drop_idle()
    assert len(picking._versions) == 1
    monkeypatch.setattr(few_shot, "SETTLED_SECONDS", 0.0)
    picking._drop_idle()
    assert not picking._versions


def test_agents_of_two_tenants_with_one_name_get_their_own(api: Api, picking: FewShot) -> None:
    (ours, our_dataset), (theirs, their_dataset) = made(api, "shared"), made(api, "shared", "elsewhere")
    assert theirs.organization_id == organization_id("elsewhere")
    vector = Letters().encode([text(3)])[0]
    for agent, dataset, name in ((ours, our_dataset, "default"), (theirs, their_dataset, "elsewhere"), (ours, our_dataset, "default")):
        assert {one.output.split()[0] for one in picking.nearest_to(agent, dataset, Letters.name, vector, 4)} == {name}
    assert picking.nearest_to(theirs, our_dataset, Letters.name, vector, 4) == []
