"""The rows of the demo's organization: the written ones, and those that come of asking the model and of simulated users.

Belongs here: making the import files below LEARNING_HOME/demo once. Not here: importing them (run.py), asking (desk.py), opinions (simulate.py).
"""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from tqdm import tqdm

from learning_pipelines.demo.desk import ROWS, Desk, asks, learnt_from, read_rows
from learning_pipelines.demo.simulate import feedback_on, is_test_side
from learning_pipelines.encoder import open_encoder
from learning_pipelines.llm import open_model
from learning_pipelines.settings import Settings

SEED = 7
COUNTS: dict[str, dict[str, int]] = {
    "quick": {"router": 20, "filing": 6, "knowledge": 4},
    "usual": {"router": 160, "filing": 25, "knowledge": 40},
    "full": {},
}
"""Messages each agent is asked, by the extent of the demo; an agent that is not named is asked all there are."""
APPROVED_MESSAGES = 10
"""Messages of each intent that experts have labelled already; they are not among those the router is asked."""
Say = Callable[[str], None]


def write_rows(settings: Settings, say: Say, extent: str) -> dict[str, Path]:
    """The import files of the demo, by kind and in the order of import. What the model answered once stays: a second demo asks nothing."""
    folder = settings.home / "demo" / extent
    folder.mkdir(parents=True, exist_ok=True)
    files = {kind: folder / f"{kind}.jsonl" for kind in ("agents", "executions", "feedback", "examples", "demonstrations", "documents", "retrieval_feedback")}
    for kind in ("agents", "documents", "retrieval_feedback"):
        shutil.copyfile(ROWS / f"{kind}.jsonl", files[kind])
    # Each demonstration is about another request: its own id says which side it is on.
    _write(files["demonstrations"], (row for row in read_rows("demonstrations") if not is_test_side(row["demonstration_id"])))
    _write(files["examples"], [*learnt_from(read_rows("examples")), *approved_examples()])
    if not (files["executions"].exists() and files["feedback"].exists()):
        _ask_the_model(settings, say, files, COUNTS[extent])
    return files


def approved_examples() -> list[dict[str, Any]]:
    """Messages of the learning side that experts have labelled."""
    chosen: dict[str, list[dict[str, Any]]] = {}
    for row in reversed(learnt_from(read_rows("messages"))):
        chosen.setdefault(row["intent"], []).append(row)
    messages = [row for rows in chosen.values() for row in rows[:APPROVED_MESSAGES]]
    return [
        {"example_id": f"approved-{row['message_id']}", "agent": "router", "input_text": row["text"], "expected_output": row["intent"], "user": row["user"],
         "example_type": "positive", "review_status": "approved", "task_type": "routing"}
        for row in messages
    ]  # fmt: skip


def answer_shares(files: dict[str, Path]) -> dict[str, tuple[int, int]]:
    """Right answers and all answers per agent, as judged when they were given."""
    return {agent: (int(right), int(asked)) for agent, (right, asked) in json.loads(_shares(files).read_text()).items()}


def _ask_the_model(settings: Settings, say: Say, files: dict[str, Path], counts: dict[str, int]) -> None:
    labelled = {row["example_id"].removeprefix("approved-") for row in approved_examples()}
    todo = asks(dt.datetime.now(dt.UTC), counts, without=labelled)
    say(f"Asking the embedded model {len(todo)} questions of the service desk (fetched, started and kept for the next time) …")
    desk = Desk(open_model(settings), open_encoder(settings))
    begun = time.monotonic()
    with tqdm(total=len(todo), desc="answers", unit="answer", delay=2, leave=False, disable=None) as bar:
        done = []
        for entry in desk.work(todo):
            done.append(entry)
            bar.update()
    say(f"  {len(done)} answers in {time.monotonic() - begun:.0f} s")
    comments: dict[bool, list[str]] = {True: [], False: []}
    for row in read_rows("comments"):
        comments[row["on"] == "right answers"].append(row["text"])
    shares: dict[str, list[int]] = {}
    said: list[dict[str, Any]] = []
    for ask, execution in done:
        met = desk.met(ask, execution)
        share = shares.setdefault(ask.agent, [0, 0])
        share[0] += met.right
        share[1] += 1
        said += feedback_on(met, comments, SEED)
    _shares(files).write_text(json.dumps(shares))
    _write(files["feedback"], said)
    # Last: an executions file says that everything before it is there.
    _write(files["executions"], [execution for _, execution in sorted(done, key=lambda entry: entry[0].at)])


def _shares(files: dict[str, Path]) -> Path:
    return files["executions"].with_name("shares.json")


def _write(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    half = path.with_suffix(".half")
    half.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    os.replace(half, path)
