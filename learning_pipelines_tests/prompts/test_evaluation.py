"""Scoring prompts through a model: an endpoint that answers, one that always says the same, one that fails in every way.

Belongs here: the Evaluator and the summary. Not here: metrics (test_metrics.py), the client's own retries (../test_llm.py).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from learning_pipelines.errors import BadInput
from learning_pipelines.llm import Completion, Message
from learning_pipelines.llm_budget import Budget
from learning_pipelines.llm_client import Endpoint, OpenAIModel, Retry
from learning_pipelines.llm_errors import BudgetExceeded, OutOfMoney, WrongKey
from learning_pipelines.prompts.evaluation import EMPTY, Evaluator, NothingUsable, answer_tokens
from learning_pipelines.prompts.metrics import metric_of
from learning_pipelines.prompts.prompt import Demonstration, Prompt, Retrieval
from learning_pipelines.prompts.summary import evaluate, interval, majority
from learning_pipelines.prompts.task import Item
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.llm_cache import DatabaseCache
from learning_pipelines_tests.conftest import Load
from learning_pipelines_tests.fake_endpoint import FakeEndpoint, echoes, raw, refuses, says

LABELS = ("invoice", "payroll", "vat")
ITEMS = [Item(str(number), LABELS[place], LABELS[place]) for number, place in enumerate([0, 0, 0, 1, 1, 2])]
"""Their input is their answer: an echo is always right, "invoice" is right half of the time."""
PROMPT = Prompt((Message("system", "Sort."),))
EXACT = metric_of({"type": "exact_match"})


@pytest.fixture
def endpoint() -> Iterator[FakeEndpoint]:
    with FakeEndpoint().running() as running:
        yield running


def model(endpoint: FakeEndpoint, **options: Any) -> OpenAIModel:
    return OpenAIModel("some-model", Endpoint(endpoint.base_url, "sk-x"), **{"retry": Retry(attempts=1), "concurrency": 1, **options})


def evaluator(endpoint: FakeEndpoint, *, budget: Budget | None = None, cache: Any = None, **options: Any) -> Evaluator:
    return Evaluator(model(endpoint, budget=budget, cache=cache), options.pop("metric", EXACT), max_tokens=16, **options)


def last_texts(endpoint: FakeEndpoint) -> list[str]:
    return [body["messages"][-1]["content"] for body in endpoint.requests]


# What is asked


def test_with_a_constant_for_a_model_the_score_falls_to_the_majority_class(endpoint: FakeEndpoint) -> None:
    endpoint.always = echoes
    assert evaluate(evaluator(endpoint, labels=LABELS), PROMPT, ITEMS).mean == 1.0
    endpoint.always = says(majority(ITEMS)[0])
    assert evaluate(evaluator(endpoint, labels=LABELS), PROMPT, ITEMS).mean == majority(ITEMS)[1] == 0.5


def test_what_all_items_share_comes_first_and_the_input_last(endpoint: FakeEndpoint) -> None:
    endpoint.always = echoes
    shown = PROMPT.with_demonstrations([Demonstration("a bill", "invoice"), Demonstration("my wage", "payroll")])
    evaluator(endpoint)(shown, ITEMS)
    assert last_texts(endpoint) == [item.input for item in ITEMS]
    first = [body["messages"][:-1] for body in endpoint.requests]
    assert all(one == first[0] for one in first)
    assert [message["role"] for message in first[0]] == ["system", "user", "assistant", "user", "assistant"]


def test_labels_are_the_only_answers_the_model_may_give(endpoint: FakeEndpoint) -> None:
    endpoint.always = echoes
    evaluator(endpoint, labels=LABELS)(PROMPT, ITEMS[:1])
    assert endpoint.requests[0]["response_format"]["json_schema"]["schema"]["properties"]["answer"]["enum"] == list(LABELS)


class Shelf:
    """Approved examples by how they stand: a Nearest that remembers what it was asked."""

    def __init__(self, *examples: Demonstration) -> None:
        self.examples, self.without = examples, list[frozenset[str]]()

    def __call__(self, text: str, k: int, without: frozenset[str] = frozenset()) -> list[Demonstration]:
        self.without.append(without)
        return [one for one in self.examples if one.example_id not in without][:k]


def test_picked_demonstrations_come_nearest_last_and_never_hold_the_item_itself(endpoint: FakeEndpoint) -> None:
    endpoint.always = echoes
    shelf = Shelf(Demonstration("near", "1", "0"), Demonstration("far", "2", "7"), Demonstration("farther", "3", "8"))
    evaluator(endpoint, nearest=shelf)(Prompt(PROMPT.messages, Retrieval(2)), ITEMS[:2])
    said = [[message["content"] for message in body["messages"]] for body in endpoint.requests]
    assert said == [["Sort.", "farther", "3", "far", "2", "invoice"], ["Sort.", "far", "2", "near", "1", "invoice"]]
    assert shelf.without == [frozenset({"0"}), frozenset({"1"})]


def test_agreeing_demonstrations_are_those_with_the_answer_of_most_neighbours_the_nearer_counting_more(endpoint: FakeEndpoint) -> None:
    endpoint.always = echoes
    shelf = Shelf(*(Demonstration(f"d{rank}", answer, f"x{rank}") for rank, answer in enumerate("bcaacb", 1)))
    for k in (1, 2, 3, 4, 5, 6):
        evaluator(endpoint, nearest=shelf)(Prompt(PROMPT.messages, Retrieval(k, agreeing=True)), ITEMS[:1])
    said = ["".join(message["content"] for message in body["messages"][1:-1]) for body in endpoint.requests]
    assert said == ["d1b", "d1b", "d1b", "d1b", "d1b", "d6bd1b"]
    shelf.examples = shelf.examples[1:]
    evaluator(endpoint, nearest=shelf)(Prompt(PROMPT.messages, Retrieval(4, agreeing=True)), ITEMS[:1])
    assert [message["content"] for message in endpoint.requests[-1]["messages"][1:-1]] == ["d5", "c", "d2", "c"]  # 1 + 1/4 against 1/2 + 1/3
    assert Retrieval(4, agreeing=True).shown([]) == []


def test_a_prompt_that_picks_demonstrations_needs_something_to_pick_from(endpoint: FakeEndpoint) -> None:
    with pytest.raises(BadInput, match="no approved examples to look them up in"):
        evaluator(endpoint)(Prompt(PROMPT.messages, Retrieval(2)), ITEMS)
    assert not endpoint.requests


def test_the_length_of_answers_follows_the_examples_in_steps() -> None:
    limits = [answer_tokens([Item("1", "", "x" * length)]) for length in (0, 50, 110, 120, 10**6)]
    assert limits == [64, 64, 128, 128, 2048] and answer_tokens([]) == 64


# What is paid


def test_the_same_question_is_asked_once(endpoint: FakeEndpoint) -> None:
    endpoint.always = echoes
    scorer = evaluator(endpoint)
    first = scorer(PROMPT, ITEMS[:4])
    again = scorer(PROMPT, [*ITEMS, ITEMS[0]])
    assert len(endpoint.requests) == len(ITEMS)
    assert [one.score for one in again[:4]] == [one.score for one in first]
    assert [one.from_cache for one in again] == [True] * 4 + [False] * 2 + [True]


def test_a_score_never_changes_within_a_run_though_the_model_does(endpoint: FakeEndpoint) -> None:
    scorer = evaluator(endpoint)
    endpoint.replies.extend([says("invoice"), says(None)])
    first = scorer(PROMPT, ITEMS[:2])
    endpoint.always = echoes
    assert scorer(PROMPT, ITEMS[:2]) == [one if one.fault else type(one)(**{**_fields(one), "from_cache": True}) for one in first]


def test_answers_out_of_the_database_cost_nothing_and_score_the_same(endpoint: FakeEndpoint, pipeline: Connection, load: Load) -> None:
    load("agents", [{"agent": "router"}])
    organization = pipeline.execute("SELECT organization_id FROM organizations").fetchone()
    assert organization is not None
    cache = DatabaseCache(pipeline, organization[0])
    endpoint.always = echoes
    paid = evaluate(evaluator(endpoint, cache=cache), PROMPT, ITEMS)
    free = evaluate(evaluator(endpoint, cache=cache, budget=Budget(calls=0)), PROMPT, ITEMS)
    # three different questions; while the first is under way the second cannot know its answer
    assert (paid.calls + paid.cache_hits, free.calls, free.cache_hits) == (6, 0, 6)
    assert (free.mean, free.input_tokens, free.output_tokens) == (paid.mean, paid.input_tokens, paid.output_tokens) == (1.0, 60, 12)


def test_when_the_budget_ends_what_was_answered_is_not_asked_again(endpoint: FakeEndpoint) -> None:
    endpoint.always = echoes
    budget = Budget(calls=4)
    scorer = evaluator(endpoint, budget=budget)
    with pytest.raises(BudgetExceeded):
        scorer(PROMPT, ITEMS)
    assert len(endpoint.requests) == 4
    assert len(scorer(PROMPT, ITEMS[:4])) == 4 and len(endpoint.requests) == 4
    budget.calls = 6
    assert [one.score for one in scorer(PROMPT, ITEMS)] == [1.0] * 6 and len(endpoint.requests) == 6


def test_progress_is_told_after_every_answer(endpoint: FakeEndpoint) -> None:
    endpoint.always = echoes
    told: list[tuple[int, int]] = []
    scorer = evaluator(endpoint, progress=lambda done, total: told.append((done, total)))
    scorer(PROMPT, ITEMS[:1])
    scorer(PROMPT, ITEMS[:3])
    assert told == [(1, 1), (2, 3), (3, 3)]


# What goes wrong


@pytest.mark.parametrize(
    ("reply", "cause"),
    [
        (says(""), EMPTY),
        (says(" \n"), EMPTY),
        (says(None), "without any text"),
        (says("nonsense"), "outside the 3 allowed answers"),
        (raw("<html>busy</html>"), "a web page"),
        (raw('{"choices": []}'), "no answer"),
        (raw("}{"), "no JSON"),
        (refuses(400, "content policy"), "refuses the request"),
        (refuses(400, "too long", code="context_length_exceeded"), "do not fit"),
    ],
)
def test_an_unusable_answer_scores_0_is_counted_and_named(endpoint: FakeEndpoint, reply: Any, cause: str) -> None:
    endpoint.always = echoes
    endpoint.replies.extend([echoes, reply])
    labels = LABELS if "outside" in cause else ()
    found = evaluate(evaluator(endpoint, labels=labels), PROMPT, ITEMS)
    assert [one.score for one in found.scored] == [1, 0, 1, 1, 1, 1]
    assert [one.fault is None for one in found.scored] == [True, False, True, True, True, True]
    assert cause in str(found.scored[1].fault) and found.faults == {found.scored[1].fault: 1}


@pytest.mark.parametrize(("reply", "error"), [(refuses(401), WrongKey), (refuses(402), OutOfMoney)])
def test_what_would_hit_every_call_ends_it_and_keeps_what_came_before(endpoint: FakeEndpoint, reply: Any, error: type[Exception]) -> None:
    endpoint.replies.extend([echoes, echoes, reply])
    scorer = evaluator(endpoint)
    with pytest.raises(error):
        scorer(PROMPT, ITEMS)
    endpoint.requests.clear()
    endpoint.always = echoes
    assert [one.score for one in scorer(PROMPT, ITEMS)] == [1.0] * 6
    assert last_texts(endpoint) == [item.input for item in ITEMS[2:]]


MANY = [Item(str(number), f"text {number}", "invoice") for number in range(60)]


@pytest.mark.parametrize("reply", [refuses(400, "response_format is not supported"), raw("<html>busy</html>")])
def test_an_endpoint_that_never_answers_is_given_up_before_it_spends_the_budget(endpoint: FakeEndpoint, reply: Any) -> None:
    endpoint.always = reply
    with pytest.raises(NothingUsable, match="None of the first 20 requests got a usable answer"):
        evaluator(endpoint)(PROMPT, MANY)
    assert len(endpoint.requests) <= 22


@pytest.mark.parametrize("reply", [says(""), says(None), refuses(400, "too long", code="context_length_exceeded")])
def test_a_prompt_that_only_gets_empty_answers_or_is_too_long_scores_0(endpoint: FakeEndpoint, reply: Any) -> None:
    endpoint.always = reply
    assert evaluate(evaluator(endpoint), PROMPT, MANY).mean == 0.0


def test_after_one_answer_failures_are_scored_as_such(endpoint: FakeEndpoint) -> None:
    endpoint.replies.append(says("invoice"))
    endpoint.always = raw("<html>busy</html>")
    assert evaluate(evaluator(endpoint), PROMPT, MANY).mean == 1 / 60


def test_no_examples_is_an_error_and_not_a_score(endpoint: FakeEndpoint) -> None:
    with pytest.raises(BadInput, match="no examples"):
        evaluate(evaluator(endpoint), PROMPT, [])
    with pytest.raises(BadInput, match="no examples"):
        majority([])


def test_the_summary_says_what_the_command_prints(endpoint: FakeEndpoint) -> None:
    endpoint.always = says("invoice")
    found = json.loads(json.dumps(evaluate(evaluator(endpoint), PROMPT, ITEMS).as_json(3)))
    assert {name: found[name] for name in ("n", "version", "metric", "score", "calls", "input_tokens", "output_tokens", "interval_method")} == {
        "n": 6, "version": 3, "metric": "exact_match", "score": 0.5, "calls": 6, "input_tokens": 60, "output_tokens": 12, "interval_method": "wilson",
    }  # fmt: skip
    assert found["items"][3] == {"id": "3", "input": "payroll", "expected": "payroll", "output": "invoice", "score": 0.0, "fault": None}
    assert found["cost_usd"] is None  # the price of some-model is not known


# Intervals


def test_intervals_of_right_and_wrong_are_wilsons() -> None:
    found = interval([1] * 8 + [0] * 2)
    assert (found.low, found.high, found.method) == (pytest.approx(0.4902, abs=1e-4), pytest.approx(0.9433, abs=1e-4), "wilson")
    assert interval([1.0] * 10).low == pytest.approx(0.7225, abs=1e-4)


def test_scores_that_do_not_vary_are_no_proof() -> None:
    found = interval([0.5] * 5)
    assert found.method == "wilson" and found.high - found.low > 0.5


PARTIAL = [((0, 1 / 3, 2 / 3, 1), (0.1, 0.15, 0.3, 0.45)), ((0, 0.25, 1), (0.8, 0.15, 0.05)), ((0.67, 0.9, 1), (0.05, 0.1, 0.85))]


@pytest.mark.parametrize(("values", "shares"), PARTIAL)
def test_intervals_of_partial_credit_hold_the_true_mean_19_times_of_20(values: tuple[float, ...], shares: tuple[float, ...]) -> None:
    """1,000 samples of 20 scores, spread, nearly all 0, nearly all 1; .93 leaves three standard errors below .95. Plain t gets .79 on the second."""
    rng = np.random.default_rng(7)
    found = [interval(list(row)) for row in rng.choice(values, p=shares, size=(1_000, 20))]
    assert np.mean([one.low <= np.dot(values, shares) <= one.high for one in found]) >= 0.93


def test_intervals_of_partial_credit_narrow_as_examples_grow() -> None:
    scores = [0.25, 0.5, 1.0, 0.75] * 25
    found = interval(scores)
    assert found.method == "t" and found.high - found.low < 0.13 and found.low < np.mean(scores) < found.high


def _fields(one: Any) -> dict[str, Any]:
    return {name: getattr(one, name) for name in one.__dataclass_fields__}


def test_a_completion_keeps_its_tokens_and_seconds(endpoint: FakeEndpoint) -> None:
    endpoint.always = says("invoice", tokens=(30, 4, 20))
    one = evaluator(endpoint)(PROMPT, ITEMS[:1])[0]
    assert (one.input_tokens, one.output_tokens, one.from_cache) == (30, 4, False) and one.seconds > 0
    assert isinstance(evaluator(endpoint).model.complete([Message("user", "x")], max_tokens=3), Completion)
