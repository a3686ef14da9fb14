"""The client of language models, against an endpoint that misbehaves in every way an endpoint can.

Belongs here: retries, named errors, cache, counting, budgets, constrained answers. Not here: the embedded server (test_llm_server.py).
"""

from __future__ import annotations

import datetime as dt
import email.utils
import json
import random
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from learning_pipelines import llm_errors
from learning_pipelines.errors import BadInput, LearningError
from learning_pipelines.llm import Completion, Message, Request, open_model
from learning_pipelines.llm_budget import Amount, Budget, Price, Usage, parse_prices
from learning_pipelines.llm_client import Endpoint, OpenAIModel, Retry
from learning_pipelines.llm_wire import gbnf
from learning_pipelines.settings import Settings
from learning_pipelines_tests.fake_endpoint import FakeEndpoint, completion, drops, echoes, raw, refuses, says, waits_for

LABELS = ("tax return", "invoice", "payroll")
MINI = Price(Decimal("0.15"), Decimal("0.60"), Decimal("0.075"))


class Memory:
    """A ResponseCache in memory."""

    def __init__(self) -> None:
        self.kept: dict[str, Completion] = {}

    def get(self, key: str) -> Completion | None:
        return self.kept.get(key)

    def put(self, key: str, completion: Completion) -> None:
        self.kept[key] = completion


@pytest.fixture
def endpoint() -> Iterator[FakeEndpoint]:
    with FakeEndpoint().running() as running:
        yield running


@pytest.fixture
def pauses() -> list[float]:
    """Seconds that were waited, had anybody waited."""
    return []


@pytest.fixture
def model(endpoint: FakeEndpoint, pauses: list[float]) -> OpenAIModel:
    return client(endpoint, retry=Retry(sleep=pauses.append))


def client(endpoint: FakeEndpoint, name: str = "some-model", **options: Any) -> OpenAIModel:
    options.setdefault("retry", Retry(sleep=lambda _: None))
    return OpenAIModel(name, Endpoint(endpoint.base_url, "sk-secret"), **options)


def ask(model: OpenAIModel, text: str = "hello", **options: Any) -> Completion:
    return model.complete([Message("user", text)], **{"max_tokens": 5, **options})


def requests(*texts: str, **options: Any) -> list[Request]:
    return [Request((Message("user", text),), 5, **options) for text in texts]


# What is asked and what comes back


def test_an_answer_comes_with_its_tokens_and_the_request_says_what_was_asked(endpoint: FakeEndpoint, model: OpenAIModel) -> None:
    endpoint.always = says("a tax", tokens=(12, 3, 8), finish="length")
    answer = model.complete([Message("system", "Be brief."), Message("user", "What is VAT?")], max_tokens=3, seed=7, stop=["\n"])
    assert (answer.text, answer.input_tokens, answer.output_tokens, answer.cached_tokens, answer.model) == ("a tax", 12, 3, 8, "some-model")
    assert answer.cut_off and not answer.from_cache
    assert endpoint.requests == [
        {
            "model": "some-model", "max_tokens": 3, "temperature": 0.0, "seed": 7, "stop": ["\n"],
            "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "What is VAT?"}],
        }
    ]  # fmt: skip
    assert endpoint.keys == ["Bearer sk-secret"]


@pytest.mark.parametrize("reply", ['{"answer": "invoice"}', "invoice", " invoice\n", '{ "answer" : "invoice" }'])
def test_a_choice_is_asked_for_by_schema_and_found_bare_or_wrapped(endpoint: FakeEndpoint, model: OpenAIModel, reply: str) -> None:
    endpoint.always = says(reply)
    assert ask(model, choices=LABELS).text == "invoice"
    asked = endpoint.requests[0]["response_format"]
    assert asked["type"] == "json_schema" and asked["json_schema"]["schema"]["properties"]["answer"]["enum"] == list(LABELS)


