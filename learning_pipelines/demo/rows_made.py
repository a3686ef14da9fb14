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
from learning_pipelines.demo.searches import searches
from learning_pipelines.demo.simulate import feedback_on, is_test_side
from learning_pipelines.encoder import open_encoder
from learning_pipelines.llm import ResponseCache, open_model
from learning_pipelines.llm_budget import Budget
from learning_pipelines.settings import Settings

SEED = 7
COUNTS: dict[str, dict[str, int]] = {
    "quick": {"router": 20, "filing": 6, "knowledge": 4},
    "usual": {"router": 160, "filing": 25, "knowledge": 40},
    "full": {},
}
"""Messages each agent is asked, by the extent of the demo (a smaller one is part of a larger); an agent that is not named is asked all there are."""
APPROVED_MESSAGES = 15
"""Messages of each intent that experts have labelled already; they are not among those the router is asked."""
Say = Callable[[str], None]


def write_rows(settings: Settings, say: Say, extent: str, cache: ResponseCache | None = None, budget: Budget | None = None) -> dict[str, Path]:
    """The import files of the demo, by kind and in the order of import. What the model answered once stays: a second demo asks nothing."""
    folder = settings.home / "demo"
    folder.mkdir(parents=True, exist_ok=True)
    files = {kind: folder / f"{kind}.jsonl" for kind in ("agents", "executions", "feedback", "examples", "demonstrations", "documents", "retrieval_feedback")}
    for kind in ("agents", "documents"):
        shutil.copyfile(ROWS / f"{kind}.jsonl", files[kind])
    _write(files["retrieval_feedback"], [*learnt_from(read_rows("retrieval_feedback")), *_searched(settings, folder / "searches.jsonl")])
    # Each demonstration is about another request: its own id says which side it is on.
    _write(files["demonstrations"], (row for row in read_rows("demonstrations") if not is_test_side(row["demonstration_id"])))
    _write(files["examples"], [*learnt_from(read_rows("examples")), *approved_examples()])
    # With a cache, a demo that was cut off asks nothing twice.
    _ask_the_model(settings, say, _answers_file(files), COUNTS[extent], cache, budget)
    answers = _answers(_answers_file(files))
    _write(files["executions"], (answer["execution"] for answer in answers))
    _write(files["feedback"], (row for answer in answers for row in answer["feedback"]))
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


def _searched(settings: Settings, path: Path) -> list[dict[str, Any]]:
    """What was said about searches, made once: a second demo says the same and brings nothing new."""
    if not path.exists():
        _write(path, searches(open_encoder(settings), dt.datetime.now(dt.UTC)))
    return _answers(path)


def answer_shares(files: dict[str, Path]) -> dict[str, tuple[int, int]]:
    """Right answers and all answers per agent, as judged when they were given."""
    judged: dict[str, list[bool]] = {}
    for answer in _answers(_answers_file(files)):
        judged.setdefault(answer["execution"]["agent"], []).append(answer["right"])
    return {agent: (sum(right), len(right)) for agent, right in judged.items()}


def _ask_the_model(settings: Settings, say: Say, path: Path, counts: dict[str, int], cache: ResponseCache | None, budget: Budget | None) -> None:
    """Adds to the answers those that are missing, all in one step: whoever interrupts it finds the file as it was."""
    labelled = {row["example_id"].removeprefix("approved-") for row in approved_examples()}
    answers = _answers(path)
    answered = {answer["execution"]["execution_id"] for answer in answers}
    todo = [ask for ask in asks(dt.datetime.now(dt.UTC), counts, without=labelled) if ask.execution_id not in answered]
    if not todo:
        return
    say(f"Asking the embedded model {len(todo)} questions of the service desk (fetched, started and kept for the next time) …")
    desk = Desk(open_model(settings, cache=cache, budget=budget), open_encoder(settings))
    comments: dict[bool, list[str]] = {True: [], False: []}
    for row in read_rows("comments"):
        comments[row["on"] == "right answers"].append(row["text"])
    begun = time.monotonic()
    with tqdm(total=len(todo), desc="answers", unit="answer", delay=2, leave=False, disable=None) as bar:
        for ask, execution in desk.work(todo):
            met = desk.met(ask, execution)
            answers.append({"execution": execution, "right": met.right, "feedback": feedback_on(met, comments, SEED)})
            bar.update()
    say(f"  {len(todo)} answers in {time.monotonic() - begun:.0f} s")
    _write(path, sorted(answers, key=lambda answer: str(answer["execution"]["created_at"])))


def _answers_file(files: dict[str, Path]) -> Path:
    """Executions, whether they were right, and the feedback on them: not for import, for nothing that learns may see what was right."""
    return files["executions"].with_name("answers.jsonl")


def _answers(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def _write(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    half = path.with_suffix(".half")
    half.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    os.replace(half, path)
