"""The judge at work on real rows: verdicts on reviewed examples, whether they let it decide, scores of a sample of live executions.

Belongs here: what is judged, kept, left alone. Not here: the rubric (test_judge.py), the statistics of trust (test_judge_agreement.py).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from learning_pipelines.errors import BadInput
from learning_pipelines.examples.agreement_refresh import refresh_agreement
from learning_pipelines.examples.refresh import refresh_examples
from learning_pipelines.feedback.statistics import catch_up
from learning_pipelines.feedback.summary import summary
from learning_pipelines.llm_budget import Budget
from learning_pipelines.llm_client import Endpoint, OpenAIModel, Retry
from learning_pipelines.llm_errors import BudgetExceeded
from learning_pipelines.prompts.judge import Judge
from learning_pipelines.prompts.judge_agreement import JudgeNotTrusted, require_trusted
from learning_pipelines.prompts.judging import (
    JudgedExecutions,
    agreement_with_experts,
    judge_examples,
    judge_executions,
    open_judge,
)
from learning_pipelines.settings import Settings
from learning_pipelines.storage import review_hints
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.judging import agents_that_ask, asks_for_judge, automated_scores
from learning_pipelines_tests.conftest import Load
from learning_pipelines_tests.fake_endpoint import FakeEndpoint, says
from learning_pipelines_tests.feedback.rows import AGENT, Row, agent_ref, execution, said, table

WORDS = ("anchor", "barley", "copper", "damson", "ember", "falcon", "garnet", "hazel", "indigo", "juniper", "kettle", "lantern")
GOOD, BAD = {"accuracy": 5, "clarity": 5, "completeness": 5}, {"accuracy": 1, "clarity": 2, "completeness": 1}


@pytest.fixture
def endpoint() -> Iterator[FakeEndpoint]:
    with FakeEndpoint().running() as running:
        running.always = sees_rubbish
        yield running


def sees_rubbish(handler: Any, body: dict[str, Any]) -> None:
    """A judge that is always right: it approves whatever does not hold the word rubbish."""
    says(json.dumps(BAD if "rubbish" in body["messages"][-1]["content"] else GOOD))(handler, body)


def judge(endpoint: FakeEndpoint, *, budget: Budget | None = None, name: str = "some-judge") -> Judge:
    return Judge(OpenAIModel(name, Endpoint(endpoint.base_url, "sk-x"), role="judge", retry=Retry(attempts=1), concurrency=1, budget=budget))


def review(connection: Connection, example: str, approved: bool, expert: str = "ann") -> None:
    connection.execute(
        """INSERT INTO users (organization_id, id, external_id, role) VALUES (learning.organization_id('default'), md5(%s)::uuid, %s, 'expert')
        ON CONFLICT DO NOTHING""",
        [expert, expert],
    )
    connection.execute(
        """INSERT INTO expert_annotations (organization_id, example_id, expert_id, approved, created_at)
        VALUES (learning.organization_id('default'), %s, md5(%s)::uuid, %s, '2026-03-02T10:00:00Z')""",
        [example, expert, approved],
    )


@pytest.fixture
def reviewed(load: Load, pipeline: Connection) -> None:
    """Forty examples, the expert rejects every fourth; one more that nobody has looked at."""
    load("agents", [AGENT])
    load("examples", [example(number) for number in range(41)])
    for number in range(40):
        review(pipeline, f"x{number:02}", number % 4 != 0)


def example(number: int, **more: Any) -> Row:
    """Unlike every other one; every fourth is rubbish."""
    text = f"{WORDS[number % 12]} {number} {WORDS[number * 5 % 12]} {number * 31} question {number * number}"
    output = f"Answer {number}" + (" of rubbish" if number % 4 == 0 else "")
    return {"example_id": f"x{number:02}", "agent": "desk", "input_text": text, "expected_output": output, "review_status": "pending", **more}


# Examples


def test_a_judge_that_agrees_with_experts_may_decide(reviewed: None, pipeline: Connection, endpoint: FakeEndpoint) -> None:
    agent = agent_ref(pipeline)
    done = judge_examples(pipeline, agent, judge(endpoint))
    assert (done.judged, done.faults) == (40, 0)
    found = agreement_with_experts(pipeline, agent, judge(endpoint))
    assert (found.table, found.kappa, found.trusted) == (((10, 0), (0, 30)), 1.0, True)
    require_trusted(found)


def test_a_judge_that_approves_everything_reports_but_may_not_decide(reviewed: None, pipeline: Connection, endpoint: FakeEndpoint) -> None:
    endpoint.always = says(json.dumps(GOOD))
    agent, asked = agent_ref(pipeline), judge(endpoint)
    with pytest.raises(JudgeNotTrusted, match="none of its verdicts"):
        require_trusted(agreement_with_experts(pipeline, agent, asked))
    judge_examples(pipeline, agent, asked)
    with pytest.raises(JudgeNotTrusted, match="not above chance"):
        require_trusted(agreement_with_experts(pipeline, agent, asked))
    found = agreement_with_experts(pipeline, agent, asked)
    assert (found.accuracy, found.majority, found.kappa) == (0.75, 0.75, 0.0)


def test_another_judge_starts_without_credit(reviewed: None, pipeline: Connection, endpoint: FakeEndpoint) -> None:
    agent = agent_ref(pipeline)
    judge_examples(pipeline, agent, judge(endpoint))
    with pytest.raises(JudgeNotTrusted, match="none of its verdicts"):
        require_trusted(agreement_with_experts(pipeline, agent, judge(endpoint, name="other")))


def test_only_what_is_new_or_changed_is_judged(reviewed: None, pipeline: Connection, endpoint: FakeEndpoint) -> None:
    agent = agent_ref(pipeline)
    assert judge_examples(pipeline, agent, judge(endpoint), most=30).judged == 30
    assert judge_examples(pipeline, agent, judge(endpoint)).judged == 10
    assert judge_examples(pipeline, agent, judge(endpoint)).judged == 0
    review(pipeline, "x40", False)
    pipeline.execute("UPDATE learning_examples SET expected_output = 'Pure rubbish' WHERE id = 'x01'")
    assert agreement_with_experts(pipeline, agent, judge(endpoint)).n == 39  # what is said of a former text does not count
    assert judge_examples(pipeline, agent, judge(endpoint)).judged == 2
    assert agreement_with_experts(pipeline, agent, judge(endpoint)).table == ((11, 0), (1, 29))
    assert len(endpoint.requests) == 42


def test_examples_without_an_answer_to_approve_are_not_judged(load: Load, pipeline: Connection, endpoint: FakeEndpoint) -> None:
    load("agents", [AGENT])
    load("examples", [example(1, example_type="negative"), example(2, example_type="failure"), example(3, expected_output=" ")])
    for number in (1, 2, 3):
        review(pipeline, f"x{number:02}", True)
    assert judge_examples(pipeline, agent_ref(pipeline), judge(endpoint)).judged == 0 and not endpoint.requests


def test_a_verdict_that_is_none_is_kept_as_such_and_not_asked_for_again(reviewed: None, pipeline: Connection, endpoint: FakeEndpoint) -> None:
    endpoint.replies.extend([sees_rubbish, says("junk")])
    agent = agent_ref(pipeline)
    done = judge_examples(pipeline, agent, judge(endpoint))
    assert (done.judged, done.faults) == (39, 1)
    assert judge_examples(pipeline, agent, judge(endpoint)).faults == 0
    (fault,) = table(pipeline, "judge_verdicts", "fault IS NOT NULL")
    assert fault["approved"] is None and "invalid JSON" in fault["fault"]
    assert agreement_with_experts(pipeline, agent, judge(endpoint)).n == 39
    assert review_hints.judge(pipeline, agent.organization_id, fault["example_id"]) is None


def test_when_the_budget_ends_verdicts_before_it_are_kept(reviewed: None, pipeline: Connection, endpoint: FakeEndpoint) -> None:
    agent = agent_ref(pipeline)
    with pytest.raises(BudgetExceeded):
        judge_examples(pipeline, agent, judge(endpoint, budget=Budget(calls=27)))
    assert len(table(pipeline, "judge_verdicts")) == 27 == len(endpoint.requests)
    assert judge_examples(pipeline, agent, judge(endpoint)).judged == 13


def test_hints_and_agreement_by_week_see_the_judge(reviewed: None, pipeline: Connection, endpoint: FakeEndpoint) -> None:
    agent = agent_ref(pipeline)
    endpoint.always = says(json.dumps(BAD))
    judge_examples(pipeline, agent, judge(endpoint, name="former"))
    endpoint.always = sees_rubbish
    judge_examples(pipeline, agent, judge(endpoint))
    hint = review_hints.judge(pipeline, agent.organization_id, "x01")
    assert hint is not None and hint["approved"] is True and hint["judge"] == judge(endpoint).name
    refresh_agreement(pipeline, agent, "UTC")
    (row,) = table(pipeline, "annotation_agreement", "pair = 'experts/judge' AND period = 'all'")
    assert (row["units"], row["kappa"]) == (40, 1.0)  # a judge that replaced another speaks for it


# Live executions


def live(load: Load, share: float | None, count: int = 60) -> None:
    load("agents", [AGENT | ({} if share is None else {"judge_sample": share})])
    load("executions", [execution(f"e{number}", output=f"Answer {number}" + (" of rubbish" if number % 2 else "")) for number in range(count)])


def test_executions_are_scored_only_where_the_agent_asks_for_it(load: Load, pipeline: Connection, endpoint: FakeEndpoint) -> None:
    live(load, None)
    assert judge_executions(pipeline, agent_ref(pipeline), judge(endpoint)) == JudgedExecutions(judge(endpoint).name)
    assert not endpoint.requests and not table(pipeline, "execution_scores")


@pytest.mark.parametrize("share", [1.5, -0.1, "all", True])
def test_a_share_that_is_none_is_refused(load: Load, share: object) -> None:
    result = load("agents", [AGENT | {"judge_sample": share}])
    assert result.errors[0]["field"] == "judge_sample"


def test_the_sample_is_the_same_whenever_it_is_drawn(load: Load, pipeline: Connection, endpoint: FakeEndpoint) -> None:
    live(load, 0.3, 200)
    agent = agent_ref(pipeline)
    done = judge_executions(pipeline, agent, judge(endpoint))
    assert done.new == 200 and 40 <= done.drawn == done.judged <= 80
    first = {row["execution_id"] for row in table(pipeline, "execution_scores")}
    pipeline.execute("DELETE FROM execution_scores")
    pipeline.execute("DELETE FROM outbox_positions")
    judge_executions(pipeline, agent, judge(endpoint))
    assert {row["execution_id"] for row in table(pipeline, "execution_scores")} == first


def test_a_run_looks_at_new_executions_only_and_judges_no_more_than_it_may(load: Load, pipeline: Connection, endpoint: FakeEndpoint) -> None:
    live(load, 1, 20)
    agent = agent_ref(pipeline)
    done = judge_executions(pipeline, agent, judge(endpoint), most=15)
    assert (done.new, done.drawn, done.judged, done.left_out) == (20, 20, 15, 5)
    load("executions", [execution("late")])
    load("feedback", [said("f1", "e1", "thumbs_up")])
    again = judge_executions(pipeline, agent, judge(endpoint))
    assert (again.new, again.judged) == (1, 1)
    assert len(endpoint.requests) == len(table(pipeline, "execution_scores")) == 16


def test_after_a_run_that_ended_half_way_the_next_one_goes_on(load: Load, pipeline: Connection, endpoint: FakeEndpoint) -> None:
    live(load, 1, 60)
    agent = agent_ref(pipeline)
    with pytest.raises(BudgetExceeded):
        judge_executions(pipeline, agent, judge(endpoint, budget=Budget(calls=25)))
    assert len(table(pipeline, "execution_scores")) == 25
    done = judge_executions(pipeline, agent, judge(endpoint))
    assert (done.drawn, done.judged) == (35, 35) and len(endpoint.requests) == 60


def test_the_judge_never_sees_personal_data(load: Load, pipeline: Connection, endpoint: FakeEndpoint) -> None:
    load("agents", [AGENT | {"judge_sample": 1}])
    load("executions", [execution("e1", input="I am ada.lovelace@example.org, my IBAN?", output="Ask ada.lovelace@example.org about DE89370400440532013000.")])
    judge_executions(pipeline, agent_ref(pipeline), judge(endpoint))
    asked = endpoint.requests[0]["messages"][-1]["content"]
    assert "lovelace" not in asked and "DE89" not in asked and asked.count("<EMAIL_1>") == 2


def test_scores_of_the_judge_are_kept_apart_from_what_people_say(load: Load, pipeline: Connection, endpoint: FakeEndpoint) -> None:
    live(load, 1, 20)
    load("feedback", [said(f"f{number}", f"e{number}", "star_rating", rating=1 + number % 5, user=f"u{number}") for number in range(10)])
    agent = agent_ref(pipeline)

    def everything() -> list[Any]:
        refresh_examples(pipeline, agent)
        catch_up(pipeline, "UTC")
        names = ("agent_feedback", "feedback_in_force", "feedback_metrics", "learning_examples", "example_sources", "rater_weights", "outbox", "judge_verdicts")
        rows = [[{key: value for key, value in row.items() if key != "computed_at"} for row in table(pipeline, name)] for name in names]
        return [rows, summary(pipeline, agent, 30, "UTC")]

    before = everything()
    judge_executions(pipeline, agent, judge(endpoint))
    assert everything() == before
    assert {row["source"] for row in table(pipeline, "execution_scores")} == {"automated"}


def test_automated_scores_are_summed_up_by_judge(load: Load, pipeline: Connection, endpoint: FakeEndpoint) -> None:
    live(load, 1, 10)
    agent = agent_ref(pipeline)
    endpoint.replies.append(says("junk"))
    judge_executions(pipeline, agent, judge(endpoint))
    since = table(pipeline, "agent_executions")[0]["created_at"].replace(year=2020)
    (found,) = automated_scores(pipeline, agent, since)
    assert (found.judge, found.n, found.faults) == (judge(endpoint).name, 9, 1)
    assert found.mean is not None and 0 < found.mean < 1 and set(found.goals) == {"accuracy", "clarity", "completeness"}
    assert automated_scores(pipeline, agent, since.replace(year=2100)) == []


def test_only_agents_that_ask_for_a_judge_get_one(load: Load, pipeline: Connection) -> None:
    load("agents", [{"agent": "plain"}, {"agent": "judged", "metric": {"type": "judge"}}, {"agent": "none", "judge_sample": 0}])
    live(load, 0.1, 1)
    names = ("plain", "judged", "none", "desk")
    assert [asks_for_judge(pipeline, agent_ref(pipeline, name)) for name in names] == [False, True, False, True]
    assert agents_that_ask(pipeline) == ["default/desk", "default/judged"]


# Which judge


def test_the_judge_of_an_agent_follows_its_metric_and_the_goals_of_a_run(load: Load, pipeline: Connection, endpoint: FakeEndpoint) -> None:
    load("agents", [AGENT | {"metric": {"type": "judge", "weights": {"clarity": 1}, "instructions": "Be kind."}}, {"agent": "plain"}])
    settings = Settings(OPENAI_BASE_URL=endpoint.base_url, judge_model="mine")  # type: ignore[call-arg]
    found = open_judge(settings, pipeline, agent_ref(pipeline))
    assert found.name.startswith("mine@") and found.weights == {"clarity": 1}
    assert open_judge(settings, pipeline, agent_ref(pipeline), goals={"accuracy": 2.0}).weights == {"accuracy": 2.0}
    assert open_judge(settings, pipeline, agent_ref(pipeline, "plain")).weights == {"accuracy": 1.0, "clarity": 0.5, "completeness": 0.5}
    with pytest.raises(BadInput, match="LEARNING_JUDGE_MODEL is not set"):
        open_judge(Settings(OPENAI_BASE_URL=endpoint.base_url), pipeline, agent_ref(pipeline))  # type: ignore[call-arg]
