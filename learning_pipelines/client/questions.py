"""Questions that the service is asked every time, and waited for: search, next action, erasure.

Belongs here: asking, what the host gets where there is no answer. Not here: prompts, which are cached (prompt_cache.py), the values (search.py, behavior.py,
erasure.py), HTTP (transport.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from learning_pipelines.client import behavior, search
from learning_pipelines.client.erasure import Erasure
from learning_pipelines.client.erasure import read as read_erasure
from learning_pipelines.client.errors import ClientError, ErasureUnavailable, Reporter, SearchUnavailable, SuggestionUnavailable, unexpected
from learning_pipelines.client.experiments import Parts
from learning_pipelines.client.transport import Reply, Transport, Verdict

T = TypeVar("T")
_NOTHING = "the service answered nothing: see stats().last_error"


class Questions:
    """What is asked about a unit is noted: its executions carry the experiment from then on. Raises ClientError only where the host asked for it."""

    def __init__(self, transport: Transport, reporter: Reporter, parts: Parts) -> None:
        self._transport, self._reporter, self._parts = transport, reporter, parts

    def search(self, query: str, agent: str | None, unit: str | None, k: int) -> search.Found:
        found = self._answer(
            lambda: self._transport.search(search.parameters(query, agent, unit, k)), lambda data: search.read(data, unit), SearchUnavailable, "results"
        )
        if found is None:
            return search.Found(reason=_NOTHING)
        if agent is not None:
            self._parts.note(agent, unit, "search", found.part)
        return found

    def next_action(
        self, agent: str, task: str, task_type: str | None, state: Any, history: Sequence[behavior.Step], k: int, unit: str | None
    ) -> behavior.NextAction:  # fmt: skip
        found = self._answer(
            lambda: self._transport.next_action(agent, behavior.parameters(task, task_type, state, history, k, unit)),
            lambda data: behavior.read(agent, data, unit), SuggestionUnavailable, "suggestions", f"{agent}: ",
        )  # fmt: skip
        if found is None:
            return behavior.NextAction(agent, reason=_NOTHING)
        self._parts.note(agent, unit, "next_action", found.part)
        return found

    def erase(self, user: str) -> Erasure:
        return self._erasure(lambda: self._transport.erase(user))

    def erasure(self, identity: str) -> Erasure:
        return self._erasure(lambda: self._transport.erasure(identity))

    def _erasure(self, ask: Callable[[], Reply]) -> Erasure:
        found = self._answer(ask, read_erasure, ErasureUnavailable, "certificate and no state")
        return Erasure(reason=_NOTHING) if found is None else found

    def _answer(
        self, ask: Callable[[], Reply], read: Callable[[Mapping[str, Any]], T | None], unavailable: type[ClientError], what: str, about: str = ""
    ) -> T | None:
        """What the service says; None, reported as `unavailable`, where it says nothing that can be read."""
        try:
            reply = ask()
            found = read(reply.data) if reply.verdict is Verdict.DONE else None
        except Exception as error:  # noqa: BLE001 - the host must not see it, except on its wish
            self._reporter.fail(unexpected(error))
            return None
        if found is None:
            self._reporter.fail(unavailable(f"{about}{reply.reason or f'the answer has no {what}'}"))
        return found