def test_llama_cpp_gets_a_grammar_and_room_for_the_longest_label(endpoint: FakeEndpoint) -> None:
    endpoint.always = says("payroll")
    assert ask(client(endpoint, grammar=True), max_tokens=1, choices=LABELS).text == "payroll"
    assert endpoint.requests[0]["grammar"] == 'root ::= "tax return" | "invoice" | "payroll"'
    assert "response_format" not in endpoint.requests[0] and endpoint.requests[0]["max_tokens"] > len("tax return")


def test_odd_characters_of_a_label_are_escaped_in_the_grammar() -> None:
    assert gbnf(['a "b" \\c', "line\nbreak", "Büro"]) == r'root ::= "a \"b\" \\c" | "line\U0000000Abreak" | "Büro"'


@pytest.mark.parametrize("reply", ["Certainly! invoice", '{"answer": "holiday"}', '{"answer": ["invoice"]}', "", "null", "[1"])
def test_an_answer_outside_the_choices_is_nonsense_and_does_not_quote_it(endpoint: FakeEndpoint, model: OpenAIModel, reply: str) -> None:
    endpoint.always = says(reply)
    with pytest.raises(llm_errors.NonsenseAnswer, match="outside the 3 allowed answers") as caught:
        ask(model, choices=LABELS)
    assert caught.value.text == reply and "holiday" not in str(caught.value)


def test_json_that_is_cut_off_is_nonsense_and_says_why(endpoint: FakeEndpoint, model: OpenAIModel) -> None:
    endpoint.replies.extend([says('{"a": 1}'), says('{"a": ', finish="length")])
    assert ask(model, json_schema={"type": "object"}).text == '{"a": 1}'
    with pytest.raises(llm_errors.NonsenseAnswer, match=r"invalid JSON.*cut off at max_tokens"):
        ask(model, json_schema={"type": "object"})


@pytest.mark.parametrize(
    "wrong", [{"choices": ()}, {"choices": ("a", "a")}, {"choices": ("a", " ")}, {"max_tokens": 0}, {"choices": LABELS, "json_schema": {"type": "object"}}]
)
def test_a_question_without_a_possible_answer_is_refused_before_it_is_sent(endpoint: FakeEndpoint, model: OpenAIModel, wrong: dict[str, Any]) -> None:
    with pytest.raises(BadInput):
        ask(model, **wrong)
    assert not endpoint.requests


def test_a_parameter_that_the_model_does_not_take_is_left_out_from_then_on(endpoint: FakeEndpoint, model: OpenAIModel) -> None:
    unsupported = "Unsupported parameter: use 'max_completion_tokens' instead."
    endpoint.replies.extend(
        [refuses(400, unsupported, code="unsupported_parameter", param="max_tokens"), refuses(400, code="unsupported_value", param="temperature")]
    )
    assert ask(model).text == "fine" and ask(model, "again").text == "fine"
    assert [("max_tokens" in body, "max_completion_tokens" in body, "temperature" in body) for body in endpoint.requests] == [
        (True, False, True), (False, True, True), (False, True, False), (False, True, False),
    ]  # fmt: skip


# What goes wrong


