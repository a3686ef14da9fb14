"""The prompt benchmark's own rules: no leak, every call counted once, right arithmetic. No model is asked."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import pytest

from benchmarks import prompts, prompts_endpoint, prompts_table
from benchmarks.prompts_endpoint import Answered, Counting, Upstream, canonical, certain
from benchmarks.prompts_methods import METHODS, Answers, Bench, MethodFailed
from benchmarks.prompts_ours import task_of
from benchmarks.prompts_tasks import DATA, TASKS, Split, distinct, split
from learning_pipelines.llm import Message
from learning_pipelines.llm_wire import gbnf

needs_data = pytest.mark.skipif(not (DATA / "banking77").is_dir(), reason=f"the data sets are not at {DATA}: LEARNING_TEST_DATA names their folder")
LABELS = ["card lost", "card stolen", "other"]
SMALL = Split("small", 0, "Classify.", ("a", "b"), (("one", "a"), ("two", "b")), (("three", "a"),), (("four", "a"), ("five", "b")))


@needs_data
@pytest.mark.parametrize("task", TASKS)
def test_no_test_item_is_among_what_a_method_learns_from(task: str) -> None:
    for seed in (0, 1):
        given = split(task, seed, 200)
        asked = {" ".join(text.casefold().split()) for text, _ in given.test}
        assert len(asked) == len(given.test) >= 60
        assert asked.isdisjoint(" ".join(text.casefold().split()) for text, _ in given.known)
        assert {label for _, label in given.test} <= set(given.labels)


@needs_data
def test_a_seed_gives_one_split_and_another_seed_another_one() -> None:
    assert split("banking77-5", 0, 200) == split("banking77-5", 0, 200)
    assert split("banking77-5", 0, 200).test != split("banking77-5", 1, 200).test


def test_a_message_that_is_there_twice_counts_once_however_it_is_written() -> None:
    assert distinct(iter([("My  card", "a_b?"), ("my card ", "c"), ("other", "c")])) == [("My  card", "a b"), ("other", "c")]


def test_our_search_is_given_no_test_items() -> None:
    task = task_of(SMALL)
    assert task.test == () and [item.input for item in task.validation] == ["three"]


def test_every_call_is_counted_once_in_its_phase_and_a_repeated_one_is_not_paid_again(tmp_path: Path) -> None:
    asked: list[Any] = []
    counting = Counting(lambda body, choices: asked.append(body) or Answered("other", 10, 1), tmp_path / "kept.jsonl")
    question = {"messages": [{"role": "user", "content": "?"}], "temperature": 0.0, "choices": LABELS}
    for phase in ("search", "search", "test"):
        counting.complete(phase, question)
    assert counting.take() == {
        "search": {"calls": 2, "answered_by_model": 1, "input_tokens": 20, "output_tokens": 2},
        "test": {"calls": 1, "input_tokens": 10, "output_tokens": 1},
    }
    assert counting.take() == {}
    Counting(lambda *_: pytest.fail("asked again"), tmp_path / "kept.jsonl").complete("test", question)


def test_a_request_that_draws_is_asked_every_time() -> None:
    asked: list[Any] = []
    counting = Counting(lambda body, choices: asked.append(body) or Answered("text", 1, 1))
    for _ in range(2):
        counting.complete("reflection", {"messages": [], "temperature": 1.0})
    assert len(asked) == 2


def test_our_client_and_a_peer_that_ask_the_same_share_one_answer_and_are_both_counted() -> None:
    asked: list[Any] = []
    counting = Counting(lambda body, choices: asked.append(choices) or Answered("other", 1, 1))
    with prompts_endpoint.serving(counting, "m") as url:
        ours = bench(url).asked_in("search").complete([Message("user", "?")], max_tokens=9, choices=LABELS)
        body = {"messages": [{"role": "user", "content": "?"}], "temperature": 0.0, "choices": LABELS}
        request = urllib.request.Request(f"{url}/search/v1/chat/completions", json.dumps(body).encode())
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request) as answer:
            theirs = json.loads(answer.read())["choices"][0]["message"]["content"]
    assert ours.text == theirs == "other" and asked == [LABELS]
    assert counting.take()["search"]["calls"] == 2


def test_a_grammar_that_is_no_list_of_labels_goes_to_the_model_as_it_is() -> None:
    odd = ['say "yes"', "a\\b", "ü"]
    assert canonical({"messages": [], "grammar": gbnf(odd)})[1] == sorted(odd)
    free = 'root ::= "[" text "]"\ntext ::= [^\\]]+'
    assert canonical({"messages": [], "grammar": free}) == ({"messages": [], "grammar": free}, None)


def test_a_choice_is_certain_only_when_no_other_one_begins_so() -> None:
    assert certain("card s", LABELS) == "card stolen" and certain("card", LABELS) is None
    assert certain("card", ["card", "card payment"]) is None


def test_a_constrained_answer_ends_as_soon_as_it_is_certain() -> None:
    read = []

    def stream() -> Any:
        for piece in ("card", " st", "ol", "en"):
            read.append(piece)
            yield f"data: {json.dumps({'choices': [{'delta': {'content': piece}}]})}\n\n".encode()

    upstream = Upstream("http://model", "key", httpx.MockTransport(lambda _: httpx.Response(200, content=stream())))
    answered = upstream({"messages": [{"role": "user", "content": "?"}]}, LABELS)
    assert (answered.text, answered.output_tokens, read) == ("card stolen", 2, ["card", " st"])


def test_a_method_that_fails_is_a_cell_with_its_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any) -> Answers:
        raise MethodFailed("it needs more")

    monkeypatch.setitem(METHODS, "gepa", fails)
    server: Any = SimpleNamespace(cpu_times=lambda: (1.0, 2.0))
    cell = prompts.measured(bench(""), Counting(None), server, SMALL, "gepa", 300)
    assert cell["error"] == "it needs more" and "right" not in cell
    assert prompts.has({"cells": [cell]}, 0, "small", "gepa") and not prompts.has({"cells": [cell]}, 1, "small", "gepa")
    assert "error: it needs more" in prompts_table.markdown({"about": {"calls": 300}, "cells": [cell]})


def test_the_vote_without_a_model_takes_the_label_of_most_neighbours() -> None:
    assert METHODS["vote"](bench(""), SMALL, 0).predictions == ["a", "a"]
    assert METHODS["majority"](bench(""), SMALL, 0).predictions == ["a", "a"]


def test_the_pooled_difference_weighs_every_answer_the_same() -> None:
    cells = [
        cell("x", 0, "ours", [1, 1, 1, 0]), cell("x", 0, "gepa", [0, 1, 0, 1]),
        cell("y", 0, "ours", [1, 1]), cell("y", 0, "gepa", [0, 1]), cell("y", 1, "ours", [1, 1]),
    ]  # fmt: skip
    found = prompts_table.difference(cells, "ours", "gepa", ["x", "y"])
    assert found is not None
    assert (found.only_first, found.only_second, round(found.points, 6)) == (3, 1, round(100 * 2 / 6, 6))
    assert found.low < found.points < found.high and found.p == pytest.approx(0.625)
    assert prompts_table.difference(cells, "ours", "dspy-knn", ["x"]) is None


def test_an_item_that_is_asked_under_three_seeds_is_no_three_items() -> None:
    """The same hundred answers three times over: the bounds stay those of a hundred."""
    rng = np.random.default_rng(1)
    one, other = rng.integers(0, 2, 100).tolist(), rng.integers(0, 2, 100).tolist()
    cells = [made for seed in range(3) for made in (cell("x", seed, "ours", one), cell("x", seed, "gepa", other))]
    once, thrice = prompts_table.difference(cells[:2], "ours", "gepa", ["x"]), prompts_table.difference(cells, "ours", "gepa", ["x"])
    assert once is not None and thrice is not None
    assert thrice.high - thrice.low == pytest.approx(once.high - once.low, rel=0.05)


def test_the_bounds_hold_the_true_difference_as_often_as_they_say() -> None:
    rng, inside, runs = np.random.default_rng(0), 0, 100
    for _ in range(runs):
        better, worse = rng.random(150) < 0.7, rng.random(150) < 0.6
        cells = [cell("x", 0, "ours", better.tolist()), cell("x", 0, "gepa", worse.tolist())]
        found = prompts_table.difference(cells, "ours", "gepa", ["x"], draws=400)
        assert found is not None
        inside += found.low <= 10 <= found.high
    assert inside / runs >= 0.88  # 95 of 100 are expected


def test_methods_that_were_asked_different_items_are_not_compared() -> None:
    with pytest.raises(ValueError, match="different items"):
        prompts_table.difference([cell("x", 0, "ours", [1]), cell("x", 0, "gepa", [1]) | {"items": ["z"]}], "ours", "gepa", ["x"])


def cell(task: str, seed: int, method: str, right: list[Any]) -> dict[str, Any]:
    return {"task": task, "seed": seed, "method": method, "error": None, "items": [f"i{number}" for number in range(len(right))], "right": right}


def bench(url: str) -> Bench:
    """An encoder for which all texts but "two" are the same."""
    encoder: Any = SimpleNamespace(encode=lambda texts: np.array([[0.0, 1.0] if text == "two" else [1.0, 0.0] for text in texts]))
    return Bench(url, "m", encoder, Path("-"), Path("-"))
