"""Examples nearest to a vector: the right ones, of the right version and tenant, exactly and by the index; and none of an erased person.

Belongs here: storage/demonstrations.py and prompts/serving.py on a real database. Not here: how fast it is (make bench-few-shot).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import numpy as np
import pytest

from learning_pipelines.examples.datasets import refresh_dataset
from learning_pipelines.feedback.identity import organization_id
from learning_pipelines.prompts import serving
from learning_pipelines.prompts.hygiene import can_be_shown
from learning_pipelines.prompts.nearest import Pool
from learning_pipelines.prompts.serving import among_many, pool, stored_nearest
from learning_pipelines.prompts.task import Item
from learning_pipelines.storage import demonstrations, prompt_runs
from learning_pipelines.storage.database import Connection, Database
from learning_pipelines.storage.demonstrations import index_demonstrations, nearest, unindexed
from learning_pipelines.storage.duplicates import store_vectors
from learning_pipelines.storage.sessions import Acting, act_as, open_connection
from learning_pipelines.storage.tenants import AgentRef, agents
from learning_pipelines.storage.vectors import as_half
from learning_pipelines.storage.versions import list_versions
from learning_pipelines_tests.conftest import Load
from learning_pipelines_tests.examples.approved import SHARES, TEXT_ONLY


class Letters:
    """Vectors of the counts of letters, which follow from the text alone. `asked`: texts that it encoded."""

    name, dimensions = "letters@1", 384

    def __init__(self) -> None:
        self.asked: list[str] = []

    def encode(self, texts: Sequence[str], *, batch_size: int = 64) -> Any:
        self.asked += texts
        rows = np.full((len(texts), self.dimensions), 0.01, dtype=np.float32)
        for row, text in zip(rows, texts, strict=True):
            for at, letter in enumerate(text):
                row[ord(letter) % 97] += 1 + at % 3
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def text(number: int) -> str:
    """Texts that differ in most letters."""
    return " ".join(chr(97 + (number * step + 7 * step) % 26) * (1 + number * step % 5) for step in range(1, 12)) + f" {number}"


@pytest.fixture
def encoder() -> Letters:
    return Letters()


@pytest.fixture
def desk(pipeline: Connection, load: Load) -> AgentRef:
    return with_examples(pipeline, load, "default", 60)


def with_examples(connection: Connection, load: Load, organization: str, rows: int) -> AgentRef:
    """An agent with a dataset version of so many approved examples."""
    load("agents", [{"agent": "desk", "system_prompt": "You sort."}], organization)
    more_examples(connection, load, organization, range(rows))
    return agents(connection, organization, "desk")[0]


def more_examples(connection: Connection, load: Load, organization: str, numbers: range) -> None:
    common = {"agent": "desk", "review_status": "approved"}
    made = [{"example_id": f"e{n}", "input_text": text(n), "expected_output": f"{organization} {n % 3}", **common} for n in numbers]
    assert load("examples", made, organization).rejected == 0
    refresh_dataset(connection, agents(connection, organization, "desk")[0], rule=TEXT_ONLY, shares=SHARES)


def newest(connection: Connection, agent: AgentRef) -> UUID:
    return UUID(str(list_versions(connection, agent)[0]["id"]))


def train(connection: Connection, dataset: UUID) -> dict[str, str]:
    """Texts of the version's train split by id."""
    rows = connection.execute(
        """SELECT example_id, content ->> 'input_text' FROM dataset_examples JOIN example_contents USING (organization_id, content_hash)
        WHERE dataset_id = %s AND split = 'train'""",
        [dataset],
    ).fetchall()
    return {str(name): str(asked) for name, asked in rows}


def truly(texts: dict[str, str], asked: str, k: int) -> list[str]:
    """The nearest by NumPy, over vectors rounded as they are stored and compared."""
    names = sorted(texts)
    vectors, vector = (Letters().encode(some).astype(np.float16).astype(np.float32) for some in ([texts[name] for name in names], [asked]))
    return [names[at] for at in np.argsort(-(vectors @ vector[0]), kind="stable")[:k]]


