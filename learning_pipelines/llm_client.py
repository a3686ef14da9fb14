"""The real client: one request to an OpenAI-compatible endpoint, repeated where that may help, cached and counted.

Belongs here: calling, retrying, caching. Not here: what a request says and how an answer is read (llm_wire.py), which endpoint is meant (llm.py).
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

import openai

from learning_pipelines import llm_wire, tracing
from learning_pipelines.llm_budget import Amount, Budget, Price, Usage
from learning_pipelines.llm_errors import EndpointDown, EndpointSlow, Failure, ModelError, NonsenseAnswer, WrongKey, explain
from learning_pipelines.llm_protocol import Completion, Message, Outcome, Request, ResponseCache

logger = logging.getLogger(__name__)
PUBLIC = "api.openai.com"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a model is asked. `label` is what messages call it, and by what answers that were kept are found again, whatever its address is by then."""

    base_url: str
    api_key: str = field(repr=False)
    label: str = ""

    @property
    def where(self) -> str:
        parts = urlsplit(self.base_url)  # an address may hold a password
        return self.label or f"{parts.hostname}{f':{parts.port}' if parts.port else ''}{parts.path.rstrip('/')}"

    @property
    def joins_traces(self) -> bool:
        """Whether it is told the trace that a request belongs to: a server of one's own may go on with it, the public one is no part of it."""
        return urlsplit(self.base_url).hostname != PUBLIC


@dataclass(frozen=True, slots=True)
class Retry:
    """How often a request is sent, and how long to wait in between: the double each time with jitter, or what the endpoint asks for.

    `timeouts` is the number of requests that may run into the timeout: each takes long and may be billed.
    """

    attempts: int = 6
    timeouts: int = 2
    first_seconds: float = 0.5
    longest_seconds: float = 20.0
    longest_asked_seconds: float = 120.0
    sleep: Callable[[float], None] = time.sleep

    def pause(self, failure: Failure, attempt: int) -> float:
        """Seconds to wait after the given attempt. Raises the failure's error where another one is of no use."""
        attempts = self.timeouts if isinstance(failure.error, EndpointSlow) else self.attempts
        if not failure.retry or attempt >= attempts:
            raise failure.error
        if failure.retry_after is None:
            return random.uniform(0.5, 1.0) * min(self.first_seconds * 2.0 ** (attempt - 1), self.longest_seconds)
        if failure.retry_after > self.longest_asked_seconds:
            raise type(failure.error)(failure.error.cause, f"It asks for a pause of {failure.retry_after:.0f} s: run again after that.")
        return failure.retry_after


@dataclass(frozen=True, slots=True)
class _Started:
    """A request that was found in the cache, or whose most possible use is set aside."""

    request: Request
    key: str
    hit: Completion | None
    reserved: Amount


class _Failed(Exception):
    def __init__(self, failure: Failure) -> None:
        super().__init__(str(failure.error))
        self.failure = failure


