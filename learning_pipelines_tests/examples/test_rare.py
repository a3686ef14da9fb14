"""Rare inputs become edge cases: only far outliers, only a bounded share, never what a person has reviewed, and not for ever.

Belongs here: marks of rare inputs as stored. Not here: near-duplicates (test_clusters.py).
"""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from learning_pipelines.encoder import Vectors
from learning_pipelines.examples.curation import Curated, refresh_curation
from learning_pipelines.examples.refresh import refresh_examples
from learning_pipelines.examples.similarity import DuplicateRule
from learning_pipelines.storage.curation import RARE_TAG
from learning_pipelines.storage.database import Connection
from learning_pipelines_tests.conftest import Load
from learning_pipelines_tests.examples.curated import WordEncoder
from learning_pipelines_tests.feedback.rows import AGENT, agent_ref, execution, said, table

TOPICS = ("parcel late where address courier", "invoice total wrong amount twice", "password reset login locked account")


@pytest.fixture(autouse=True)
def _ground(load: Load) -> None:
    load("agents", [AGENT])


def asked(load: Load, questions: dict[str, str], kind: str = "thumbs_up", **more: Any) -> None:
    load("executions", [execution(name) | {"input": text} for name, text in questions.items()])
    load("feedback", [said(f"f-{name}", name, kind, **more) for name in questions])


def everyday(seed: int, count: int = 120) -> dict[str, str]:
    """Questions on few topics, close to each other but no near-duplicates."""
    chance = random.Random(seed)
    return {f"e{number}": " ".join([*chance.sample(chance.choice(TOPICS).split(), 4), f"case{number}"]) for number in range(count)}


def curated(connection: Connection) -> Curated:
    refresh_examples(connection, agent_ref(connection))
    return refresh_curation(connection, agent_ref(connection), DuplicateRule(), WordEncoder)


def example_of(connection: Connection, text: str) -> dict[str, Any]:
    (row,) = [row for row in table(connection, "learning_examples") if row["input_text"] == text]
    return row


STRANGE = "zebra crossing marzipan volcano"


def test_an_outlier_becomes_an_edge_case_and_nothing_else_does(load: Load, pipeline: Connection) -> None:
    asked(load, everyday(1) | {"odd": STRANGE})
    assert curated(pipeline).rare == 1
    assert [row["input_text"] for row in table(pipeline, "learning_examples", "example_type = 'edge_case'")] == [STRANGE]
    assert [row["input_text"] for row in table(pipeline, "learning_examples", f"tags @> ARRAY['{RARE_TAG}']")] == [STRANGE]


def test_a_refresh_without_news_and_the_outbox_read_again_leave_it_so(load: Load, pipeline: Connection) -> None:
    asked(load, everyday(1) | {"odd": STRANGE})
    curated(pipeline)
    before = example_of(pipeline, STRANGE)
    pipeline.execute("DELETE FROM outbox_positions")
    done = curated(pipeline)
    assert (done.rare, done.remarked) == (1, 0)
    assert example_of(pipeline, STRANGE) == before
    assert len(table(pipeline, "learning_examples")) == 121


def test_scrubbing_it_again_makes_no_second_example_of_the_same_feedback(load: Load, pipeline: Connection) -> None:
    asked(load, everyday(1) | {"odd": STRANGE + " jo@mail.example"})
    curated(pipeline)
    (before,) = table(pipeline, "learning_examples", "example_type = 'edge_case'")
    raw = before["input_text"].replace("<EMAIL_1>", "jo@mail.example")
    assert raw != before["input_text"]
    pipeline.execute("UPDATE learning_examples SET input_text = %s, scrub_rules = '0' WHERE id = %s", [raw, before["id"]])
    pipeline.execute("DELETE FROM outbox_positions")
    curated(pipeline)
    (after,) = table(pipeline, "learning_examples", "example_type = 'edge_case'")
    assert (after["id"], after["input_text"], after["content_hash"], after["is_active"]) == (
        before["id"], before["input_text"], before["content_hash"], True,
    )  # fmt: skip
    assert len(table(pipeline, "learning_examples")) == 121


def test_it_is_taken_back_once_others_ask_alike(load: Load, pipeline: Connection) -> None:
    asked(load, everyday(1) | {"odd": STRANGE})
    curated(pipeline)
    asked(load, {"odd2": STRANGE + " parcel"})
    curated(pipeline)
    row = example_of(pipeline, STRANGE)
    assert (row["example_type"], row["tags"]) == ("positive", [])


@pytest.mark.parametrize(("kind", "more", "type_"), [("correction", {"correction_text": "Better."}, "correction"), ("thumbs_down", {}, "negative")])
def test_a_type_that_tells_how_to_use_the_output_stays_and_is_tagged(load: Load, pipeline: Connection, kind: str, more: dict[str, Any], type_: str) -> None:
    asked(load, everyday(1))
    asked(load, {"odd": STRANGE}, kind, **more)
    curated(pipeline)
    row = example_of(pipeline, STRANGE)
    assert (row["example_type"], row["tags"]) == (type_, [RARE_TAG])


def test_what_was_reviewed_keeps_type_and_tags(load: Load, pipeline: Connection) -> None:
    asked(load, everyday(1) | {"odd": STRANGE})
    refresh_examples(pipeline, agent_ref(pipeline))
    pipeline.execute("UPDATE learning_examples SET review_status = 'approved'")
    assert curated(pipeline).rare == 1
    row = example_of(pipeline, STRANGE)
    assert (row["example_type"], row["tags"]) == ("positive", [])
    assert [row["is_rare"] for row in table(pipeline, "example_sketches", f"example_id = '{row['id']}'")] == [True]


def test_of_few_inputs_none_is_rare(load: Load, pipeline: Connection) -> None:
    asked(load, everyday(1, 40) | {"odd": STRANGE})
    assert curated(pipeline).rare == 0


class _Scattered(WordEncoder):
    """Every text in a direction of its own."""

    def encode(self, texts: Any, *, batch_size: int = 64) -> Vectors:
        rows = np.stack([np.random.default_rng([*text.encode()]).standard_normal(self.dimensions) for text in texts]).astype(np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.parametrize("seed", [1, 2])
def test_where_every_input_is_unlike_the_others_hardly_any_is_rare(load: Load, pipeline: Connection, seed: int) -> None:
    asked(load, everyday(seed, 200))
    refresh_examples(pipeline, agent_ref(pipeline))
    assert refresh_curation(pipeline, agent_ref(pipeline), DuplicateRule(), _Scattered).rare <= 4


def test_at_most_a_twentieth_is_rare(load: Load, pipeline: Connection) -> None:
    asked(load, everyday(1, 120) | {f"odd{number}": f"strange{number} thing{number} unlike{number} others{number}" for number in range(20)})
    assert curated(pipeline).rare == 7
