"""Prompts from the service, kept, renewed in the background, outlasting an outage.

Belongs here: freshness, single flight, what is served when nothing can be fetched. Not here: templates (prompts.py), HTTP (transport.py).

A prompt for an input is that input's alone: it is asked for every time (the service answers 304 where it is unchanged), never handed out for
another input, and outlasted by the prompt without an input, to which the input's turn is added.

A prompt of an experiment is kept per unit: the service counts the unit as met when it is fetched, not each time it is used. A prompt that is older than
`prompt_most` (of an experiment: `experiment_most`) is fetched anew before it is used, as long as the service answers.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from queue import SimpleQueue
from typing import Any, TypeVar

from learning_pipelines.client.errors import PromptNotFetched, PromptUnavailable, Reporter, unexpected
from learning_pipelines.client.options import Options
from learning_pipelines.client.prompts import Message, Prompt, from_fallback
from learning_pipelines.client.records import to_json
from learning_pipelines.client.transport import Transport, Verdict

Key = tuple[str, str | None, str | None]
K = TypeVar("K")
V = TypeVar("V")
_MOST_KEPT = 4096
_INPUT_LIMIT = 2000  # the input travels in the address, where servers and proxies allow a few kilobytes


@dataclass
class _Cached:
    prompt: Prompt
    fetched: float


class PromptCache:
    def __init__(self, transport: Transport, reporter: Reporter, options: Options) -> None:
        self._transport = transport
        self._reporter = reporter
        self._options = options
        self._cached: OrderedDict[Key, _Cached] = OrderedDict()
        self._latest: OrderedDict[tuple[str, str | None], Prompt] = OrderedDict()
        self._served: OrderedDict[tuple[str, str | None], Prompt] = OrderedDict()
        self.forked()

    def forked(self) -> None:
        """What is cached stays good in a forked child; locks and the thread do not."""
        self.counts: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._flights: dict[Key, threading.Lock] = {}
        self._renewing: set[Key] = set()
        self._paused: dict[str | None, float] = {}
        self._orders: SimpleQueue[Key | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def at_once(self, agent: str, unit: str | None, input: Any) -> Prompt | None:
        """The cached prompt, if there is one, without waiting for anything; an old one is renewed in the background. None for an input."""
        if input is not None:
            return None
        key = _key(agent, unit, input)
        with self._lock:
            cached = self._cached.get(key)
            if cached is None:
                return None
            self._cached.move_to_end(key)
            fresh = self._fresh(cached)
            if not fresh and self._too_old(cached) and not self._pausing(agent):
                return None
            if not fresh:
                self._order(key)
            return self._serve(unit, replace(cached.prompt, source="cache" if fresh else "stale"))

    def get(self, agent: str, unit: str | None, input: Any, fallback: str | Sequence[Message] | None) -> Prompt:
        """The prompt to use now; waits only where nothing is cached. With raise_errors, raises PromptUnavailable where there is none at all."""
        if (prompt := self.at_once(agent, unit, input)) is not None:
            return prompt
        key = _key(agent, unit, input)
        if input is not None:
            with self._lock:
                pausing, without_input = self._pausing(agent), (agent, unit, None)
                if not pausing and not self._fresh(self._cached.get(without_input)):
                    self._order(without_input)  # for an outage
            return self._given(key, None if pausing else self._fetch(key), fallback)
        with self._lock:
            flight = self._flights.setdefault(key, threading.Lock())
        with flight:  # of many threads that miss the same prompt, one asks
            if (prompt := self.at_once(agent, unit, input)) is not None:
                return prompt
            with self._lock:
                pausing = self._pausing(agent)
            fetched = None if pausing else self._fetch(key)
        with self._lock:
            self._flights.pop(key, None)
        return self._given(key, fetched, fallback)

    def _given(self, key: Key, fetched: Prompt | None, fallback: str | Sequence[Message] | None) -> Prompt:
        agent, unit, text = key
        with self._lock:
            prompt = fetched or self._last_resort(agent, unit, fallback)
            if prompt is not None and fetched is None and text is not None:
                prompt = prompt.for_input(text)
            if prompt is not None:
                return self._serve(unit, prompt)
        error = PromptUnavailable(f"No prompt of {agent} can be had, and no fallback was given: {self._reporter.last_error}")
        self._reporter.fail(error)
        with self._lock:
            return self._serve(unit, Prompt(agent, (), source="missing"))

    def served(self, agent: str, units: Iterable[str | None]) -> Prompt | None:
        """What the host was last given for the first of these units that it asked for."""
        with self._lock:
            return next((self._served[agent, unit] for unit in units if (agent, unit) in self._served), None)

    def close(self) -> None:
        if self._thread is not None:
            self._orders.put(None)

    def _serve(self, unit: str | None, prompt: Prompt) -> Prompt:
        self.counts[prompt.source] += 1
        _keep(self._served, (prompt.agent, unit), prompt)
        return prompt

    def _fresh(self, cached: _Cached | None) -> bool:
        return cached is not None and time.monotonic() - cached.fetched < self._options.prompt_ttl

    def _too_old(self, cached: _Cached) -> bool:
        """What is seldom asked for must not be used once more long after it was taken back or switched off, nor a variant of an experiment that is over."""
        most = self._options.prompt_most if cached.prompt.experiment is None else self._options.experiment_most
        return time.monotonic() - cached.fetched >= most

    def _order(self, key: Key) -> None:
        """Has a prompt fetched in the background, under the lock."""
        if key not in self._renewing and not self._pausing(key[0]):
            self._renewing.add(key)
            self._orders.put(key)
            self._start()

    def _pausing(self, agent: str) -> bool:
        now = time.monotonic()
        return any(now < self._paused.get(whom, 0.0) for whom in (agent, None))

    def _last_resort(self, agent: str, unit: str | None, fallback: str | Sequence[Message] | None) -> Prompt | None:
        if (known := self._latest.get((agent, unit))) is not None:
            return replace(known, source="stale")
        if (known := self._latest.get((agent, None))) is not None:
            # Made for another unit: as a prompt better than an older fallback, but it must not count into an experiment.
            return replace(known, source="stale", experiment=None, variant=None, unit=None)
        return from_fallback(agent, fallback) if fallback is not None else None

    def _fetch(self, key: Key) -> Prompt | None:
        """Asks the service; None, and a pause before the next question, if it does not answer with a prompt."""
        agent, unit, text = key
        with self._lock:
            known = self._cached.get(key)
        sent = None if text is None else text[:_INPUT_LIMIT]
        params = {name: value for name, value in (("unit", unit), ("input", sent)) if value is not None}
        reply = self._transport.prompt(agent, params, known.prompt.etag if known else None)
        prompt: Prompt | None = None
        if reply.verdict is Verdict.UNCHANGED and known is not None:
            prompt = known.prompt
            self.counts["not_modified"] += 1
        elif reply.verdict is Verdict.DONE:
            prompt = _read(agent, unit, reply.data, reply.etag)
            if prompt is not None and text is not None and sent is not None:
                prompt = replace(prompt, input=text) if sent == text else prompt.of_whole(sent, text)
        if prompt is None:
            pause = max(self._options.prompt_pause, reply.retry_after or 0.0)
            # A wrong agent is that agent's trouble; anything else is everybody's.
            with self._lock:
                self._paused[agent if reply.verdict is Verdict.REJECTED else None] = time.monotonic() + pause
            self._reporter.note(PromptNotFetched(f"{agent}: {reply.reason or 'the answer has no messages'}"))
            return None
        with self._lock:
            if text is None or len(text) <= _INPUT_LIMIT:
                _keep(self._cached, key, _Cached(prompt, time.monotonic()))
            if text is None:
                for about in (unit, None):
                    _keep(self._latest, (agent, about), prompt)
        return prompt

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._renew, name="learning-pipelines-prompts", daemon=True)
            self._thread.start()

    def _renew(self) -> None:
        orders = self._orders
        while (key := orders.get()) is not None:
            try:
                with self._lock:
                    pausing = self._pausing(key[0])
                if not pausing:
                    self._fetch(key)
            except Exception as error:  # noqa: BLE001 - a fault of ours must not end the thread
                self._reporter.note(unexpected(error))
            finally:
                with self._lock:
                    self._renewing.discard(key)


def _key(agent: str, unit: str | None, input: Any) -> Key:
    text = input if isinstance(input, str) or input is None else to_json(input)
    return agent, unit, text


def _keep(kept: OrderedDict[K, V], key: K, value: V) -> None:
    kept[key] = value
    kept.move_to_end(key)
    if len(kept) > _MOST_KEPT:
        kept.popitem(last=False)


def _read(agent: str, unit: str | None, data: Mapping[str, Any], etag: str | None) -> Prompt | None:
    messages = data.get("messages")
    if not isinstance(messages, list) or not messages or not all(isinstance(message, dict) for message in messages):
        return None
    names = ("version", "experiment", "variant", "guidance", "model")
    version, experiment, variant, guidance, model = (None if data.get(name) is None else str(data[name]) for name in names)
    etag = etag or data.get("etag")
    return Prompt(agent, tuple(messages), version, experiment, variant, etag, guidance=guidance, model=model, unit=unit if experiment else None)