@pytest.mark.parametrize(
    ("reply", "error", "says_"),
    [
        (refuses(401, "Incorrect API key provided: sk-secret"), llm_errors.WrongKey, "refuses the key"),
        (refuses(403, "forbidden"), llm_errors.WrongKey, "HTTP 403"),
        (refuses(402, "pay"), llm_errors.OutOfMoney, "no credit"),
        (refuses(429, "You exceeded your quota", code="insufficient_quota"), llm_errors.OutOfMoney, "no credit"),
        (refuses(404, "no such model", code="model_not_found"), llm_errors.UnknownModel, "'some-model'"),
        (refuses(400, "the request exceeds the available context size", kind="exceed_context_size_error"), llm_errors.PromptTooLong, "do not fit"),
        (refuses(400, "maximum context length is 8192 tokens", code="context_length_exceeded"), llm_errors.PromptTooLong, "do not fit"),
        (refuses(422, "bad grammar"), llm_errors.RequestRefused, "bad grammar"),
        (refuses(400, "too large", param="max_tokens", code="invalid_value"), llm_errors.RequestRefused, "too large"),
        (raw("<!DOCTYPE html><html>Sign in</html>", "text/html"), llm_errors.NonsenseAnswer, "a web page"),
        (raw("<html>", "application/json"), llm_errors.NonsenseAnswer, "a web page"),
        (raw(""), llm_errors.NonsenseAnswer, "answered with nothing"),
        (raw('{"choices": [{"mess'), llm_errors.NonsenseAnswer, "no JSON"),
        (raw('{"choices": []}'), llm_errors.NonsenseAnswer, "empty list"),
        (raw('{"error": {"message": "sorry"}}'), llm_errors.NonsenseAnswer, "no choices"),
        (raw("[1, 2]"), llm_errors.NonsenseAnswer, "no choices"),
        (says(None), llm_errors.WrongAnswer, "without any text"),
        (raw("<h1>Bad request</h1>", "text/html", 400), llm_errors.RequestRefused, "no reason given"),
    ],
)
def test_what_will_not_get_better_is_asked_once_and_named(
    endpoint: FakeEndpoint, model: OpenAIModel, pauses: list[float], reply: Any, error: type[LearningError], says_: str
) -> None:
    endpoint.always = reply
    with pytest.raises(error) as caught:
        ask(model)
    assert type(caught.value) is error and isinstance(caught.value, LearningError)
    assert says_ in caught.value.cause and caught.value.advice and "sk-secret" not in str(caught.value)
    assert len(endpoint.requests) == 1 and pauses == []


def test_being_asked_to_wait_is_waited_for_as_long_as_asked(endpoint: FakeEndpoint, model: OpenAIModel, pauses: list[float]) -> None:
    in_a_minute = email.utils.format_datetime(dt.datetime.now(dt.UTC) + dt.timedelta(seconds=60), usegmt=True)
    endpoint.replies.extend([refuses(429, Retry_After="7"), refuses(503, Retry_After=in_a_minute), refuses(429, retry_after_ms="1500")])
    assert ask(model).text == "fine"
    assert pauses[0] == 7 and 50 < pauses[1] <= 60 and pauses[2] == 1.5
    assert model.budget.spent.requests == 4 and model.budget.spent.answers == 1


@pytest.mark.parametrize(
    "said", ["cannot parse: please call Anna in Graz today", "input_value='Anna', input_type=str", "no such user: anna@firm.example", 'bad "Graz"']
)
@pytest.mark.parametrize("code", ["invalid_value", "context_length_exceeded"])
def test_words_of_an_endpoint_that_quote_the_messages_are_left_out(endpoint: FakeEndpoint, model: OpenAIModel, said: str, code: str) -> None:
    endpoint.always = refuses(400, said, code=code)
    with pytest.raises(llm_errors.RequestRefused, match="quote the messages") as caught:
        ask(model, "Please call Anna in Graz today, anna@firm.example")
    assert "Anna" not in str(caught.value) and "Graz" not in str(caught.value) and "anna@" not in str(caught.value)


@pytest.mark.parametrize("status", [401, 400, 500])
def test_no_traceback_holds_what_an_endpoint_said(endpoint: FakeEndpoint, model: OpenAIModel, status: int) -> None:
    endpoint.always = refuses(status, "cannot take 'Anna in Graz'")
    text = "Please call Anna in Graz today"
    with pytest.raises(llm_errors.ModelError) as caught:
        ask(model, text)
    assert "Anna" not in "".join(traceback.format_exception(caught.value))


def test_a_pause_longer_than_we_wait_is_said_instead(endpoint: FakeEndpoint, model: OpenAIModel, pauses: list[float]) -> None:
    endpoint.always = refuses(429, Retry_After="3600")
    with pytest.raises(llm_errors.RateLimited, match="pause of 3600 s"):
        ask(model)
    assert pauses == [] and len(endpoint.requests) == 1


