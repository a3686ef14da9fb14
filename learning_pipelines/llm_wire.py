"""What is written to an OpenAI-compatible endpoint and how its answer is read: plain values in, plain values out.

Belongs here: parameters, constrained decoding, checking answers, upper bounds of tokens. Not here: sending (llm_client.py).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from learning_pipelines.llm_errors import NonsenseAnswer, WrongAnswer
from learning_pipelines.llm_protocol import Request

# What a chat template may add: markers around each message, a default system prompt, the opening of the answer.
_TOKENS_PER_REQUEST, _TOKENS_PER_MESSAGE = 64, 16
_ADDRESS = "Check that OPENAI_BASE_URL is the address of an OpenAI-compatible API (it often ends in /v1)."
_JSON_AROUND = 24
"""Tokens of a JSON object around a chosen label, however the model spaces it."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. `tokens` (input, output, cached) is None where the endpoint does not count."""

    text: str | None
    finish: str
    tokens: tuple[int, int, int] | None


def parameters(model: str, request: Request, grammar: bool, not_taken: frozenset[str]) -> dict[str, Any]:
    """The body of the request. `not_taken` are parameters this model has refused before."""
    body: dict[str, Any] = {
        "model": model,
        "messages": [{"role": message.role, "content": message.content} for message in request.messages],
        "max_completion_tokens" if "max_tokens" in not_taken else "max_tokens": most_output(request, grammar),
        "temperature": request.temperature,
    }
    if request.seed is not None:
        body["seed"] = request.seed
    if request.stop and request.choices is None:
        body["stop"] = list(request.stop)
    if request.choices is not None and grammar:
        body["extra_body"] = {"grammar": gbnf(request.choices)}
    elif schema := _schema(request):
        body["response_format"] = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": True}}
    return {name: value for name, value in body.items() if name not in not_taken}


def gbnf(choices: Sequence[str]) -> str:
    """The grammar of llama.cpp that allows exactly these texts. It ignores a grammar that it cannot read, so every odd character is escaped."""
    return "root ::= " + " | ".join(f'"{"".join(map(_escaped, choice))}"' for choice in choices)


def most_output(request: Request, grammar: bool) -> int:
    """No token is shorter than a byte: the longest label, however it is cut, with its end mark, fits."""
    if request.choices is None:
        return request.max_tokens
    longest = max(len(json.dumps(choice, ensure_ascii=False).encode("utf-8", "replace")) for choice in request.choices)
    return longest + 2 if grammar else max(request.max_tokens, longest + _JSON_AROUND)


def most_tokens(request: Request, grammar: bool) -> tuple[int, int]:
    """Upper bounds of input and output tokens."""
    texts = [message.content for message in request.messages]
    if not grammar and (schema := _schema(request)):
        texts.append(json.dumps(schema))  # some endpoints put it into the prompt
    size = sum(len(text.encode("utf-8", "replace")) for text in texts)
    return size + _TOKENS_PER_REQUEST + _TOKENS_PER_MESSAGE * len(texts), most_output(request, grammar)


def read(body: str, where: str) -> Answer:
    """The first choice of an answer. Raises NonsenseAnswer if it is not one."""
    try:
        data = json.loads(body)
    except ValueError:
        kind = "a web page" if body.lstrip()[:1] == "<" else "nothing" if not body.strip() else "no JSON"
        raise NonsenseAnswer(f"The language model at {where} answered with {kind}.", _ADDRESS, body) from None
    match data:
        case {"choices": [{"message": {**message}, **choice}, *_]}:
            text = message.get("content")
            return Answer(text if isinstance(text, str) else None, str(choice.get("finish_reason")), _tokens(data.get("usage")))
        case {"choices": []}:
            raise NonsenseAnswer(f"The language model at {where} gave no answer (an empty list).", "Try again, or use another model.", body)
    raise NonsenseAnswer(f"What answers at {where} is not a language model: the answer has no choices.", _ADDRESS, body)


def checked(request: Request, answer: Answer) -> str:
    """The text of an answer, if it is what was asked for. Raises WrongAnswer if not."""
    cut = " It was cut off at max_tokens." if answer.finish == "length" else ""
    if answer.text is None:
        raise WrongAnswer(f"The language model answered without any text.{cut}", "Allow more tokens, or use another model.")
    if request.choices is not None:
        return _chosen(request.choices, answer.text)
    if request.json_schema is not None:
        try:
            json.loads(answer.text)
        except ValueError:
            raise WrongAnswer(f"The language model answered with invalid JSON.{cut}", "Allow more tokens, or use another model.", answer.text) from None
    return answer.text


def _chosen(choices: Sequence[str], text: str) -> str:
    """The label that was chosen: bare, or wrapped as `_schema` asks for."""
    if text in choices:
        return text
    try:
        match json.loads(text):
            case {"answer": str(label)} if label in choices:
                return label
    except ValueError:
        if text.strip() in choices:
            return text.strip()
    raise WrongAnswer(
        f"The language model answered outside the {len(choices)} allowed answers.", "Use an endpoint that supports constrained decoding (json_schema).", text
    )


def _schema(request: Request) -> dict[str, Any] | None:
    """Choices as a schema: an object, because endpoints want one at the top."""
    if request.choices is None:
        return request.json_schema
    properties = {"answer": {"type": "string", "enum": list(request.choices)}}
    return {"type": "object", "properties": properties, "required": ["answer"], "additionalProperties": False}


def _escaped(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    if character.isprintable():
        return character
    return f"\\U{ord(character):08X}"


def _tokens(usage: Any) -> tuple[int, int, int] | None:
    match usage:
        case {"prompt_tokens": int(given), "completion_tokens": int(made), **rest} if given >= 0 and made >= 0:
            match rest.get("prompt_tokens_details"):
                case {"cached_tokens": int(cached)} if 0 <= cached <= given:
                    return given, made, cached
            return given, made, 0
    return None
