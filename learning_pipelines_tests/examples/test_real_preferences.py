"""Real questions with human corrections and pairwise preferences (qa_feedback) become pairs and files.

Belongs here: the whole way from import to a file on real judgements. Not here: rules. Skipped where the data set is absent.
The first QUESTIONS of 500 are read: the import, which looks for names in every text, is most of the time.
"""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterator
from itertools import combinations, islice
from pathlib import Path
from typing import Any

import orjson
import pytest

from learning_pipelines.examples.exporting import export_dataset
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.preferences import broken, counts
from learning_pipelines_tests.conftest import Load
from learning_pipelines_tests.examples.approved import dataset, refresh
from learning_pipelines_tests.feedback.rows import AGENT, agent_ref, table

DATA = Path(os.environ.get("LEARNING_TEST_DATA") or Path(__file__).resolve().parents[3] / "shared" / "data") / "qa_feedback" / "dev_feedback.jsonl.gz"
QUESTIONS = 60
pytestmark = pytest.mark.skipif(not DATA.exists(), reason=f"the data set qa_feedback is not at {DATA}")


def judged() -> Iterator[dict[str, Any]]:
    """A correction per question that was corrected (of prediction 1), and a choice per preference that is no tie; all of one question by one person."""
    with gzip.open(DATA) as file:
        for number, row in enumerate(orjson.loads(line) for line in islice(file, QUESTIONS)):
            shared = {"agent": "desk", "input_text": row["question"], "user": f"judge-{number}", "review_status": "approved"}
            corrected = row["feedback"]["corrected-prediction"]
            if corrected:
                yield {**shared, "example_id": f"q{number:03}", "original_output": row["prediction 1"], "expected_output": corrected}
            for (first, second), said in zip(combinations(range(1, 5), 2), row["preference"], strict=True):
                if said:
                    outputs = {"output_a": row[f"prediction {first}"], "output_b": row[f"prediction {second}"]}
                    preferred = outputs["output_a" if said == 1 else "output_b"]
                    kept = {"example_type": "preference", "preferred_output": "AB"[said - 1], "expected_output": preferred, **outputs}
                    yield {**shared, "example_id": f"q{number:03}-{first}{second}", **kept}


@pytest.mark.slow
def test_real_corrections_and_preferences_become_pairs_that_contradict_nothing(load: Load, pipeline: Connection, tmp_path: Path) -> None:
    load("agents", [AGENT])
    rows = list(judged())
    assert load("examples", rows).rejected == 0
    refresh(pipeline)
    found = counts(pipeline, agent_ref(pipeline))
    differ = [row for row in rows if "output_a" in row and row["output_a"].strip() != row["output_b"].strip()]
    corrected = [row for row in rows if row.get("original_output", row["expected_output"]).strip() != row["expected_output"].strip()]
    assert sum(found.values()) >= 0.9 * (len(differ) + len(corrected)) > 5 * QUESTIONS
    assert broken(pipeline, agent_ref(pipeline), dataset(pipeline).id) == (0, 0, 0)
    written = export_dataset(pipeline, agent_ref(pipeline), dataset(pipeline), "openai-dpo", str(tmp_path / "pairs.jsonl"), split="all")
    assert written.rows + sum(written.held_back.values()) == len(table(pipeline, "dataset_pairs"))
    train = export_dataset(pipeline, agent_ref(pipeline), dataset(pipeline), "trl-dpo", str(tmp_path / "train.jsonl"))
    test = export_dataset(pipeline, agent_ref(pipeline), dataset(pipeline), "trl-dpo", str(tmp_path / "test.jsonl"), split="test")
    asked = [{orjson.loads(line)["prompt"][-1]["content"] for line in (tmp_path / f"{name}.jsonl").read_bytes().splitlines()} for name in ("train", "test")]
    assert train.rows and test.rows and not asked[0] & asked[1]
