"""The assets of expansion and chunk edits: what they propose and say, and that a run without anything to learn is a success with a reason."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any

import dagster as dg
import pytest

from learning_pipelines.defs import expansion as defs
from learning_pipelines.settings import Settings
from learning_pipelines.storage.database import Connection, Database
from learning_pipelines.storage.store import Store
from learning_pipelines_tests.conftest import Load
from learning_pipelines_tests.defs.conftest import checks_of, metadata_of
from learning_pipelines_tests.feedback.rows import table
from learning_pipelines_tests.retrieval.fake_encoders import FakeEncoders, WordEncoder
from learning_pipelines_tests.retrieval.refining import World, foreign_documents, foreign_questions

DESK = "default/desk"


class WordEncoders(FakeEncoders):
    """As the world's own."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(WordEncoder(dimensions=32))
        self.settings = settings

    def __enter__(self) -> WordEncoders:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None: ...


@pytest.fixture
def store(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setattr(defs, "Encoders", WordEncoders)
    return Store(Settings(home=tmp_path, timezone="UTC", duplicate_cosine=None), database)


def materialize(store: Store, instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    instance.add_dynamic_partitions("agents", [DESK])
    return dg.materialize([defs.query_expansions, defs.chunk_edits], partition_key=DESK, resources={"store": store}, instance=instance)


def test_what_gains_is_proposed_with_its_numbers_and_the_other_says_why_not(
    pipeline: Connection, load: Load, store: Store, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    World(pipeline, load, tmp_path, foreign_documents()).say(foreign_questions())
    result = materialize(store, instance)
    (proposal,) = table(pipeline, "proposals")
    assert (proposal["kind"], proposal["verdict"], proposal["state"], proposal["dagster_run_id"]) == ("expansion", "better", "open", result.run_id)
    found, edits = metadata_of(result, "query_expansions"), metadata_of(result, "chunk_edits")
    assert found["difference"] > 0.1 and found["verdict"] == "better" and found["associations"] >= 1 and "no_proposal" not in found
    assert "no chunks" in edits["no_proposal"] or "no gain" in edits["no_proposal"] or "no evidence" in edits["no_proposal"]
    assert list(checks_of(result).values()) == [True]  # one name, both assets
    texts = [repr(value) for metadata in (found, edits) for value in metadata.values()]
    assert not any(word in one for one in texts for word in ("vorsteu", "vat", "VAT", "thing7"))


def test_without_feedback_both_end_with_a_reason_and_spend_nothing(
    pipeline: Connection, load: Load, store: Store, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    World(pipeline, load, tmp_path, {"only": "A document."})
    result = materialize(store, instance)
    assert result.success and table(pipeline, "acceptance_tests") == table(pipeline, "training_runs") == []
    said: list[Any] = [metadata_of(result, name)["no_proposal"] for name in ("query_expansions", "chunk_edits")]
    assert all("no judged query is in the split train and validation and test" in each for each in said)