@pytest.mark.parametrize("header", [{}, {"Retry_After": "soon"}, {"Retry_After": "-1"}])
def test_without_a_hint_the_pauses_double_with_jitter(endpoint: FakeEndpoint, model: OpenAIModel, pauses: list[float], header: dict[str, str]) -> None:
    endpoint.always = refuses(429, **header)
    with pytest.raises(llm_errors.RateLimited):
        ask(model)
    assert len(endpoint.requests) == 6 == model.budget.spent.requests
    assert all(0.5 * ceiling <= pause <= ceiling for pause, ceiling in zip(pauses, (0.5, 1, 2, 4, 8), strict=True))


@pytest.mark.parametrize("reply", [refuses(500), refuses(503), refuses(529), drops])
def test_a_server_that_recovers_is_asked_again_and_one_that_does_not_is_down(endpoint: FakeEndpoint, model: OpenAIModel, reply: Any) -> None:
    endpoint.replies.extend([reply, reply])
    assert ask(model).text == "fine"
    endpoint.always = reply
    with pytest.raises(llm_errors.EndpointDown):
        ask(model, "another")
    assert len(endpoint.requests) == 3 + 6


def test_nothing_listening_is_down_and_names_where(pauses: list[float]) -> None:
    model = OpenAIModel("m", Endpoint("http://user:hidden@127.0.0.1:9/v1", "k"), retry=Retry(sleep=pauses.append))
    with pytest.raises(llm_errors.EndpointDown, match=r"127\.0\.0\.1:9/v1 cannot be reached") as caught:
        ask(model)
    assert "hidden" not in str(caught.value) and len(pauses) == 5
    assert model.budget.spent.tokens == 0  # nothing was sent


def test_no_answer_in_time_is_tried_twice_and_counted_as_the_most_it_may_cost(endpoint: FakeEndpoint) -> None:
    event = threading.Event()
    endpoint.always = waits_for(event, says("late"))
    model = client(endpoint, timeout=0.2)
    with pytest.raises(llm_errors.EndpointSlow):
        ask(model)
    event.set()
    assert len(endpoint.requests) == 2 == model.budget.spent.requests
    assert model.budget.spent.tokens >= 2 * (len("hello") + 5) and model.budget.spent.answers == 0


# The cache


def test_the_same_question_is_answered_from_the_cache_for_nothing(endpoint: FakeEndpoint) -> None:
    memory, budget = Memory(), Budget(calls=1)
    model = client(endpoint, cache=memory, budget=budget, price=MINI)
    first, second = ask(model), ask(model)
    assert not first.from_cache and second == replace(first, from_cache=True, cost_usd=0.0)
    assert len(endpoint.requests) == 1
    assert budget.spent == Usage(requests=1, answers=1, cache_hits=1, input_tokens=10, output_tokens=2, priced_usd=MINI.of(10, 2))


def test_whatever_the_answer_depends_on_is_in_the_key() -> None:
    base = Request((Message("user", "a"), Message("user", "b")), 5)
    others = [
        replace(base, messages=(Message("user", "ab"),)), replace(base, messages=(Message("user", "b"), Message("user", "a"))),
        replace(base, messages=(Message("system", "a"), Message("user", "b"))), replace(base, max_tokens=6), replace(base, temperature=0.5),
        replace(base, seed=1), replace(base, seed=None), replace(base, choices=("a", "b")), replace(base, choices=("b", "a")),
        replace(base, json_schema={"type": "object"}), replace(base, stop=("a",)),
    ]  # fmt: skip
    assert len({request.key("m", "e") for request in [base, *others]} | {base.key("n", "e"), base.key("m", "f")}) == len(others) + 3
    assert base.key("m", "e") == Request((Message("user", "a"), Message("user", "b")), 5).key("m", "e")
    one, two = ({"type": "object", "a": 1}, {"a": 1, "type": "object"})
    assert replace(base, json_schema=one).key("m", "e") == replace(base, json_schema=two).key("m", "e")


