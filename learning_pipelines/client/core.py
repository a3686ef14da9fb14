"""What the sync and the async client share: one queue, one worker, one prompt cache, and the rule that the host never sees an exception.

Belongs here: wiring, forks, the end of the process. Not here: signatures for applications (sync.py, aio.py), questions (questions.py).
"""

from __future__ import annotations

import atexit
import json
import os
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, TypeVar

from learning_pipelines.client import chat, records, tracing
from learning_pipelines.client.delivery import Delivery
from learning_pipelines.client.erasure import Erasure
from learning_pipelines.client.errors import NotDelivered, PromptUnavailable, Reporter, logger, unexpected
from learning_pipelines.client.experiments import Parts
from learning_pipelines.client.options import Options, Target, queue_root
from learning_pipelines.client.prompt_cache import PromptCache
from learning_pipelines.client.prompts import Message, Prompt, from_fallback
from learning_pipelines.client.questions import Questions
from learning_pipelines.client.queue import Queue
from learning_pipelines.client.records import Record
from learning_pipelines.client.tracing import Execution, Function
from learning_pipelines.client.transport import Transport
from learning_pipelines.client.worker import Worker

Wrapped = TypeVar("Wrapped")
_last_id: ContextVar[str | None] = ContextVar("learning_pipelines_last_id", default=None)


@dataclass(frozen=True)
class Stats:
    """Counts since the client was made (in a forked child: since the fork)."""

    queued: int
    queued_bytes: int
    accepted: int
    stored: int
    unchanged: int
    rejected: int
    """In the dead-letter file."""
    refused: int
    """Not accepted: the queue was full or the record impossible; each was logged by name."""
    requests: int
    retries: int
    durable: bool
    """False while records wait in memory because the queue folder cannot be written."""
    errors: Mapping[str, int]
    last_error: str | None
    prompts: Mapping[str, int]
    queue_folder: str


