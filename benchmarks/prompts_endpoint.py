"""The one way to the model in the prompt benchmark: an OpenAI-compatible endpoint in front of the embedded server that counts every call.

Belongs here: counting by phase, answers kept for the same request, ending a choice early. Not here: who asks and what for.

The phase is in the address (/search/v1, /reflection/v1, /test/v1). `choices` in the body (or the grammar that our client writes) is constrained decoding.
As soon as what was decoded begins only one of the choices, the rest is certain and the call ends: the same answer for a third of the time.
"""

from __future__ import annotations

import json
import re
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx

from learning_pipelines.llm_wire import gbnf

PHASES = ("search", "reflection", "acceptance", "test")
Counts = dict[str, dict[str, int]]


@dataclass(frozen=True)
class Answered:
    text: str
    input_tokens: int
    output_tokens: int


class Upstream:
    """Asks the embedded server, one request at a time."""

    def __init__(self, base_url: str, api_key: str, transport: httpx.BaseTransport | None = None) -> None:
        self._url = f"{base_url}/chat/completions"
        self._http = httpx.Client(trust_env=False, timeout=300, headers={"Authorization": f"Bearer {api_key}"}, transport=transport)

    def __call__(self, body: dict[str, Any], choices: list[str] | None) -> Answered:
        return self._free(body) if choices is None else self._chosen(body, choices)

    def _free(self, body: dict[str, Any]) -> Answered:
        answer = self._http.post(self._url, json=body)
        answer.raise_for_status()
        found = answer.json()
        return Answered(found["choices"][0]["message"]["content"] or "", found["usage"]["prompt_tokens"], found["usage"]["completion_tokens"])

    def _chosen(self, body: dict[str, Any], choices: list[str]) -> Answered:
        text, tokens = "", 0
        longest = max(len(choice.encode()) for choice in choices) + 2
        asked = {**body, "grammar": gbnf(choices), "max_tokens": longest, "stream": True}
        with self._http.stream("POST", self._url, json=asked) as answer:
            answer.raise_for_status()
            for line in answer.iter_lines():
                if line.startswith("data: {") and (found := json.loads(line[6:])).get("choices"):
                    piece = found["choices"][0]["delta"].get("content") or ""
                    text, tokens = text + piece, tokens + bool(piece)
                    if text and (only := certain(text, choices)) is not None:
                        return Answered(only, _prompt_size(body), tokens)
        if text not in choices:
            raise ValueError(f"the constrained answer is none of the choices: {text!r}")
        return Answered(text, _prompt_size(body), tokens)


def certain(begun: str, choices: list[str]) -> str | None:
    """The choice that is the only one to begin so."""
    possible = [choice for choice in choices if choice.startswith(begun)]
    return possible[0] if len(possible) == 1 else None


def _prompt_size(body: dict[str, Any]) -> int:
    """Tokens of the prompt, four bytes each: a stream that ends early is never counted by the server."""
    return sum(len(message["content"].encode()) for message in body["messages"]) // 4


class Counting:
    """Counts calls, and answers the same request at temperature 0 once: a peer's own cache would do the same, and it counts all the same."""

    def __init__(self, ask: Any, kept: Path | None = None) -> None:
        self._ask, self._kept_file = ask, kept
        self._one, self._counts = threading.Lock(), {phase: Counter[str]() for phase in PHASES}
        self._answers: dict[str, Answered] = {}
        if kept is not None and kept.exists():
            for line in kept.read_text(encoding="utf-8").splitlines():
                key, *answer = json.loads(line)
                self._answers[key] = Answered(*answer)

    def complete(self, phase: str, body: dict[str, Any]) -> Answered:
        with self._one:
            counts = self._counts[phase]
            counts["calls"] += 1
            body, choices = canonical(body)
            key = json.dumps([body, choices], sort_keys=True)
            found = self._answers.get(key)
            if found is None:
                found = self._ask(body, choices)
                counts["answered_by_model"] += 1
                if not body.get("temperature"):
                    self._keep(key, found)
            counts["input_tokens"] += found.input_tokens
            counts["output_tokens"] += found.output_tokens
            return found

    def take(self) -> Counts:
        """What was counted since the last time."""
        with self._one:
            taken = {phase: dict(counts) for phase, counts in self._counts.items() if counts}
            self._counts = {phase: Counter() for phase in PHASES}
            return taken

    def _keep(self, key: str, answer: Answered) -> None:
        self._answers[key] = answer
        if self._kept_file is not None:
            with self._kept_file.open("a", encoding="utf-8") as file:
                file.write(json.dumps([key, answer.text, answer.input_tokens, answer.output_tokens]) + "\n")


def canonical(body: dict[str, Any]) -> tuple[dict[str, Any], list[str] | None]:
    """The same question in the same words, whoever asks: our client says `grammar` where the peers' say `choices`."""
    choices = body.get("choices") or _choices_of(body.get("grammar"))
    asked = {name: body[name] for name in ("model", "messages", "temperature", "seed") if name in body}
    if choices is None:
        asked |= {name: body[name] for name in ("max_tokens", "grammar", "stop") if name in body}
    else:
        asked.pop("seed", None)  # nothing is drawn at temperature 0
    return asked, sorted(choices) if choices is not None else None


def _choices_of(grammar: str | None) -> list[str] | None:
    """The labels of a grammar that is a list of them (learning_pipelines.llm_wire.gbnf)."""
    if grammar is None or not re.fullmatch(r'root ::= "(?:\\.|[^"\\])*"(?: \| "(?:\\.|[^"\\])*")*', grammar):
        return None
    choices = [re.sub(r"\\(.)", r"\1", quoted) for quoted in re.findall(r'"((?:\\.|[^"\\])*)"', grammar)]
    return choices if gbnf(choices) == grammar else None


@contextmanager
def serving(counting: Counting, model: str) -> Iterator[str]:
    """The endpoint on a port of its own; yields http://…:port."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            try:
                found = counting.complete(self.path.split("/")[1], {**body, "model": model})
                status, said = 200, _openai(found, model)
            except (httpx.HTTPError, ValueError, KeyError) as error:
                status, said = 502, {"error": {"message": f"{type(error).__name__}: {error}"}}
            content = json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def _openai(found: Answered, model: str) -> dict[str, Any]:
    usage = {"prompt_tokens": found.input_tokens, "completion_tokens": found.output_tokens, "total_tokens": found.input_tokens + found.output_tokens}
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": found.text}}
    return {"id": "-", "object": "chat.completion", "created": 0, "model": model, "usage": usage, "choices": [choice]}
