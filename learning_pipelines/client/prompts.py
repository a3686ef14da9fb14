"""A prompt as the service hands it out, and how its {{variables}} are filled.

Belongs here: the value and its templates. Not here: fetching and caching (prompt_cache.py).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

Message = Mapping[str, Any]
Source = Literal["service", "cache", "stale", "fallback", "missing"]
_INPUT = re.compile(r"\{\{\s*input\s*\}\}")
_VARIABLE = re.compile(r"\{\{\s*(\w+)\s*\}\}")


@dataclass(frozen=True)
class Prompt:
    """The messages to open a conversation with. `source` says where they come from; a prompt that is `missing` is empty and false."""

    agent: str
    messages: tuple[Message, ...]
    version: str | None = None
    experiment: str | None = None
    variant: str | None = None
    etag: str | None = None
    source: Source = "service"
    input: str | None = None
    """What was asked: its turn is among the messages, and `compile` leaves it as it is."""
    guidance: str | None = None
    """Version of the guidance that is shown for the input; None where there is none."""
    model: str | None = None
    """The model to ask: the fine-tuned one that serves, else the one the agent was imported with; None where neither is known."""
    unit: str | None = None
    """Whom the experiment counts: the unit that was asked for. None outside of experiments."""

    def __bool__(self) -> bool:
        return bool(self.messages)

    @property
    def variables(self) -> tuple[str, ...]:
        """The names of the {{variables}}, in order of appearance."""
        found = (name for message in self.messages for text in _texts(message.get("content")) for name in _VARIABLE.findall(text))
        return tuple(dict.fromkeys(found))

    def compile(self, /, **values: object) -> list[dict[str, Any]]:
        """The messages with every {{variable}} filled. One without a value stays as it is, so that its absence can be seen in the execution."""
        own = _turn_of(self.messages, self.input)
        return [{**message, "content": self._compiled(message.get("content"), values, at == own)} for at, message in enumerate(self.messages)]

    def for_input(self, text: str) -> Prompt:
        """A prompt that was made without the input, with its turn: where a user message says {{input}}, else last. No demonstration is picked for it."""
        own = next((at for at, message in reversed(list(enumerate(self.messages))) if _asks(message)), None)
        if own is None:
            return replace(self, messages=(*self.messages, {"role": "user", "content": text}), input=text)
        turn = {**self.messages[own], "content": _INPUT.sub(lambda _: text, str(self.messages[own]["content"]))}
        return replace(self, messages=(*self.messages[:own], turn, *self.messages[own + 1 :]), input=text)

    def of_whole(self, cut: str, text: str) -> Prompt:
        """The answer to an input of which only the beginning was sent, with the whole of it in its turn."""
        own = _turn_of(self.messages, cut)
        if own is None:
            return self
        turn = {**self.messages[own], "content": str(self.messages[own]["content"]).replace(cut, text)}
        return replace(self, messages=(*self.messages[:own], turn, *self.messages[own + 1 :]), input=text)

    def _compiled(self, content: object, values: Mapping[str, object], own: bool) -> object:
        if not own or self.input is None or not isinstance(content, str):
            return _filled(content, values)
        return self.input.join(str(_filled(part, values)) for part in content.split(self.input))  # what a user says is never a template


def from_fallback(agent: str, fallback: str | Sequence[Message]) -> Prompt:
    """A prompt of the host's own; plain text is a system message."""
    messages = [{"role": "system", "content": fallback}] if isinstance(fallback, str) else [dict(message) for message in fallback]
    return Prompt(agent, tuple(messages), source="fallback")


def _asks(message: Message) -> bool:
    return message.get("role") == "user" and isinstance(message.get("content"), str) and _INPUT.search(message["content"]) is not None


def _turn_of(messages: Sequence[Message], text: str | None) -> int | None:
    """Where the turn of an input is: the last user message that holds it."""
    if not text:
        return None
    holding = (at for at, message in reversed(list(enumerate(messages))) if message.get("role") == "user" and text in str(message.get("content")))
    return next(holding, None)


def _texts(content: object) -> list[str]:
    if isinstance(content, str):
        return [content]
    if isinstance(content, list):  # chat content may be a list of typed parts
        return [part["text"] for part in content if isinstance(part, dict) and isinstance(part.get("text"), str)]
    return []


def _filled(content: object, values: Mapping[str, object]) -> object:
    if isinstance(content, str):
        # One pass: a value that itself contains {{other}} is text from outside and must not be expanded.
        return _VARIABLE.sub(lambda match: str(values[match[1]]) if match[1] in values else match[0], content)
    if isinstance(content, list):
        return [{**part, "text": _filled(part["text"], values)} if isinstance(part, dict) and "text" in part else part for part in content]
    return content
