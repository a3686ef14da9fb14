"""The client for asyncio: the same methods, the same queue and worker thread; whatever could wait for a disk or the network does so in a thread.

Belongs here: the awaiting. Not here: how it is done (core.py), what needs no waiting (Common in sync.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self, Unpack

from learning_pipelines.client.behavior import NextAction, Step
from learning_pipelines.client.erasure import Erasure
from learning_pipelines.client.prompts import Message, Prompt
from learning_pipelines.client.records import ExecutionFields, FeedbackDetails, FeedbackFields, FeedbackType, IssueCategory, RetrievalFields
from learning_pipelines.client.search import Found
from learning_pipelines.client.sync import Common


class AsyncClient(Common):
    """Logs executions and feedback, fetches prompts and suggestions, searches, erases. Never raises because of the service, the network or the disk unless
    `raise_errors` is true."""

    async def log_execution(self, *, agent: str, input: Any, output: Any, **fields: Unpack[ExecutionFields]) -> str:
        """Keeps the execution on disk, to be sent in the background; its id can be used for feedback at once. Other keywords go into its context."""
        return await asyncio.to_thread(self._core.log_execution, agent, input, output, fields)

    async def feedback(self, execution_id: str, *, feedback_type: FeedbackType, **fields: Unpack[FeedbackFields]) -> str:
        """Any feedback; returns its id. Give `feedback_id` where the same event may be reported twice: it is stored once."""
        return await asyncio.to_thread(self._core.feedback, execution_id, feedback_type, fields)

    async def thumbs_up(self, execution_id: str, **details: Unpack[FeedbackDetails]) -> str:
        return await asyncio.to_thread(self._core.feedback, execution_id, "thumbs_up", details)

    async def thumbs_down(self, execution_id: str, **details: Unpack[FeedbackDetails]) -> str:
        return await asyncio.to_thread(self._core.feedback, execution_id, "thumbs_down", details)

    async def rate(self, execution_id: str, rating: int, **details: Unpack[FeedbackDetails]) -> str:
        """One to five stars; `dimensions` may rate accuracy, helpfulness, clarity and completeness as well."""
        return await asyncio.to_thread(self._core.feedback, execution_id, "star_rating", {**details, "rating": rating})

    async def correct(self, execution_id: str, correction_text: str, **details: Unpack[FeedbackDetails]) -> str:
        """What the answer should have been."""
        return await asyncio.to_thread(self._core.feedback, execution_id, "correction", {**details, "correction_text": correction_text})

    async def report(self, execution_id: str, issue_categories: Sequence[IssueCategory], **details: Unpack[FeedbackDetails]) -> str:
        """What is wrong with the answer."""
        return await asyncio.to_thread(self._core.feedback, execution_id, "report_issue", {**details, "issue_categories": list(issue_categories)})

    async def retrieval_feedback(self, query: str, *, relevant: Sequence[str], **fields: Unpack[RetrievalFields]) -> str:
        """Which documents or chunks were relevant to a query (none: nothing that was shown helped); returns the key it is sent under."""
        return await asyncio.to_thread(self._core.retrieval_feedback, query, relevant, fields)

    async def prompt(self, agent: str, *, unit: str | None = None, input: Any = None, fallback: str | Sequence[Message] | None = None) -> Prompt:
        """The prompt that serves for this unit (user, session or conversation: what an experiment assigns). Cached; `fallback` if there is none to be had.

        With `input` the messages are those to send for it, its own turn last, and the service is asked every time.
        """
        if (prompt := self._core.prompt_at_once(agent, unit, input)) is not None:
            return prompt
        return await asyncio.to_thread(self._core.prompt, agent, unit, input, fallback)

    async def search(self, query: str, *, agent: str | None = None, unit: str | None = None, k: int = 10) -> Found:
        """The chunks that answer a question best, by the index of the agent, or of the unit's variant where an experiment compares indexes; false without
        any. The service is asked every time; executions of the unit carry the experiment from then on."""
        return await asyncio.to_thread(self._core.questions.search, query, agent, unit, k)

    async def next_action(
        self, agent: str, task: str, *, task_type: str | None = None, state: Any = None, history: Sequence[Step] = (), k: int = 3, unit: str | None = None
    ) -> NextAction:
        """What the agent would best do next, by the policy that serves; false where there is no suggestion, `reason` says why.

        `state`: what it was given, text or plain data; `history`: what it did so far, types or {type, arguments, context}; `unit`: whom an
        experiment on policies assigns. The service is asked every time.
        """
        return await asyncio.to_thread(self._core.questions.next_action, agent, task, task_type, state, history, k, unit)

    async def erase_user(self, user: str) -> Erasure:
        """Has everything erased that a person said, that agents did for them, and that was learnt of it (needs a key of role admin); true once it is done.

        What waits in this process is delivered first, or nobody is erased: sent afterwards it would bring the person back, as would what other processes
        still hold. It may take the service longer than an answer can wait: ask `erasure` with the id then, until it is true.
        """
        return await asyncio.to_thread(self._core.erase_user, user)

    async def erasure(self, erasure_id: str) -> Erasure:
        """How an erasure stands; true, with its certificate, once it is done."""
        return await asyncio.to_thread(self._core.questions.erasure, erasure_id)

    async def flush(self, timeout: float = 10.0) -> bool:
        """Waits until what is queued now is delivered; False if it is not by then (nothing is lost)."""
        return await asyncio.to_thread(self._core.flush, timeout)

    async def close(self, timeout: float = 5.0) -> bool:
        """Flushes and stops; what is left stays on disk for the next process."""
        return await asyncio.to_thread(self._core.close, timeout)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()
