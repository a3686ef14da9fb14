"""A prompt: its messages with demonstrations as chat turns, demonstrations picked for each input, and the very messages a model is sent.

Belongs here: the value, its form in the registry, rendering. Not here: scoring it (evaluation.py), changing it (strategies/), SQL.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson

from learning_pipelines.llm import Message

_INPUT = re.compile(r"\{\{\s*input\s*\}\}")


@dataclass(frozen=True, slots=True)
class Demonstration:
    """An input with the answer that was approved for it. `example_id` says where it is from; None if it was written by hand."""

    input: str
    output: str
    example_id: str | None = None


@dataclass(frozen=True, slots=True)
class Retrieval:
    """Demonstrations picked at run time: the `k` approved examples of the train split nearest to the input, the nearest one last.

    `dataset_id` pins the version they come from, so that what is served is what was scored; None while the search has not stored it. `agreeing`: only
    those with the answer that most of the `k` have, the n-th nearest counting 1/n: a small model follows examples that agree, and wavers where they do not.
    """

    k: int
    dataset_id: str | None = None
    agreeing: bool = False

    def shown(self, nearest: Sequence[Demonstration]) -> list[Demonstration]:
        """What is shown of the `k` nearest (nearest first), in the order in which it is shown."""
        if not self.agreeing:
            return list(nearest[::-1])
        agreed = most_agreed([one.output for one in nearest])
        return [one for one in nearest[::-1] if one.output == agreed]


def most_agreed(answers: Sequence[str]) -> str:
    """The answer that most of them are, the n-th of the nearest counting 1/n; of equal ones that of the nearest, "" of none."""
    votes: defaultdict[str, float] = defaultdict(float)
    for rank, answer in enumerate(answers, 1):
        votes[answer] += 1 / rank
    return max(votes, key=votes.__getitem__, default="")


@dataclass(frozen=True, slots=True)
class Prompt:
    """Messages in the order they are sent: what all inputs share first. The input's own turn is not among them, unless a user message holds {{input}}."""

    messages: tuple[Message, ...]
    retrieval: Retrieval | None = None

    @property
    def instruction(self) -> str:
        """The text of the first system message; empty if there is none."""
        return next((message.content for message in self.messages if message.role == "system"), "")

    @property
    def demonstrations(self) -> tuple[Demonstration, ...]:
        """Chat turns of user and assistant that follow each other. Their ids are not kept in the messages."""
        pairs = zip(self.messages, self.messages[1:], strict=False)
        return tuple(Demonstration(one.content, other.content) for one, other in pairs if (one.role, other.role) == ("user", "assistant"))

    def with_instruction(self, text: str) -> Prompt:
        """The same prompt with another first system message (put first where there was none)."""
        rest = list(self.messages)
        at = next((number for number, message in enumerate(rest) if message.role == "system"), None)
        if at is None:
            return replace(self, messages=(Message("system", text), *rest))
        return replace(self, messages=(*rest[:at], Message("system", text), *rest[at + 1 :]))

    def with_demonstrations(self, shown: Sequence[Demonstration]) -> Prompt:
        """The same prompt with these demonstrations instead of its own, after the instruction."""
        system = [message for message in self.messages if message.role == "system"]
        own = [message for message in self.messages if message.role == "user" and _INPUT.search(message.content)]
        return replace(self, messages=(*system, *_turns(shown), *own))

    def for_input(self, text: str, shown: Sequence[Demonstration] = (), guidance: Sequence[Message] = ()) -> tuple[Message, ...]:
        """What the model is sent for one input: the messages, guidance and demonstrations picked for it, its own turn last.

        A user message with {{input}} (the last one that has it) is that turn; what the input itself holds is never expanded. A system
        message is sent as it stands: no text of a user may enter it.
        """
        own = next((at for at in range(len(self.messages) - 1, -1, -1) if self.messages[at].role == "user" and _INPUT.search(self.messages[at].content)), None)
        if own is None:
            return (*self.messages, *guidance, *_turns(shown), Message("user", text))
        turn = Message("user", _INPUT.sub(lambda _: text, self.messages[own].content))
        return (*self.messages[:own], *guidance, *_turns(shown), turn, *self.messages[own + 1 :])

    @property
    def content_hash(self) -> bytes:
        """SHA-256 of what is served; equal for equal prompts."""
        messages, serving = self.stored()
        return content_hash(messages, serving)

    def stored(self) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """(messages, serving) as prompt_versions holds them."""
        messages = [{"role": message.role, "content": message.content} for message in self.messages]
        if self.retrieval is None:
            return messages, {}
        agreeing = {"agreeing": True} if self.retrieval.agreeing else {}
        return messages, {"retrieval": {"k": self.retrieval.k, "dataset_id": self.retrieval.dataset_id, **agreeing}}


def from_stored(messages: Sequence[Mapping[str, Any]], serving: Mapping[str, Any]) -> Prompt:
    """The prompt of a row of prompt_versions."""
    found = serving.get("retrieval")
    retrieval = None if found is None else Retrieval(int(found["k"]), found.get("dataset_id"), bool(found.get("agreeing")))
    return Prompt(tuple(Message(message["role"], message["content"]) for message in messages), retrieval)


def content_hash(messages: Sequence[Mapping[str, Any]], serving: Mapping[str, Any]) -> bytes:
    """SHA-256 of messages and, where there is any, what is done per input; versions without keep the hash they always had."""
    plain = [{"role": message["role"], "content": message["content"]} for message in messages]
    return hashlib.sha256(orjson.dumps(plain) + (orjson.dumps(serving, option=orjson.OPT_SORT_KEYS) if serving else b"")).digest()


def _turns(shown: Sequence[Demonstration]) -> tuple[Message, ...]:
    return tuple(message for one in shown for message in (Message("user", one.input), Message("assistant", one.output)))