def found(connection: Connection, agent: AgentRef, dataset: UUID, asked: str, k: int = 5, **more: Any) -> list[str]:
    vector = Letters().encode([asked])[0]
    return [one.example_id for one in nearest(connection, agent, dataset, Letters.name, vector, k, **{"exact": True, **more})]


@pytest.mark.parametrize("exact", [True, False])
def test_the_nearest_are_found_in_order(pipeline: Connection, desk: AgentRef, encoder: Letters, exact: bool) -> None:
    dataset = newest(pipeline, desk)
    texts = train(pipeline, dataset)
    assert index_demonstrations(pipeline, desk, dataset, encoder) == len(texts) > 20
    for number in (3, 31, 200):
        assert found(pipeline, desk, dataset, text(number), exact=exact) == truly(texts, text(number), 5)


def test_no_setting_outlives_the_search_in_a_transaction_that_goes_on(pipeline: Connection, desk: AgentRef, encoder: Letters) -> None:
    dataset = newest(pipeline, desk)
    index_demonstrations(pipeline, desk, dataset, encoder)
    pipeline.execute("SELECT '[1]'::vector")  # loads the library, which makes its settings known
    asked = "SELECT name, setting FROM pg_settings WHERE name = ANY(%s) ORDER BY 1"
    with pipeline.transaction():
        before = pipeline.execute(asked, [list(demonstrations.SETTINGS)]).fetchall()
        assert {name for name, _ in before} == set(demonstrations.SETTINGS)
        assert len(found(pipeline, desk, dataset, text(3), exact=False)) == 5
        assert pipeline.execute(asked, [list(demonstrations.SETTINGS)]).fetchall() == before


def test_no_example_is_picked_that_hygiene_would_not_show(pipeline: Connection, load: Load, encoder: Letters) -> None:
    marks = ("<|im_end|>", "<|IM_START|>system", "[INST]", "</s>", "<start_of_turn>", "{{name}}", "{% if %}", "[SYSTEM_PROMPT]", "<|some thing|>", "5 < 6")
    common = {"agent": "desk", "review_status": "approved", "expected_output": "yes"}
    load("agents", [{"agent": "desk", "system_prompt": "You sort."}])
    load("examples", [{"example_id": f"m{n}", "input_text": f"{text(n)} {marks[n % 10]}", **common} for n in range(100)])
    desk = agents(pipeline, "default", "desk")[0]
    refresh_dataset(pipeline, desk, rule=TEXT_ONLY, shares=SHARES)
    dataset = newest(pipeline, desk)
    texts = train(pipeline, dataset)
    may = {name for name, said in texts.items() if can_be_shown(Item(name, said, "yes"))}
    assert len({marks[int(name[1:]) % 10] for name in texts}) >= 8 and may and may == {name for name, said in texts.items() if said.endswith("5 < 6")}
    index_demonstrations(pipeline, desk, dataset, encoder)
    assert set(found(pipeline, desk, dataset, text(3), k=60)) == may and unindexed(pipeline, desk, dataset, encoder.name) == 0


def test_of_a_wrong_answer_only_its_correction_is_scored_or_shown(pipeline: Connection, load: Load, encoder: Letters) -> None:
    kinds: list[tuple[dict[str, str], bool]] = [
        ({"example_type": "positive"}, True),
        ({"example_type": "negative"}, False),
        ({"example_type": "failure", "original_output": "yes"}, False),
        ({"example_type": "negative", "original_output": "no"}, True),
    ]
    common = {"agent": "desk", "review_status": "approved", "expected_output": "yes"}
    load("agents", [{"agent": "desk", "system_prompt": "You sort."}])
    assert load("examples", [{"example_id": f"t{n}", "input_text": text(n), **common, **kinds[n % 4][0]} for n in range(40)]).rejected == 0
    desk = agents(pipeline, "default", "desk")[0]
    refresh_dataset(pipeline, desk, rule=TEXT_ONLY, shares=SHARES)
    dataset = newest(pipeline, desk)
    texts = train(pipeline, dataset)
    may = {name for name in texts if kinds[int(name[1:]) % 4][1]}
    assert 0 < len(may) < len(texts)
    assert {row["id"] for row in prompt_runs.items(pipeline, desk, dataset) if row["split"] == "train"} == may
    index_demonstrations(pipeline, desk, dataset, encoder)
    assert set(found(pipeline, desk, dataset, text(1), k=40)) == may and unindexed(pipeline, desk, dataset, encoder.name) == 0


