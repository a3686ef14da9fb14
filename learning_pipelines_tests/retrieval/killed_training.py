"""A training run to be killed: run as a program with a folder and an agent, it learns one thing and then hangs in the second.

Belongs here: the program and its learners, which the test takes up again. Not here: assertions.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from learning_pipelines.retrieval import training
from learning_pipelines.retrieval.index import IndexConfig
from learning_pipelines.retrieval.preparation import Prepared
from learning_pipelines.retrieval.task import Learnt, Progress, Training
from learning_pipelines.settings import Settings
from learning_pipelines.storage import indexes, training_runs
from learning_pipelines.storage.database import Connection, Database
from learning_pipelines.storage.tenants import AgentRef, known_agent


@dataclass(frozen=True)
class Quick:
    folder: Path
    name: str = "quick"

    def learn(self, received: Training, base: IndexConfig, progress: Progress) -> Learnt | None:
        with (self.folder / "quick learnt").open("a") as file:
            file.write("once ")
        return Learnt(self.name, IndexConfig(lexical_weight=0.7), {"ndcg": 0.7})


@dataclass(frozen=True)
class Slow:
    folder: Path
    seconds: float
    name: str = "slow"

    def learn(self, received: Training, base: IndexConfig, progress: Progress) -> Learnt | None:
        (self.folder / "slow begun").touch()
        time.sleep(self.seconds)
        return Learnt(self.name, IndexConfig(lexical_weight=0.8), {"ndcg": 0.8})


def silent(share: float, line: str, numbers: Mapping[str, float]) -> None:
    """Progress that nobody watches."""


def prepared(connection: Connection, agent: AgentRef) -> Prepared:
    serving = indexes.base(connection, agent.organization_id)
    assert serving is not None
    return Prepared(serving, {"train": 1, "validation": 1, "test": 1}, 1, 600.0, "ab" * 32)


def main(folder: Path, agent: str) -> None:
    with Database(os.environ["TEST_ADMIN_URL"], "", {}, True).connect("pipeline") as connection:
        found = known_agent(connection, "default", agent)
        ready = prepared(connection, found)
        run = training_runs.begin(connection, found, "rag_tuning", dataset_id=None, config=ready.config, dagster_run_id=None)
        received = training_of_nothing(folder)
        training.learn(connection, found, Settings(home=folder), ready, run.id, (Quick(folder), Slow(folder, 300)), lambda: received, silent)


def training_of_nothing(folder: Path) -> Training:
    """What learners are given that look at none of it but the folder."""
    from types import SimpleNamespace

    return SimpleNamespace(folder=folder)  # type: ignore[return-value]


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
