"""Language models as the rest of the project sees them: the one that the settings mean for a role.

Belongs here: `open_model`; what llm_protocol.py says is named here too. Not here: HTTP and retries (llm_client.py), counting (llm_budget.py),
the embedded server (llm_server.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from learning_pipelines.errors import BadInput
from learning_pipelines.llm_budget import FREE, Budget, parse_prices
from learning_pipelines.llm_protocol import ChatModel, Completion, Message, ModelRole, Outcome, Request, ResponseCache
from learning_pipelines.outbound import permitted_url
from learning_pipelines.settings import Settings

if TYPE_CHECKING:
    from learning_pipelines.llm_client import Endpoint

__all__ = ["ChatModel", "Completion", "Message", "ModelRole", "Outcome", "Request", "ResponseCache", "endpoint_of", "model_name", "open_model", "uses_embedded"]
OPENAI_URL = "https://api.openai.com/v1"
_EMBEDDED_TIMEOUT = 300.0  # it answers one after the other, and other processes ask too


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
