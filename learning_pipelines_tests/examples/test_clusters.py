"""Near-duplicates of stored examples: the same whether found at once or as they come, by both legs, again when the rule or an input changes.

Belongs here: refresh_clusters on a real database. Not here: candidates in memory (test_sketches.py), splits (test_leakage.py).
"""

from __future__ import annotations

import random

import pytest

from learning_pipelines.encoder import Encoder
from learning_pipelines.examples.clusters import LISTED, Clustered, refresh_clusters
from learning_pipelines.examples.similarity import DuplicateRule
from learning_pipelines.storage.database import Connection
from learning_pipelines_tests.conftest import Load
from learning_pipelines_tests.examples.curated import WordEncoder, alike_by_definition, approved, components
from learning_pipelines_tests.examples.planted import planted
from learning_pipelines_tests.feedback.rows import AGENT, agent_ref, table

TEXT_ONLY = DuplicateRule(cosine=None)
BOTH = DuplicateRule()


@pytest.fixture(autouse=True)
def _ground(load: Load) -> None:
    load("agents", [AGENT])


def refreshed(connection: Connection, rule: DuplicateRule = TEXT_ONLY, encoder: Encoder | None = None, **options: int) -> Clustered:
    return refresh_clusters(connection, agent_ref(connection), rule, None if encoder is None else lambda: encoder, **options)


def stored_links(connection: Connection) -> set[tuple[str, str]]:
    return {(row["first_id"], row["second_id"]) for row in table(connection, "duplicate_links")}


def stored_clusters(connection: Connection) -> set[frozenset[str]]:
    return {frozenset(row["example_ids"]) for row in table(connection, "duplicate_clusters")}


def texts_with_both_legs(seed: int, count: int = 150) -> dict[str, str]:
    """Planted edits, and beside them the same words in another order: alike by vector, not by grams."""
    chance = random.Random(seed)
    texts = planted(count, seed, names=300).texts
    for place in range(0, count, 12):
        words = texts[place].split()
        chance.shuffle(words)
        texts.append(" ".join(words))
    return {f"x{number:03}": text for number, text in enumerate(texts)}


@pytest.mark.parametrize("seed", [1, 2])
def test_links_are_those_of_the_definition_however_the_examples_came(load: Load, pipeline: Connection, seed: int) -> None:
    texts, encoder = texts_with_both_legs(seed), WordEncoder()
    true = alike_by_definition(texts, WordEncoder())
    assert len(true) > len(alike_by_definition(texts, None)) > 30
    names = sorted(texts)
    for begin, end in ((0, 5), (5, 6), (6, 100), (100, len(names))):
        load("examples", [approved(name, texts[name]) for name in names[begin:end]])
        refreshed(pipeline, BOTH, encoder, portion=40)
    assert stored_links(pipeline) == true
    assert stored_clusters(pipeline) == components(names, true)
    legs = {(row["first_id"], row["second_id"]): row["leg"] for row in table(pipeline, "duplicate_links")}
    assert {pair for pair, leg in legs.items() if leg == "text"} == alike_by_definition(texts, None)


def test_a_second_refresh_finds_nothing_and_opens_no_encoder(load: Load, pipeline: Connection) -> None:
    load("examples", [approved("a", "Where is my parcel?"), approved("b", "where is my parcel")])
    first = refreshed(pipeline, BOTH, WordEncoder())
    assert (first.inputs, first.encoded, first.links) == (2, 2, 1)

    def never() -> Encoder:
        raise AssertionError("there is nothing to encode")

    assert refresh_clusters(pipeline, agent_ref(pipeline), BOTH, never) == Clustered()


def test_a_newcomer_is_compared_without_reading_or_encoding_what_is_far_from_it(load: Load, pipeline: Connection) -> None:
    texts = planted(200, 5).texts
    load("examples", [approved(f"x{number}", text) for number, text in enumerate(texts)])
    encoder = WordEncoder()
    refreshed(pipeline, BOTH, encoder)
    load("examples", [approved("new", texts[7] + "!")])
    encoder.seen.clear()
    assert refreshed(pipeline, BOTH, encoder).inputs == 1
    assert encoder.seen == [texts[7] + "!"]
    assert ("new", "x7") in stored_links(pipeline)


def test_equal_inputs_are_encoded_once(load: Load, pipeline: Connection) -> None:
    load("examples", [approved(f"x{number}", "Same question?") for number in range(5)])
    assert refreshed(pipeline, BOTH, WordEncoder()).encoded == 1
    assert len(table(pipeline, "example_embeddings")) == 5


