"""The service desk at work: clients' messages go to the embedded model, and what it really answers becomes the demo's executions.

Belongs here: which messages, how they are asked, whether an answer was right. Not here: the users' opinions (simulate.py), importing.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from learning_pipelines.demo.simulate import Answered, is_test_side
from learning_pipelines.encoder import Encoder
from learning_pipelines.llm import ChatModel, Completion, Message, Request

ROWS = Path(__file__).parent / "rows"
WEEKS = 9
SAME_MEANING = 0.75
"""Cosine from which an answer without figures counts as saying what the expert wrote."""


@dataclass(frozen=True, slots=True)
class Ask:
    """One message for one agent. `gold` is what an expert would answer, `document` the article that answers."""

    execution_id: str
    agent: str
    user: str
    text: str
    gold: str
    at: dt.datetime
    document: str | None = None


def read_rows(name: str) -> list[dict[str, Any]]:
    """The rows of one of the demo's files."""
    return [json.loads(line) for line in (ROWS / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]


def learnt_from(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows of people on the learning side; rows that name nobody belong to it too."""
    return [row for row in rows if "user" not in row or not is_test_side(row["user"])]


def asks(now: dt.datetime, counts: Mapping[str, int], without: Collection[str] = ()) -> list[Ask]:
    """The messages of the learning side that reach the desk, spread over the WEEKS before `now` in office hours.

    `counts` limits each agent's (absent: all), `without` names messages that stay out.
    """
    messages = [row for row in learnt_from(read_rows("messages")) if row["message_id"] not in without]
    todo = [("router", f"desk-{row['message_id']}", row, row["intent"], None) for row in messages]
    todo += [("filing", f"desk-{row['request_id']}", row, row["step"], None) for row in learnt_from(read_rows("filing_requests"))]
    questions = [row for row in learnt_from(read_rows("questions")) if row.get("answer")]
    todo += [("knowledge", f"desk-{row['question_id']}", row, row["answer"], row["document_id"]) for row in questions]
    chosen = []
    for agent in ("router", "filing", "knowledge"):
        mine = sorted((entry for entry in todo if entry[0] == agent), key=lambda entry: _shuffled(entry[1]))
        chosen += mine[: counts.get(agent)]
    chosen.sort(key=lambda entry: _shuffled("time/" + entry[1]))
    times = office_times(now, len(chosen))
    return [
        Ask(identity, agent, row["user"], row["text"], gold, at, document)
        for (agent, identity, row, gold, document), at in zip(chosen, times, strict=True)
    ]


def office_times(now: dt.datetime, count: int) -> list[dt.datetime]:
    """`count` ascending moments on the working days of the WEEKS before now, 08:00 to 17:00, all in the past."""
    today = now.astimezone(dt.UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    before = (today - dt.timedelta(days=back) for back in range(WEEKS * 7, 0, -1))
    days = [day for day in before if day.weekday() < 5]
    step = len(days) / max(1, count)
    moments = []
    for number in range(count):
        nth, within = divmod(number * step, 1)
        moments.append(days[int(nth)] + dt.timedelta(hours=8, seconds=int(within * 9 * 3600)))
    return moments


class Desk:
    """The three agents on a model: what is sent, and the execution row that comes of the answer."""

    def __init__(self, model: ChatModel, encoder: Encoder) -> None:
        self._model = model
        self._encoder = encoder
        self._agents = {row["agent"]: row for row in read_rows("agents")}
        self._articles = read_rows("documents")
        self._vectors: np.ndarray[Any, Any] | None = None

    def work(self, todo: Sequence[Ask]) -> Iterator[tuple[Ask, dict[str, Any]]]:
        """Answers agent by agent (the shared prompt stays in the model's cache). Raises the ModelError of an answer that did not come."""
        found = self._retrieve([ask for ask in todo if ask.agent == "knowledge"])
        ordered = sorted(todo, key=lambda ask: (ask.agent, ask.at))
        requests = [self.request(ask.agent, ask.text, found.get(ask.execution_id, [])) for ask in ordered]
        for ask, outcome in zip(ordered, self._model.complete_many(requests), strict=True):
            if not isinstance(outcome, Completion):
                raise outcome
            yield ask, self._execution(ask, outcome, found.get(ask.execution_id, []))

    def request(self, agent: str, text: str, passages: Sequence[dict[str, Any]] = ()) -> Request:
        """The messages an agent is asked with: its prompt first, then articles and the client's text in the user's role."""
        row = self._agents[agent]
        best = [self._articles[passage["at"]] for passage in passages[:1]]
        known = "".join(f'Article "{article["title"]}":\n{article["text"]}\n\n' for article in best)
        messages = (Message("system", row["system_prompt"]), Message("user", f"{known}Question: {text}" if known else text))
        labels = row.get("labels")
        return Request(messages, max_tokens=60, choices=tuple(labels) if labels else None)

    def _retrieve(self, todo: Sequence[Ask]) -> dict[str, list[dict[str, Any]]]:
        """The three nearest articles by the packaged encoder."""
        if not todo:
            return {}
        if self._vectors is None:
            self._vectors = self._encoder.encode([f"{row['title']}\n{row['text']}" for row in self._articles])
        scores = self._encoder.encode([ask.text for ask in todo]) @ self._vectors.T
        best = np.argsort(-scores, axis=1)[:, :3]
        return {
            ask.execution_id: [{"at": int(at), "rank": rank, "score": round(float(scores[number, at]), 4)} for rank, at in enumerate(best[number], start=1)]
            for number, ask in enumerate(todo)
        }

    def _execution(self, ask: Ask, answer: Completion, passages: Sequence[dict[str, Any]]) -> dict[str, Any]:
        row: dict[str, Any] = {
            "execution_id": ask.execution_id, "agent": ask.agent, "input": ask.text, "output": answer.text.strip() or "(no answer)", "user": ask.user,
            "environment": "demo", "tags": ["service_desk"], "context": {"model": answer.model}, "latency_ms": round(answer.seconds * 1000, 1),
            "input_tokens": answer.input_tokens, "output_tokens": answer.output_tokens, "created_at": ask.at.isoformat(),
        }  # fmt: skip
        if answer.cost_usd is not None:
            row["cost_usd"] = answer.cost_usd
        if passages:
            row["retrieved"] = [
                {"document_id": self._articles[passage["at"]]["document_id"], "rank": passage["rank"], "score": passage["score"]} for passage in passages
            ]
        return row

    def met(self, ask: Ask, execution: dict[str, Any]) -> Answered:
        """The execution as the user meets it."""
        return Answered(ask.execution_id, ask.user, self.is_right(ask, execution["output"]), ask.gold, ask.at)

    def is_right(self, ask: Ask, output: str) -> bool:
        """A label must be the expert's; a text must hold every figure of the expert's answer, or mean the same where that has none."""
        if ask.agent != "knowledge":
            return output == ask.gold
        figures = re.findall(r"\d+(?:[.,]\d+)*", ask.gold)
        if figures:
            return all(re.search(rf"(?<![\d.,]){re.escape(figure)}(?![.,]?\d)", output) for figure in figures)
        vectors = self._encoder.encode([ask.gold, output])
        return float(vectors[0] @ vectors[1]) >= SAME_MEANING


def _shuffled(identity: str) -> bytes:
    """An order that has nothing to do with the ids and is the same everywhere."""
    return hashlib.sha256(f"order/{identity}".encode()).digest()
