"""GET /search: what serves answers, explained; bad input in words; versions swapped under load without a failed, empty or mixed answer.

Belongs here: the route. Not here: how anything is found (retrieval/test_searcher.py), how fast it is (make bench-search).
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from learning_pipelines.api.warm import Warm
from learning_pipelines.client import Client, Options
from learning_pipelines.encoder import EncoderDown
from learning_pipelines.feedback.identity import organization_id
from learning_pipelines.retrieval.index import IndexConfig
from learning_pipelines.retrieval.kept_parts import KeptParts
from learning_pipelines.retrieval.lexical import refresh_lexical
from learning_pipelines.storage import experiments, indexes
from learning_pipelines.storage.experiment_rows import Arm
from learning_pipelines.storage.tenants import AgentRef, agents
from learning_pipelines_tests.api.experimenting import caller, carried, change, met, run
from learning_pipelines_tests.api.serving import Api
from learning_pipelines_tests.retrieval.fake_encoders import WordEncoder
from learning_pipelines_tests.retrieval.stored import put_base, put_chunks, put_vectors, texts

ENCODER = WordEncoder(dimensions=24)
TEXTS = {f"c{number:04}": text for number, text in enumerate(texts(120, words=12, vocabulary=300))}
QUERY = " ".join(TEXTS["c0005"].split()[:6])


@pytest.fixture(autouse=True)
def encoding(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api.service.loaded, "_encoder_of", lambda version: ENCODER)


@pytest.fixture(scope="module")
def desk(api: Api) -> AgentRef:
    """The agent desk, in an organization whose base index holds TEXTS."""
    tenant = organization_id("default")
    with api.database.connect("pipeline") as connection:
        put_chunks(connection, tenant, TEXTS)
        refresh_lexical(connection, tenant, "english")
        put_vectors(connection, tenant, put_base(connection, tenant, ENCODER), list(TEXTS), ENCODER.encode(list(TEXTS.values())))
        return agents(connection, "default", "desk")[0]


@pytest.fixture
def learnt(api: Api, desk: AgentRef) -> Iterator[list[int]]:
    """Two learnt versions of the agent, of which the first serves: 100 % words, 100 % meaning."""
    with api.database.connect("pipeline") as connection:
        found = indexes.base(connection, desk.organization_id)
        assert found is not None
        numbers = [
            indexes.add(
                connection, desk, encoder_id=found.encoder.id, kind="index", parent=0, config=IndexConfig(lexical_weight=weight).as_json(), metrics={},
                training_run_id=None,
            )
            for weight in (1.0, 0.0)
        ]  # fmt: skip
        indexes.move_serving(connection, desk, numbers[0], None)
        yield numbers
        indexes.move_serving(connection, desk, 0, None)


def test_the_best_chunks_come_with_where_their_scores_come_from(api: Api, desk: AgentRef) -> None:
    answer = api.get("/search", api.key(), params={"q": QUERY, "agent": "desk", "k": 3}).json()
    assert (len(answer["results"]), answer["index"], answer["hint"]) == (3, 0, None)
    best = answer["results"][0]
    assert (best["chunk_id"], best["document_id"], best["text"]) == ("c0005", "d-c0005", TEXTS["c0005"])
    why = best["explanation"]
    assert best["score"] == pytest.approx(why["lexical_weight"] * why["bm25_share"] + (1 - why["lexical_weight"]) * why["cosine"], abs=1e-4)


def test_without_an_agent_the_base_answers_and_with_one_what_serves_it(api: Api, desk: AgentRef, learnt: list[int]) -> None:
    key = api.key()
    assert api.get("/search", key, params={"q": QUERY}).json()["index"] == 0
    for name in ("desk", str(desk.agent_id)):
        assert api.get("/search", key, params={"q": QUERY, "agent": name}).json()["index"] == learnt[0]
    assert api.get("/search", key, params={"q": QUERY, "agent": "helper"}).json()["index"] == 0


@pytest.mark.parametrize(
    ("params", "status", "field"),
    [
        ({}, 422, "q"), ({"q": ""}, 422, "q"), ({"q": "x" * 2_001}, 422, "q"), ({"q": "a\x00b"}, 422, "q"), ({"q": "a", "k": 0}, 422, "k"),
        ({"q": "a", "k": 101}, 422, "k"), ({"q": "a", "k": "many"}, 422, "k"), ({"q": "a", "agent": "nobody"}, 404, "agent"),
        ({"q": "a", "agent": "a\x00"}, 422, "agent"),
    ],
)  # fmt: skip
def test_bad_input_is_named(api: Api, desk: AgentRef, params: dict[str, object], status: int, field: str) -> None:
    answer = api.get("/search", api.key(), params=params)
    assert (answer.status_code, answer.json()["field"]) == (status, field)


def test_whoever_is_unknown_finds_nothing_out(api: Api) -> None:
    assert api.get("/search", params={"q": "a"}).status_code == 401


def test_no_documents_and_no_index_are_hints_and_no_errors(api: Api) -> None:
    key = api.key(organization="empty")
    answer = api.get("/search", key, params={"q": "invoice"})
    assert (answer.status_code, answer.json()["results"], answer.json()["index"]) == (200, [], None)
    assert "import" in answer.json()["hint"]
    assert api.post("/documents", {"document_id": "d", "text": "An invoice."}, key).status_code == 201
    assert "index_refresh" in api.get("/search", key, params={"q": "invoice"}).json()["hint"]


def test_an_encoder_that_is_away_is_said(api: Api, desk: AgentRef, monkeypatch: pytest.MonkeyPatch) -> None:
    class Away(WordEncoder):
        def encode(self, texts: object, *, batch_size: int = 0) -> object:  # type: ignore[override]
            raise EncoderDown("The encoder process (1) cannot be used: gone.", "Try again.")

    monkeypatch.setattr(api.service.loaded, "_parts", KeptParts())
    monkeypatch.setattr(api.service.loaded, "_encoder_of", lambda version: Away())
    answer = api.get("/search", api.key(), params={"q": "invoice"})
    assert answer.status_code == 503 and "encoder" in answer.json()["detail"]


def test_in_an_experiment_the_index_of_the_unit_s_variant_searches(api: Api, desk: AgentRef, learnt: list[int], tmp_path: Path) -> None:
    arms = (Arm("control", learnt[0], 0.4), Arm("treatment", learnt[1], 0.3), Arm("gone", 99, 0.3))
    one = run(api, desk, arms, subject="index")
    key, units = api.key(), [f"user-{number}" for number in range(36)]
    search = partial(caller(api.url, key).get, "/search")
    answers = {unit: search(params={"q": QUERY, "agent": "desk", "unit": unit}).json() for unit in units}
    served = {answer["variant"]: (answer["index"], answer["experiment"]) for answer in answers.values()}
    assert served == {"control": (learnt[0], str(one)), "treatment": (learnt[1], str(one)), None: (learnt[0], None)}
    assert all(answer["results"] for answer in answers.values())
    assert all(("Version 99" in (answer["experiment_problem"] or "")) is (answer["variant"] is None) for answer in answers.values())
    counted = {unit: answer["variant"] for unit, answer in answers.items() if answer["variant"] is not None}
    assert {unit: variant for unit, (variant, _) in met(api, one, len(counted)).items()} == counted
    first = next(iter(counted))
    with Client(api.url, key, queue_dir=tmp_path, options=Options(prompt_timeout=60)) as client:
        found = client.search(QUERY, agent="desk", unit=first)
        assert (found.hits[0].chunk_id, found.index) == (answers[first]["results"][0]["chunk_id"], answers[first]["index"])
        name = client.log_execution(agent="desk", input="q", output="a", user=first, retrieved=found.retrieved)
        assert client.flush(60)
    with api.database.connect("pipeline") as connection:
        row = connection.execute("SELECT context FROM agent_executions WHERE id = %s", [name]).fetchone()
    assert row is not None and carried(row[0]) == {(str(one), counted[first], first)}
    for other in ({"q": QUERY, "agent": "desk"}, {"q": QUERY, "agent": "helper", "unit": "user-1"}, {"q": QUERY, "unit": "user-1"}):
        assert search(params=other).json()["experiment"] is None
    change(api, lambda connection: experiments.set_status(connection, desk.organization_id, one, "completed"))
    after = [search(params={"q": QUERY, "agent": "desk", "unit": unit}).json() for unit in units[:4]]
    assert {(answer["index"], answer["experiment"]) for answer in after} == {(learnt[0], None)}
    assert search(params={"q": QUERY, "unit": "a\x00"}).json()["field"] == "unit"


def test_versions_are_swapped_under_load_without_a_failed_empty_or_mixed_answer(api: Api, desk: AgentRef, learnt: list[int]) -> None:
    key = api.key()
    orders = {}
    for number in learnt:
        swap(api, desk, number)
        answer = api.get("/search", key, params={"q": QUERY, "agent": "desk", "k": 20}).json()
        orders[number] = [(hit["chunk_id"], hit["score"]) for hit in answer["results"]]
        assert answer["index"] == number
    assert orders[learnt[0]] != orders[learnt[1]]
    wrong: list[object] = []
    seen: set[int] = set()
    done = threading.Event()

    def hammer() -> None:
        while not done.is_set():
            answer = api.get("/search", key, params={"q": QUERY, "agent": "desk", "k": 20})
            said = answer.json()
            if answer.status_code != 200 or [(hit["chunk_id"], hit["score"]) for hit in said["results"]] != orders.get(said["index"]):
                wrong.append((answer.status_code, said))
            else:
                seen.add(said["index"])

    threads = [threading.Thread(target=hammer) for _ in range(4)]
    for thread in threads:
        thread.start()
    tenant = desk.organization_id
    with api.database.connect("pipeline") as connection:
        for turn in range(30):
            indexes.move_serving(connection, desk, learnt[turn % 2], None)
            # segments are written anew and merged meanwhile, of the same chunks
            connection.execute("INSERT INTO lexical_changes (organization_id, chunk_id) VALUES (%s, %s)", [tenant, f"c{turn:04}"])
            refresh_lexical(connection, tenant, "english")
    done.set()
    for thread in threads:
        thread.join()
    assert wrong == [] and seen == set(learnt)


def swap(api: Api, agent: AgentRef, number: int) -> None:
    with api.database.connect("pipeline") as connection:
        indexes.move_serving(connection, agent, number, None)


def test_an_encoder_that_searches_use_is_kept_from_going_to_sleep(api: Api, desk: AgentRef) -> None:
    api.get("/search", api.key(), params={"q": QUERY})
    warm, asked = Warm(api.service.loaded, every=0.01), len(ENCODER.texts)
    warm.start()
    deadline = time.monotonic() + 20
    while len(ENCODER.texts) < asked + 4 and time.monotonic() < deadline:
        time.sleep(0.01)
    warm.stop()
    assert ENCODER.texts[asked : asked + 4] == ["still", "there"] * 2
    api.service.loaded.stay_ready(seconds=-1)
    assert api.service.loaded._asked == {}


def test_a_tenant_finds_its_own_documents_only(api: Api, desk: AgentRef) -> None:
    tenant = organization_id("others")
    key = api.key(organization="others")
    with api.database.connect("pipeline") as connection:
        put_chunks(connection, tenant, {"theirs": QUERY})
        refresh_lexical(connection, tenant, "english")
        put_vectors(connection, tenant, put_base(connection, tenant, ENCODER), ["theirs"], ENCODER.encode([QUERY]))
    assert [hit["chunk_id"] for hit in api.get("/search", key, params={"q": QUERY}).json()["results"]] == ["theirs"]
    assert "theirs" not in [hit["chunk_id"] for hit in api.get("/search", api.key(), params={"q": QUERY, "k": 100}).json()["results"]]


def test_a_worker_loads_neither_torch_nor_lightgbm_for_it() -> None:
    code = (
        "import learning_pipelines.api.app, learning_pipelines.retrieval.searcher, sys; print([name for name in ('torch', 'lightgbm') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
