"""Prompts: cached, renewed in the background, outlasting outages, filled, and attached to what was made with them.

Belongs here: `prompt` of both clients. Not here: delivery.
"""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from learning_pipelines.client import AsyncClient, Client, Prompt, PromptUnavailable
from learning_pipelines_tests.client.conftest import KEY, MakeClient, eventually, quick
from learning_pipelines_tests.client.service import Asked, Fault, Service

DONE = 90.0


def served(text: str, **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "system", "content": text}], "version": 1, "experiment": None, "variant": None} | more


def gets(service: Service) -> list[Asked]:
    return [asked for asked in service.asked if asked.method == "GET"]


def test_a_fresh_prompt_is_asked_for_once(client: Client, service: Service) -> None:
    service.prompts["router"] = served("You sort {{what}}.", experiment="e1", variant="b", model="ft:one")
    prompts = [client.prompt("router", unit="u1") for _ in range(3)]
    assert [prompt.source for prompt in prompts] == ["service", "cache", "cache"]
    assert prompts[0].compile(what="post") == [{"role": "system", "content": "You sort post."}]
    assert (prompts[0].version, prompts[0].experiment, prompts[0].variant, prompts[0].model) == ("1", "e1", "b", "ft:one")
    (asked,) = gets(service)
    assert asked.path == "/api/learning/prompts/router" and asked.query == {"unit": "u1"}
    assert asked.headers["authorization"] == f"Bearer {KEY}"
    client.prompt("router", unit="u2")
    assert len(gets(service)) == 2


def for_inputs(service: Service) -> None:
    """Answers as the service does: with an input, a demonstration picked for it and its own turn."""

    def answer(asked: Asked) -> Fault | None:
        if (text := asked.query.get("input")) is None:
            return None
        picked = [{"role": "user", "content": f"like {text[:5]}"}, {"role": "assistant", "content": "so"}]
        messages = [{"role": "system", "content": "You sort {{what}}."}, *picked, {"role": "user", "content": text}]
        etag = f'"{hash(text)}"'
        if asked.headers.get("if-none-match") == etag:
            return Fault(304, {"ETag": etag})
        return Fault(200, {"ETag": etag}, {"messages": messages, "version": "2", "etag": etag})

    service.prompts["router"] = served("You sort {{what}}.", version=2)
    service.fault = answer


def asked_for(service: Service) -> list[str]:
    return [asked.query["input"] for asked in gets(service) if "input" in asked.query]


def test_a_prompt_for_an_input_is_that_inputs_alone_and_asked_for_every_time(client: Client, service: Service) -> None:
    for_inputs(service)
    one, other, again = (client.prompt("router", input=text) for text in ("hello", "goodbye", "hello"))
    assert [prompt.messages[-1]["content"] for prompt in (one, other, again)] == ["hello", "goodbye", "hello"]
    assert [prompt.messages[1]["content"] for prompt in (one, other)] == ["like hello", "like goodb"]
    assert asked_for(service) == ["hello", "goodbye", "hello"] and client.stats().prompts["not_modified"] == 1
    eventually(lambda: any("input" not in asked.query for asked in gets(service)))
    assert [message["role"] for message in client.prompt("router").messages] == ["system"]


def test_long_inputs_that_begin_alike_are_not_mixed_and_come_back_whole(client: Client, service: Service) -> None:
    for_inputs(service)
    texts = ["a" * 5000 + ending for ending in ("one", "two")]
    assert [client.prompt("router", input=text).messages[-1]["content"] for text in texts] == texts
    assert [len(text) for text in asked_for(service)] == [2000, 2000]


def test_what_a_user_says_is_never_a_template(client: Client, service: Service) -> None:
    for_inputs(service)
    compiled = client.prompt("router", input="{{what}} {{key}}").compile(what="post", key="secret")
    assert (compiled[0]["content"], compiled[-1]["content"]) == ("You sort post.", "{{what}} {{key}}")


