"""The client for ordinary (blocking) code. No method waits for the network, except `flush`, `close`, `search`, `next_action`,
`erase_user`, `erasure` and a prompt that is not cached yet, is for an input, or is an old one of an experiment.

Belongs here: signatures and what they promise. Not here: how it is done (core.py); the same for asyncio (aio.py).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

from learning_pipelines.client.behavior import NextAction, Step
from learning_pipelines.client.core import Core, Stats
from learning_pipelines.client.erasure import Erasure
from learning_pipelines.client.options import Options
from learning_pipelines.client.prompts import Message, Prompt
from learning_pipelines.client.records import ExecutionFields, FeedbackDetails, FeedbackFields, FeedbackType, IssueCategory, RetrievalFields
from learning_pipelines.client.search import Found
from learning_pipelines.client.tracing import Execution, Function

OpenAI = TypeVar("OpenAI")


class Common:
    """What needs no waiting and is therefore the same in both clients."""

    def __init__(
        self,
        url: str | None = None,
        api_key: str | None = None,
        *,
        queue_dir: str | os.PathLike[str] | None = None,
        raise_errors: bool = False,
        options: Options | None = None,
    ) -> None:
        """`url` and `api_key` default to LEARNING_API_URL and LEARNING_API_KEY, `queue_dir` (a local disk) to LEARNING_QUEUE_DIR.

        Make one client per process and keep it. Records that an earlier process left in the queue folder are sent at once.
        """
        self._core = Core(url, api_key, queue_dir, raise_errors, options)

    def execution(self, *, agent: str, input: Any, **fields: Unpack[ExecutionFields]) -> Execution:
        """`with client.execution(agent=…, input=…) as run: run.output = …` (or `async with`): logged with its latency when the block ends."""
        return self._core.execution(agent, input, fields)

    def traced(self, *, agent: str, input: Callable[..., Any] | None = None, **fields: Unpack[ExecutionFields]) -> Callable[[Function], Function]:
        """A decorator for functions, async functions and generators. `input` makes the logged input from the call's arguments."""
        return self._core.traced(agent, input, fields)

    def wrap_openai(self, openai_client: OpenAI, *, agent: str, **fields: Unpack[ExecutionFields]) -> OpenAI:
        """The same openai client (sync or async), its chat completions logged; inside an open execution of the agent they become part of it."""
        return self._core.wrap_openai(openai_client, agent, fields)

    def last_execution_id(self) -> str | None:
        """The id of the latest execution of this thread or task that was opened by `execution`, `traced` or `wrap_openai`: for feedback on it."""
        return self._core.last_execution_id()

    def stats(self) -> Stats:
        return self._core.stats()


class Client(Common):
    """Logs executions and feedback, fetches prompts and suggestions, searches, erases. Never raises because of the service, the network or the disk unless
    `raise_errors` is true."""

    def log_execution(self, *, agent: str, input: Any, output: Any, **fields: Unpack[ExecutionFields]) -> str:
        """Keeps the execution on disk, to be sent in the background; its id can be used for feedback at once. Other keywords go into its context."""
        return self._core.log_execution(agent, input, output, fields)

    def feedback(self, execution_id: str, *, feedback_type: FeedbackType, **fields: Unpack[FeedbackFields]) -> str:
        """Any feedback; returns its id. Give `feedback_id` where the same event may be reported twice: it is stored once."""
        return self._core.feedback(execution_id, feedback_type, fields)

    def thumbs_up(self, execution_id: str, **details: Unpack[FeedbackDetails]) -> str:
        return self._core.feedback(execution_id, "thumbs_up", details)

    def thumbs_down(self, execution_id: str, **details: Unpack[FeedbackDetails]) -> str:
        return self._core.feedback(execution_id, "thumbs_down", details)

    def rate(self, execution_id: str, rating: int, **details: Unpack[FeedbackDetails]) -> str:
        """One to five stars; `dimensions` may rate accuracy, helpfulness, clarity and completeness as well."""
        return self._core.feedback(execution_id, "star_rating", {**details, "rating": rating})

    def correct(self, execution_id: str, correction_text: str, **details: Unpack[FeedbackDetails]) -> str:
        """What the answer should have been."""
        return self._core.feedback(execution_id, "correction", {**details, "correction_text": correction_text})

    def report(self, execution_id: str, issue_categories: Sequence[IssueCategory], **details: Unpack[FeedbackDetails]) -> str:
        """What is wrong with the answer."""
        return self._core.feedback(execution_id, "report_issue", {**details, "issue_categories": list(issue_categories)})

    def retrieval_feedback(self, query: str, *, relevant: Sequence[str], **fields: Unpack[RetrievalFields]) -> str:
        """Which documents or chunks were relevant to a query (none: nothing that was shown helped); returns the key it is sent under."""
        return self._core.retrieval_feedback(query, relevant, fields)

    def prompt(self, agent: str, *, unit: str | None = None, input: Any = None, fallback: str | Sequence[Message] | None = None) -> Prompt:
        """The prompt that serves for this unit (user, session or conversation: what an experiment assigns). Cached; `fallback` if there is none to be had.

        With `input` the messages are those to send for it, its own turn last, and the service is asked every time.
        """
        return self._core.prompt(agent, unit, input, fallback)

    def search(self, query: str, *, agent: str | None = None, unit: str | None = None, k: int = 10) -> Found:
        """The chunks that answer a question best, by the index of the agent, or of the unit's variant where an experiment compares indexes; false without
        any. The service is asked every time; executions of the unit carry the experiment from then on."""
        return self._core.questions.search(query, agent, unit, k)

    def next_action(
        self, agent: str, task: str, *, task_type: str | None = None, state: Any = None, history: Sequence[Step] = (), k: int = 3, unit: str | None = None
    ) -> NextAction:
        """What the agent would best do next, by the policy that serves; false where there is no suggestion, `reason` says why.

        `state`: what it was given, text or plain data; `history`: what it did so far, types or {type, arguments, context}; `unit`: whom an
        experiment on policies assigns. The service is asked every time.
        """
        return self._core.questions.next_action(agent, task, task_type, state, history, k, unit)

    def erase_user(self, user: str) -> Erasure:
        """Has everything erased that a person said, that agents did for them, and that was learnt of it (needs a key of role admin); true once it is done.

        What waits in this process is delivered first, or nobody is erased: sent afterwards it would bring the person back, as would what other processes
        still hold. It may take the service longer than an answer can wait: ask `erasure` with the id then, until it is true.
        """
        return self._core.erase_user(user)

    def erasure(self, erasure_id: str) -> Erasure:
        """How an erasure stands; true, with its certificate, once it is done."""
        return self._core.questions.erasure(erasure_id)

    def flush(self, timeout: float = 10.0) -> bool:
        """Waits until what is queued now is delivered; False if it is not by then (nothing is lost)."""
        return self._core.flush(timeout)

    def close(self, timeout: float = 5.0) -> bool:
        """Flushes and stops; what is left stays on disk for the next process."""
        return self._core.close(timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
