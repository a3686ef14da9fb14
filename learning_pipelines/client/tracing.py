"""Executions that measure themselves: a context manager, a decorator, and what is ambient while they run.

Belongs here: latency, exceptions, parents, streams of a function. Not here: chat calls (chat.py), the queue.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import functools
import inspect
import time
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Mapping
from contextlib import aclosing, contextmanager
from contextvars import ContextVar, Token
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack, cast

from learning_pipelines.client.errors import ClientError
from learning_pipelines.client.prompts import Prompt
from learning_pipelines.client.records import ExecutionFields, new_id

Function = TypeVar("Function", bound=Callable[..., Any])
Submit = Callable[["Execution"], None]
_current: ContextVar[Execution | None] = ContextVar("learning_pipelines_execution", default=None)
_defaults: ContextVar[Mapping[str, Any]] = ContextVar("learning_pipelines_defaults", default={})  # noqa: B039 - never changed in place


def current_execution() -> Execution | None:
    """The innermost execution that is open here: inside a traced function, the way to its id."""
    return _current.get()


@contextmanager
def default_fields(**fields: Unpack[ExecutionFields]) -> Iterator[None]:
    """Fields for every execution logged inside the block, such as user and session of a web request."""
    token = _defaults.set({**_defaults.get(), **fields})
    try:
        yield
    finally:
        _defaults.reset(token)


def ambient_fields() -> Mapping[str, Any]:
    return _defaults.get()


class Execution:
    """One run of an agent, open until its block ends. Whatever is set on it before that is logged; the id is good from the start."""

    def __init__(self, submit: Submit, agent: str, input: Any, fields: Mapping[str, Any], *, ambient: bool = True) -> None:
        self.agent = agent
        self.input = input
        self.output: Any = None
        self.fields: dict[str, Any] = dict(fields)
        self.execution_id: str = str(self.fields.pop("execution_id", None) or new_id())
        self.prompt: Prompt | None = self.fields.pop("prompt", None)
        self.messages: list[Any] = list(self.fields.pop("messages", None) or [])
        self.tags: list[str] = list(self.fields.pop("tags", None) or [])
        self.context: dict[str, Any] = dict(self.fields.pop("context", None) or {})
        self.retrieved: list[Any] = list(self.fields.pop("retrieved", None) or [])
        self.model: str | None = self.fields.pop("model", None)
        self.input_tokens: int | None = self.fields.pop("input_tokens", None)
        self.output_tokens: int | None = self.fields.pop("output_tokens", None)
        self.cost_usd: float | None = self.fields.pop("cost_usd", None)
        self._submit = submit
        self._ambient = ambient
        self._token: Token[Execution | None] | None = None
        self._begun = time.perf_counter()
        self._done = False

    def all_fields(self) -> dict[str, Any]:
        """Everything as log_execution takes it."""
        own = ("execution_id", "prompt", "messages", "tags", "context", "retrieved", "model", "input_tokens", "output_tokens", "cost_usd")
        return self.fields | {name: value for name in own if (value := getattr(self, name)) not in (None, [], {})}

    def begin(self) -> Self:
        outer = _current.get()
        if outer is not None and outer is not self:
            self.fields.setdefault("parent_id", outer.execution_id)
        self.fields.setdefault("created_at", dt.datetime.now(dt.UTC))
        if self._ambient:
            self._token = _current.set(self)
        self._begun = time.perf_counter()
        return self

    def end(self, error: BaseException | None = None) -> bool:
        """Stops the clock; False if it was stopped before."""
        if self._done:
            return False
        self._done = True
        self.fields.setdefault("latency_ms", round((time.perf_counter() - self._begun) * 1000, 3))
        if self._token is not None:
            try:
                _current.reset(self._token)
            except ValueError:  # closed in another context than it was opened in, as generators may be
                _current.set(None)
        if error is not None:
            self.tags.append("cancelled" if isinstance(error, asyncio.CancelledError | GeneratorExit) else "error")
            self.context.setdefault("error", {"type": type(error).__name__, "message": str(error)[:10_000]})
        return True

    def finish(self, error: BaseException | None = None) -> None:
        """Ends and logs; a second call does nothing."""
        if self.end(error):
            try:
                self._submit(self)
            except ClientError:
                if error is None:  # the host's own exception must not be hidden behind ours
                    raise

    async def finish_async(self, error: BaseException | None = None) -> None:
        if self.end(error):
            # Shielded: a cancelled task still has its execution logged, and the loop never waits for a disk.
            try:
                await asyncio.shield(asyncio.to_thread(self._submit, self))
            except ClientError:
                if error is None:
                    raise

    def __enter__(self) -> Self:
        return self.begin()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.finish(error)

    async def __aenter__(self) -> Self:
        return self.begin()

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.finish_async(error)


def traced(function: Function, open_execution: Callable[[Callable[[], Any], bool], Execution], input: Callable[..., Any] | None) -> Function:
    """The function with every call logged; result, exceptions, signature and kind (plain, async, generator) stay as they are."""
    signature = inspect.signature(function)

    def opened(args: tuple[Any, ...], kwargs: dict[str, Any], *, ambient: bool = True) -> Execution:
        return open_execution(lambda: input(*args, **kwargs) if input is not None else _arguments(signature, args, kwargs), ambient)

    if inspect.isasyncgenfunction(function):
        wrapped = _stream_async(function, opened)
    elif inspect.isgeneratorfunction(function):
        wrapped = _stream(function, opened)
    elif inspect.iscoroutinefunction(function):
        wrapped = _call_async(function, opened)
    else:
        wrapped = _call(function, opened)
    return cast(Function, functools.wraps(function)(wrapped))


def _call(function: Callable[..., Any], opened: Callable[..., Execution]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        with opened(args, kwargs) as run:
            result = function(*args, **kwargs)
            run.output = result if run.output is None else run.output
            return result

    return call


def _call_async(function: Callable[..., Any], opened: Callable[..., Execution]) -> Callable[..., Any]:
    async def call(*args: Any, **kwargs: Any) -> Any:
        async with opened(args, kwargs) as run:
            result = await function(*args, **kwargs)
            run.output = result if run.output is None else run.output
            return result

    return call


def _stream(function: Callable[..., Any], opened: Callable[..., Execution]) -> Callable[..., Any]:
    """Not ambient: between its pieces the caller runs."""

    def stream(*args: Any, **kwargs: Any) -> Generator[Any, None, Any]:
        with opened(args, kwargs, ambient=False) as run:
            pieces: list[Any] = []
            inner = function(*args, **kwargs)
            try:
                while True:
                    try:
                        piece = next(inner)
                    except StopIteration as stop:
                        return stop.value
                    pieces.append(piece)
                    yield piece
            finally:
                inner.close()
                run.output = _joined(pieces)

    return stream


def _stream_async(function: Callable[..., Any], opened: Callable[..., Execution]) -> Callable[..., Any]:
    async def stream(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        async with opened(args, kwargs, ambient=False) as run:
            pieces: list[Any] = []
            try:
                async with aclosing(function(*args, **kwargs)) as inner:
                    async for piece in inner:
                        pieces.append(piece)
                        yield piece
            finally:
                run.output = _joined(pieces)

    return stream


def _arguments(signature: inspect.Signature, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A single text argument as it is, several by name; what a method is called on is not an argument."""
    try:
        given = dict(signature.bind(*args, **kwargs).arguments)
    except TypeError:  # the call itself will say so
        return {"args": list(args), "kwargs": kwargs}
    if given and next(iter(signature.parameters)) in ("self", "cls"):
        given.pop(next(iter(signature.parameters)))
    values = list(given.values())
    return values[0] if len(values) == 1 and isinstance(values[0], str) else given


def _joined(pieces: list[Any]) -> Any:
    return "".join(pieces) if all(isinstance(piece, str) for piece in pieces) else pieces
