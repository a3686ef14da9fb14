"""Chat calls of an openai client, recorded without importing openai: only names that its clients and answers have are used.

Belongs here: the wrapper, reading messages, answers, streams and token counts. Not here: timing, ids (tracing.py).
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from types import TracebackType
from typing import Any, TypeVar, cast

from learning_pipelines.client.errors import Reporter, unexpected
from learning_pipelines.client.tracing import Execution, current_execution

Client = TypeVar("Client")
_CALLS = {("chat", "completions", "create"), ("chat", "completions", "parse"), ("beta", "chat", "completions", "parse")}
_COPIES = {("with_options",), ("copy",)}
_LEADING_TO_CALLS = {call[:length] for call in _CALLS for length in range(1, len(call))}


def wrap(client: Client, open_run: Callable[[Any], Execution], agent: str, reporter: Reporter) -> Client:
    """The same client to all appearances; its chat completions are recorded."""
    return cast(Client, _Proxy(client, (), _Recorder(open_run, agent, reporter)))


def record_answer(run: Execution, answer: Any) -> None:
    """Output, model and tokens of a chat completion. Several calls in one run: the last answer is the output, tokens add up."""
    choices = _get(answer, "choices") or []
    message = _get(choices[0], "message") if choices else None
    if message is not None:
        run.output = _output(message)
    run.model = _get(answer, "model") or run.model
    _count_tokens(run, _get(answer, "usage"))


class _Recorder:
    def __init__(self, open_run: Callable[[Any], Execution], agent: str, reporter: Reporter) -> None:
        self._open_run = open_run
        self._agent = agent
        self._reporter = reporter

    def safely(self, action: Callable[..., object], *args: Any) -> None:
        try:
            action(*args)
        except Exception as error:  # noqa: BLE001 - an answer of an unknown shape must not cost the host its answer
            self._reporter.note(unexpected(error))

    def call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        current = current_execution()
        # Inside an open execution of the same agent the call belongs to it; otherwise it is an execution of its own.
        own = current is None or current.agent != self._agent
        run = self._open_run(_question(kwargs.get("messages"))) if own or current is None else current
        self.safely(self._record_request, run, kwargs)
        if own:
            run.begin()
        try:
            answer = function(*args, **kwargs)
        except BaseException as error:
            if own:
                run.finish(error)
            raise
        if inspect.isawaitable(answer):
            return self._await(answer, run, own, bool(kwargs.get("stream")))
        if kwargs.get("stream"):
            return _Stream(answer, run, own, self)
        self.safely(record_answer, run, answer)
        if own:
            run.finish()
        return answer

    async def _await(self, pending: Awaitable[Any], run: Execution, own: bool, stream: bool) -> Any:
        try:
            answer = await pending
        except BaseException as error:
            if own:
                await run.finish_async(error)
            raise
        if stream:
            return _Stream(answer, run, own, self)
        self.safely(record_answer, run, answer)
        if own:
            await run.finish_async()
        return answer

    @staticmethod
    def _record_request(run: Execution, request: Mapping[str, Any]) -> None:
        run.messages = list(request.get("messages") or [])
        run.model = str(request["model"]) if request.get("model") else run.model


class _Proxy:
    """Hands everything through, except for the calls to record and for copies of the client, which record too."""

    def __init__(self, target: Any, path: tuple[str, ...], recorder: _Recorder) -> None:
        self.__dict__.update(_target=target, _path=path, _recorder=recorder)

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._target, name)
        path = (*self._path, name)
        if path in _CALLS:
            return functools.wraps(value)(functools.partial(self._recorder.call, value))
        if path in _COPIES:
            return lambda *args, **kwargs: _Proxy(value(*args, **kwargs), (), self._recorder)
        return _Proxy(value, path, self._recorder) if path in _LEADING_TO_CALLS else value

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._target, name, value)

    @property  # type: ignore[misc]
    def __class__(self) -> type:  # isinstance(wrapped, OpenAI) stays true
        return type(self._target)

    def __enter__(self) -> _Proxy:
        self._target.__enter__()
        return self

    def __exit__(self, *about: Any) -> Any:
        return self._target.__exit__(*about)

    async def __aenter__(self) -> _Proxy:
        await self._target.__aenter__()
        return self

    async def __aexit__(self, *about: Any) -> Any:
        return await self._target.__aexit__(*about)


class _Stream:
    """A stream of chunks that is recorded when it ends, fails or is given up."""

    def __init__(self, stream: Any, run: Execution, own: bool, recorder: _Recorder) -> None:
        self._stream = stream
        self._run = run
        self._own = own
        self._recorder = recorder
        self._pieces: list[str] = []
        self._chunks = self._read_async() if hasattr(stream, "__aiter__") else self._read()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def __iter__(self) -> Iterator[Any]:
        return cast(Iterator[Any], self._chunks)

    def __aiter__(self) -> AsyncIterator[Any]:
        return cast(AsyncIterator[Any], self._chunks)

    def __next__(self) -> Any:
        return next(cast(Iterator[Any], self._chunks))

    async def __anext__(self) -> Any:
        return await anext(cast(AsyncIterator[Any], self._chunks))

    def __enter__(self) -> _Stream:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    async def __aenter__(self) -> _Stream:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await cast(Any, self._chunks).aclose()
        await self._stream.close()
        if self._own:
            await self._run.finish_async()

    def close(self) -> Any:
        if not hasattr(self._stream, "__aiter__"):
            cast(Any, self._chunks).close()
            if self._own:
                self._run.finish()  # where not one chunk was read, the generator never ran
        return self._stream.close() if hasattr(self._stream, "close") else None

    def _read(self) -> Iterator[Any]:
        try:
            for chunk in self._stream:
                self._recorder.safely(self._take, chunk)
                yield chunk
        except BaseException as error:
            if self._own:
                self._run.finish(error)
            raise
        if self._own:
            self._run.finish()

    async def _read_async(self) -> AsyncIterator[Any]:
        try:
            async for chunk in self._stream:
                self._recorder.safely(self._take, chunk)
                yield chunk
        except BaseException as error:
            if self._own:
                await self._run.finish_async(error)
            raise
        if self._own:
            await self._run.finish_async()

    def _take(self, chunk: Any) -> None:
        for choice in (_get(chunk, "choices") or [])[:1]:
            if text := _get(_get(choice, "delta"), "content"):
                self._pieces.append(text)
                self._run.output = "".join(self._pieces)
        self._run.model = _get(chunk, "model") or self._run.model
        _count_tokens(self._run, _get(chunk, "usage"))


def _get(thing: Any, name: str) -> Any:
    return thing.get(name) if isinstance(thing, Mapping) else getattr(thing, name, None)


def _count_tokens(run: Execution, usage: Any) -> None:
    for name, theirs in (("input_tokens", "prompt_tokens"), ("output_tokens", "completion_tokens")):
        if isinstance(count := _get(usage, theirs), int):
            setattr(run, name, (getattr(run, name) or 0) + count)


def _output(message: Any) -> Any:
    content, calls = _get(message, "content"), _get(message, "tool_calls")
    if not calls:
        return content or ""
    named = [{"name": _get(_get(call, "function"), "name"), "arguments": _get(_get(call, "function"), "arguments")} for call in calls]
    return {"content": content, "tool_calls": named}


def _question(messages: Any) -> Any:
    """The last thing the user said; without one, the whole conversation."""
    for message in reversed(messages if isinstance(messages, list | tuple) else []):
        if _get(message, "role") == "user":
            content = _get(message, "content")
            if isinstance(content, list):
                content = "\n".join(str(part["text"]) for part in content if isinstance(part, dict) and "text" in part)
            if content:
                return content
    return messages
