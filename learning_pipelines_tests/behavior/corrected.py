"""Corrections as they reach the database: executions that people correct, examples derived from them, and refreshes with an encoder that needs no model.

Belongs here: makers shared by tests of corrections. Not here: assertions.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from learning_pipelines.behavior.corrections.refresh import Refreshed, refresh_corrections
from learning_pipelines.examples.refresh import refresh_examples
from learning_pipelines.storage import corrections as storage
from learning_pipelines.storage.correction_rows import ClusterRow
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.tenants import AgentRef
from learning_pipelines_tests.conftest import Load
from learning_pipelines_tests.examples.curated import WordEncoder
from learning_pipelines_tests.feedback.rows import AGENT, agent_ref, execution, said

LABELS = ["card_lost", "card_stolen", "pin_blocked"]
NOW = dt.datetime.now(dt.UTC)


@dataclass
class Desk:
    """An agent whose answers people correct. `labels`: its closed answer set, () for free text."""

    connection: Connection
    load: Load
    labels: Sequence[str] = ()
    organization: str = "default"
    encoder: WordEncoder = field(default_factory=WordEncoder)
    _numbers: Any = field(default_factory=count)

    def __post_init__(self) -> None:
        self.load("agents", [AGENT | ({"labels": list(self.labels)} if self.labels else {})], self.organization)

    @property
    def agent(self) -> AgentRef:
        return agent_ref(self.connection, organization=self.organization)

    def corrected(self, asked: str, wrong: str, right: str, user: str | None = "ada", *, days_ago: float = 0.0) -> None:
        """Somebody corrects an answer; the example is derived at once."""
        at = (NOW - dt.timedelta(days=days_ago)).isoformat()
        name = f"e{next(self._numbers)}"
        self.load("executions", [execution(name, input=asked, output=wrong, created_at=at)], self.organization)
        spoken = said(f"f-{name}", name, "correction", correction_text=right, created_at=at, **({"user": user} if user else {}))
        self.load("feedback", [spoken], self.organization)

    def executed(self, many: int, *, days_ago: float) -> None:
        """Executions that nobody said anything about."""
        at = (NOW - dt.timedelta(days=days_ago)).isoformat()
        self.load("executions", [execution(f"x{next(self._numbers)}", created_at=at) for _ in range(many)], self.organization)

    def refresh(self, **options: Any) -> Refreshed:
        refresh_examples(self.connection, self.agent)
        return refresh_corrections(self.connection, self.agent, lambda: self.encoder, **options)

    def clusters(self) -> list[ClusterRow]:
        return storage.listed(self.connection, self.agent)