def test_a_model_of_the_same_name_at_another_endpoint_answers_for_itself(endpoint: FakeEndpoint) -> None:
    """Whether the address ends with a slash makes no endpoint; a server of our own stays the same one at another port."""
    memory = Memory()
    with FakeEndpoint().running() as other:
        endpoint.always, other.always = says("of the first"), says("of the second")
        assert [ask(client(one, cache=memory)).text for one in (endpoint, other)] == ["of the first", "of the second"]
        assert [ask(client(one, cache=memory)).from_cache for one in (endpoint, other)] == [True, True]
        slash = OpenAIModel("some-model", Endpoint(f"{other.base_url}/", "sk-secret"), cache=memory)
        assert (ask(slash).text, ask(slash).from_cache) == ("of the second", True)
        ours = [OpenAIModel("some-model", Endpoint(one.base_url, "sk-secret", "our server"), cache=memory) for one in (endpoint, other)]
        assert [ask(one).text for one in ours] == ["of the first", "of the first"]


@pytest.mark.parametrize("reply", [refuses(400), raw("<html>"), says("outside"), says(None)])
def test_what_failed_is_not_kept(endpoint: FakeEndpoint, reply: Any) -> None:
    memory = Memory()
    endpoint.replies.append(reply)
    with pytest.raises(llm_errors.ModelError):
        ask(client(endpoint, cache=memory), choices=LABELS)
    assert memory.kept == {}


# Counting and the budget


def test_money_is_exact_and_cached_input_has_its_own_price(endpoint: FakeEndpoint) -> None:
    endpoint.always = says("x", tokens=(1000, 100, 400))
    model = client(endpoint, price=MINI)
    for text in ("a", "b", "c"):
        assert ask(model, text).cost_usd == pytest.approx(0.00018)
    assert model.budget.spent.priced_usd == Decimal("0.00054") and model.budget.spent.cost_usd == 0.00054


def test_a_model_without_a_price_has_an_unknown_cost_not_none_at_all(endpoint: FakeEndpoint, caplog: pytest.LogCaptureFixture) -> None:
    budget = Budget()
    with caplog.at_level("WARNING"):
        unknown = client(endpoint, budget=budget)
    assert "price of some-model is not known" in caplog.text
    assert ask(client(endpoint, "priced", budget=budget, price=MINI)).cost_usd == pytest.approx(2.7e-06)
    assert ask(unknown).cost_usd is None
    assert budget.spent.cost_usd is None and budget.spent.unpriced == 1
    assert {usage.model: usage.cost_usd for usage in budget.usage()} == {"priced": pytest.approx(2.7e-06), "some-model": None}


def test_an_endpoint_that_does_not_count_is_charged_the_most_it_can_have_been(endpoint: FakeEndpoint) -> None:
    endpoint.always = says("short", tokens=None)
    answer = ask(client(endpoint, price=MINI), "x" * 100)
    assert answer.input_tokens >= 100 and answer.output_tokens == 5 and answer.cost_usd


def test_nonsense_is_paid_for_too(endpoint: FakeEndpoint, model: OpenAIModel) -> None:
    endpoint.always = says("outside", tokens=(50, 5, 0))
    with pytest.raises(llm_errors.NonsenseAnswer):
        ask(model, choices=LABELS)
    assert model.budget.spent.tokens == 55


@pytest.mark.parametrize("calls", [0, 1, 37])
def test_eight_threads_make_exactly_as_many_calls_as_the_budget_has(endpoint: FakeEndpoint, calls: int) -> None:
    model = client(endpoint, budget=Budget(calls=calls))

    def run(number: int) -> bool:
        try:
            ask(model, str(number))
        except llm_errors.BudgetExceeded:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        answered = list(pool.map(run, range(calls + 20)))
    assert sum(answered) == len(endpoint.requests) == model.budget.spent.requests == calls


def test_retries_count_against_the_calls(endpoint: FakeEndpoint) -> None:
    endpoint.always = refuses(500)
    model = client(endpoint, budget=Budget(calls=3))
    with pytest.raises(llm_errors.BudgetExceeded, match="3 of 3 calls"):
        ask(model)
    assert len(endpoint.requests) == 3


