"""Traced functions, execution blocks and wrapped chat clients: the host's results stay as they are, the log has the rest.

Belongs here: what is recorded and what is left alone. Not here: delivery.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Generator, Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from learning_pipelines.client import AsyncClient, Client, Execution, current_execution, default_fields
from learning_pipelines_tests.client.conftest import KEY, quick
from learning_pipelines_tests.client.service import Asked, Fault, Service

DONE = 90.0


def rows(client: Client, service: Service) -> list[dict[str, Any]]:
    assert client.flush(DONE)
    return list(service.rows["executions"].values())


def test_a_block_is_logged_with_latency_and_what_was_set_on_it(client: Client, service: Service) -> None:
    with client.execution(agent="router", input="q", user="u1", tags=["a"]) as run:
        run.output = "vat"
        run.tags.append("b")
        run.input_tokens = 7
        with client.execution(agent="inner", input="q2") as inner:
            inner.output = "x"
    assert client.last_execution_id() == inner.execution_id and current_execution() is None
    second, first = rows(client, service)
    assert (first["execution_id"], first["output"], first["user"], first["tags"], first["input_tokens"]) == (run.execution_id, "vat", "u1", ["a", "b"], 7)
    assert first["latency_ms"] >= second["latency_ms"] > 0 and second["parent_id"] == run.execution_id and "parent_id" not in first


def test_an_exception_in_a_block_is_recorded_and_goes_on(client: Client, service: Service) -> None:
    with pytest.raises(ZeroDivisionError), client.execution(agent="router", input="q") as run:
        run.output = "half an answer"
        _ = 1 / 0
    (row,) = rows(client, service)
    assert row["tags"] == ["error"] and row["context"]["error"] == {"type": "ZeroDivisionError", "message": "division by zero"}
    assert row["output"] == "half an answer"


def test_a_traced_function_keeps_result_name_exceptions_and_arguments(client: Client, service: Service) -> None:
    results = {"list": [1, 2]}

    class Desk:
        @client.traced(agent="router", tags=["t"])
        def answer(self, question: str, *, top: int = 3) -> dict[str, list[int]]:
            """Answers."""
            if question == "bad":
                raise KeyError(question)
            return results

    assert Desk().answer("one") is results and Desk().answer("two", top=1) is results
    with pytest.raises(KeyError):
        Desk().answer("bad")
    with pytest.raises(TypeError):
        Desk().answer()  # type: ignore[call-arg]
    assert Desk.answer.__name__ == "answer" and Desk.answer.__doc__ == "Answers." and "question" in inspect.signature(Desk.answer).parameters
    found = rows(client, service)
    assert [row["input"] for row in found[:3]] == ["one", {"question": "two", "top": 1}, "bad"]
    assert [row["output"] for row in found[:3]] == [results, results, ""]
    assert found[2]["tags"] == ["t", "error"] and found[3]["context"]["error"]["type"] == "TypeError"


def test_the_input_is_logged_as_it_was_before_the_call(client: Client, service: Service) -> None:
    @client.traced(agent="router")
    def empties(items: list[int], thing: object) -> int:
        items.clear()
        run = current_execution()
        assert run is not None
        run.output = "set by hand"
        return 1

    @client.traced(agent="router", input=lambda number: 1 / number)
    def survives(number: int) -> int:
        return number

    assert empties([1, 2], object()) == 1 and survives(0) == 0
    found = rows(client, service)
    assert found[0]["input"]["items"] == [1, 2] and found[0]["output"] == "set by hand"
    assert found[1]["input"] == "" and found[1]["output"] == "0"


def test_generators_stay_generators(client: Client, service: Service) -> None:
    @client.traced(agent="router")
    def stream(text: str) -> Generator[str, None, str]:
        yield from text
        return "the end"

    @client.traced(agent="router")
    async def stream_async(text: str) -> AsyncIterator[str]:
        for letter in text:
            yield letter

    async def consume() -> list[str]:
        return [letter async for letter in stream_async("xyz")]

    def relay() -> Iterator[str]:
        assert (yield from stream("abc")) == "the end"

    assert list(relay()) == ["a", "b", "c"] and asyncio.run(consume()) == ["x", "y", "z"]
    given_up = stream("abc")
    next(given_up)
    given_up.close()
    found = rows(client, service)
    assert [row["output"] for row in found] == ["abc", "xyz", "a"] and found[2]["tags"] == ["cancelled"]


def test_async_functions_stay_async_and_cancelled_ones_are_logged(client: Client, service: Service) -> None:
    @client.traced(agent="router")
    async def answer(question: str) -> str:
        await asyncio.sleep(30 if question == "slow" else 0)
        with client.execution(agent="inner", input=question) as inner:
            inner.output = "i"
        return question.upper()

    async def use() -> list[str]:
        task = asyncio.create_task(answer("slow"))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return await asyncio.gather(*(answer(name) for name in "abc"))

    assert asyncio.run(use()) == ["A", "B", "C"] and inspect.iscoroutinefunction(answer)
    found = rows(client, service)
    outer = {row["execution_id"]: row for row in found if row["agent"] == "router"}
    assert sorted(row["output"] for row in outer.values()) == ["", "A", "B", "C"]
    assert [row["tags"] for row in outer.values() if "tags" in row] == [["cancelled"]]
    for row in found:
        if row["agent"] == "inner":
            assert outer[row["parent_id"]]["input"] == row["input"]


def test_default_fields_apply_inside_their_block_only(client: Client, service: Service) -> None:
    with default_fields(user="u1", session_id="s1"):
        client.log_execution(agent="router", input="q", output="a")
        client.log_execution(agent="router", input="q", output="a", user="u2")
    client.log_execution(agent="router", input="q", output="a")
    assert [(row.get("user"), row.get("session_id")) for row in rows(client, service)] == [("u1", "s1"), ("u2", "s1"), (None, None)]


ANSWER = {
    "id": "c1", "object": "chat.completion", "created": 1, "model": "small-1",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "vat"}}],
    "usage": {"prompt_tokens": 11, "completion_tokens": 2, "total_tokens": 13},
}  # fmt: skip
CHUNKS = "".join(
    f'data: {{"id":"c1","object":"chat.completion.chunk","created":1,"model":"small-1","choices":[{{"index":0,"delta":{{"content":"{text}"}}}}]}}\n\n'
    for text in ("v", "a", "t")
)
USAGE = 'data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"small-1","choices":[],"usage":' + (
    '{"prompt_tokens":11,"completion_tokens":2,"total_tokens":13}}\n\ndata: [DONE]\n\n'
)
MESSAGES: Any = [{"role": "system", "content": "sort"}, {"role": "user", "content": "my return"}]


def model(asked: Asked) -> Fault | None:
    """A model's server behind the same socket."""
    if asked.path != "/v1/chat/completions":
        return None
    if asked.body["model"] == "broken":
        return Fault(400, {"Content-Type": "application/json"}, {"error": {"message": "no"}})
    if asked.body.get("stream"):
        return Fault(200, {"Content-Type": "text/event-stream"}, (CHUNKS + USAGE).encode())
    return Fault(200, {"Content-Type": "application/json"}, ANSWER)