class OpenAIModel:
    """A ChatModel behind an OpenAI-compatible endpoint. `grammar`: it is llama.cpp and takes GBNF.

    `revive` brings a server of our own back and says where it is now: a call that finds it dead is repeated once (the answer does not depend on when).
    """

    def __init__(
        self,
        name: str,
        endpoint: Endpoint,
        *,
        role: str = "task",
        cache: ResponseCache | None = None,
        budget: Budget | None = None,
        price: Price | None = None,
        grammar: bool = False,
        revive: Callable[[], Endpoint] | None = None,
        concurrency: int = 8,
        timeout: float = 60.0,
        retry: Retry | None = None,
    ) -> None:
        self.name = name
        self.budget = budget or Budget()
        self.concurrency = concurrency
        self._role, self._cache, self._price, self._grammar = role, cache, price, grammar
        self._revive, self._timeout, self._retry = revive, timeout, retry or Retry()
        self._not_taken: frozenset[str] = frozenset()
        self._changing = threading.Lock()
        self._endpoint, self._client = endpoint, self._connect(endpoint)
        if price is None:
            logger.warning("The price of %s is not known: its calls are counted without cost.", name)

    def complete(
        self,
        messages: Sequence[Message],
        *,
        max_tokens: int,
        temperature: float = 0.0,
        seed: int | None = 0,
        choices: Sequence[str] | None = None,
        json_schema: dict[str, Any] | None = None,
        stop: Sequence[str] = (),
    ) -> Completion:
        wanted = None if choices is None else tuple(choices)
        return self._finish(self._start(Request(tuple(messages), max_tokens, temperature, seed, wanted, json_schema, tuple(stop))))

    def complete_many(self, requests: Iterable[Request], concurrency: int | None = None) -> Iterator[Outcome]:
        """Money is set aside in the order of the requests, so that the first ones are answered when the budget ends. No more is begun than is asked for."""
        width = concurrency or self.concurrency
        under_way: deque[Future[Outcome]] = deque()
        end: ModelError | None = None
        with ThreadPoolExecutor(width) as pool:
            for request in requests:
                try:
                    started = self._start(request)
                except ModelError as error:
                    end = error
                    break
                under_way.append(pool.submit(tracing.carried(self._outcome), started))
                if len(under_way) >= width:
                    yield under_way.popleft().result()
            while under_way:
                yield under_way.popleft().result()
        if end is not None:
            raise end

    def _outcome(self, started: _Started) -> Outcome:
        try:
            return self._finish(started)
        except ModelError as error:
            if error.of_one_request:
                return error
            raise

    def _start(self, request: Request) -> _Started:
        key = request.key(self.name, self._endpoint.where)
        if self._cache is not None and (hit := self._cache.get(key)) is not None:
            self.budget.count_hit(self._role, self.name)
            return _Started(request, key, replace(hit, from_cache=True, cost_usd=0.0), Amount())
        return _Started(request, key, None, self.budget.reserve(self._most(request)))

    def _finish(self, started: _Started) -> Completion:
        if started.hit is not None:
            return started.hit
        completion = self._insist(started.request, started.reserved)
        if self._cache is not None:
            self._cache.put(started.key, completion)
        return completion

    def _insist(self, request: Request, reserved: Amount) -> Completion:
        """Send until there is an answer or no hope. Every request that is sent has its own reservation."""
        attempt, revived = 1, False
        while True:
            used = self._endpoint
            try:
                return self._send(request, reserved)
            except _Failed as failed:
                failure = failed.failure
            if failure.not_taken is not None and failure.not_taken not in self._not_taken:
                self._leave_out(failure.not_taken)
            elif self._revive is not None and isinstance(failure.error, EndpointDown | WrongKey):
                if revived:
                    raise failure.error
                self._bring_back(used)
                revived = True
            else:
                self._retry.sleep(self._retry.pause(failure, attempt))
                attempt += 1
            reserved = self.budget.reserve(self._most(request))

    def _send(self, request: Request, reserved: Amount) -> Completion:
        """One HTTP request, and its span. Settles the reservation, whatever happens. Raises _Failed if there is no answer, NonsenseAnswer if it is none."""
        if not tracing.active():
            return self._sent(request, reserved, {})
        asked: dict[str, tracing.Value] = {
            "gen_ai.operation.name": "chat", "gen_ai.request.model": self.name, "learning.llm.role": self._role, "server.address": self._endpoint.where
        }  # fmt: skip
        with tracing.span(f"chat {self.name}", asked, kind="client") as span:
            answer = self._sent(request, reserved, tracing.outgoing() if self._endpoint.joins_traces else {})
            tracing.note(span, {
                "gen_ai.usage.input_tokens": answer.input_tokens, "gen_ai.usage.output_tokens": answer.output_tokens,
                "learning.llm.cached_tokens": answer.cached_tokens, "learning.llm.cost_usd": answer.cost_usd,
            })  # fmt: skip
            return answer

    def _sent(self, request: Request, reserved: Amount, headers: dict[str, str]) -> Completion:
        used = self._usage(request, None)  # unless we learn better: interrupted, it may have taken all that it could
        begun = time.monotonic()
        try:
            asked = {**llm_wire.parameters(self.name, request, self._grammar, self._not_taken), "extra_headers": headers}
            raw = self._client.chat.completions.with_raw_response.create(**asked)
            answer = llm_wire.read(raw.text, self._endpoint.where)
            used = self._usage(request, answer)
        except openai.APIError as error:
            failure = explain(error, self.name, self._endpoint.where)
            if not failure.billed:
                used = Usage(self._role, self.name, requests=1)
            raise _Failed(failure) from None  # the client's own error holds the endpoint's words, which may be a user's: tracebacks end in logs
        finally:
            self.budget.settle(reserved, used)
        text = llm_wire.checked(request, answer)
        cost = float(used.priced_usd) if self._price is not None else None
        return Completion(
            text, used.input_tokens, used.output_tokens, used.cached_tokens, cost, False, self.name, time.monotonic() - begun, answer.finish == "length"
        )

    def _most(self, request: Request) -> Amount:
        tokens_in, tokens_out = llm_wire.most_tokens(request, self._grammar)
        return Amount(1, tokens_in + tokens_out, self._price.of(tokens_in, tokens_out) if self._price else Amount().usd)

    def _usage(self, request: Request, answer: llm_wire.Answer | None) -> Usage:
        """What one request took; the most it can have taken where the endpoint does not say."""
        counts = answer.tokens if answer is not None else None
        tokens_in, tokens_out, cached = counts or (*llm_wire.most_tokens(request, self._grammar), 0)
        usage = Usage(self._role, self.name, 1, int(answer is not None), 0, tokens_in, tokens_out, cached)
        return replace(usage, unpriced=1) if self._price is None else replace(usage, priced_usd=self._price.of(tokens_in, tokens_out, cached))

    def _leave_out(self, parameter: str) -> None:
        with self._changing:
            self._not_taken |= {parameter}
        logger.warning("%s does not take the parameter %s as it was given; going on without it.", self.name, parameter)

    def _bring_back(self, dead: Endpoint) -> None:
        assert self._revive is not None
        with self._changing:
            if self._endpoint is dead:  # else another thread has just done it
                self._endpoint = self._revive()
                self._client = self._connect(self._endpoint)

    def _connect(self, endpoint: Endpoint) -> openai.OpenAI:
        # A proxy of the environment must not get between us and our own server.
        http = openai.DefaultHttpxClient(trust_env=False) if self._revive is not None else None
        # The client's own retries neither tell an empty account from a busy one nor ask the budget: we repeat ourselves.
        return openai.OpenAI(base_url=endpoint.base_url, api_key=endpoint.api_key, timeout=self._timeout, max_retries=0, http_client=http)


__all__ = ["Endpoint", "NonsenseAnswer", "OpenAIModel", "Retry"]