def test_a_call_that_could_exceed_the_tokens_or_the_money_is_not_made(endpoint: FakeEndpoint) -> None:
    for budget, limit in ((Budget(tokens=100), "tokens"), (Budget(usd=0.00001), "US dollars")):
        with pytest.raises(llm_errors.BudgetExceeded, match=limit):
            ask(client(endpoint, budget=budget, price=MINI), "x" * 100)
    assert endpoint.requests == []


def test_tokens_and_money_of_many_threads_never_exceed_and_are_used_up_as_far_as_they_reach() -> None:
    budget, dice = Budget(tokens=100_000, usd=1), random.Random(5)
    sizes = [dice.randint(1, 100) for _ in range(4000)]
    most = Amount(1, 100, Decimal("0.001"))

    def run(size: int) -> int:
        try:
            reserved = budget.reserve(most)
        except llm_errors.BudgetExceeded:
            return 0
        budget.settle(reserved, Usage("task", "m", 1, 1, 0, size, 0, 0, Decimal(size) / 100_000))
        return size

    with ThreadPoolExecutor(8) as pool:
        used = sum(pool.map(run, sizes))
    # Whoever had to wait for a call under way went on when it turned out smaller: less than one call's most is left.
    assert 100_000 - 100 < used <= 100_000
    assert budget.spent.tokens == used and budget.spent.priced_usd == Decimal(used) / 100_000


def test_a_budget_is_shared_by_models_and_its_accounts_are_handed_over_once(endpoint: FakeEndpoint) -> None:
    budget = Budget(calls=3)
    task, judge = client(endpoint, budget=budget), client(endpoint, "other", budget=budget, role="judge")
    ask(task), ask(judge)
    assert [(usage.role, usage.model, usage.requests) for usage in budget.take_usage()] == [("task", "some-model", 1), ("judge", "other", 1)]
    ask(task)
    assert [(usage.role, usage.requests) for usage in budget.take_usage()] == [("task", 1)] and budget.take_usage() == []
    with pytest.raises(llm_errors.BudgetExceeded):
        ask(judge)


@pytest.mark.parametrize("text", ["gpt=1", "gpt", "=1/2", "gpt=1/x", "gpt=1/-2", "gpt=1/2/3/4", "gpt=1/nan", "gpt=inf/1"])
def test_prices_that_cannot_be_read_are_named(text: str) -> None:
    with pytest.raises(BadInput, match="LEARNING_MODEL_PRICES"):
        parse_prices(f"good=1/2,{text}")


def test_prices_are_read_per_million_tokens() -> None:
    assert parse_prices("gpt-4o-mini=0.15/0.60/0.075, meta-llama/Llama-3:8b=0/0,") == {
        "gpt-4o-mini": MINI, "meta-llama/Llama-3:8b": Price(Decimal(0), Decimal(0)),
    }  # fmt: skip
    assert parse_prices("") == {}


# Many at once


def test_many_are_asked_at_once_and_come_back_in_order(endpoint: FakeEndpoint, model: OpenAIModel) -> None:
    everyone = threading.Barrier(4)

    def reply(handler: Any, body: dict[str, Any]) -> None:
        everyone.wait(20)  # passes only if four are under way together
        echoes(handler, body)

    endpoint.always = reply
    texts = [str(number) for number in range(12)]
    assert [one.text for one in model.complete_many(requests(*texts), 4) if isinstance(one, Completion)] == texts
    assert endpoint.most_at_once == 4


def test_one_bad_answer_stays_in_its_place_and_the_rest_go_on(endpoint: FakeEndpoint, model: OpenAIModel) -> None:
    endpoint.always = echoes
    outcomes = list(model.complete_many(requests("invoice", "outside", "payroll", choices=LABELS), 2))
    assert isinstance(outcomes[1], llm_errors.NonsenseAnswer)
    assert [one.text for one in (outcomes[0], outcomes[2]) if isinstance(one, Completion)] == ["invoice", "payroll"]


def test_the_first_ones_are_answered_when_the_budget_ends(endpoint: FakeEndpoint) -> None:
    endpoint.always = echoes
    model = client(endpoint, budget=Budget(calls=10))
    got: list[str] = []
    with pytest.raises(llm_errors.BudgetExceeded):
        for one in model.complete_many(requests(*map(str, range(30))), 8):
            assert isinstance(one, Completion)
            got.append(one.text)
    assert got == [str(number) for number in range(10)] and len(endpoint.requests) == 10