def test_what_is_found_says_what_was_asked_and_approved(pipeline: Connection, desk: AgentRef, encoder: Letters) -> None:
    dataset = newest(pipeline, desk)
    index_demonstrations(pipeline, desk, dataset, encoder)
    name, asked = next(iter(train(pipeline, dataset).items()))
    (shown,) = nearest(pipeline, desk, dataset, Letters.name, encoder.encode([asked])[0], 1, exact=True)
    assert (shown.example_id, shown.input, shown.output) == (name, asked, f"default {int(name[1:]) % 3}")


def test_only_the_train_split_is_picked_from_and_never_what_is_left_out(pipeline: Connection, desk: AgentRef, encoder: Letters) -> None:
    dataset = newest(pipeline, desk)
    index_demonstrations(pipeline, desk, dataset, encoder)
    texts = train(pipeline, dataset)
    everything = found(pipeline, desk, dataset, text(1), k=100)
    assert sorted(everything) == sorted(texts)
    assert found(pipeline, desk, dataset, text(1), k=3, without={everything[0], everything[2]}) == [everything[1], *everything[3:5]]
    assert found(pipeline, desk, dataset, text(1), k=0) == []


def test_only_answers_of_the_closed_set_are_shown(pipeline: Connection, desk: AgentRef, encoder: Letters) -> None:
    dataset = newest(pipeline, desk)
    index_demonstrations(pipeline, desk, dataset, encoder)
    for exact in (True, False):
        names = found(pipeline, desk, dataset, text(1), k=6, exact=exact, labels=["default 1"])
        assert len(names) == 6 and {int(name[1:]) % 3 for name in names} == {1}


def test_indexing_again_costs_nothing_and_a_new_version_its_new_texts(pipeline: Connection, desk: AgentRef, encoder: Letters, load: Load) -> None:
    first = newest(pipeline, desk)
    index_demonstrations(pipeline, desk, first, encoder)
    asked = len(encoder.asked)
    assert index_demonstrations(pipeline, desk, first, encoder) == 0 and len(encoder.asked) == asked
    more_examples(pipeline, load, "default", range(60, 80))
    second = newest(pipeline, desk)
    new = set(train(pipeline, second)) - set(train(pipeline, first))
    assert unindexed(pipeline, desk, second, Letters.name) == len(new) > 0
    assert index_demonstrations(pipeline, desk, second, encoder) == len(new)
    assert len(encoder.asked) == asked + len(new)


def test_many_are_indexed_in_portions_without_what_is_erased_meanwhile(
    database: Database, pipeline: Connection, desk: AgentRef, encoder: Letters, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demonstrations, "_PORTION", 7)
    dataset = newest(pipeline, desk)
    texts = train(pipeline, dataset)
    last = max(texts)
    encode = encoder.encode

    def erasing(asked: Sequence[str], **options: Any) -> Any:
        if len(encoder.asked) == 0:
            with database.connect("owner") as owner:
                owner.execute("DELETE FROM dataset_examples WHERE example_id = %s", [last])
                owner.execute("DELETE FROM learning_examples WHERE id = %s", [last])
                owner.execute("DELETE FROM example_contents WHERE content ->> 'input_text' = %s", [texts[last]])
        return encode(asked, **options)

    monkeypatch.setattr(encoder, "encode", erasing)
    assert index_demonstrations(pipeline, desk, dataset, encoder) == len(texts) - 1 == len(encoder.asked)
    assert texts[last] not in encoder.asked and unindexed(pipeline, desk, dataset, encoder.name) == 0


