"""One HTTP request and what its answer means for whoever asked.

Belongs here: httpx, headers, the meaning of statuses. Not here: queue, retries, caches.
"""

from __future__ import annotations

import datetime as dt
import email.utils
import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from learning_pipelines.client.options import Options, Target

if TYPE_CHECKING:
    import httpx

_LATER = {408, 425, 429, 502, 503, 504}
_NOT_THE_RECORDS_FAULT = {401, 403, 404, 405, 407}


class Verdict(Enum):
    DONE = "done"
    UNCHANGED = "unchanged"  # 304
    REJECTED = "rejected"  # what was sent is at fault and will be for ever
    UNCLEAR = "unclear"  # the service is there but does not do its work: key, address, version, a bug
    LATER = "later"  # not reached, overloaded, limited


@dataclass(frozen=True)
class Reply:
    verdict: Verdict
    reason: str
    data: Any = None
    etag: str | None = None
    retry_after: float | None = None


class Transport:
    """Talks to one service. Never raises for anything that the network or the service does."""

    def __init__(self, target: Target, options: Options) -> None:
        self._target = target
        self._options = options
        self._http: httpx.Client | None = None

    def forked(self) -> None:
        self._http = None  # a connection shared with the parent would mix up answers

    def post(self, path: str, content: bytes, idempotency_key: str | None = None) -> Reply:
        headers = {"Content-Type": "application/json"}
        if idempotency_key:
            headers["Idempotency-Key"] = idempotency_key
        return self._ask("POST", path, headers, self._options.request_timeout, content=content)

    def prompt(self, agent: str, params: Mapping[str, str], etag: str | None) -> Reply:
        headers = {"If-None-Match": etag} if etag else {}
        return self._ask("GET", f"/prompts/{quote(agent, safe='')}", headers, self._options.prompt_timeout, params=params)

    def next_action(self, agent: str, params: Mapping[str, str]) -> Reply:
        return self._ask("GET", f"/agents/{quote(agent, safe='')}/next-action", {}, self._options.prompt_timeout, params=params)

    def search(self, params: Mapping[str, str]) -> Reply:
        return self._ask("GET", "/search", {}, self._options.prompt_timeout, params=params)

    def erase(self, user: str) -> Reply:
        return self._ask("DELETE", f"/users/{quote(user, safe='')}", {}, self._options.erasure_timeout)

    def erasure(self, identity: str) -> Reply:
        return self._ask("GET", f"/erasures/{quote(identity, safe='')}", {}, self._options.request_timeout)

    def close(self) -> None:
        if self._http is not None:
            self._http.close()
            self._http = None

    def _ask(self, method: str, path: str, headers: dict[str, str], timeout: float, **body: Any) -> Reply:
        import httpx  # here and not above: it takes longer to import than everything else an application needs at its start

        try:
            if self._http is None:
                self._http = httpx.Client(limits=httpx.Limits(keepalive_expiry=4.0))  # below uvicorn's 5 s, so as not to meet a closing connection
            if self._target.key:
                headers["Authorization"] = f"Bearer {self._target.key}"
            answer = self._http.request(method, self._target.base + path, headers=headers, timeout=httpx.Timeout(timeout, connect=min(timeout, 5.0)), **body)
        except (httpx.UnsupportedProtocol, httpx.InvalidURL, UnicodeError) as error:
            return Reply(Verdict.UNCLEAR, f"the address {self._target.base} or the key cannot be used: {error}")
        except (httpx.HTTPError, OSError, RuntimeError) as error:  # RuntimeError: closed by another thread in mid-request
            return Reply(Verdict.LATER, f"{self._target.base} is not reached: {type(error).__name__} {error}".rstrip())
        return self._read(answer)

    def _read(self, answer: httpx.Response) -> Reply:
        status = answer.status_code
        if status == 304:
            return Reply(Verdict.UNCHANGED, "not modified")
        try:
            data = json.loads(answer.content)
        except ValueError:
            data = None
        if 200 <= status < 300:
            if not isinstance(data, dict):  # a proxy's or a hotel's page, not our service
                return Reply(Verdict.UNCLEAR, f"{self._target.base} answers {status} without the JSON object that belongs there")
            return Reply(Verdict.DONE, "", data, answer.headers.get("ETag"))
        reason = f"HTTP {status}{_problem(data)}"
        if status in _LATER:
            return Reply(Verdict.LATER, reason, retry_after=self._retry_after(answer.headers.get("Retry-After")))
        names_a_field = isinstance(data, dict) and bool(data.get("field") or data.get("errors"))
        if 400 <= status < 500 and (status not in _NOT_THE_RECORDS_FAULT or (status == 404 and names_a_field)):
            return Reply(Verdict.REJECTED, reason, data)
        return Reply(Verdict.UNCLEAR, reason, data)

    def _retry_after(self, value: str | None) -> float | None:
        """Seconds, or a date. A service that says nonsense is answered with the usual backoff, one that says years with the longest wait we allow."""
        if value is None:
            return None
        try:
            seconds = float(value)
        except ValueError:
            try:
                seconds = (email.utils.parsedate_to_datetime(value) - dt.datetime.now(dt.UTC)).total_seconds()
            except (ValueError, TypeError):
                return None
        return min(seconds, self._options.retry_after_most) if seconds >= 0 else None  # also None for NaN


def _problem(data: object) -> str:
    if not isinstance(data, dict):
        return ""
    said = [str(data[key]) for key in ("title", "field", "detail") if data.get(key)]
    return f": {' · '.join(said)}"[:500] if said else ""
