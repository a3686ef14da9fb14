"""A prompt as the service hands it out, and how its {{variables}} are filled.

Belongs here: the value and its templates. Not here: fetching and caching (prompt_cache.py).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Message = Mapping[str, Any]
Source = Literal["service", "cache", "stale", "fallback", "missing"]
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

    def __bool__(self) -> bool:
        return bool(self.messages)

    @property
    def variables(self) -> tuple[str, ...]:
        """The names of the {{variables}}, in order of appearance."""
        found = (name for message in self.messages for text in _texts(message.get("content")) for name in _VARIABLE.findall(text))
        return tuple(dict.fromkeys(found))

    def compile(self, /, **values: object) -> list[dict[str, Any]]:
        """The messages with every {{variable}} filled. One without a value stays as it is, so that its absence can be seen in the execution."""
        return [{**message, "content": _filled(message.get("content"), values)} for message in self.messages]


def from_fallback(agent: str, fallback: str | Sequence[Message]) -> Prompt:
    """A prompt of the host's own; plain text is a system message."""
    messages = [{"role": "system", "content": fallback}] if isinstance(fallback, str) else [dict(message) for message in fallback]
    return Prompt(agent, tuple(messages), source="fallback")


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