def test_a_pinned_version_goes_on_finding_what_it_found(pipeline: Connection, desk: AgentRef, encoder: Letters, load: Load) -> None:
    first = newest(pipeline, desk)
    index_demonstrations(pipeline, desk, first, encoder)
    before = {exact: [found(pipeline, desk, first, text(number), exact=exact) for number in range(60, 80)] for exact in (True, False)}
    more_examples(pipeline, load, "default", range(60, 80))
    index_demonstrations(pipeline, desk, newest(pipeline, desk), encoder)
    assert {exact: [found(pipeline, desk, first, text(number), exact=exact) for number in range(60, 80)] for exact in (True, False)} == before


def test_an_edited_example_stays_what_it_was_in_the_version_that_holds_it(pipeline: Connection, desk: AgentRef, encoder: Letters) -> None:
    dataset = newest(pipeline, desk)
    name, asked = next(iter(train(pipeline, dataset).items()))
    pipeline.execute("UPDATE learning_examples SET input_text = 'quite another text', expected_output = 'x' WHERE id = %s", [name])
    index_demonstrations(pipeline, desk, dataset, encoder)
    (shown,) = nearest(pipeline, desk, dataset, Letters.name, encoder.encode([asked])[0], 1, exact=True)
    assert (shown.example_id, shown.input) == (name, asked)


def test_vectors_that_the_search_for_duplicates_made_are_taken_over_if_they_are_of_the_same_text(
    pipeline: Connection, desk: AgentRef, encoder: Letters
) -> None:
    dataset = newest(pipeline, desk)
    texts = train(pipeline, dataset)
    same, changed = sorted(texts)[:2]
    with pipeline.transaction():
        store_vectors(pipeline, desk, Letters.name, [(name, Letters().encode([texts[name]])[0]) for name in (same, changed)])
    pipeline.execute("UPDATE example_sketches SET encoder = %s", [Letters.name])
    pipeline.execute("UPDATE example_sketches SET input_hash = sha256('another') WHERE example_id = %s", [changed])
    assert index_demonstrations(pipeline, desk, dataset, encoder) == len(texts)
    assert texts[same] not in encoder.asked and texts[changed] in encoder.asked


def test_an_erased_example_is_never_shown_again(database: Database, pipeline: Connection, desk: AgentRef, encoder: Letters) -> None:
    dataset = newest(pipeline, desk)
    index_demonstrations(pipeline, desk, dataset, encoder)
    gone = found(pipeline, desk, dataset, text(1), k=1)[0]
    with database.connect("owner") as owner:
        owner.execute("DELETE FROM dataset_examples WHERE example_id = %s", [gone])
        owner.execute("DELETE FROM learning_examples WHERE id = %s", [gone])
        assert owner.execute("SELECT count(*) FROM demonstration_vectors WHERE example_id = %s", [gone]).fetchone() == (0,)
    assert gone not in found(pipeline, desk, dataset, text(1), k=100)


