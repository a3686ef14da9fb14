"""The metric an agent is scored by, ready to use: with the encoder or the judge it needs, and what is known about that judge.

Belongs here: from an agent's row to a Metric. Not here: metrics themselves (metrics.py, judge.py), the judge's loops (judging.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from learning_pipelines.encoder import Encoder
from learning_pipelines.llm_budget import Budget
from learning_pipelines.prompts.judge import JudgeMetric
from learning_pipelines.prompts.judge_agreement import JudgeAgreement, require_trusted
from learning_pipelines.prompts.judging import agreement_with_experts, judge_examples, open_judge
from learning_pipelines.prompts.metric_options import metric_of_agent, options_of
from learning_pipelines.prompts.metrics import Metric, metric_of
from learning_pipelines.settings import Settings
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.judging import asked
from learning_pipelines.storage.tenants import AgentRef


@dataclass(frozen=True, slots=True)
class AgentMetric:
    """`spec`: as imported, or what fits the agent's answers. `agreement`: of the judge with experts, where the metric is a judge."""

    spec: Mapping[str, Any]
    labels: tuple[str, ...]
    metric: Metric
    agreement: JudgeAgreement | None = None

    @property
    def doubt(self) -> str:
        """Why scores by this metric are a report only and decide nothing; empty where they may."""
        return "" if self.agreement is None else self.agreement.cause


def open_metric(
    settings: Settings,
    connection: Connection,
    agent: AgentRef,
    encoder: Callable[[], Encoder],
    *,
    decides: bool,
    goals: Mapping[str, float] | None = None,
    budget: Budget | None = None,
) -> AgentMetric:
    """The metric of an agent; `encoder` is called only where one is needed.

    With `decides` a judge is measured first: it judges examples that experts have reviewed since the last time (within `budget`), and JudgeNotTrusted is
    raised unless it agrees with them. Without, its scores are for a report and `doubt` says what speaks against them. Raises BadInput for a metric or
    settings that cannot be used, ModelError where the judge cannot be asked.
    """
    said = asked(connection, agent)
    spec = metric_of_agent(said.metric, said.labels)
    options_of(spec)  # before anything is opened
    if spec["type"] != "judge":
        return AgentMetric(spec, said.labels, metric_of(spec, encoder() if spec["type"] == "similarity" else None))
    judge = open_judge(settings, connection, agent, goals=goals, budget=budget)
    if decides:
        judge_examples(connection, agent, judge)
    agreement = agreement_with_experts(connection, agent, judge)
    if decides:
        require_trusted(agreement)
    return AgentMetric(spec, said.labels, JudgeMetric(judge), agreement)
