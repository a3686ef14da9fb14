"""The metric an agent is scored by: which one, and that a judge that nobody has measured decides nothing.

Belongs here: from the agent's row to a metric. Not here: what the metric makes of answers (test_metrics.py, test_judge.py).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NoReturn

import pytest

from learning_pipelines.encoder import Encoder
from learning_pipelines.errors import BadInput
from learning_pipelines.llm_budget import Budget
from learning_pipelines.prompts.agent_metric import AgentMetric, open_metric
from learning_pipelines.prompts.judge_agreement import JudgeNotTrusted
from learning_pipelines.prompts.task import Item
from learning_pipelines.settings import Settings
from learning_pipelines.storage.database import Connection
from learning_pipelines_tests.conftest import Load
from learning_pipelines_tests.fake_endpoint import FakeEndpoint, says
from learning_pipelines_tests.feedback.rows import AGENT, agent_ref
from learning_pipelines_tests.prompts.test_judging import GOOD, example, review, sees_rubbish

ALIKE = {"accuracy": 4, "clarity": 4, "completeness": 4}


@pytest.fixture
def endpoint() -> Iterator[FakeEndpoint]:
    with FakeEndpoint().running() as running:
        running.always = sees_rubbish
        yield running


def no_encoder() -> NoReturn:
    raise AssertionError("nobody needs an encoder here")


def opened(endpoint: FakeEndpoint, connection: Connection, *, decides: bool = True, encoder: Any = no_encoder, **options: Any) -> AgentMetric:
    settings = Settings(OPENAI_BASE_URL=endpoint.base_url, judge_model="mine")  # type: ignore[call-arg]
    return open_metric(settings, connection, agent_ref(connection), encoder, decides=decides, **options)


@pytest.fixture
def judged(load: Load, pipeline: Connection) -> None:
    """An agent whose metric is the judge, with forty reviewed examples."""
    load("agents", [AGENT | {"metric": {"type": "judge"}}])
    load("examples", [example(number) for number in range(40)])
    for number in range(40):
        review(pipeline, f"x{number:02}", number % 4 != 0)


def test_the_metric_is_what_the_agent_names_or_what_fits_its_answers(load: Load, pipeline: Connection, endpoint: FakeEndpoint) -> None:
    load("agents", [AGENT | {"labels": ["a", "b"]}])
    found = opened(endpoint, pipeline)
    assert (found.spec, found.labels, found.metric.type, found.doubt) == ({"type": "exact_match"}, ("a", "b"), "exact_match", "")
    load("agents", [AGENT | {"metric": {"type": "numeric", "tolerance": 1}}])
    assert opened(endpoint, pipeline).metric.score(Item("1", "", "5"), "about 6") == 1.0
    load("agents", [AGENT])

    class Some:
        name, dimensions = "some", 1

    encoder: Encoder = Some()  # type: ignore[assignment]
    assert opened(endpoint, pipeline, encoder=lambda: encoder).metric.type == "similarity"


def test_an_agent_with_an_option_from_before_it_was_checked_is_told_so(load: Load, pipeline: Connection, endpoint: FakeEndpoint) -> None:
    load("agents", [AGENT])
    pipeline.execute("""UPDATE agents SET metric = '{"type": "exact_match", "fuzzy": true}'""")
    with pytest.raises(BadInput, match="fuzzy: exact_match has no such option"):
        opened(endpoint, pipeline)


def test_a_judge_is_measured_before_it_decides(judged: None, pipeline: Connection, endpoint: FakeEndpoint) -> None:
    budget = Budget()
    found = opened(endpoint, pipeline, budget=budget)
    assert found.agreement is not None and found.agreement.kappa == 1.0 and found.doubt == ""
    assert budget.spent.requests == 40 == len(endpoint.requests)
    opened(endpoint, pipeline, budget=budget)
    assert budget.spent.requests == 40  # what it said is kept


@pytest.mark.parametrize("said", [GOOD, ALIKE])
def test_one_that_does_not_tell_good_from_bad_only_reports(judged: None, pipeline: Connection, endpoint: FakeEndpoint, said: dict[str, int]) -> None:
    endpoint.always = says(json.dumps(said))
    with pytest.raises(JudgeNotTrusted, match="not above chance"):
        opened(endpoint, pipeline)
    report = opened(endpoint, pipeline, decides=False)
    assert "not above chance" in report.doubt
    assert report.metric.score(Item("1", "q", "r"), "a") > 0.5


def test_for_a_report_nobody_is_measured(judged: None, pipeline: Connection, endpoint: FakeEndpoint) -> None:
    assert "none of its verdicts" in opened(endpoint, pipeline, decides=False).doubt and not endpoint.requests