def test_a_small_tenant_gets_all_its_k_from_the_index_as_the_service_asks(
    database: Database, pipeline: Connection, desk: AgentRef, encoder: Letters, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without going on until enough rows have passed, an index that all tenants share gives a small one a fraction of what it asked for."""
    dataset = newest(pipeline, desk)
    index_demonstrations(pipeline, desk, dataset, encoder)
    crowd(pipeline, 1_000)
    monkeypatch.setattr(demonstrations, "_exactly", lambda *_: pytest.fail("the index did not find enough"))
    texts = train(pipeline, dataset)
    with open_connection(database) as service:
        for number in (3, 31):
            with service.transaction():
                act_as(service, Acting(desk.organization_id, role="trainer"))
                assert found(service, desk, dataset, text(number), exact=False) == truly(texts, text(number), 5)


def crowd(connection: Connection, rows: int) -> None:
    """Another tenant whose vectors are all nearer to everything that is asked than ours."""
    theirs = organization_id("crowd")
    connection.execute("INSERT INTO organizations (organization_id, slug) VALUES (%s, 'crowd')", [theirs])
    connection.execute("INSERT INTO agents (organization_id, slug) VALUES (%s, 'desk')", [theirs])
    connection.execute(
        """INSERT INTO learning_examples (organization_id, id, agent_id, example_type, source_type, input_text, content_hash, scrub_rules)
        SELECT %(organization)s, 'c' || n, a.id, 'positive', 'imported', n::text, '', '1' FROM generate_series(1, %(rows)s) n
        JOIN agents a ON a.organization_id = %(organization)s""",
        {"organization": theirs, "rows": rows},
    )
    connection.execute(
        "INSERT INTO example_contents (organization_id, content_hash, content) VALUES (%s, sha256(convert_to('{}'::jsonb::text, 'UTF8')), '{}')", [theirs]
    )
    rng = np.random.default_rng(5)
    near = np.repeat(Letters().encode([text(3), text(31)]), rows // 2, axis=0)
    near += 0.01 * rng.standard_normal(near.shape).astype(np.float32)
    near /= np.linalg.norm(near, axis=1, keepdims=True)
    connection.execute(
        """INSERT INTO demonstration_vectors (organization_id, encoder, example_id, content_hash, agent_id, embedding)
        SELECT e.organization_id, %(encoder)s, e.id, c.content_hash, e.agent_id, v.value::halfvec
        FROM unnest(%(vectors)s::text[]) WITH ORDINALITY AS v (value, n) JOIN learning_examples e ON e.id = 'c' || v.n
        JOIN example_contents c ON c.organization_id = e.organization_id WHERE e.organization_id = %(organization)s""",
        {"organization": theirs, "encoder": Letters.name, "vectors": [str(vector.tolist()) for vector in near]},
    )


@pytest.mark.parametrize("exact", [True, False])
def test_of_one_type_the_nearest_that_still_stand_are_found(pipeline: Connection, load: Load, encoder: Letters, exact: bool) -> None:
    desk = with_examples(pipeline, load, "default", 1)
    rows = [{"example_id": f"k{n}", "agent": "desk", "input_text": text(n), "expected_output": "right", "review_status": "approved"} for n in range(60)]
    load("examples", [row | {"original_output": "wrong"} if n % 2 else row for n, row in enumerate(rows)])
    refresh_dataset(pipeline, desk, rule=TEXT_ONLY, shares=SHARES)
    dataset = newest(pipeline, desk)
    index_demonstrations(pipeline, desk, dataset, encoder)
    corrected = {name: asked for name, asked in train(pipeline, dataset).items() if name.startswith("k") and int(name[1:]) % 2}
    of_type: dict[str, Any] = {"exact": exact, "example_type": "correction"}
    assert len(corrected) > 8 and demonstrations.few(pipeline, desk, Letters.name, "correction")
    for number in (3, 31, 200):
        assert found(pipeline, desk, dataset, text(number), **of_type) == truly(corrected, text(number), 5)
    gone = truly(corrected, text(31), 1)[0]
    pipeline.execute("UPDATE learning_examples SET review_status = 'needs_revision' WHERE id = %s", [gone])
    assert gone not in found(pipeline, desk, dataset, text(31), k=60, **of_type)


def test_examples_read_once_are_found_as_the_database_finds_them_twins_too(pipeline: Connection, load: Load, encoder: Letters) -> None:
    desk = with_examples(pipeline, load, "default", 0)
    common = {"agent": "desk", "review_status": "approved"}  # some share their letters: their vectors are the same
    load("examples", [{"example_id": f"e{n}", "input_text": text(n % 20) + " " * (n % 3), "expected_output": f"default {n % 3}", **common} for n in range(90)])
    refresh_dataset(pipeline, desk, rule=TEXT_ONLY, shares=SHARES)
    dataset = newest(pipeline, desk)
    index_demonstrations(pipeline, desk, dataset, encoder)
    for labels in ((), ("default 1",)):
        read = pool(pipeline, desk, dataset, encoder.name, encoder.dimensions, labels)
        for number in (3, 31, 200):
            vector = encoder.encode([text(number)])[0]
            for k, without in ((1, frozenset[str]()), (7, frozenset(["e3", "e23"])), (200, frozenset[str]())):
                stored = among_many(pipeline, desk, dataset, encoder.name, vector, k, exact=True, without=without, labels=labels)
                assert read.nearest(as_half(vector), k, without) == stored and stored
    assert 0 < sum(vector.nbytes for vector in read._vectors) <= demonstrations.size(pipeline, desk, dataset, encoder.name)


def test_another_tenant_and_another_role_see_nothing(database: Database, pipeline: Connection, desk: AgentRef, encoder: Letters, load: Load) -> None:
    theirs = with_examples(pipeline, load, "theirs", 20)
    for agent in (desk, theirs):
        index_demonstrations(pipeline, agent, newest(pipeline, agent), encoder)
    with open_connection(database) as service:
        for acting in (Acting(theirs.organization_id, role="admin"), Acting(desk.organization_id, role="user")):
            with service.transaction():
                act_as(service, acting)
                assert found(service, desk, newest(pipeline, desk), text(1)) == []
                assert len(pool(service, desk, newest(pipeline, desk), encoder.name, encoder.dimensions)) == 0


def test_a_lookup_of_a_pipeline_indexes_what_is_missing_and_opens_the_encoder_once(pipeline: Connection, desk: AgentRef, encoder: Letters) -> None:
    opened: list[int] = []

    def open_encoder() -> Letters:
        opened.append(1)
        return encoder

    dataset = newest(pipeline, desk)
    lookup = stored_nearest(pipeline, desk, dataset, open_encoder)
    assert opened == []
    texts = train(pipeline, dataset)
    own = next(iter(texts))
    assert [one.example_id for one in lookup(texts[own], 4)] == truly(texts, texts[own], 4)
    assert own not in {one.example_id for one in lookup(texts[own], 4, frozenset({own}))}
    assert len(opened) == 1


def test_many_vectors_are_searched_by_the_index_and_few_one_by_one(
    pipeline: Connection, desk: AgentRef, encoder: Letters, monkeypatch: pytest.MonkeyPatch
) -> None:
    index_demonstrations(pipeline, desk, newest(pipeline, desk), encoder)
    assert demonstrations.few(pipeline, desk, Letters.name)
    monkeypatch.setattr(demonstrations, "EXACT_UP_TO", 10)
    assert not demonstrations.few(pipeline, desk, Letters.name)


def test_a_lookup_of_a_pipeline_compares_a_version_in_memory_up_to_its_bytes_however_many_vectors_the_agent_has(
    pipeline: Connection, desk: AgentRef, encoder: Letters, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = newest(pipeline, desk)
    texts = train(pipeline, dataset)
    own = next(iter(texts))
    monkeypatch.setattr(demonstrations, "EXACT_UP_TO", 10)
    read: list[UUID] = []

    def reading(connection: Connection, agent: AgentRef, version: UUID, *given: Any) -> Pool:
        read.append(version)
        return pool(connection, agent, version, *given)

    monkeypatch.setattr(serving, "pool", reading)
    found = stored_nearest(pipeline, desk, dataset, lambda: encoder)(texts[own], 4)
    assert [one.example_id for one in found] == truly(texts, texts[own], 4) and read == [dataset]
    monkeypatch.setattr(serving, "POOLED_BYTES", demonstrations.size(pipeline, desk, dataset, encoder.name) - 1)
    monkeypatch.setattr(demonstrations, "EXACT_UP_TO", 3_000)
    assert stored_nearest(pipeline, desk, dataset, lambda: encoder)(texts[own], 4) == found and read == [dataset]
