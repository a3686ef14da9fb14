"""Recorded outcomes of two prompts on the same questions (BIG-Bench Hard, direct and chain of thought), read from outside the repository.

Belongs here: where they are, reading them, taking each task through the gate. Not here: what is expected.
"""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import numpy as np
import orjson
from numpy.typing import NDArray

from learning_pipelines.acceptance.gate import Evidence, decide

DATA = Path(os.environ.get("LEARNING_TEST_DATA") or Path(__file__).resolve().parents[3] / "shared" / "data") / "bbh_prompt_ab_dev" / "outputs.jsonl.gz"
MISSING = f"bbh_prompt_ab_dev is not at {DATA}: set LEARNING_TEST_DATA to the folder that holds it"


def marks() -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """By task: marks (0 or 1) of the direct prompt and of the chain of thought, in the same order of questions."""
    rows = [orjson.loads(line) for line in gzip.decompress(DATA.read_bytes()).splitlines()]
    tasks = sorted({row["task"] for row in rows})
    return {
        task: (
            np.array([row["direct_correct"] for row in rows if row["task"] == task], dtype=np.float64),
            np.array([row["cot_correct"] for row in rows if row["task"] == task], dtype=np.float64),
        )
        for task in tasks
    }


def verdicts() -> dict[str, Evidence]:
    """By task: chain of thought against the direct prompt, each task a first test on fresh items."""
    return {task: decide(direct, thought) for task, (direct, thought) in marks().items()}
