"""What a language model is to everyone: messages in, a completion out, and the small protocols of models and of what keeps their answers.

Belongs here: what travels. Not here: which model the settings mean (llm.py), HTTP and retries (llm_client.py), counting (llm_budget.py).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol, TypeAlias

from learning_pipelines.errors import BadInput
from learning_pipelines.llm_budget import Budget
from learning_pipelines.llm_errors import ModelError

ModelRole = Literal["task", "reflection", "judge"]


@dataclass(frozen=True, slots=True)
class Message:
    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class Request:
    """One question to a model. With `choices` the answer is one of them exactly, with `json_schema` a JSON text made for it.

    `max_tokens` bounds free text; for choices as many as the longest needs are allowed.
    """

    messages: tuple[Message, ...]
    max_tokens: int
    temperature: float = 0.0
    seed: int | None = 0
    choices: tuple[str, ...] | None = None
    json_schema: dict[str, Any] | None = None
    stop: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.messages or self.max_tokens < 1:
            raise BadInput("A language model needs at least one message and one token to answer with.", "Give both.")
        if self.choices is not None and (not all(choice.strip() for choice in self.choices) or not 0 < len(set(self.choices)) == len(self.choices)):
            raise BadInput("The answers to choose from must be different texts, none of them empty.", "Correct the agent's labels.")
        if self.choices is not None and self.json_schema is not None:
            raise BadInput("An answer is chosen from a list or follows a JSON schema, not both.", "Give one of them.")

    def key(self, model: str, endpoint: str) -> str:
        """What the answer depends on, as a hash: model, endpoint (two may call different models the same), messages and parameters."""
        canonical = json.dumps({"model": model, "endpoint": endpoint, **asdict(self)}, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Completion:
    """An answer. Out of the cache it has the tokens and seconds it once took, and costs nothing.

    `cost_usd` is None where the model's price is not known. `cut_off`: it ended at `max_tokens`.
    """

    text: str
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    cost_usd: float | None
    from_cache: bool
    model: str
    seconds: float
    cut_off: bool = False


Outcome: TypeAlias = Completion | ModelError


class ChatModel(Protocol):
    """A language model. Any number of threads may use it."""

    @property
    def name(self) -> str: ...

    @property
    def budget(self) -> Budget: ...

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
        """Raises ModelError (or a kind of it) if there is no answer."""
        ...

    def complete_many(self, requests: Iterable[Request], concurrency: int | None = None) -> Iterator[Outcome]:
        """One outcome per request, in order. What is wrong with one request alone is yielded in its place; what would hit
        every further one (budget, endpoint, key) is raised after the outcomes before it."""
        ...


class ResponseCache(Protocol):
    """Keeps answers by `Request.key`, for longer than a process."""

    def get(self, key: str) -> Completion | None: ...

    def put(self, key: str, completion: Completion) -> None: ...