def test_a_newcomer_joins_two_clusters(load: Load, pipeline: Connection) -> None:
    words = [f"word{number}" for number in range(40)]
    first, second = " ".join(words), " ".join(words[7:] + [f"tail{number}" for number in range(7)])
    load("examples", [approved("a", first), approved("b", second)])
    refreshed(pipeline)
    assert stored_clusters(pipeline) == set()
    load("examples", [approved("between", " ".join(words[3:] + [f"tail{number}" for number in range(3)]))])
    refreshed(pipeline)
    assert stored_clusters(pipeline) == {frozenset({"a", "b", "between"})}
    assert stored_links(pipeline) == {("a", "between"), ("b", "between")}


def test_another_rule_searches_everything_again(load: Load, pipeline: Connection) -> None:
    load("examples", [approved("a", "alpha beta gamma delta"), approved("b", "delta gamma beta alpha")])
    refreshed(pipeline)
    assert stored_links(pipeline) == set()
    done = refreshed(pipeline, BOTH, WordEncoder())
    assert (done.again, done.inputs) == (2, 2)
    assert stored_links(pipeline) == {("a", "b")}
    refreshed(pipeline)
    assert stored_links(pipeline) == set()


def test_another_encoder_encodes_everything_again_and_the_former_one_nothing(load: Load, pipeline: Connection) -> None:
    load("examples", [approved("a", "One question?")])
    refreshed(pipeline, BOTH, WordEncoder())
    load("examples", [approved("b", "Quite another.")])
    done = refreshed(pipeline, BOTH, WordEncoder(name="words@22"))
    assert (done.again, done.inputs, done.encoded) == (1, 2, 2)
    load("examples", [approved("c", "A third.")])
    assert refreshed(pipeline, BOTH, WordEncoder()).encoded == 2  # a's vector is there already


def test_a_changed_input_is_searched_again(load: Load, pipeline: Connection) -> None:
    load("examples", [approved("a", "Where is my parcel?"), approved("b", "Where is my parcel??")])
    refreshed(pipeline, BOTH, WordEncoder())
    pipeline.execute("UPDATE learning_examples SET input_text = 'Cancel it', updated_at = now() WHERE id = 'b'")
    assert refreshed(pipeline, BOTH, WordEncoder()).again == 1
    assert (stored_links(pipeline), stored_clusters(pipeline)) == (set(), set())


def test_rejected_and_withdrawn_examples_are_in_no_cluster(load: Load, pipeline: Connection) -> None:
    load("examples", [approved(name, "Where is my parcel?") for name in "abc"] + [approved("d", "where is my parcel", review_status="rejected")])
    assert refreshed(pipeline).inputs == 3
    pipeline.execute("UPDATE learning_examples SET is_active = false WHERE id = 'c'")
    assert stored_clusters(pipeline) == {frozenset({"a", "b"})}


def test_a_large_cluster_is_not_listed_pair_by_pair(load: Load, pipeline: Connection) -> None:
    load("examples", [approved(f"x{number:03}", "Where is my parcel?") for number in range(LISTED)])
    assert refreshed(pipeline).links == LISTED * (LISTED - 1) // 2
    load("examples", [approved("y", "where is my parcel")])
    assert refreshed(pipeline).links == 0
    assert [len(cluster) for cluster in stored_clusters(pipeline)] == [LISTED + 1]


def test_the_nearest_other_input_is_known_of_old_and_new(load: Load, pipeline: Connection) -> None:
    load("examples", [approved("a", "alpha beta gamma delta"), approved("b", "nothing like it here")])
    refreshed(pipeline, BOTH, WordEncoder())
    load("examples", [approved("c", "delta gamma beta alpha")])
    refreshed(pipeline, BOTH, WordEncoder())
    nearest = {row["example_id"]: row["nearest"] for row in table(pipeline, "example_sketches")}
    assert nearest["a"] > 0.999 and nearest["c"] > 0.999 and nearest["b"] < 0.7


def test_agents_do_not_see_each_other(load: Load, pipeline: Connection) -> None:
    load("agents", [AGENT | {"agent": "other"}])
    load("examples", [approved("a", "Where is my parcel?"), approved("b", "Where is my parcel?", agent="other")])
    for agent in ("desk", "other"):
        refresh_clusters(pipeline, agent_ref(pipeline, agent), TEXT_ONLY)
    assert (stored_links(pipeline), stored_clusters(pipeline)) == (set(), set())


def test_a_rule_with_a_cosine_needs_an_encoder(pipeline: Connection) -> None:
    with pytest.raises(ValueError, match="needs an encoder"):
        refreshed(pipeline, BOTH)