def expected(row: dict[str, Any]) -> None:
    assert (row["input"], row["output"], row["input_tokens"], row["output_tokens"]) == ("my return", "vat", 11, 2)
    assert row["messages"] == MESSAGES and row["context"]["model"] == "small-1" and row["latency_ms"] > 0 and row["user"] == "u1"


def test_a_wrapped_openai_client_answers_as_before_and_is_recorded(client: Client, service: Service) -> None:
    service.fault = model
    wrapped = client.wrap_openai(openai.OpenAI(api_key="k", base_url=f"{service.url}/v1", max_retries=0), agent="router", user="u1")
    assert isinstance(wrapped, openai.OpenAI)
    answer = wrapped.chat.completions.create(model="small", messages=MESSAGES)
    assert isinstance(answer, openai.types.chat.ChatCompletion) and answer.choices[0].message.content == "vat"
    named = client.last_execution_id()
    chunks = list(wrapped.with_options(timeout=5).chat.completions.create(model="small", messages=MESSAGES, stream=True))
    assert len(chunks) == 4
    with wrapped.chat.completions.create(model="small", messages=MESSAGES, stream=True) as stream:
        next(iter(stream))
    with pytest.raises(openai.BadRequestError):
        wrapped.chat.completions.create(model="broken", messages=MESSAGES)
    with client.execution(agent="router", input="whole task", user="u1") as run:
        for _ in range(2):
            wrapped.chat.completions.create(model="small", messages=MESSAGES)
    found = rows(client, service)
    assert len(found) == 5 and found[0]["execution_id"] == named
    expected(found[0])
    expected(found[1])
    assert (found[2]["output"], found[2]["tags"]) == ("v", ["cancelled"])
    assert found[3]["tags"] == ["error"] and found[3]["context"]["error"]["type"] == "BadRequestError"
    assert (found[4]["execution_id"], found[4]["input"], found[4]["output"], found[4]["input_tokens"]) == (run.execution_id, "whole task", "vat", 22)


def test_the_async_openai_client_too(service: Service, queue_dir: Path) -> None:
    async def use() -> None:
        async with AsyncClient(service.url, KEY, queue_dir=queue_dir, options=quick()) as client:
            service.fault = model
            wrapped = client.wrap_openai(openai.AsyncOpenAI(api_key="k", base_url=f"{service.url}/v1"), agent="router", user="u1")
            answer = await wrapped.chat.completions.create(model="small", messages=MESSAGES)
            assert answer.choices[0].message.content == "vat"
            assert len([chunk async for chunk in await wrapped.chat.completions.create(model="small", messages=MESSAGES, stream=True)]) == 4
            async with client.execution(agent="router", input="q") as run:
                assert isinstance(run, Execution)

    asyncio.run(use())
    one, two, three = service.rows["executions"].values()
    expected(one)
    expected(two)
    assert three["output"] == ""


def test_an_answer_of_an_unknown_shape_is_handed_through(client: Client, service: Service) -> None:
    class Odd:
        class chat:
            class completions:
                @staticmethod
                def create(**request: Any) -> object:
                    return strange

    class Strange:
        @property
        def choices(self) -> object:
            raise RuntimeError("no choices here")

    strange = Strange()
    assert client.wrap_openai(Odd(), agent="router").chat.completions.create(messages=[{"role": "user", "content": "q"}]) is strange
    (row,) = rows(client, service)
    assert row["input"] == "q" and client.stats().errors == {"Unexpected": 1}
