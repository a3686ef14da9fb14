"""What is compared in the prompt benchmark: each method takes a split and a budget of calls, and answers the test items.

Belongs here: baselines, running the peers' processes. Not here: the peers' code (prompts_peers.py), our search (prompts_ours.py), counting, scores.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.prompts_tasks import Split
from learning_pipelines.encoder import Encoder
from learning_pipelines.llm import Message
from learning_pipelines.llm_budget import FREE
from learning_pipelines.llm_client import Endpoint, OpenAIModel

NEIGHBOURS = 5
CHILD_SECONDS = 7200.0


@dataclass(frozen=True)
class Answers:
    """One prediction per test item, in their order, and what the method says of itself (counts and scores, no texts)."""

    predictions: list[str]
    notes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Bench:
    """What methods work with. `url` is the counting endpoint, `peers` the environment of the peers, `folder` where logs may go."""

    url: str
    model: str
    encoder: Encoder
    peers: Path
    folder: Path

    def asked_in(self, phase: str) -> OpenAIModel:
        endpoint = Endpoint(f"{self.url}/{phase}/v1", "none", "the counting endpoint")
        return OpenAIModel(self.model, endpoint, price=FREE, grammar=True, concurrency=1, timeout=600.0)


class MethodFailed(Exception):
    """A method could not run; the message is what it said last."""


Method = Callable[[Bench, Split, int], Answers]


def majority(_: Bench, split: Split, __: int) -> Answers:
    return Answers([Counter(label for _, label in split.known).most_common(1)[0][0]] * len(split.test))


def vote(bench: Bench, split: Split, _: int) -> Answers:
    """The label of most of the nearest known texts; of equally many, the one that is nearest first. No language model."""
    known = bench.encoder.encode([text for text, _ in split.known])
    near = np.argsort(-(bench.encoder.encode([text for text, _ in split.test]) @ known.T), axis=1)[:, :NEIGHBOURS]
    return Answers([Counter(split.known[at][1] for at in row).most_common(1)[0][0] for row in near])


def starting_prompt(bench: Bench, split: Split, _: int) -> Answers:
    model = bench.asked_in("test")
    asked = ([Message("system", split.instruction), Message("user", text)] for text, _ in split.test)
    return Answers([model.complete(messages, max_tokens=16, choices=split.labels).text for messages in asked])


def peer(name: str) -> Method:
    """A child process in the peers' environment: the job on its stdin, its answer on the last line of its stdout."""

    def run(bench: Bench, split: Split, calls: int) -> Answers:
        python = bench.peers / "bin" / "python"
        if not python.exists():
            raise MethodFailed(f"{bench.peers} is not there: `make peer-optimizers` installs it.")
        job = {**dataclasses.asdict(split), "test": [text for text, _ in split.test], "method": name, "calls": calls, "url": bench.url}
        if name == "dspy-knn":
            job["vectors"] = _vectors(bench.encoder, [f"message: {text}" for text, _ in (*split.known, *split.test)])
        log = bench.folder / f"{name}-{split.task}-{split.seed}.log"
        kept = {key: os.environ[key] for key in ("PATH", "HOME", "TMPDIR") if key in os.environ}
        with log.open("w", encoding="utf-8") as said:
            done = subprocess.run(
                [python, Path(__file__).with_name("prompts_peers.py")], input=json.dumps(job), stdout=subprocess.PIPE, stderr=said, text=True,
                cwd=bench.folder, env={**kept, "DSPY_CACHEDIR": str(bench.folder / "dspy")}, timeout=CHILD_SECONDS, check=False,
            )  # fmt: skip
        if done.returncode != 0:
            raise MethodFailed(log.read_text(encoding="utf-8").strip().splitlines()[-1][:300])
        answer = json.loads(done.stdout.splitlines()[-1])
        return Answers(answer["predictions"], answer["notes"])

    return run


def _vectors(encoder: Encoder, texts: Sequence[str]) -> dict[str, list[float]]:
    return {text: [round(float(value), 6) for value in vector] for text, vector in zip(texts, encoder.encode(texts), strict=True)}


def our_search(bench: Bench, split: Split, calls: int) -> Answers:
    from benchmarks.prompts_ours import ours  # it needs Answers and Bench of this module

    return ours(bench, split, calls)


PEERS = ("gepa", "dspy-mipro", "dspy-random-search", "dspy-knn")
METHODS: dict[str, Method] = {
    "majority": majority,
    "vote": vote,
    "start": starting_prompt,
    "ours": our_search,
    **{name: peer(name) for name in (*PEERS, "gepa-reflection")},
}