def test_in_an_outage_an_input_gets_its_own_turn_in_the_last_good_prompt_or_the_fallback(client: Client, service: Service) -> None:
    for_inputs(service)
    client.prompt("router", input="hello")
    eventually(lambda: client.prompt("router").source == "cache")
    service.stop()
    stale = client.prompt("router", input="{{what}} now", fallback="own")
    assert (stale.source, stale.version, [message["content"] for message in stale.messages]) == ("stale", "2", ["You sort {{what}}.", "{{what}} now"])
    assert stale.compile(what="post")[-1]["content"] == "{{what}} now"
    template = [{"role": "system", "content": "Own."}, {"role": "user", "content": "Text: {{input}}"}]
    own = client.prompt("other", input="hello", fallback=template)
    assert (own.source, [message["content"] for message in own.messages]) == ("fallback", ["Own.", "Text: hello"])


def test_what_is_asked_for_again_after_a_long_time_is_fetched_anew_before_it_is_used(make_client: MakeClient, service: Service) -> None:
    client = make_client(prompt_ttl=0.0, prompt_most=0.0)
    service.prompts["router"] = served("learnt", version=2)
    client.prompt("router")
    service.prompts["router"] = served("base")
    assert (client.prompt("router").messages[0]["content"], client.prompt("router").source) == ("base", "service")
    service.stop()
    assert client.prompt("router").source == "stale"


def test_an_old_prompt_is_served_while_it_is_renewed(make_client: MakeClient, service: Service) -> None:
    client = make_client(prompt_ttl=0.0)
    service.prompts["router"] = served("one")
    client.prompt("router")
    gate = threading.Event()
    service.fault = lambda asked: Fault() if gate.wait(10) else None
    service.prompts["router"] = served("two", version=2)
    assert [client.prompt("router").source for _ in range(5)] == ["stale"] * 5  # none of them waits
    gate.set()
    eventually(lambda: client.prompt("router").messages[0]["content"] == "two")
    eventually(lambda: client.stats().prompts.get("not_modified"))  # from now on the service answers 304
    assert client.prompt("router").messages[0]["content"] == "two"
    assert gets(service)[1].headers["if-none-match"] and "if-none-match" not in gets(service)[0].headers