class Core:
    def __init__(self, url: str | None, api_key: str | None, queue_dir: str | os.PathLike[str] | None, raise_errors: bool, options: Options | None) -> None:
        self.options = options or Options()
        self.target = Target.of(url, api_key)
        self.reporter = Reporter(raise_errors=raise_errors)
        self.transport = Transport(self.target, self.options)
        self.prompts = PromptCache(self.transport, self.reporter, self.options)
        self.parts = Parts()
        self.questions = Questions(self.transport, self.reporter, self.parts)
        self.queue = Queue(
            queue_root(queue_dir) / self.target.folder_name,
            self.reporter,
            max_bytes=self.options.max_queue_bytes,
            segment_bytes=self.options.segment_bytes,
            fsync_each=self.options.fsync_each,
        )
        self._work_afresh()
        _cores.add(self)
        _open.add(self)
        self.worker.start()  # something may be left from a process that is gone

    def _work_afresh(self) -> None:
        self.refused = 0
        self.delivery = Delivery(self.queue, self.transport, self.reporter)
        self.worker = Worker(self.queue, self.delivery, self.reporter, self.options)

    def forked(self) -> None:
        """In the child: the parent goes on with its files, connections and thread; we begin with none."""
        self.reporter.forked()
        self.queue.forked()
        self.transport.forked()
        self.prompts.forked()
        self.parts.forked()
        stopped = self.worker.stopped
        self._work_afresh()
        if stopped:
            self.worker.stop(timeout=0)

    def send(self, make: Callable[[], Record]) -> str | None:
        """Makes a record and queues it; its id, or None where no record could be made. Raises ClientError only with raise_errors."""
        made: Record | None = None
        try:
            made = make()
            if self.worker.stopped:
                logger.warning("The client is closed: the record stays in %s until another process sends it.", self.queue.folder)
            self.worker.nudge(self.queue.append(records.encode(made)))
        except Exception as error:  # noqa: BLE001 - the host must not see it, except on its wish
            self.refused += 1
            self.reporter.fail(unexpected(error))
        return made.id if made is not None else None

    def log_execution(self, agent: str, input: Any, output: Any, fields: Mapping[str, Any]) -> str:
        """Queues an execution. The id is returned whatever happens, so that the host's code has one path."""
        known = {**tracing.ambient_fields(), **fields}
        name = str(known.get("execution_id") or records.new_id())
        known["execution_id"] = name
        self.send(lambda: records.execution(agent, input, output, known, self._served(agent, known), self.parts.of(agent, _units(known))))
        return name

    def _served(self, agent: str, fields: Mapping[str, Any]) -> Prompt | None:
        """The prompt an execution was made with: given, or the last one handed out for its unit (else user, else session, else for no unit)."""
        if (given := fields.get("prompt")) is not None:
            return given  # type: ignore[no-any-return]
        return self.prompts.served(agent, _units(fields))

    def submit(self, run: Execution) -> None:
        self.log_execution(run.agent, run.input, run.output, run.all_fields())

    def execution(self, agent: str, input: Any, fields: Mapping[str, Any], *, ambient: bool = True) -> Execution:
        run = Execution(self.submit, agent, input, {**tracing.ambient_fields(), **fields}, ambient=ambient)
        _last_id.set(run.execution_id)
        return run

    def traced(self, agent: str, input: Callable[..., Any] | None, fields: Mapping[str, Any]) -> Callable[[Function], Function]:
        def opened(given: Callable[[], Any], ambient: bool) -> Execution:
            shown: Any = ""
            try:
                shown = given()
                if not isinstance(shown, str):  # a picture of the arguments before the function can change them
                    shown = json.loads(records.to_json(shown))
            except Exception as error:  # noqa: BLE001 - the traced function must run all the same
                self.reporter.note(unexpected(error))
            return self.execution(agent, shown, fields, ambient=ambient)

        return lambda function: tracing.traced(function, opened, input)

    def wrap_openai(self, client: Wrapped, agent: str, fields: Mapping[str, Any]) -> Wrapped:
        return chat.wrap(client, lambda question: self.execution(agent, question, fields), agent, self.reporter)

    def feedback(self, execution_id: str, feedback_type: str, fields: Mapping[str, Any]) -> str:
        given = {"feedback_id": records.new_id(), **fields}
        self.send(lambda: records.feedback(execution_id, feedback_type, given))
        return str(given["feedback_id"])

    def retrieval_feedback(self, query: str, relevant: Sequence[str], fields: Mapping[str, Any]) -> str:
        return self.send(lambda: records.retrieval_feedback(query, relevant, fields)) or ""

    def prompt_at_once(self, agent: str, unit: str | None, input: Any) -> Prompt | None:
        try:
            return self.prompts.at_once(agent, unit, input)
        except Exception:  # noqa: BLE001 - `prompt` comes next and reports it
            return None

    def prompt(self, agent: str, unit: str | None, input: Any, fallback: str | Sequence[Message] | None) -> Prompt:
        try:
            return self.prompts.get(agent, unit, input, fallback)
        except PromptUnavailable:  # reported already
            raise
        except Exception as error:  # noqa: BLE001 - the host must not see it, except on its wish
            self.reporter.fail(unexpected(error))
            return from_fallback(agent, fallback) if fallback is not None else Prompt(agent, (), source="missing")

    def erase_user(self, user: str) -> Erasure:
        """Delivers what waits in this process first: sent afterwards, it would bring the person back."""
        if self.queue.pending and not self.worker.flush(self.options.request_timeout):
            waiting = f"{self.queue.pending} records wait in {self.queue.folder} and may be of the person: nobody was erased"
            self.reporter.fail(NotDelivered(f"{waiting}: {self.reporter.last_error}"))
            return Erasure(reason=waiting)
        return self.questions.erase(user)

    def last_execution_id(self) -> str | None:
        return _last_id.get()

    def flush(self, timeout: float) -> bool:
        done = self.worker.flush(timeout)
        if not done:
            self.reporter.fail(NotDelivered(f"{self.queue.pending} records wait in {self.queue.folder} after {timeout} s: {self.reporter.last_error}"))
        return done

    def close(self, timeout: float) -> bool:
        """Delivers what it can in time and stops; the rest stays on disk for the next process."""
        _open.discard(self)
        if self.worker.stopped:
            return self.queue.pending == 0
        done = self.worker.flush(timeout)
        left = self.queue.pending
        self.worker.stop(timeout=1.0)
        self.prompts.close()
        self.transport.close()
        if not done:
            self.reporter.fail(NotDelivered(f"{left} records stay in {self.queue.folder} for the next process: {self.reporter.last_error}"))
        return done

    def at_exit(self) -> None:
        if self.queue.pending:
            self.worker.flush(self.options.exit_timeout, give_up_on_trouble=True)
        self.worker.stop(timeout=0.2)

    def stats(self) -> Stats:
        queue, delivery = self.queue, self.delivery
        return Stats(
            queued=queue.pending, queued_bytes=queue.own_bytes, accepted=queue.accepted, stored=delivery.stored, unchanged=delivery.unchanged,
            rejected=delivery.rejected, refused=self.refused, requests=delivery.requests, retries=self.worker.retries, durable=queue.durable,
            errors=dict(self.reporter.counts), last_error=self.reporter.last_error, prompts=dict(self.prompts.counts), queue_folder=str(queue.folder),
        )  # fmt: skip


def _units(fields: Mapping[str, Any]) -> list[str | None]:
    """Whose execution it is: the unit that the host names, else what it may have named when it asked for the prompt."""
    unit = fields.get("unit")
    return [unit] if unit is not None else [fields.get("user"), fields.get("session_id"), None]


_cores: weakref.WeakSet[Core] = weakref.WeakSet()
_open: set[Core] = set()  # kept until closed: a client that the host has dropped still has to deliver
_forking = threading.Lock()
_held: list[Core] = []


def _before_fork() -> None:
    # No append may be half done in the copy that the child gets.
    _forking.acquire()
    _held.extend(sorted(_cores, key=id))
    for core in _held:
        core.queue.lock.acquire()


def _after_fork_in_parent() -> None:
    while _held:
        _held.pop().queue.lock.release()
    _forking.release()


def _after_fork_in_child() -> None:
    _forking.release()  # taken by the thread that became the child's only one
    while _held:
        _held.pop().forked()


def _at_exit() -> None:
    for core in list(_open):
        core.at_exit()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
atexit.register(_at_exit)