def test_hits_go_on_through_an_empty_budget_until_something_must_be_asked(endpoint: FakeEndpoint) -> None:
    memory = Memory()
    endpoint.always = echoes
    list(client(endpoint, cache=memory).complete_many(requests("a", "b", "c")))
    model = client(endpoint, cache=memory, budget=Budget(calls=0))
    assert [one.text for one in model.complete_many(requests("c", "a", "b")) if isinstance(one, Completion)] == ["c", "a", "b"]
    assert model.budget.spent == Usage(cache_hits=3)


def test_what_hits_everyone_ends_it_after_the_answers_before(endpoint: FakeEndpoint, model: OpenAIModel) -> None:
    endpoint.replies.extend([says("first"), refuses(401)])
    several = model.complete_many(requests(*"abcdefgh"), 1)
    first = next(several)
    assert isinstance(first, Completion) and first.text == "first"
    with pytest.raises(llm_errors.WrongKey):
        list(several)
    assert len(endpoint.requests) <= 3


def test_who_stops_listening_stops_paying(endpoint: FakeEndpoint, model: OpenAIModel) -> None:
    several = model.complete_many((request for request in requests(*map(str, range(1000)))), 2)
    next(several)
    several.close()  # type: ignore[attr-defined]
    assert len(endpoint.requests) <= 4


# Which model the settings mean


def settings(**values: Any) -> Settings:
    names = {"base_url": "OPENAI_BASE_URL", "api_key": "OPENAI_API_KEY"}
    return Settings(**{names.get(name, name): value for name, value in values.items()})


@pytest.mark.parametrize("role", ["task", "reflection", "judge"])
def test_each_role_has_its_model_and_a_missing_one_is_named(endpoint: FakeEndpoint, role: Any) -> None:
    assert open_model(settings(base_url=endpoint.base_url, **{f"{role}_model": "mine"}), role=role).name == "mine"
    with pytest.raises(BadInput, match=f"LEARNING_{role.upper()}_MODEL is not set"):
        open_model(settings(base_url=endpoint.base_url), role=role)


def test_an_endpoint_of_ones_own_needs_no_key(endpoint: FakeEndpoint) -> None:
    model = open_model(settings(base_url=endpoint.base_url, task_model="mine"))
    assert model.complete([Message("user", "x")], max_tokens=5).text == "fine"


@pytest.mark.parametrize(
    "wrong",
    [{"base_url": "127.0.0.1:80"}, {"base_url": "ftp://x"}, {"base_url": "http://169.254.169.254/v1"}, {"api_key": "sk-ä"}, {"api_key": "sk a"},
     {"api_key": "sk\n"}],
)  # fmt: skip
def test_an_address_or_key_that_cannot_be_one_is_refused_at_once(wrong: dict[str, str]) -> None:
    with pytest.raises(BadInput, match=r"OPENAI_(BASE_URL|API_KEY)") as caught:
        open_model(settings(task_model="m", **wrong))
    assert "sk" not in str(caught.value)


def test_a_budget_in_money_needs_a_price(endpoint: FakeEndpoint) -> None:
    with pytest.raises(BadInput, match="price of 'mine' is not known"):
        open_model(settings(base_url=endpoint.base_url, task_model="mine"), budget=Budget(usd=1))


def test_openai_is_imported_only_where_a_model_is_opened() -> None:
    code = "import sys, learning_pipelines.llm, learning_pipelines.llm_server; sys.exit('openai' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[1], check=False).returncode == 0


def test_an_answer_of_the_endpoint_is_read_as_it_is(endpoint: FakeEndpoint, model: OpenAIModel) -> None:
    body = completion("ja – „größer“ 🙂")
    endpoint.always = raw(json.dumps(body, ensure_ascii=False))
    assert ask(model).text == "ja – „größer“ 🙂"
