"""The nearest vectors of a scope, among those of other tenants: all k of them, nearly the exact ones, by the index."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID, uuid4

import numpy as np
import psycopg
import pytest

from learning_pipelines.storage import vector_search
from learning_pipelines.storage.database import Connection, Database, snapshot
from learning_pipelines.storage.lexical import Scope
from learning_pipelines.storage.sessions import Acting, act_as
from learning_pipelines.storage.vector_search import EXACT_UP_TO, INDEXED_DIMENSIONS, SETTINGS, compares_all, nearest
from learning_pipelines.storage.vectors import set_for_search
from learning_pipelines_tests.conftest import MakeDatabase
from learning_pipelines_tests.retrieval.stored import agent, clustered, drop_chunks, organization, put_base, put_chunks, put_vectors

LENGTH, SMALL, LARGE = 384, 120, 2_280
VECTORS = clustered(SMALL + LARGE, LENGTH)
QUERIES = clustered(20, LENGTH, seed=8)


class Named:
    name, dimensions = "test@1", LENGTH


@pytest.fixture(scope="module")
def tenants(make_database: MakeDatabase) -> Iterator[tuple[Database, dict[str, UUID], dict[str, UUID]]]:
    """A tenant with 5 % of the vectors beside one with the rest: ids of the organizations and of their encoders."""
    with make_database() as database:
        encoders, ids = {}, {}
        with database.connect("pipeline") as connection:
            for slug, rows in (("small", VECTORS[:SMALL]), ("large", VECTORS[SMALL:])):
                ids[slug] = organization(connection, slug)
                encoders[slug] = put_base(connection, ids[slug], Named)
                names = [f"{slug[0]}{number}" for number in range(len(rows))]
                put_chunks(connection, ids[slug], dict.fromkeys(names, "text"))
                put_vectors(connection, ids[slug], encoders[slug], names, rows)
        with psycopg.connect(database.admin_url, autocommit=True) as session:
            session.execute("ANALYZE learning.chunk_embeddings, learning.knowledge_chunks")
        yield database, ids, encoders


def exactly(slug: str, query: np.ndarray, k: int) -> list[str]:
    """By NumPy, over halves as they are stored and compared."""
    rows = (VECTORS[:SMALL] if slug == "small" else VECTORS[SMALL:]).astype(np.float16).astype(np.float32)
    return [f"{slug[0]}{place}" for place in np.argsort(-(rows @ query.astype(np.float16).astype(np.float32)), kind="stable")[:k]]


@pytest.mark.parametrize("slug", ["small", "large"])
@pytest.mark.parametrize("k", [10, 100])
def test_as_the_api_role_every_tenant_gets_all_k_and_nearly_the_exact_ones(
    tenants: tuple[Database, dict[str, UUID], dict[str, UUID]], slug: str, k: int
) -> None:
    database, ids, encoders = tenants
    hit = 0
    with database.connect("api") as api:
        for query in QUERIES:
            with snapshot(api):
                act_as(api, Acting(ids[slug]))
                found = nearest(api, Scope(ids[slug]), encoders[slug], query, k, exact=False)
                assert len(found) == len(set(found)) == k
                hit += len({*found} & {*exactly(slug, query, k)})
    assert hit / (k * len(QUERIES)) >= 0.95


def test_comparing_one_by_one_is_exact(tenants: tuple[Database, dict[str, UUID], dict[str, UUID]]) -> None:
    database, ids, encoders = tenants
    with database.connect("pipeline") as connection, snapshot(connection):
        for query in QUERIES[:5]:
            assert nearest(connection, Scope(ids["small"]), encoders["small"], query, 10, exact=True) == exactly("small", query, 10)


def test_all_are_compared_while_that_is_faster_than_the_index(database: Database) -> None:
    with psycopg.connect(database.admin_url) as session:
        for rows, most in ((-1, EXACT_UP_TO), (1e4, EXACT_UP_TO), (1e6, 31_622)):  # -1: nothing is known of the table
            session.execute("UPDATE pg_class SET reltuples = %s WHERE oid = 'learning.chunk_embeddings'::regclass", [rows])
            assert compares_all(session, most) and not compares_all(session, most + 1)
        session.rollback()


def test_the_plan_takes_the_index_of_vectors(tenants: tuple[Database, dict[str, UUID], dict[str, UUID]]) -> None:
    database, ids, encoders = tenants
    with database.connect("api") as api, snapshot(api):
        act_as(api, Acting(ids["large"]))
        set_for_search(api, SETTINGS | vector_search._PLAN)
        values = vector_search._values(Scope(ids["large"]), encoders["large"], (), ()) | {"k": 10, "spare": 16, "vector": vector_search.literal(QUERIES[0])}
        plan = " ".join(str(row[0]) for row in api.execute("EXPLAIN " + vector_search._by_index(LENGTH), values).fetchall())
    assert f"chunk_embeddings_{LENGTH}" in plan and "Sort Key: ((found.distance" in plan.replace("(((", "((")


def test_every_setting_is_one_that_pgvector_reads_and_none_outlives_the_search(tenants: tuple[Database, dict[str, UUID], dict[str, UUID]]) -> None:
    database, ids, encoders = tenants
    with database.connect("pipeline") as connection, snapshot(connection):
        names = [*SETTINGS, *vector_search._PLAN]
        connection.execute("SELECT '[1]'::vector")  # loads the library, which makes its settings known
        before = connection.execute("SELECT name, setting FROM pg_settings WHERE name = ANY(%s) ORDER BY 1", [names]).fetchall()
        assert {name for name, _ in before} == set(names)
        nearest(connection, Scope(ids["large"]), encoders["large"], QUERIES[0], 10, exact=False)
        assert connection.execute("SELECT name, setting FROM pg_settings WHERE name = ANY(%s) ORDER BY 1", [names]).fetchall() == before


def test_without_its_iterative_scan_the_small_tenant_would_lose_most(
    tenants: tuple[Database, dict[str, UUID], dict[str, UUID]], monkeypatch: pytest.MonkeyPatch
) -> None:
    database, ids, encoders = tenants
    counts = []
    for wanted in (SETTINGS, {**SETTINGS, "hnsw.iterative_scan": "off", "hnsw.ef_search": "40"}):
        with database.connect("api") as api, snapshot(api):
            act_as(api, Acting(ids["small"]))
            set_for_search(api, wanted | vector_search._PLAN)
            values = vector_search._values(Scope(ids["small"]), encoders["small"], (), ()) | {"k": 10, "spare": 10, "vector": vector_search.literal(QUERIES[0])}
            counts.append(len(api.execute(vector_search._by_index(LENGTH), values).fetchall()))
    assert counts[0] == 10 > counts[1]


def test_scope_edits_and_encoders_limit_what_is_found(pipeline: Connection) -> None:
    desk, shop, edit = agent(pipeline, "desk"), agent(pipeline, "shop"), uuid4()
    tenant = organization(pipeline)
    pipeline.execute("INSERT INTO chunk_edits (organization_id, id, agent_id) VALUES (%s, %s, %s)", [tenant, edit, desk.agent_id])
    encoder = put_base(pipeline, tenant, Named)
    rows = (("shared", None, None), ("mine", desk.agent_id, None), ("theirs", shop.agent_id, None), ("edited", None, edit))
    for number, (name, owner, of_edit) in enumerate(rows):
        put_chunks(pipeline, tenant, {name: "text"}, agent_id=owner, edit_id=of_edit)
        put_vectors(pipeline, tenant, encoder, [name], VECTORS[number : number + 1])
    for exact in (True, False):
        with snapshot(pipeline):

            def found(scope: Scope, encoder_id: UUID = encoder, *, exact: bool = exact, **more: tuple[str, ...]) -> set[str]:
                return set(nearest(pipeline, scope, encoder_id, QUERIES[0], 10, exact=exact, **more))

            assert found(Scope(tenant, desk.agent_id)) == {"shared", "mine"}
            assert found(Scope(tenant)) == {"shared", "mine", "theirs"}
            assert found(Scope(tenant, desk.agent_id, edit), hidden=("shared",), added=("edited",)) == {"mine", "edited"}
            assert found(Scope(tenant, desk.agent_id, edit)) == {"shared", "mine"}
            assert found(Scope(tenant), uuid4()) == set()
    drop_chunks(pipeline, tenant, ["mine"])
    with snapshot(pipeline):
        assert set(nearest(pipeline, Scope(tenant, desk.agent_id), encoder, QUERIES[0], 10, exact=True)) == {"shared"}


def test_vectors_of_a_length_without_an_index_are_compared_one_by_one(pipeline: Connection) -> None:
    assert 32 not in INDEXED_DIMENSIONS
    tenant, rows = organization(pipeline), clustered(20, 32)

    class Short:
        name, dimensions = "short@1", 32

    encoder = put_base(pipeline, tenant, Short)
    names = [f"c{number:02}" for number in range(20)]
    put_chunks(pipeline, tenant, dict.fromkeys(names, "text"))
    put_vectors(pipeline, tenant, encoder, names, rows)
    with snapshot(pipeline):
        assert nearest(pipeline, Scope(tenant), encoder, rows[3], 20, exact=False)[0] == "c03"