def test_many_threads_that_miss_the_same_prompt_ask_once(client: Client, service: Service) -> None:
    service.prompts["router"] = served("one")
    service.fault = lambda asked: Fault(delay=0.1)
    found: list[Prompt] = []
    threads = [threading.Thread(target=lambda: found.append(client.prompt("router"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8 and len(gets(service)) == 1


@pytest.mark.parametrize("fallback", ["You are {{who}}.", [{"role": "system", "content": "You are {{who}}."}]])
def test_a_service_never_reached_means_the_fallback_and_few_questions(client: Client, service: Service, fallback: Any) -> None:
    service.stop()
    for _ in range(5):
        prompt = client.prompt("router", unit="u1", fallback=fallback)
        assert prompt.source == "fallback" and prompt.compile(who="it")[0]["content"] == "You are it."
    assert client.stats().errors == {"PromptNotFetched": 1}
    name = client.log_execution(agent="router", input="q", output="a", unit="u1")
    service.start()
    assert client.flush(DONE)
    row = service.rows["executions"][name]
    assert row["context"] == {"unit": "u1", "prompt_source": "fallback"} and "prompt_version" not in row


def test_after_an_outage_the_service_is_asked_again(make_client: MakeClient, service: Service) -> None:
    client = make_client(prompt_pause=0.0)
    service.prompts["router"] = served("real")
    service.fault = lambda asked: Fault(status=503)
    assert client.prompt("router", fallback="own").source == "fallback"
    service.fault = lambda asked: None
    assert client.prompt("router", fallback="own").source == "service"


def test_once_reached_the_last_good_prompt_is_better_than_the_fallback(make_client: MakeClient, service: Service) -> None:
    client = make_client(prompt_ttl=0.0)
    service.prompts["router"] = served("learnt", experiment="e1", variant="b", version=7)
    client.prompt("router", unit="u1")
    service.stop()
    assert client.prompt("router", unit="u1", fallback="own").source == "stale"
    same_unit = client.prompt("router", unit="u1", input="b", fallback="own")
    other_unit = client.prompt("router", unit="u2", fallback="own")
    assert (same_unit.source, same_unit.variant) == ("stale", "b")
    assert (other_unit.source, other_unit.version, other_unit.experiment, other_unit.variant) == ("stale", "7", None, None)
    assert client.prompt("other agent", fallback="own").source == "fallback"


def test_without_service_and_fallback_the_prompt_is_empty_and_named(make_client: MakeClient, service: Service) -> None:
    client = make_client()
    prompt = client.prompt("nobody")
    assert not prompt and prompt.source == "missing" and prompt.compile() == []
    assert client.stats().errors == {"PromptNotFetched": 1, "PromptUnavailable": 1}
    service.prompts["router"] = served("one")
    assert client.prompt("router")  # an unknown agent is no reason to stop asking for others
    with pytest.raises(PromptUnavailable):
        make_client(raise_errors=True).prompt("nobody")


@pytest.mark.parametrize("body", [{"messages": []}, {"messages": "text"}, {"messages": ["text"]}, [], b"<html>"])
def test_a_senseless_answer_is_no_prompt(client: Client, service: Service, body: Any) -> None:
    service.fault = lambda asked: Fault(status=200, body=body)
    assert client.prompt("router", fallback="own").source == "fallback"


def test_executions_carry_the_prompt_that_was_served_to_their_unit(client: Client, service: Service) -> None:
    service.prompts["router"] = served("one", experiment="e1", variant="b", version=3)
    prompt = client.prompt("router", unit="u1")
    logged = {
        "unit": client.log_execution(agent="router", input="q", output="a", unit="u1"),
        "user": client.log_execution(agent="router", input="q", output="a", user="u1", context={"variant": "host's own"}),
        "given": client.log_execution(agent="router", input="q", output="a", prompt=prompt),
        "other": client.log_execution(agent="router", input="q", output="a", unit="u2"),
    }
    assert client.flush(DONE)
    rows = {name: service.rows["executions"][key] for name, key in logged.items()}
    assert rows["unit"]["prompt_version"] == "3" and rows["unit"]["context"] == {"unit": "u1", "experiment": "e1", "variant": "b"}
    assert rows["user"]["prompt_version"] == "3" and rows["user"]["context"] == {"unit": "u1", "experiment": "e1", "variant": "host's own"}
    assert rows["given"]["context"] == {"unit": "u1", "experiment": "e1", "variant": "b"}
    assert "prompt_version" not in rows["other"] and rows["other"]["context"] == {"unit": "u2"}


def test_an_execution_says_which_guidance_was_shown_for_its_input(client: Client, service: Service) -> None:
    service.prompts["router"] = served("one", guidance="2", version=3)
    logged = client.log_execution(agent="router", input="q", output="a", prompt=client.prompt("router", input="q"))
    assert client.flush(DONE)
    assert service.rows["executions"][logged]["context"] == {"guidance": "2"}


def test_variables_are_filled_once_and_a_missing_one_stays_visible() -> None:
    prompt = Prompt("a", ({"role": "system", "content": "{{a}} {{ b }} {{c}} {x}"}, {"role": "user", "content": [{"type": "text", "text": "{{a}}"}]}))
    assert prompt.variables == ("a", "b", "c")
    system, user = prompt.compile(a="{{b}}", b=2)
    assert system["content"] == "{{b}} 2 {{c}} {x}" and user["content"] == [{"type": "text", "text": "{{b}}"}]


def test_the_async_client_waits_in_a_thread(service: Service, queue_dir: Any) -> None:
    service.prompts["router"] = served("one")
    service.fault = lambda asked: Fault(delay=0.1)

    async def use() -> list[str]:
        async with AsyncClient(service.url, KEY, queue_dir=queue_dir, options=quick()) as client:
            ticks = 0

            async def tick() -> None:
                nonlocal ticks
                while True:
                    await asyncio.sleep(0.001)
                    ticks += 1

            ticking = asyncio.create_task(tick())
            found: list[str] = [(await client.prompt("router")).source, (await client.prompt("router")).source]
            ticking.cancel()
            assert ticks > 1  # the loop went on during the request
            name = await client.log_execution(agent="router", input="q", output="a")
            await client.rate(name, 5)
            await client.retrieval_feedback("q", relevant=["d"])
            assert await client.flush(DONE)
            return found

    assert asyncio.run(use()) == ["service", "cache"]
    assert service.total() == 3
