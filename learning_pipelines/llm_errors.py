"""What can go wrong with a language model, each kind under its own name, and how an endpoint's refusal is read.

Belongs here: the errors and their wording. Not here: retrying (llm_client.py), the embedded server's own troubles (llm_weights.py, llm_server.py).
"""

from __future__ import annotations

import datetime as dt
import email.utils
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from learning_pipelines.errors import LearningError

if TYPE_CHECKING:
    import openai

_NO_MONEY = ("insufficient_quota", "billing_hard_limit_reached", "billing_not_active", "credit balance")
_TOO_LONG = ("context_length_exceeded", "exceed_context_size", "maximum context length")
_UNSENT = ("ConnectError", "ConnectTimeout", "UnsupportedProtocol", "InvalidURL", "LocalProtocolError")
_NOT_TAKEN = ("max_tokens", "temperature", "seed", "stop")
_IN_A_ROW = 4
_WORD, _MARKED = re.compile(r"\w+"), re.compile(r"'[^']+'|\"[^\"]+\"|`[^`]+`|\S+@\S+")


class ModelError(LearningError):
    """The language model gave no usable answer. No text of people is in the message: it may end in logs."""

    of_one_request = False
    """Whether the next request may well succeed: then `complete_many` goes on."""


class EndpointDown(ModelError):
    """Nothing answers, or only errors of the server's own."""


class EndpointSlow(ModelError):
    """No answer within the timeout."""


class RateLimited(ModelError):
    """Refused for too many requests, also after waiting."""


class OutOfMoney(ModelError):
    """The account behind the key has no credit left."""


class WrongKey(ModelError):
    """The key is missing, wrong, or not allowed to do this."""


class UnknownModel(ModelError):
    """The endpoint does not know the model, or the address is not that of its API."""


class RequestRefused(ModelError):
    """The endpoint will not take this request."""

    of_one_request = True


class PromptTooLong(RequestRefused):
    """The messages do not fit into the model's context."""


class NonsenseAnswer(ModelError):
    """Something came back that is no answer. `text` is what it was."""

    of_one_request = True

    def __init__(self, cause: str, advice: str, text: str = "") -> None:
        super().__init__(cause, advice)
        self.text = text


class WrongAnswer(NonsenseAnswer):
    """The model answered, but not what was asked for: no text, none of the choices, no JSON. Another prompt may do better."""


class BudgetExceeded(ModelError):
    """The next call could exceed the budget of this run, so it was not made."""


@dataclass(frozen=True, slots=True)
class Failure:
    """One request that failed: the error to raise in the end, and what may be done before.

    `billed`: it may have cost something. `not_taken`: the parameter that this model does not accept.
    """

    error: ModelError
    retry: bool = False
    retry_after: float | None = None
    billed: bool = False
    not_taken: str | None = None


def explain(error: openai.APIError, model: str, where: str) -> Failure:
    """What the client's exception means."""
    import openai

    if isinstance(error, openai.APITimeoutError):
        return Failure(
            EndpointSlow(f"The language model at {where} did not answer in time.", "Try again when it is less busy."), retry=True, billed=_was_sent(error)
        )
    if isinstance(error, openai.APIConnectionError):
        reason = str(error.__cause__ or error).strip().rstrip(".") or "the connection broke"
        return Failure(
            EndpointDown(f"The language model at {where} cannot be reached: {reason}.", "Check that it runs and that OPENAI_BASE_URL is right."),
            retry=True,
            billed=_was_sent(error),
        )
    if isinstance(error, openai.APIStatusError):
        return _of_status(error, model, where)
    return Failure(NonsenseAnswer(f"The language model at {where} answered what the client cannot read.", "Check that OPENAI_BASE_URL is right."), billed=True)


def _of_status(error: openai.APIStatusError, model: str, where: str) -> Failure:
    status, said = error.status_code, _said(error)
    marks = f"{error.code} {error.type} {said}".lower()
    retry_after = _retry_after(error.response.headers)
    if status == 402 or (status in (403, 429) and any(mark in marks for mark in _NO_MONEY)):
        return Failure(OutOfMoney(f"The account at {where} has no credit left.", "Top it up, or use another key or endpoint."))
    if status in (401, 403):
        advice = "Correct OPENAI_API_KEY, or unset it and OPENAI_BASE_URL for the embedded model."
        return Failure(WrongKey(f"The language model at {where} refuses the key (HTTP {status}).", advice))
    if status == 404:
        return Failure(
            UnknownModel(f"The endpoint {where} does not know {model!r} (HTTP 404).", "Check the model's name, and that OPENAI_BASE_URL ends as the API does.")
        )
    if status == 429:
        return Failure(RateLimited(f"The language model at {where} takes no more requests now (HTTP 429).", "Wait, or lower the load."), True, retry_after)
    if status in (408, 409) or status >= 500:
        return Failure(EndpointDown(f"The language model at {where} is not working (HTTP {status}).", "Try again later."), True, retry_after)
    if any(mark in marks for mark in _TOO_LONG):
        return Failure(PromptTooLong(f"The messages do not fit into the context of {model!r}: {said}.", "Shorten the prompt or give fewer examples."))
    not_taken = error.param if "unsupported" in marks and error.param in _NOT_TAKEN else None
    refused = RequestRefused(f"The language model at {where} refuses the request (HTTP {status}): {said}.", "Use a model that supports it.")
    return Failure(refused, not_taken=not_taken)


def _said(error: openai.APIStatusError) -> str:
    """The endpoint's own words, shortened: a proxy may send a whole page. Not where they quote the messages: errors end in logs."""
    message = error.body.get("message") if isinstance(error.body, Mapping) else None
    text = message if isinstance(message, str) else "no reason given"
    if _quotes(text, _sent(error)):
        return "its words quote the messages, and are left out"
    return " ".join(text.split())[:200].rstrip(".")


def _sent(error: openai.APIStatusError) -> bytes:
    """The body that was sent; b"" of an upload, which is sent piece by piece and not kept."""
    try:
        return error.request.content
    except RuntimeError:
        return b""


def _quotes(text: str, body: bytes) -> bool:
    """Whether a text holds something of the messages that were sent: _IN_A_ROW of their words, or what it puts in quotes or looks like an address."""
    try:
        sent = f" {_plain(' '.join(str(message['content']) for message in json.loads(body)['messages']))} "
    except (ValueError, LookupError, TypeError):
        return True  # nothing is known of what was sent
    words = _plain(text).split()
    runs = [" ".join(words[at : at + _IN_A_ROW]) for at in range(len(words) - _IN_A_ROW + 1)]
    return any(f" {one} " in sent for one in (*runs, *(_plain(marked) for marked in _MARKED.findall(text))) if one)


def _plain(text: str) -> str:
    return " ".join(_WORD.findall(text.casefold()))


def _was_sent(error: openai.APIConnectionError) -> bool:
    """Whether the request may have reached the model, which then may have counted its tokens."""
    return type(error.__cause__).__name__ not in _UNSENT


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds the endpoint asks us to wait: a number or a date."""
    value = headers.get("retry-after", "").strip()
    try:
        if headers.get("retry-after-ms"):
            return max(0.0, float(headers["retry-after-ms"]) / 1000)
        if not value:
            return None
        if value.replace(".", "", 1).isdigit():
            return float(value)
        when = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=dt.UTC)
    return max(0.0, (when - dt.datetime.now(dt.UTC)).total_seconds())
