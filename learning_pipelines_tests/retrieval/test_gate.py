"""The gate over an agent's test queries: which parts are under guard, planted changes, resuming, what is kept.

Belongs here: retrieval/gate.py on a real database, with scores as they are planted. Not here: statistics (acceptance/test_guards.py), searching.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast
from uuid import UUID, uuid4

import numpy as np
import pytest

from learning_pipelines.acceptance import meeting
from learning_pipelines.acceptance.gate import Verdict
from learning_pipelines.retrieval import gate
from learning_pipelines.retrieval.evaluation import unserved
from learning_pipelines.retrieval.gate import EARLIER, LATER, NEW, OLD, kind_of, put_to_test, slices
from learning_pipelines.retrieval.index import Artifact, IndexConfig
from learning_pipelines.retrieval.loaded import Loaded
from learning_pipelines.retrieval.metrics import NAMES, Measured
from learning_pipelines.retrieval.task import JudgedQuery
from learning_pipelines.settings import Settings
from learning_pipelines.storage import indexes, training_runs
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.indexes import IndexVersion
from learning_pipelines.storage.tenants import AgentRef
from learning_pipelines_tests.acceptance.proposing import an_agent
from learning_pipelines_tests.acceptance.rankings import drawn
from learning_pipelines_tests.conftest import Load

ADAPTER, RERANKER = Artifact("retrieval/o/a/x/adapter", "a" * 64), Artifact("retrieval/o/a/x/reranker", "b" * 64)
Plant = Callable[[np.random.Generator, Sequence[JudgedQuery]], Mapping[str, tuple[float, float]]]


def query(name: str, documents: dict[str, float], cluster: str = "") -> JudgedQuery:
    return JudgedQuery(name, f"text of {name}", documents, {}, cluster or name)


def test_the_kind_is_what_alone_was_changed() -> None:
    serving = IndexConfig(lexical_weight=0.4, adapter=ADAPTER)
    assert kind_of(IndexConfig(lexical_weight=0.4, adapter=ADAPTER, reranker=RERANKER), serving) == "reranker"
    assert kind_of(IndexConfig(lexical_weight=0.4), serving) == "index"
    assert kind_of(IndexConfig(lexical_weight=0.5, reranker=RERANKER), serving) == "index"
    assert kind_of(IndexConfig(lexical_weight=0.4, adapter=ADAPTER, expansion=RERANKER), serving) == "expansion"
    assert kind_of(IndexConfig(lexical_weight=0.4, adapter=ADAPTER, chunk_edit="e"), serving) == "chunk_edit"


def test_old_topics_are_those_whose_passages_train_feedback_had_and_halves_go_by_time() -> None:
    train = [query("t1", {"a": 1.0, "b": 0.0})]
    test = [query("q1", {"a": 1.0}), query("q2", {"b": 0.5, "c": 1.0}), query("q3", {"c": 1.0, "a": 0.0}), query("q4", {"d": 1.0})]
    asked = {f"q{number}": dt.datetime(2026, 1, 10 - number, tzinfo=dt.UTC) for number in range(1, 5)}
    assert slices(test, train, asked) == {OLD: {"q1", "q2"}, NEW: {"q3", "q4"}, EARLIER: {"q3", "q4"}, LATER: {"q1", "q2"}}


class World:
    """An agent with a base index and 400 test queries, half of them about passages that train feedback had. Scores are what `plant` says."""

    def __init__(self, connection: Connection, agent: AgentRef, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
        self.connection, self.agent, self.settings, self.patch, self.asked = connection, agent, settings, monkeypatch, 0
        encoder = indexes.add_encoder(connection, agent.organization_id, name="words@1", model="words", dimensions=4)
        indexes.put_base(connection, agent.organization_id, encoder, IndexConfig().as_json())
        rows = [(f"{split}{number}", split, f"d{number}") for split, count in (("train", 200), ("test", 400)) for number in range(count)]
        with connection.cursor() as cursor:
            cursor.executemany(
                """INSERT INTO retrieval_queries (organization_id, agent_id, id, text, split, documents, events, first_at, last_at, place)
                VALUES (%s, %s, %s, %s, %s, jsonb_build_object(%s::text, 1), 1, now(), now(), %s)""",
                [
                    (agent.organization_id, agent.agent_id, name, name, split, document, place)
                    for place, (name, split, document) in enumerate(rows)
                ],
            )

    def run(self) -> UUID:
        config = {"fingerprint": str(uuid4())}
        return training_runs.begin(self.connection, self.agent, "rag_tuning", dataset_id=None, config=config, dagster_run_id=None).id

    def test(self, plant: Plant, run: UUID | None = None, kind: str = "index", weight: float = 0.9) -> gate.Tested:
        serving = indexes.base(self.connection, self.agent.organization_id)
        assert serving is not None
        candidate = unserved(serving, IndexConfig(lexical_weight=weight))

        def planted(
            connection: Connection, organization: UUID, agent: UUID | None, version: IndexVersion, loaded: Loaded, queries: Sequence[JudgedQuery]
        ) -> Measured:
            self.asked += 1
            scores = plant(np.random.default_rng(4), queries)
            column = np.array([scores[one.id][version.id == candidate.id] for one in queries])
            return Measured(tuple(one.id for one in queries), dict.fromkeys(NAMES, column))

        self.patch.setattr(gate, "evaluate_judged", planted)
        loaded = cast(Loaded, None)  # no encoder is asked: the candidate's is the one that serves
        return put_to_test(self.connection, self.agent, self.settings, loaded, kind, candidate, serving, run or self.run())


@pytest.fixture
def world(pipeline: Connection, load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(pipeline, an_agent(pipeline, load), Settings(home=tmp_path), monkeypatch)


def everywhere(gain: float) -> Plant:
    def plant(rng: np.random.Generator, queries: Sequence[JudgedQuery]) -> dict[str, tuple[float, float]]:
        before, after = drawn(rng, len(queries), gain)
        return {one.id: (float(a), float(b)) for one, a, b in zip(queries, before, after, strict=True)}

    return plant


def helps_old_and_harms_new(rng: np.random.Generator, queries: Sequence[JudgedQuery]) -> dict[str, tuple[float, float]]:
    old = [one for one in queries if int(one.id.removeprefix("test")) < 200]
    new = [one for one in queries if one not in old]
    return {**everywhere(0.35)(rng, old), **everywhere(-0.08)(rng, new)}


def test_a_planted_gain_is_found_and_all_its_numbers_are_kept_and_computed_again(world: World) -> None:
    run = world.run()
    tested = world.test(everywhere(0.08), run)
    assert tested.verdict is Verdict.BETTER, tested.reason
    assert {one.name: one.n for one in tested.guards} == {EARLIER: 200, LATER: 200, NEW: 200, OLD: 200}
    assert 0.02 < tested.detectable < 0.08
    stored = meeting.test_of(world.connection, world.agent, "index", run)
    assert stored is not None and meeting.audit(world.connection, world.agent, stored) == []
    row = world.connection.execute("SELECT metrics -> 'test' FROM training_runs WHERE id = %s", [run]).fetchone()
    kept: Any = row and row[0]
    assert kept["test"]["verdict"] == "better" and len(kept["guards"]) == 4 and kept["candidate"]["n"] == 400


def test_a_planted_harm_is_refused(world: World) -> None:
    assert world.test(everywhere(-0.08)).verdict is Verdict.WORSE


def test_no_change_is_no_evidence(world: World) -> None:
    assert world.test(everywhere(0.0)).verdict is Verdict.NO_EVIDENCE


def test_a_retrain_that_helps_old_topics_and_harms_new_ones_is_refused(world: World) -> None:
    tested = world.test(helps_old_and_harms_new)
    assert tested.evidence.p_value <= tested.evidence.alpha and tested.evidence.difference > 0.05  # better overall
    assert tested.verdict is Verdict.NO_EVIDENCE and f"But it harms: {NEW} (200 items)" in tested.reason
    assert [one.name for one in tested.guards if one.fired] == [NEW]


def test_a_run_that_resumes_has_its_own_test_back_also_if_there_are_more_queries_by_then(world: World) -> None:
    run = world.run()
    first = world.test(everywhere(0.08), run)
    world.connection.execute("""INSERT INTO retrieval_queries (organization_id, agent_id, id, text, split, documents, events, first_at, last_at, place)
        SELECT organization_id, agent_id, 'test999', 'x', 'test', documents, 1, now(), now(), 9999 FROM retrieval_queries WHERE id = 'test1'""")
    again = world.test(everywhere(0.08), run)
    assert (again.evidence, again.guards) == (first.evidence, first.guards)
    assert world.test(everywhere(0.08)).evidence.k == 2  # another run is another test, at a lower level
    assert world.test(everywhere(0.08), kind="reranker").evidence.k == 1
