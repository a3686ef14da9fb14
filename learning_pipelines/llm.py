"""Language models as the rest of the project sees them: messages in, a completion out, and which model the settings mean.

Belongs here: what travels, the small protocols, `open_model`. Not here: HTTP and retries (llm_client.py), counting (llm_budget.py), the embedded server.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

from learning_pipelines.errors import BadInput
from learning_pipelines.llm_budget import FREE, Budget, parse_prices
from learning_pipelines.llm_errors import ModelError
from learning_pipelines.outbound import permitted_url
from learning_pipelines.settings import Settings

if TYPE_CHECKING:
    from learning_pipelines.llm_client import Endpoint

ModelRole = Literal["task", "reflection", "judge"]
OPENAI_URL = "https://api.openai.com/v1"
_EMBEDDED_TIMEOUT = 300.0  # it answers one after the other, and other processes ask too


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

    def key(self, model: str) -> str:
        """What the answer depends on, as a hash: model, messages and parameters."""
        canonical = json.dumps({"model": model, **asdict(self)}, sort_keys=True, separators=(",", ":"))
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


def open_model(settings: Settings, *, role: ModelRole = "task", cache: ResponseCache | None = None, budget: Budget | None = None) -> ChatModel:
    """The model of a role: the embedded one (started if need be) unless OPENAI_BASE_URL or OPENAI_API_KEY is set.

    Raises BadInput for settings that cannot be used, Unavailable if the embedded model cannot run.
    """
    if uses_embedded(settings):
        return _embedded(settings, role, cache, budget)
    from learning_pipelines.llm_client import OpenAIModel  # imports openai, which takes seconds: only where a model is used

    name = model_name(settings, role)
    price = parse_prices(settings.model_prices).get(name)
    if price is None and budget is not None and budget.usd is not None:
        raise BadInput(f"The budget is in money, but the price of {name!r} is not known.", "Add it to LEARNING_MODEL_PRICES, or limit calls or tokens.")
    return OpenAIModel(name, endpoint_of(settings), role=role, cache=cache, budget=budget, price=price)


def model_name(settings: Settings, role: ModelRole = "task") -> str:
    """The name of the model of a role; nothing is started. Raises BadInput where an endpoint is set and no model named."""
    if uses_embedded(settings):
        from learning_pipelines.llm_server import MODEL

        return MODEL
    name = {"task": settings.task_model, "reflection": settings.reflection_model, "judge": settings.judge_model}[role]
    if name is None:
        raise BadInput(f"LEARNING_{role.upper()}_MODEL is not set.", "Name the model of the endpoint to use, or unset OPENAI_BASE_URL and OPENAI_API_KEY.")
    return name


def uses_embedded(settings: Settings) -> bool:
    return settings.openai_base_url is None and settings.openai_api_key is None


def _embedded(settings: Settings, role: ModelRole, cache: ResponseCache | None, budget: Budget | None) -> ChatModel:
    from learning_pipelines.llm_client import Endpoint, OpenAIModel
    from learning_pipelines.llm_server import MODEL, ensure_model

    def start() -> Endpoint:
        server = ensure_model(settings)
        return Endpoint(server.base_url, server.api_key, "the embedded server")

    return OpenAIModel(MODEL, start(), role=role, cache=cache, budget=budget, price=FREE, grammar=True, revive=start, concurrency=1, timeout=_EMBEDDED_TIMEOUT)


def endpoint_of(settings: Settings) -> Endpoint:
    """The configured endpoint. Raises BadInput for an address or key that cannot be one."""
    from learning_pipelines.llm_client import Endpoint

    url = permitted_url(settings.openai_base_url or OPENAI_URL, "OPENAI_BASE_URL")
    key = settings.openai_api_key or "none"  # servers of one's own often want no key
    if not key.isascii() or not key.isprintable() or " " in key:
        raise BadInput("OPENAI_API_KEY holds characters that no key has.", "Copy it again, without quotes and spaces.")
    return Endpoint(url, key)
