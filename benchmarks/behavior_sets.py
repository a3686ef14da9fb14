"""Expert trajectories of the real sets as demonstrations: sgd_banking_dev and tau_bench_dev, converted without telling what comes.

Belongs here: reading and converting, the controls whose texts or actions are shuffled. Not here: learning, measuring.

- SGD: an action is a service call of the system (its method is the type, its parameters are the arguments). The task is the user's first utterance.
  The context of an action is what the service returned and what the user said from then until the next call; of the last one, until the
  dialogue ends. What the user said between the first utterance and the first call is left out: no earlier action could carry it.
- tau-bench, airline: an action is a tool call of a recorded run; the task is the user's first message (the hidden instruction is never used); the
  context is the tool's result and what the user said until the next call. Reward 1 is success, 0 is failure.
- tau-bench, retail: the instruction is the task and the gold list is the actions; nothing is said in between.

A state holds the contexts of earlier actions only (behavior/task.py), so nothing of the step that is asked about, or of its having taken place.
"""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from learning_pipelines.behavior.task import Action, Shown

DATA = Path(os.environ.get("LEARNING_TEST_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")


def absent(name: str) -> str | None:
    """Why a set cannot be read; None where it can."""
    return None if (DATA / name).is_dir() else f"the data set {name} is not in {DATA} (LEARNING_TEST_DATA)"


def sgd(part: str) -> list[Shown]:
    """`part`: train (Banks_1) or dev (Banks_2 and other services). The cluster is the dialogue's set of services and its first utterance."""
    return [_dialogue(row) for row in _lines(DATA / "sgd_banking_dev" / f"{part}.jsonl.gz")]


def airline() -> list[Shown]:
    """120 runs of 30 tasks, four of each; the cluster is the task."""
    rows = _lines(DATA / "tau_bench_dev" / "trajectories_gpt-4o_airline_train30.jsonl.gz")
    return [_run(row, number) for number, row in enumerate(rows)]


def retail(part: str) -> list[Shown]:
    """`part`: train (500 tasks) or dev (20)."""
    return [
        Shown(row["task_id"], row["instruction"], tuple(Action(one["name"], one["arguments"]) for one in row["actions"]), cluster=row["task_id"])
        for row in _lines(DATA / "tau_bench_dev" / f"tasks_retail_{part}.jsonl")
    ]


def without_words(shown: Sequence[Shown], seed: int) -> list[Shown]:
    """The control whose texts say nothing: tasks are dealt anew to the sequences of actions, arguments and contexts to the actions."""
    rng = np.random.default_rng(seed)
    actions = [action for one in shown for action in one.actions]
    dealt = iter([actions[place] for place in rng.permutation(len(actions))])
    return [
        replace(one, task=shown[place].task, given=shown[place].given, task_type=shown[place].task_type, cluster=shown[place].cluster,
            actions=tuple(replace(next(dealt), type=action.type) for action in one.actions))
        for one, place in zip(shown, rng.permutation(len(shown)).tolist(), strict=True)
    ]  # fmt: skip


def without_order(shown: Sequence[Shown], seed: int) -> list[Shown]:
    """The control whose actions say nothing: all actions of all demonstrations are dealt anew, and each demonstration's length is drawn anew."""
    rng = np.random.default_rng(seed)
    actions = [action for one in shown for action in one.actions]
    dealt = [actions[place] for place in rng.permutation(len(actions))]
    share = len(shown) / (len(shown) + len(actions))
    lengths = rng.geometric(share, len(shown)) - 1  # an end that is as likely after every step: neither does the length say anything
    starts = rng.integers(0, len(dealt), len(shown))
    return [
        replace(one, actions=tuple(dealt[(start + step) % len(dealt)] for step in range(length)))
        for one, length, start in zip(shown, lengths.tolist(), starts.tolist(), strict=True)
    ]


def _dialogue(row: dict[str, Any]) -> Shown:
    task, actions = "", list[Action]()
    for turn in row["turns"]:
        if turn["speaker"] == "USER":
            if not task:
                task = turn["utterance"]
            elif actions:
                actions[-1].context["said"].append(turn["utterance"])
            continue
        for frame in turn["frames"]:
            if call := frame.get("service_call"):
                actions.append(Action(call["method"], call["parameters"], {"results": frame.get("service_results", [])[:3], "said": []}))
    return Shown(row["dialogue_id"], task, tuple(actions), cluster=" ".join((*sorted(row["services"]), task)))


def _run(row: dict[str, Any], number: int) -> Shown:
    task, actions, calls = "", list[Action](), dict[str, Action]()
    for message in row["traj"]:
        if message["role"] == "user":
            if not task:
                task = message["content"]
            elif actions:
                actions[-1].context["said"].append(message["content"])
        elif message["role"] == "tool":
            calls[message["tool_call_id"]].context["result"] = _value(message["content"])
        for call in message.get("tool_calls") or ():
            action = Action(call["function"]["name"], _value(call["function"]["arguments"]), {"said": []})
            calls[call["id"]] = action
            actions.append(action)
    outcome = "success" if row["reward"] == 1 else "failure"
    return Shown(f"{row['task_id']}-{number}", task, tuple(actions), cluster=f"task {row['task_id']}", outcome=outcome)  # type: ignore[arg-type]


def _value(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as lines:
        for line in lines:
            yield orjson.loads(line)
