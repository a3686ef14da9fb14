"""The Python client that applications import: executions and feedback go out, prompts come in, and nothing is lost or raised on the way.

Needs httpx and the standard library and knows nothing of the rest of the package. Not here: anything that the service decides.
"""

from __future__ import annotations

from learning_pipelines.client.aio import AsyncClient
from learning_pipelines.client.behavior import END, NextAction, Suggestion
from learning_pipelines.client.chat import record_answer
from learning_pipelines.client.core import Stats
from learning_pipelines.client.erasure import Erasure
from learning_pipelines.client.errors import (
    ClientError,
    ErasureUnavailable,
    InvalidRecord,
    NotDelivered,
    PromptUnavailable,
    QueueFull,
    QueueUnavailable,
    RecordRejected,
    SearchUnavailable,
    ServiceRefused,
    ServiceUnavailable,
    SuggestionUnavailable,
)
from learning_pipelines.client.experiments import Part
from learning_pipelines.client.options import Options
from learning_pipelines.client.prompts import Prompt
from learning_pipelines.client.search import Found, Hit
from learning_pipelines.client.sync import Client
from learning_pipelines.client.tracing import Execution, current_execution, default_fields

__all__ = [
    "END",
    "AsyncClient",
    "Client",
    "ClientError",
    "Erasure",
    "ErasureUnavailable",
    "Execution",
    "Found",
    "Hit",
    "InvalidRecord",
    "NextAction",
    "NotDelivered",
    "Options",
    "Part",
    "Prompt",
    "PromptUnavailable",
    "QueueFull",
    "QueueUnavailable",
    "RecordRejected",
    "SearchUnavailable",
    "ServiceRefused",
    "ServiceUnavailable",
    "Stats",
    "Suggestion",
    "SuggestionUnavailable",
    "current_execution",
    "default_fields",
    "record_answer",
]
