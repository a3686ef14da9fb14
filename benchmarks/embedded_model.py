"""What the embedded model can and cannot do on the demo's tasks: `make bench-embedded-model`.

Belongs here: the test side of the demo's rows, asked in several ways, beside answers that need no model. Not here: asserting anything.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.record import record
from learning_pipelines.demo.desk import Ask, Desk, read_rows
from learning_pipelines.demo.simulate import is_test_side
from learning_pipelines.llm import ChatModel, Completion, Message, Request

NEIGHBOURS = 5
STEPS = next(row["labels"] for row in read_rows("agents") if row["agent"] == "filing")


@dataclass(frozen=True)
class Task:
    """Texts with the answer an expert would give: `known` may be shown, `asked` is what counts."""

    name: str
    agent: str
    known: list[tuple[str, str]]
    asked: list[tuple[str, str]]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--most", type=int, default=100, help="Texts asked per task.")
    arguments.add_argument("--only", choices=("router", "filing", "knowledge"), help="One agent instead of all three.")
    chosen = arguments.parse_args()
    os.environ.setdefault("LEARNING_HOME", tempfile.mkdtemp(prefix="learning-benchmark-"))
    from learning_pipelines.encoder import open_encoder
    from learning_pipelines.encoder_server import stop_encoder
    from learning_pipelines.llm import open_model
    from learning_pipelines.llm_server import stop_model
    from learning_pipelines.settings import load_settings

    settings = load_settings()
    try:
        model, encoder = open_model(settings), open_encoder(settings)
        desk = Desk(model, encoder)
        print(f"{model.name}, encoder {encoder.name}; right answers in %, Wilson 95 %, and calls a second")
        print("| task | n | way | right | calls/s |\n|---|---|---|---|---|")
        for name, make in (("router", router), ("filing", filing)):
            for line in classified(make(chosen.most), desk, model, encoder.encode) if chosen.only in (None, name) else ():
                print(line, flush=True)
        for line in answered(chosen.most, desk, model, encoder.encode) if chosen.only in (None, "knowledge") else ():
            print(line, flush=True)
    finally:
        stop_encoder(settings)
        stop_model(settings)


def router(most: int) -> Task:
    rows = read_rows("messages")
    known = [(row["text"], row["intent"]) for row in rows if not is_test_side(row["user"])]
    return Task("router, 14 intents", "router", known, [(row["text"], row["intent"]) for row in rows if is_test_side(row["user"])][:most])


def filing(most: int) -> Task:
    """Requests to the desk and experts' demonstrations; the step is the one of the closed set that the expert took last."""
    requests = [(row["text"], row["step"], is_test_side(row["user"])) for row in read_rows("filing_requests")]
    for row in read_rows("demonstrations"):
        steps = [action["type"] for action in row["actions"] if action["type"] in STEPS]
        requests.append((row["task_description"], steps[-1], is_test_side(row["demonstration_id"])))
    known = [(text, step) for text, step, hidden in requests if not hidden]
    return Task("filing, 10 steps", "filing", known, [(text, step) for text, step, hidden in requests if hidden][:most])


def classified(task: Task, desk: Desk, model: ChatModel, encode: Callable[[Sequence[str]], Any]) -> list[str]:
    """Majority class, a vote of the nearest known texts, and the model bare, with fixed and with the nearest demonstrations."""
    labels = Counter(label for _, label in task.known)
    near = np.argsort(-(encode([text for text, _ in task.asked]) @ encode([text for text, _ in task.known]).T), axis=1)[:, :NEIGHBOURS]
    votes = [Counter(task.known[at][1] for at in row).most_common(1)[0][0] for row in near]
    fixed = [next(pair for pair in task.known if pair[1] == label) for label, _ in labels.most_common(NEIGHBOURS)]
    lines = [
        row(task, "majority class, no model", [labels.most_common(1)[0][0]] * len(task.asked), None),
        row(task, f"vote of the {NEIGHBOURS} nearest, no model", votes, None),
    ]
    ways: list[tuple[str, Callable[[int], list[tuple[str, str]]]]] = [
        ("model, its first prompt", lambda _: []),
        (f"model, {NEIGHBOURS} fixed demonstrations", lambda _: fixed),
        (f"model, the {NEIGHBOURS} nearest demonstrations", lambda number: [task.known[at] for at in reversed(near[number])]),
    ]
    for name, shown in ways:
        begun = time.monotonic()
        requests = [with_demonstrations(desk.request(task.agent, text), shown(number)) for number, (text, _) in enumerate(task.asked)]
        said = [outcome.text if isinstance(outcome, Completion) else f"({type(outcome).__name__})" for outcome in model.complete_many(requests)]
        lines.append(row(task, name, said, len(said) / (time.monotonic() - begun)))
    return lines


def with_demonstrations(request: Request, shown: Sequence[tuple[str, str]]) -> Request:
    turns = [message for text, label in shown for message in (Message("user", text), Message("assistant", label))]
    return Request((request.messages[0], *turns, request.messages[-1]), max_tokens=request.max_tokens, choices=request.choices)


def answered(most: int, desk: Desk, model: ChatModel, encode: Callable[[Sequence[str]], Any]) -> list[str]:
    """Finding the article, and answering from the one found or from the right one."""
    questions = [row for row in read_rows("questions") if is_test_side(row["user"])]
    articles = read_rows("documents")
    order = np.argsort(-(encode([row["text"] for row in questions]) @ encode([f"{row['title']}\n{row['text']}" for row in articles]).T), axis=1)
    rank = [[articles[at]["document_id"] for at in found].index(row["document_id"]) for row, found in zip(questions, order, strict=True)]
    lines = [
        share("knowledge, 60 articles", f"right article {name}, no model", sum(place < top for place in rank), len(rank), None)
        for name, top in (("first", 1), ("in the first 3", 3))
    ]
    written = [(row, found) for row, found in zip(questions, order, strict=True) if row.get("answer")][:most]
    numbers = {article["document_id"]: at for at, article in enumerate(articles)}
    for name, gold in (("the article found", False), ("the right article", True)):
        begun, right = time.monotonic(), 0
        given = [numbers[question["document_id"]] if gold else int(found[0]) for question, found in written]
        requests = [desk.request("knowledge", question["text"], [{"at": at}]) for (question, _), at in zip(written, given, strict=True)]
        for (question, _), outcome in zip(written, model.complete_many(requests), strict=True):
            ask = Ask("-", "knowledge", question["user"], question["text"], question["answer"], dt.datetime.now(dt.UTC))
            right += isinstance(outcome, Completion) and desk.is_right(ask, outcome.text)
        lines.append(share("knowledge, answers", f"model, given {name}", right, len(written), len(written) / (time.monotonic() - begun)))
    return lines


def row(task: Task, way: str, said: Sequence[str], speed: float | None) -> str:
    return share(task.name, way, sum(one == label for one, (_, label) in zip(said, task.asked, strict=True)), len(said), speed)


def share(task: str, way: str, right: int, n: int, speed: float | None) -> str:
    low, high = wilson(right, n)
    record(f"{task}, {way}", 100 * right / n, "%")
    return f"| {task} | {n} | {way} | {100 * right / n:.0f} [{100 * low:.0f}, {100 * high:.0f}] | {'' if speed is None else f'{speed:.1f}'} |"


def wilson(right: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's score interval of a share (Wilson 1927)."""
    middle, half = (right + z * z / 2) / (n + z * z), z * np.sqrt(right * (n - right) / n + z * z / 4) / (n + z * z)
    return float(middle - half), float(middle + half)


if __name__ == "__main__":
    main()
